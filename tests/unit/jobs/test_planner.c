#include "db/store_studies.h"
#include "tests/unit/jobs/jobs_fixture.h"

#define RECIPES                                                                                              \
    ", \"recipes\": [\"int8:static\", \"int8:dynamic\", \"int4\"], \"floors\": [\"relative>=0.95\"]"

static json_t *run_study(struct fixture *f, const char *more) {
    json_t *study = fixture_study(f, more);
    fixture_run(f);
    json_t *view = fixture_view(f, id_of(study));
    json_decref(study);
    return view;
}

static json_t *answer_of(struct fixture *f, const json_t *study) {
    json_t *answer = NULL;
    FINE(answer_get(f->jobs, text_at(study, "recommendation"), &answer, err));
    return answer;
}

static void study_goes_from_submission_to_the_cheapest_that_keeps_the_floor(void **state) {
    struct fixture *f = *state;
    json_t *study = run_study(f, RECIPES);
    if (strcmp(text_at(study, "state"), "done") != 0) {
        json_dumpf(study, stderr, JSON_INDENT(1));
    }
    assert_string_equal(text_at(study, "state"), "done");
    json_t *answer = answer_of(f, study);
    const json_t *choice = json_object_get(answer, "choice");
    assert_string_equal(text_at(answer, "status"), "ok");
    assert_string_equal(text_at(choice, "recipe"), "int8:static,act=u8");
    assert_string_equal(text_at(json_object_get(answer, "baseline"), "recipe"), "fp32");
    assert_string_equal(text_at(json_object_get(choice, "accuracy"), "floor"), "met");
    assert_string_equal(text_at(json_object_get(choice, "accuracy"), "metric"), "top1");
    assert_int_equal(json_array_size(json_object_get(choice, "evidence")), 2);
    assert_int_equal(json_array_size(json_object_get(study, "variants")), 4);
    const json_t *progress = json_object_get(study, "progress");
    assert_true(json_equal(json_object_get(progress, "done"), json_object_get(progress, "total")));
    json_decref(answer);
    json_decref(study);
}

static void accuracy_is_measured_from_the_cheapest_up_until_nothing_can_win(void **state) {
    struct fixture *f = *state;
    json_t *study = run_study(f, RECIPES);
    /* int4 is the cheapest and breaks the floor, then int8:static qualifies; int8:dynamic costs more than
     * that. */
    assert_string_equal(f->order, "fp32 int4 int8:static,act=u8 ");
    json_decref(study);
}

/* Ten levels on two cores have four settings each that are worth it. The baseline gets all; six levels that
 * can help get one each; three of these could win, and get the other three as well; fp16 and pruned weights
 * cannot be faster, and are not even made. */
static void many_levels_are_not_all_measured_and_what_is_left_out_is_listed(void **state) {
    struct fixture *f = *state;
    json_t *study = run_study(
        f, ", \"recipes\": [\"fp16\", \"prune:magnitude\", \"prune:magnitude,ratio=0.3\", \"int8:static\", "
           "\"int8:static,calib=minmax\", \"int8:static,calib=entropy\", \"int8:dynamic\", \"int4\", "
           "\"int4:group=128\"], \"floors\": [\"relative>=0.95\"]");
    assert_string_equal(text_at(study, "state"), "done");
    assert_int_equal(f->profiled, 4 + 6 + 3 * 3);
    assert_int_equal(f->compressed, 6);
    json_t *answer = answer_of(f, study);
    assert_memory_equal(text_at(json_object_get(answer, "choice"), "recipe"), "int8:static", 11);
    size_t i, all = 0, others = 0;
    const json_t *item, *skipped = json_object_get(answer, "skipped");
    json_array_foreach(skipped, i, item) {
        bool whole = strcmp(text_at(item, "settings"), "all") == 0;
        all += whole;
        others += !whole;
        assert_true(strlen(text_at(item, "reason")) > 20);
        assert_true(whole ==
                    (starts(text_at(item, "recipe"), "fp16") || starts(text_at(item, "recipe"), "prune")));
    }
    assert_int_equal(all, 3);
    assert_int_equal(others, 3); /* int8:dynamic and both int4 */
    const json_t *progress = json_object_get(study, "progress");
    assert_true(json_equal(json_object_get(progress, "done"), json_object_get(progress, "total")));
    json_decref(answer);
    json_decref(study);
}

