#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/stats/rng.h"
#include "core/stats/sequential.h"
#include "core/stats/special.h"

enum { PATHS = 6000, WHOLE_PATHS = 2000 };

/* The factor of Student's standard error at each look, so that a simulation does not invert t millions of
 * times. */
static void reaches(double confidence, double reach[SEQUENTIAL_LAST + 1]) {
    double look = sequential_look_confidence(confidence);
    for (size_t n = SEQUENTIAL_FIRST; n <= SEQUENTIAL_LAST; n++) {
        reach[n] = special_t_quantile(look, (double)(n - 1));
    }
}

typedef double draw_value(struct rng *r);

static double draw_normal(struct rng *r) {
    return rng_normal(r);
}

/* Student's t with 3 degrees of freedom: heavy tails. */
static double draw_heavy(struct rng *r) {
    double chi = 2 * rng_gamma(r, 1.5);
    return rng_normal(r) / sqrt(chi / 3);
}

/* One replicate in ten is disturbed, either way. */
static double draw_disturbed(struct rng *r) {
    return rng_normal(r) * (rng_uniform(r) < 0.1 ? 10 : 1);
}

struct run {
    double mean, squares;
    size_t n;
};

static double run_add(struct run *p, double x) {
    double off = x - p->mean;
    p->n++;
    p->mean += off / (double)p->n;
    p->squares += off * (x - p->mean);
    return p->n > 1 ? sqrt(p->squares / (double)(p->n - 1) / (double)p->n) : 0;
}

/* The share of paths on which Student's lower bound alone ever passes the true mean. */
static double ever_wrong(draw_value *draw, double confidence, uint64_t seed, int paths) {
    double reach[SEQUENTIAL_LAST + 1];
    struct rng r;
    int wrong = 0;
    reaches(confidence, reach);
    rng_seed(&r, seed);
    for (int k = 0; k < paths; k++) {
        struct run p = {0};
        bool crossed = false;
        while (p.n < SEQUENTIAL_LAST && !crossed) {
            double error = run_add(&p, draw(&r));
            crossed = p.n >= SEQUENTIAL_FIRST && p.mean - reach[p.n] * error > 0;
        }
        wrong += crossed;
    }
    return (double)wrong / paths;
}

static void peeking_after_every_value_keeps_the_error_rate(void **state) {
    (void)state;
    double wrong = ever_wrong(draw_normal, 0.95, 11, 4 * PATHS);
    assert_true(wrong < 0.05 + 4 * sqrt(0.05 * 0.95 / (4 * PATHS)));
    assert_true(wrong > 0.05 - 4 * sqrt(0.05 * 0.95 / (4 * PATHS))); /* exact, not merely safe */
    assert_true(ever_wrong(draw_normal, 0.90, 12, PATHS) < 0.10 + 4 * sqrt(0.1 * 0.9 / PATHS));
    assert_true(ever_wrong(draw_normal, 0.99, 13, PATHS) < 0.01 + 4 * sqrt(0.01 * 0.99 / PATHS));
}

static void symmetric_heavy_tails_do_not_raise_the_error_rate(void **state) {
    (void)state;
    assert_true(ever_wrong(draw_heavy, 0.95, 14, PATHS) < 0.055);
    assert_true(ever_wrong(draw_disturbed, 0.95, 15, PATHS) < 0.055);
}

/* One replicate in ten takes much longer; the mean is 0, the median below. */
static double draw_lopsided(struct rng *r) {
    return rng_normal(r) + (rng_uniform(r) < 0.1 ? 10 : 0) - 1;
}

static double draw_lopsided_the_other_way(struct rng *r) {
    return -draw_lopsided(r);
}

static double draw_exponential(struct rng *r) {
    return 1 - rng_gamma(r, 1);
}

/* Either of two values, with a little noise. */
static double draw_two_points(struct rng *r) {
    return (rng_below(r, 2) ? 1 : -1) + 0.01 * rng_normal(r);
}

static void lopsided_replicates_deceive_student(void **state) {
    (void)state;
    assert_true(ever_wrong(draw_lopsided_the_other_way, 0.95, 17, PATHS) > 0.3);
    assert_true(ever_wrong(draw_exponential, 0.95, 18, PATHS) > 0.15);
}

/* The chance that the sign test's bound is wrong at any look, exactly: the walk of how many values lie on the
 * wrong side of the median, of which each look takes out what crosses. */
