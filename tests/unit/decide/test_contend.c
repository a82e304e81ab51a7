/* What is worth measuring further: against what a full measurement would choose, and case by case. */
#include "tests/support/test.h"

#include <math.h>
#include <string.h>

#include "advisor/decide/contend.h"
#include "tests/unit/decide/random_question.h"

enum { VARIANTS = 4 };

/* fp32 measured with both settings (the second is twice as cheap), three levels with the first. */
struct scene {
    struct recommend_question q;
    struct recommend_machine machine;
    struct recommend_variant variants[VARIANTS];
    struct accuracy accuracies[VARIANTS];
    struct recommend_candidate candidates[VARIANTS + 1];
    struct contend_level levels[VARIANTS];
    enum contend_what what[VARIANTS];
    struct floor floor;
    struct budget budget;
};

static void set(struct scene *s, const double per_s[VARIANTS]) {
    static const char *const recipes[] = {"fp32", "int8:static", "int4", "fp16"};
    *s = (struct scene){.machine = {"mt_1", "box", 0.36}};
    for (uint32_t i = 0; i < VARIANTS; i++) {
        s->accuracies[i] = counted(9478, 0, 0, 522);
        s->variants[i] = (struct recommend_variant){.id = recipes[i],
                                                    .recipe = recipes[i],
                                                    .steps = i != 0,
                                                    .is_baseline = i == 0,
                                                    .size_bytes = 3 << 20,
                                                    .accuracies = &s->accuracies[i],
                                                    .accuracy_count = i < 2};
        s->candidates[i] = (struct recommend_candidate){.id = "cfg",
                                                        .variant = i,
                                                        .instances = 1,
                                                        .threads = 2,
                                                        .batch = 1,
                                                        .memory_mib = 30,
                                                        .throughput = throughput_exact(per_s[i])};
        s->levels[i] = (struct contend_level){.started = true, .wide = i == 0};
    }
    s->candidates[VARIANTS] = s->candidates[0];
    s->candidates[VARIANTS].instances = 2;
    s->candidates[VARIANTS].threads = 1;
    s->candidates[VARIANTS].throughput = throughput_exact(2 * per_s[0]);
    assert_int_equal(floor_parse("relative>=0.99", &s->floor, NULL), RC_OK);
    s->q = (struct recommend_question){&s->floor,   1, NULL,        0,        0.95,          NAN,
                                       &s->machine, 1, s->variants, VARIANTS, s->candidates, VARIANTS + 1};
}

static void next(struct scene *s) {
    assert_int_equal(contend_next(&s->q, s->levels, s->what, NULL), RC_OK);
}

static void assert_reason(struct scene *s, uint32_t variant, const char *expected) {
    struct buf b;
    buf_init(&b, 1024);
    assert_int_equal(contend_reason(&s->q, s->levels, variant, &b, NULL), RC_OK);
    if (!strstr(b.data, expected)) {
        fail_msg("\"%s\" does not hold \"%s\"", b.data, expected);
    }
    buf_free(&b);
}

static void only_what_could_still_win_is_widened(void **state) {
    (void)state;
    struct scene s;
    /* int8 qualifies at 1000/s; other settings bring fp32 2x, so that 2.67x is hoped for at most: 400/s could
     * come to 1067/s, 300/s to 800/s. */
    set(&s, (const double[]){200, 1000, 400, 300});
    next(&s);
    assert_int_equal(s.what[0], CONTEND_NOTHING);
    assert_int_equal(s.what[1], CONTEND_WIDEN);
    assert_int_equal(s.what[2], CONTEND_WIDEN);
    assert_int_equal(s.what[3], CONTEND_NOTHING);
    assert_reason(&s, 3, "at best, and int8:static qualifies at 0.1");
    s.levels[1].wide = s.levels[2].wide = true;
    next(&s);
    assert_int_equal(s.what[1], CONTEND_NOTHING);
    assert_int_equal(s.what[2], CONTEND_NOTHING);
}

