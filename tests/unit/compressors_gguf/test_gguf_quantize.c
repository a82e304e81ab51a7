#include "tests/unit/runtimes/llama_fixture.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

#include "compressors/gguf/gguf_quantize.h"
#include "core/base/sha256.h"
#include "core/data/dataset.h"
#include "core/recipes/recipe.h"
#include "runtimes/llama_quantizer.h"
#include "runtimes/llama_score.h"

enum { TEXT_BYTES = 8192 };

static struct llama_fixture fixture;

struct files {
    char folder[64], text[96], output[96], second[96];
};

static int make_files(void **state) {
    static struct files f;
    struct err err;
    strcpy(f.folder, "/tmp/test_gguf_quantize.XXXXXX");
    if (!mkdtemp(f.folder)) {
        return 1;
    }
    snprintf(f.text, sizeof f.text, "%s/text.txt", f.folder);
    snprintf(f.output, sizeof f.output, "%s/model.gguf", f.folder);
    snprintf(f.second, sizeof f.second, "%s/second.gguf", f.folder);
    *state = &f;
    return file_write(f.text, fixture.text, TEXT_BYTES, 0600, &err) != RC_OK;
}

static int remove_files(void **state) {
    struct files *f = *state;
    struct err err;
    return file_remove_tree(f->folder, &err) != RC_OK;
}

static struct dataset *calibration(const struct files *f) {
    struct dataset *d = NULL;
    struct err err = {.text = ""};
    json_t *json = json_pack("{s:s, s:s, s:[{s:s, s:s, s:s}]}", "id", "dat_test", "format", "text", "files",
                             "path", "text.txt", "role", "text", "local", f->text);
    assert_non_null(json);
    if (dataset_open(json, 0, &d, &err)) {
        fail_msg("%s", err.text);
    }
    json_decref(json);
    return d;
}

static enum rc compress(const char *text, const char *input, const char *output, struct dataset *data,
                        uint32_t threads, struct record *record, struct err *err) {
    struct recipe recipe;
    if (recipe_parse(text, FAMILY_GGUF, &recipe, err)) {
        fail_msg("%s", err->text);
    }
    struct compress_job job = {
        .input = input, .output = output, .calibration = data, .threads = threads, .record = record};
    return gguf_quantize_compress(&job, &recipe.steps[0], err);
}

static void compress_well(const char *text, const char *output, struct dataset *data, uint32_t threads) {
    struct record record;
    struct err err = {.text = ""};
    record_init(&record);
    if (compress(text, fixture.model, output, data, threads, &record, &err)) {
        fail_msg("%s: %s", text, err.text);
    }
    record_release(&record);
}

static double divergence(const char *path) {
    struct llama_lm *lm = llama_fixture_load(&fixture, path, 128);
    struct llama_lm *reference = llama_fixture_load(&fixture, NULL, 128);
    struct llama_score_opts opts = {.max_chunks = 6};
    struct llama_scores s;
    struct err err = {.text = ""};
    if (llama_score_text(lm, reference, fixture.text + TEXT_BYTES, TEXT_BYTES, &opts, &s, &err)) {
        fail_msg("%s", err.text);
    }
    double kld = s.mean_kld;
    llama_scores_free(&s);
    llama_lm_free(reference);
    llama_lm_free(lm);
    return kld;
}

static void fewer_bits_diverge_more(void **state) {
    const struct files *f = *state;
    struct dataset *data = calibration(f);
    static const char *const recipes[] = {"Q8_0",           "Q5_K_M:imatrix", "Q4_K_M:imatrix",
                                          "Q3_K_M:imatrix", "Q2_K:imatrix",   NULL};
    double last = 0;
    uint64_t last_bytes = UINT64_MAX;
    for (size_t i = 0; recipes[i]; i++) {
        compress_well(recipes[i], f->output, data, 1);
        double kld = divergence(f->output);
        uint64_t bytes;
        struct err err;
        assert_int_equal(file_size(f->output, &bytes, &err), RC_OK);
        if (kld <= last || bytes > last_bytes) {
            fail_msg("%s: divergence %g after %g, %llu bytes after %llu", recipes[i], kld, last,
                     (unsigned long long)bytes, (unsigned long long)last_bytes);
        }
        last = kld;
        last_bytes = bytes;
    }
    dataset_free(data);
}

