#include <math.h>

#include "core/base/asset.h"
#include "db/migrate.h"
#include "db/sql.h"
#include "db/store_blobs.h"
#include "db/store_comparisons.h"
#include "db/store_machines.h"
#include "tests/unit/db/store_fixture.h"

static char SAMPLE[SHA256_HEX_SIZE];

static enum rc seed(struct store_tx *tx, void *user, struct err *err) {
    (void)user;
    const struct store_machine_type t = {.id = "mt_a", .name = "a", .fingerprint_json = "{}"};
    const char *const files[] = {SAMPLE, SAMPLE};
    const struct store_comparison c = {
        .id = "cmp_1", .key = "cmk_1", .machine_type = "mt_a", .request_json = "{}", .spec_json = "{}"};
    enum rc rc = store_machine_type_add(tx, &t, err);
    return rc == RC_OK ? store_comparison_add(tx, &c, files, 2, err) : rc;
}

static int setup(void **state) {
    fixture_setup(state);
    struct fixture *f = *state;
    FINE(store_blob_put(f->store, "samples", 7, SAMPLE, err));
    assert_int_equal(fixture_write(f, seed, NULL), RC_OK);
    return 0;
}

static enum rc add(struct store_tx *tx, void *user, struct err *err) {
    const struct store_replicate *r = user;
    const struct store_replicate_samples samples[] = {{"model", SAMPLE, 7}, {"reference", SAMPLE, 8}};
    return store_replicate_add(tx, "cmp_1", r, samples, 2, err);
}

static enum rc end(struct store_tx *tx, void *user, struct err *err) {
    return store_comparison_end(tx, user, err);
}

static void replicates_come_in_order_and_the_first_of_a_number_stays(void **state) {
    struct fixture *f = *state;
    struct store_replicate second = {1, 0.25, 1.5, false, "{\"b\":1}"}, first = {0, -0.5, 1, true, "{}"},
                           again = {0, 9, 9, false, "{}"};
    assert_int_equal(fixture_write(f, add, &second), RC_OK);
    assert_int_equal(fixture_write(f, add, &first), RC_OK);
    assert_int_equal(fixture_write(f, add, &again), RC_OK);
    fixture_reopen(f);
    struct store_tx *tx;
    struct store_replicate *r;
    struct store_replicate_samples s;
    size_t n = 0;
    struct err why;
    FINE(store_read_begin(f->store, &tx, err));
    FINE(store_replicates(tx, "cmp_1", &r, &n, err));
    assert_int_equal(n, 2);
    assert_true(r[0].number == 0 && r[0].log_ratio == -0.5 && r[0].seconds == 1 && r[0].stable);
    assert_true(r[1].number == 1 && r[1].log_ratio == 0.25 && !r[1].stable);
    assert_string_equal(r[1].result_json, "{\"b\":1}");
    FINE(store_replicate_sample(tx, "cmp_1", 1, "reference", &s, err));
    assert_string_equal(s.sha256, SAMPLE);
    assert_int_equal(s.samples, 8);
    assert_int_equal(store_replicate_sample(tx, "cmp_1", 2, "model", &s, &why), RC_NOT_FOUND);
    store_read_end(tx);
}

static void a_comparison_ends_once_and_keeps_its_blobs(void **state) {
    struct fixture *f = *state;
    struct store_comparison done = {.id = "cmp_1", .state = "done", .verdict = "same", .result_json = "{}"},
                            c;
    struct store_tx *tx;
    const char **open;
    size_t n = 0;
    uint64_t removed = 0, bytes = 0;
    assert_int_equal(fixture_write(f, end, &done), RC_OK);
    assert_int_equal(fixture_write(f, end, &done), RC_CONFLICT);
    FINE(store_read_begin(f->store, &tx, err));
    FINE(store_comparisons_open(tx, &open, &n, err));
    assert_int_equal(n, 0);
    FINE(store_comparison_by_key(tx, "cmk_1", &c, err));
    assert_string_equal(c.verdict, "same");
    assert_int_equal(c.finished_ms, f->now_ms);
    store_read_end(tx);
    f->now_ms += 1000000000;
    FINE(store_blobs_collect(f->store, 1000, &removed, err));
    assert_int_equal(removed, 0);
    FINE(store_blob_stat(f->store, SAMPLE, &bytes, err));
}

