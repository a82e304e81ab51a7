#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "advisor/decide/explain.h"
#include "advisor/decide/gate.h"
#include "tests/unit/decide/random_question.h"

struct scene {
    struct recommend_question q;
    struct recommend_machine machine;
    struct recommend_variant variants[4];
    struct accuracy accuracies[4];
    struct recommend_candidate candidates[4];
    struct floor floors[2];
    struct budget budgets[2];
    struct recommend_outcome o;
};

static struct latency steady(float us, size_t n) {
    float samples[600];
    struct latency l;
    for (size_t i = 0; i < n; i++) {
        samples[i] = us;
    }
    assert_int_equal(latency_summarise(samples, n, 0.95, &l, NULL), RC_OK);
    return l;
}

static void set(struct scene *s, const char *floor, const char *budget) {
    static const char *const recipes[] = {"fp32", "int8:static,act=u8", "int8:dynamic", "prune:magnitude"};
    static const double per_s[] = {320, 871, 40, 1500};
    static const float us[] = {950, 441, 11900, 250};
    *s = (struct scene){.machine = {"mt_1", "box", 0.972}};
    s->accuracies[0] = counted(9478, 0, 0, 522);
    s->accuracies[1] = counted(9466, 6, 12, 516);
    s->accuracies[2] = counted(9476, 3, 2, 519);
    s->accuracies[3] = counted(9170, 20, 308, 502);
    for (uint32_t i = 0; i < 4; i++) {
        s->variants[i] = (struct recommend_variant){recipes[i], recipes[i],        i != 0, i == 0, NULL,
                                                    1000,       &s->accuracies[i], 1,      NULL};
        s->candidates[i] = (struct recommend_candidate){.id = "cfg",
                                                        .variant = i,
                                                        .instances = 1,
                                                        .threads = 2,
                                                        .batch = 1,
                                                        .memory_mib = 30,
                                                        .throughput = throughput_exact(per_s[i]),
                                                        .latency = steady(us[i], 600)};
    }
    assert_int_equal(floor_parse(floor, &s->floors[0], NULL), RC_OK);
    assert_int_equal(budget_parse(budget, &s->budgets[0], NULL), RC_OK);
    s->q = (struct recommend_question){s->floors,   1, s->budgets,  1, 0.95,          NAN,
                                       &s->machine, 1, s->variants, 4, s->candidates, 4};
}

static void decide(struct scene *s) {
    assert_int_equal(recommend_decide(&s->q, &s->o, NULL), RC_OK);
}

static void assert_text(struct buf *b, const char *expected) {
    assert_string_equal(b->data, expected);
    buf_clear(b);
}

static void summary_reads_as_promised(void **state) {
    (void)state;
    struct scene s;
    struct buf b;
    buf_init(&b, 4096);
    set(&s, "relative>=0.99", "p99<=5ms");
    decide(&s);
    assert_int_equal(explain_summary(&s.q, &s.o, &b, NULL), RC_OK);
    assert_text(&b, "int8:static,act=u8 on 2 threads costs 0.31 USD per million, 2.7x less than fp32, and "
                    "keeps 99.9 % of "
                    "its accuracy.");
    recommend_outcome_free(&s.o);
    s.machine.usd_per_hour = NAN;
    s.candidates[1].instances = 2;
    s.candidates[1].threads = 1;
    s.variants[3].accuracy_count = 0;
    decide(&s);
    assert_int_equal(explain_summary(&s.q, &s.o, &b, NULL), RC_OK);
    assert_text(
        &b,
        "int8:static,act=u8 on 2 instances of 1 thread costs 0.319 machine-hours per million, 2.7x less than "
        "fp32, and keeps 99.9 % of its accuracy. 1 cheaper configuration is undecided.");
    recommend_outcome_free(&s.o);
    buf_free(&b);
}

