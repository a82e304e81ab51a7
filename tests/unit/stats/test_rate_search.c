/* The search against an exhaustive sweep, on simulated servers. Seeds are fixed: each run is the same. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/stats/open_queue.h"
#include "core/stats/poisson.h"
#include "core/stats/rate_search.h"
#include "core/stats/rate_watch.h"

static void assert_near(double value, double expected, double within) {
    if (!(fabs(value - expected) <= within)) {
        fail_msg("%g is not %g", value, expected);
    }
}

/* ---- the queue ---- */

/* Erlang: the mean number that waits, L_q, at c = 4, rho = 0.9 is 7.089779 and at c = 2, rho = 0.8 2.844444;
 * by Little's law the mean wait is L_q / rate. */
static void waits_are_erlangs(void **state) {
    (void)state;
    static const struct {
        size_t servers;
        double rho, waiting;
    } cases[] = {{4, 0.9, 7.089779}, {2, 0.8, 2.844444}};
    enum { QUERIES = 600000 };
    for (size_t k = 0; k < 2; k++) {
        double free_at[4] = {0}, at = 0, waits = 0, rate = cases[k].rho * (double)cases[k].servers;
        struct open_queue q = {free_at, cases[k].servers};
        struct rng r;
        rng_seed(&r, 5);
        for (size_t i = 0; i < QUERIES; i++) {
            at += poisson_gap(&r) / rate;
            double service = poisson_gap(&r);
            waits += open_queue_latency_s(&q, at, service) - service;
        }
        assert_near(waits / QUERIES * rate / cases[k].waiting, 1,
                    0.05); /* long waits come in few long runs */
    }
}

static void a_query_begins_when_it_came_or_when_a_server_is_free(void **state) {
    (void)state;
    double free_at[2] = {0};
    struct open_queue q = {free_at, 2};
    assert_near(open_queue_latency_s(&q, 1, 5), 5, 0); /* until 6 */
    assert_near(open_queue_latency_s(&q, 2, 1), 1, 0); /* until 3 */
    assert_near(open_queue_latency_s(&q, 2, 1), 2, 0); /* from 3 until 4 */
    assert_near(open_queue_latency_s(&q, 9, 1), 1, 0);
}

/* ---- the watch ---- */

static const struct rate_limit P99 = {0.99, 1000};

static void too_many_over_the_limit_stop_it_early(void **state) {
    (void)state;
    struct rate_watch w;
    rate_watch_init(&w, RATE_WATCH_SHORT, &P99, 1, 0.95, 4000);
    while (!rate_watch_add(&w, 2000)) {
    }
    assert_int_equal(w.verdict, BINOMIAL_BROKEN);
    assert_int_equal(w.n, 16);
    assert_true(rate_watch_add(&w, 1));
    assert_int_equal(w.n, 16); /* decided: nothing is added */
}

static void nothing_over_the_limit_is_met_once_the_bound_supports_it(void **state) {
    (void)state;
    struct rate_watch w;
    rate_watch_init(&w, RATE_WATCH_SHORT, &P99, 1, 0.95, 4000); /* 9 looks: ln(0.05 / 9) / ln(0.99) = 517 */
    while (!rate_watch_add(&w, 999)) {
    }
    assert_int_equal(w.verdict, BINOMIAL_MET);
    assert_int_equal(w.n, 1024);
}

static void a_full_one_looks_at_the_end_or_when_nothing_can_change_any_more(void **state) {
    (void)state;
    struct rate_watch w;
    int64_t may = binomial_max_over(4000, 0.99, 0.95);
    for (int64_t over = may; over <= may + 1; over++) { /* those over the limit come first */
        rate_watch_init(&w, RATE_WATCH_FULL, &P99, 1, 0.95, 4000);
        for (int64_t i = 0; !w.done; i++) {
            rate_watch_add(&w, i < over ? 2000 : 1);
        }
        assert_int_equal(w.verdict == BINOMIAL_MET, over == may);
        assert_int_equal(w.n, over == may ? 4000 : may + 1);
    }
    rate_watch_init(&w, RATE_WATCH_FULL, &P99, 1, 0.95, 4000);
    for (int i = 0; i < 400; i++) {
        assert_false(rate_watch_add(&w, 1));
    }
    rate_watch_end(&w); /* no more come: 400 without one over show p99 */
    assert_true(w.done);
    assert_int_equal(w.verdict, BINOMIAL_MET);
}

