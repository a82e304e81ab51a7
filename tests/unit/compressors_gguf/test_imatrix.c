#include "tests/unit/runtimes/llama_fixture.h"

#include <math.h>
#include <string.h>

#include "compressors/gguf/imatrix.h"
#include "core/formats/gguf_header.h"
#include "runtimes/llama_observe.h"

static struct imatrix *filled(const struct llama_observation *o, size_t count) {
    struct imatrix *m = imatrix_new();
    struct err err;
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(imatrix_add(m, &o[i], &err), RC_OK);
    }
    return m;
}

static void importance_is_the_mean_square_of_each_column(void **state) {
    (void)state;
    const float rows[] = {1, 2, 99, 3, -4, 99}; /* two rows of two columns, a stride of three */
    const float more[] = {5, 6};
    const struct llama_observation o[] = {
        {.tensor = "b", .matrices = 1, .columns = 2, .rows = 2, .stride = 3, .data = rows},
        {.tensor = "a", .matrices = 1, .columns = 1, .rows = 1, .stride = 1, .data = more},
        {.tensor = "b", .matrices = 1, .columns = 2, .rows = 1, .stride = 2, .data = more},
    };
    struct imatrix *m = filled(o, 3);
    const struct llama_importance *list;
    size_t count;
    struct err err;
    assert_int_equal(imatrix_importance(m, &list, &count, &err), RC_OK);
    assert_int_equal(count, 2);
    assert_string_equal(list[0].tensor, "a"); /* sorted */
    assert_true(list[0].values[0] == 25);
    assert_string_equal(list[1].tensor, "b");
    assert_int_equal(list[1].count, 2);
    assert_true(fabs((double)list[1].values[0] - (1 + 9 + 25) / 3.0) < 1e-6);
    assert_true(fabs((double)list[1].values[1] - (4 + 16 + 36) / 3.0) < 1e-6);
    imatrix_free(m);
}

static void an_expert_without_rows_has_ones(void **state) {
    (void)state;
    const float row[] = {2, 3};
    const struct llama_observation o = {
        .tensor = "e", .matrix = 1, .matrices = 3, .columns = 2, .rows = 1, .stride = 2, .data = row};
    struct imatrix *m = filled(&o, 1);
    const struct llama_importance *list;
    size_t count;
    struct err err;
    assert_int_equal(imatrix_importance(m, &list, &count, &err), RC_OK);
    const float expected[] = {1, 1, 4, 9, 1, 1};
    assert_int_equal(list[0].count, 6);
    assert_memory_equal(list[0].values, expected, sizeof expected);
    imatrix_free(m);
}

static void broken_activations_are_refused(void **state) {
    (void)state;
    const float row[] = {2, NAN};
    const struct llama_observation o = {
        .tensor = "e", .matrices = 1, .columns = 2, .rows = 1, .stride = 2, .data = row};
    struct imatrix *m = imatrix_new();
    struct err err;
    assert_int_equal(imatrix_add(m, &o, &err), RC_INPUT);
    assert_non_null(strstr(err.text, "not finite"));
    imatrix_free(m);
}

static void a_tensor_of_two_shapes_is_refused(void **state) {
    (void)state;
    const float row[] = {2, 3};
    struct llama_observation o = {
        .tensor = "e", .matrices = 1, .columns = 2, .rows = 1, .stride = 2, .data = row};
    struct imatrix *m = filled(&o, 1);
    struct err err;
    o.columns = 1;
    assert_int_equal(imatrix_add(m, &o, &err), RC_INPUT);
    o.columns = 2;
    o.matrix = 1;
    assert_int_equal(imatrix_add(m, &o, &err), RC_INPUT);
    imatrix_free(m);
}

/* --- beside a sum by hand: the input of the first layer's attention is the normalised embedding of the token
 * --- */

static struct llama_fixture fixture;

enum { CONTEXT = 64, WIDTH_MAX = 4096 };

struct weights {
    char *file;
    const struct gguf_tensor *embedding, *norm;
    float epsilon;
};

static float half_to_float(uint16_t h) {
    int exponent = (h >> 10) & 31;
    float mantissa = (float)(h & 1023);
    float value = exponent ? ldexpf(1024.0f + mantissa, exponent - 25) : ldexpf(mantissa, -24);
    return h & 0x8000 ? -value : value;
}

static const struct gguf_tensor *tensor_named(const struct gguf_header *h, const char *name) {
    for (size_t i = 0; i < gguf_header_tensor_count(h); i++) {
        if (strcmp(gguf_header_tensor(h, i)->name, name) == 0) {
            return gguf_header_tensor(h, i);
        }
    }
    fail_msg("no tensor %s", name);
    return NULL;
}

/* x / sqrt(mean(x^2) + epsilon) * norm, its squares added to `sums`. */
static void add_token_by_hand(const struct weights *w, int32_t token, double *sums) {
    size_t width = (size_t)w->embedding->dims[0];
    const char *row = w->file + w->embedding->offset + (size_t)token * width * sizeof(uint16_t);
    const char *norm = w->file + w->norm->offset;
    double x[WIDTH_MAX], squares = 0;
    for (size_t c = 0; c < width; c++) {
        uint16_t half;
        memcpy(&half, row + c * sizeof half, sizeof half);
        x[c] = (double)half_to_float(half);
        squares += x[c] * x[c];
    }
    double scale = 1 / sqrt(squares / (double)width + (double)w->epsilon);
    for (size_t c = 0; c < width; c++) {
        float factor;
        memcpy(&factor, norm + c * sizeof factor, sizeof factor);
        double y = x[c] * scale * (double)factor;
        sums[c] += y * y;
    }
}

