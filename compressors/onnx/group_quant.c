#include "compressors/onnx/group_quant.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/hqq.h"
#include "compressors/onnx/parallel.h"
#include "compressors/onnx/round_loops.h"
#include "core/base/checked.h"

enum { SHRINK_STEPS = 16, TILE_ROWS = 64 };
static const float shrink_least = 0.36F; /* of the range: below that more is cut off than gained */

enum rc group_quant_init(struct group_quant *q, const struct group_format *format, size_t rows,
                         size_t columns, struct err *err) {
    size_t count = 0, scales = 0, bytes = 0;
    memset(q, 0, sizeof(*q));
    q->format = *format;
    q->rows = rows;
    q->columns = columns;
    q->groups = columns / format->group + (columns % format->group != 0);
    if (checked_mul(rows, columns, &count) || checked_mul(rows, q->groups, &scales) ||
        checked_mul(scales, sizeof(float), &bytes) || count == SIZE_MAX) {
        return err_set(err, RC_TOO_LARGE, "the matrix is too large");
    }
    q->codes = calloc(count + 1, 1);
    q->scales = calloc(scales + 1, sizeof(float));
    q->zeros = calloc(scales + 1, 1);
    if (!q->codes || !q->scales || !q->zeros) {
        group_quant_release(q);
        return err_memory(err);
    }
    return RC_OK;
}

void group_quant_release(struct group_quant *q) {
    free(q->codes);
    free(q->scales);
    free(q->zeros);
    memset(q, 0, sizeof(*q));
}

/* --- one group --- */

static float top_code(unsigned bits) {
    return (float)((1U << bits) - 1);
}

uint8_t group_code(float w, float scale, uint8_t zero, unsigned bits) {
    return (uint8_t)round_code(w, round_inverse(scale), zero, top_code(bits));
}

static inline void cover(float low, float high, const struct group_format *f, float *scale, uint8_t *zero) {
    if (f->zero == GROUP_SYMMETRIC) {
        round_cover_symmetric(low, high, top_code(f->bits), scale, zero);
    } else {
        round_cover(low, high, top_code(f->bits), scale, zero);
    }
}

/* The least and the largest of w and 0. */
static void range_of(const float *w, size_t n, float *low, float *high) {
    (void)round_ranges(w, n, n, low, high);
}

void group_choose_range(const float *w, size_t n, const struct group_format *f, float *scale, uint8_t *zero) {
    float low = 0, high = 0;
    range_of(w, n, &low, &high);
    cover(low, high, f, scale, zero);
}

/* Sum of importance * error^2; in *best the scale that would be best for these codes. */
static float error_of(const float *w, const float *importance, size_t n, float scale, float zero, float top,
                      float *best) {
    float inverse = round_inverse(scale), error = 0, wc = 0, cc = 0;
    for (size_t i = 0; i < n; i++) {
        float d = importance ? importance[i] : 1;
        float c = round_code(w[i], inverse, zero, top) - zero, e = w[i] - scale * c;
        error += d * e * e;
        wc += d * w[i] * c;
        cc += d * c * c;
    }
    *best = cc > 0 ? wc / cc : scale;
    return error;
}

void group_choose_least(const float *w, const float *importance, size_t n, const struct group_format *f,
                        float *scale, uint8_t *zero) {
    float low = 0, high = 0, top = top_code(f->bits), least = INFINITY;
    range_of(w, n, &low, &high);
    cover(low, high, f, scale, zero);
    for (int i = 0; i < SHRINK_STEPS; i++) {
        float part = 1 - (1 - shrink_least) * (float)i / (SHRINK_STEPS - 1), s, refined, again;
        uint8_t z;
        cover(low * part, high * part, f, &s, &z);
        float error = error_of(w, importance, n, s, z, top, &refined);
        float refined_error = error_of(w, importance, n, refined, z, top, &again);
        if (refined_error < error) {
            error = refined_error;
            s = refined;
        }
        if (error < least) {
            least = error;
            *scale = s;
            *zero = z;
        }
    }
}

/* --- the whole matrix --- */

struct rounding {
    const float *w, *importance;
    size_t rows, first_row; /* of w; where they go */
    const struct group_quant *q;
    enum group_choice choice;
};

VECTOR_LOOPS static bool all_finite(const float *w, size_t n) {
    float low, high;
    return round_ranges(w, n, n, &low, &high);
}

VECTOR_LOOPS static bool ranges(const float *w, size_t n, size_t group, float *low, float *high) {
    return round_ranges(w, n, group, low, high);
}