static void every_limit_counts_and_nan_is_over(void **state) {
    (void)state;
    const struct rate_limit limits[] = {{0.5, 100}, {0.99, 1000}};
    struct rate_watch w;
    rate_watch_init(&w, RATE_WATCH_SHORT, limits, 2, 0.95, 4000);
    while (!rate_watch_add(&w, 500)) { /* p99 holds, p50 does not */
    }
    assert_int_equal(w.verdict, BINOMIAL_BROKEN);
    rate_watch_init(&w, RATE_WATCH_SHORT, limits, 2, 0.95, 4000);
    while (!rate_watch_add(&w, NAN)) {
    }
    assert_int_equal(w.verdict, BINOMIAL_BROKEN);
}

/* Independent latencies whose share over the limit is exactly the percentile's: whatever is called is wrong.
 */
static void looking_often_does_not_err_more_often(void **state) {
    (void)state;
    enum { TRIALS = 3000 };
    int met = 0, broken = 0;
    struct rng r;
    rng_seed(&r, 11);
    for (int t = 0; t < TRIALS; t++) {
        struct rate_watch w;
        const struct rate_limit p90 = {0.9, 1000};
        rate_watch_init(&w, RATE_WATCH_SHORT, &p90, 1, 0.95, 1500);
        while (!rate_watch_add(&w, rng_uniform(&r) < 0.1 ? 2000 : 1)) {
        }
        met += w.verdict == BINOMIAL_MET;
        broken += w.verdict == BINOMIAL_BROKEN;
    }
    assert_true(met <= 0.05 * TRIALS + 3 * sqrt(0.05 * 0.95 * TRIALS));
    assert_true(broken <= 0.05 * TRIALS + 3 * sqrt(0.05 * 0.95 * TRIALS));
}

static void a_full_measurement_supports_the_highest_percentile(void **state) {
    (void)state;
    const struct rate_limit limits[] = {{0.5, 100}, {0.99, 1000}};
    assert_int_equal(rate_watch_samples(limits, 2, 0.95, 100), 4 * 473);
    assert_int_equal(rate_watch_samples(limits, 1, 0.95, 5000), 5000);
    /* and a short one can still call it met */
    static const double quantiles[] = {0.5, 0.9, 0.95, 0.99, 0.999};
    for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++) {
        const struct rate_limit limit = {quantiles[i], 1000};
        uint64_t full = rate_watch_samples(&limit, 1, 0.99, 1);
        struct rate_watch w;
        rate_watch_init(&w, RATE_WATCH_SHORT, &limit, 1, 0.99, rate_watch_most(RATE_WATCH_SHORT, full));
        while (!rate_watch_add(&w, 1)) {
        }
        assert_int_equal(w.verdict, BINOMIAL_MET);
    }
}

/* ---- the search ---- */

enum service { SERVICE_CONSTANT, SERVICE_EXPONENTIAL, SERVICE_TWO_SPEEDS, SERVICE_KINDS };

struct server {
    size_t servers;
    enum service service;
    double mean_s;
    struct rate_limit limit;
    uint64_t full; /* queries of a whole probe */
    uint64_t seed;
};

static double service_s(const struct server *s, struct rng *r) {
    switch (s->service) {
    case SERVICE_EXPONENTIAL:
        return s->mean_s * poisson_gap(r);
    case SERVICE_TWO_SPEEDS: /* one in ten takes six times as long */
        return s->mean_s * (rng_uniform(r) < 0.1 ? 4 : 2.0 / 3);
    default:
        return s->mean_s;
    }
}

static enum rc probe(void *user, double rate, enum rate_watch_kind kind, struct rate_probe *ret,
                     struct err *err) {
    (void)err;
    struct server *s = user;
    double free_at[8] = {0}, at = 0;
    struct open_queue q = {free_at, s->servers};
    struct rate_watch w;
    struct rng arrivals, services, noise;
    rng_seed(&arrivals, 1); /* one schedule and the same queries at every rate, as in the real scenario */
    rng_seed(&services, 2);
    rng_seed(&noise, s->seed++); /* but no run takes the same time twice */
    rate_watch_init(&w, kind, &s->limit, 1, 0.95, rate_watch_most(kind, s->full));
    while (!w.done) {
        at += poisson_gap(&arrivals) / rate;
        double service = service_s(s, &services) * (0.9 + 0.2 * rng_uniform(&noise));
        rate_watch_add(&w, 1e6 * open_queue_latency_s(&q, at, service));
    }
    *ret = (struct rate_probe){.verdict = w.verdict, .n = w.n};
    return RC_OK;
}

