#include "advisor/jobs/figures.h"
#include "db/store_jobs.h"
#include "tests/unit/jobs/jobs_fixture.h"

/* Claims jobs, doing them, until one of `kind` is there. */
static json_t *claim_kind(struct fixture *f, const char *kind) {
    for (int i = 0; i < 100; i++) {
        FINE(jobs_step(f->jobs, err));
        json_t *claimed = fixture_claim(f, f->target), *answer = NULL;
        assert_non_null(claimed);
        const json_t *job = json_object_get(claimed, "job");
        if (strcmp(text_at(job, "kind"), kind) == 0) {
            return claimed;
        }
        json_t *body = result_body(f, job);
        FINE(dispatch_result(f->jobs, id_of(job), body, &answer, err));
        json_decref(answer);
        json_decref(body);
        json_decref(claimed);
    }
    fail_msg("there was no job of kind %s", kind);
    return NULL;
}

static void job_is(struct fixture *f, const char *id, const char *state, const char *says) {
    struct store_tx *tx;
    struct store_job j;
    FINE(store_read_begin(jobs_store(f->jobs), &tx, err));
    FINE(store_job_get(tx, id, &j, err));
    assert_string_equal(j.state, state);
    if (says) {
        assert_non_null(strstr(j.error_text, says));
    }
    store_read_end(tx);
}

typedef void spoil_fn(struct fixture *f, json_t *result, json_t *files);

/* A result that is spoiled fails its job with a reason, and the worker is told that it is done with it. */
static void expect_refused(struct fixture *f, const char *kind, spoil_fn *spoil, const char *says) {
    json_t *study = fixture_study(f, ", \"recipes\": [\"fp16\"]"), *answer = NULL;
    json_t *claimed = claim_kind(f, kind);
    const json_t *job = json_object_get(claimed, "job");
    json_t *body = result_body(f, job);
    spoil(f, json_object_get(body, "result"), json_object_get(body, "files"));
    FINE(dispatch_result(f->jobs, id_of(job), body, &answer, err));
    job_is(f, id_of(job), "failed", says);
    json_decref(answer);
    json_decref(body);
    json_decref(claimed);
    json_decref(study);
}

static void drop_files(struct fixture *f, json_t *result, json_t *files) {
    (void)f;
    (void)result;
    json_array_clear(files);
}

static void name_a_stranger(struct fixture *f, json_t *result, json_t *files) {
    (void)f;
    (void)result;
    json_object_set_new(json_array_get(files, 0), "sha256",
                        json_string("0000000000000000000000000000000000000000000000000000000000000000"));
}

static void climb_out(struct fixture *f, json_t *result, json_t *files) {
    (void)f;
    (void)result;
    json_object_set_new(json_array_get(files, 0), "path", json_string("../../model.onnx"));
}

static void claim_more_rows(struct fixture *f, json_t *result, json_t *files) {
    (void)f;
    (void)files;
    json_object_set_new(json_array_get(json_object_get(result, "scores"), 0), "rows", json_integer(751));
}

static void claim_absurd_columns(struct fixture *f, json_t *result, json_t *files) {
    (void)f;
    (void)files;
    json_object_set_new(json_array_get(json_object_get(result, "scores"), 0), "columns",
                        json_integer(1 << 20));
}

static void score_nan(struct fixture *f, json_t *result, json_t *files) {
    enum { ROWS = 750 };
    float scores[ROWS][2];
    (void)result;
    for (int i = 0; i < ROWS; i++) {
        scores[i][0] = i == 300 ? NAN : 1;
        scores[i][1] = 1;
    }
    json_array_clear(files);
    json_array_append_new(files, fixture_file(f, "scores-top1.bin", scores, sizeof(scores)));
}

static void invent_metric(struct fixture *f, json_t *result, json_t *files) {
    (void)f;
    (void)files;
    json_object_set_new(json_array_get(json_object_get(result, "scores"), 0), "metric",
                        json_string("goodness"));
}

static void forget_offline(struct fixture *f, json_t *result, json_t *files) {
    (void)f;
    (void)files;
    json_object_del(json_object_get(result, "scenarios"), "offline");
}

static void sample_infinity(struct fixture *f, json_t *result, json_t *files) {
    enum { N = 600 };
    float samples[N];
    (void)result;
    for (int i = 0; i < N; i++) {
        samples[i] = i == 5 ? INFINITY : 100;
    }
    json_array_clear(files);
    json_array_append_new(files, fixture_file(f, "offline.bin", samples, sizeof(samples)));
    json_array_append_new(files, fixture_file(f, "single-stream.bin", samples, sizeof(samples)));
}

static void claim_no_throughput(struct fixture *f, json_t *result, json_t *files) {
    (void)f;
    (void)files;
    json_object_set_new(json_object_get(json_object_get(result, "scenarios"), "offline"), "throughput_per_s",
                        json_real(-5));
}

static void say_nothing(struct fixture *f, json_t *result, json_t *files) {
    (void)f;
    (void)files;
    json_object_clear(result);
}

static void hostile_results_fail_their_job_with_a_reason(void **state) {
    struct fixture *f = *state;
    expect_refused(f, "inspect", say_nothing, "examples");
    expect_refused(f, "compress", drop_files, "no file");
    expect_refused(f, "compress", name_a_stranger, "was not uploaded");
    expect_refused(f, "compress", climb_out, "relative");
    expect_refused(f, "profile", forget_offline, "offline");
    expect_refused(f, "profile", drop_files, "did not deliver");
    expect_refused(f, "profile", sample_infinity, "not valid");
    expect_refused(f, "profile", claim_no_throughput, "not valid");
    expect_refused(f, "evaluate", drop_files, "did not deliver");
    expect_refused(f, "evaluate", claim_more_rows, "bytes instead of");
    expect_refused(f, "evaluate", claim_absurd_columns, "impossible shape");
    expect_refused(f, "evaluate", score_nan, "not finite");
    expect_refused(f, "evaluate", invent_metric, "unknown metric");
}

