#include "advisor/jobs/comparisons.h"

#include "advisor/jobs/gate_comparison.h"
#include "tests/unit/jobs/jobs_fixture.h"

/* What the made-up worker reports of a replicate. */
struct made {
    double log_ratio, seconds;
    bool stable;
};

static json_t *claim(struct fixture *f) {
    FINE(jobs_step(f->jobs, err));
    return fixture_claim(f, f->target);
}

static enum rc report(struct fixture *f, const json_t *job, const struct made *m, int samples) {
    float us[30];
    json_t *answer = NULL;
    struct err err;
    for (int i = 0; i < 30; i++) {
        us[i] = (float)(500 + i);
    }
    json_t *files = json_pack("[o, o]", fixture_file(f, "model.bin", us, sizeof(us)),
                              fixture_file(f, "reference.bin", us, sizeof(us)));
    json_t *body = json_pack("{s:O, s:{s:f, s:f, s:i, s:{s:b}, s:n, s:{s:f, s:s}, s:{s:f, s:s}}, s:o}",
                             "token", json_object_get(job, "token"), "result", "log_ratio", m->log_ratio,
                             "seconds", m->seconds, "n", samples, "conditions", "stable", (int)m->stable,
                             "repeated", "model", "p50_us", 510.0, "samples", "model.bin", "reference",
                             "p50_us", 505.0, "samples", "reference.bin", "files", files);
    enum rc rc = dispatch_result(f->jobs, id_of(job), body, &answer, &err);
    json_decref(answer);
    json_decref(body);
    return rc;
}

/* One replicate by the planner and the worker. False when there is no job. */
static bool measure(struct fixture *f, double log_ratio) {
    const struct made m = {log_ratio, 1.5, true};
    json_t *claimed = claim(f);
    if (claimed) {
        assert_int_equal(report(f, json_object_get(claimed, "job"), &m, 30), RC_OK);
    }
    json_decref(claimed);
    return claimed != NULL;
}

static json_t *begin(struct fixture *f, const char *measure_text) {
    char text[512];
    json_t *answer = NULL;
    snprintf(text, sizeof(text),
             "{\"configurations\": [\"%s\", \"%s\"], \"dataset\": \"%s\", \"measure\": %s}", f->model,
             f->model, f->dataset, measure_text);
    json_t *body = fixture_json(text);
    FINE(comparisons_start(f->jobs, body, &answer, err));
    json_decref(body);
    return answer;
}

static json_t *look(struct fixture *f, const char *id) {
    json_t *answer = NULL;
    FINE(comparisons_get(f->jobs, id, &answer, err));
    return answer;
}

/* Reports `log_ratios` in turn until no job comes any more; gives the verdict's comparison. */
static json_t *run(struct fixture *f, const char *measure_text, double ratio, int *replicates) {
    json_t *begun = begin(f, measure_text);
    *replicates = 0;
    while (*replicates < 100 && measure(f, ratio + 0.002 * (*replicates % 3 - 1))) {
        (*replicates)++;
    }
    json_t *ended = look(f, id_of(begun));
    json_decref(begun);
    return ended;
}

static void it_grows_until_decided(void **state) {
    struct fixture *f = *state;
    const struct {
        double ratio;
        const char *verdict;
    } cases[] = {{0, "same"}, {0.05, "slower"}, {-0.05, "faster"}};
    for (size_t i = 0; i < 3; i++) {
        int n = 0;
        json_t *ended = run(f, "{}", cases[i].ratio, &n);
        assert_string_equal(text_at(ended, "state"), "done");
        assert_string_equal(text_at(ended, "verdict"), cases[i].verdict);
        assert_int_equal(n, 5);
        assert_int_equal(json_array_size(json_object_get(ended, "replicates")), 5);
        assert_true(json_is_object(json_object_get(ended, "p90_ratio")));
        json_decref(ended);
    }
}

