#include "db/store_jobs.h"
#include "db/store_machines.h"
#include "db/store_models.h"
#include "db/store_studies.h"
#include "tests/unit/db/store_fixture.h"

enum { LEASE_MS = 30000 };

/* ---- typed calls as writes ---- */

struct call {
    const char *id, *target, *study, *key, *machine_type, *text;
    int64_t token, priority;
    enum store_failure_kind kind;
    struct store_job job;
    char job_id[64], state[16];
    bool found, repeated, cancel;
};

static enum rc seed(struct store_tx *tx, void *user, struct err *err) {
    (void)user;
    static const char *const types[] = {"mt_a", "mt_b"};
    bool created;
    struct store_model m = {.id = "mdl_1", .name = "m", .family = "onnx", .main = "m.onnx"};
    struct store_dataset d = {.id = "dat_1", .name = "d", .format = "npz", .examples = -1};
    enum rc rc = store_model_add(tx, &m, NULL, 0, &created, err);
    if (rc == RC_OK) {
        rc = store_dataset_add(tx, &d, NULL, 0, &created, err);
    }
    for (int i = 0; rc == RC_OK && i < 2; i++) {
        struct store_machine_type t = {.id = types[i], .name = types[i], .fingerprint_json = "{}"};
        struct store_target g = {.id = i ? "tgt_b" : "tgt_a",
                                 .name = types[i],
                                 .machine_type = types[i],
                                 .fingerprint_json = "{}"};
        rc = store_machine_type_add(tx, &t, err);
        rc = rc == RC_OK ? store_target_put(tx, &g, err) : rc;
    }
    static const char *const studies[] = {"std_1", "std_2"};
    for (int i = 0; rc == RC_OK && i < 2; i++) {
        struct store_study s = {.id = studies[i], .model = "mdl_1", .dataset = "dat_1", .request_json = "{}"};
        rc = store_study_add(tx, &s, err);
    }
    return rc;
}

static int setup(void **state) {
    fixture_setup(state);
    assert_int_equal(fixture_write(*state, seed, NULL), RC_OK);
    return 0;
}

static enum rc do_add(struct store_tx *tx, void *user, struct err *err) {
    struct call *c = user;
    struct store_job j = {.id = c->id,
                          .key = c->key,
                          .kind = "compress",
                          .label = "x",
                          .spec_json = "{}",
                          .subject_json = "{}",
                          .priority = c->priority,
                          .machine_type = c->machine_type};
    enum rc rc = store_job_add(tx, &j, c->study ? c->study : "std_1", &c->job, err);
    if (rc == RC_OK) {
        snprintf(c->job_id, sizeof(c->job_id), "%s", c->job.id);
        snprintf(c->state, sizeof(c->state), "%s", c->job.state);
    }
    return rc;
}

static enum rc do_claim(struct store_tx *tx, void *user, struct err *err) {
    struct call *c = user;
    enum rc rc = store_job_claim(tx, c->target ? c->target : "tgt_a", LEASE_MS, &c->job, &c->found, err);
    if (rc == RC_OK && c->found) {
        snprintf(c->job_id, sizeof(c->job_id), "%s", c->job.id);
        c->token = c->job.token;
    }
    return rc;
}

static enum rc do_beat(struct store_tx *tx, void *user, struct err *err) {
    struct call *c = user;
    return store_job_heartbeat(tx, c->id, c->token, LEASE_MS, 0.5, "half", &c->cancel, err);
}

static enum rc do_finish(struct store_tx *tx, void *user, struct err *err) {
    struct call *c = user;
    return store_job_finish(tx, c->id, c->token, c->text ? c->text : "{}", &c->repeated, err);
}

static enum rc do_fail(struct store_tx *tx, void *user, struct err *err) {
    struct call *c = user;
    const char *state = "";
    struct store_failure f = {"crashed", "it fell over", "last lines", c->kind};
    enum rc rc = store_job_fail(tx, c->id, c->token, &f, &state, &c->repeated, err);
    snprintf(c->state, sizeof(c->state), "%s", state);
    return rc;
}