/* Also before the baseline is evaluated, when they are not summarised yet: later they would fail the study.
 */
static void scores_without_a_figure_are_refused(void **state) {
    struct fixture *f = *state;
    static const struct {
        const char *metric;
        float scores[2][2];
        enum rc rc;
    } cases[] = {{"top1", {{1, 1}, {0, 1}}, RC_OK},
                 {"top1", {{0, 0}, {0, 0}}, RC_INPUT},
                 {"top1", {{1, 1}, {1, -1}}, RC_INPUT},
                 {"ppl", {{60000, 1}, {60000, 1}}, RC_INPUT}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        json_t *file = fixture_file(f, "scores.bin", cases[i].scores, sizeof(cases[i].scores));
        struct store_scores s = {.metric = cases[i].metric, .rows = 2, .columns = 1};
        struct err why;
        s.sha256 = json_string_value(json_object_get(file, "sha256"));
        assert_int_equal(figures_check_scores(jobs_store(f->jobs), &s, &why), cases[i].rc);
        json_decref(file);
    }
}

static void call_of_a_wrong_shape_is_refused_and_changes_nothing(void **state) {
    struct fixture *f = *state;
    static const char *const bad[] = {
        "{}", "{\"token\": \"1\", \"result\": {}}", "{\"token\": 1, \"result\": []}",
        "{\"token\": 1, \"result\": {}, \"files\": {}}", "{\"token\": 1, \"results\": {}}"};
    json_t *study = fixture_study(f, ""), *answer = NULL;
    struct err why;
    FINE(jobs_step(f->jobs, err));
    json_t *claimed = fixture_claim(f, f->target);
    const json_t *job = json_object_get(claimed, "job");
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        json_t *body = fixture_json(bad[i]);
        assert_int_equal(dispatch_result(f->jobs, id_of(job), body, &answer, &why), RC_INPUT);
        json_decref(body);
    }
    job_is(f, id_of(job), "running", NULL);
    json_decref(claimed);
    json_decref(study);
}

static void target_that_is_not_registered_claims_nothing(void **state) {
    struct fixture *f = *state;
    struct err why;
    json_t *body = fixture_json("{\"target_id\": \"tgt_none\"}"), *answer = NULL;
    assert_int_equal(dispatch_claim(f->jobs, body, &answer, &why), RC_NOT_FOUND);
    json_decref(body);
}

static void agent_that_starts_anew_gets_its_job_again(void **state) {
    struct fixture *f = *state;
    json_t *study = fixture_study(f, "");
    FINE(jobs_step(f->jobs, err));
    json_t *first = fixture_claim(f, f->target);
    assert_null(fixture_claim(f, f->target));
    fixture_register(f, "here", "avx512_vnni", f->target);
    json_t *second = fixture_claim(f, f->target);
    assert_non_null(second);
    assert_string_equal(id_of(json_object_get(first, "job")), id_of(json_object_get(second, "job")));
    json_decref(first);
    json_decref(second);
    json_decref(study);
}

static void claim_without_work_writes_nothing(void **state) {
    struct fixture *f = *state;
    uint64_t before = store_changes(jobs_store(f->jobs));
    for (int i = 0; i < 5; i++) {
        assert_null(fixture_claim(f, f->target));
    }
    assert_int_equal(store_changes(jobs_store(f->jobs)),
                     before); /* or parked claims would wake each other for ever */
}

static void heartbeat_shows_in_the_study_and_its_events(void **state) {
    struct fixture *f = *state;
    json_t *study = fixture_study(f, ""), *answer = NULL, *events = NULL;
    bool final;
    FINE(jobs_step(f->jobs, err));
    json_t *claimed = fixture_claim(f, f->target);
    const json_t *job = json_object_get(claimed, "job");
    json_t *beat = json_pack("{s:O, s:f, s:s}", "token", json_object_get(job, "token"), "fraction", 0.5,
                             "text", "half way");
    FINE(dispatch_heartbeat(f->jobs, id_of(job), beat, &answer, err));
    json_t *view = fixture_view(f, id_of(study));
    const json_t *current = json_array_get(json_object_get(json_object_get(view, "progress"), "current"), 0);
    assert_string_equal(text_at(current, "text"), "half way");
    FINE(view_events(f->jobs, id_of(study), 0, &events, &final, err));
    const json_t *last = json_array_get(events, json_array_size(events) - 1);
    assert_string_equal(text_at(last, "event"), "progress");
    assert_string_equal(text_at(json_object_get(last, "data"), "text"), "half way");
    assert_false(final);
    json_decref(events);
    json_decref(view);
    json_decref(answer);
    json_decref(beat);
    json_decref(claimed);
    json_decref(study);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        T(hostile_results_fail_their_job_with_a_reason),
        T(scores_without_a_figure_are_refused),
        T(call_of_a_wrong_shape_is_refused_and_changes_nothing),
        T(target_that_is_not_registered_claims_nothing),
        T(agent_that_starts_anew_gets_its_job_again),
        T(claim_without_work_writes_nothing),
        T(heartbeat_shows_in_the_study_and_its_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