/* Every rate of a grid of 1 %, each in full; the highest that was met. */
static double swept(struct server s, double most, uint64_t *queries) {
    double best = 0;
    s.seed += 1000000;
    for (int percent = 1; percent <= 100; percent++) {
        struct rate_probe p;
        assert_int_equal(probe(&s, most * percent / 100, RATE_WATCH_FULL, &p, NULL), RC_OK);
        *queries += s.full; /* it would not stop early */
        best = p.verdict == BINOMIAL_MET ? most * percent / 100 : best;
    }
    return best;
}

static void the_search_finds_what_a_sweep_finds_at_a_quarter_of_its_runs(void **state) {
    (void)state;
    static const size_t servers[] = {1, 2, 4};
    static const double limits_in_services[] = {4, 8, 20};
    int cases = 0, near = 0;
    double worst = 0;
    uint64_t total_search = 0, total_sweep = 0;
    for (int kind = 0; kind < SERVICE_KINDS; kind++) {
        for (size_t c = 0; c < 3; c++) {
            for (size_t l = 0; l < 3; l++) {
                struct server s = {.servers = servers[c],
                                   .service = (enum service)kind,
                                   .mean_s = 0.001,
                                   .limit = {0.99, limits_in_services[l] * 1000},
                                   .full = 8000,
                                   .seed = 1 + 100 * (uint64_t)cases};
                double most = (double)s.servers / s.mean_s;
                const struct rate_search_opts opts = {
                    .most_per_s = most, .least_ratio = 0.01, .resolution = 0.03};
                struct rate_search_result r;
                uint64_t queries = 0;
                assert_int_equal(rate_search(&opts, probe, &s, &r, NULL), RC_OK);
                double best = swept(s, most, &queries);
                total_search += r.queries;
                total_sweep += queries;
                assert_true(r.queries * 4 <= queries);
                assert_true(r.met_per_s <= r.unmet_per_s && r.lowest_per_s > 0);
                if (best == 0) { /* an exponential service breaks p99 <= 4 of its means even alone */
                    assert_true(r.met_per_s <= 0.05 * most);
                    continue;
                }
                double off = fabs(r.met_per_s / best - 1);
                worst = off > worst ? off : worst;
                near += off <= 0.05;
                cases++;
            }
        }
    }
    print_message("%d of %d within 5 %%, worst %.1f %%, %.1f %% of the sweep's queries\n", near, cases,
                  100 * worst, 100 * (double)total_search / (double)total_sweep);
    assert_true(cases >= 20);
    assert_int_equal(near, cases);
}

static enum rc below_threshold(void *user, double rate, enum rate_watch_kind kind, struct rate_probe *ret,
                               struct err *err) {
    (void)err;
    (void)kind;
    const double *threshold = user;
    *ret = (struct rate_probe){.verdict = rate <= *threshold ? BINOMIAL_MET : BINOMIAL_BROKEN, .n = 1};
    return RC_OK;
}

static void a_sharp_threshold_is_bracketed_from_any_guess(void **state) {
    (void)state;
    static const double guesses[] = {0, 1, 30, 49, 50, 51, 80, 99.9, 100, 5000};
    for (double threshold = 2; threshold < 100; threshold *= 1.3) {
        for (size_t i = 0; i < sizeof(guesses) / sizeof(guesses[0]); i++) {
            const struct rate_search_opts opts = {
                .most_per_s = 100, .guess_per_s = guesses[i], .least_ratio = 0.01, .resolution = 0.03};
            struct rate_search_result r;
            assert_int_equal(rate_search(&opts, below_threshold, &threshold, &r, NULL), RC_OK);
            assert_true(r.complete);
            assert_true(r.met_per_s <= threshold && threshold < r.unmet_per_s * (1 + 1e-9));
            assert_true(r.unmet_per_s <= r.met_per_s * 1.0301);
            assert_true(r.probes <= 20);
        }
    }
}

static void a_good_guess_needs_three_probes(void **state) {
    (void)state;
    double threshold = 71;
    const struct rate_search_opts opts = {
        .most_per_s = 100, .guess_per_s = 70, .least_ratio = 0.01, .resolution = 0.03};
    struct rate_search_result r;
    assert_int_equal(rate_search(&opts, below_threshold, &threshold, &r, NULL), RC_OK);
    assert_int_equal(r.probes, 4); /* 70 and 72.1, and both again in full */
    assert_near(r.met_per_s, 70, 0);
}

static void what_no_rate_meets_ends_at_the_least(void **state) {
    (void)state;
    double threshold = 0.5;
    const struct rate_search_opts opts = {.most_per_s = 100, .least_ratio = 0.02, .resolution = 0.03};
    struct rate_search_result r;
    assert_int_equal(rate_search(&opts, below_threshold, &threshold, &r, NULL), RC_OK);
    assert_true(r.complete);
    assert_near(r.met_per_s, 0, 0);
    assert_true(r.lowest_per_s >= 2 && r.lowest_per_s < 5);
}