static void an_importance_matrix_lowers_the_divergence(void **state) {
    const struct files *f = *state;
    struct dataset *data = calibration(f);
    compress_well("Q2_K", f->output, data, 1);
    double plain = divergence(f->output);
    compress_well("Q2_K:imatrix", f->output, data, 1);
    assert_true(divergence(f->output) < plain);
    dataset_free(data);
}

static void the_same_job_gives_the_same_bytes(void **state) {
    const struct files *f = *state;
    struct dataset *data = calibration(f);
    char first[SHA256_HEX_SIZE], second[SHA256_HEX_SIZE];
    size_t size;
    struct err err;
    compress_well("Q4_K_M:imatrix", f->output, data, 2);
    compress_well("Q4_K_M:imatrix", f->second, data, 1);
    assert_int_equal(sha256_of_file(f->output, first, &size, &err), RC_OK);
    assert_int_equal(sha256_of_file(f->second, second, &size, &err), RC_OK);
    assert_string_equal(first, second);
    dataset_free(data);
}

static const char *text_of(const struct record_list *list, const char *tensor) {
    for (size_t i = 0; i < list->count; i++) {
        if (list->entries[i].tensor && strcmp(list->entries[i].tensor, tensor) == 0) {
            return list->entries[i].text;
        }
    }
    fail_msg("%s is not recorded", tensor);
    return NULL;
}

static void what_became_of_each_tensor_is_recorded(void **state) {
    const struct files *f = *state;
    struct record r;
    struct err err;
    record_init(&r);
    assert_int_equal(compress("Q8_0", fixture.model, f->output, NULL, 1, &r, &err), RC_OK);
    assert_string_equal(text_of(&r.changed, "blk.0.attn_q.weight"), "F16 to Q8_0");
    assert_non_null(strstr(text_of(&r.left_alone, "blk.0.attn_norm.weight"), "F32: norms stay"));
    assert_int_equal(r.notes.count, 0);
    record_release(&r);
}

static void importance_without_a_text_is_refused(void **state) {
    const struct files *f = *state;
    struct record r;
    struct err err;
    record_init(&r);
    assert_int_equal(compress("Q4_K_M:imatrix", fixture.model, f->output, NULL, 1, &r, &err), RC_INPUT);
    assert_non_null(strstr(err.text, "calibration text"));
    record_release(&r);
}

/* Recipes say that these need a text; libllama makes none of them without importance. */
static void levels_that_need_importance_are_refused_without_it(void **state) {
    const struct files *f = *state;
    const char *const *levels = llama_quantizer_levels();
    size_t needing = 0;
    for (size_t i = 0; levels[i]; i++) {
        struct recipe recipe;
        struct record r;
        struct err err;
        struct llama_quantizer_opts opts = {.level = levels[i], .threads = 1};
        assert_int_equal(recipe_parse(levels[i], FAMILY_GGUF, &recipe, &err), RC_OK);
        if (!(recipe_needs(&recipe) & NEEDS_CALIBRATION)) {
            continue;
        }
        needing++;
        assert_int_equal(llama_quantizer_run(fixture.model, f->output, &opts, &err), RC_INPUT);
        record_init(&r);
        assert_int_equal(compress(levels[i], fixture.model, f->output, NULL, 1, &r, &err), RC_INPUT);
        assert_non_null(strstr(err.text, "calibration text"));
        record_release(&r);
    }
    assert_true(needing >= 8);
}

static void embeddings_and_the_output_keep_the_type_asked_for(void **state) {
    const struct files *f = *state;
    struct record r;
    struct err err;
    record_init(&r);
    assert_int_equal(compress("Q4_0:embed=Q8_0,output=Q8_0", fixture.model, f->output, NULL, 1, &r, &err),
                     RC_OK);
    assert_string_equal(text_of(&r.changed, "token_embd.weight"), "F16 to Q8_0");
    assert_string_equal(text_of(&r.changed, "blk.0.attn_q.weight"), "F16 to Q4_0");
    record_release(&r);
    record_init(&r);
    assert_int_equal(compress("Q4_0", fixture.model, f->second, NULL, 1, &r, &err), RC_OK);
    assert_string_not_equal(text_of(&r.changed, "token_embd.weight"), "F16 to Q8_0");
    record_release(&r);
    assert_true(divergence(f->output) < divergence(f->second));
}

