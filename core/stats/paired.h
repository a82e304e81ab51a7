/* paired.h -- non-inferiority for paired right/wrong data: theta = P(variant right) - f * P(baseline right).
 *
 * The score test of Tango (1998, Statistics in Medicine 17:891) for f = 1, and its extension to any factor f:
 * the four cells are a multinomial, the null hypothesis theta = delta is one linear constraint on it, so the
 * constrained maximum likelihood has the form p_k = n_k / (n + lambda (c_k - delta)) with c = (1 - f, 1, -f,
 * 0) for the cells (both, only variant, only baseline, neither), and Rao's score statistic (= Pearson's
 * chi-square at that maximum) is Z(delta) = (theta_hat - delta) / sqrt((sum c_k^2 p_k - delta^2) / n). With
 * delta = 0 it is the score test of Tang, Tang and Chan (2003) for the ratio
 * of correlated proportions. */
#pragma once

#include <stdint.h>

struct paired_counts {
    uint64_t both, only_variant, only_baseline, neither;
};

/* Point estimate of theta. All counts zero gives 0. */
double paired_difference(const struct paired_counts *c, double f);

/* Z(delta); positive where theta looks larger than delta. f in (0, 10], delta strictly between -f and 1 (with
 * n > 0). */
double paired_score(const struct paired_counts *c, double f, double delta);

/* One-sided p-value of "theta <= delta" against "theta > delta". 1 without data. */
double paired_p_value(const struct paired_counts *c, double f, double delta);

/* One-sided score bounds of theta at `confidence`, by inverting the test. -f and 1 without data. */
double paired_lower(const struct paired_counts *c, double f, double confidence);
double paired_upper(const struct paired_counts *c, double f, double confidence);

/* About how many pairs in all would show theta > delta at `confidence` if the observed shares persist; 0 when
 * they never would. */
uint64_t paired_needed(const struct paired_counts *c, double f, double delta, double confidence);
