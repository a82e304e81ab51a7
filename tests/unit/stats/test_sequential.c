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

enum { PATHS = 6000 };

/* The factor of the standard error at each look, so that a simulation does not invert t millions of times. */
static void reaches(double confidence, double reach[SEQUENTIAL_LAST + 1]) {
    for (size_t n = SEQUENTIAL_FIRST; n <= SEQUENTIAL_LAST; n++) {
        double values[SEQUENTIAL_LAST];
        for (size_t i = 0; i < n; i++) {
            values[i] = i % 2 ? 1 : -1;
        }
        struct sequential_bounds b;
        sequential_bounds_of(values, n, confidence, &b);
        reach[n] = (b.high - b.mean) / b.error;
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

/* The share of paths on which the lower bound ever passes the true mean. */
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

static void heavy_tails_do_not_raise_the_error_rate(void **state) {
    (void)state;
    assert_true(ever_wrong(draw_heavy, 0.95, 14, PATHS) < 0.055);
    assert_true(ever_wrong(draw_disturbed, 0.95, 15, PATHS) < 0.055);
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
            assert_true(o.within >= (spreads[i] <= 0.01 ? 1000 : 980));
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

static double mixture_replicates(double effect, double spread, uint64_t seed, int paths) {
    struct rng r;
    double total = 0;
    rng_seed(&r, seed);
    for (int k = 0; k < paths; k++) {
        struct run p = {0};
        bool decided = false;
        while (p.n < SEQUENTIAL_LAST && !decided) {
            double error = run_add(&p, effect + spread * rng_normal(&r));
            if (p.n >= SEQUENTIAL_FIRST) { /* two-sided at 10 %: about 5 % a side */
                bool up = mixture_excludes(&p, error, MARGIN, 0.1),
                     down = mixture_excludes(&p, error, -MARGIN, 0.1);
                decided = (up && p.mean > MARGIN) || (up && down && fabs(p.mean) < MARGIN);
            }
        }
        total += (double)p.n / paths;
    }
    return total;
}

static void fewer_replicates_than_a_bound_without_end(void **state) {
    (void)state;
    double equal = decide_many(0, 0.02, 40, 1000).replicates;
    double slower = decide_many(log(1.05), 0.02, 41, 1000).replicates;
    double equal_mixture = mixture_replicates(0, 0.02, 40, 1000);
    double slower_mixture = mixture_replicates(log(1.05), 0.02, 41, 1000);
    print_message("replicates to decide: equal %.1f (t mixture %.1f), 5 %% slower %.1f (%.1f)\n", equal,
                  equal_mixture, slower, slower_mixture);
    assert_true(equal < equal_mixture && slower < slower_mixture);
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
        cmocka_unit_test(heavy_tails_do_not_raise_the_error_rate),
        cmocka_unit_test(plain_bounds_would_fail),
        cmocka_unit_test(equal_models_are_not_called_different),
        cmocka_unit_test(a_slowdown_of_five_percent_is_found),
        cmocka_unit_test(at_the_margin_either_claim_is_rare),
        cmocka_unit_test(fewer_replicates_than_a_bound_without_end),
        cmocka_unit_test(bounds_need_five_values_and_know_their_limits),
        cmocka_unit_test(verdicts_follow_the_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
