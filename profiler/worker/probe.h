/* probe.h -- what this machine grants a worker: sandbox, counters, runtimes; for the fingerprint. */
#pragma once

#include <jansson.h>

#include "profiler/worker/counters.h"
#include "profiler/worker/sandbox.h"

/* {"sandbox": {...}, "pmu": {...}, "runtimes": {"onnxruntime": "1.30.0", "llama": "..."}, "arch": "x86_64"};
 * a new reference, NULL when out of memory. */
json_t *probe_json(const struct sandbox_report *sandbox, const struct counters *counters);
