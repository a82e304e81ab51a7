#include "tests/support/test.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/container.h"
#include "runtimes/llama_logits.h"

static const size_t sizes[] = {1, 7, 8, 9, 15, 17, 1023};

/* Reference in long double, straight from the definitions. */
static long double slow_log_sum_exp(const float *x, size_t n) {
    long double sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += expl((long double)x[i]);
    }
    return logl(sum);
}

static long double slow_divergence(const float *p, const float *q, size_t n) {
    long double lp = slow_log_sum_exp(p, n), lq = slow_log_sum_exp(q, n), sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += expl((long double)p[i] - lp) * (((long double)p[i] - lp) - ((long double)q[i] - lq));
    }
    return sum;
}

static void fill(float *x, size_t n, unsigned seed) {
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = (float)(seed >> 8) / (float)(1 << 24) * 20.0f - 10.0f;
    }
}

static double divergence(const float *p, const float *q, size_t n) {
    struct llama_logits_summary a = llama_logits_summarise(p, n), b = llama_logits_summarise(q, n);
    return llama_logits_divergence(p, &a, q, &b, n);
}

static void summary_agrees_with_the_definition(void **state) {
    (void)state;
    for (size_t k = 0; k < ARRAY_SIZE(sizes); k++) {
        float x[1023];
        fill(x, sizes[k], (unsigned)k + 1);
        struct llama_logits_summary s = llama_logits_summarise(x, sizes[k]);
        assert_true(fabs(s.log_sum_exp - (double)slow_log_sum_exp(x, sizes[k])) < 1e-6);
        for (size_t i = 0; i < sizes[k]; i++) {
            assert_true(x[i] <= x[s.top]);
        }
    }
}

static void divergence_agrees_with_the_definition(void **state) {
    (void)state;
    for (size_t k = 0; k < ARRAY_SIZE(sizes); k++) {
        float p[1023], q[1023];
        fill(p, sizes[k], (unsigned)k + 1);
        fill(q, sizes[k], (unsigned)k + 100);
        assert_true(fabs(divergence(p, q, sizes[k]) - (double)slow_divergence(p, q, sizes[k])) < 1e-5);
    }
}

static void divergence_from_itself_is_exactly_zero(void **state) {
    (void)state;
    float p[1023];
    fill(p, 1023, 5);
    assert_true(divergence(p, p, 1023) == 0);
}

/* p = (1/2, 1/2), q = (3/4, 1/4): ln(2/3)/2 + ln(2)/2 one way, 3/4 ln(3/2) + 1/4 ln(1/2) the other. */
static void divergence_has_a_direction(void **state) {
    (void)state;
    float p[2] = {0, 0}, q[2] = {logf(3), 0};
    assert_true(fabs(divergence(p, q, 2) - 0.5 * (log(2.0 / 3) + log(2))) < 1e-6);
    assert_true(fabs(divergence(q, p, 2) - (0.75 * log(1.5) + 0.25 * log(0.5))) < 1e-6);
}

static void a_shift_of_all_logits_changes_nothing(void **state) {
    (void)state;
    float p[17], q[17];
    fill(p, 17, 3);
    for (size_t i = 0; i < 17; i++) {
        q[i] = p[i] + 1000.0f;
    }
    assert_true(divergence(p, q, 17) < 1e-4);
    assert_true(isfinite(llama_logits_summarise(q, 17).log_sum_exp));
}

static void the_first_of_equal_logits_is_the_top(void **state) {
    (void)state;
    float x[4] = {1, 2, 2, 0};
    assert_int_equal(llama_logits_summarise(x, 4).top, 1);
}

static void excluded_tokens(void **state) {
    (void)state;
    float p[3] = {0, 1, -INFINITY}, q[3] = {0, 1, 2}, r[3] = {-INFINITY, 1, 0};
    assert_true(isfinite(divergence(p, q, 3))); /* p excludes what q allows */
    assert_true(isinf(divergence(q, p, 3)));
    assert_true(isfinite(divergence(p, p, 3)));
    assert_true(isinf(divergence(p, r, 3)));
}

static void nan_is_not_finite(void **state) {
    (void)state;
    float x[3] = {1, NAN, 2};
    assert_true(!isfinite(llama_logits_summarise(x, 3).log_sum_exp));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(summary_agrees_with_the_definition),
        cmocka_unit_test(divergence_agrees_with_the_definition),
        cmocka_unit_test(divergence_from_itself_is_exactly_zero),
        cmocka_unit_test(divergence_has_a_direction),
        cmocka_unit_test(a_shift_of_all_logits_changes_nothing),
        cmocka_unit_test(the_first_of_equal_logits_is_the_top),
        cmocka_unit_test(excluded_tokens),
        cmocka_unit_test(nan_is_not_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
