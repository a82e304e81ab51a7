/* The k-th smallest magnitude is found by counting: the bit pattern of a non-negative float orders like the
 * float, so two passes over 65,536 counters (upper, then lower 16 bits) find it exactly, in linear time
 * whatever the values are. */
#include "compressors/onnx/prune_pattern.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/vector.h"

enum { DIGITS = 1 << 16, BLOCK = 4096 };
static const uint32_t INFINITY_BITS = 0x7f800000;

static inline uint32_t magnitude(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof(bits));
    return bits & 0x7fffffff;
}

/* --- the least of all --- */

/* The digit of the k-th smallest (k >= 1) and how many have a smaller one. */
static uint32_t pick(const size_t *counts, size_t k, size_t *below) {
    *below = 0;
    for (uint32_t d = 0; d < DIGITS - 1; d++) {
        if (*below + counts[d] >= k) {
            return d;
        }
        *below += counts[d];
    }
    return DIGITS - 1;
}

VECTOR_LOOPS static uint32_t largest(const float *scores, size_t count) {
    uint32_t most = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t m = magnitude(scores[i]);
        most = m > most ? m : most;
    }
    return most;
}

static enum rc check_finite(const float *scores, size_t count, struct err *err) {
    if (largest(scores, count) < INFINITY_BITS) {
        return RC_OK;
    }
    size_t i = 0;
    while (magnitude(scores[i]) < INFINITY_BITS) {
        i++;
    }
    return err_set(err, RC_INPUT, "element %zu is not a finite number", i);
}

/* In blocks that the first cache holds, because each is read twice. */
static enum rc count_high(const struct prune_span *s, size_t *counts, struct err *err) {
    for (size_t first = 0; first < s->count; first += BLOCK) {
        size_t n = s->count - first < BLOCK ? s->count - first : BLOCK;
        const float *scores = s->scores + first;
        if (largest(scores, n) >= INFINITY_BITS) {
            return check_finite(s->scores, s->count, err);
        }
        for (size_t i = 0; i < n; i++) {
            counts[magnitude(scores[i]) >> 16]++;
        }
    }
    return RC_OK;
}

/* Few have the digit: a branch that is hardly ever taken costs less than adding 0. */
static void count_low(const struct prune_span *s, uint32_t high, size_t *counts) {
    for (size_t i = 0; i < s->count; i++) {
        uint32_t m = magnitude(s->scores[i]);
        if (m >> 16 == high) {
            counts[m & 0xffff]++;
        }
    }
}

VECTOR_LOOPS static void mark_reached(const float *scores, size_t count, uint32_t threshold, uint8_t *keep) {
    for (size_t i = 0; i < count; i++) {
        keep[i] = magnitude(scores[i]) >= threshold;
    }
}

/* What is below the threshold goes, and the first *equal of those that reach it. */
static void mark(const struct prune_span *s, uint32_t threshold, size_t *equal) {
    mark_reached(s->scores, s->count, threshold, s->keep);
    for (size_t i = 0; i<s->count && * equal> 0; i++) {
        if (magnitude(s->scores[i]) == threshold) {
            s->keep[i] = 0;
            (*equal)--;
        }
    }
}

enum rc prune_pattern_least_of(const struct prune_span *spans, size_t span_count, double ratio,
                               struct err *err) {
    size_t total = 0, below_high, below_low, equal;
    size_t *counts = calloc(DIGITS, sizeof(*counts));
    enum rc rc = counts ? RC_OK : err_memory(err);
    for (size_t s = 0; s < span_count && rc == RC_OK; s++) {
        total += spans[s].count;
        rc = count_high(&spans[s], counts, err);
    }
    size_t k = (size_t)((double)total * ratio);
    uint32_t threshold = 0;
    equal = 0;
    if (rc == RC_OK && k > 0) {
        uint32_t high = pick(counts, k, &below_high);
        memset(counts, 0, DIGITS * sizeof(*counts));
        for (size_t s = 0; s < span_count; s++) {
            count_low(&spans[s], high, counts);
        }
        threshold = high << 16 | pick(counts, k - below_high, &below_low);
        equal = k - below_high - below_low;
    }
    for (size_t s = 0; s < span_count && rc == RC_OK; s++) {
        mark(&spans[s], threshold, &equal);
    }
    free(counts);
    return rc;
}