static void a_level_by_a_code_book_is_made_and_loads(void **state) {
    const struct files *f = *state;
    struct dataset *data = calibration(f);
    compress_well("IQ2_XS", f->output, data, 1);
    double far = divergence(f->output);
    assert_true(isfinite(far) && far > 0 && far < 5);
    dataset_free(data);
}

static void a_quantized_model_is_refused(void **state) {
    const struct files *f = *state;
    struct record r;
    struct err err;
    record_init(&r);
    compress_well("Q8_0", f->output, NULL, 1);
    assert_int_equal(compress("Q2_K", f->output, f->second, NULL, 1, &r, &err), RC_UNSUPPORTED);
    assert_non_null(strstr(err.text, "quantized already"));
    record_release(&r);
}

static void a_truncated_model_is_refused(void **state) {
    const struct files *f = *state;
    char *data;
    size_t size;
    struct record r;
    struct err err;
    assert_int_equal(file_read(fixture.model, 1 << 24, &data, &size, &err), RC_OK);
    assert_int_equal(file_write(f->second, data, size / 2, 0600, &err), RC_OK);
    record_init(&r);
    assert_int_equal(compress("Q8_0", f->second, f->output, NULL, 1, &r, &err), RC_INPUT);
    record_release(&r);
    free(data);
}

static void an_output_that_cannot_be_written_is_an_error(void **state) {
    const struct files *f = *state;
    char path[128];
    struct err err;
    struct llama_quantizer_opts opts = {.level = "Q8_0", .threads = 1};
    snprintf(path, sizeof path, "%s/missing/model.gguf", f->folder);
    assert_int_equal(llama_quantizer_run(fixture.model, path, &opts, &err), RC_INPUT);
    assert_non_null(strstr(err.text, "libllama cannot quantize the model"));
}

static void an_unknown_level_names_the_nearest(void **state) {
    const struct files *f = *state;
    struct err err;
    struct llama_quantizer_opts opts = {.level = "Q4_KM", .threads = 1};
    assert_int_equal(llama_quantizer_run(fixture.model, f->output, &opts, &err), RC_USAGE);
    assert_non_null(strstr(err.text, "Q4_K_M"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(fewer_bits_diverge_more, make_files, remove_files),
        cmocka_unit_test_setup_teardown(an_importance_matrix_lowers_the_divergence, make_files, remove_files),
        cmocka_unit_test_setup_teardown(the_same_job_gives_the_same_bytes, make_files, remove_files),
        cmocka_unit_test_setup_teardown(what_became_of_each_tensor_is_recorded, make_files, remove_files),
        cmocka_unit_test_setup_teardown(importance_without_a_text_is_refused, make_files, remove_files),
        cmocka_unit_test_setup_teardown(levels_that_need_importance_are_refused_without_it, make_files,
                                        remove_files),
        cmocka_unit_test_setup_teardown(embeddings_and_the_output_keep_the_type_asked_for, make_files,
                                        remove_files),
        cmocka_unit_test_setup_teardown(a_level_by_a_code_book_is_made_and_loads, make_files, remove_files),
        cmocka_unit_test_setup_teardown(a_quantized_model_is_refused, make_files, remove_files),
        cmocka_unit_test_setup_teardown(a_truncated_model_is_refused, make_files, remove_files),
        cmocka_unit_test_setup_teardown(an_output_that_cannot_be_written_is_an_error, make_files,
                                        remove_files),
        cmocka_unit_test_setup_teardown(an_unknown_level_names_the_nearest, make_files, remove_files),
    };
    if (!llama_fixture_open(&fixture)) {
        return 77;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    llama_fixture_close(&fixture);
    return failed;
}
