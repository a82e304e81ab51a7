/* conditions.h -- was the machine steady while it was measured? What happened to this process and its cores
 * between two moments, and whether that is little enough for the figures to be believed. A profile that was
 * not steady is kept and marked, never dropped. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>

#include "core/base/err.h"

struct conditions {
    uint64_t wall_ms;
    uint64_t steal_ms;            /* time that the hypervisor gave to others, all CPUs */
    unsigned cpus;                /* that `steal_ms` is of */
    uint64_t preemptions;         /* involuntary context switches of this process */
    uint64_t waits;               /* voluntary ones: it slept or waited for a lock */
    uint64_t waited_ms;           /* its threads were ready to run and had no core, summed */
    unsigned cores;               /* that it may use */
    uint64_t minor_faults;        /* pages that memory had */
    uint64_t major_faults;        /* pages that had to be read from a disk */
    double kernel_ns;             /* of the drift kernel, before */
    uint64_t ended_waited_ns;     /* of threads that have ended */
    double drift_ratio;           /* the same after, divided by before */
    double mhz_before, mhz_after; /* mean over the cores of this process; 0: the machine does not tell */
};

static const double CONDITIONS_DRIFT_LIMIT = 0.02;
static const double CONDITIONS_STEAL_LIMIT = 0.02; /* share of the time of all CPUs */
static const double CONDITIONS_WAIT_LIMIT = 0.02;  /* share of the time of the process's cores */

/* Takes the state before. */
void conditions_begin(struct conditions *c);
/* Turns it into what happened since. */
void conditions_end(struct conditions *c);
/* What threads that have ended meanwhile had waited for a core (conditions_thread_waited_ns at their end); to
 * be added before conditions_end. */
void conditions_add_waited(struct conditions *c, uint64_t waited_ns);
/* How long the calling thread was ready to run and had no core, since it was started: by the kernel's
 * schedstat; 0 where there is none. */
uint64_t conditions_thread_waited_ns(void);

/* The drift is within CONDITIONS_DRIFT_LIMIT either way, the stolen share within CONDITIONS_STEAL_LIMIT, and
 * what its threads waited for a core within CONDITIONS_WAIT_LIMIT. */
bool conditions_stable(const struct conditions *c);

/* {"wall_ms", "steal_ms", "waited_ms", "preemptions", "waits", "minor_faults", "major_faults", "drift_ratio",
 * "stable", "unstable": [why], "cpu_mhz": {"before", "after"} | null, "cpu_mhz_absent": why}. A new
 * reference. */
json_t *conditions_json(const struct conditions *c);

/* The steal column of the first line of /proc/stat's text, in clock ticks; 0 when it is not there. */
uint64_t conditions_steal_ticks(const char *text);
/* The second number of a schedstat's text in ns; 0 when it is not there. */
uint64_t conditions_schedstat_waited_ns(const char *text);
/* Mean clock in MHz of the cores `cpus` under `root` ("/sys/devices/system/cpu"); 0 where none tells. */
double conditions_mhz(const char *root, const unsigned *cpus, unsigned n);
