/* pivot_rows.h -- a matrix of low rank as some of its own rows, and the others as sums of those (Zhao et al.
 * 2025, PIFA): a matrix [d, k] of rank r takes r (d + k - r) numbers and operations instead of the r (d + k)
 * of two factors, fewer than d k at any r, and nothing more is lost. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "core/base/err.h"

/* Chooses the rows of left right that stand for themselves; left [rank, rows] is turned, as of
 * whitened_svd.h, rank <= rows. order [rows]: they come first, then the others. rest [rows - rank, rank]:
 * each of the others as a sum of them. The first `rank` rows stand for themselves where they can do so
 * without large factors, and *ordered says that order is 0, 1, 2 ...; otherwise those that a decomposition
 * with column pivoting takes (Businger & Golub 1965). RC_MEMORY; RC_INPUT for factors that are not finite. */
MUST_USE enum rc pivot_rows_choose(const double *left, size_t rows, size_t rank, size_t *order, double *rest,
                                   bool *ordered, struct err *err);
