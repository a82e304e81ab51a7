/* range.c -- the statistics; the choice of a range is in range_choose.c. */
#include "compressors/onnx/range.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    BLOCK = 1024,
    LANES = 8,
    TRASH = 8, /* cells behind the bins for values that belong in none: eight, because one would be a chain of
                  waits */
    EXPONENT_MIN = -126,
    MERGES_MAX = 12, /* after so many, all is in the bins 0 and -1 */
};

enum rc range_stats_init(struct range_stats *s, enum range_bins bins, struct err *err) {
    *s = (struct range_stats){.exponent = EXPONENT_MIN, .min = INFINITY, .max = -INFINITY};
    if (bins == RANGE_WITHOUT_BINS) {
        return RC_OK;
    }
    s->bins = calloc(RANGE_BINS + TRASH, sizeof(*s->bins));
    return s->bins ? RC_OK : err_memory(err);
}

void range_stats_release(struct range_stats *s) {
    free(s->bins);
    *s = (struct range_stats){0};
}

/* The smallest exponent at which |x| < RANGE_HALF * 2^exponent. */
static int exponent_for(float magnitude) {
    int exponent = 0;
    frexpf(magnitude, &exponent); /* magnitude < 2^exponent */
    exponent -= 11;               /* RANGE_HALF = 2^11 */
    return exponent < EXPONENT_MIN ? EXPONENT_MIN : exponent;
}

/* Merges bins until they are 2^exponent wide: k becomes floor(k / 2^shift). */
static void widen(struct range_stats *s, int exponent) {
    int shift = exponent - s->exponent;
    if (shift <= 0) {
        return;
    }
    shift = shift > MERGES_MAX ? MERGES_MAX : shift;
    for (int step = 0; step < shift; step++) {
        uint64_t merged[RANGE_BINS];
        memset(merged, 0, sizeof(merged));
        for (int k = -RANGE_HALF; k < RANGE_HALF; k++) {
            int half = k >= 0 ? k / 2 : -((1 - k) / 2);
            merged[half + RANGE_HALF] += s->bins[k + RANGE_HALF];
        }
        memcpy(s->bins, merged, sizeof(merged));
    }
    s->exponent = exponent;
}

struct block_summary {
    float min, max; /* INFINITY and -INFINITY without finite values */
    size_t finite, zeros;
};

static bool is_finite(float x) {
    return fabsf(x) <= FLT_MAX; /* false for NaN too; unlike isfinite it becomes vector code */
}

/* Lanes, so that the compiler may keep the partial results in one register. */
static struct block_summary summarise(const float *values, size_t n) {
    float min[LANES];
    float max[LANES];
    int32_t finite[LANES] = {0};
    int32_t zeros[LANES] = {0};
    for (size_t l = 0; l < LANES; l++) {
        min[l] = INFINITY;
        max[l] = -INFINITY;
    }
    for (size_t i = 0; i < n; i += LANES) {
        size_t lanes = n - i < LANES ? n - i : LANES;
        for (size_t l = 0; l < lanes; l++) {
            float x = values[i + l];
            bool ok = is_finite(x);
            float low = ok ? x : INFINITY;
            float high = ok ? x : -INFINITY;
            min[l] = low < min[l] ? low : min[l];
            max[l] = high > max[l] ? high : max[l];
            finite[l] += ok;
            zeros[l] += x == 0.0F;
        }
    }
    struct block_summary b = {INFINITY, -INFINITY, 0, 0};
    for (size_t l = 0; l < LANES; l++) {
        b.min = min[l] < b.min ? min[l] : b.min;
        b.max = max[l] > b.max ? max[l] : b.max;
        b.finite += (size_t)finite[l];
        b.zeros += (size_t)zeros[l];
    }
    return b;
}

/* All finite values must fit the bins. */
static void count_block(struct range_stats *s, const float *values, size_t n) {
    int32_t index[BLOCK];
    float inverse = ldexpf(1.0F, -s->exponent);
    for (size_t i = 0; i < n; i++) {
        bool counts = is_finite(values[i]) && values[i] != 0.0F;
        float bin = (counts ? values[i] : 0.0F) * inverse;
        int32_t truncated = (int32_t)bin;
        int32_t floored = truncated - (bin < (float)truncated);
        index[i] = counts ? floored + RANGE_HALF : RANGE_BINS + (int32_t)(i % TRASH);
    }
    for (size_t i = 0; i < n; i++) {
        s->bins[index[i]]++;
    }
}

static void add_sample(struct range_stats *s, const float *sample, size_t n) {
    struct block_summary b = summarise(sample, n);
    s->count += b.finite;
    s->zeros += b.zeros;
    if (s->bins && b.finite > 0) {
        widen(s, exponent_for(fmaxf(fabsf(b.min), fabsf(b.max))));
        count_block(s, sample, n);
    }
}

static void add_extremes(struct range_stats *s, const float *values, size_t n) {
    struct block_summary b = summarise(values, n);
    s->nonfinite += n - b.finite;
    s->min = b.min < s->min ? b.min : s->min;
    s->max = b.max > s->max ? b.max : s->max;
}

void range_stats_add(struct range_stats *s, const float *values, size_t n, size_t stride) {
    float sample[BLOCK];
    size_t filled = 0;
    for (size_t i = 0; i < n; i += BLOCK) {
        size_t block = n - i < BLOCK ? n - i : BLOCK;
        add_extremes(s, values + i, block);
        if (stride == 1) {
            add_sample(s, values + i, block);
        }
    }
    for (size_t i = 0; i < n && stride > 1; i += stride) {
        sample[filled++] = values[i];
        if (filled == BLOCK) {
            add_sample(s, sample, filled);
            filled = 0;
        }
    }
    add_sample(s, sample, filled);
}

void range_stats_merge(struct range_stats *s, const struct range_stats *other) {
    s->nonfinite += other->nonfinite;
    s->min = other->min < s->min ? other->min : s->min;
    s->max = other->max > s->max ? other->max : s->max;
    s->count += other->count;
    s->zeros += other->zeros;
    if (!s->bins || !other->bins) {
        return;
    }
    widen(s, other->exponent);
    /* Bins of `other` that are narrower go where widening it would put them. */
    int shift = s->exponent - other->exponent;
    shift = shift > MERGES_MAX ? MERGES_MAX : shift;
    for (int k = -RANGE_HALF; k < RANGE_HALF; k++) {
        int wide = k >= 0 ? k >> shift : -((-k - 1) >> shift) - 1;
        s->bins[wide + RANGE_HALF] += other->bins[k + RANGE_HALF];
    }
}