/* Short probes are too kind by a tenth. */
static enum rc kind_when_short(void *user, double rate, enum rate_watch_kind kind, struct rate_probe *ret,
                               struct err *err) {
    double threshold = *(const double *)user * (kind == RATE_WATCH_SHORT ? 1.1 : 1);
    return below_threshold(&threshold, rate, kind, ret, err);
}

static void the_full_probe_has_the_last_word(void **state) {
    (void)state;
    double threshold = 40;
    const struct rate_search_opts opts = {.most_per_s = 100, .least_ratio = 0.02, .resolution = 0.03};
    struct rate_search_result r;
    assert_int_equal(rate_search(&opts, kind_when_short, &threshold, &r, NULL), RC_OK);
    assert_true(r.complete && r.met_per_s <= 40 && r.unmet_per_s > 40);
    assert_true(r.unmet_per_s <= r.met_per_s * 1.0301);
}

struct clocked {
    double threshold;
    unsigned left; /* probes until time is up */
};

static enum rc clocked_probe(void *user, double rate, enum rate_watch_kind kind, struct rate_probe *ret,
                             struct err *err) {
    struct clocked *c = user;
    (void)err;
    (void)kind;
    bool up = c->left == 0;
    c->left -= !up;
    *ret = (struct rate_probe){.verdict = up                     ? BINOMIAL_UNDECIDED
                                          : rate <= c->threshold ? BINOMIAL_MET
                                                                 : BINOMIAL_BROKEN,
                               .out_of_time = up || c->left == 0};
    return RC_OK;
}

static void out_of_time_it_says_what_was_met_and_that_there_may_be_more(void **state) {
    (void)state;
    const struct rate_search_opts opts = {.most_per_s = 100, .least_ratio = 0.01, .resolution = 0.03};
    for (unsigned left = 1; left <= 3; left++) {
        struct clocked c = {.threshold = 90, .left = left};
        struct rate_search_result r;
        assert_int_equal(rate_search(&opts, clocked_probe, &c, &r, NULL), RC_OK);
        assert_false(r.complete);
        assert_true(r.met_per_s >= 70 && r.met_per_s <= 90);
    }
    struct clocked c = {.threshold = 1, .left = 1};
    struct rate_search_result r;
    assert_int_equal(rate_search(&opts, clocked_probe, &c, &r, NULL), RC_OK);
    assert_false(r.complete);
    assert_near(r.met_per_s, 0, 0);
}

static enum rc failing_probe(void *user, double rate, enum rate_watch_kind kind, struct rate_probe *ret,
                             struct err *err) {
    (void)user;
    (void)rate;
    (void)kind;
    (void)ret;
    return err_set(err, RC_INPUT, "the model fails");
}

static void an_error_of_a_probe_is_the_answer(void **state) {
    (void)state;
    const struct rate_search_opts opts = {.most_per_s = 100, .least_ratio = 0.01, .resolution = 0.03};
    struct rate_search_result r = {.met_per_s = -1};
    struct err err;
    assert_int_equal(rate_search(&opts, failing_probe, NULL, &r, &err), RC_INPUT);
    assert_near(r.met_per_s, -1, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_are_erlangs),
        cmocka_unit_test(a_query_begins_when_it_came_or_when_a_server_is_free),
        cmocka_unit_test(too_many_over_the_limit_stop_it_early),
        cmocka_unit_test(nothing_over_the_limit_is_met_once_the_bound_supports_it),
        cmocka_unit_test(a_full_one_looks_at_the_end_or_when_nothing_can_change_any_more),
        cmocka_unit_test(every_limit_counts_and_nan_is_over),
        cmocka_unit_test(looking_often_does_not_err_more_often),
        cmocka_unit_test(a_full_measurement_supports_the_highest_percentile),
        cmocka_unit_test(the_search_finds_what_a_sweep_finds_at_a_quarter_of_its_runs),
        cmocka_unit_test(a_sharp_threshold_is_bracketed_from_any_guess),
        cmocka_unit_test(a_good_guess_needs_three_probes),
        cmocka_unit_test(what_no_rate_meets_ends_at_the_least),
        cmocka_unit_test(the_full_probe_has_the_last_word),
        cmocka_unit_test(out_of_time_it_says_what_was_met_and_that_there_may_be_more),
        cmocka_unit_test(an_error_of_a_probe_is_the_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
