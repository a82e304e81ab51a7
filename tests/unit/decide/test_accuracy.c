#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "advisor/decide/accuracy.h"
#include "core/stats/binomial.h"
#include "core/stats/rng.h"

static void right_or_wrong_becomes_counts(void **state) {
    (void)state;
    const float v[] = {1, 1, 1, 1, 0, 1, 0, 1, 0, 1}, b[] = {1, 1, 0, 1, 1, 1, 0, 1, 0, 1};
    struct accuracy a;
    assert_int_equal(accuracy_summarise(METRIC_TOP1, v, b, 5, 1, &a, NULL), RC_OK);
    assert_int_equal(a.kind, ACCURACY_COUNTS);
    const struct paired_counts expected = {1, 1, 1, 2};
    assert_memory_equal(&a.counts, &expected, sizeof expected);
    assert_true(fabs(a.value - 0.4) < 1e-12 && fabs(a.baseline - 0.4) < 1e-12 && a.paired && a.n == 5);
    assert_int_equal(accuracy_summarise(METRIC_TOP1, v, NULL, 5, 1, &a, NULL), RC_OK);
    assert_true(!a.paired && isnan(a.baseline) && a.counts.only_variant == 2 && a.counts.neither == 3);
    assert_int_equal(accuracy_summarise(METRIC_MSE, v, b, 5, 1, &a, NULL), RC_OK); /* an error is no count */
    assert_int_equal(a.kind, ACCURACY_BOOTSTRAP);
    accuracy_free(&a);
}

static struct accuracy positions(size_t rows) {
    struct rng r;
    rng_seed(&r, 5);
    float v[400], b[400];
    struct accuracy a;
    for (size_t i = 0; i < rows; i++) {
        b[2 * i] = (float)(40 + rng_below(&r, 20));
        v[2 * i] = b[2 * i] - (float)rng_below(&r, 3);
        v[2 * i + 1] = b[2 * i + 1] = 128;
    }
    assert_int_equal(accuracy_summarise(METRIC_TOP1, v, b, rows, 1, &a, NULL), RC_OK);
    return a;
}

static void labels_per_position_are_resampled_by_row(void **state) {
    (void)state;
    struct accuracy a = positions(200), again = positions(200);
    assert_int_equal(a.kind, ACCURACY_BOOTSTRAP);
    assert_memory_equal(a.bootstrap.variant, again.bootstrap.variant, BOOTSTRAP_REPLICATES * sizeof(float));
    struct accuracy_bounds bounds;
    assert_int_equal(accuracy_bound(&a, 0.95, &bounds, NULL), RC_OK);
    assert_true(bounds.lower < a.value && a.value < bounds.upper);
    assert_true(fabs(bounds.drop - (a.baseline - a.value)) < 1e-12);
    assert_true(bounds.drop_lower < bounds.drop && bounds.drop < bounds.drop_upper);
    assert_true(bounds.drop_upper - bounds.drop < 0.002 && bounds.upper - a.value > 0.003); /* pairing pays */
    accuracy_free(&a);
    accuracy_free(&again);
}

static void bounds_of_counts_are_exact_and_tangos(void **state) {
    (void)state;
    struct accuracy a = {.metric = METRIC_TOP1,
                         .paired = true,
                         .n = 10000,
                         .value = 0.9476,
                         .baseline = 0.9478,
                         .counts = {9470, 6, 8, 516}};
    struct accuracy_bounds b;
    assert_int_equal(accuracy_bound(&a, 0.95, &b, NULL), RC_OK);
    assert_true(b.lower == binomial_lower(9476, 10000, 0.95));
    assert_true(fabs(b.drop - 0.0002) < 1e-12);
    assert_true(fabs(b.drop_upper + paired_lower(&a.counts, 1, 0.95)) < 1e-15);
    assert_true(b.drop_upper > 0.0002 && b.drop_upper < 0.0011);
    assert_string_equal(b.test, "Tango score test");
}