static double sign_ever_wrong(double confidence) {
    double at[SEQUENTIAL_LAST + 1] = {1}, wrong = 0;
    for (size_t n = 1; n <= SEQUENTIAL_LAST; n++) {
        for (size_t k = n; k > 0; k--) {
            at[k] = (at[k] + at[k - 1]) / 2;
        }
        at[0] /= 2;
        for (int k = 0; k <= sequential_strays(n, confidence); k++) {
            wrong += at[k];
            at[k] = 0;
        }
    }
    return wrong;
}

static void the_sign_test_spends_what_it_has_exactly(void **state) {
    (void)state;
    const double confidences[] = {0.9, 0.95, 0.975, 0.99, 0.995, 0.999};
    for (size_t i = 0; i < 6; i++) {
        double wrong = sign_ever_wrong(confidences[i]), most = 1 - confidences[i];
        assert_true(wrong <= most && wrong > 0.9 * most);
    }
    assert_int_equal(sequential_strays(4, 0.95), -1);
    assert_int_equal(sequential_strays(5, 0.95), 0);
    assert_int_equal(sequential_strays(6, 0.95), -1);
    assert_int_equal(sequential_strays(8, 0.95), 0);
    assert_int_equal(sequential_strays(60, 0.95), 19);
}

/* The share of paths on which the bounds ever exclude the median, a side. */
static void excludes_median(draw_value *draw, double median, uint64_t seed, double *low, double *high) {
    static const double least_reach =
        2.5; /* of Student's bounds, at any look: nearer ones need not be computed */
    struct rng r;
    int lows = 0, highs = 0;
    rng_seed(&r, seed);
    for (int k = 0; k < WHOLE_PATHS; k++) {
        double values[SEQUENTIAL_LAST];
        struct run p = {0};
        bool above = false, below = false;
        while (p.n < SEQUENTIAL_LAST) {
            struct sequential_bounds b = {.low = -INFINITY, .high = INFINITY};
            values[p.n] = draw(&r);
            double error = run_add(&p, values[p.n]);
            if (p.n >= SEQUENTIAL_FIRST && fabs(p.mean - median) > least_reach * error) {
                sequential_bounds_of(values, p.n, 0.95, &b);
            }
            above = above || b.low > median;
            below = below || b.high < median;
        }
        lows += above;
        highs += below;
    }
    *low = (double)lows / WHOLE_PATHS;
    *high = (double)highs / WHOLE_PATHS;
}

static void no_distribution_makes_a_claim_about_the_median_wrong_too_often(void **state) {
    (void)state;
    static const struct {
        draw_value *draw;
        double median;
    } cases[] = {{draw_normal, 0},
                 {draw_heavy, 0},
                 {draw_two_points, 0},
                 {draw_lopsided, -0.8603},
                 {draw_lopsided_the_other_way, 0.8603},
                 {draw_exponential, 0.30685}};
    const double most = 0.05 + 4 * sqrt(0.05 * 0.95 / WHOLE_PATHS);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        double low, high;
        excludes_median(cases[i].draw, cases[i].median, 50 + i, &low, &high);
        assert_true(low < most && high < most);
    }
}

/* A plain 95 % bound looked at 56 times is wrong far more often: the simulation above can fail. */
static void plain_bounds_would_fail(void **state) {
    (void)state;
    struct rng r;
    int wrong = 0;
    double quantile[SEQUENTIAL_LAST + 1];
    for (size_t n = SEQUENTIAL_FIRST; n <= SEQUENTIAL_LAST; n++) {
        quantile[n] = special_t_quantile(0.95, (double)(n - 1));
    }
    rng_seed(&r, 16);
    for (int k = 0; k < PATHS; k++) {
        struct run p = {0};
        bool crossed = false;
        while (p.n < SEQUENTIAL_LAST && !crossed) {
            double error = run_add(&p, rng_normal(&r));
            crossed = p.n >= SEQUENTIAL_FIRST && p.mean > quantile[p.n] * error;
        }
        wrong += crossed;
    }
    assert_true(wrong > PATHS / 5);
}

static const double MARGIN = 0.019802627296179712; /* log 1.02 */

struct outcome {
    int within, above, below, undecided;
    double replicates; /* on average */
};

static struct outcome decide_many(double effect, double spread, uint64_t seed, int paths) {
    struct outcome o = {0};
    struct rng r;
    rng_seed(&r, seed);
    for (int k = 0; k < paths; k++) {
        double values[SEQUENTIAL_LAST];
        enum sequential_verdict v = SEQUENTIAL_UNDECIDED;
        size_t n = 0;
        while (n < SEQUENTIAL_LAST && v == SEQUENTIAL_UNDECIDED) {
            struct sequential_bounds b;
            values[n++] = effect + spread * rng_normal(&r);
            sequential_bounds_of(values, n, 0.95, &b);
            v = sequential_judge(&b, MARGIN);
        }
        o.within += v == SEQUENTIAL_WITHIN;
        o.above += v == SEQUENTIAL_ABOVE;
        o.below += v == SEQUENTIAL_BELOW;
        o.undecided += v == SEQUENTIAL_UNDECIDED;
        o.replicates += (double)n / paths;
    }
    return o;
}

