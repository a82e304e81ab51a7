/* prune_permute.h -- in which order to put the inputs of layers so that an N:M pattern takes the least: the
 * pattern keeps n of every m neighbours, and who is whose neighbour is free (Pool & Yu 2021, "Channel
 * Permutations for N:M Sparsity"). */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

/* loss [columns, rows]: what it costs that weight (row, column) goes, 0 or more, column by column. Orders the
 * columns (a multiple of m) so that the sum of what n:m takes is small, by swaps of two columns of different
 * groups, each the best of the two groups, until none helps or `max_work` values have been compared. order
 * [columns]: the column that comes at each place. The same input gives the same order. Writes what the
 * pattern takes in the old and in the new order. RC_MEMORY. */
MUST_USE enum rc prune_permute(const float *loss, size_t rows, size_t columns, size_t n, size_t m,
                               uint64_t max_work, uint32_t *order, double *before, double *after,
                               struct err *err);