VECTOR_LOOPS static void encode(const float *w, size_t n, size_t group, const float *scales,
                                const uint8_t *zeros, float top, uint8_t *codes) {
    round_encode(w, n, group, scales, zeros, top, codes);
}

VECTOR_LOOPS static void cover_all(const float *low, const float *high, size_t n,
                                   const struct group_format *f, float *scales, uint8_t *zeros) {
    float top = top_code(f->bits);
    if (f->zero == GROUP_SYMMETRIC) {
        for (size_t g = 0; g < n; g++) {
            round_cover_symmetric(low[g], high[g], top, &scales[g], &zeros[g]);
        }
        return;
    }
    for (size_t g = 0; g < n; g++) {
        round_cover(low[g], high[g], top, &scales[g], &zeros[g]);
    }
}

/* A row by its ranges, which is the common case, some groups at a time: their weights are in the first cache
 * when they are read again. False when one is not finite. */
static bool round_row(const float *w, const struct group_quant *q, float *scales, uint8_t *zeros,
                      uint8_t *codes) {
    const struct group_format *f = &q->format;
    float low[ROUND_GROUPS_MAX] = {0}, high[ROUND_GROUPS_MAX] = {0};
    for (size_t g = 0; g < q->groups; g += ROUND_GROUPS_MAX) {
        size_t first = g * f->group, left = q->columns - first;
        size_t groups = q->groups - g < ROUND_GROUPS_MAX ? q->groups - g : ROUND_GROUPS_MAX;
        size_t n = left < groups * f->group ? left : groups * f->group;
        if (!ranges(w + first, n, f->group, low, high)) {
            return false;
        }
        cover_all(low, high, groups, f, scales + g, zeros + g);
        encode(w + first, n, f->group, scales + g, zeros + g, top_code(f->bits), codes + first);
    }
    return true;
}

/* A row whose groups are searched for their scales. */
static bool search_row(const struct rounding *r, const float *w, float *scales, uint8_t *zeros,
                       uint8_t *codes) {
    const struct group_quant *q = r->q;
    const struct group_format *f = &q->format;
    if (!all_finite(w, q->columns)) {
        return false;
    }
    for (size_t g = 0, first = 0; g < q->groups; g++, first += f->group) {
        size_t n = q->columns - first < f->group ? q->columns - first : f->group;
        if (r->choice == GROUP_LEAST) {
            group_choose_least(w + first, r->importance ? r->importance + first : NULL, n, f, &scales[g],
                               &zeros[g]);
        } else {
            hqq_choose(w + first, n, f, &scales[g], &zeros[g]);
        }
    }
    encode(w, q->columns, f->group, scales, zeros, top_code(f->bits), codes);
    return true;
}

static enum rc round_tile(void *user, size_t tile, size_t thread, struct err *err) {
    const struct rounding *r = user;
    const struct group_quant *q = r->q;
    size_t end = (tile + 1) * TILE_ROWS < r->rows ? (tile + 1) * TILE_ROWS : r->rows;
    (void)thread;
    for (size_t row = tile * TILE_ROWS; row < end; row++) {
        const float *w = r->w + row * q->columns;
        size_t to = r->first_row + row;
        float *scales = q->scales + to * q->groups;
        uint8_t *zeros = q->zeros + to * q->groups, *codes = q->codes + to * q->columns;
        bool finite = r->choice == GROUP_RANGE ? round_row(w, q, scales, zeros, codes)
                                               : search_row(r, w, scales, zeros, codes);
        if (!finite) {
            return err_set(err, RC_INPUT, "a weight of output %zu is not a finite number", row);
        }
    }
    return RC_OK;
}

enum rc group_round_rows(const float *w, size_t rows, enum group_choice choice, const float *importance,
                         size_t threads, const struct group_quant *to, size_t first_row, struct err *err) {
    struct rounding r = {w, importance, rows, first_row, to, choice};
    assert(first_row + rows <= to->rows);
    return parallel_for(threads, (rows + TILE_ROWS - 1) / TILE_ROWS, round_tile, &r, err);
}

enum rc group_round(const float *w, size_t rows, size_t columns, const struct group_format *f,
                    enum group_choice choice, const float *importance, size_t threads,
                    struct group_quant *ret, struct err *err) {
    enum rc rc = group_quant_init(ret, f, rows, columns, err);
    if (rc != RC_OK) {
        return rc;
    }
    rc = group_round_rows(w, rows, choice, importance, threads, ret, 0, err);
    if (rc != RC_OK) {
        group_quant_release(ret);
    }
    return rc;
}