static void packed_summaries_come_back(void **state) {
    (void)state;
    struct accuracy counts = {.metric = METRIC_TOP1,
                              .paired = true,
                              .n = 10,
                              .value = 0.6,
                              .baseline = 0.7,
                              .counts = {5, 1, 2, 2}};
    struct accuracy all[] = {counts, positions(50)}, back;
    for (int i = 0; i < 2; i++) {
        struct buf b;
        buf_init(&b, 1 << 20);
        assert_int_equal(accuracy_pack(&all[i], &b, NULL), RC_OK);
        assert_int_equal(accuracy_unpack(b.data, b.size, &back, NULL), RC_OK);
        assert_int_equal(back.kind, all[i].kind);
        assert_true(back.value == all[i].value && back.baseline == all[i].baseline && back.n == all[i].n);
        assert_memory_equal(&back.counts, &all[i].counts, sizeof back.counts);
        assert_memory_equal(back.bootstrap.moments, all[i].bootstrap.moments, sizeof back.bootstrap.moments);
        if (i == 1) {
            assert_memory_equal(back.bootstrap.baseline, all[i].bootstrap.baseline,
                                BOOTSTRAP_REPLICATES * sizeof(float));
            assert_true(bootstrap_p_above(&back.bootstrap, 0.98, 0) ==
                        bootstrap_p_above(&all[i].bootstrap, 0.98, 0));
        }
        accuracy_free(&back);
        for (size_t size = 0; size < b.size; size += 1 + size / 9) {
            assert_int_equal(accuracy_unpack(b.data, size, &back, NULL), RC_INPUT);
        }
        buf_free(&b);
        accuracy_free(&all[i]);
    }
}

static void a_hostile_summary_is_refused(void **state) {
    (void)state;
    struct accuracy counts = {.metric = METRIC_TOP1,
                              .paired = true,
                              .n = 10,
                              .value = 0.6,
                              .baseline = 0.7,
                              .counts = {5, 1, 2, 2}},
                    back;
    struct buf b;
    buf_init(&b, 4096);
    assert_int_equal(accuracy_pack(&counts, &b, NULL), RC_OK);
    b.data[40] = 9; /* counts that do not sum to n */
    assert_int_equal(accuracy_unpack(b.data, b.size, &back, NULL), RC_INPUT);
    b.data[40] = 5;
    b.data[4] = 77; /* no such metric */
    assert_int_equal(accuracy_unpack(b.data, b.size, &back, NULL), RC_INPUT);
    b.data[4] = 0;
    b.data[8] = 1; /* counts read as a bootstrap of 5 replicates */
    assert_int_equal(accuracy_unpack(b.data, b.size, &back, NULL), RC_INPUT);
    buf_free(&b);
}

static void a_summary_with_replicates_that_are_not_finite_is_refused(void **state) {
    (void)state;
    float scores[2 * 30];
    for (size_t i = 0; i < 60; i += 2) {
        scores[i] = (float)(i % 7);
        scores[i + 1] = 1;
    }
    struct accuracy a, back;
    struct buf b;
    buf_init(&b, 1 << 20);
    assert_int_equal(accuracy_summarise(METRIC_MSE, scores, NULL, 30, 1, &a, NULL), RC_OK);
    a.bootstrap.variant[5] = NAN;
    assert_int_equal(accuracy_pack(&a, &b, NULL), RC_OK);
    assert_int_equal(accuracy_unpack(b.data, b.size, &back, NULL), RC_INPUT);
    buf_free(&b);
    accuracy_free(&a);
}

static void bad_scores_are_refused_by_name(void **state) {
    (void)state;
    const float v[] = {NAN, 1};
    struct accuracy a;
    struct err err;
    assert_int_equal(accuracy_summarise(METRIC_PPL, v, NULL, 1, 1, &a, &err), RC_INPUT);
    assert_non_null(strstr(err.text, "ppl"));
    assert_int_equal(accuracy_summarise(METRIC_COUNT, v, NULL, 1, 1, &a, &err), RC_INPUT);
    assert_int_equal(accuracy_summarise(METRIC_TOP1, v, NULL, 0, 1, &a, &err), RC_INPUT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(right_or_wrong_becomes_counts),
        cmocka_unit_test(labels_per_position_are_resampled_by_row),
        cmocka_unit_test(bounds_of_counts_are_exact_and_tangos),
        cmocka_unit_test(packed_summaries_come_back),
        cmocka_unit_test(a_hostile_summary_is_refused),
        cmocka_unit_test(a_summary_with_replicates_that_are_not_finite_is_refused),
        cmocka_unit_test(bad_scores_are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
