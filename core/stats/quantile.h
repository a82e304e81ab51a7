/* quantile.h -- sample quantiles. The q-quantile is the smallest sample with at least a share q of all
 * samples at or below it (the inverse of the empirical distribution: nearest rank, type 1 of Hyndman and Fan
 * 1996): always a value that occurred. */
#pragma once

#include <stddef.h>

/* Ascending; no NaN among the values. */
void quantile_sort(float *values, size_t n);
void quantile_sort_double(double *values, size_t n);

/* Rank (1 .. n) of the q-quantile of n values, n at least 1, q in (0, 1]. */
size_t quantile_rank(size_t n, double q);

/* q-quantile of n ascending values. */
float quantile_of(const float *sorted, size_t n, double q);

/* The value of rank `rank` (1 .. n); partially reorders the values (Hoare's selection, median of three). */
double quantile_select(double *values, size_t n, size_t rank);