static void a_size_budget_spares_the_measuring_of_larger_files(void **state) {
    struct fixture *f = *state;
    json_t *study = run_study(
        f, ", \"recipes\": [\"fp16\", \"prune:magnitude\", \"prune:magnitude,ratio=0.3\", \"int8:static\", "
           "\"int8:static,calib=minmax\", \"int8:static,calib=entropy\", \"int8:dynamic\", \"int4\", "
           "\"int4:group=128\"], \"floors\": [\"relative>=0.95\"], \"budgets\": [\"size<=1B\"]");
    assert_string_equal(text_at(study, "state"), "done");
    json_t *answer = answer_of(f, study);
    /* nothing fits: then everything is measured after all, to tell the nearest */
    assert_string_equal(text_at(answer, "status"), "none");
    assert_int_equal(f->compressed, 9);
    assert_true(json_is_object(json_object_get(answer, "nearest_miss")));
    json_decref(answer);
    json_decref(study);
}

static void evaluate_all_measures_accuracy_of_every_variant(void **state) {
    struct fixture *f = *state;
    json_t *study = run_study(f, RECIPES ", \"evaluate\": \"all\"");
    assert_string_equal(text_at(study, "state"), "done");
    assert_int_equal(f->evaluated, 4);
    json_decref(study);
}

static void second_study_of_the_same_work_needs_no_job(void **state) {
    struct fixture *f = *state;
    json_t *first = run_study(f, RECIPES);
    int profiled = f->profiled, compressed = f->compressed, evaluated = f->evaluated;
    json_t *second = run_study(f, RECIPES);
    assert_string_equal(text_at(second, "state"), "done");
    assert_string_not_equal(id_of(first), id_of(second));
    assert_int_equal(f->profiled, profiled);
    assert_int_equal(f->compressed, compressed);
    assert_int_equal(f->evaluated, evaluated);
    assert_int_equal(f->inspected, 1);
    json_decref(first);
    json_decref(second);
}

static void failed_variant_is_rejected_with_its_reason_and_not_the_study(void **state) {
    struct fixture *f = *state;
    f->fails = "compress:int8:static";
    json_t *study = run_study(f, RECIPES);
    assert_string_equal(text_at(study, "state"), "done");
    json_t *answer = answer_of(f, study);
    size_t i;
    const json_t *item;
    bool found = false;
    json_array_foreach(json_object_get(json_object_get(answer, "rejected"), "items"), i, item) {
        found = found || (strcmp(text_at(item, "recipe"), "int8:static,act=u8") == 0 &&
                          strstr(text_at(item, "reason"), "it has no MatMul") != NULL);
    }
    assert_true(found);
    json_decref(answer);
    json_decref(study);
}

static void failed_variant_gets_another_attempt_in_the_next_study(void **state) {
    struct fixture *f = *state;
    f->fails = "compress:int8:static";
    json_decref(run_study(f, RECIPES));
    f->fails = NULL;
    json_t *study = run_study(f, RECIPES);
    json_t *answer = answer_of(f, study);
    assert_string_equal(text_at(json_object_get(answer, "choice"), "recipe"), "int8:static,act=u8");
    json_decref(answer);
    json_decref(study);
}

static void failed_inspection_fails_the_study_with_its_text(void **state) {
    struct fixture *f = *state;
    f->fails = "inspect";
    json_t *study = run_study(f, RECIPES);
    assert_string_equal(text_at(study, "state"), "failed");
    assert_string_equal(text_at(json_object_get(study, "error"), "text"), "it has no MatMul");
    assert_string_equal(text_at(json_object_get(study, "error"), "code"), "unsupported");
    json_decref(study);
}

