#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "advisor/decide/budget.h"
#include "advisor/decide/latency.h"
#include "core/stats/binomial.h"
#include "core/stats/rng.h"

/* The claim of latency.h: three numbers a percentile judge any budget as counting the samples over it would.
 */
static void summary_judges_any_budget_as_the_sample_would(void **state) {
    (void)state;
    struct rng r;
    rng_seed(&r, 71);
    float samples[3000];
    for (int round = 0; round < 300; round++) {
        size_t n = 1 + rng_below(&r, round % 10 ? 700 : 3000);
        uint32_t distinct = round % 2 ? 20 : 100000;
        for (size_t i = 0; i < n; i++) {
            samples[i] = (float)(100 + rng_below(&r, distinct));
        }
        double confidence = LATENCY_CONFIDENCES[round % 3];
        struct latency l;
        assert_int_equal(latency_summarise(samples, n, confidence, &l, NULL), RC_OK);
        struct budget_subject s = {.latency = &l};
        for (int k = 0; k < 40; k++) {
            struct budget b = {.kind = BUDGET_LATENCY,
                               .figure = (enum latency_figure)rng_below(&r, LATENCY_MEAN)};
            b.bound =
                k % 2 ? (double)samples[rng_below(&r, (uint32_t)n)] : 99 + rng_uniform(&r) * (distinct + 2);
            uint64_t over = 0;
            for (size_t i = 0; i < n; i++) {
                over += (double)samples[i] > b.bound;
            }
            int expected = (int)binomial_judge(over, n, latency_quantile(b.figure), confidence);
            assert_int_equal(budget_verdict(&b, &s), expected);
        }
    }
}

static void percentiles_are_shown_only_where_supported(void **state) {
    (void)state;
    float samples[662];
    for (int i = 0; i < 662; i++) {
        samples[i] = (float)i;
    }
    struct latency l;
    assert_int_equal(latency_min_n(LATENCY_P99, 0.99), 662);
    assert_int_equal(latency_min_n(LATENCY_P999, 0.95), 4742);
    assert_int_equal(latency_summarise(samples, 661, 0.99, &l, NULL), RC_OK);
    assert_true(isnan(l.points[LATENCY_P99].value_us) && l.points[LATENCY_P95].value_us == 627);
    assert_int_equal(latency_summarise(samples, 662, 0.99, &l, NULL), RC_OK);
    assert_true(l.points[LATENCY_P99].value_us == 655 && l.points[LATENCY_P99].high_us == 660);
    assert_true(isinf(l.points[LATENCY_P999].high_us));
    assert_true(fabsf(l.points[LATENCY_MEAN].value_us - 330.5f) < 1e-3f);
}

static void bad_samples_are_refused(void **state) {
    (void)state;
    const float bad[][2] = {{1, NAN}, {1, -1}, {INFINITY, 1}};
    struct latency l;
    struct err err;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(latency_summarise(bad[i], 2, 0.95, &l, &err), RC_INPUT);
    }
    assert_int_equal(latency_summarise(bad[0], 0, 0.95, &l, &err), RC_INPUT);
}

static void a_packed_summary_comes_back_and_a_damaged_one_does_not(void **state) {
    (void)state;
    float samples[100];
    for (int i = 0; i < 100; i++) {
        samples[i] = (float)(i * i);
    }
    struct latency l, back;
    struct buf b;
    buf_init(&b, 4096);
    assert_int_equal(latency_summarise(samples, 100, 0.95, &l, NULL), RC_OK);
    assert_int_equal(latency_pack(&l, &b, NULL), RC_OK);
    assert_int_equal(latency_unpack(b.data, b.size, &back, NULL), RC_OK);
    assert_memory_equal(&l, &back, sizeof l);
    for (size_t size = 0; size < b.size; size++) {
        assert_int_equal(latency_unpack(b.data, size, &back, NULL), RC_INPUT);
    }
    b.data[0] ^= 1;
    assert_int_equal(latency_unpack(b.data, b.size, &back, NULL), RC_INPUT);
    buf_free(&b);
}

/* Rounded to a float 0.999999999 would be 1, which no sample can reach. */
static void a_confidence_near_one_stays_below_one(void **state) {
    (void)state;
    const float samples[] = {1, 2, 3};
    struct latency l, back;
    struct buf b;
    buf_init(&b, 4096);
    assert_int_equal(latency_summarise(samples, 3, 0.999999999, &l, NULL), RC_OK);
    assert_true(l.confidence < 1);
    assert_int_equal(latency_pack(&l, &b, NULL), RC_OK);
    assert_int_equal(latency_unpack(b.data, b.size, &back, NULL), RC_OK);
    buf_free(&b);
}

static void names_come_back(void **state) {
    (void)state;
    for (int f = 0; f < LATENCY_COUNT; f++) {
        assert_int_equal(latency_from_name(latency_name((enum latency_figure)f)), f);
    }
    assert_int_equal(latency_from_name("p98"), LATENCY_COUNT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(summary_judges_any_budget_as_the_sample_would),
        cmocka_unit_test(percentiles_are_shown_only_where_supported),
        cmocka_unit_test(bad_samples_are_refused),
        cmocka_unit_test(a_packed_summary_comes_back_and_a_damaged_one_does_not),
        cmocka_unit_test(a_confidence_near_one_stays_below_one),
        cmocka_unit_test(names_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
