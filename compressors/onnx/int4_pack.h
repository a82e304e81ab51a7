/* int4_pack.h -- a matrix of weights as 4-bit groups, packed as com.microsoft.MatMulNBits expects. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

/* [rows, columns] weights: rows = outputs (N), columns = reduction (K), element (n, k) at data[n * row_stride
 * + k * column_stride]. */
struct int4_matrix {
    const float *data;
    size_t rows, columns, row_stride, column_stride;
    float factor; /* every weight is multiplied by this first (Gemm's alpha) */
};

/* weight = scale * (q - zero_point), q in 0..15; without zero points 8. groups = ceil(columns / group) a row.
 */
struct int4_packed {
    size_t groups;
    uint8_t *quants; /* [rows, groups, group / 2]: q of column 2i in the low half of byte i; the last group is
                        filled with zero points */
    float *scales;   /* [rows, groups] */
    uint8_t *zero_points; /* [rows, ceil(groups / 2)], the even group in the low half; NULL when symmetric */
    size_t quant_bytes, scale_count, zero_bytes;
};

enum int4_zero { INT4_SYMMETRIC, INT4_ASYMMETRIC };

/* Rounds to nearest. Released with int4_release. RC_INPUT for weights that are not finite; RC_TOO_LARGE;
 * RC_MEMORY. */
MUST_USE enum rc int4_pack(const struct int4_matrix *m, size_t group, enum int4_zero zero,
                           struct int4_packed *ret, struct err *err);
void int4_release(struct int4_packed *p);

/* The weight that (row, column) stands for now: the scalar reference of the runtime's kernels, for tests. */
float int4_value(const struct int4_packed *p, size_t group, size_t row, size_t column);