static void floor_that_the_data_cannot_show_fails_the_study_after_inspection(void **state) {
    struct fixture *f = *state;
    json_t *study = run_study(f, ", \"recipes\": [\"int4\"], \"floors\": [\"ppl<=16\"]");
    assert_string_equal(text_at(study, "state"), "failed");
    assert_non_null(strstr(text_at(json_object_get(study, "error"), "text"), "top1"));
    json_decref(study);
}

static void worker_that_crashes_three_times_is_given_up_with_its_log(void **state) {
    struct fixture *f = *state;
    f->fails = "compress:int4";
    f->crashes = true;
    json_t *study = run_study(f, RECIPES);
    assert_string_equal(text_at(study, "state"), "done");
    json_t *answer = answer_of(f, study);
    assert_int_equal(f->compressed, 2);
    json_decref(answer);
    json_decref(study);
}

static void study_goes_on_after_the_service_was_killed_at_any_step(void **state) {
    struct fixture *f = *state;
    json_t *study = fixture_study(f, RECIPES);
    bool busy = true;
    for (int i = 0; i < 500 && busy; i++) {
        FINE(jobs_step(f->jobs, err));
        f->now_ms += 1000;
        busy = fixture_work_one(f, f->target);
        jobs_close(f->jobs); /* nothing is kept in memory between the steps */
        fixture_open(f);
    }
    FINE(jobs_step(f->jobs, err));
    json_t *view = fixture_view(f, id_of(study));
    assert_string_equal(text_at(view, "state"), "done");
    json_decref(view);
    json_decref(study);
}

static void lost_lease_is_given_to_the_next_claim_and_the_late_result_refused(void **state) {
    struct fixture *f = *state;
    json_t *study = fixture_study(f, RECIPES), *answer = NULL;
    FINE(jobs_step(f->jobs, err));
    json_t *first = fixture_claim(f, f->target);
    assert_non_null(first);
    f->now_ms += 31000;
    FINE(jobs_step(f->jobs, err));
    json_t *second = fixture_claim(f, f->target);
    const json_t *job = json_object_get(first, "job"), *again = json_object_get(second, "job");
    assert_string_equal(id_of(job), id_of(again));
    json_t *late = result_body(f, job), *good = result_body(f, again);
    struct err why;
    assert_int_equal(dispatch_result(f->jobs, id_of(job), late, &answer, &why), RC_CONFLICT);
    assert_int_equal(dispatch_result(f->jobs, id_of(job), good, &answer, &why), RC_OK);
    json_decref(answer);
    assert_int_equal(dispatch_result(f->jobs, id_of(job), good, &answer, &why), RC_OK); /* repeated */
    json_decref(answer);
    json_decref(late);
    json_decref(good);
    json_decref(first);
    json_decref(second);
    json_decref(study);
}

static enum rc break_plan(struct store_tx *tx, void *user, struct err *err) {
    return store_study_plan(tx, user, "{", err);
}

static void study_that_cannot_be_read_does_not_hold_up_the_others(void **state) {
    struct fixture *f = *state;
    struct err why = {0};
    json_t *broken = fixture_study(f, RECIPES), *fine = fixture_study(f, RECIPES);
    FINE(store_write(jobs_store(f->jobs), break_plan, (char *)(uintptr_t)id_of(broken), err));
    assert_int_not_equal(jobs_step(f->jobs, &why), RC_OK);
    json_t *job = fixture_claim(f, f->target);
    assert_non_null(job);
    json_decref(job);
    json_decref(fine);
    json_decref(broken);
}

static void cancelled_study_drops_its_work_and_tells_the_worker(void **state) {
    struct fixture *f = *state;
    json_t *study = fixture_study(f, RECIPES), *view = NULL, *answer = NULL;
    FINE(jobs_step(f->jobs, err));
    json_t *claimed = fixture_claim(f, f->target);
    const json_t *job = json_object_get(claimed, "job");
    FINE(intake_study_cancel(f->jobs, id_of(study), &view, err));
    assert_string_equal(text_at(view, "state"), "cancelled");
    json_t *beat =
        json_pack("{s:O, s:f, s:s}", "token", json_object_get(job, "token"), "fraction", 0.5, "text", "half");
    FINE(dispatch_heartbeat(f->jobs, id_of(job), beat, &answer, err));
    assert_true(json_is_true(json_object_get(answer, "cancel")));
    assert_null(fixture_claim(f, f->target));
    json_decref(answer);
    json_decref(beat);
    json_decref(claimed);
    json_decref(view);
    json_decref(study);
}

