/* Incomplete beta by its continued fraction (DiDonato and Morris 1992, eq. 8; evaluated by Lentz's method,
 * Thompson and Barnett 1986), on the side of the mean where it converges in O(sqrt(max(a, b))) steps. Normal
 * quantile by Acklam's rational approximation (2003) and one Halley step against erfc. Inverses by bisection,
 * safe for any shape. */
#include "core/stats/special.h"

#include <assert.h>
#include <math.h>

enum { FRACTION_STEPS = 100000, BISECTIONS = 200 };

/* log of x^a (1-x)^b / (a B(a,b)) */
static double beta_front(double a, double b, double x) {
    int sign = 0;
    double gammas = lgamma_r(a + b, &sign) - lgamma_r(a, &sign) - lgamma_r(b, &sign);
    return gammas + a * log(x) + b * log1p(-x) - log(a);
}

static double away_from_zero(double x) {
    static const double tiny = 1e-300;
    return fabs(x) < tiny ? tiny : x;
}

static double beta_fraction(double a, double b, double x) {
    double c = 1, d = 1 / away_from_zero(1 - (a + b) * x / (a + 1)), h = d;
    for (int m = 1; m <= FRACTION_STEPS; m++) {
        double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        d = 1 / away_from_zero(1 + even * d);
        c = away_from_zero(1 + even / c);
        h *= d * c;
        double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        d = 1 / away_from_zero(1 + odd * d);
        c = away_from_zero(1 + odd / c);
        h *= d * c;
        if (fabs(d * c - 1) < 1e-15) {
            break;
        }
    }
    return h;
}

double special_beta(double a, double b, double x) {
    assert(a > 0 && b > 0);
    if (!(x > 0)) {
        return 0;
    }
    if (x >= 1) {
        return 1;
    }
    if (x > (a + 1) / (a + b + 2)) {
        return 1 - exp(beta_front(b, a, 1 - x)) * beta_fraction(b, a, 1 - x);
    }
    return exp(beta_front(a, b, x)) * beta_fraction(a, b, x);
}

double special_beta_inverse(double a, double b, double p) {
    if (!(p > 0)) {
        return 0;
    }
    if (p >= 1) {
        return 1;
    }
    double low = 0, high = 1;
    for (int i = 0; i < BISECTIONS; i++) {
        double mid = 0.5 * (low + high);
        if (mid <= low || mid >= high) {
            break;
        }
        if (special_beta(a, b, mid) < p) {
            low = mid;
        } else {
            high = mid;
        }
    }
    return 0.5 * (low + high);
}

double special_normal_cdf(double z) {
    return 0.5 * erfc(-z * M_SQRT1_2);
}

/* Rational approximation for p <= 0.5, relative error 1.15e-9. */
static double normal_lower_half(double p) {
    static const double a[] = {-3.969683028665376e+01, 2.209460984245205e+02,  -2.759285104469687e+02,
                               1.383577518672690e+02,  -3.066479806614716e+01, 2.506628277459239e+00};
    static const double b[] = {-5.447609879822406e+01, 1.615858368580409e+02, -1.556989798598866e+02,
                               6.680131188771972e+01, -1.328068155288572e+01};
    static const double c[] = {-7.784894002430293e-03, -3.223964580411365e-01, -2.400758277161838e+00,
                               -2.549732539343734e+00, 4.374664141464968e+00,  2.938163982698783e+00};
    static const double d[] = {7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996e+00,
                               3.754408661907416e+00};
    static const double tail = 0.02425;
    if (p < tail) {
        double q = sqrt(-2 * log(p));
        return (((((c[0] * q + c[1]) * q + c[2]) * q + c[3]) * q + c[4]) * q + c[5]) /
               ((((d[0] * q + d[1]) * q + d[2]) * q + d[3]) * q + 1);
    }
    double q = p - 0.5, r = q * q;
    return (((((a[0] * r + a[1]) * r + a[2]) * r + a[3]) * r + a[4]) * r + a[5]) * q /
           (((((b[0] * r + b[1]) * r + b[2]) * r + b[3]) * r + b[4]) * r + 1);
}

double special_normal_quantile(double p) {
    if (!(p > 0)) {
        return -INFINITY;
    }
    if (p >= 1) {
        return INFINITY;
    }
    if (p > 0.5) {
        return -special_normal_quantile(1 - p);
    }
    double z = normal_lower_half(p);
    double e = special_normal_cdf(z) - p;
    double u = e * sqrt(2 * M_PI) * exp(0.5 * z * z);
    return z - u / (1 + 0.5 * z * u);
}

double special_t_cdf(double t, double df) {
    assert(df > 0);
    if (t == 0) {
        return 0.5;
    }
    double square = t * t;
    double tail = square > df ? 0.5 * special_beta(0.5 * df, 0.5, df / (df + square))
                              : 0.5 - 0.5 * special_beta(0.5, 0.5 * df, square / (df + square));
    return t > 0 ? 1 - tail : tail;
}

double special_t_quantile(double p, double df) {
    if (!(p > 0)) {
        return -INFINITY;
    }
    if (p >= 1) {
        return INFINITY;
    }
    if (p < 0.5) {
        return -special_t_quantile(1 - p, df);
    }
    double high = 1;
    while (special_t_cdf(high, df) < p && high < 1e12) {
        high *= 2;
    }
    double low = 0;
    for (int i = 0; i < BISECTIONS; i++) {
        double mid = 0.5 * (low + high);
        if (mid <= low || mid >= high) {
            break;
        }
        if (special_t_cdf(mid, df) < p) {
            low = mid;
        } else {
            high = mid;
        }
    }
    return 0.5 * (low + high);
}
