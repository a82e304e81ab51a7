#include "tests/unit/jobs/jobs_fixture.h"

#define RECIPES                                                                                              \
    ", \"recipes\": [\"int8:static\", \"int8:dynamic\"], \"floors\": [\"relative>=0.95\"], \"evaluate\": "   \
    "\"all\""

struct asked {
    char study[64], recommendation[64];
};

static struct asked finished_study(struct fixture *f) {
    struct asked a;
    json_t *study = fixture_study(f, RECIPES);
    fixture_run(f);
    json_t *view = fixture_view(f, id_of(study));
    assert_string_equal(text_at(view, "state"), "done");
    snprintf(a.study, sizeof(a.study), "%s", id_of(study));
    snprintf(a.recommendation, sizeof(a.recommendation), "%s", text_at(view, "recommendation"));
    json_decref(view);
    json_decref(study);
    return a;
}

static json_t *ask(struct fixture *f, const char *text) {
    json_t *body = fixture_json(text), *answer = NULL;
    FINE(answer_recommend(f->jobs, body, &answer, err));
    json_decref(body);
    return answer;
}

static void stored_answer_never_changes(void **state) {
    struct fixture *f = *state;
    struct asked a = finished_study(f);
    json_t *first = NULL, *second = NULL, *types = NULL, *answer = NULL;
    FINE(answer_get(f->jobs, a.recommendation, &first, err));
    FINE(machines_types(f->jobs, &types, err));
    json_t *price = fixture_json("{\"price_per_hour\": 0.5}");
    FINE(machines_type_put(f->jobs, id_of(json_array_get(json_object_get(types, "items"), 0)), price, &answer,
                           err));
    FINE(answer_get(f->jobs, a.recommendation, &second, err));
    assert_true(json_equal(first, second));
    json_decref(first);
    json_decref(second);
    json_decref(types);
    json_decref(price);
    json_decref(answer);
}

/* Everything rejected: 30 recipes with each setting. */
static json_t *answer_that_rejects_many(struct fixture *f) {
    char text[2000];
    int n = snprintf(text, sizeof(text), ", \"evaluate\": \"all\", \"recipes\": [");
    for (int i = 0; i < 30; i++) {
        n += snprintf(text + n, sizeof(text) - (size_t)n, "%s\"prune:magnitude,ratio=0.%d\"", i ? ", " : "",
                      11 + i);
    }
    snprintf(text + n, sizeof(text) - (size_t)n, "]");
    json_t *study = fixture_study(f, text);
    fixture_run(f);
    snprintf(text, sizeof(text), "{\"study\": \"%s\", \"budgets\": [\"p50<=1us\"]}", id_of(study));
    json_t *answer = ask(f, text);
    json_decref(study);
    return answer;
}

static void rejected_are_listed_to_the_end(void **state) {
    struct fixture *f = *state;
    json_t *answer = answer_that_rejects_many(f), *rejected = json_object_get(answer, "rejected");
    size_t total = (size_t)json_integer_value(json_object_get(rejected, "total")), seen = 0;
    char cursor[32] = "";
    assert_true(total > 80);
    assert_int_equal(json_array_size(json_object_get(rejected, "items")), 50);
    assert_string_equal(text_at(rejected, "next"), "50");
    json_t *ids = json_object();
    for (bool more = true; more;) {
        json_t *page = NULL, *item;
        size_t i;
        struct view_page which = {.cursor = *cursor ? cursor : NULL, .limit = 40};
        FINE(answer_rejected(f->jobs, id_of(answer), &which, &page, err));
        json_array_foreach(json_object_get(page, "items"), i, item) {
            assert_non_null(strstr(text_at(item, "reason"), "breaks the budget"));
            assert_string_equal(text_at(item, "reason_code"), "latency");
            json_object_set_new(ids, id_of(item), json_true());
            seen++;
        }
        more = json_is_string(json_object_get(page, "next"));
        snprintf(cursor, sizeof(cursor), "%s", more ? text_at(page, "next") : "");
        json_decref(page);
    }
    assert_int_equal(seen, total);
    assert_int_equal(json_object_size(ids), total); /* none twice */
    json_decref(ids);
    json_decref(answer);
}

