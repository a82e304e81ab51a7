/* sequential.h -- bounds of a mean that may be looked at after every value: a comparison that grows replicate
 * by replicate and stops as soon as it is decided would otherwise find differences that are not there.
 *
 * A group sequential design with a look at every n from SEQUENTIAL_FIRST to SEQUENTIAL_LAST (Pocock 1977,
 * Biometrika 64:191, on the scale of p-values; for t statistics Jennison and Turnbull 2000, section 11.5):
 * the one-sided Student bound of each look is taken at a nominal level so small that the chance of *any* of
 * them being wrong is alpha. The t statistics of normal values depend on neither mean nor spread, so the
 * nominal levels are exact: simulated over 4 million paths, rounded down. Values beyond SEQUENTIAL_LAST are
 * not used.
 *
 * Chosen over a confidence sequence that never ends (the t mixture of Lai 1976, Annals of Statistics 4:265;
 * Wang and Ramdas 2024), because a comparison has an end anyway and is decided sooner for it. Simulated with
 * a margin of 2 % at 95 %, average replicates until equal models are shown to be equal, at a spread of 1, 2
 * and 3 % a replicate: 6.2, 13.4, 25.8 (mixture, at its best scale: 6.4, 15.0, 31.1); until a slowdown of 5 %
 * is shown: 5.1, 7.0, 10.5 (5.1, 7.4, 11.7). tests/unit/stats/test_sequential.c repeats this.
 *
 * Normality: heavy tails make Student's bounds wider than they need be, not wrong (simulated there). */
#pragma once

#include <stddef.h>

enum { SEQUENTIAL_FIRST = 5, SEQUENTIAL_LAST = 60 };

struct sequential_bounds {
    double mean, low, high; /* one-sided, each at the confidence asked for, over all looks together */
    double error;           /* standard error of the mean at this look */
    size_t n;               /* values used */
};

enum sequential_verdict { SEQUENTIAL_UNDECIDED, SEQUENTIAL_WITHIN, SEQUENTIAL_ABOVE, SEQUENTIAL_BELOW };

/* Bounds after n values. Below SEQUENTIAL_FIRST, or above confidence 0.999, they are -INFINITY and INFINITY.
 * Confidence is rounded up to 0.9, 0.95, 0.975, 0.99, 0.995 or 0.999. n = 0 has mean 0. */
void sequential_bounds_of(const double *values, size_t n, double confidence, struct sequential_bounds *ret);

/* The least of the confidences above that is not below the one asked for; NAN where there is none. */
double sequential_confidence(double asked);

/* Whether the mean is shown to lie within -margin .. margin, above margin, or below -margin (margin above 0).
 * Each claim is wrong with a chance of at most 1 - confidence, whenever one stops. */
enum sequential_verdict sequential_judge(const struct sequential_bounds *b, double margin);
