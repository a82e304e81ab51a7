#include <pthread.h>

#include "db/store_blobs.h"
#include "db/store_models.h"
#include "db/store_tokens.h"
#include "db/store_upload.h"
#include "tests/unit/db/store_fixture.h"

/* ---- blobs ---- */

static void blob_is_found_by_its_content(void **state) {
    struct fixture *f = *state;
    char sha256[SHA256_HEX_SIZE], expected[SHA256_HEX_SIZE], *data;
    struct store_upload *u;
    uint64_t bytes;
    size_t size;
    bool created;
    sha256_of("hello world", 11, expected);
    FINE(store_upload_begin(f->store, NULL, 0, &u, err));
    FINE(store_upload_append(u, "hello ", 6, err));
    FINE(store_upload_append(u, "world", 5, err));
    FINE(store_upload_commit(u, expected, sha256, &bytes, &created, err));
    assert_string_equal(sha256, expected);
    assert_true(created);
    assert_int_equal(bytes, 11);
    FINE(store_blob_read(f->store, sha256, 100, &data, &size, err));
    assert_memory_equal(data, "hello world", 11);
    free(data);
    FINE(store_upload_begin(f->store, NULL, 0, &u, err));
    FINE(store_upload_append(u, "hello world", 11, err));
    FINE(store_upload_commit(u, NULL, sha256, &bytes, &created, err));
    assert_false(created);
}

static void upload_of_other_content_than_named_is_refused_and_removed(void **state) {
    struct fixture *f = *state;
    char sha256[SHA256_HEX_SIZE], other[SHA256_HEX_SIZE];
    struct store_upload *u;
    uint64_t bytes;
    struct err why;
    sha256_of("something else", 14, other);
    FINE(store_upload_begin(f->store, NULL, 0, &u, err));
    FINE(store_upload_append(u, "hello", 5, err));
    assert_int_equal(store_upload_commit(u, other, sha256, &bytes, NULL, &why), RC_INPUT);
    assert_int_equal(store_blob_stat(f->store, other, &bytes, &why), RC_NOT_FOUND);
    assert_int_equal(store_blob_stat(f->store, sha256, &bytes, &why), RC_NOT_FOUND);
}

static void name_that_is_no_hash_never_becomes_a_path(void **state) {
    struct fixture *f = *state;
    static const char *const names[] = {
        "",       "../pare.db",          "..%2f",
        "ABCDEF", "ab/../../etc/passwd", "AA0e8b3f8b9c3b1f2a7a6f0f3f5d2c1b0a998877665544332211ffeeddccbbaa"};
    uint64_t bytes;
    int fd;
    struct err why;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        assert_int_equal(store_blob_stat(f->store, names[i], &bytes, &why), RC_INPUT);
        assert_int_equal(store_blob_open(f->store, names[i], &fd, &bytes, &why), RC_INPUT);
    }
}

static void put(struct fixture *f, const char *text, char sha256[SHA256_HEX_SIZE]) {
    FINE(store_blob_put(f->store, text, strlen(text), sha256, err));
}

static enum rc add_model(struct store_tx *tx, void *user, struct err *err) {
    struct store_model m = {.id = "mdl_1", .name = "m", .family = "onnx", .main = "m.onnx"};
    struct store_file file = {.path = "m.onnx", .sha256 = user, .bytes = 4};
    bool created;
    return store_model_add(tx, &m, &file, 1, &created, err);
}

static enum rc delete_model(struct store_tx *tx, void *user, struct err *err) {
    return store_model_delete(tx, user, err);
}

static void only_old_blobs_that_nothing_refers_to_are_collected(void **state) {
    struct fixture *f = *state;
    char used[SHA256_HEX_SIZE], old[SHA256_HEX_SIZE], fresh[SHA256_HEX_SIZE], again[SHA256_HEX_SIZE];
    uint64_t removed, bytes;
    struct err why;
    put(f, "used", used);
    put(f, "old", old);
    put(f, "again", again);
    assert_int_equal(fixture_write(f, add_model, used), RC_OK);
    f->now_ms += 10000;
    put(f, "fresh", fresh);
    put(f, "again", again); /* somebody is about to name it */
    FINE(store_blobs_collect(f->store, 5000, &removed, err));
    assert_int_equal(removed, 1);
    assert_int_equal(store_blob_stat(f->store, old, &bytes, &why), RC_NOT_FOUND);
    FINE(store_blob_stat(f->store, used, &bytes, err));
    FINE(store_blob_stat(f->store, fresh, &bytes, err));
    FINE(store_blob_stat(f->store, again, &bytes, err));
    assert_int_equal(fixture_write(f, delete_model, (void *)"mdl_1"), RC_OK);
    f->now_ms += 10000;
    FINE(store_blobs_collect(f->store, 5000, &removed, err));
    assert_int_equal(removed, 3);
}

static void model_with_a_file_that_is_not_there_is_refused(void **state) {
    struct fixture *f = *state;
    char sha256[SHA256_HEX_SIZE];
    sha256_of("never uploaded", 14, sha256);
    assert_int_equal(fixture_write(f, add_model, sha256), RC_CONFLICT);
}