static void check_first_layer(const struct weights *w, const struct llama_importance *found) {
    struct llama_lm *lm = llama_fixture_load(&fixture, NULL, CONTEXT);
    struct llama_lm_info info;
    struct err err;
    int32_t *tokens;
    size_t count, width = (size_t)w->embedding->dims[0];
    llama_lm_describe(lm, &info);
    assert_int_equal(llama_lm_tokenize(lm, fixture.text, 4096, &tokens, &count, &err), RC_OK);
    assert_int_equal(found->count, width);
    assert_true(
        info.adds_bos); /* the first token of the text is BOS, and replaces the first of the second chunk */
    tokens[CONTEXT] = tokens[0];
    double sums[WIDTH_MAX] = {0};
    for (size_t i = 0; i < (size_t)2 * CONTEXT; i++) {
        add_token_by_hand(w, tokens[i], sums);
    }
    for (size_t c = 0; c < width; c++) {
        double expected = sums[c] / (2 * CONTEXT);
        assert_true(fabs((double)found->values[c] - expected) <= 1e-4 * expected);
    }
    free(tokens);
    llama_lm_free(lm);
}

static void the_first_layer_agrees_with_a_sum_by_hand(void **state) {
    (void)state;
    struct err err;
    struct gguf_header *h;
    struct weights w;
    size_t size, count = 0, at;
    double epsilon;
    assert_int_equal(gguf_header_read(fixture.model, &h, &err), RC_OK);
    assert_int_equal(file_read(fixture.model, 1 << 24, &w.file, &size, &err), RC_OK);
    w.embedding = tensor_named(h, "token_embd.weight");
    w.norm = tensor_named(h, "blk.0.attn_norm.weight");
    assert_string_equal(w.embedding->type_name, "F16");
    assert_string_equal(w.norm->type_name, "F32");
    assert_true(gguf_header_number(h, "llama.attention.layer_norm_rms_epsilon", &epsilon));
    w.epsilon = (float)epsilon;

    struct imatrix *m = imatrix_new();
    struct imatrix_opts opts = {.context = CONTEXT, .max_chunks = 2, .threads = 2};
    uint64_t chunks;
    assert_int_equal(imatrix_collect(m, fixture.model, fixture.text, 4096, &opts, &chunks, &err), RC_OK);
    assert_int_equal(chunks, 2);
    const struct llama_importance *list;
    assert_int_equal(imatrix_importance(m, &list, &count, &err), RC_OK);
    for (at = 0; at < count && strcmp(list[at].tensor, "blk.0.attn_q.weight") != 0; at++) {
    }
    assert_true(at < count);
    check_first_layer(&w, &list[at]);
    imatrix_free(m);
    free(w.file);
    gguf_header_free(h);
}

static void every_matrix_of_every_layer_is_seen(void **state) {
    (void)state;
    struct err err;
    struct imatrix *m = imatrix_new();
    struct imatrix_opts opts = {.context = CONTEXT, .max_chunks = 1, .threads = 1};
    assert_int_equal(imatrix_collect(m, fixture.model, fixture.text, 4096, &opts, NULL, &err), RC_OK);
    const struct llama_importance *list;
    size_t count, expected = 0;
    assert_int_equal(imatrix_importance(m, &list, &count, &err), RC_OK);
    struct gguf_header *h;
    assert_int_equal(gguf_header_read(fixture.model, &h, &err), RC_OK);
    for (size_t i = 0; i < gguf_header_tensor_count(h); i++) {
        const struct gguf_tensor *t = gguf_header_tensor(h, i);
        expected += t->rank == 2 && strncmp(t->name, "blk.", 4) == 0;
    }
    assert_true(expected > 0);
    assert_int_equal(count, expected);
    gguf_header_free(h);
    imatrix_free(m);
}

static void a_short_text_is_refused(void **state) {
    (void)state;
    struct err err;
    struct imatrix *m = imatrix_new();
    struct imatrix_opts opts = {.context = CONTEXT, .threads = 1};
    assert_int_equal(imatrix_collect(m, fixture.model, "too short", 9, &opts, NULL, &err), RC_INPUT);
    assert_non_null(strstr(err.text, "use a longer text"));
    imatrix_free(m);
}

int main(void) {
    const struct CMUnitTest pure[] = {
        cmocka_unit_test(importance_is_the_mean_square_of_each_column),
        cmocka_unit_test(an_expert_without_rows_has_ones),
        cmocka_unit_test(broken_activations_are_refused),
        cmocka_unit_test(a_tensor_of_two_shapes_is_refused),
    };
    const struct CMUnitTest with_model[] = {
        cmocka_unit_test(the_first_layer_agrees_with_a_sum_by_hand),
        cmocka_unit_test(every_matrix_of_every_layer_is_seen),
        cmocka_unit_test(a_short_text_is_refused),
    };
    int failed = cmocka_run_group_tests(pure, NULL, NULL);
    if (!llama_fixture_open(&fixture)) {
        return failed;
    }
    failed += cmocka_run_group_tests(with_model, NULL, NULL);
    llama_fixture_close(&fixture);
    return failed;
}
