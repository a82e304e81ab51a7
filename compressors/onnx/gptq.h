/* gptq.h -- rounds a matrix of weights so that its outputs, not its weights, change least (GPTQ: Frantar,
 * Ashkboos, Hoefler & Alistarh 2022, after Optimal Brain Surgeon).
 *
 * Columns are rounded one after another; what a column's rounding does to the outputs is made up for by the
 * columns that are still to come, through the Cholesky factor of the inverse Hessian (moments.h). Columns
 * with the largest second moments come first, group by group, so that each group's scale is chosen from the
 * weights as they are by then, and groups stay where the runtime expects them. Afterwards every code is
 * looked at again with all others fixed (coordinate descent: QuantEase, Behdin et al. 2023), and so is every
 * scale: both only ever lower the error. Weights that are zero stay zero, so that pruning comes first. */
#pragma once

#include <stddef.h>

#include "compressors/onnx/group_quant.h"
#include "core/base/err.h"

struct gptq_hessian; /* opaque: what several matrices with the same input share */

/* From products [columns, columns] (sum of x x^T). `damp` is added to the diagonal, as a part of its mean:
 * 0.01 in the paper; more where that is not enough (inverse_root.h). `group` as in the formats that will be
 * used. RC_INPUT: not finite or negative. Owned by the caller. */
MUST_USE enum rc gptq_hessian_new(const double *products, size_t columns, size_t group, double damp,
                                  struct gptq_hessian **ret, struct err *err);
void gptq_hessian_free(struct gptq_hessian *h); /* NULL is fine */

struct gptq_opts {
    struct group_format format;
    size_t sweeps;  /* of coordinate descent; 0: the paper's algorithm alone */
    size_t threads; /* changes no bit */
};

/* Rounds w [rows, columns]. RC_INPUT for weights that are not finite. */
MUST_USE enum rc gptq_round(const float *w, size_t rows, const struct gptq_hessian *h,
                            const struct gptq_opts *opts, struct group_quant *ret, struct err *err);

/* sum over rows of (w - v) H (w - v)^T, without damping, where v are the weights of q: the squared error of
 * the outputs over the calibration rows. For tests and for choosing. */
double gptq_error(const float *w, const struct group_quant *q, const double *products);
