/* mean_interval.h -- a mean of dependent samples, by non-overlapping batch means (Schmeiser 1982):
 * consecutive samples are put into at most 30 batches, whose means are nearly independent, and Student's t is
 * applied to them. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct mean_interval {
    double mean, low, high; /* one-sided bounds, each at the confidence asked for */
    double error;           /* standard error of the mean; 0 when unknown */
    uint32_t freedom;       /* batches - 1; 0: too few samples, low = high = mean and error = 0 */
};

/* `values` in the order of measurement; fewer than 20 give no bounds. n = 0 gives zeros. */
void mean_interval_of(const float *values, size_t n, double confidence, struct mean_interval *ret);
