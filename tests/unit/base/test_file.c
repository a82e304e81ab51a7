#include "tests/support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/file.h"

static char folder[64];

static int make_folder(void **state) {
    (void)state;
    strcpy(folder, "/tmp/pare-test-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    (void)state;
    struct err err;
    return file_remove_tree(folder, &err) == RC_OK ? 0 : -1;
}

static void write_then_read_gives_the_same_bytes(void **state) {
    (void)state;
    char path[128], *data;
    size_t size;
    struct err err;
    snprintf(path, sizeof(path), "%s/a/b", folder);
    assert_int_equal(file_make_folder(path, &err), RC_OK);
    strcat(path, "/file");
    assert_int_equal(file_write(path, "one\0two", 7, 0600, &err), RC_OK);
    assert_int_equal(file_write(path, "three", 5, 0600, &err), RC_OK);
    assert_int_equal(file_read(path, 5, &data, &size, &err), RC_OK);
    assert_int_equal(size, 5);
    assert_string_equal(data, "three");
    free(data);
    assert_int_equal(file_read(path, 4, &data, &size, &err), RC_TOO_LARGE);
}

static void read_of_a_missing_file_or_a_folder_is_an_error(void **state) {
    (void)state;
    char *data;
    size_t size;
    struct err err;
    assert_int_equal(file_read("/nonexistent/x", 10, &data, &size, &err), RC_NOT_FOUND);
    assert_non_null(strstr(err.text, "/nonexistent/x"));
    assert_int_equal(file_read(folder, 1 << 20, &data, &size, &err), RC_INPUT);
}

static void remove_tree_does_not_follow_links(void **state) {
    (void)state;
    char outside[128], tree[128], path[160];
    uint64_t bytes;
    struct err err;
    snprintf(outside, sizeof(outside), "%s/outside", folder);
    snprintf(tree, sizeof(tree), "%s/tree", folder);
    snprintf(path, sizeof(path), "%s/link", tree);
    assert_int_equal(file_make_folder(tree, &err), RC_OK);
    assert_int_equal(file_write(outside, "x", 1, 0600, &err), RC_OK);
    assert_int_equal(symlink(outside, path), 0);
    assert_int_equal(file_remove_tree(tree, &err), RC_OK);
    assert_int_equal(file_size(outside, &bytes, &err), RC_OK);
    assert_int_equal(file_size(tree, &bytes, &err), RC_NOT_FOUND);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(write_then_read_gives_the_same_bytes),
        cmocka_unit_test(read_of_a_missing_file_or_a_folder_is_an_error),
        cmocka_unit_test(remove_tree_does_not_follow_links),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
