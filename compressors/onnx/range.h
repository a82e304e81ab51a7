/* range.h -- statistics of an activation, and the range that is quantized, chosen from them.
 *
 * The histogram's bins are a power of two wide and lie on multiples of their width; when a value does not
 * fit, neighbours are merged and the width doubles. So the result depends only on the values, not on their
 * order or on how they were divided among threads, and the memory is fixed. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

enum { RANGE_HALF = 2048, RANGE_BINS = 2 * RANGE_HALF };

/* What was seen of one tensor. */
struct range_stats {
    uint64_t count;     /* finite values, zeros included, of the sample */
    uint64_t zeros;     /* exact zeros; they are in no bin */
    uint64_t nonfinite; /* NaN and infinities; they are in no bin and not in min and max */
    float min, max;     /* of all finite values; INFINITY and -INFINITY while there are none */
    int exponent;       /* bin k holds [k, k + 1) * 2^exponent, -RANGE_HALF <= k < RANGE_HALF */
    uint64_t *bins;     /* [RANGE_BINS], bin k at k + RANGE_HALF; NULL when only min and max are wanted */
};

enum range_bins { RANGE_WITH_BINS, RANGE_WITHOUT_BINS };

MUST_USE enum rc range_stats_init(struct range_stats *s, enum range_bins bins, struct err *err);
void range_stats_release(struct range_stats *s);

/* Adds n values: min, max and nonfinite from all of them, the rest (count, zeros, bins) from every
 * `stride`-th (1: all). A sample of many thousand gives the same bins up to scale, at a fraction of the time.
 */
void range_stats_add(struct range_stats *s, const float *values, size_t n, size_t stride);
/* Adds what `other` has seen. Both with bins, or both without. */
void range_stats_merge(struct range_stats *s, const struct range_stats *other);

enum range_method { RANGE_MINMAX, RANGE_PERCENTILE, RANGE_ENTROPY, RANGE_MSE };

/* "minmax", "percentile", "entropy", "mse". False for another word. */
bool range_method_parse(const char *name, enum range_method *ret);

/* The range [low, high] that 8 bits should represent. It always contains 0 (so that padding and Relu are
 * exact) and lies inside the values' own range. A tensor of zeros gives 0, 0. `percent` is used by
 * RANGE_PERCENTILE only. minmax: all of it. percentile: so that `percent` of the absolute values fit.
 * entropy: the threshold of least Kullback-Leibler divergence (Migacz 2017). mse: least mean squared error of
 * an affine 8-bit grid, rounding and clipping together (Nagel et al. 2021, section 3.1; both ends are
 * searched). */
void range_choose(const struct range_stats *s, enum range_method method, double percent, float *low,
                  float *high);

/* The absolute value that `percent` of the values do not pass; without bins the largest one. */
double range_reach(const struct range_stats *s, double percent);

/* True when the values cannot be quantized to any use: infinities or NaN among them, or two groups so far
 * from each other that 8 bits cannot hold both (masks added before a softmax). */
bool range_is_wrecked(const struct range_stats *s);

/* --- from a range to 8 bits --- */

struct range_params {
    float scale;        /* positive, finite */
    int32_t zero_point; /* 0..255 unsigned, -128..127 signed */
};

enum range_type { RANGE_UINT8, RANGE_INT8 };

/* Affine 8-bit parameters for [low, high], low <= 0 <= high: real = scale * (q - zero_point), 0 exactly
 * representable. */
struct range_params range_params_of(float low, float high, enum range_type type);
