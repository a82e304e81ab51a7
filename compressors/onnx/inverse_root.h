/* inverse_root.h -- what methods that correct errors by second-order information need of a layer's inputs. */
#pragma once

#include <stddef.h>

#include "core/base/err.h"

/* From h [n, n], the symmetric matrix of the inputs' second moments (the sum of x x^T, any positive scale),
 * to the upper triangular `root` [n, n] with (h + d I)^-1 = root^T root, zeros below the diagonal. d = `damp`
 * times the mean of the diagonal, ten times more as often as the matrix is not positive definite: as happens
 * when inputs depend on each other or were always zero and damp is 0. Both row-major; they may not
 * overlap. RC_INPUT: a moment is not finite or negative; RC_MEMORY. */
MUST_USE enum rc inverse_root(const double *h, size_t n, double damp, double *root, struct err *err);