static void new_question_over_the_same_figures_gives_a_new_answer_without_work(void **state) {
    struct fixture *f = *state;
    struct asked a = finished_study(f);
    char text[300];
    int profiled = f->profiled;
    snprintf(text, sizeof(text), "{\"study\": \"%s\", \"budgets\": [\"p50<=150us\"]}", a.study);
    json_t *answer = ask(f, text);
    assert_string_equal(text_at(answer, "status"), "none");
    assert_true(json_is_null(json_object_get(answer, "choice")));
    assert_true(json_is_object(json_object_get(answer, "nearest_miss")));
    assert_true(json_array_size(json_object_get(answer, "relaxations")) > 0);
    assert_string_not_equal(id_of(answer), a.recommendation);
    assert_int_equal(f->profiled, profiled);
    json_t *again = NULL;
    FINE(answer_get(f->jobs, id_of(answer), &again, err));
    assert_true(json_equal(answer, again));
    json_decref(again);
    json_decref(answer);
}

static void what_was_not_steady_is_marked_and_kept(void **state) {
    struct fixture *f = *state;
    f->unsteady = "int8:static";
    struct asked a = finished_study(f);
    json_t *answer = NULL;
    FINE(answer_get(f->jobs, a.recommendation, &answer, err));
    const json_t *choice = json_object_get(answer, "choice"), *baseline = json_object_get(answer, "baseline");
    assert_string_equal(text_at(choice, "recipe"), "int8:static,act=u8");
    assert_string_equal(text_at(choice, "unstable"), "it drifted; it was stolen from");
    assert_non_null(strstr(text_at(choice, "reason"), "not steady: it drifted"));
    assert_non_null(strstr(text_at(answer, "summary"), "not steady (it drifted"));
    assert_true(json_is_null(json_object_get(baseline, "unstable")));
    assert_float_equal(json_number_value(json_object_get(choice, "energy_j")), 0.25, 0);
    json_decref(answer);
}

#define SERVER_STUDY                                                                                         \
    ", \"recipes\": [\"int8:static\"], \"budgets\": [\"p99<=20ms\"], \"scenarios\": [\"server\"]"

static void assert_near(double value, double expected) {
    if (!(fabs(value / expected - 1) < 1e-6)) {
        fail_msg("%g is not %g", value, expected);
    }
}

static double number_at(const json_t *object, const char *key) {
    return json_number_value(json_object_get(object, key));
}

static json_t *answer_of(struct fixture *f, const char *more, char study_id[64]) {
    json_t *study = fixture_study(f, more), *answer = NULL;
    fixture_run(f);
    json_t *view = fixture_view(f, id_of(study));
    assert_string_equal(text_at(view, "state"), "done");
    snprintf(study_id, 64, "%s", id_of(study));
    FINE(answer_get(f->jobs, text_at(view, "recommendation"), &answer, err));
    json_decref(view);
    json_decref(study);
    return answer;
}

static void a_study_with_server_is_judged_by_the_rate_that_keeps_its_budget(void **state) {
    struct fixture *f = *state;
    char study[64], text[300];
    json_t *answer = answer_of(f, SERVER_STUDY, study);
    const json_t *choice = json_object_get(answer, "choice");
    assert_string_equal(text_at(answer, "judged_in"), "server");
    assert_true(json_is_null(json_object_get(answer, "note")));
    const json_t *scenarios = json_object_get(choice, "scenarios");
    double offline = number_at(json_object_get(scenarios, "offline"), "throughput_per_s");
    double server = number_at(json_object_get(scenarios, "server"), "throughput_per_s");
    assert_near(server, 0.7 * offline);
    assert_near(number_at(choice, "throughput_per_s"), server);
    assert_near(number_at(json_object_get(choice, "machine_hours_per_million"), "value"),
                1e6 / 3600 / server);
    double p50 = number_at(json_object_get(choice, "latency_us"), "p50");
    double alone = number_at(json_object_get(choice, "single_stream_us"), "p50");
    assert_true(p50 > 1.9 * alone && p50 < 2.1 * alone);
    json_decref(answer);
    /* the same figures can be judged offline, and a question may say so */
    snprintf(text, sizeof(text), "{\"study\": \"%s\", \"scenario\": \"offline\"}", study);
    answer = ask(f, text);
    assert_string_equal(text_at(answer, "judged_in"), "offline");
    choice = json_object_get(answer, "choice");
    scenarios = json_object_get(choice, "scenarios");
    assert_near(number_at(choice, "throughput_per_s"),
                number_at(json_object_get(scenarios, "offline"), "throughput_per_s"));
    json_decref(answer);
    /* under another budget no rate was looked for */
    snprintf(text, sizeof(text), "{\"study\": \"%s\", \"budgets\": [\"p99<=19ms\"]}", study);
    answer = ask(f, text);
    assert_string_equal(text_at(answer, "judged_in"), "offline");
    assert_non_null(strstr(text_at(answer, "note"), "server p99<=19ms"));
    json_decref(answer);
    /* the same budgets in other words are the same ones */
    snprintf(text, sizeof(text), "{\"study\": \"%s\", \"budgets\": [\"p99<=20000us\", \"p99<=1s\"]}", study);
    answer = ask(f, text);
    assert_string_equal(text_at(answer, "judged_in"), "server");
    json_decref(answer);
    /* a confidence that was not foreseen */
    snprintf(text, sizeof(text), "{\"study\": \"%s\", \"confidence\": 0.93}", study);
    answer = ask(f, text);
    assert_string_equal(text_at(answer, "judged_in"), "server");
    assert_near(number_at(json_object_get(answer, "choice"), "throughput_per_s"), server);
    json_decref(answer);
}

