/* A few scores are searched bit by bit: the bits of a non-negative float order like the float, so the upper
 * half of the threshold is found by counting how many upper halves are below a bound, bit after bit from the
 * highest; then its lower half among those that share the upper one. Each count is a short pass over 16-bit
 * numbers in a cache.
 *
 * Many scores are looked at once (after Floyd & Rivest 1975, algorithm 489): a sample tells two bounds
 * between which the threshold almost surely is; one pass counts what is below them and gathers the few
 * between. A sample that misleads, or many equal scores, cost time: then all are searched bit by bit. */
#include "compressors/onnx/prune_select.h"

#include <stdlib.h>

#include "compressors/onnx/prune_loops.h"

enum {
    NEAR_TOP = 4 << 7, /* upper halves: four octaves */
    MANY = 1 << 20,    /* scores for which sampling pays */
    SAMPLE = 1 << 16,  /* of them */
    MARGIN = 512,      /* in the sample: four standard deviations of the middle rank */
    ROOM_PART = 16     /* of the scores have room between the bounds: four times what is expected */
};

/* --- the loops --- */

VECTOR_LOOPS static int32_t largest(const float *x, size_t n) {
    return vector_largest(x, n);
}

VECTOR_LOOPS static void make_keys(const float *x, size_t n, int16_t *keys) {
    prune_keys(x, n, keys);
}

VECTOR_LOOPS static int16_t largest_key(const int16_t *keys, size_t n) {
    return prune_top(keys, n);
}

VECTOR_LOOPS static size_t count_below(const int16_t *keys, size_t n, int16_t bound) {
    return prune_count(keys, n, bound);
}

VECTOR_LOOPS static size_t find_lows(const float *x, const int16_t *keys, size_t n, int16_t key,
                                     int16_t *lows, size_t found) {
    return prune_lows(x, keys, n, key, lows, found);
}

VECTOR_LOOPS static void gather(const float *x, size_t n, int32_t low, int32_t high, struct prune_between *b,
                                float *out) {
    prune_gather(x, n, low, high, b, out);
}

VECTOR_LOOPS static void mark(const float *scores, size_t n, int32_t threshold, uint8_t *keep) {
    prune_mark(scores, n, threshold, keep);
}

VECTOR_LOOPS static size_t clear(const float *scores, size_t n, int32_t threshold, float *w) {
    return prune_clear(scores, n, threshold, w);
}

/* --- bit by bit --- */

/* RC_INPUT, with the place of the first score that is not finite. */
static enum rc refuse(const struct prune_span *spans, size_t span_count, struct err *err) {
    for (size_t s = 0; s < span_count; s++) {
        for (size_t i = 0; i < spans[s].count; i++) {
            if (vector_magnitude(spans[s].scores[i]) >= FLOAT_INFINITY) {
                return err_set(err, RC_INPUT, "element %zu is not a finite number", i);
            }
        }
    }
    return err_set(err, RC_INPUT, "an element is not a finite number");
}

/* The k-th smallest key (k >= 1), which is in low .. high. *below: how many are below `low`, and then below
 * the result. */
static int16_t kth_key(const int16_t *keys, size_t n, size_t k, int32_t low, int32_t high, size_t *below) {
    while (low < high) {
        int32_t middle = low + (high - low + 1) / 2;
        size_t count = count_below(keys, n, (int16_t)middle);
        if (count < k) {
            low = middle;
            *below = count;
        } else {
            high = middle - 1;
        }
    }
    return (int16_t)low;
}

/* The same, of all upper halves up to `top`. It is mostly not far below. */
static int16_t kth_high(const int16_t *keys, size_t n, size_t k, int32_t top, size_t *below) {
    int32_t near = top > NEAR_TOP ? top - NEAR_TOP : 0;
    *below = count_below(keys, n, (int16_t)near);
    if (*below < k) {
        return kth_key(keys, n, k, near, top, below);
    }
    *below = 0;
    return kth_key(keys, n, k, 0, near - 1, below);
}

static size_t count_equal(const int16_t *keys, size_t n, int16_t key) {
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): find_lows wrote them */
        count += keys[i] == key;
    }
    return count;
}

/* keys: those of all spans, which are overwritten; top: the largest. */
static struct prune_cut cut_by_keys(const struct prune_span *spans, size_t span_count, int16_t *keys,
                                    size_t total, int32_t top, size_t k) {
    size_t below_high, below_low = 0, found = 0, at = 0;
    int16_t high = kth_high(keys, total, k, top, &below_high);
    for (size_t s = 0; s < span_count; s++) {
        for (size_t first = 0, n; first < spans[s].count; first += n, at += n) {
            n = spans[s].count - first < PRUNE_GATHER ? spans[s].count - first : PRUNE_GATHER;
            found = find_lows(spans[s].scores + first, keys + at, n, high, keys, found);
        }
    }
    int16_t low = kth_key(keys, found, k - below_high, INT16_MIN, INT16_MAX, &below_low);
    struct prune_cut cut = {high * (1 << 16) + (low - INT16_MIN), k - below_high - below_low};
    if (cut.equal == count_equal(keys, found, low)) { /* all of them go */
        cut = (struct prune_cut){cut.threshold + 1, 0};
    }
    return cut;
}