static void *upload_and_collect(void *user) {
    struct fixture *f = user;
    for (int i = 0; i < 30; i++) {
        char sha256[SHA256_HEX_SIZE], *data;
        uint64_t removed;
        size_t size;
        struct err why;
        FINE(store_blobs_collect(f->store, -1, &removed, err)); /* whatever its age */
        put(f, "contended", sha256);
        enum rc rc = store_blob_read(f->store, sha256, 100, &data, &size, &why);
        assert_true(rc == RC_OK || rc == RC_NOT_FOUND); /* never a row without its file */
        if (rc == RC_OK) {
            free(data);
        }
    }
    return NULL;
}

static void collecting_beside_uploads_never_leaves_a_row_without_its_file(void **state) {
    struct fixture *f = *state;
    pthread_t threads[4];
    char sha256[SHA256_HEX_SIZE], *data;
    size_t size;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, upload_and_collect, f), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    put(f, "contended", sha256);
    FINE(store_blob_read(f->store, sha256, 100, &data, &size, err));
    free(data);
}

/* ---- tokens ---- */

static void token_is_known_by_its_hash_until_it_is_revoked(void **state) {
    struct fixture *f = *state;
    char text[TOKEN_SIZE];
    enum store_role role = ROLE_ADMIN;
    struct store_tx *tx;
    struct store_token *rows;
    uint64_t count;
    size_t n;
    struct err why;
    FINE(store_token_new(f->store, "ci", ROLE_AGENT, text, err));
    FINE(store_token_check(f->store, text, &role, err));
    assert_int_equal(role, ROLE_AGENT);
    assert_int_equal(store_token_check(f->store, "pare_guess", &role, &why), RC_UNAUTHORIZED);
    FINE(store_read_begin(f->store, &tx, err));
    FINE(store_tokens_list(tx, &rows, &n, err));
    assert_int_equal(n, 1);
    char id[64];
    snprintf(id, sizeof(id), "%s", rows[0].id);
    store_read_end(tx);
    FINE(store_token_revoke(f->store, id, err));
    assert_int_equal(store_token_check(f->store, text, &role, &why), RC_UNAUTHORIZED);
    assert_int_equal(store_token_revoke(f->store, id, &why), RC_NOT_FOUND);
    FINE(store_token_count(f->store, &count, err));
    assert_int_equal(count, 0);
}

static void token_text_is_nowhere_in_the_files(void **state) {
    struct fixture *f = *state;
    char text[TOKEN_SIZE], path[128], *data;
    size_t size;
    FINE(store_token_new(f->store, "ci", ROLE_USER, text, err));
    store_close(f->store);
    snprintf(path, sizeof(path), "%s/pare.db", f->folder);
    FINE(file_read(path, 64 << 20, &data, &size, err));
    assert_null(memmem(data, size, text, strlen(text)));
    assert_non_null(memmem(data, size, "user", 4));
    free(data);
    FINE(fixture_open(f, &f->store, err));
}

/* ---- idempotency ---- */

static void answer_is_remembered_for_its_key_and_body_for_a_day(void **state) {
    struct fixture *f = *state;
    char *answer = NULL;
    int status = 0;
    struct err why;
    assert_int_equal(store_idempotency_find(f->store, "POST /a", "k", "h1", &status, &answer, &why),
                     RC_NOT_FOUND);
    FINE(store_idempotency_keep(f->store, "POST /a", "k", "h1", 201, "{\"n\":1}", err));
    FINE(store_idempotency_keep(f->store, "POST /a", "k", "h1", 201, "{\"n\":2}", err));
    FINE(store_idempotency_find(f->store, "POST /a", "k", "h1", &status, &answer, err));
    assert_int_equal(status, 201);
    assert_string_equal(answer, "{\"n\":1}");
    free(answer);
    assert_int_equal(store_idempotency_find(f->store, "POST /a", "k", "h2", &status, &answer, &why),
                     RC_CONFLICT);
    assert_int_equal(store_idempotency_find(f->store, "POST /b", "k", "h1", &status, &answer, &why),
                     RC_NOT_FOUND);
    f->now_ms += 25 * 3600 * 1000;
    assert_int_equal(store_idempotency_find(f->store, "POST /a", "k", "h1", &status, &answer, &why),
                     RC_NOT_FOUND);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        T(blob_is_found_by_its_content),
        T(upload_of_other_content_than_named_is_refused_and_removed),
        T(name_that_is_no_hash_never_becomes_a_path),
        T(only_old_blobs_that_nothing_refers_to_are_collected),
        T(model_with_a_file_that_is_not_there_is_refused),
        T(collecting_beside_uploads_never_leaves_a_row_without_its_file),
        T(token_is_known_by_its_hash_until_it_is_revoked),
        T(token_text_is_nowhere_in_the_files),
        T(answer_is_remembered_for_its_key_and_body_for_a_day),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