static void scenarios_are_part_of_what_work_is(void **state) {
    struct fixture *f = *state;
    char study[64];
    json_decref(answer_of(f, ", \"recipes\": [\"int8:static\"], \"budgets\": [\"p99<=20ms\"]", study));
    int before = f->profiled;
    json_decref(answer_of(f, SERVER_STUDY, study));
    assert_int_equal(f->profiled, 2 * before); /* the server's rate was not measured yet */
    json_decref(answer_of(f, SERVER_STUDY, study));
    assert_int_equal(f->profiled, 2 * before);
    /* a study without it takes what is there, and is judged offline */
    json_t *answer = answer_of(f, ", \"recipes\": [\"int8:static\"], \"budgets\": [\"p99<=20ms\"]", study);
    assert_int_equal(f->profiled, 2 * before);
    assert_string_equal(text_at(answer, "judged_in"), "offline");
    json_decref(answer);
}

static void without_a_budget_for_a_percentile_there_is_no_server(void **state) {
    struct fixture *f = *state;
    char study[64];
    json_t *answer = answer_of(
        f, ", \"recipes\": [\"int8:static\"], \"budgets\": [\"mean<=20ms\"], \"scenarios\": [\"server\"]",
        study);
    assert_string_equal(text_at(answer, "judged_in"), "offline");
    assert_non_null(strstr(text_at(answer, "note"), "needs a budget for a latency percentile"));
    json_decref(answer);
    json_t *view = fixture_view(f, study);
    char *names = json_dumps(json_object_get(view, "scenarios"), 0);
    assert_string_equal(names, "[\"single-stream\", \"server\", \"offline\"]");
    free(names);
    json_decref(view);
}

static void an_unknown_scenario_is_refused_with_the_nearest(void **state) {
    struct fixture *f = *state;
    json_t *body =
        json_pack("{s:s, s:s, s:[s]}", "model", f->model, "dataset", f->dataset, "scenarios", "sever");
    json_t *answer = NULL;
    struct err why;
    assert_int_equal(intake_study(f->jobs, body, &answer, &why), RC_INPUT);
    assert_non_null(strstr(why.text, "did you mean \"server\"?"));
    json_decref(body);
}

static void study_gives_what_a_question_leaves_open(void **state) {
    struct fixture *f = *state;
    struct asked a = finished_study(f);
    char text[300];
    snprintf(text, sizeof(text), "{\"study\": \"%s\"}", a.study);
    json_t *answer = ask(f, text);
    assert_string_equal(json_string_value(json_array_get(json_object_get(answer, "floors"), 0)),
                        "relative>=0.95");
    assert_string_equal(text_at(json_object_get(answer, "choice"), "recipe"), "int8:static,act=u8");
    json_decref(answer);
}

/* A later study that needs no agreement has evaluations without it; the same study again needs the first. */
static void evaluation_that_shows_the_floor_is_used_again(void **state) {
    struct fixture *f = *state;
    static const char *const floors[] = {"agreement>=0.9", "relative>=0.9", "agreement>=0.9"};
    for (int i = 0; i < 3; i++) {
        char more[200];
        snprintf(more, sizeof(more),
                 ", \"recipes\": [\"int8:static\"], \"evaluate\": \"all\", \"floors\": [\"%s\"]", floors[i]);
        json_t *study = fixture_study(f, more);
        fixture_run(f);
        json_t *view = fixture_view(f, id_of(study)), *answer = NULL;
        FINE(answer_get(f->jobs, text_at(view, "recommendation"), &answer, err));
        assert_string_equal(text_at(answer, "status"), "ok");
        assert_string_equal(text_at(json_object_get(answer, "choice"), "recipe"), "int8:static,act=u8");
        json_decref(answer);
        json_decref(view);
        json_decref(study);
    }
}