/* The table of jobs is made anew by the migration: nothing of it may be lost. */
static void the_migration_keeps_jobs_and_whose_they_are(void **state) {
    struct fixture *f = *state;
    static const char BEFORE[] =
        "INSERT INTO models VALUES ('mdl_1', 'm', 'onnx', 'm.onnx', 1, 1);"
        "INSERT INTO datasets (id, name, format, bytes, created_ms) VALUES ('dat_1', 'd', 'npz', 1, 1);"
        "INSERT INTO studies (id, state, model, dataset, request_json, created_ms) "
        "VALUES ('std_1', 'running', 'mdl_1', 'dat_1', '{}', 1);"
        "INSERT INTO jobs (id, key, kind, state, priority, label, spec_json, subject_json, token, crashes, "
        "created_ms) "
        "VALUES ('job_2', 'k2', 'profile', 'running', 2, 'x', '{}', '{}', 5, 1, 9), "
        "('job_1', 'k1', 'inspect', 'done', 0, 'y', '{\"s\":1}', '{}', 1, 0, 8);"
        "INSERT INTO study_jobs VALUES ('std_1', 'job_1'), ('std_1', 'job_2');";
    static const char AFTER[] =
        "CREATE TABLE checks (n INTEGER CHECK (n = 1)) STRICT;"
        "INSERT INTO checks SELECT count(*) FROM jobs WHERE id = 'job_2' AND token = 5 AND crashes = 1 AND "
        "created_ms = 9;"
        "INSERT INTO checks SELECT count(*) FROM jobs WHERE id = 'job_1' AND spec_json = '{\"s\":1}';"
        "INSERT INTO checks SELECT count(*) = 2 FROM study_jobs JOIN jobs ON jobs.id = job;"
        "INSERT INTO checks SELECT min(rowid) = (SELECT rowid FROM jobs WHERE id = 'job_2') FROM jobs;"
        "INSERT INTO jobs (id, key, kind, state, priority, label, spec_json, subject_json, created_ms) "
        "VALUES ('job_3', 'k3', 'compare', 'queued', 2, 'z', '{}', '{}', 9);"
        "DELETE FROM jobs WHERE id = 'job_1';"
        "INSERT INTO checks SELECT count(*) FROM study_jobs;"
        "INSERT INTO checks SELECT count(*) = 0 FROM pragma_foreign_key_check;";
    size_t n = 0;
    const struct asset *all = asset_table(&n);
    char path[128];
    struct sql *sql;
    struct asset old[64];
    size_t kept = 0;
    for (size_t i = 0; i < n && kept < 64; i++) {
        bool migration = strncmp(all[i].name, "db/migrations/", 14) == 0;
        if (migration && strtol(all[i].name + 14, NULL, 10) < 4) {
            old[kept++] = all[i];
        }
    }
    assert_int_equal(kept, 3);
    snprintf(path, sizeof(path), "%s/old.db", f->folder);
    FINE(sql_open(path, SQL_WRITER, &sql, err));
    FINE(migrate_run(sql, old, kept, err));
    FINE(sql_text_run(sql, BEFORE, err));
    FINE(migrate_run(sql, all, n, err));
    FINE(sql_text_run(sql, AFTER, err));
    sql_close(sql);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(replicates_come_in_order_and_the_first_of_a_number_stays, setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(a_comparison_ends_once_and_keeps_its_blobs, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(the_migration_keeps_jobs_and_whose_they_are, setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
