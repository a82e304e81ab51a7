/* interleave.h -- times two things in turns inside one process, so that whatever else happens on the machine
 * happens to both: pairs of small blocks of runs, which of the two comes first in a pair is random. The first
 * run after a change finds the other's data in the caches and is left out; runs so long that this does not
 * matter are all kept.
 *
 * What is computed is the logarithm of the ratio of the two times: of each pair of blocks the ratio of their
 * lower quartiles, then the interquartile mean over the pairs. Interruptions only ever add time, and on a
 * busy machine they hit a third of the runs: the lower quartile of a block of seven is the highest rank that
 * they leave alone (spread of a replicate measured so with three busy neighbours on two cores: 0.4 % with one
 * thread, 1.4 % with two; of ratios of medians 0.7 and 2.9 %; on a quiet machine all agree). The number of
 * runs follows from the times that the runs themselves report, not from a clock. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

enum interleave_who { INTERLEAVE_MODEL, INTERLEAVE_REFERENCE, INTERLEAVE_SIDES };

struct interleave_side {
    enum rc (*run)(void *user, float *us, struct err *err); /* runs once, *us: how long it took, above 0 */
    void *user;
};

struct interleave_opts {
    double measure_us; /* of runs that count, both together, about; never fewer than five pairs */
    double warmup_us;  /* before, of both together */
    uint64_t seed;     /* of the order */
};

struct interleave_sample {
    float
        *us[INTERLEAVE_SIDES]; /* [n] each in the order of measurement, free() by interleave_sample_release */
    size_t n, pairs, block_runs; /* n = pairs * block_runs */
    size_t discarded;            /* runs of each, in front of its blocks */
    uint64_t warmup_runs;        /* of both */
    double log_ratio;            /* model to reference */
};

/* RC_MEMORY, RC_INTERNAL for a time that is not above 0, or the error of the first run that fails. On failure
 * *ret is empty. */
MUST_USE enum rc interleave_run(const struct interleave_side sides[INTERLEAVE_SIDES],
                                const struct interleave_opts *opts, struct interleave_sample *ret,
                                struct err *err);
void interleave_sample_release(struct interleave_sample *s); /* an empty one is fine */

/* The logarithm described above. us[pairs * block_runs] each. RC_MEMORY. */
MUST_USE enum rc interleave_log_ratio(const float *model, const float *reference, size_t pairs,
                                      size_t block_runs, double *ret, struct err *err);