static enum rc do_requeue(struct store_tx *tx, void *user, struct err *err) {
    return store_jobs_requeue_expired(tx, user, err);
}

static enum rc do_cancel(struct store_tx *tx, void *user, struct err *err) {
    return store_jobs_cancel(tx, user, err);
}

static void add(struct fixture *f, const char *id, const char *key) {
    assert_int_equal(fixture_write(f, do_add, &(struct call){.id = id, .key = key}), RC_OK);
}

static int64_t claim(struct fixture *f, const char *expected) {
    struct call c = {0};
    assert_int_equal(fixture_write(f, do_claim, &c), RC_OK);
    assert_true(c.found);
    assert_string_equal(c.job_id, expected);
    return c.token;
}

static void claims_nothing(struct fixture *f, const char *target) {
    struct call c = {.target = target};
    assert_int_equal(fixture_write(f, do_claim, &c), RC_OK);
    assert_false(c.found);
}

static enum rc finish(struct fixture *f, const char *id, int64_t token) {
    return fixture_write(f, do_finish, &(struct call){.id = id, .token = token});
}

static enum rc beat(struct fixture *f, const char *id, int64_t token) {
    return fixture_write(f, do_beat, &(struct call){.id = id, .token = token});
}

static void later(struct fixture *f, int64_t ms) {
    int64_t requeued = 0;
    f->now_ms += ms;
    assert_int_equal(fixture_write(f, do_requeue, &requeued), RC_OK);
}

static void state_is(struct fixture *f, const char *id, const char *state) {
    struct store_tx *tx;
    struct store_job j;
    FINE(store_read_begin(f->store, &tx, err));
    FINE(store_job_get(tx, id, &j, err));
    assert_string_equal(j.state, state);
    store_read_end(tx);
}

/* ---- claims ---- */

static void job_is_claimed_once(void **state) {
    struct fixture *f = *state;
    add(f, "job_1", "k1");
    assert_int_equal(claim(f, "job_1"), 1);
    claims_nothing(f, "tgt_a");
    claims_nothing(f, "tgt_b");
}

static void job_of_a_machine_type_waits_for_a_target_of_it(void **state) {
    struct fixture *f = *state;
    assert_int_equal(
        fixture_write(f, do_add, &(struct call){.id = "job_1", .key = "k1", .machine_type = "mt_b"}), RC_OK);
    claims_nothing(f, "tgt_a");
    struct call c = {.target = "tgt_b"};
    assert_int_equal(fixture_write(f, do_claim, &c), RC_OK);
    assert_true(c.found);
}

static void smaller_priority_comes_first_then_the_older(void **state) {
    struct fixture *f = *state;
    assert_int_equal(fixture_write(f, do_add, &(struct call){.id = "job_1", .key = "k1", .priority = 2}),
                     RC_OK);
    assert_int_equal(fixture_write(f, do_add, &(struct call){.id = "job_2", .key = "k2", .priority = 1}),
                     RC_OK);
    assert_int_equal(fixture_write(f, do_add, &(struct call){.id = "job_3", .key = "k3", .priority = 1}),
                     RC_OK);
    claim(f, "job_2");
    claim(f, "job_3");
    claim(f, "job_1");
}

static void same_key_joins_the_work_that_is_there(void **state) {
    struct fixture *f = *state;
    add(f, "job_1", "k1");
    int64_t token = claim(f, "job_1");
    struct call c = {.id = "job_2", .key = "k1", .study = "std_2"};
    assert_int_equal(fixture_write(f, do_add, &c), RC_OK);
    assert_string_equal(c.job_id, "job_1");
    assert_string_equal(c.state, "running");
    assert_int_equal(beat(f, "job_1", token), RC_OK);
    claims_nothing(f, "tgt_a");
}

/* ---- tokens ---- */

