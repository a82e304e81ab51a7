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
 * a margin of 2 % at 95 %, average replicates until equal models are shown to be equal by Student's bounds,
 * at a spread of 1, 2 and 3 % a replicate: 6.2, 13.4, 25.8 (mixture, at its best scale: 6.4, 15.0, 31.1);
 * until a slowdown of 5 % is shown: 5.1, 7.0, 10.5 (5.1, 7.4, 11.7). tests/unit/stats/test_sequential.c
 * repeats this.
 *
 * Student's bounds are those of normal values. Symmetric heavy tails make them wider than they need be, but a
 * lopsided distribution makes them wrong: where one replicate in ten is ten spreads slower, 40 % of the paths
 * once exclude the mean, and no test sees from five values that the sixth will be such a one. So a bound is
 * also one that holds whatever the distribution: of the median, by the number of values beyond it (sign test,
 * group sequential as well; its chance over all looks is summed up exactly,
 * tests/unit/stats/test_sequential.c). The wider of the two counts. A claim thus holds for the mean of normal
 * values and for the median of any. The price, in average replicates at spreads of 0.7, 1, 2 and 3 %:
 * equal 5.2 -> 5.6, 6.2 -> 7.7, 13 -> 21, 26 -> 39; 5 % slower 5.0, 5.1 -> 5.3, 7.0 -> 9.0, 10.5 -> 15.5. */
#pragma once

#include <stddef.h>

enum { SEQUENTIAL_FIRST = 5, SEQUENTIAL_LAST = 60 };

struct sequential_bounds {
    double mean, low, high; /* one-sided, each at the confidence asked for, over all looks together; the wider
                               of Student's and the sign test's */
    double error;           /* standard error of the mean at this look */
    size_t n;               /* values used */
};

enum sequential_verdict { SEQUENTIAL_UNDECIDED, SEQUENTIAL_WITHIN, SEQUENTIAL_ABOVE, SEQUENTIAL_BELOW };

/* Bounds after n values, independent of each other. Below SEQUENTIAL_FIRST (at a confidence above 0.95: below
 * 6, 8, 9 or 11 values) or above confidence 0.999, they are -INFINITY and
 * INFINITY. Confidence is rounded up to 0.9, 0.95, 0.975, 0.99, 0.995 or 0.999. n = 0 has mean 0. */
void sequential_bounds_of(const double *values, size_t n, double confidence, struct sequential_bounds *ret);

/* The least of the confidences above that is not below the one asked for; NAN where there is none. */
double sequential_confidence(double asked);

/* The confidence of a plain Student bound that may be looked at after each of SEQUENTIAL_FIRST to
 * SEQUENTIAL_LAST values and then has the confidence asked for: for another figure of the same replicates,
 * which stopped because of what they showed. NAN where there is none. */
double sequential_look_confidence(double asked);

/* The sign test: of n values, how many may lie beyond a bound that the median is said not to lie beyond; -1:
 * this look gives no such bound (the one before stands). */
int sequential_strays(size_t n, double confidence);

/* Whether the centre is shown to lie within -margin .. margin, above margin, or below -margin (margin above
 * 0). Each claim is wrong with a chance of at most 1 - confidence, whenever one stops. */
enum sequential_verdict sequential_judge(const struct sequential_bounds *b, double margin);
