/* whitened_svd.h -- the best product of two thin matrices in place of a layer's weights, judged by the
 * layer's output on its inputs (SVD-LLM: Wang et al. 2024, theorem 3.2). */
#pragma once

#include <stddef.h>

#include "core/base/err.h"

/* Of one layer y = W x: its directions of output, the strongest first. */
struct whitened_svd {
    size_t rows, columns, rank; /* rank: min(rows, columns) */
    double *energies; /* [rank]: squared singular values of W L, where h = L L^T; falling, none below 0 */
    double *left;     /* [rank, rows]: direction i of the outputs at left + i * rows */
    double *right;    /* [rank, columns]: left[i]^T W at right + i * columns */
};

/* w [rows, columns], h [columns, columns] the inputs' second moments, to whose diagonal `damp` times its mean
 * is added. The product of the first r directions, sum over i < r of left[i] right[i]^T, is the matrix W' of
 * rank r for which trace((W - W') h (W - W')^T) is least; that is the sum of the energies from r on. Each
 * pair is scaled so that both parts are equally large on these inputs: left[i] by the fourth root of the
 * energy, right[i] by its inverse. Released with whitened_svd_release. RC_INPUT: moments that are not finite;
 * RC_MEMORY. */
MUST_USE enum rc whitened_svd_make(const double *w, size_t rows, size_t columns, const double *h, double damp,
                                   struct whitened_svd *ret, struct err *err);
void whitened_svd_release(struct whitened_svd *s); /* zeroed is fine */