static void result_of_a_lost_lease_is_refused_and_the_winner_may_repeat(void **state) {
    struct fixture *f = *state;
    add(f, "job_1", "k1");
    int64_t first = claim(f, "job_1");
    later(f, LEASE_MS + 1);
    assert_int_equal(finish(f, "job_1", first), RC_CONFLICT); /* queued again: nobody may speak for it */
    int64_t second = claim(f, "job_1");
    assert_true(second > first);
    assert_int_equal(finish(f, "job_1", first), RC_CONFLICT);
    assert_int_equal(beat(f, "job_1", first), RC_CONFLICT);
    assert_int_equal(finish(f, "job_1", second), RC_OK);
    struct call again = {.id = "job_1", .token = second};
    assert_int_equal(fixture_write(f, do_finish, &again), RC_OK);
    assert_true(again.repeated);
    assert_int_equal(finish(f, "job_1", first), RC_CONFLICT);
    assert_int_equal(finish(f, "job_1", second + 1), RC_CONFLICT);
    state_is(f, "job_1", "done");
}

static void repeated_result_does_not_replace_the_first(void **state) {
    struct fixture *f = *state;
    struct store_tx *tx;
    struct store_job j;
    add(f, "job_1", "k1");
    int64_t token = claim(f, "job_1");
    assert_int_equal(
        fixture_write(f, do_finish, &(struct call){.id = "job_1", .token = token, .text = "{\"a\":1}"}),
        RC_OK);
    assert_int_equal(
        fixture_write(f, do_finish, &(struct call){.id = "job_1", .token = token, .text = "{\"a\":2}"}),
        RC_OK);
    FINE(store_read_begin(f->store, &tx, err));
    FINE(store_job_get(tx, "job_1", &j, err));
    assert_string_equal(j.result_json, "{\"a\":1}");
    store_read_end(tx);
}

static void heartbeat_keeps_the_lease(void **state) {
    struct fixture *f = *state;
    add(f, "job_1", "k1");
    int64_t token = claim(f, "job_1");
    for (int i = 0; i < 5; i++) {
        later(f, LEASE_MS - 1);
        assert_int_equal(beat(f, "job_1", token), RC_OK);
    }
    later(f, LEASE_MS + 1);
    assert_int_equal(beat(f, "job_1", token), RC_CONFLICT);
}

static enum rc do_limit(struct store_tx *tx, void *user, struct err *err) {
    (void)user;
    return store_jobs_limit_leases(tx, LEASE_MS, err);
}

static void lease_ends_in_time_though_the_clock_was_set_back(void **state) {
    struct fixture *f = *state;
    add(f, "job_1", "k1");
    int64_t token = claim(f, "job_1");
    assert_int_equal(fixture_write(f, do_limit, NULL), RC_OK);
    later(f, -3600 * 1000);
    assert_int_equal(fixture_write(f, do_limit, NULL), RC_OK);
    later(f, LEASE_MS - 1);
    assert_int_equal(beat(f, "job_1", token), RC_OK);
    later(f, LEASE_MS + 1);
    state_is(f, "job_1", "queued");
}

static void unknown_job_is_not_found(void **state) {
    struct fixture *f = *state;
    assert_int_equal(finish(f, "job_9", 1), RC_NOT_FOUND);
    assert_int_equal(beat(f, "job_9", 1), RC_NOT_FOUND);
}

/* ---- failures ---- */

static const char *fail_once(struct fixture *f, enum store_failure_kind kind) {
    static char kept[16];
    struct call c = {.id = "job_1", .kind = kind};
    c.token = claim(f, "job_1");
    assert_int_equal(fixture_write(f, do_fail, &c), RC_OK);
    assert_false(c.repeated);
    snprintf(kept, sizeof(kept), "%s", c.state);
    struct call again = {.id = "job_1", .kind = kind, .token = c.token};
    assert_int_equal(fixture_write(f, do_fail, &again), RC_OK);
    assert_true(again.repeated);
    struct call stale = {.id = "job_1", .kind = kind, .token = c.token - 1};
    assert_int_equal(fixture_write(f, do_fail, &stale), RC_CONFLICT);
    return kept;
}