static void work_shared_with_another_study_survives_a_cancellation(void **state) {
    struct fixture *f = *state;
    json_t *one = fixture_study(f, RECIPES), *two = fixture_study(f, RECIPES), *view = NULL;
    FINE(jobs_step(f->jobs, err));
    FINE(intake_study_cancel(f->jobs, id_of(one), &view, err));
    json_decref(view);
    fixture_run(f);
    view = fixture_view(f, id_of(two));
    assert_string_equal(text_at(view, "state"), "done");
    json_decref(view);
    json_decref(one);
    json_decref(two);
}

static void machines_of_two_kinds_get_the_activations_that_suit_each(void **state) {
    struct fixture *f = *state;
    fixture_register(f, "old", "sse4_2", f->other_target);
    json_t *study = run_study(f, ", \"recipes\": [\"int8:static\"], \"floors\": [\"relative>=0.95\"]");
    assert_string_equal(text_at(study, "state"), "done");
    assert_int_equal(json_array_size(json_object_get(study, "machine_types")), 2);
    char *recipes = json_dumps(json_object_get(study, "recipes"), 0);
    assert_non_null(strstr(recipes, "int8:static,act=u8"));
    assert_non_null(strstr(recipes, "int8:static,act=s8"));
    free(recipes);
    json_decref(study);
}

static void calibration_from_one_dataset_takes_its_examples_out_of_the_evaluation(void **state) {
    struct fixture *f = *state;
    json_t *study = fixture_study(f, ", \"recipes\": [\"int8:static\"]");
    bool calibrated = false, evaluated = false;
    for (int i = 0; i < 100; i++) {
        FINE(jobs_step(f->jobs, err));
        json_t *claimed = fixture_claim(f, f->target), *answer = NULL;
        if (!claimed) {
            break;
        }
        const json_t *job = json_object_get(claimed, "job"), *spec = json_object_get(job, "spec");
        const json_t *split = json_object_get(json_object_get(spec, "dataset"), "split");
        const json_t *calibration = json_object_get(json_object_get(spec, "calibration"), "split");
        if (strcmp(text_at(job, "kind"), "evaluate") == 0) {
            evaluated = true;
            assert_string_equal(text_at(split, "take"), "eval");
            assert_int_equal(json_integer_value(json_object_get(split, "calibration_examples")), 250);
        }
        if (strcmp(text_at(job, "kind"), "compress") == 0) {
            calibrated = true;
            assert_string_equal(text_at(calibration, "take"), "calibration");
            assert_int_equal(json_integer_value(json_object_get(calibration, "calibration_examples")), 250);
        }
        json_t *body = result_body(f, job);
        FINE(dispatch_result(f->jobs, id_of(job), body, &answer, err));
        json_decref(answer);
        json_decref(body);
        json_decref(claimed);
    }
    assert_true(calibrated && evaluated);
    json_decref(study);
}

static void events_tell_the_whole_way_and_end_with_the_final_state(void **state) {
    struct fixture *f = *state;
    json_t *study = run_study(f, RECIPES), *events = NULL, *last, *data;
    bool final = false;
    FINE(view_events(f->jobs, id_of(study), 0, &events, &final, err));
    assert_true(final);
    size_t n = json_array_size(events), steps = 0, i;
    const json_t *event;
    json_array_foreach(events, i, event) {
        steps += strcmp(text_at(event, "event"), "step") == 0;
    }
    assert_int_equal(steps, f->inspected + f->compressed + f->profiled + f->evaluated);
    last = json_array_get(events, n - 1);
    data = json_object_get(last, "data");
    assert_string_equal(text_at(last, "event"), "state");
    assert_string_equal(text_at(data, "state"), "done");
    assert_string_equal(text_at(data, "recommendation"), text_at(study, "recommendation"));
    json_decref(events);
    json_decref(study);
}

