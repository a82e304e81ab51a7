#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/stats/quantile.h"
#include "core/stats/queue.h"
#include "core/stats/rng.h"

/* Tables of queueing theory; a = c * rho. */
static void erlang_matches_published_values(void **state) {
    (void)state;
    assert_true(fabs(queue_erlang_waiting(4, 3.6) - 7.089779) < 1e-6);
    assert_true(fabs(queue_erlang_waiting(2, 1.6) - 2.844444) < 1e-6);
    assert_true(fabs(queue_erlang_waiting(1, 0.5) - 0.5) < 1e-12); /* M/M/1: rho^2 / (1 - rho) */
    assert_true(fabs(queue_erlang_b(5, 3) - 0.11005434782608696) < 1e-12);
    assert_true(fabs(queue_erlang_c(2, 1) - 1.0 / 3) < 1e-12);
    assert_true(queue_erlang_b(0, 2) == 1 && queue_erlang_c(3, 3) == 1 &&
                isinf(queue_erlang_waiting(3, 3.5)));
}

/* The textbook sums instead of the recursion. */
static void erlang_equals_its_sums(void **state) {
    (void)state;
    for (uint32_t c = 1; c <= 20; c++) {
        for (double load = 0.1; load < 1; load += 0.2) {
            double a = load * c, sum = 0, term = 1;
            for (uint32_t k = 0; k < c; k++) {
                sum += term;
                term *= a / (k + 1);
            }
            assert_true(fabs(queue_erlang_b(c, a) - term / (sum + term)) < 1e-12);
            assert_true(fabs(queue_erlang_c(c, a) - term / (1 - load) / (sum + term / (1 - load))) < 1e-12);
        }
    }
}

enum { TIMES = 200003, QUERIES = 400000 };

static float *exponential_times(double mean_us, uint64_t seed) {
    float *us = malloc(TIMES * sizeof(*us));
    struct rng r;
    assert_non_null(us);
    rng_seed(&r, seed);
    for (size_t i = 0; i < TIMES; i++) {
        us[i] = (float)(mean_us * rng_exponential(&r)) + 1e-6F;
    }
    return us;
}

static void check_replay(uint32_t servers, double load, double expected, double tolerance) {
    float *us = exponential_times(500, 3), *response = malloc(QUERIES * sizeof(*response));
    struct queue_result result;
    struct err err;
    double waiting = 0, busy = 0;
    enum { ROUNDS = 4 };
    assert_non_null(response);
    for (uint64_t seed = 0; seed < ROUNDS; seed++) {
        struct queue_load q = {us, TIMES, servers, load * servers / 500e-6, QUERIES, seed};
        assert_int_equal(queue_replay(&q, response, &result, &err), RC_OK);
        waiting += result.mean_waiting / ROUNDS;
        busy += result.busy / ROUNDS;
    }
    assert_true(fabs(waiting / expected - 1) < tolerance);
    assert_true(fabs(busy - load) < 0.01);
    free(us);
    free(response);
}

static void replay_of_exponential_times_gives_erlang(void **state) {
    (void)state;
    check_replay(4, 0.9, 7.089779, 0.08);
    check_replay(2, 0.8, 2.844444, 0.05);
    check_replay(1, 0.5, 0.5, 0.03);
    check_replay(8, 0.7, queue_erlang_waiting(8, 5.6), 0.05);
}

/* M/D/1 by Pollaczek and Khinchine: half of M/M/1. */
static void replay_of_equal_times_waits_half_as_long(void **state) {
    (void)state;
    float us = 500, *response = malloc(QUERIES * sizeof(*response));
    struct queue_result result;
    struct err err;
    assert_non_null(response);
    struct queue_load q = {&us, 1, 1, 0.8 / 500e-6, QUERIES, 7};
    assert_int_equal(queue_replay(&q, response, &result, &err), RC_OK);
    assert_true(fabs(result.mean_waiting / (0.64 / 0.2 / 2) - 1) < 0.04);
    free(response);
}

/* Lindley's recursion for one server; for more, every server looked at. */
static void replay_equals_brute_force(void **state) {
    (void)state;
    enum { N = 1023, SERVERS = 5 };
    static float us[N], response[N];
    struct queue_result result;
    struct err err;
    struct rng r;
    rng_seed(&r, 4);
    for (size_t i = 0; i < N; i++) {
        us[i] = (float)(100 + 900 * rng_uniform(&r));
    }
    for (uint32_t servers = 1; servers <= SERVERS; servers++) {
        struct queue_load q = {us, N, servers, servers / 600e-6, N, 9};
        double free_us[SERVERS] = {0}, now = 0;
        assert_int_equal(queue_replay(&q, response, &result, &err), RC_OK);
        rng_seed(&r, 9);
        size_t at = (size_t)(rng_uniform(&r) * N), filling = N / 4;
        for (size_t i = 0; i < filling + N; i++) {
            uint32_t first = 0;
            now += 1e6 / q.rate_per_s * rng_exponential(&r);
            for (uint32_t s = 1; s < servers; s++) {
                first = free_us[s] < free_us[first] ? s : first;
            }
            double start = fmax(free_us[first], now), service = (double)us[(at + i) % N];
            free_us[first] = start + service;
            if (i >= filling) {
                assert_true(fabs((double)response[i - filling] - (start - now + service)) < 0.01);
            }
        }
    }
}

static void an_idle_queue_answers_in_the_service_time(void **state) {
    (void)state;
    const float us[] = {100, 200, 300};
    float response[1023];
    struct queue_result result;
    struct err err;
    struct queue_load q = {us, 3, 2, 0.001, 1023, 1};
    assert_int_equal(queue_replay(&q, response, &result, &err), RC_OK);
    assert_true(result.mean_wait_us == 0 && fabs(result.mean_response_us - 200) < 1e-6);
    quantile_sort(response, 1023);
    assert_true(fabsf(response[0] - 100) < 0.1F && fabsf(response[1022] - 300) < 0.1F);
}

static void replay_refuses_what_makes_no_sense(void **state) {
    (void)state;
    const float fine[] = {1}, bad[] = {1, NAN}, zero[] = {0};
    float response[1];
    struct queue_result result;
    struct err err;
    const struct queue_load loads[] = {
        {fine, 0, 1, 1, 1, 1},   {fine, 1, 0, 1, 1, 1}, {fine, 1, 5000, 1, 1, 1}, {fine, 1, 1, 0, 1, 1},
        {fine, 1, 1, NAN, 1, 1}, {fine, 1, 1, 1, 0, 1}, {bad, 2, 1, 1, 1, 1},     {zero, 1, 1, 1, 1, 1}};
    for (size_t i = 0; i < sizeof(loads) / sizeof(loads[0]); i++) {
        assert_int_equal(queue_replay(&loads[i], response, &result, &err), RC_INPUT);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(erlang_matches_published_values),
        cmocka_unit_test(erlang_equals_its_sums),
        cmocka_unit_test(replay_of_exponential_times_gives_erlang),
        cmocka_unit_test(replay_of_equal_times_waits_half_as_long),
        cmocka_unit_test(replay_equals_brute_force),
        cmocka_unit_test(an_idle_queue_answers_in_the_service_time),
        cmocka_unit_test(replay_refuses_what_makes_no_sense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