static void third_crash_makes_the_job_dead_with_its_log(void **state) {
    struct fixture *f = *state;
    struct store_tx *tx;
    struct store_job j;
    add(f, "job_1", "k1");
    assert_string_equal(fail_once(f, FAILURE_CRASH), "queued");
    assert_string_equal(fail_once(f, FAILURE_CRASH), "queued");
    assert_string_equal(fail_once(f, FAILURE_CRASH), "dead");
    claims_nothing(f, "tgt_a");
    FINE(store_read_begin(f->store, &tx, err));
    FINE(store_job_get(tx, "job_1", &j, err));
    assert_string_equal(j.log, "last lines");
    assert_int_equal(j.crashes, 3);
    store_read_end(tx);
}

static void lost_leases_and_abandoned_work_do_not_count_as_crashes(void **state) {
    struct fixture *f = *state;
    add(f, "job_1", "k1");
    for (int i = 0; i < 5; i++) {
        assert_string_equal(fail_once(f, FAILURE_ABANDONED), "queued");
        claim(f, "job_1");
        later(f, LEASE_MS + 1);
    }
    assert_string_equal(fail_once(f, FAILURE_CRASH), "queued");
}

static void own_error_fails_at_once(void **state) {
    struct fixture *f = *state;
    add(f, "job_1", "k1");
    assert_string_equal(fail_once(f, FAILURE_FINAL), "failed");
}

static void stale_failure_after_a_lost_lease_is_refused_though_it_crashed_before(void **state) {
    struct fixture *f = *state;
    add(f, "job_1", "k1");
    fail_once(f, FAILURE_CRASH);
    int64_t token = claim(f, "job_1");
    later(f, LEASE_MS + 1);
    assert_int_equal(
        fixture_write(f, do_fail, &(struct call){.id = "job_1", .token = token, .kind = FAILURE_CRASH}),
        RC_CONFLICT);
}

static void failed_work_is_done_again_for_the_next_study_under_a_new_token(void **state) {
    struct fixture *f = *state;
    add(f, "job_1", "k1");
    fail_once(f, FAILURE_FINAL);
    struct call c = {.id = "job_2", .key = "k1", .study = "std_2"};
    assert_int_equal(fixture_write(f, do_add, &c), RC_OK);
    assert_string_equal(c.job_id, "job_1");
    assert_string_equal(c.state, "queued");
    assert_true(claim(f, "job_1") > 1);
}

/* ---- cancelling ---- */

static void cancel_spares_what_another_open_study_needs(void **state) {
    struct fixture *f = *state;
    add(f, "job_1", "k1");
    add(f, "job_2", "k2");
    struct call shared = {.id = "job_3", .key = "k2", .study = "std_2"};
    assert_int_equal(fixture_write(f, do_add, &shared), RC_OK);
    int64_t token = claim(f, "job_1");
    assert_int_equal(fixture_write(f, do_cancel, (void *)"std_1"), RC_OK);
    state_is(f, "job_1", "cancelled");
    state_is(f, "job_2", "queued");
    struct call c = {.id = "job_1", .token = token};
    assert_int_equal(fixture_write(f, do_beat, &c), RC_OK);
    assert_true(c.cancel);
    assert_int_equal(finish(f, "job_1", token), RC_CONFLICT);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        T(job_is_claimed_once),
        T(job_of_a_machine_type_waits_for_a_target_of_it),
        T(smaller_priority_comes_first_then_the_older),
        T(same_key_joins_the_work_that_is_there),
        T(result_of_a_lost_lease_is_refused_and_the_winner_may_repeat),
        T(repeated_result_does_not_replace_the_first),
        T(heartbeat_keeps_the_lease),
        T(lease_ends_in_time_though_the_clock_was_set_back),
        T(unknown_job_is_not_found),
        T(third_crash_makes_the_job_dead_with_its_log),
        T(lost_leases_and_abandoned_work_do_not_count_as_crashes),
        T(own_error_fails_at_once),
        T(stale_failure_after_a_lost_lease_is_refused_though_it_crashed_before),
        T(failed_work_is_done_again_for_the_next_study_under_a_new_token),
        T(cancel_spares_what_another_open_study_needs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