static void model_can_be_asked_about_without_a_study(void **state) {
    struct fixture *f = *state;
    finished_study(f);
    char text[300];
    snprintf(text, sizeof(text),
             "{\"model\": \"%s\", \"floors\": [\"top1>=0.9\"], \"budgets\": [\"throughput>=100/s\"]}",
             f->model);
    json_t *answer = ask(f, text);
    assert_string_equal(text_at(answer, "status"), "ok");
    assert_string_equal(text_at(json_object_get(answer, "choice"), "recipe"), "int8:static,act=u8");
    json_decref(answer);
}

static void price_turns_machine_hours_into_dollars(void **state) {
    struct fixture *f = *state;
    struct asked a = finished_study(f);
    char text[300];
    snprintf(text, sizeof(text), "{\"study\": \"%s\"}", a.study);
    json_t *without = ask(f, text);
    snprintf(text, sizeof(text), "{\"study\": \"%s\", \"price_per_hour\": 0.2}", a.study);
    json_t *with = ask(f, text);
    const json_t *hours = json_object_get(json_object_get(without, "choice"), "machine_hours_per_million");
    const json_t *dollars = json_object_get(json_object_get(with, "choice"), "usd_per_million");
    double h = json_number_value(json_object_get(hours, "value")),
           d = json_number_value(json_object_get(dollars, "value"));
    assert_true(h > 0 && fabs(d / h - 0.2) < 1e-6);
    assert_null(json_object_get(json_object_get(without, "choice"), "usd_per_million"));
    json_decref(without);
    json_decref(with);
}

static void question_about_nothing_is_refused(void **state) {
    struct fixture *f = *state;
    struct err why;
    static const struct {
        const char *body;
        enum rc rc;
    } bad[] = {{"{}", RC_INPUT},
               {"{\"model\": \"mdl_none\"}", RC_NOT_FOUND},
               {"{\"study\": \"std_none\"}", RC_NOT_FOUND},
               {"{\"model\": \"mdl_none\", \"floor\": []}", RC_INPUT}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        json_t *body = fixture_json(bad[i].body), *answer = NULL;
        assert_int_equal(answer_recommend(f->jobs, body, &answer, &why), bad[i].rc);
        json_decref(body);
    }
    char text[200];
    snprintf(text, sizeof(text), "{\"model\": \"%s\"}", f->model);
    json_t *body = fixture_json(text), *answer = NULL;
    assert_int_equal(answer_recommend(f->jobs, body, &answer, &why), RC_NOT_FOUND); /* nothing measured yet */
    json_decref(body);
}

static void comparison_is_paired_with_the_first(void **state) {
    struct fixture *f = *state;
    struct asked a = finished_study(f);
    json_t *answer = NULL, *compared = NULL;
    FINE(answer_get(f->jobs, a.recommendation, &answer, err));
    json_t *body = json_pack("{s:[s, s]}", "configurations", id_of(json_object_get(answer, "baseline")),
                             id_of(json_object_get(answer, "choice")));
    FINE(answer_compare(f->jobs, body, &compared, err));
    const json_t *accuracy = json_array_get(json_object_get(compared, "accuracy"), 0);
    const json_t *cost = json_array_get(json_object_get(compared, "cost"), 0);
    assert_int_equal(json_array_size(json_object_get(compared, "items")), 2);
    double difference = json_number_value(json_object_get(accuracy, "difference"));
    assert_true(fabs(difference - (728.0 - 730.0) / 750) < 1e-9);
    assert_true(json_number_value(json_object_get(accuracy, "lower")) < difference);
    assert_true(json_number_value(json_object_get(accuracy, "upper")) > difference);
    assert_true(fabs(json_number_value(json_object_get(cost, "ratio")) - 0.4) <
                0.01); /* 200 us against 500 */
    json_decref(compared);
    json_decref(body);
    json_decref(answer);
}

static json_t *gate(struct fixture *f, const char *name, const char *more) {
    char text[400];
    json_t *answer = NULL;
    snprintf(text, sizeof(text), "{\"model\": \"tiny\"%s}", more);
    json_t *body = fixture_json(text);
    FINE(gates_run(f->jobs, name, body, &answer, err));
    json_decref(body);
    return answer;
}