static void equal_models_are_not_called_different(void **state) {
    (void)state;
    const double spreads[] = {0.003, 0.01, 0.03, 0.06};
    for (size_t i = 0; i < 4; i++) {
        struct outcome o = decide_many(0, spreads[i], 20 + i, 1000);
        assert_true(o.above + o.below <= 15); /* 1.5 %, at the widest spread; usually none */
        if (spreads[i] <= 0.03) {
            assert_true(o.within >= (spreads[i] <= 0.01 ? 1000 : 840));
        }
    }
}

static void a_slowdown_of_five_percent_is_found(void **state) {
    (void)state;
    struct outcome calm = decide_many(log(1.05), 0.01, 30, 1000),
                   rough = decide_many(log(1.05), 0.03, 31, 1000);
    assert_true(calm.above == 1000 && calm.replicates < 8);
    assert_true(rough.above >= 970 && rough.within == 0);
}

static void at_the_margin_either_claim_is_rare(void **state) {
    (void)state;
    struct outcome o = decide_many(MARGIN, 0.01, 32, 1000);
    assert_true(o.within <= 50 + 28 && o.above <= 50 + 28); /* 5 % and 4 standard deviations */
    assert_true(o.undecided > 800);
}

/* The t mixture: the Bayes factor of "effect / spread ~ N(0, g)" against "effect = offset", spread unknown
 * with the right Haar prior, is a test martingale; Ville's inequality makes 1 / alpha the limit. */
static bool mixture_excludes(const struct run *p, double error, double offset, double alpha) {
    double g = 1, n = (double)p->n, freedom = n - 1, t = (p->mean - offset) / error, scale = 1 + n * g;
    double factor = 0.5 * n * (log1p(t * t / freedom) - log1p(t * t / freedom / scale)) - 0.5 * log(scale);
    return factor > log(1 / alpha);
}

typedef bool excludes_offset(const struct run *p, double error, double offset);

static bool mixture_does(const struct run *p, double error, double offset) {
    return mixture_excludes(p, error, offset, 0.1); /* two-sided at 10 %: about 5 % a side */
}

static double student_reach[SEQUENTIAL_LAST + 1];

static bool student_does(const struct run *p, double error, double offset) {
    return fabs(p->mean - offset) > student_reach[p->n] * error;
}

static double replicates_until(excludes_offset *excludes, double effect, uint64_t seed) {
    const double spread = 0.02;
    struct rng r;
    double total = 0;
    rng_seed(&r, seed);
    for (int k = 0; k < PATHS; k++) {
        struct run p = {0};
        bool decided = false;
        while (p.n < SEQUENTIAL_LAST && !decided) {
            double error = run_add(&p, effect + spread * rng_normal(&r));
            if (p.n >= SEQUENTIAL_FIRST) {
                bool up = excludes(&p, error, MARGIN), down = excludes(&p, error, -MARGIN);
                decided = (up && p.mean > MARGIN) || (up && down && fabs(p.mean) < MARGIN);
            }
        }
        total += (double)p.n / PATHS;
    }
    return total;
}

/* Student's part against the mixture, which has no sign test either. */
static void fewer_replicates_than_a_bound_without_end(void **state) {
    (void)state;
    reaches(0.95, student_reach);
    double equal = replicates_until(student_does, 0, 40),
           slower = replicates_until(student_does, log(1.05), 41),
           equal_mixture = replicates_until(mixture_does, 0, 40),
           slower_mixture = replicates_until(mixture_does, log(1.05), 41);
    print_message("replicates to decide: equal %.1f (t mixture %.1f), 5 %% slower %.1f (%.1f)\n", equal,
                  equal_mixture, slower, slower_mixture);
    assert_true(equal < equal_mixture && slower < slower_mixture);
}

/* The share of comparisons, stopped as soon as they are decided, at whose end a Student bound of that
 * confidence for a figure that goes along with the ratio is above its truth. */
