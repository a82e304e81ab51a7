/* callgrind.h -- instructions of an inference where no hardware counter counts them: by Valgrind's callgrind
 * (Weidendorfer, Kowarschik, Trinitis 2004), which executes the worker instruction by instruction. The figure
 * is the same at every run to about 0.004 %. It takes minutes, one thread is counted, and the emulated
 * processor has no AVX-512: kernels for AVX2 run there. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "core/base/err.h"
#include "profiler/agent/worker_process.h"

/* Instructions an inference in *ret. `opts` starts workers as the profile's was started; `spec` is the job.
 * RC_UNSUPPORTED: a batch of
 * more than one example, which would take an hour; RC_NOT_FOUND: there is no valgrind; else errors of the
 * worker, or RC_INTERNAL. */
MUST_USE enum rc callgrind_count(const struct worker_process_opts *opts, const json_t *spec, double *ret,
                                 struct err *err);

/* The instructions collected in the text of a callgrind file: its line "totals: N", or "summary: N". False
 * without one. */
bool callgrind_total(const char *text, double *ret);
