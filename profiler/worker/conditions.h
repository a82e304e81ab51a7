/* conditions.h -- was the machine steady while it was measured? */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/err.h"

struct conditions {
    uint64_t steal_ms;    /* time that the hypervisor gave to others, all CPUs */
    uint64_t preemptions; /* involuntary context switches of this process */
    double kernel_ns;     /* of the drift kernel, before */
    double drift_ratio;   /* the same after, divided by before */
};

static const double CONDITIONS_DRIFT_LIMIT = 0.02;

/* Takes the state before. */
void conditions_begin(struct conditions *c);
/* Turns it into what happened since. */
void conditions_end(struct conditions *c);
/* The drift is within CONDITIONS_DRIFT_LIMIT either way. */
bool conditions_stable(const struct conditions *c);

/* {"steal_ms", "preemptions", "drift_ratio", "stable", "cpu_mhz"}: cpu_mhz only where the machine tells. A
 * new reference. */
json_t *conditions_json(const struct conditions *c);

/* The steal column of the first line of /proc/stat's text, in clock ticks; 0 when it is not there. */
uint64_t conditions_steal_ticks(const char *text);