static double wrong_when_stopped(double confidence) {
    const double effect = 0.03, spread = 0.015;
    struct rng r;
    int wrong = 0;
    rng_seed(&r, 70);
    for (int k = 0; k < WHOLE_PATHS; k++) {
        double values[SEQUENTIAL_LAST], error = 0;
        struct sequential_bounds b = {.low = -INFINITY, .high = INFINITY};
        struct run p = {0};
        while (p.n < SEQUENTIAL_LAST && sequential_judge(&b, MARGIN) == SEQUENTIAL_UNDECIDED) {
            values[p.n] = effect + spread * rng_normal(&r);
            error = run_add(&p, values[p.n]);
            if (p.n >= SEQUENTIAL_FIRST && fabs(p.mean - MARGIN) > 2.5 * error) {
                sequential_bounds_of(values, p.n, 0.95, &b);
            }
        }
        wrong += p.mean - special_t_quantile(confidence, (double)(p.n - 1)) * error > effect;
    }
    return (double)wrong / WHOLE_PATHS;
}

static void another_figure_of_a_stopped_comparison_needs_the_confidence_of_a_look(void **state) {
    (void)state;
    assert_true(wrong_when_stopped(0.95) > 0.065);
    assert_true(wrong_when_stopped(sequential_look_confidence(0.95)) < 0.03);
    assert_true(isnan(sequential_look_confidence(0.9999)));
}

static void bounds_need_five_values_and_know_their_limits(void **state) {
    (void)state;
    const double values[70] = {1, 2, 3, 4, 5, 6};
    struct sequential_bounds b;
    sequential_bounds_of(values, 4, 0.95, &b);
    assert_true(isinf(b.low) && isinf(b.high) && b.mean == 2.5 && b.n == 4);
    assert_int_equal(sequential_judge(&b, 1), SEQUENTIAL_UNDECIDED);
    sequential_bounds_of(values, 5, 0.95, &b);
    assert_true(fabs(b.error - sqrt(0.5)) < 1e-12);
    assert_true(fabs(b.mean - b.low - special_t_quantile(1 - 0.0063, 4) * sqrt(0.5)) < 1e-9);
    assert_true(fabs((b.high - b.mean) - (b.mean - b.low)) < 1e-12);
    sequential_bounds_of(values, 70, 0.95, &b);
    assert_int_equal(b.n, SEQUENTIAL_LAST);
    sequential_bounds_of(values, 6, 0.9999, &b);
    assert_true(isinf(b.low) && isinf(b.high));
    sequential_bounds_of(values, 0, 0.95, &b);
    assert_true(b.mean == 0 && b.n == 0 && isinf(b.low));
    assert_true(sequential_confidence(0.95) == 0.95 && sequential_confidence(0.951) == 0.975);
    assert_true(sequential_confidence(0.5) == 0.9 && isnan(sequential_confidence(0.9995)));
}

static void verdicts_follow_the_bounds(void **state) {
    (void)state;
    const struct sequential_bounds within = {.low = -0.9, .high = 0.9}, above = {.low = 1.1, .high = 2},
                                   below = {.low = -2, .high = -1.1}, across = {.low = 0.5, .high = 1.5},
                                   touching = {.low = 1, .high = 1.5};
    assert_int_equal(sequential_judge(&within, 1), SEQUENTIAL_WITHIN);
    assert_int_equal(sequential_judge(&above, 1), SEQUENTIAL_ABOVE);
    assert_int_equal(sequential_judge(&below, 1), SEQUENTIAL_BELOW);
    assert_int_equal(sequential_judge(&across, 1), SEQUENTIAL_UNDECIDED);
    assert_int_equal(sequential_judge(&touching, 1), SEQUENTIAL_UNDECIDED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(peeking_after_every_value_keeps_the_error_rate),
        cmocka_unit_test(symmetric_heavy_tails_do_not_raise_the_error_rate),
        cmocka_unit_test(lopsided_replicates_deceive_student),
        cmocka_unit_test(the_sign_test_spends_what_it_has_exactly),
        cmocka_unit_test(no_distribution_makes_a_claim_about_the_median_wrong_too_often),
        cmocka_unit_test(plain_bounds_would_fail),
        cmocka_unit_test(equal_models_are_not_called_different),
        cmocka_unit_test(a_slowdown_of_five_percent_is_found),
        cmocka_unit_test(at_the_margin_either_claim_is_rare),
        cmocka_unit_test(fewer_replicates_than_a_bound_without_end),
        cmocka_unit_test(another_figure_of_a_stopped_comparison_needs_the_confidence_of_a_look),
        cmocka_unit_test(bounds_need_five_values_and_know_their_limits),
        cmocka_unit_test(verdicts_follow_the_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