static void it_ends_undecided_when_time_is_up(void **state) {
    struct fixture *f = *state;
    int n = 0;
    json_t *ended = run(f, "{\"margin\": 0.02, \"time_limit_s\": 15}", 0.0198, &n);
    assert_string_equal(text_at(ended, "verdict"), "undecided");
    assert_int_equal(n, 10);
    json_decref(ended);
}

static void a_restart_in_the_middle_loses_and_repeats_nothing(void **state) {
    struct fixture *f = *state;
    json_t *begun = begin(f, "{}");
    assert_true(measure(f, 0.051) && measure(f, 0.05));
    jobs_close(f->jobs);
    fixture_open(f);
    json_t *claimed = claim(f); /* and the worker is lost as well */
    const json_t *job = json_object_get(claimed, "job");
    json_int_t first_seed = json_integer_value(json_object_get(json_object_get(job, "spec"), "seed"));
    f->now_ms += 40000;
    json_t *again = claim(f);
    assert_string_equal(id_of(json_object_get(again, "job")), id_of(job));
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(json_object_get(again, "job"), "spec"), "seed")),
        first_seed);
    const struct made late = {9, 1, true}, good = {0.049, 1, false};
    assert_int_equal(report(f, job, &late, 30), RC_CONFLICT); /* the lost one comes back */
    assert_int_equal(report(f, json_object_get(again, "job"), &good, 30), RC_OK);
    assert_int_equal(report(f, json_object_get(again, "job"), &good, 30), RC_OK); /* repeated */
    assert_true(measure(f, 0.05) && measure(f, 0.051));
    assert_false(measure(f, 0.05));
    json_t *ended = look(f, id_of(begun));
    assert_string_equal(text_at(ended, "verdict"), "slower");
    assert_int_equal(json_array_size(json_object_get(ended, "replicates")), 5);
    assert_int_equal(json_integer_value(json_object_get(ended, "unstable_replicates")), 1);
    json_decref(ended);
    json_decref(claimed);
    json_decref(again);
    json_decref(begun);
}

static void seeds_differ_between_replicates(void **state) {
    struct fixture *f = *state;
    json_t *begun = begin(f, "{}");
    json_int_t seeds[3];
    for (int i = 0; i < 3; i++) {
        const struct made m = {0.03, 1, true};
        json_t *claimed = claim(f);
        const json_t *job = json_object_get(claimed, "job");
        seeds[i] = json_integer_value(json_object_get(json_object_get(job, "spec"), "seed"));
        assert_string_equal(text_at(job, "kind"), "compare");
        assert_int_equal(report(f, job, &m, 30), RC_OK);
        json_decref(claimed);
    }
    assert_true(seeds[0] > 0 && seeds[0] != seeds[1] && seeds[1] != seeds[2] && seeds[0] != seeds[2]);
    json_decref(begun);
}

static void a_result_that_is_not_valid_fails_it_with_the_reason(void **state) {
    struct fixture *f = *state;
    json_t *begun = begin(f, "{}");
    json_t *claimed = claim(f);
    const struct made m = {0, 1, true};
    assert_int_equal(report(f, json_object_get(claimed, "job"), &m, 29), RC_OK); /* acknowledged */
    FINE(jobs_step(f->jobs, err));
    json_t *ended = look(f, id_of(begun));
    assert_string_equal(text_at(ended, "state"), "failed");
    assert_non_null(strstr(text_at(json_object_get(ended, "error"), "text"), "29 reported"));
    json_decref(ended);
    json_decref(claimed);
    json_decref(begun);
}

