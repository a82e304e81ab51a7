#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/stats/special.h"

static void near(double a, double b, double tolerance) {
    if (!(fabs(a - b) <= tolerance * fmax(1e-300, fabs(b)))) {
        print_error("%.17g is not %.17g\n", a, b);
        fail();
    }
}

static void beta_matches_closed_forms(void **state) {
    (void)state;
    near(special_beta(0.5, 0.5, 0.5), 0.5, 1e-13);
    near(special_beta(0.5, 0.5, 0.25), 1.0 / 3, 1e-13); /* 2/pi asin(sqrt(x)) */
    near(special_beta(2, 3, 0.2), 0.1808, 1e-13);
    for (int i = 1; i < 20; i++) {
        double x = i / 20.0;
        near(special_beta(3.5, 1, x), pow(x, 3.5), 1e-12);
        near(special_beta(1, 4.25, x), 1 - pow(1 - x, 4.25), 1e-12);
        near(special_beta(7, 11, x) + special_beta(11, 7, 1 - x), 1, 1e-13);
    }
    assert_true(special_beta(2, 2, 0) == 0 && special_beta(2, 2, 1) == 1);
}

/* P(X <= k), X ~ Binomial(n, p), summed term by term in logarithms. */
static double summed(int k, int n, double p) {
    double sum = 0;
    for (int i = 0; i <= k; i++) {
        sum +=
            exp(lgamma(n + 1.0) - lgamma(i + 1.0) - lgamma(n - i + 1.0) + i * log(p) + (n - i) * log1p(-p));
    }
    return sum;
}

static void beta_equals_the_summed_binomial(void **state) {
    (void)state;
    const int sizes[] = {1, 5, 37, 400, 5000};
    const double shares[] = {0.001, 0.05, 0.5, 0.93};
    for (size_t s = 0; s < 5; s++) {
        for (size_t j = 0; j < 4; j++) {
            int n = sizes[s];
            for (int k = 0; k < n; k += 1 + n / 17) {
                double expected = summed(k, n, shares[j]);
                double tolerance =
                    1e-10 + 1e-14 / fmax(expected, 1e-14); /* the tail is 1 - something on the far side */
                assert_true(fabs(special_beta(n - k, k + 1, 1 - shares[j]) - expected) <
                            tolerance * fmax(expected, 1e-13));
            }
        }
    }
}

static void beta_inverse_undoes_beta(void **state) {
    (void)state;
    const double shapes[] = {0.5, 1, 3, 40, 9500};
    for (size_t a = 0; a < 5; a++) {
        for (size_t b = 0; b < 5; b++) {
            for (int i = 1; i < 10; i++) {
                double x = special_beta_inverse(shapes[a], shapes[b], i / 10.0);
                assert_true(fabs(special_beta(shapes[a], shapes[b], x) - i / 10.0) < 1e-9);
            }
        }
    }
    assert_true(special_beta_inverse(2, 3, 0) == 0 && special_beta_inverse(2, 3, 1) == 1);
}

static void normal_matches_tables(void **state) {
    (void)state;
    near(special_normal_quantile(0.975), 1.959963984540054, 1e-13);
    near(special_normal_quantile(0.95), 1.6448536269514722, 1e-13);
    near(special_normal_quantile(1e-10), -6.361340902404056, 1e-12);
    near(special_normal_quantile(0.5 + 1e-6), 2.506628274631e-6, 1e-6);
    near(special_normal_cdf(-1), 0.15865525393145705, 1e-14);
    near(special_normal_cdf(-8), 6.220960574271785e-16, 1e-12);
    assert_true(isinf(special_normal_quantile(0)) && isinf(special_normal_quantile(1)));
    for (int i = 1; i < 1000; i++) {
        near(special_normal_cdf(special_normal_quantile(i / 1000.0)), i / 1000.0, 1e-13);
    }
}

static void student_t_matches_tables(void **state) {
    (void)state;
    near(special_t_quantile(0.975, 1), 12.706204736432095, 1e-9);
    near(special_t_quantile(0.95, 4), 2.13184678632665, 1e-9);
    near(special_t_quantile(0.95, 10), 1.8124611228107335, 1e-9);
    near(special_t_quantile(0.975, 30), 2.0422724563012373, 1e-9);
    near(special_t_quantile(0.05, 10), -1.8124611228107335, 1e-9);
    near(special_t_quantile(0.975, 1e7), 1.959963984540054, 1e-6);
    near(special_t_cdf(1, 1), 0.75, 1e-12);
    near(special_t_cdf(-1, 1), 0.25, 1e-12);
    near(special_t_cdf(0.001, 3), 0.5 + 0.001 * 0.36755259694786, 1e-7); /* density at 0: 2 / (pi sqrt(3)) */
    assert_true(special_t_cdf(0, 5) == 0.5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(beta_matches_closed_forms), cmocka_unit_test(beta_equals_the_summed_binomial),
        cmocka_unit_test(beta_inverse_undoes_beta),  cmocka_unit_test(normal_matches_tables),
        cmocka_unit_test(student_t_matches_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
