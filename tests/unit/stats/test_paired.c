#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/stats/paired.h"
#include "core/stats/rng.h"
#include "core/stats/special.h"

static void close_to(double a, double b, double tolerance) {
    if (!(fabs(a - b) <= tolerance)) {
        print_error("%.10g is not %.10g\n", a, b);
        fail();
    }
}

/* Tango 1998, soft contact lenses (Miyanaga 1994): 44 pairs, one discordant, margin 0.1: Z = 1.709, p =
 * 0.044. */
static void score_matches_tango_lens_example(void **state) {
    (void)state;
    struct paired_counts c = {.both = 43, .only_variant = 0, .only_baseline = 1, .neither = 0};
    close_to(paired_score(&c, 1, -0.1), 1.709, 0.0005);
    close_to(paired_p_value(&c, 1, -0.1), 0.0437, 0.0005);
}

/* Fagerland, Lydersen and Laake, Statistical Analysis of Contingency Tables (2017), chapter 8: two-sided 95 %
 * score intervals. */
static void bounds_match_published_tango_intervals(void **state) {
    (void)state;
    struct paired_counts bentur = {.both = 1, .only_variant = 1, .only_baseline = 7, .neither = 12};
    close_to(paired_lower(&bentur, 1, 0.975), -0.517, 0.0005);
    close_to(paired_upper(&bentur, 1, 0.975), -0.026, 0.0005);
    struct paired_counts cavo = {.both = 59, .only_variant = 6, .only_baseline = 16, .neither = 80};
    close_to(paired_lower(&cavo, 1, 0.975), -0.1240, 0.00006);
    close_to(paired_upper(&cavo, 1, 0.975), -0.0054, 0.00006);
}

/* The factor at which theta = 0 is just not rejected is the end of Tang's score interval for the ratio (same
 * source). */
static double ratio_end(const struct paired_counts *c, double z) {
    double low = 0.001, high = 9;
    for (int i = 0; i < 100; i++) {
        double mid = 0.5 * (low + high);
        if (paired_score(c, mid, 0) > z) {
            low = mid;
        } else {
            high = mid;
        }
    }
    return low;
}

static void factor_matches_published_tang_ratio_intervals(void **state) {
    (void)state;
    double z = special_normal_quantile(0.975);
    struct paired_counts cavo = {.both = 59, .only_variant = 6, .only_baseline = 16, .neither = 80};
    close_to(ratio_end(&cavo, z), 0.7476, 0.00006);
    close_to(ratio_end(&cavo, -z), 0.9876, 0.00006);
    struct paired_counts bentur = {.both = 1, .only_variant = 1, .only_baseline = 7, .neither = 12};
    close_to(ratio_end(&bentur, z), 0.065, 0.0005);
    close_to(ratio_end(&bentur, -z), 0.907, 0.0005);
}

/* Tango's closed form for f = 1. */
static double tango_closed_form(const struct paired_counts *c, double delta) {
    double b = (double)c->only_variant, d = (double)c->only_baseline;
    double n = (double)(c->both + c->only_variant + c->only_baseline + c->neither);
    double A = 2 * n, B = -b - d + (2 * n - b + d) * delta, C = -d * delta * (1 - delta);
    double q21 = (sqrt(B * B - 4 * A * C) - B) / (2 * A);
    return (b - d - n * delta) / sqrt(n * (2 * q21 + delta * (1 - delta)));
}

static void score_equals_the_closed_form_for_factor_one(void **state) {
    (void)state;
    struct rng r;
    rng_seed(&r, 5);
    for (int i = 0; i < 3000; i++) {
        uint32_t size = i % 3 ? 40 : 4; /* small tables have empty cells */
        struct paired_counts c = {rng_below(&r, 10 * size), rng_below(&r, size), rng_below(&r, size),
                                  rng_below(&r, size) + 1};
        double delta = 0.9 * (2 * rng_uniform(&r) - 1);
        close_to(paired_score(&c, 1, delta), tango_closed_form(&c, delta), 1e-6);
    }
}

struct slice {
    const struct paired_counts *c;
    double f, delta, both;
};

static double log_likelihood(const struct slice *s, double only_variant, double p[4]) {
    p[0] = s->both;
    p[1] = only_variant;
    p[2] = (s->both * (1 - s->f) + only_variant - s->delta) / s->f;
    p[3] = 1 - p[0] - p[1] - p[2];
    const double n[4] = {(double)s->c->both, (double)s->c->only_variant, (double)s->c->only_baseline,
                         (double)s->c->neither};
    double sum = 0;
    for (int k = 0; k < 4; k++) {
        if (p[k] < -1e-12 || (p[k] <= 0 && n[k] > 0)) {
            return -1e30 + fmin(p[k], 0) * 1e20; /* leads back inside */
        }
        sum += n[k] > 0 ? n[k] * log(p[k]) : 0;
    }
    return sum;
}

static double best_of_slice(struct slice *s, double both, double p[4]) {
    s->both = both;
    double low = 0, high = 1;
    for (int i = 0; i < 100; i++) {
        double a = low + (high - low) / 3, b = high - (high - low) / 3;
        if (log_likelihood(s, a, p) < log_likelihood(s, b, p)) {
            low = a;
        } else {
            high = b;
        }
    }
    return log_likelihood(s, 0.5 * (low + high), p);
}

