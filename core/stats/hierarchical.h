/* hierarchical.h -- how much longer one thing takes than another, at any quantile of its times, from
 * measurements replicated over processes. Times inside one process are not independent of each other, and
 * processes differ for no reason that could be named, so the process is the unit.
 *
 * Hierarchical bootstrap (Kalibera and Jones 2013, "Rigorous benchmarking in reasonable time", section 9;
 * Davison and Hinkley 1997, section 3.8): processes are drawn with replacement, and within each drawn one its
 * samples. The quantile of a resample is drawn at once: its rank-k value has the rank of a Beta(k, n - k + 1)
 * variable among the samples. With few processes percentile intervals of a bootstrap are too short,
 * so its standard error is used, made unbiased by sqrt(n / (n - 1)), with
 * Student's t of n - 1 degrees of freedom. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

enum { HIERARCHICAL_REPLICATES = 1000 };

/* The times of both in one process, ascending, all above 0. */
struct hierarchical_process {
    const float *a, *b;
    size_t n_a, n_b;
};

struct hierarchical_ratio {
    double ratio, low, high; /* of a's quantile to b's: geometric mean over processes, one-sided bounds */
    double log_error;        /* standard error of the logarithm */
};

/* Deterministic for a seed. q in (0, 1). RC_SAMPLE: fewer than two processes, or none of some times. */
MUST_USE enum rc hierarchical_ratio_of(const struct hierarchical_process *processes, size_t n, double q,
                                       double confidence, uint64_t seed, struct hierarchical_ratio *ret,
                                       struct err *err);
