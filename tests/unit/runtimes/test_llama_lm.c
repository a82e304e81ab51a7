#include "tests/unit/runtimes/llama_fixture.h"

#include <stdbool.h>
#include <string.h>

#include "core/base/container.h"
#include "runtimes/llama_score.h"
#include "runtimes/llama_speed.h"

static struct llama_fixture fixture;

static void load_describes_the_model(void **state) {
    (void)state;
    struct llama_lm *lm = llama_fixture_load(&fixture, NULL, 0);
    struct llama_lm_info info;
    llama_lm_describe(lm, &info);
    assert_string_equal(info.architecture, "llama");
    assert_int_equal(info.vocabulary, 4096);
    assert_int_equal(info.context, 512);
    assert_true(info.parameters > 2000000 && info.parameters < 5000000);
    assert_non_null(llama_lm_version());
    llama_lm_free(lm);
}

static void refused(const char *path, const struct llama_lm_opts *opts, enum rc expected, const char *word) {
    struct llama_lm *lm = NULL;
    struct err err = {.text = ""};
    assert_int_equal(llama_lm_load(path, opts, &lm, &err), expected);
    assert_null(lm);
    assert_true(err.rc == expected);
    if (!strstr(err.text, word)) {
        fail_msg("\"%s\" does not say \"%s\"", err.text, word);
    }
}

static void a_context_beyond_training_is_refused(void **state) {
    (void)state;
    refused(fixture.model, &(struct llama_lm_opts){.context = 100000}, RC_INPUT, "trained on");
}

static void a_missing_file_is_not_found(void **state) {
    (void)state;
    refused("/nonexistent/model.gguf", NULL, RC_NOT_FOUND, "nonexistent");
}

/* Cuts and overwritten headers: an error each time, never a crash. */
static void truncated_files_are_refused(void **state) {
    (void)state;
    char *data, path[] = "/tmp/test_llama_lm.XXXXXX";
    size_t size;
    struct err err;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(file_read(fixture.model, 1 << 24, &data, &size, &err), RC_OK);
    const size_t lengths[] = {0, 1, 4, 23, 24, 100, 5000, 100000, size / 2, size - 33, size - 1};
    for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
        assert_int_equal(file_write(path, data, lengths[i], 0600, &err), RC_OK);
        struct llama_lm *lm = NULL;
        assert_int_equal(llama_lm_load(path, NULL, &lm, &err), RC_INPUT);
        assert_true(err.text[0] != '\0');
    }
    memcpy(data, "PK\003\004", 4);
    assert_int_equal(file_write(path, data, size, 0600, &err), RC_OK);
    refused(path, NULL, RC_INPUT, "GGUF");
    free(data);
    unlink(path);
}

/* A whole header whose tensors the architecture does not expect: libllama's own reason reaches the user. */
static void what_libllama_refuses_is_said_in_its_words(void **state) {
    (void)state;
    char *data, path[] = "/tmp/test_llama_lm.XXXXXX";
    size_t size;
    struct err err;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(file_read(fixture.model, 1 << 24, &data, &size, &err), RC_OK);
    char *name = memmem(data, size, "output_norm.weight", strlen("output_norm.weight"));
    assert_non_null(name);
    memcpy(name, "output_nixx.weight", strlen("output_nixx.weight"));
    assert_int_equal(file_write(path, data, size, 0600, &err), RC_OK);
    refused(path, NULL, RC_INPUT, "output_norm");
    free(data);
    unlink(path);
}

static void tokens_of_a_text(void **state) {
    (void)state;
    struct llama_lm *lm = llama_fixture_load(&fixture, NULL, 0);
    struct err err;
    int32_t *tokens, *again;
    size_t count, again_count;
    assert_int_equal(llama_lm_tokenize(lm, fixture.text, 4096, &tokens, &count, &err), RC_OK);
    assert_true(count > 500 && count < 4097);
    assert_int_equal(llama_lm_tokenize(lm, fixture.text, 4096, &again, &again_count, &err), RC_OK);
    assert_int_equal(count, again_count);
    assert_memory_equal(tokens, again, count * sizeof *tokens);
    free(tokens);
    free(again);
    llama_lm_free(lm);
}

