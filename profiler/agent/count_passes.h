/* count_passes.h -- the counting passes of a profile. A machine's counters hold a few events at a time, and
 * nothing is multiplexed, so each set of events is counted by a worker of its own, which counts and measures
 * nothing else. */
#pragma once

#include <jansson.h>

#include "core/base/err.h"
#include "profiler/agent/worker_process.h"

/* Runs the passes that the result of a profile job names and puts their counts into its "counters":
 *   {"available": true, "per_inference": {name: x}, "inferences": n, "passes": 2, "unusable": {name: why}}.
 * `opts` (borrowed) starts workers as the profile's was started; its input is not used. `spec` is the job. A
 * pass that fails makes its events unusable, with its reason. RC_CANCELLED when the caller wants to stop;
 * RC_INTERNAL when the result's "counters" is not what a worker writes. With "count": {"callgrind": true} in
 * the job, instructions that nothing counted are counted by callgrind (callgrind.h), and "by": "callgrind"
 * and a "note" say so; why that failed is in "callgrind". Otherwise nothing happens to results without
 * counters. */
MUST_USE enum rc count_passes_run(const struct worker_process_opts *opts, const json_t *spec, json_t *result,
                                  struct err *err);
