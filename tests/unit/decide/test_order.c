#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "advisor/decide/order.h"
#include "tests/unit/decide/random_question.h"

/* Evaluates in the order asked for; ends with the number of variants evaluated. */
static size_t follow(struct random_question *x, enum order_rule rule, uint32_t *visited) {
    size_t n = 0;
    for (;;) {
        uint32_t next = RECOMMEND_NONE;
        assert_int_equal(order_next(&x->q, rule, &next, NULL), RC_OK);
        if (next == RECOMMEND_NONE) {
            return n;
        }
        assert_int_equal(x->variants[next].accuracy_count, 0);
        assert_null(x->variants[next].failure);
        x->variants[next].accuracy_count = 1;
        visited[n++] = next;
    }
}

static void forget(struct random_question *x) {
    for (size_t v = 0; v < x->q.variant_count; v++) {
        x->variants[v].accuracy_count = 0;
    }
}

static void all_evaluates_every_variant_with_a_candidate(void **state) {
    (void)state;
    struct rng r;
    rng_seed(&r, 61);
    static struct random_question x;
    uint32_t visited[MAX_VARIANTS];
    for (int round = 0; round < 100; round++) {
        random_question(&x, &r);
        forget(&x);
        size_t n = follow(&x, ORDER_ALL, visited), expected = 0;
        for (size_t v = 0; v < x.q.variant_count; v++) {
            int has = v == 0;
            for (size_t c = 0; c < x.q.candidate_count; c++) {
                has |= x.candidates[c].variant == v;
            }
            expected += has && !x.variants[v].failure;
        }
        assert_int_equal(n, expected);
        assert_true(n == 0 || visited[0] == 0); /* the baseline first */
    }
}

/* Nothing that was left out could have been chosen: its candidates break a budget or cost more than one that
 * qualifies. */
static void needed_leaves_out_only_what_cannot_win(void **state) {
    (void)state;
    struct rng r;
    rng_seed(&r, 62);
    static struct random_question x;
    uint32_t visited[MAX_VARIANTS];
    size_t left_out = 0;
    for (int round = 0; round < 300; round++) {
        random_question(&x, &r);
        forget(&x);
        follow(&x, ORDER_NEEDED, visited);
        struct recommend_outcome o;
        assert_int_equal(recommend_decide(&x.q, &o, NULL), RC_OK);
        for (uint32_t i = 0; x.q.floor_count && i < x.q.candidate_count; i++) {
            const struct recommend_variant *v = &x.variants[x.candidates[i].variant];
            const struct recommend_verdict *verdict = &o.verdicts[i];
            if (v->accuracy_count || v->failure || isnan(verdict->cost.value)) {
                continue;
            }
            left_out++;
            int broken = verdict->place == PLACE_REJECTED && verdict->reason != REASON_COSTS_MORE;
            assert_true(
                broken ||
                (o.choice != RECOMMEND_NONE && verdict->cost.value > o.verdicts[o.choice].cost.value) ||
                (o.choice != RECOMMEND_NONE && !recommend_tied(&x.q, &o, i, o.choice)));
        }
        recommend_outcome_free(&o);
    }
    assert_true(left_out > 50);
}

static void evaluation_goes_from_the_cheapest_up_and_stops(void **state) {
    (void)state;
    struct recommend_machine machine = {"mt", "box", 1};
    struct accuracy a[4] = {counted(9500, 0, 0, 500), counted(9000, 0, 500, 500), counted(9495, 3, 5, 497),
                            counted(9500, 0, 0, 500)};
    struct recommend_variant variants[4];
    struct recommend_candidate candidates[4];
    const double per_s[] = {100, 900, 700, 500};
    struct floor floors[1];
    assert_int_equal(floor_parse("relative>=0.99", &floors[0], NULL), RC_OK);
    for (uint32_t i = 0; i < 4; i++) {
        variants[i] = (struct recommend_variant){"var", "r", i != 0, i == 0, NULL, 1, &a[i], 0, NULL};
        candidates[i] =
            (struct recommend_candidate){.id = "cfg", .variant = i, .threads = 2, .instances = 1, .batch = 1};
        candidates[i].throughput = throughput_exact(per_s[i]);
    }
    struct recommend_question q = {floors, 1, NULL, 0, 0.95, NAN, &machine, 1, variants, 4, candidates, 4};
    const uint32_t expected[] = {
        0, 1, 2, RECOMMEND_NONE}; /* baseline; cheapest, too bad; next, good; the last costs more */
    for (int i = 0; i < 4; i++) {
        uint32_t next;
        assert_int_equal(order_next(&q, ORDER_NEEDED, &next, NULL), RC_OK);
        assert_int_equal(next, expected[i]);
        if (next != RECOMMEND_NONE) {
            variants[next].accuracy_count = 1;
        }
    }
    uint32_t next;
    assert_int_equal(order_next(&q, ORDER_ALL, &next, NULL), RC_OK);
    assert_int_equal(next, 3);
}

static void without_floors_nothing_needs_evaluating(void **state) {
    (void)state;
    struct rng r;
    rng_seed(&r, 63);
    static struct random_question x;
    uint32_t next;
    random_question(&x, &r);
    forget(&x);
    x.q.floor_count = 0;
    assert_int_equal(order_next(&x.q, ORDER_NEEDED, &next, NULL), RC_OK);
    assert_int_equal(next, RECOMMEND_NONE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_evaluates_every_variant_with_a_candidate),
        cmocka_unit_test(needed_leaves_out_only_what_cannot_win),
        cmocka_unit_test(evaluation_goes_from_the_cheapest_up_and_stops),
        cmocka_unit_test(without_floors_nothing_needs_evaluating),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