static void summary_says_when_compressing_does_not_pay(void **state) {
    (void)state;
    struct scene s;
    struct buf b;
    buf_init(&b, 4096);
    set(&s, "relative>=0.99", "p99<=5ms");
    s.q.candidate_count = 1;
    decide(&s);
    assert_int_equal(explain_summary(&s.q, &s.o, &b, NULL), RC_OK);
    assert_text(
        &b, "fp32 on 2 threads costs 0.844 USD per million; no compressed variant that qualifies is clearly "
            "cheaper.");
    recommend_outcome_free(&s.o);
    s.q.candidate_count = 0;
    decide(&s);
    assert_int_equal(explain_summary(&s.q, &s.o, &b, NULL), RC_OK);
    assert_text(&b, "Nothing has been measured yet.");
    recommend_outcome_free(&s.o);
    buf_free(&b);
}

static void reasons_name_the_figure_and_the_limit(void **state) {
    (void)state;
    struct scene s;
    struct buf b;
    buf_init(&b, 4096);
    set(&s, "relative>=0.99", "p99<=5ms");
    decide(&s);
    assert_int_equal(explain_candidate(&s.q, &s.o, 2, &b, NULL), RC_OK);
    assert_text(
        &b,
        "p99 11.9 ms breaks the budget of 5 ms; slower than the uncompressed model: 8.00x its cost with the "
        "same settings");
    assert_int_equal(explain_candidate(&s.q, &s.o, 3, &b, NULL), RC_OK);
    assert_memory_equal(b.data, "relative accuracy 0.9696 breaks the floor relative>=0.99 (0.966", 63);
    assert_non_null(strstr(b.data, "by Tango score test, n=10000)"));
    buf_clear(&b);
    assert_int_equal(explain_candidate(&s.q, &s.o, 1, &b, NULL), RC_OK);
    assert_text(&b, "chosen: 0.31 USD per million, the least of those that meet everything");
    assert_int_equal(explain_candidate(&s.q, &s.o, 0, &b, NULL), RC_OK);
    assert_text(&b, "meets everything; costs 2.72x the choice");
    recommend_outcome_free(&s.o);

    s.variants[2].accuracy_count = 0;
    s.variants[2].note = "Conv became ConvInteger";
    s.q.budget_count = 0;
    s.variants[3].failure = "no MatMul or Conv with constant weights";
    decide(&s);
    assert_int_equal(explain_candidate(&s.q, &s.o, 2, &b, NULL), RC_OK);
    assert_text(
        &b, "costs more; accuracy not measured; slower than the uncompressed model: 8.00x its cost with the "
            "same settings (Conv became ConvInteger)");
    assert_int_equal(explain_rejected(&s.q, &s.o, &s.o.rejected[0], &b, NULL), RC_OK);
    assert_text(&b, "no MatMul or Conv with constant weights");
    recommend_outcome_free(&s.o);
    buf_free(&b);
}

static void a_tie_is_called_a_tie(void **state) {
    (void)state;
    struct scene s;
    struct buf b;
    buf_init(&b, 4096);
    set(&s, "relative>=0.9", "p99<=5ms");
    s.candidates[1].throughput = throughput_exact(1490);
    s.candidates[1].latency = steady(100, 600);
    decide(&s);
    assert_int_equal(s.o.choice, 1);
    assert_int_equal(explain_candidate(&s.q, &s.o, 1, &b, NULL), RC_OK);
    assert_text(&b, "chosen: 0.181 USD per million, in a tie with the cheapest that meets everything");
    assert_int_equal(explain_candidate(&s.q, &s.o, 3, &b, NULL), RC_OK);
    assert_text(&b, "meets everything; its cost, 0.18 USD per million, is in a tie with the choice's");
    recommend_outcome_free(&s.o);
    buf_free(&b);
}

static void a_figure_close_to_its_limit_is_shown_apart_from_it(void **state) {
    (void)state;
    struct scene s;
    struct buf b;
    buf_init(&b, 4096);
    set(&s, "top1>=0.9476", "p99<=5ms");
    s.candidates[0].latency = steady(5000.4f, 600);
    decide(&s);
    struct check c;
    budget_judge(&s.budgets[0], &(struct budget_subject){.latency = &s.candidates[0].latency}, &c);
    assert_int_equal(explain_budget(&s.budgets[0], &c, &b, NULL), RC_OK);
    assert_text(&b, "p99 5.0004 ms breaks the budget of 5 ms");
    c = (struct check){
        .verdict = VERDICT_BROKEN, .measured = true, .value = 0.94759, .low = NAN, .high = NAN};
    assert_int_equal(explain_floor(&s.floors[0], &c, &b, NULL), RC_OK);
    assert_text(&b, "top1 0.94759 breaks the floor top1>=0.9476");
    recommend_outcome_free(&s.o);
    buf_free(&b);
}