static enum rc search(const struct prune_span *spans, size_t span_count, size_t total, size_t k,
                      struct prune_cut *ret, struct err *err) {
    int16_t *keys = malloc((total + 1) * sizeof(*keys)), top;
    size_t at = 0;
    if (!keys) {
        return err_memory(err);
    }
    keys[0] = 0;
    for (size_t s = 0; s < span_count; at += spans[s].count, s++) {
        make_keys(spans[s].scores, spans[s].count, keys + at);
    }
    top = largest_key(keys, total);
    *ret = (struct prune_cut){0, 0};
    if (top < FLOAT_INFINITY >> 16 && k > 0) {
        *ret = cut_by_keys(spans, span_count, keys, total, top, k);
    }
    free(keys);
    return top < FLOAT_INFINITY >> 16 ? RC_OK : err_set(err, RC_INPUT, "not finite");
}

/* --- by a sample --- */

struct bounds {
    int32_t low, high; /* low .. high - 1 */
};

/* One score of every so many, at a place that no period in the scores agrees with. */
static void take_sample(const struct prune_span *spans, size_t total, float *sample) {
    size_t stride = total / SAMPLE, before = 0;
    uint32_t place = 1;
    for (size_t i = 0; i < SAMPLE; i++) {
        place = place * 1664525u + 1013904223u;
        size_t at = i * stride + (place >> 8) % stride;
        for (; at - before >= spans->count; spans++) {
            before += spans->count;
        }
        sample[i] = spans->scores[at - before];
    }
}

static enum rc bounds_of(const struct prune_span *spans, size_t total, size_t k, struct bounds *ret,
                         struct err *err) {
    float *sample = malloc(SAMPLE * sizeof(*sample));
    const struct prune_span all = {sample, SAMPLE, NULL};
    size_t rank = (size_t)((double)k / (double)total * SAMPLE);
    struct prune_cut cut = {0, 0};
    enum rc rc = sample ? RC_OK : err_memory(err);
    *ret = (struct bounds){0, FLOAT_INFINITY};
    if (rc == RC_OK) {
        take_sample(spans, total, sample);
    }
    if (rc == RC_OK && rank > MARGIN) {
        rc = search(&all, 1, SAMPLE, rank - MARGIN, &cut, err);
        ret->low = cut.threshold;
    }
    if (rc == RC_OK && rank + MARGIN < SAMPLE) {
        rc = search(&all, 1, SAMPLE, rank + MARGIN, &cut, err);
        ret->high = cut.threshold + 1;
    }
    free(sample);
    return rc;
}

/* *found: the threshold was between the bounds. */
static enum rc look_between(const struct prune_span *spans, size_t span_count, size_t total, size_t k,
                            struct bounds bounds, struct prune_cut *ret, bool *found, struct err *err) {
    size_t room = total / ROOM_PART;
    float *between = malloc((room + PRUNE_GATHER) * sizeof(*between));
    struct prune_between b = {0, 0, 0};
    if (!between) {
        return err_memory(err);
    }
    for (size_t s = 0; s < span_count; s++) {
        for (size_t first = 0; first < spans[s].count && b.found <= room; first += PRUNE_GATHER) {
            size_t left = spans[s].count - first, n = left < PRUNE_GATHER ? left : PRUNE_GATHER;
            gather(spans[s].scores + first, n, bounds.low, bounds.high, &b, between);
        }
    }
    const struct prune_span few = {between, b.found, NULL};
    enum rc rc = b.most < FLOAT_INFINITY ? RC_OK : err_set(err, RC_INPUT, "not finite");
    *found = b.found <= room && k > b.below && k - b.below <= b.found;
    if (rc == RC_OK && *found) {
        rc = search(&few, 1, b.found, k - b.below, ret, err);
    }
    free(between);
    return rc;
}

static enum rc search_many(const struct prune_span *spans, size_t span_count, size_t total, size_t k,
                           struct prune_cut *ret, struct err *err) {
    struct bounds bounds;
    bool found = false;
    enum rc rc = bounds_of(spans, total, k, &bounds, err);
    rc = rc != RC_OK ? rc : look_between(spans, span_count, total, k, bounds, ret, &found, err);
    return rc != RC_OK || found ? rc : search(spans, span_count, total, k, ret, err);
}

enum rc prune_select(const struct prune_span *spans, size_t span_count, size_t k, struct prune_cut *ret,
                     struct err *err) {
    size_t total = 0;
    for (size_t s = 0; s < span_count; s++) {
        total += spans[s].count;
    }
    enum rc rc = total >= MANY && k > 0 ? search_many(spans, span_count, total, k, ret, err)
                                        : search(spans, span_count, total, k, ret, err);
    return rc == RC_INPUT ? refuse(spans, span_count, err) : rc;
}

enum rc prune_check_finite(const float *scores, size_t count, struct err *err) {
    const struct prune_span all = {scores, count, NULL};
    return largest(scores, count) < FLOAT_INFINITY ? RC_OK : refuse(&all, 1, err);
}

/* --- the cut --- */

void prune_cut_mark(struct prune_cut *cut, const float *scores, size_t count, uint8_t *keep) {
    mark(scores, count, cut->threshold, keep);
    for (size_t i = 0; i < count && cut->equal > 0; i++) {
        if (vector_magnitude(scores[i]) == cut->threshold) {
            keep[i] = 0;
            cut->equal--;
        }
    }
}

size_t prune_cut_clear(struct prune_cut *cut, const float *scores, size_t count, float *w) {
    for (size_t i = 0; i < count && cut->equal > 0; i++) { /* first: the scores may be the weights */
        if (vector_magnitude(scores[i]) == cut->threshold) {
            w[i] = 0;
            cut->equal--;
        }
    }
    return clear(scores, count, cut->threshold, w);
}
