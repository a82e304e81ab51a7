#include "compressors/onnx/group_quant.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/hqq.h"
#include "compressors/onnx/parallel.h"
#include "compressors/onnx/vector.h"
#include "core/base/checked.h"

enum { SHRINK_STEPS = 16, TILE_ROWS = 64 };
static const uint32_t EXPONENT_BITS = 0x7f800000;
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
    return scale == 0.0F ? zero : (uint8_t)group_nearest(w, 1.0F / scale, zero, top_code(bits));
}

/* The least and the largest of w and 0, in lanes. Compilers do not see a minimum of floats here, so it is
 * spelled out: a comparison, and a choice by its bits. */
typedef float float_lanes __attribute__((vector_size(4 * VECTOR_LANES)));
typedef int32_t int_lanes __attribute__((vector_size(4 * VECTOR_LANES)));

static inline void range_of(const float *w, size_t n, float *low, float *high) {
    float_lanes least = {0}, most = {0};
    size_t i = 0;
    for (; i + VECTOR_LANES <= n; i += VECTOR_LANES) {
        float_lanes x;
        memcpy(&x, w + i, sizeof(x));
        int_lanes below = x<least, above = x> most;
        least = (float_lanes)(((int_lanes)x & below) | ((int_lanes)least & ~below));
        most = (float_lanes)(((int_lanes)x & above) | ((int_lanes)most & ~above));
    }
    float l = 0, h = 0;
    for (; i < n; i++) {
        l = w[i] < l ? w[i] : l;
        h = w[i] > h ? w[i] : h;
    }
    for (size_t k = 0; k < VECTOR_LANES; k++) {
        l = least[k] < l ? least[k] : l;
        h = most[k] > h ? most[k] : h;
    }
    *low = l;
    *high = h;
}

static inline void cover(float low, float high, const struct group_format *f, float *scale, uint8_t *zero) {
    float top = top_code(f->bits);
    uint8_t half = (uint8_t)(1U << (f->bits - 1));
    if (f->zero == GROUP_SYMMETRIC) {
        *scale = (-low >= high ? low : high) / -(float)half;
        *zero = half;
        return;
    }
    *scale = (high - low) / top;
    *zero = *scale > 0 ? (uint8_t)group_nearest(-low, 1.0F / *scale, 0, top) : half;
}

void group_choose_range(const float *w, size_t n, const struct group_format *f, float *scale, uint8_t *zero) {
    float low, high;
    range_of(w, n, &low, &high);
    cover(low, high, f, scale, zero);
}

/* Sum of importance * error^2; in *best the scale that would be best for these codes. */
static float error_of(const float *w, const float *importance, size_t n, float scale, float zero, float top,
                      float *best) {
    float inverse = scale != 0 ? 1.0F / scale : 0, error = 0, wc = 0, cc = 0;
    for (size_t i = 0; i < n; i++) {
        float d = importance ? importance[i] : 1;
        float c = group_nearest(w[i], inverse, zero, top) - zero, e = w[i] - scale * c;
        error += d * e * e;
        wc += d * w[i] * c;
        cc += d * c * c;
    }
    *best = cc > 0 ? wc / cc : scale;
    return error;
}

void group_choose_least(const float *w, const float *importance, size_t n, const struct group_format *f,
                        float *scale, uint8_t *zero) {
    float low, high, top = top_code(f->bits), least = INFINITY;
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
    struct group_quant *q;
    enum group_choice choice;
};

VECTOR_LOOPS static bool all_finite(const float *w, size_t n) {
    uint32_t bad = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &w[i], sizeof(bits));
        bad |= (bits & EXPONENT_BITS) == EXPONENT_BITS; /* NaN and infinities */
    }
    return bad == 0;
}

static inline void encode(const float *w, size_t n, float scale, float zero, float top, uint8_t *codes) {
    float inverse = scale != 0 ? 1.0F / scale : 0;
    for (size_t i = 0; i < n; i++) {
        codes[i] = (uint8_t)(int32_t)group_nearest(w[i], inverse, zero, top);
    }
}

/* A row by its ranges: the common case, in one function so that all of it is vector code. */
VECTOR_LOOPS static void round_row(const float *w, const struct group_quant *q, float *scales, uint8_t *zeros,
                                   uint8_t *codes) {
    const struct group_format f = q->format;
    float top = top_code(f.bits);
    for (size_t g = 0, first = 0; g < q->groups; g++, first += f.group) {
        size_t n = q->columns - first < f.group ? q->columns - first : f.group;
        float low, high;
        range_of(w + first, n, &low, &high);
        cover(low, high, &f, &scales[g], &zeros[g]);
        encode(w + first, n, scales[g], zeros[g], top, codes + first);
    }
}

static void round_group(const struct rounding *r, size_t row, size_t g) {
    struct group_quant *q = r->q;
    const struct group_format *f = &q->format;
    size_t first = g * f->group, at = row * q->groups + g;
    size_t n = q->columns - first < f->group ? q->columns - first : f->group;
    const float *w = r->w + row * q->columns + first;
    if (r->choice == GROUP_LEAST) {
        group_choose_least(w, r->importance ? r->importance + first : NULL, n, f, &q->scales[at],
                           &q->zeros[at]);
    } else {
        hqq_choose(w, n, f, &q->scales[at], &q->zeros[at]);
    }
    encode(w, n, q->scales[at], q->zeros[at], top_code(f->bits), q->codes + row * q->columns + first);
}

static enum rc round_tile(void *user, size_t tile, size_t thread, struct err *err) {
    const struct rounding *r = user;
    struct group_quant *q = r->q;
    size_t end = (tile + 1) * TILE_ROWS < q->rows ? (tile + 1) * TILE_ROWS : q->rows;
    (void)thread;
    for (size_t row = tile * TILE_ROWS; row < end; row++) {
        if (!all_finite(r->w + row * q->columns, q->columns)) {
            return err_set(err, RC_INPUT, "a weight of output %zu is not a finite number", row);
        }
        if (r->choice == GROUP_RANGE) {
            round_row(r->w + row * q->columns, q, q->scales + row * q->groups, q->zeros + row * q->groups,
                      q->codes + row * q->columns);
        }
        for (size_t g = 0; r->choice != GROUP_RANGE && g < q->groups; g++) {
            round_group(r, row, g);
        }
    }
    return RC_OK;
}

enum rc group_round(const float *w, size_t rows, size_t columns, const struct group_format *f,
                    enum group_choice choice, const float *importance, size_t threads,
                    struct group_quant *ret, struct err *err) {
    struct rounding r = {w, importance, ret, choice};
    enum rc rc = group_quant_init(ret, f, rows, columns, err);
    if (rc != RC_OK) {
        return rc;
    }
    rc = parallel_for(threads, (rows + TILE_ROWS - 1) / TILE_ROWS, round_tile, &r, err);
    if (rc != RC_OK) {
        group_quant_release(ret);
    }
    return rc;
}
