#include "tests/support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "advisor/cli/table.h"

static char *printed(const struct table *t, enum output output) {
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    table_print(t, output, f);
    fclose(f);
    return text;
}

static struct table *example(void) {
    static const char *const headers[] = {"recipe", ">p50", "why"};
    static const char *const first[] = {"int8:static", "0.44 ms", "keeps 99 %, \"cheap\""};
    static const char *const second[] = {"fp32", "12 \xc2\xb5s", "a|b"};
    struct table *t = table_new(headers, 3);
    struct err err;
    assert_int_equal(table_add(t, first, &err), RC_OK);
    assert_int_equal(table_add(t, second, &err), RC_OK);
    return t;
}

static void table_aligns_columns_by_what_is_shown(void **state) {
    (void)state;
    struct table *t = example();
    char *text = printed(t, OUTPUT_TABLE);
    assert_string_equal(text, "recipe           p50  why\n"
                              "int8:static  0.44 ms  keeps 99 %, \"cheap\"\n"
                              "fp32           12 \xc2\xb5s  a|b\n");
    free(text);
    table_free(t);
}

static void csv_quotes_as_rfc_4180(void **state) {
    (void)state;
    struct table *t = example();
    char *text = printed(t, OUTPUT_CSV);
    assert_string_equal(
        text,
        "recipe,p50,why\r\nint8:static,0.44 ms,\"keeps 99 %, \"\"cheap\"\"\"\r\nfp32,12 \xc2\xb5s,a|b\r\n");
    free(text);
    table_free(t);
}

static void markdown_escapes_bars(void **state) {
    (void)state;
    struct table *t = example();
    char *text = printed(t, OUTPUT_MD);
    assert_non_null(strstr(text, "|---|--:|---|\n"));
    assert_non_null(strstr(text, "| a\\|b |"));
    free(text);
    table_free(t);
}

static void output_names_the_nearest(void **state) {
    (void)state;
    enum output output;
    struct err err;
    assert_int_equal(output_parse("md", &output, &err), RC_OK);
    assert_int_equal(output, OUTPUT_MD);
    assert_int_equal(output_parse("jsn", &output, &err), RC_USAGE);
    assert_non_null(strstr(err.text, "did you mean json"));
}

static char *within(size_t columns) {
    static const char *const headers[] = {"recipe", ">p50", ">~memory", "why"};
    static const char *const row[] = {"int8:static", "0.44 ms", "31 MiB",
                                      "costs less than every other one that meets the floor"};
    struct table *t = table_new(headers, 4);
    struct err err;
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    assert_int_equal(table_add(t, row, &err), RC_OK);
    table_print_within(t, columns, f);
    fclose(f);
    table_free(t);
    return text;
}

static void a_wide_terminal_gets_one_line_a_row(void **state) {
    (void)state;
    char *wide = within(120), *any = within(0);
    assert_string_equal(
        wide, "recipe           p50  memory  why\n"
              "int8:static  0.44 ms  31 MiB  costs less than every other one that meets the floor\n");
    assert_string_equal(any, wide);
    free(wide);
    free(any);
}

static void a_narrower_one_wraps_the_last_column(void **state) {
    (void)state;
    char *text = within(64);
    assert_string_equal(text, "recipe           p50  memory  why\n"
                              "int8:static  0.44 ms  31 MiB  costs less than every other one\n"
                              "                              that meets the floor\n");
    free(text);
}

static void then_the_last_column_goes_below_and_others_are_left_out(void **state) {
    (void)state;
    char *below = within(40), *less = within(24);
    assert_string_equal(below, "recipe           p50  memory\n"
                               "int8:static  0.44 ms  31 MiB\n"
                               "    costs less than every other one that\n"
                               "    meets the floor\n");
    assert_string_equal(less, "recipe           p50\n"
                              "int8:static  0.44 ms\n"
                              "    costs less than every other\n"
                              "    one that meets the floor\n"
                              "(too narrow here for: memory)\n");
    free(below);
    free(less);
}

static void a_word_longer_than_the_line_is_cut(void **state) {
    (void)state;
    static const char *const headers[] = {"a", "b"};
    static const char *const row[] = {"x", "0123456789012345678901234567890123456789 \xc2\xb5 end"};
    struct table *t = table_new(headers, 2);
    struct err err;
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    assert_int_equal(table_add(t, row, &err), RC_OK);
    table_print_within(t, 33, f);
    fclose(f);
    assert_string_equal(text, "a  b\nx  012345678901234567890123456789\n   0123456789 \xc2\xb5 end\n");
    free(text);
    table_free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_aligns_columns_by_what_is_shown),
        cmocka_unit_test(csv_quotes_as_rfc_4180),
        cmocka_unit_test(markdown_escapes_bars),
        cmocka_unit_test(output_names_the_nearest),
        cmocka_unit_test(a_wide_terminal_gets_one_line_a_row),
        cmocka_unit_test(a_narrower_one_wraps_the_last_column),
        cmocka_unit_test(then_the_last_column_goes_below_and_others_are_left_out),
        cmocka_unit_test(a_word_longer_than_the_line_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
