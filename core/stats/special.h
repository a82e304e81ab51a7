/* special.h -- the distribution functions that the tests rest on. Relative error about 1e-12, for very large
 * arguments 1e-9. */
#pragma once

/* Regularised incomplete beta function I_x(a, b), a and b above 0, x in [0, 1]. */
double special_beta(double a, double b, double x);
/* x with I_x(a, b) = p, p in [0, 1]. */
double special_beta_inverse(double a, double b, double p);

double special_normal_cdf(double z);
/* -INFINITY for p <= 0, INFINITY for p >= 1. */
double special_normal_quantile(double p);

/* Student's t with df > 0 degrees of freedom (need not be whole). */
double special_t_cdf(double t, double df);
double special_t_quantile(double p, double df);
