/* Every file of tests/data/bad-* that has a NAME.expected beside it is refused with a text that holds that
 * line. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/file.h"
#include "core/formats/format_detect.h"
#include "core/formats/gguf_header.h"
#include "core/formats/idx.h"
#include "core/formats/npz.h"
#include "core/formats/onnx_header.h"

typedef enum rc reader(const char *path, struct err *err);

static enum rc read_npz(const char *path, struct err *err) {
    struct npz *z = NULL;
    enum rc rc = npz_open(path, NULL, &z, err);
    for (size_t i = 0; rc == RC_OK && i < npz_count(z); i++) {
        void *data = NULL;
        rc = npz_read(z, npz_at(z, i), &data, err);
        free(data);
    }
    npz_close(z);
    return rc;
}

static enum rc read_idx(const char *path, struct err *err) {
    struct idx x = {0};
    enum rc rc = idx_read(path, 0, &x, err);
    idx_release(&x);
    return rc;
}

static enum rc read_onnx(const char *path, struct err *err) {
    enum model_family family;
    return format_detect(path, &family, err);
}

static enum rc read_gguf(const char *path, struct err *err) {
    struct gguf_header *h = NULL;
    enum rc rc = gguf_header_read(path, &h, err);
    gguf_header_free(h);
    return rc;
}

/* True when the file is refused as expected. */
static int check(const char *path, reader *read) {
    char expected_path[1100], *expected;
    size_t size;
    struct err err = {0};
    snprintf(expected_path, sizeof(expected_path), "%s.expected", path);
    assert_int_equal(file_read(expected_path, 4096, &expected, &size, &err), RC_OK);
    expected[strcspn(expected, "\n")] = '\0';
    enum rc rc = read(path, &err);
    int fine = rc != RC_OK && rc == err.rc && strstr(err.text, expected) != NULL;
    if (!fine) {
        printf("%s: expected \"%s\", got %s \"%s\"\n", path, expected, rc_name(rc), err.text);
    }
    free(expected);
    return fine;
}

static void check_folder(const char *folder, reader *read) {
    int files = 0, wrong = 0;
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        char path[1024];
        const char *dot = strrchr(e->d_name, '.');
        if (e->d_name[0] == '.' || (dot && strcmp(dot, ".expected") == 0)) {
            continue;
        }
        snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
        wrong += !check(path, read);
        files++;
    }
    closedir(dir);
    assert_true(files > 0);
    assert_int_equal(wrong, 0);
}

static void bad_npz_files_are_refused_with_a_reason(void **state) {
    (void)state;
    check_folder("tests/data/bad-npz", read_npz);
}

static void bad_idx_files_are_refused_with_a_reason(void **state) {
    (void)state;
    check_folder("tests/data/bad-idx", read_idx);
}

static void bad_onnx_files_are_refused_with_a_reason(void **state) {
    (void)state;
    check_folder("tests/data/bad-onnx", read_onnx);
}

static void bad_gguf_files_are_refused_with_a_reason(void **state) {
    (void)state;
    check_folder("tests/data/bad-gguf", read_gguf);
}

static void missing_files_and_folders_are_refused(void **state) {
    (void)state;
    reader *const readers[] = {read_npz, read_idx, read_onnx, read_gguf};
    struct err err;
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(readers[i]("tests/data/no-such-file", &err), RC_NOT_FOUND);
        assert_int_not_equal(readers[i]("tests/data", &err), RC_OK);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_npz_files_are_refused_with_a_reason),
        cmocka_unit_test(bad_idx_files_are_refused_with_a_reason),
        cmocka_unit_test(bad_onnx_files_are_refused_with_a_reason),
        cmocka_unit_test(bad_gguf_files_are_refused_with_a_reason),
        cmocka_unit_test(missing_files_and_folders_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