static void the_same_question_is_answered_once_where_asked_to_reuse(void **state) {
    struct fixture *f = *state;
    struct comparison_wish w = {.reference = f->model, .model = f->model, .dataset = f->dataset};
    char first[IDENT_SIZE], second[IDENT_SIZE], third[IDENT_SIZE], fourth[IDENT_SIZE];
    w.margin = 0.02;
    w.confidence = 0.95;
    w.time_limit_s = 6;
    w.reuse = true;
    FINE(comparisons_begin(f->jobs, &w, first, err));
    FINE(comparisons_begin(f->jobs, &w, second, err));
    assert_string_equal(first, second); /* it runs */
    for (int i = 0; i < 4; i++) {
        assert_true(measure(f, 0.0198));
    }
    assert_false(measure(f, 0)); /* out of time, undecided: asked again, measured again */
    FINE(comparisons_begin(f->jobs, &w, third, err));
    assert_string_not_equal(first, third);
    w.margin = 0.03;
    FINE(comparisons_begin(f->jobs, &w, fourth, err));
    assert_string_not_equal(third, fourth);
}

/* A model faster by just the margin is neither "same" nor "faster", and still it is not slower: that is all a
 * gate asks. */
static void a_gate_passes_what_is_shown_not_to_be_slower(void **state) {
    struct fixture *f = *state;
    const double ratios[] = {-0.0198, 0.0198, 0.05};
    const enum verdict verdicts[] = {VERDICT_MET, VERDICT_UNDECIDED, VERDICT_BROKEN};
    for (size_t i = 0; i < 3; i++) {
        struct gate_comparison g = {.wanted = true};
        struct gate_check check;
        g.wish = (struct comparison_wish){.reference = f->model,
                                          .dataset = f->dataset,
                                          .margin = 0.02 + 1e-6 * (double)i,
                                          .confidence = 0.95,
                                          .time_limit_s = 12,
                                          .reuse = true};
        FINE(gate_comparison_look(f->jobs, &g, f->model, err));
        assert_true(gate_comparison_waits(&g));
        json_decref(g.found);
        for (int n = 0; n < 8 && measure(f, ratios[i] + 0.001 * (n % 3 - 1)); n++) {
        }
        FINE(jobs_step(f->jobs, err));
        char first[IDENT_SIZE];
        memcpy(first, g.id, IDENT_SIZE);
        FINE(gate_comparison_look(f->jobs, &g, f->model, err)); /* the gate asks again */
        if (verdicts[i] == VERDICT_UNDECIDED) {
            assert_string_not_equal(g.id, first);
            assert_true(gate_comparison_waits(&g)); /* measured anew */
            json_decref(g.found);
            FINE(comparisons_cancel(f->jobs, g.id, &g.found, err));
            json_decref(g.found);
            g.found = look(f, first);
        } else {
            assert_string_equal(g.id, first);
        }
        FINE(gate_comparison_check(&g, &check, err));
        assert_int_equal(check.check.verdict, verdicts[i]);
        if (i == 0) {
            assert_string_equal(text_at(g.found, "verdict"), "undecided");
            assert_non_null(strstr(text_at(g.found, "summary"), "not slower by more than 2 %, but whether"));
            assert_non_null(strstr(check.text, ": not slower"));
        }
        json_decref(g.found);
    }
}

static void a_cancelled_one_gives_no_more_jobs(void **state) {
    struct fixture *f = *state;
    json_t *begun = begin(f, "{}"), *answer = NULL;
    struct err why;
    assert_true(measure(f, 0));
    FINE(jobs_step(f->jobs, err));
    FINE(comparisons_cancel(f->jobs, id_of(begun), &answer, err));
    assert_string_equal(text_at(answer, "state"), "cancelled");
    assert_int_equal(comparisons_cancel(f->jobs, id_of(begun), &answer, &why), RC_CONFLICT);
    assert_false(measure(f, 0));
    json_decref(answer);
    json_decref(begun);
}

#define T(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(it_grows_until_decided),
        T(it_ends_undecided_when_time_is_up),
        T(a_restart_in_the_middle_loses_and_repeats_nothing),
        T(seeds_differ_between_replicates),
        T(a_result_that_is_not_valid_fails_it_with_the_reason),
        T(the_same_question_is_answered_once_where_asked_to_reuse),
        T(a_gate_passes_what_is_shown_not_to_be_slower),
        T(a_cancelled_one_gives_no_more_jobs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