static const char *why_left_out(const json_t *study, const char *recipe, int instances, int batch) {
    size_t i;
    const json_t *one;
    json_array_foreach(json_object_get(study, "skipped_settings"), i, one) {
        const json_t *r = json_object_get(one, "runtime");
        if (starts(text_at(one, "recipe"), recipe) &&
            json_integer_value(json_object_get(r, "instances")) == instances &&
            json_integer_value(json_object_get(r, "batch")) == batch) {
            return text_at(one, "why");
        }
    }
    return NULL;
}

/* The made-up worker: batch 8 takes 7.8 times as long as 1 on whatever split. */
static void settings_are_swept_and_what_is_left_out_says_why(void **state) {
    struct fixture *f = *state;
    json_t *study = fixture_study(f, ", \"recipes\": [\"int8:static\"], \"budgets\": [\"p90<=2ms\"]");
    fixture_run(f);
    json_t *view = fixture_view(f, id_of(study));
    assert_string_equal(text_at(view, "state"), "done");
    assert_int_equal(f->profiled, 2 * 4);
    assert_string_equal(why_left_out(view, "int8:static", 1, 64),
                        "batch 8 gave 2.6 % more than batch 1; a larger one is tried from 5 % more on");
    assert_string_equal(why_left_out(view, "fp32", 1, 64), "batch 8 breaks a latency budget already");
    assert_null(why_left_out(view, "fp32", 1, 8));
    assert_int_equal(json_array_size(json_object_get(view, "skipped_settings")), 2 * 2);
    const json_t *progress = json_object_get(view, "progress");
    assert_int_equal(json_integer_value(json_object_get(progress, "done")),
                     json_integer_value(json_object_get(progress, "total")));
    json_decref(view);
    json_decref(study);
}

static void quick_sweeps_less_and_says_so(void **state) {
    struct fixture *f = *state;
    json_t *study =
        fixture_study(f, ", \"recipes\": [\"int8:static\"], \"preset\": \"quick\", \"threads\": 2");
    fixture_run(f);
    json_t *view = fixture_view(f, id_of(study));
    assert_string_equal(text_at(view, "state"), "done");
    assert_non_null(strstr(why_left_out(view, "fp32", 2, 8), "preset quick"));
    assert_null(why_left_out(view, "fp32", 1, 8));
    json_decref(view);
    json_decref(study);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        T(study_goes_from_submission_to_the_cheapest_that_keeps_the_floor),
        T(accuracy_is_measured_from_the_cheapest_up_until_nothing_can_win),
        T(many_levels_are_not_all_measured_and_what_is_left_out_is_listed),
        T(a_size_budget_spares_the_measuring_of_larger_files),
        T(evaluate_all_measures_accuracy_of_every_variant),
        T(second_study_of_the_same_work_needs_no_job),
        T(settings_are_swept_and_what_is_left_out_says_why),
        T(quick_sweeps_less_and_says_so),
        T(failed_variant_is_rejected_with_its_reason_and_not_the_study),
        T(failed_variant_gets_another_attempt_in_the_next_study),
        T(failed_inspection_fails_the_study_with_its_text),
        T(floor_that_the_data_cannot_show_fails_the_study_after_inspection),
        T(worker_that_crashes_three_times_is_given_up_with_its_log),
        T(study_goes_on_after_the_service_was_killed_at_any_step),
        T(lost_lease_is_given_to_the_next_claim_and_the_late_result_refused),
        T(study_that_cannot_be_read_does_not_hold_up_the_others),
        T(cancelled_study_drops_its_work_and_tells_the_worker),
        T(work_shared_with_another_study_survives_a_cancellation),
        T(machines_of_two_kinds_get_the_activations_that_suit_each),
        T(calibration_from_one_dataset_takes_its_examples_out_of_the_evaluation),
        T(events_tell_the_whole_way_and_end_with_the_final_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
