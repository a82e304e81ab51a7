/* A results file: what was written is read, and any other byte is noticed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sodium.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/formats/results_file.h"

struct fixture {
    char folder[64], path[128];
    uint8_t public_key[RESULTS_FILE_PUBLIC_KEY], secret_key[RESULTS_FILE_SECRET_KEY];
    char *data;
    size_t size;
};

/* Two files of 3 and 0 bytes in one job, and a job without files. */
static json_t *head_for(const char *first, const char *second) {
    return json_pack("{s:i, s:s, s:{s:s, s:{}}, s:[{s:s, s:i, s:{}, s:[{s:s, s:s, s:i}, {s:s, s:s, s:i}]}, "
                     "{s:s, s:i, s:{}}]}",
                     "format", 1, "bundle", "bun_a", "target", "name", "board", "fingerprint", "jobs", "id",
                     "job_a", "token", 5, "result", "files", "path", "a.bin", "sha256", first, "bytes", 3,
                     "path", "b.bin", "sha256", second, "bytes", 0, "id", "job_b", "token", 6, "error");
}

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof(*f));
    char paths[2][128], hex[2][SHA256_HEX_SIZE];
    struct err err;
    strcpy(f->folder, "/tmp/pare-results-file-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    assert_int_equal(sodium_init() < 0, 0);
    crypto_sign_keypair(f->public_key, f->secret_key);
    snprintf(paths[0], sizeof(paths[0]), "%s/a", f->folder);
    snprintf(paths[1], sizeof(paths[1]), "%s/b", f->folder);
    assert_int_equal(file_write(paths[0], "abc", 3, 0600, &err), RC_OK);
    assert_int_equal(file_write(paths[1], "", 0, 0600, &err), RC_OK);
    sha256_of("abc", 3, hex[0]);
    sha256_of("", 0, hex[1]);
    json_t *head = head_for(hex[0], hex[1]);
    assert_non_null(head);
    snprintf(f->path, sizeof(f->path), "%s/results.pare", f->folder);
    const char *const list[] = {paths[0], paths[1]};
    assert_int_equal(results_file_write(f->path, head, list, 2, f->secret_key, &err), RC_OK);
    json_decref(head);
    assert_int_equal(file_read(f->path, 1 << 20, &f->data, &f->size, &err), RC_OK);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    struct err err;
    enum rc rc = file_remove_tree(f->folder, &err);
    free(f->data);
    free(f);
    return rc == RC_OK ? 0 : -1;
}

static void what_was_written_is_read_and_verified(void **state) {
    struct fixture *f = *state;
    struct results_file r;
    struct err err = {0};
    assert_int_equal(results_file_read(f->data, f->size, &r, &err), RC_OK);
    assert_string_equal(r.bundle, "bun_a");
    assert_int_equal(json_array_size(r.jobs), 2);
    assert_int_equal(r.content_count, 2);
    assert_int_equal(r.contents[0].size, 3);
    assert_memory_equal(r.contents[0].data, "abc", 3);
    assert_int_equal(r.contents[1].size, 0);
    assert_int_equal(results_file_verify(&r, f->public_key, &err), RC_OK);
    results_file_release(&r);
}

static void every_flipped_bit_is_noticed(void **state) {
    struct fixture *f = *state;
    for (size_t i = 0; i < 8 * f->size; i++) {
        struct results_file r;
        struct err err = {0};
        f->data[i / 8] ^= (char)(1 << i % 8);
        enum rc rc = results_file_read(f->data, f->size, &r, &err);
        if (rc == RC_OK) {
            rc = results_file_verify(&r, f->public_key, &err);
            results_file_release(&r);
        }
        assert_int_equal(rc, RC_INPUT);
        f->data[i / 8] ^= (char)(1 << i % 8);
    }
}

static void every_other_length_is_refused(void **state) {
    struct fixture *f = *state;
    struct results_file r;
    struct err err = {0};
    for (size_t size = 0; size < f->size; size++) {
        char *cut = malloc(size + 1); /* its own memory: a read beyond it is seen by the sanitizer */
        assert_non_null(cut);
        memcpy(cut, f->data, size);
        enum rc rc = results_file_read(cut, size, &r, &err);
        if (rc == RC_OK) {
            results_file_release(&r);
        }
        free(cut);
        assert_int_equal(rc, RC_INPUT);
    }
    char *longer = calloc(1, f->size + 1);
    assert_non_null(longer);
    memcpy(longer, f->data, f->size);
    assert_int_equal(results_file_read(longer, f->size + 1, &r, &err), RC_INPUT);
    free(longer);
}

static void another_key_does_not_verify(void **state) {
    struct fixture *f = *state;
    struct results_file r;
    struct err err = {0};
    uint8_t other[RESULTS_FILE_PUBLIC_KEY], secret[RESULTS_FILE_SECRET_KEY];
    crypto_sign_keypair(other, secret);
    assert_int_equal(results_file_read(f->data, f->size, &r, &err), RC_OK);
    assert_int_equal(results_file_verify(&r, other, &err), RC_INPUT);
    results_file_release(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_written_is_read_and_verified, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_flipped_bit_is_noticed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_other_length_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_key_does_not_verify, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
