#include "core/base/sha256.h"
#include "db/store_blobs.h"
#include "db/store_upload.h"
#include "tests/unit/db/store_fixture.h"

static const char HELLO[] = "hello world";

static void interrupt_after(struct fixture *f, const char *sha256, uint64_t offset, size_t end) {
    struct store_upload *u;
    FINE(store_upload_begin(f->store, sha256, offset, &u, err));
    FINE(store_upload_append(u, HELLO + offset, end - offset, err));
    store_upload_suspend(u);
}

static void interrupted_upload_goes_on_from_what_was_kept(void **state) {
    struct fixture *f = *state;
    char sha256[SHA256_HEX_SIZE], got[SHA256_HEX_SIZE], *data;
    struct store_upload *u;
    uint64_t kept, bytes;
    size_t size;
    bool created;
    sha256_of(HELLO, 11, sha256);
    FINE(store_upload_kept(f->store, sha256, &kept, err));
    assert_int_equal(kept, 0);
    interrupt_after(f, sha256, 0, 4);
    fixture_reopen(f); /* it survives the service */
    interrupt_after(f, sha256, 4, 9);
    FINE(store_upload_kept(f->store, sha256, &kept, err));
    assert_int_equal(kept, 9);
    FINE(store_upload_begin(f->store, sha256, 6, &u, err)); /* a client may know of less */
    FINE(store_upload_append(u, HELLO + 6, 5, err));
    FINE(store_upload_commit(u, sha256, got, &bytes, &created, err));
    assert_true(created);
    assert_int_equal(bytes, 11);
    FINE(store_blob_read(f->store, sha256, 100, &data, &size, err));
    assert_memory_equal(data, HELLO, 11);
    free(data);
    FINE(store_upload_kept(f->store, sha256, &kept, err));
    assert_int_equal(kept, 0);
}

static void upload_cannot_go_on_from_where_nothing_is(void **state) {
    struct fixture *f = *state;
    char sha256[SHA256_HEX_SIZE];
    struct store_upload *u;
    struct err why;
    sha256_of(HELLO, 11, sha256);
    interrupt_after(f, sha256, 0, 4);
    assert_int_equal(store_upload_begin(f->store, sha256, 5, &u, &why), RC_CONFLICT);
    assert_int_equal(store_upload_begin(f->store, NULL, 4, &u, &why), RC_INPUT);
    assert_int_equal(store_upload_begin(f->store, "../pare.db", 0, &u, &why), RC_INPUT);
}

static void two_uploads_of_one_content_do_not_meet(void **state) {
    struct fixture *f = *state;
    char sha256[SHA256_HEX_SIZE], got[SHA256_HEX_SIZE];
    struct store_upload *first, *second;
    uint64_t bytes;
    bool created;
    struct err why;
    sha256_of(HELLO, 11, sha256);
    FINE(store_upload_begin(f->store, sha256, 0, &first, err));
    FINE(store_upload_append(first, HELLO, 6, err));
    assert_int_equal(store_upload_begin(f->store, sha256, 6, &second, &why), RC_CONFLICT);
    FINE(store_upload_begin(f->store, sha256, 0, &second, err));
    FINE(store_upload_append(second, HELLO, 11, err));
    FINE(store_upload_append(first, HELLO + 6, 5, err));
    FINE(store_upload_commit(second, sha256, got, &bytes, &created, err));
    assert_true(created);
    FINE(store_upload_commit(first, sha256, got, &bytes, &created, err));
    assert_false(created);
}

static void damaged_rest_is_not_kept(void **state) {
    struct fixture *f = *state;
    char sha256[SHA256_HEX_SIZE], got[SHA256_HEX_SIZE];
    struct store_upload *u;
    uint64_t bytes;
    struct err why;
    sha256_of(HELLO, 11, sha256);
    interrupt_after(f, sha256, 0, 4);
    FINE(store_upload_begin(f->store, sha256, 4, &u, err));
    FINE(store_upload_append(u, "XXXXXXX", 7, err));
    assert_int_equal(store_upload_commit(u, sha256, got, &bytes, NULL, &why), RC_INPUT);
    FINE(store_upload_kept(f->store, sha256, &bytes, err));
    assert_int_equal(bytes, 0);
}

static void only_old_uploads_that_nobody_writes_are_collected(void **state) {
    struct fixture *f = *state;
    char left[SHA256_HEX_SIZE], busy[SHA256_HEX_SIZE];
    struct store_upload *u;
    uint64_t removed, kept;
    sha256_of(HELLO, 11, left);
    sha256_of("busy", 4, busy);
    interrupt_after(f, left, 0, 4);
    FINE(store_upload_begin(f->store, busy, 0, &u, err));
    FINE(store_upload_append(u, "bus", 3, err));
    FINE(store_uploads_collect(f->store, INT64_MAX / 2, &removed, err)); /* however old */
    assert_int_equal(removed, 0);
    FINE(store_uploads_collect(f->store, -(INT64_MAX / 2), &removed, err)); /* however young */
    assert_int_equal(removed, 1);
    FINE(store_upload_kept(f->store, left, &kept, err));
    assert_int_equal(kept, 0);
    FINE(store_upload_kept(f->store, busy, &kept, err));
    assert_int_equal(kept, 3);
    store_upload_abort(u);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        T(interrupted_upload_goes_on_from_what_was_kept),
        T(upload_cannot_go_on_from_where_nothing_is),
        T(two_uploads_of_one_content_do_not_meet),
        T(damaged_rest_is_not_kept),
        T(only_old_uploads_that_nobody_writes_are_collected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
