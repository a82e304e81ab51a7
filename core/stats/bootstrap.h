/* bootstrap.h -- paired bootstrap of a metric that is a mean over columns of (sum of numerators / sum of
 * denominators).
 *
 * Rows (examples, sequences, chunks) are the clusters that are resampled, always the same rows for variant
 * and baseline. The replicates of both metrics are kept, with the moments of their jackknife influence, so
 * that a bound of variant - f * baseline at any f and confidence follows later without the scores: BCa (Efron
 * 1987), chosen over the plain percentile interval because proportions near 1 are skewed. p-values invert the
 * same bound. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

enum { BOOTSTRAP_REPLICATES = 2000 };

struct bootstrap_data {
    const float *variant;  /* [rows, columns, 2]: numerator, denominator */
    const float *baseline; /* the same shape, or NULL for one sample */
    size_t rows, columns;
    bool exponential; /* metric = exp(...), for perplexity */
};

struct bootstrap {
    double variant_value, baseline_value; /* on all rows; baseline 0 when there is none */
    uint32_t replicates;
    float *variant, *baseline; /* [replicates], owned */
    double moments[7];         /* sums of u^i v^j over rows, (i,j) = 20 11 02 30 21 12 03; u, v influences */
};

/* Deterministic for a seed. Columns whose denominators sum to 0 are left out of the mean, also in a resample;
 * a resample without any column counts as all rows. RC_INPUT: no rows or columns, a value that is not finite,
 * a negative denominator, or none above 0, a metric beyond what a float holds. On failure *ret is untouched.
 */
MUST_USE enum rc bootstrap_run(const struct bootstrap_data *data, uint32_t replicates, uint64_t seed,
                               struct bootstrap *ret, struct err *err);
void bootstrap_free(struct bootstrap *b);

/* The metric on all rows, without resampling. */
MUST_USE enum rc bootstrap_metric(const float *scores, size_t rows, size_t columns, bool exponential,
                                  double *ret, struct err *err);

/* One-sided BCa bounds of variant - f * baseline at `confidence`; *ret_* of either side. RC_MEMORY. */
MUST_USE enum rc bootstrap_lower(const struct bootstrap *b, double f, double confidence, double *ret,
                                 struct err *err);
MUST_USE enum rc bootstrap_upper(const struct bootstrap *b, double f, double confidence, double *ret,
                                 struct err *err);

/* p-value of "variant - f * baseline <= delta" against "> delta"; never below 1 / (replicates + 1). */
double bootstrap_p_above(const struct bootstrap *b, double f, double delta);
/* p-value of "variant - f * baseline >= delta" against "< delta". */
double bootstrap_p_below(const struct bootstrap *b, double f, double delta);

/* Standard error of variant - f * baseline from the replicates. */
double bootstrap_error(const struct bootstrap *b, double f);