/* Maximises the constrained likelihood by a search over the two free shares, without any of the theory. */
static double searched_score(const struct paired_counts *c, double f, double delta) {
    struct slice s = {.c = c, .f = f, .delta = delta};
    double low = 0, high = 1, p[4];
    for (int i = 0; i < 100; i++) {
        double a = low + (high - low) / 3, b = high - (high - low) / 3;
        if (best_of_slice(&s, a, p) < best_of_slice(&s, b, p)) {
            low = a;
        } else {
            high = b;
        }
    }
    best_of_slice(&s, 0.5 * (low + high), p);
    double n = (double)(c->both + c->only_variant + c->only_baseline + c->neither);
    double variance = p[0] * (1 - f) * (1 - f) + p[1] + p[2] * f * f - delta * delta;
    return (paired_difference(c, f) - delta) / sqrt(variance / n);
}

static void score_equals_a_search_over_the_likelihood_for_any_factor(void **state) {
    (void)state;
    const struct paired_counts tables[] = {
        {90, 2, 3, 5}, {9400, 30, 50, 520}, {12, 5, 9, 4}, {40, 7, 1, 30}, {10, 3, 8, 2}};
    const double factors[] = {0.5, 0.9, 0.99, 1, 1.1}, deltas[] = {-0.2, -0.01, 0, 0.05};
    for (size_t t = 0; t < 5; t++) {
        for (size_t i = 0; i < 5; i++) {
            for (size_t j = 0; j < 4; j++) {
                double expected = searched_score(&tables[t], factors[i], deltas[j]);
                close_to(paired_score(&tables[t], factors[i], deltas[j]), expected,
                         1e-4 * (1 + fabs(expected)));
            }
        }
    }
}

static void bounds_invert_the_test(void **state) {
    (void)state;
    const struct paired_counts tables[] = {
        {9400, 30, 50, 520}, {50, 0, 0, 0}, {0, 0, 0, 7}, {43, 0, 1, 0}, {20, 9, 2, 1}};
    const double factors[] = {0.98, 1, 1.02};
    for (size_t t = 0; t < 5; t++) {
        for (size_t i = 0; i < 3; i++) {
            double low = paired_lower(&tables[t], factors[i], 0.95),
                   high = paired_upper(&tables[t], factors[i], 0.95);
            double estimate = paired_difference(&tables[t], factors[i]);
            assert_true(low <= estimate + 1e-9 && estimate <= high + 1e-9);
            assert_true(low >= -factors[i] - 1e-9 && high <= 1 + 1e-9);
            close_to(paired_p_value(&tables[t], factors[i], low), 0.05, 1e-5);
            close_to(1 - paired_p_value(&tables[t], factors[i], high), 0.05, 1e-5);
        }
    }
}

static void no_data_shows_nothing(void **state) {
    (void)state;
    struct paired_counts c = {0};
    assert_true(paired_p_value(&c, 0.99, 0) == 1);
    assert_int_equal(paired_needed(&c, 0.99, 0, 0.95), 0);
}

/* A true theta of exactly 0 may be called above 0 in 5 % of the trials. */
static double false_claims(double f, double baseline, double lost, uint32_t n, uint64_t seed) {
    struct rng r;
    rng_seed(&r, seed);
    double gained = f * baseline - (baseline - lost); /* so that P(variant) = f P(baseline) */
    int claims = 0, rounds = 4000;
    for (int i = 0; i < rounds; i++) {
        struct paired_counts c = {0};
        for (uint32_t j = 0; j < n; j++) {
            double x = rng_uniform(&r);
            if (x < baseline - lost) {
                c.both++;
            } else if (x < baseline) {
                c.only_baseline++;
            } else if (x < baseline + gained) {
                c.only_variant++;
            } else {
                c.neither++;
            }
        }
        claims += paired_p_value(&c, f, 0) <= 0.05;
    }
    return claims / (double)rounds;
}

static void false_claims_stay_near_alpha(void **state) {
    (void)state;
    double rates[] = {false_claims(0.99, 0.95, 0.02, 1000, 21), false_claims(0.95, 0.8, 0.06, 300, 22),
                      false_claims(0.98, 0.9, 0.05, 500, 23)};
    for (size_t i = 0; i < 3; i++) {
        assert_true(rates[i] > 0.03 && rates[i] < 0.066);
    }
}

static void needed_examples_would_decide(void **state) {
    (void)state;
    struct paired_counts c = {.both = 930, .only_variant = 5, .only_baseline = 11, .neither = 54};
    assert_true(paired_p_value(&c, 0.99, 0) > 0.05);
    uint64_t n = paired_needed(&c, 0.99, 0, 0.95);
    assert_true(n > 1000);
    double scale = (double)n / 1000;
    struct paired_counts more = {(uint64_t)(930 * scale), (uint64_t)(5 * scale), (uint64_t)(11 * scale),
                                 (uint64_t)(54 * scale)};
    close_to(paired_p_value(&more, 0.99, 0), 0.05, 0.01);
    struct paired_counts worse = {.both = 900, .only_variant = 0, .only_baseline = 50, .neither = 50};
    assert_int_equal(paired_needed(&worse, 0.99, 0, 0.95), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(score_matches_tango_lens_example),
        cmocka_unit_test(bounds_match_published_tango_intervals),
        cmocka_unit_test(factor_matches_published_tang_ratio_intervals),
        cmocka_unit_test(score_equals_the_closed_form_for_factor_one),
        cmocka_unit_test(score_equals_a_search_over_the_likelihood_for_any_factor),
        cmocka_unit_test(bounds_invert_the_test),
        cmocka_unit_test(no_data_shows_nothing),
        cmocka_unit_test(false_claims_stay_near_alpha),
        cmocka_unit_test(needed_examples_would_decide),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