static void gate_passes_fails_or_cannot_tell_and_keeps_its_history(void **state) {
    struct fixture *f = *state;
    finished_study(f);
    json_t *pass = gate(f, "latency", ", \"budgets\": [\"p50<=5ms\"], \"floors\": [\"top1>=0.9\"]");
    assert_string_equal(text_at(pass, "verdict"), "pass");
    assert_int_equal(json_integer_value(json_object_get(pass, "exit_code")), 0);
    assert_int_equal(json_array_size(json_object_get(pass, "checks")), 2);
    json_t *fails = gate(f, "latency", ", \"budgets\": [\"p50<=1ms\"], \"recipe\": \"int8:dynamic\"");
    assert_string_equal(text_at(fails, "verdict"), "fail");
    assert_int_equal(json_integer_value(json_object_get(fails, "exit_code")), 1);
    json_t *open = gate(f, "latency", ", \"budgets\": [\"p99.9<=5ms\"], \"recipe\": \"int8:static\"");
    assert_string_equal(text_at(open, "verdict"), "inconclusive");
    assert_int_equal(json_integer_value(json_object_get(open, "exit_code")), 3);
    json_t *history = NULL, *list = NULL;
    FINE(gates_get(f->jobs, "latency", &history, err));
    assert_int_equal(json_array_size(json_object_get(history, "runs")), 3);
    assert_string_equal(text_at(json_array_get(json_object_get(history, "runs"), 0), "run"),
                        text_at(open, "run"));
    FINE(gates_list(f->jobs, &(struct view_page){0}, &list, err));
    assert_int_equal(json_array_size(json_object_get(list, "items")), 1);
    json_decref(pass);
    json_decref(fails);
    json_decref(open);
    json_decref(history);
    json_decref(list);
}

static void gate_without_a_usable_name_or_model_is_refused(void **state) {
    struct fixture *f = *state;
    struct err why;
    json_t *body = fixture_json("{\"model\": \"nobody\", \"budgets\": []}"), *answer = NULL;
    assert_int_equal(gates_run(f->jobs, "../x", body, &answer, &why), RC_INPUT);
    assert_int_equal(gates_run(f->jobs, "x", body, &answer, &why), RC_NOT_FOUND);
    assert_int_equal(gates_get(f->jobs, "x", &answer, &why), RC_NOT_FOUND);
    json_decref(body);
}

static void price_comes_from_the_catalogue_or_by_hand(void **state) {
    struct fixture *f = *state;
    json_t *types = NULL, *prices = NULL, *answer = NULL;
    struct err why;
    char id[64];
    FINE(machines_types(f->jobs, &types, err));
    snprintf(id, sizeof(id), "%s", id_of(json_array_get(json_object_get(types, "items"), 0)));
    FINE(machines_prices(f->jobs, &prices, err));
    const json_t *entry = json_array_get(json_object_get(prices, "items"), 0);
    json_t *body = json_pack("{s:O}", "instance_type", json_object_get(entry, "name"));
    FINE(machines_type_put(f->jobs, id, body, &answer, err));
    assert_true(json_equal(json_object_get(json_object_get(answer, "price"), "usd_per_hour"),
                           json_object_get(entry, "usd_per_hour")));
    assert_string_equal(text_at(json_object_get(answer, "price"), "provenance"), "quoted");
    json_decref(answer);
    json_decref(body);
    body = fixture_json("{\"price_per_hour\": 0.25}");
    FINE(machines_type_put(f->jobs, id, body, &answer, err));
    assert_true(json_number_value(json_object_get(json_object_get(answer, "price"), "usd_per_hour")) == 0.25);
    json_decref(answer);
    assert_int_equal(machines_type_put(f->jobs, "mt_none", body, &answer, &why), RC_NOT_FOUND);
    json_decref(body);
    body = fixture_json("{\"instance_type\": \"c6i.larg\"}");
    assert_int_equal(machines_type_put(f->jobs, id, body, &answer, &why), RC_INPUT);
    assert_non_null(strstr(why.text, "c6i.large"));
    json_decref(body);
    json_decref(types);
    json_decref(prices);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        T(stored_answer_never_changes),
        T(rejected_are_listed_to_the_end),
        T(new_question_over_the_same_figures_gives_a_new_answer_without_work),
        T(what_was_not_steady_is_marked_and_kept),
        T(a_study_with_server_is_judged_by_the_rate_that_keeps_its_budget),
        T(scenarios_are_part_of_what_work_is),
        T(without_a_budget_for_a_percentile_there_is_no_server),
        T(an_unknown_scenario_is_refused_with_the_nearest),
        T(study_gives_what_a_question_leaves_open),
        T(evaluation_that_shows_the_floor_is_used_again),
        T(model_can_be_asked_about_without_a_study),
        T(price_turns_machine_hours_into_dollars),
        T(question_about_nothing_is_refused),
        T(comparison_is_paired_with_the_first),
        T(gate_passes_fails_or_cannot_tell_and_keeps_its_history),
        T(gate_without_a_usable_name_or_model_is_refused),
        T(price_comes_from_the_catalogue_or_by_hand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
