/* ratio.h -- is a ratio of two positive figures shown to be above a margin? On the logarithmic scale, by
 * Student's t. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A positive figure measured with error. */
struct ratio_figure {
    double value;
    double log_error; /* standard error of log(value); 0 with freedom 0: taken as exact */
    uint32_t freedom;
};

struct ratio_bounds {
    double ratio, low, high; /* one-sided bounds at the confidence asked for */
    double p_above;          /* p-value of "ratio <= margin" against "ratio > margin" */
};

/* a / b of independent figures (Welch 1947; Satterthwaite's degrees of freedom, rounded down). */
void ratio_welch(const struct ratio_figure *a, const struct ratio_figure *b, double margin, double confidence,
                 struct ratio_bounds *ret);

/* a[i] / b[i] measured in the same rounds, n at least 2, all positive: geometric mean of the ratios, paired
 * t. */
void ratio_paired(const float *a, const float *b, size_t n, double margin, double confidence,
                  struct ratio_bounds *ret);