static void bytes_that_are_not_utf8_count_as_replacement_characters(void **state) {
    (void)state;
    static const struct {
        const char *text, *same;
    } cases[] = {
        {"a\xFFz", "a\xEF\xBF\xBDz"},             /* never a byte of UTF-8 */
        {"\x80z", "\xEF\xBF\xBDz"},               /* the middle of a character, as where a block begins */
        {"ab\xC3", "ab\xEF\xBF\xBD"},             /* the beginning of one, as where a block ends */
        {"\xC0\xAF", "\xEF\xBF\xBD\xEF\xBF\xBD"}, /* overlong */
        {"\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},                 /* a surrogate */
        {"\xF4\x90\x80\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"}, /* above U+10FFFF */
    };
    struct llama_lm *lm = llama_fixture_load(&fixture, NULL, 0);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct err err;
        int32_t *bad, *good;
        size_t bad_count, good_count;
        assert_int_equal(llama_lm_tokenize(lm, cases[i].text, strlen(cases[i].text), &bad, &bad_count, &err),
                         RC_OK);
        assert_int_equal(
            llama_lm_tokenize(lm, cases[i].same, strlen(cases[i].same), &good, &good_count, &err), RC_OK);
        assert_int_equal(bad_count, good_count);
        assert_memory_equal(bad, good, good_count * sizeof *good);
        free(bad);
        free(good);
    }
    llama_lm_free(lm);
}

static void an_empty_text_has_no_words(void **state) {
    (void)state;
    struct llama_lm *lm = llama_fixture_load(&fixture, NULL, 0);
    struct err err;
    int32_t *tokens;
    size_t count;
    assert_int_equal(llama_lm_tokenize(lm, "", 0, &tokens, &count, &err), RC_OK);
    assert_true(count <= 1); /* BOS */
    free(tokens);
    llama_lm_free(lm);
}

static void an_instance_computes_the_same(void **state) {
    (void)state;
    struct llama_lm *base = llama_fixture_load(&fixture, NULL, 64), *instance = NULL;
    struct llama_lm_opts opts = {.context = 64, .threads = 1};
    struct err err;
    assert_int_equal(llama_lm_instance(base, &opts, &instance, &err), RC_OK);
    struct llama_scores scores;
    assert_int_equal(llama_score_text(instance, base, fixture.text, 2000, NULL, &scores, &err), RC_OK);
    assert_true(scores.mean_kld < 1e-9);
    llama_scores_free(&scores);
    llama_lm_free(instance);
    llama_lm_free(base);
}

static void speeds_are_measured(void **state) {
    (void)state;
    struct llama_lm *lm = llama_fixture_load(&fixture, NULL, 0);
    struct err err;
    uint64_t ns = 0;
    float us[LLAMA_SPEED_GENERATED] = {0};
    assert_int_equal(llama_speed_prompt(lm, LLAMA_SPEED_PROMPT, &ns, &err), RC_OK);
    assert_true(ns > 0);
    assert_int_equal(llama_speed_generate(lm, LLAMA_SPEED_GENERATED, us, &err), RC_OK);
    for (size_t i = 0; i < LLAMA_SPEED_GENERATED; i++) {
        assert_true(us[i] > 0);
    }
    assert_int_equal(llama_speed_prompt(lm, 513, &ns, &err), RC_INPUT);
    assert_int_equal(llama_speed_generate(lm, 0, us, &err), RC_INPUT);
    llama_lm_free(lm);
}

static void opening_the_libraries_twice_is_fine(void **state) {
    (void)state;
    struct err err;
    assert_int_equal(llama_lm_open_libraries(&err), RC_OK);
    assert_int_equal(llama_lm_open_libraries(&err), RC_OK);
}

static void a_build_without_libllama_says_so(void **state) {
    (void)state;
    refused("model.gguf", NULL, RC_UNSUPPORTED,
            "this build has no libllama: GGUF models cannot be run; see README");
}

int main(void) {
    const struct CMUnitTest without[] = {cmocka_unit_test(a_build_without_libllama_says_so)};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opening_the_libraries_twice_is_fine),
        cmocka_unit_test(load_describes_the_model),
        cmocka_unit_test(a_context_beyond_training_is_refused),
        cmocka_unit_test(a_missing_file_is_not_found),
        cmocka_unit_test(truncated_files_are_refused),
        cmocka_unit_test(what_libllama_refuses_is_said_in_its_words),
        cmocka_unit_test(tokens_of_a_text),
        cmocka_unit_test(bytes_that_are_not_utf8_count_as_replacement_characters),
        cmocka_unit_test(an_empty_text_has_no_words),
        cmocka_unit_test(an_instance_computes_the_same),
        cmocka_unit_test(speeds_are_measured),
    };
    if (!llama_lm_available()) {
        return cmocka_run_group_tests(without, NULL, NULL);
    }
    if (!llama_fixture_open(&fixture)) {
        return 77;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    llama_fixture_close(&fixture);
    return failed;
}
