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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_aligns_columns_by_what_is_shown),
        cmocka_unit_test(csv_quotes_as_rfc_4180),
        cmocka_unit_test(markdown_escapes_bars),
        cmocka_unit_test(output_names_the_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
