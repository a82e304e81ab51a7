/* Every GGUF level of the preset thorough, made and measured on the small language model. */
#include "tests/unit/runtimes/llama_fixture.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

#include "compressors/gguf/gguf_quantize.h"
#include "core/data/dataset.h"
#include "core/recipes/recipe.h"
#include "runtimes/llama_quantizer.h"
#include "runtimes/llama_score.h"

/* $PARE_GGUF_CHUNKS: how much is read, for figures worth quoting (0: all). */
enum { CALIBRATION_BYTES = 16384, LEVELS_MAX = 64, CHUNKS = 6, CONTEXT = 256 };

static struct llama_fixture fixture;

struct level {
    const char *recipe;
    uint64_t bytes;
    double perplexity, divergence, same_top;
};

struct scene {
    char folder[64], text[96], output[96];
    uint64_t chunks;
    struct dataset *calibration;
    struct llama_lm *reference;
    struct level levels[LEVELS_MAX];
    size_t count;
};

static void open_scene(struct scene *s) {
    struct err err;
    const char *chunks = getenv("PARE_GGUF_CHUNKS");
    memset(s, 0, sizeof(*s));
    s->chunks = chunks ? strtoull(chunks, NULL, 10) : CHUNKS;
    snprintf(s->folder, sizeof s->folder, "/tmp/pare-test-levels-XXXXXX");
    assert_non_null(mkdtemp(s->folder));
    snprintf(s->text, sizeof s->text, "%s/text.txt", s->folder);
    snprintf(s->output, sizeof s->output, "%s/model.gguf", s->folder);
    size_t calibration = chunks ? fixture.text_size / 2 : CALIBRATION_BYTES;
    assert_int_equal(file_write(s->text, fixture.text, calibration, 0600, &err), RC_OK);
    json_t *json = json_pack("{s:s, s:s, s:[{s:s, s:s, s:s}]}", "id", "dat_test", "format", "text", "files",
                             "path", "text.txt", "role", "text", "local", s->text);
    assert_int_equal(dataset_open(json, 0, &s->calibration, &err), RC_OK);
    json_decref(json);
    s->reference = llama_fixture_load(&fixture, NULL, CONTEXT);
}

static void close_scene(struct scene *s) {
    struct err err;
    llama_lm_free(s->reference);
    dataset_free(s->calibration);
    assert_int_equal(file_remove_tree(s->folder, &err), RC_OK);
}

static void make(struct scene *s, const char *text) {
    struct recipe recipe;
    struct record record;
    struct err err = {.text = ""};
    record_init(&record);
    struct compress_job job = {.input = fixture.model,
                               .output = s->output,
                               .calibration = s->calibration,
                               .threads = 1,
                               .record = &record};
    if (recipe_parse(text, FAMILY_GGUF, &recipe, &err) ||
        gguf_quantize_compress(&job, &recipe.steps[0], &err)) {
        fail_msg("%s: %s", text, err.text);
    }
    assert_true(record.changed.count > 0 || strcmp(text, "F16") == 0);
    record_release(&record);
}

static void measure(struct scene *s, const char *text) {
    struct level *l = &s->levels[s->count++];
    struct llama_lm *lm = llama_fixture_load(&fixture, s->output, CONTEXT);
    struct llama_score_opts opts = {.max_chunks = s->chunks};
    struct llama_scores scores;
    struct err err = {.text = ""};
    size_t half = fixture.text_size / 2;
    l->recipe = text;
    assert_int_equal(file_size(s->output, &l->bytes, &err), RC_OK);
    if (llama_score_text(lm, s->reference, fixture.text + half, fixture.text_size - half, &opts, &scores,
                         &err)) {
        fail_msg("%s: %s", text, err.text);
    }
    l->perplexity = scores.mean_ppl;
    l->divergence = scores.mean_kld;
    l->same_top = scores.mean_same_top;
    llama_scores_free(&scores);
    llama_lm_free(lm);
    printf("%-40s %9llu bytes  perplexity %8.3f  divergence %8.5f  same top %6.2f %%\n", text,
           (unsigned long long)l->bytes, l->perplexity, l->divergence, 100 * l->same_top);
    fflush(stdout);
}

static const struct level *level_of(const struct scene *s, const char *recipe) {
    for (size_t i = 0; i < s->count; i++) {
        if (strcmp(s->levels[i].recipe, recipe) == 0) {
            return &s->levels[i];
        }
    }
    fail_msg("%s is not in the preset", recipe);
    return NULL;
}

/* The wider of two is larger and nearer to the original. */
static void check_order(const struct scene *s, const char *wide, const char *narrow) {
    const struct level *a = level_of(s, wide), *b = level_of(s, narrow);
    if (a->bytes < b->bytes || a->divergence >= b->divergence) {
        fail_msg("%s (%llu bytes, divergence %g) against %s (%llu bytes, %g)", wide,
                 (unsigned long long)a->bytes, a->divergence, narrow, (unsigned long long)b->bytes,
                 b->divergence);
    }
}

static void every_level_of_thorough_is_made_and_loads(void **state) {
    static const char *const ladder[] = {"Q8_0",           "Q6_K",    "Q5_K_M:imatrix", "Q4_K_M:imatrix",
                                         "Q3_K_M:imatrix", "IQ3_XXS", "IQ2_M",          "IQ2_XXS",
                                         "IQ1_S",          NULL};
    const char *const *levels;
    struct scene s;
    (void)state;
    open_scene(&s);
    assert_int_equal(recipe_preset(FAMILY_GGUF, "thorough", &levels, NULL), RC_OK);
    for (size_t i = 1; levels[i]; i++) { /* the first is the original */
        make(&s, levels[i]);
        measure(&s, levels[i]);
    }
    for (size_t i = 0; ladder[i + 1]; i++) {
        check_order(&s, ladder[i], ladder[i + 1]);
    }
    check_order(&s, "Q4_K_M:embed=Q8_0,imatrix,output=Q8_0", "Q4_K_M:imatrix");
    check_order(&s, "Q3_K_M:embed=Q8_0,imatrix,output=Q8_0", "Q3_K_M:imatrix");
    check_order(&s, "Q2_K:imatrix", "IQ2_XS");
    assert_true(level_of(&s, "F16")->divergence < 1e-6);
    close_scene(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_level_of_thorough_is_made_and_loads),
    };
    if (!llama_fixture_open(&fixture)) {
        return 77;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    llama_fixture_close(&fixture);
    return failed;
}