static void what_breaks_its_floor_is_not_widened(void **state) {
    (void)state;
    struct scene s;
    set(&s, (const double[]){200, 1000, 900, 300});
    s.accuracies[2] = counted(5000, 0, 4478, 522);
    s.variants[2].accuracy_count = 1;
    next(&s);
    assert_int_equal(s.what[2], CONTEND_NOTHING);
    assert_reason(&s, 2, "its accuracy breaks a floor");
}

static void what_cannot_help_is_started_only_when_nothing_qualifies(void **state) {
    (void)state;
    struct scene s;
    set(&s, (const double[]){200, 1000, 400, 300});
    s.levels[3].started = false;
    s.q.candidate_count = 3; /* fp16 and fp32's second setting are not measured */
    s.levels[1].wide = s.levels[2].wide = true;
    next(&s);
    assert_int_equal(s.what[3], CONTEND_NOTHING);
    assert_reason(
        &s, 3, "cannot be faster than the uncompressed model on these machines, and int8:static qualifies");
    assert_int_equal(budget_parse("size<=1MiB", &s.budget, NULL), RC_OK);
    s.q.budgets = &s.budget;
    s.q.budget_count = 1;
    next(&s);
    assert_int_equal(s.what[3], CONTEND_START);
    assert_reason(&s, 3, "its file of 3.0 MiB breaks the budget size<=");
    s.levels[2].wide = false; /* what may help comes first */
    next(&s);
    assert_int_equal(s.what[2], CONTEND_WIDEN);
    assert_int_equal(s.what[3], CONTEND_NOTHING);
}

static void files_are_held_against_size_budgets_alone(void **state) {
    (void)state;
    struct budget budgets[2];
    assert_int_equal(budget_parse("p99<=5ms", &budgets[0], NULL), RC_OK);
    assert_int_equal(budget_parse("size<=1MiB", &budgets[1], NULL), RC_OK);
    assert_null(contend_too_large(budgets, 2, 1 << 20));
    assert_ptr_equal(contend_too_large(budgets, 2, (1 << 20) + 1), &budgets[1]);
    assert_null(contend_too_large(budgets, 1, UINT64_MAX));
}

/* As long as a variant's settings differ no more than CONTEND_GENEROUS allows from the baseline's, leaving
 * out never changes the choice. */
static void leaving_out_never_loses_the_cheapest(void **state) {
    (void)state;
    struct rng r;
    rng_seed(&r, 7);
    for (int round = 0; round < 2000; round++) {
        struct scene s;
        double per_s[VARIANTS], second[VARIANTS], best = 0;
        for (int i = 0; i < VARIANTS; i++) {
            per_s[i] = 100 + 900 * rng_uniform(&r);
            second[i] = per_s[i] *
                        (i == 0 ? 2 : 2 * (0.5 + 0.8 * rng_uniform(&r))); /* up to 2.6x, 2.67x is hoped for */
        }
        set(&s, per_s);
        for (uint32_t i = 2; i < VARIANTS; i++) { /* all keep the floor, the evaluations are done */
            s.variants[i].accuracy_count = 1;
        }
        next(&s);
        for (int i = 0; i < VARIANTS; i++) {
            best = fmax(best, fmax(per_s[i], second[i]));
        }
        for (uint32_t i = 1; i < VARIANTS; i++) {
            if (fmax(per_s[i], second[i]) == best && second[i] == best) {
                assert_int_equal(s.what[i], CONTEND_WIDEN);
            }
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_could_still_win_is_widened),
        cmocka_unit_test(what_breaks_its_floor_is_not_widened),
        cmocka_unit_test(what_cannot_help_is_started_only_when_nothing_qualifies),
        cmocka_unit_test(files_are_held_against_size_budgets_alone),
        cmocka_unit_test(leaving_out_never_loses_the_cheapest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
