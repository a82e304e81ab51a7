/* sandbox.h -- confines the worker before it opens anything that came from outside (DESIGN section 2): no new
 * privileges, own namespaces, no capabilities, Landlock, resource limits, seccomp. Irrevocable; called once,
 * before any thread is started. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "core/base/err.h"
#include "profiler/worker/landlock.h"
#include "profiler/worker/resource_limits.h"

struct sandbox_opts {
    const char *const *inputs; /* files that may be read */
    size_t input_count;
    const char *folder; /* the job folder: may be written; NULL for none */
    struct resource_limits limits;
    bool require; /* refuse (RC_UNSUPPORTED) when namespaces or Landlock are not granted */
};

struct sandbox_report {
    bool seccomp, limits;
    bool namespaces;
    int landlock;             /* ABI version in force, 0 = not granted */
    char namespaces_why[128]; /* why not, or what is missing; empty when complete */
    char landlock_why[256];
};

MUST_USE enum rc sandbox_enter(const struct sandbox_opts *opts, struct sandbox_report *report,
                               struct err *err);

/* {"seccomp": true, "limits": true, "landlock": 7, "namespaces": true, "missing": ["..."]}; a new reference,
 * NULL when out of memory. */
json_t *sandbox_report_json(const struct sandbox_report *report);