static void a_small_gain_is_not_called_1_0x(void **state) {
    (void)state;
    struct scene s;
    struct buf b;
    buf_init(&b, 4096);
    set(&s, "relative>=0.99", "p99<=5ms");
    s.candidates[1].throughput = throughput_exact(330);
    s.q.candidate_count = 2;
    decide(&s);
    assert_int_equal(s.o.choice, 1);
    assert_int_equal(explain_summary(&s.q, &s.o, &b, NULL), RC_OK);
    assert_non_null(strstr(b.data, ", about as much as fp32, and keeps "));
    recommend_outcome_free(&s.o);
    buf_free(&b);
}

static void too_few_runs_are_said_with_how_many_more(void **state) {
    (void)state;
    struct scene s;
    struct buf b;
    buf_init(&b, 4096);
    set(&s, "relative>=0.99", "p99<=5ms");
    s.candidates[1].latency = steady(441, 200);
    s.q.candidate_count = 2;
    s.variants[0].failure = "crashed";
    decide(&s);
    assert_int_equal(s.o.status, RECOMMEND_UNDECIDED);
    assert_int_equal(explain_candidate(&s.q, &s.o, 1, &b, NULL), RC_OK);
    assert_text(&b, "p99 not supported at n=200: needs about 99 more runs");
    assert_int_equal(explain_summary(&s.q, &s.o, &b, NULL), RC_OK);
    assert_text(
        &b,
        "No configuration is shown to meet every limit yet; the cheapest undecided, int8:static,act=u8 on 2 "
        "threads: p99 not supported at n=200: needs about 99 more runs.");
    recommend_outcome_free(&s.o);
    buf_free(&b);
}

static void the_way_out_is_a_limit_to_type(void **state) {
    (void)state;
    struct scene s;
    struct buf b;
    buf_init(&b, 4096);
    set(&s, "relative>=0.99", "p99<=0.3ms");
    decide(&s);
    assert_int_equal(s.o.status, RECOMMEND_NOTHING);
    assert_int_equal(explain_relaxation(&s.q, &s.o, &s.o.relaxations[0], &b, NULL), RC_OK);
    struct floor relaxed;
    char *end = strchr(b.data, ' ');
    assert_non_null(
        strstr(b.data, " instead of relative>=0.99 would admit prune:magnitude at 0.18 USD per million"));
    *end = '\0';
    assert_int_equal(floor_parse(b.data, &relaxed, NULL), RC_OK);
    assert_true(relaxed.bound <= s.o.relaxations[0].needed); /* rounded to the safe side */
    buf_clear(&b);
    assert_int_equal(explain_relaxation(&s.q, &s.o, &s.o.relaxations[1], &b, NULL), RC_OK);
    assert_text(&b,
                "p99<=441us instead of p99<=300us would admit int8:static,act=u8 at 0.31 USD per million");
    assert_int_equal(explain_summary(&s.q, &s.o, &b, NULL), RC_OK);
    assert_memory_equal(
        b.data, "No configuration meets every limit; the nearest, prune:magnitude on 2 threads: ", 79);
    recommend_outcome_free(&s.o);
    buf_free(&b);
}

static void every_candidate_of_any_question_has_a_reason(void **state) {
    (void)state;
    struct rng r;
    rng_seed(&r, 91);
    static struct random_question x;
    for (int round = 0; round < 150; round++) {
        random_question(&x, &r);
        struct recommend_outcome o;
        struct buf b;
        buf_init(&b, 1 << 16);
        assert_int_equal(recommend_decide(&x.q, &o, NULL), RC_OK);
        assert_int_equal(explain_summary(&x.q, &o, &b, NULL), RC_OK);
        for (uint32_t i = 0; i < x.q.candidate_count; i++) {
            buf_clear(&b);
            assert_int_equal(explain_candidate(&x.q, &o, i, &b, NULL), RC_OK);
            assert_true(b.size > 5 && !strstr(b.data, "nan") && !strstr(b.data, "inf"));
        }
        for (size_t i = 0; i < o.relaxation_count; i++) {
            buf_clear(&b);
            assert_int_equal(explain_relaxation(&x.q, &o, &o.relaxations[i], &b, NULL), RC_OK);
            assert_true(!strstr(b.data, "nan") && !strstr(b.data, "inf"));
        }
        recommend_outcome_free(&o);
        buf_free(&b);
    }
}