enum rc prune_pattern_least(const float *scores, size_t count, double ratio, uint8_t *keep, struct err *err) {
    const struct prune_span span = {scores, count, keep};
    return prune_pattern_least_of(&span, 1, ratio, err);
}

/* --- N of M --- */

static void keep_largest(const float *scores, size_t n, size_t m, uint8_t *keep) {
    memset(keep, 0, m);
    for (size_t k = 0; k < n; k++) {
        size_t best = m;
        for (size_t i = 0; i < m; i++) {
            float a = isnan(scores[i]) ? -1 : fabsf(scores[i]);
            if (!keep[i] && (best == m || a >= fabsf(scores[best]) || isnan(scores[best]))) {
                best = i;
            }
        }
        keep[best] = 1;
    }
}

void prune_pattern_n_of_m(const float *scores, size_t rows, size_t columns, size_t n, size_t m,
                          uint8_t *keep) {
    assert(n <= m && m > 0 && columns % m == 0);
    for (size_t i = 0; i < rows * columns; i += m) {
        keep_largest(scores + i, n, m, keep + i);
    }
}

/* --- tiles --- */

static float tile_score(const float *scores, size_t columns, size_t block) {
    double sum = 0;
    for (size_t r = 0; r < block; r++) {
        for (size_t c = 0; c < block; c++) {
            double x = scores[r * columns + c];
            sum += x * x;
        }
    }
    return (float)sqrt(sum);
}

enum rc prune_pattern_tiles(const float *scores, size_t rows, size_t columns, size_t block, double ratio,
                            uint8_t *keep, struct err *err) {
    assert(rows % block == 0 && columns % block == 0);
    size_t across = columns / block, tiles = rows / block * across;
    float *tile_scores = malloc((tiles + 1) * sizeof(*tile_scores));
    uint8_t *tile_keep = calloc(tiles + 1, 1);
    enum rc rc = tile_scores && tile_keep ? RC_OK : err_memory(err);
    for (size_t t = 0; t < tiles && rc == RC_OK; t++) {
        tile_scores[t] =
            tile_score(scores + t / across * block * columns + t % across * block, columns, block);
    }
    rc = rc != RC_OK ? rc : prune_pattern_least(tile_scores, tiles, ratio, tile_keep, err);
    for (size_t i = 0; i < rows * columns && rc == RC_OK; i++) {
        keep[i] = tile_keep[i / columns / block * across + i % columns / block];
    }
    free(tile_scores);
    free(tile_keep);
    return rc;
}

/* --- by the shape --- */

bool prune_pattern_fits(const struct prune_pattern *p, size_t rows, size_t columns) {
    return p->shape == PRUNE_N_OF_M   ? columns % p->m == 0
           : p->shape == PRUNE_BLOCKS ? rows % p->block == 0 && columns % p->block == 0
                                      : true;
}

enum rc prune_pattern_mask(const struct prune_pattern *p, const float *scores, size_t rows, size_t columns,
                           uint8_t *keep, struct err *err) {
    enum rc rc = check_finite(scores, rows * columns, err);
    if (rc != RC_OK) {
        return rc;
    }
    switch (p->shape) {
    case PRUNE_N_OF_M:
        prune_pattern_n_of_m(scores, rows, columns, p->n, p->m, keep);
        return RC_OK;
    case PRUNE_BLOCKS:
        return prune_pattern_tiles(scores, rows, columns, p->block, p->ratio, keep, err);
    case PRUNE_ANYWHERE:
    default:
        return prune_pattern_least(scores, rows * columns, p->ratio, keep, err);
    }
}
