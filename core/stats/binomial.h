/* binomial.h -- exact binomial bounds: for a proportion, and through it for a latency percentile.
 * "Over" counts samples above a limit. That at most a share 1 - q lies over the limit (so that the q-quantile
 * is within it) is shown at confidence c when P(Binomial(n, 1 - q) <= over) <= 1 - c: the rule of MLPerf's
 * early stopping; that more than 1 - q lies over it is shown when P(Binomial(n, 1 - q) >= over) <= 1 - c.
 * Samples are taken as independent. */
#pragma once

#include <stdint.h>

enum binomial_verdict { BINOMIAL_MET, BINOMIAL_BROKEN, BINOMIAL_UNDECIDED };

enum { BINOMIAL_NONE = -1 }; /* no count is small enough */

/* P(X <= k) and P(X >= k) of X ~ Binomial(n, p). */
double binomial_at_most(uint64_t k, uint64_t n, double p);
double binomial_at_least(uint64_t k, uint64_t n, double p);

/* One-sided Clopper-Pearson (1934) bounds at `confidence` of a proportion with k of n. n = 0 gives 0 and 1.
 */
double binomial_lower(uint64_t k, uint64_t n, double confidence);
double binomial_upper(uint64_t k, uint64_t n, double confidence);

/* Most samples of n that may lie over a limit when the q-quantile is to be shown within it; BINOMIAL_NONE: n
 * is too small. */
int64_t binomial_max_over(uint64_t n, double q, double confidence);
/* Fewest samples of n over a limit that show the q-quantile to lie over it; n + 1 when n is too small for
 * any. */
uint64_t binomial_min_broken(uint64_t n, double q, double confidence);
/* Least n with binomial_max_over(n, q, confidence) >= over. At 0.99: p90 44 64 81 for over = 0 1 2. */
uint64_t binomial_min_n(uint64_t over, double q, double confidence);

/* Whether the q-quantile is within a limit that `over` of n samples exceed. */
enum binomial_verdict binomial_judge(uint64_t over, uint64_t n, double q, double confidence);