static void gate_fails_on_any_broken_and_waits_on_any_undecided(void **state) {
    (void)state;
    struct gate_check checks[3] = {{.check = {.verdict = VERDICT_MET}},
                                   {.check = {.verdict = VERDICT_MET}},
                                   {.check = {.verdict = VERDICT_MET}}};
    assert_int_equal(gate_judge(checks, 3), GATE_PASS);
    checks[0].check.verdict = VERDICT_UNDECIDED;
    assert_int_equal(gate_judge(checks, 3), GATE_INCONCLUSIVE);
    checks[2].check.verdict = VERDICT_BROKEN;
    assert_int_equal(gate_judge(checks, 3), GATE_FAIL);
    assert_int_equal(gate_judge(checks, 0), GATE_INCONCLUSIVE);
    assert_int_equal(gate_exit_code(GATE_PASS), 0);
    assert_int_equal(gate_exit_code(GATE_FAIL), 1);
    assert_int_equal(gate_exit_code(GATE_INCONCLUSIVE), 3);
}

static void gate_checks_every_limit_of_the_question(void **state) {
    (void)state;
    struct scene s;
    struct gate_check checks[RECOMMEND_MAX_LIMITS];
    size_t count = 0;
    set(&s, "relative>=0.99", "p99<=5ms");
    decide(&s);
    assert_int_equal(gate_checks(&s.q, &s.o, 2, checks, &count, NULL), RC_OK);
    assert_int_equal(count, 2);
    assert_string_equal(checks[0].limit, "relative>=0.99");
    assert_int_equal(checks[0].check.verdict, VERDICT_MET);
    assert_true(checks[0].bound == 0.99);
    assert_string_equal(checks[1].limit, "p99<=5ms");
    assert_string_equal(checks[1].text, "p99 11.9 ms breaks the budget of 5 ms");
    assert_int_equal(gate_judge(checks, count), GATE_FAIL);
    recommend_outcome_free(&s.o);
}

static void gate_markdown_shows_the_table_and_defuses_names(void **state) {
    (void)state;
    struct gate_check check = {.limit = "p99<=5ms", .text = "p99 4 ms meets the budget of 5 ms"};
    struct buf b;
    buf_init(&b, 4096);
    assert_int_equal(gate_markdown("main", "evil|<img>`@all`\n# x", "fp32 on 2 threads", &check, 1, &b, NULL),
                     RC_OK);
    assert_text(
        &b,
        "### Gate main: pass\n\nModel: evil\\|&#60;img&#62;\\`&#64;all\\` \\# x  \nConfiguration: fp32 on 2 "
        "threads\n\n| limit | verdict | why |\n|---|---|---|\n| `p99<=5ms` | met | p99 4 ms meets the budget "
        "of 5 ms |\n");
    buf_free(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(summary_reads_as_promised),
        cmocka_unit_test(summary_says_when_compressing_does_not_pay),
        cmocka_unit_test(reasons_name_the_figure_and_the_limit),
        cmocka_unit_test(a_tie_is_called_a_tie),
        cmocka_unit_test(a_figure_close_to_its_limit_is_shown_apart_from_it),
        cmocka_unit_test(a_small_gain_is_not_called_1_0x),
        cmocka_unit_test(too_few_runs_are_said_with_how_many_more),
        cmocka_unit_test(the_way_out_is_a_limit_to_type),
        cmocka_unit_test(every_candidate_of_any_question_has_a_reason),
        cmocka_unit_test(gate_fails_on_any_broken_and_waits_on_any_undecided),
        cmocka_unit_test(gate_checks_every_limit_of_the_question),
        cmocka_unit_test(gate_markdown_shows_the_table_and_defuses_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
