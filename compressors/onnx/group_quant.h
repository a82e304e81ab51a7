/* group_quant.h -- a matrix of weights as codes of 2 to 8 bits in groups along the reduction, and rounding to
 * nearest into it.
 *
 *   weight(row, column) = scale * (code - zero), scale and zero of the group column / group of that row */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

enum group_zero {
    GROUP_SYMMETRIC,
    GROUP_ASYMMETRIC
}; /* zero = half of the codes, or chosen for each group */

struct group_format {
    unsigned bits; /* 2 to 8 */
    size_t group;  /* weights that share a scale, at least 1; the last group of a row may be shorter */
    enum group_zero zero;
};

/* [rows, columns]: rows are outputs, columns the reduction. */
struct group_quant {
    struct group_format format;
    size_t rows, columns, groups; /* groups of a row: ceil(columns / group) */
    uint8_t *codes;               /* [rows, columns] */
    float *scales;                /* [rows, groups] */
    uint8_t *zeros;               /* [rows, groups] */
};

/* All codes, scales and zeros 0. Released with group_quant_release. RC_TOO_LARGE, RC_MEMORY. */
MUST_USE enum rc group_quant_init(struct group_quant *q, const struct group_format *format, size_t rows,
                                  size_t columns, struct err *err);
void group_quant_release(struct group_quant *q); /* a zeroed one is fine */

/* Scale and zero of one group of n weights whose range from least to largest, widened to hold 0, is covered
 * by the codes, as round-to-nearest does everywhere (ggml's Q4_0 and Q4_1, MLAS). Symmetric: the value of
 * largest magnitude becomes the lowest code, the one without a positive partner. Finite weights only. */
void group_choose_range(const float *w, size_t n, const struct group_format *f, float *scale, uint8_t *zero);

/* The same, but of the ranges between that one and `least` of it the one whose rounded weights have the least
 * sum of importance * error^2, and then the best scale for those codes (least squares). `importance` [n] is
 * not negative; NULL: all 1. */
void group_choose_least(const float *w, const float *importance, size_t n, const struct group_format *f,
                        float *scale, uint8_t *zero);

/* The code nearest to w. */
uint8_t group_code(float w, float scale, uint8_t zero, unsigned bits);

enum group_choice { GROUP_RANGE, GROUP_LEAST, GROUP_HALF_QUADRATIC /* hqq.h */ };

/* Rounds w [rows, columns] to nearest, on `threads` threads. `importance` [columns] or NULL. RC_INPUT for
 * weights that are not finite. */
MUST_USE enum rc group_round(const float *w, size_t rows, size_t columns, const struct group_format *f,
                             enum group_choice choice, const float *importance, size_t threads,
                             struct group_quant *ret, struct err *err);

/* The same into rows first_row and on of `to`, which was initialised with its format. */
MUST_USE enum rc group_round_rows(const float *w, size_t rows, enum group_choice choice,
                                  const float *importance, size_t threads, const struct group_quant *to,
                                  size_t first_row, struct err *err);

/* The weight that (row, column) stands for. */
static inline float group_value(const struct group_quant *q, size_t row, size_t column) {
    size_t at = row * q->groups + column / q->format.group;
    return q->scales[at] * (float)(q->codes[row * q->columns + column] - q->zeros[at]);
}
