/* energy.h -- energy by the counters that Linux shows as powercap domains (RAPL on x86): whole packages with
 * their memory, whatever else runs on them. There is none on most virtual machines, and only root may read
 * them on most others; then the reason is told and nothing is filled in. */
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

enum { ENERGY_DOMAINS_MAX = 32, ENERGY_PATH_SIZE = 256, ENERGY_NAME_SIZE = 32 };
#define ENERGY_ROOT "/sys/class/powercap"

struct energy_domain {
    char path[ENERGY_PATH_SIZE]; /* of its folder */
    char name[ENERGY_NAME_SIZE]; /* "package-0", "dram" */
    uint64_t range_uj;           /* the counter begins again at 0 beyond this */
};

struct energy_meter {
    struct energy_domain domains[ENERGY_DOMAINS_MAX];
    size_t count; /* 0: none, and `reason` says why */
    char reason[256];
};

struct energy_reading {
    uint64_t uj[ENERGY_DOMAINS_MAX];
    uint64_t at_ns; /* monotonic */
};

/* Finds the domains under `root` that add up to the machine: packages, and memory (dram), which no package
 * includes. Parts of a package (core, uncore), the platform (psys, which includes packages) and a second view
 * of the same package (intel-rapl-mmio) are left out. Never fails: see `reason`. */
void energy_open(const char *root, struct energy_meter *ret);

/* RC_UNSUPPORTED with the reason when there are no domains; RC_IO. */
MUST_USE enum rc energy_read(const struct energy_meter *m, struct energy_reading *ret, struct err *err);

/* Joules from `before` to `after`, over all domains. A counter that is lower than before began again once:
 * longer than one range (minutes) nothing can be told. */
double energy_between_j(const struct energy_meter *m, const struct energy_reading *before,
                        const struct energy_reading *after);

/* What a stretch of work took, beside what the idle machine takes. */
struct energy_use {
    double joules, seconds;
    double idle_w; /* NAN: not measured */
    double inferences;
};

/* {"available": true, "domains": [...], "joules", "seconds", "idle_w", "per_inference_j": above idle | null,
 * "per_inference_total_j", "inferences", "note"} or {"available": false, "reason"}. A use of 0 seconds or 0
 * inferences is not available either. A new reference. */
json_t *energy_json(const struct energy_meter *m, const struct energy_use *use);
