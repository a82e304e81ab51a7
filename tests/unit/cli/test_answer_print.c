#include "tests/support/test.h"

#include <stdlib.h>
#include <string.h>

#include "advisor/cli/answer_print.h"

static const char answer_text[] =
    "{\"id\": \"rec_1\", \"status\": \"ok\", \"summary\": \"int8:static costs least.\", \"confidence\": 0.95,"
    " \"baseline\": {\"id\": \"cfg_b\", \"recipe\": \"fp32\", \"runtime\": {\"instances\": 1, \"threads\": "
    "2, \"batch\": 1},"
    "   \"accuracy\": {\"metric\": \"top1\", \"value\": 0.9478}, \"latency_us\": {\"p50\": 900.0}, "
    "\"throughput_per_s\": 1100.0,"
    "   \"memory_mib\": 40.0, \"size_bytes\": 2785205, \"machine_hours_per_million\": {\"value\": 0.2525}},"
    " \"choice\": {\"id\": \"cfg_a\", \"recipe\": \"int8:static,act=u8\", \"runtime\": {\"instances\": 2, "
    "\"threads\": 1, \"batch\": 8},"
    "   \"accuracy\": {\"metric\": \"top1\", \"value\": 0.9476}, \"latency_us\": {\"p50\": 441.0, \"p99\": "
    "512.0}, \"throughput_per_s\": 2210.0,"
    "   \"memory_mib\": 31.2, \"size_bytes\": 741107, \"machine_hours_per_million\": {\"value\": 0.1257}},"
    " \"runners_up\": [], \"frontier\": [], \"undecided\": [], \"nearest_miss\": null, \"relaxations\": [],"
    " \"rejected\": {\"total\": 1, \"items\": [{\"id\": \"cfg_c\", \"recipe\": \"int8:dynamic\", \"reason\": "
    "\"p99 11.9 ms breaks 5 ms\", \"explanation\": \"Convolutions fell back.\","
    "   \"runtime\": {\"instances\": 1, \"threads\": 2, \"batch\": 1}}]}}";

static char *printed(enum output output) {
    json_t *answer = json_loads(answer_text, 0, NULL);
    char *text = NULL;
    size_t size;
    struct err err;
    FILE *f = open_memstream(&text, &size);
    assert_non_null(answer);
    assert_int_equal(answer_print(answer, output, f, &err), RC_OK);
    fclose(f);
    json_decref(answer);
    return text;
}

static void table_shows_choice_baseline_and_reasons(void **state) {
    (void)state;
    char *text = printed(OUTPUT_TABLE);
    static const char *const expected[] = {"int8:static costs least.",
                                           "choice",
                                           "2x1 b8",
                                           "0.9476",
                                           "0.44 ms",
                                           "0.51 ms",
                                           "2210",
                                           "741 kB",
                                           "0.1257",
                                           "baseline",
                                           "2.8 MB",
                                           "p99 11.9 ms breaks 5 ms",
                                           "h/M",
                                           "\n  int8:dynamic, 1x2: Convolutions fell back.\n",
                                           "rec_1"};
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        if (!strstr(text, expected[i])) {
            fail_msg("\"%s\" is not in:\n%s", expected[i], text);
        }
    }
    free(text);
}

static void csv_has_bare_figures_with_units_in_the_headers(void **state) {
    (void)state;
    char *text = printed(OUTPUT_CSV);
    assert_non_null(
        strstr(text, "role,configuration,recipe,instances,threads,batch,metric,accuracy,p50_us,p99_us,"));
    assert_non_null(strstr(
        text, "\r\nchoice,cfg_a,\"int8:static,act=u8\",2,1,8,top1,0.9476,441,512,2210,31.2,741107,,0.1257,"));
    assert_non_null(strstr(text, "\r\nrejected,cfg_c,int8:dynamic,1,2,1,,,,,,,,,,p99 11.9 ms breaks 5 "
                                 "ms,Convolutions fell back.\r\n"));
    free(text);
}

static void a_null_price_is_no_price_and_a_variant_without_runtime_has_no_figures(void **state) {
    (void)state;
    json_t *answer =
        json_pack("{s:s, s:s, s:n, s:{s:s, s:s, s:n, s:{s:f}}, s:{s:[{s:s, s:s, s:s}]}}", "id", "rec_1",
                  "summary", "Fine.", "baseline", "choice", "id", "cfg_a", "recipe", "fp32",
                  "usd_per_million", "machine_hours_per_million", "value", 0.5, "rejected", "items",
                  "variant", "var_1", "recipe", "int4", "reason", "it could not be made");
    char *text = NULL;
    size_t size;
    struct err err;
    FILE *f = open_memstream(&text, &size);
    assert_non_null(answer);
    assert_int_equal(answer_print(answer, OUTPUT_TABLE, f, &err), RC_OK);
    fclose(f);
    assert_non_null(strstr(text, "h/M"));
    assert_non_null(strstr(text, "0.5000"));
    assert_non_null(strstr(text, "it could not be made"));
    assert_null(strstr(text, "nan"));
    json_decref(answer);
    free(text);
}

static void the_evidence_names_floor_bound_and_test(void **state) {
    (void)state;
    json_t *answer =
        json_pack("{s:s, s:s, s:f, s:[s], s:{s:s, s:s, s:{s:s, s:f, s:f, s:i, s:s, s:s}}}", "id", "rec_1",
                  "summary", "Fine.", "confidence", 0.95, "floors", "relative>=0.99", "choice", "id", "cfg_a",
                  "recipe", "fp16", "accuracy", "metric", "top1", "value", 0.9, "drop_upper", 0.0011, "n",
                  10000, "test", "Tango score test", "floor", "met");
    char *text = NULL;
    size_t size;
    struct err err;
    FILE *f = open_memstream(&text, &size);
    assert_non_null(answer);
    assert_int_equal(answer_print(answer, OUTPUT_TABLE, f, &err), RC_OK);
    fclose(f);
    assert_non_null(
        strstr(text, "Floor relative>=0.99: met with the choice, n = 10000; with 95 % confidence its top1 "
                     "is at most 0.0011 worse than the baseline's (Tango score test)."));
    json_decref(answer);
    free(text);
}

static void json_keeps_the_answer_whole(void **state) {
    (void)state;
    char *text = printed(OUTPUT_JSON);
    json_t *again = json_loads(text, 0, NULL), *answer = json_loads(answer_text, 0, NULL);
    assert_true(json_equal(again, answer));
    json_decref(again);
    json_decref(answer);
    free(text);
}

static void exit_code_follows_the_status(void **state) {
    (void)state;
    static const struct {
        const char *status;
        int code;
    } cases[] = {{"ok", 0}, {"undecided", 3}, {"none", 1}};
    for (size_t i = 0; i < 3; i++) {
        json_t *answer = json_pack("{s:s}", "status", cases[i].status);
        assert_int_equal(answer_exit_code(answer), cases[i].code);
        json_decref(answer);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_shows_choice_baseline_and_reasons),
        cmocka_unit_test(csv_has_bare_figures_with_units_in_the_headers),
        cmocka_unit_test(a_null_price_is_no_price_and_a_variant_without_runtime_has_no_figures),
        cmocka_unit_test(the_evidence_names_floor_bound_and_test),
        cmocka_unit_test(json_keeps_the_answer_whole),
        cmocka_unit_test(exit_code_follows_the_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
