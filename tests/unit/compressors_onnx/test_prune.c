/* prune:magnitude, prune:wanda and prune:sparsegpt on whole models: what becomes zero, what the model
 * computes then, what is recorded and refused. */
#include "compressors/onnx/prune_magnitude.h"
#include "compressors/onnx/prune_sparsegpt.h"
#include "compressors/onnx/prune_wanda.h"
#include "tests/unit/compressors_onnx/layers_fixture.h"

static compress_fn *technique_of(const char *recipe) {
    return strncmp(recipe, "prune:wanda", 11) == 0       ? prune_wanda_compress
           : strncmp(recipe, "prune:sparsegpt", 15) == 0 ? prune_sparsegpt_compress
                                                         : prune_magnitude_compress;
}

struct outcome {
    double error; /* of the outputs on the calibration set */
    size_t zeros, count;
    float weights[LAYER_OUTPUTS * LAYER_CHANNELS * 9];
};

/* Weights of an initializer that are zero; *count: all. Copies them to `copy` unless that is NULL. */
static size_t zeros_of(const struct graph *g, const char *name, size_t *count, float *copy) {
    struct err err = {0};
    float *values;
    size_t zeros = 0;
    assert_int_equal(graph_tensor_floats(g, graph_constant(g, graph_find(g, name)), &values, count, &err),
                     RC_OK);
    for (size_t i = 0; i < *count; i++) {
        zeros += values[i] == 0;
    }
    if (copy) {
        memcpy(copy, values, *count * sizeof(*values));
    }
    free(values);
    return zeros;
}

static void prune(struct onnxruntime *r, enum layer_kind kind, const char *recipe, struct outcome *o) {
    struct layers_scene s;
    layers_open(&s, kind);
    float *before = layers_run(r, s.g, s.d, kind);
    layers_apply(&s, technique_of(recipe), recipe, 2);
    assert_true(s.record.storage_only);
    assert_int_equal(s.record.changed.count, 1);
    assert_string_equal(s.record.changed.entries[0].tensor, "w");
    assert_true(record_says(&s.record.left_alone, "mix", "fewer than 512"));
    assert_true(record_says(&s.record.notes, NULL, "a map of bits and the weights left"));
    o->zeros = zeros_of(s.g, "w", &o->count, o->weights);
    float *after = layers_run(r, s.g, s.d, kind);
    o->error = layers_error(before, after, layers_outputs(kind, IMAGES));
    free(before);
    free(after);
    layers_close(&s);
}

static void knowing_the_inputs_pays_on_every_kind_of_layer(void **state) {
    for (int kind = 0; kind < LAYER_KINDS; kind++) {
        static struct outcome magnitude, wanda, sparsegpt;
        prune(*state, (enum layer_kind)kind, "prune:magnitude", &magnitude);
        prune(*state, (enum layer_kind)kind, "prune:wanda", &wanda);
        prune(*state, (enum layer_kind)kind, "prune:sparsegpt", &sparsegpt);
        print_message("kind %d: error of magnitude %.4f, wanda %.4f, sparsegpt %.4f\n", kind, magnitude.error,
                      wanda.error, sparsegpt.error);
        assert_int_equal(magnitude.zeros, magnitude.count / 2);
        assert_int_equal(wanda.zeros, wanda.count / 2);
        assert_true(sparsegpt.zeros <= sparsegpt.count / 2 && sparsegpt.zeros >= sparsegpt.count * 49 / 100);
        assert_true(wanda.error < magnitude.error);
        assert_true(sparsegpt.error < 0.8 * wanda.error);
    }
}

/* Of every four input channels at one place of the kernel, two stay. */
static void groups_of_a_pattern_run_along_the_channels(void **state) {
    static const char *const recipes[] = {"prune:magnitude,pattern=2:4", "prune:wanda,pattern=2:4",
                                          "prune:sparsegpt,pattern=2:4"};
    for (size_t r = 0; r < 3; r++) {
        static struct outcome o;
        prune(*state, LAYER_CONV, recipes[r], &o);
        for (size_t i = 0; i < LAYER_OUTPUTS * LAYER_CHANNELS / 4 * 9; i++) {
            const float *w = o.weights + i / 9 * 4 * 9 + i % 9;
            assert_int_equal((w[0] == 0) + (w[9] == 0) + (w[18] == 0) + (w[27] == 0), 2);
        }
    }
}

static void tiles_of_a_matmul_go_as_wholes(void **state) {
    static const char *const recipes[] = {"prune:magnitude,block=8,ratio=0.25",
                                          "prune:wanda,block=8,ratio=0.25",
                                          "prune:sparsegpt,block=8,ratio=0.25"};
    for (size_t r = 0; r < 3; r++) {
        static struct outcome o;
        prune(*state, LAYER_MATMUL, recipes[r], &o);
        assert_int_equal(o.zeros, o.count / 4);
        for (size_t i = 0; i < o.count; i++) {
            size_t input = i / LAYER_OUTPUTS, output = i % LAYER_OUTPUTS;
            size_t corner = input / 8 * 8 * LAYER_OUTPUTS + output / 8 * 8;
            assert_int_equal(o.weights[i] == 0, o.weights[corner] == 0);
        }
    }
}

static void what_does_not_fit_the_pattern_is_left_alone_and_named(void **state) {
    struct layers_scene s;
    struct err err = {0};
    (void)state;
    layers_open(&s, LAYER_MATMUL);
    record_release(&s.record);
    assert_int_equal(
        int8_apply(prune_magnitude_compress, "prune:magnitude,block=16", s.g, NULL, 1, &s.record, &err),
        RC_UNSUPPORTED);
    assert_non_null(strstr(err.text, "prune:magnitude"));
    assert_true(record_says(&s.record.left_alone, "w", "24 outputs by 64 inputs are no whole tiles of 16"));
    layers_close(&s);
}

static void the_head_stays_dense_with_a_pattern(void **state) {
    static const struct {
        const char *recipe;
        bool dense;
    } cases[] = {{"prune:sparsegpt,pattern=2:4", true},
                 {"prune:sparsegpt,pattern=2:4,head=prune", false},
                 {"prune:sparsegpt", false},
                 {"prune:sparsegpt,head=dense", true},
                 {"prune:sparsegpt,head=dense,scope=tensor", true}};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct layers_scene s;
        size_t count, head_count;
        layers_open_graph(&s, layers_two_products(&s.b));
        layers_apply(&s, prune_sparsegpt_compress, cases[i].recipe, 2);
        size_t zeros = zeros_of(s.g, "w", &count, NULL), head = zeros_of(s.g, "head", &head_count, NULL);
        if (cases[i].dense) {
            assert_int_equal(head, 0);
            assert_true(zeros <= count / 2 && zeros >= count * 49 / 100);
            assert_true(record_says(&s.record.changed, "head", "stays dense"));
        } else {
            assert_true(head > 0);
        }
        layers_close(&s);
    }
}

/* The outputs' error of a convolution, and whether the channels that it reads were put into another order. */
static double error_of_convolution(struct onnxruntime *r, const char *recipe, bool *ordered) {
    struct builder b;
    struct record record;
    struct err err = {0};
    struct dataset *d = noise_dataset();
    const struct tensor_spec spec = {
        .name = "x", .dtype = DTYPE_FLOAT32, .rank = 4, .dims = {-1, 1, SIDE, SIDE}};
    struct graph *g = layers_model(&b, LAYER_CONV);
    assert_int_equal(dataset_bind(d, &spec, 1, &err), RC_OK);
    float *before = layers_run(r, g, d, LAYER_CONV);
    if (int8_apply(prune_sparsegpt_compress, recipe, g, d, 2, &record, &err)) {
        fail_msg("%s: %s", recipe, err.text);
    }
    float *after = layers_run(r, g, d, LAYER_CONV);
    double error = layers_error(before, after, layers_outputs(LAYER_CONV, IMAGES));
    *ordered = record_says(&record.changed, NULL, "its 16 channels are in another order");
    free(before);
    free(after);
    record_release(&record);
    graph_free(g);
    builder_free(&b);
    dataset_free(d);
    return error;
}

static void a_better_order_of_channels_loses_less(void **state) {
    bool ordered, kept;
    double with = error_of_convolution(*state, "prune:sparsegpt,pattern=2:4,head=prune", &ordered);
    double without =
        error_of_convolution(*state, "prune:sparsegpt,pattern=2:4,head=prune,permute=off", &kept);
    print_message("error in the order found %.4f, as it was %.4f\n", with, without);
    assert_true(ordered && !kept);
    assert_true(with < 1.02 * without); /* these channels depend on each other: a refit makes up for most */
}

static void without_examples_it_is_refused(void **state) {
    (void)state;
    layers_need_examples(prune_wanda_compress, "prune:wanda");
    layers_need_examples(prune_sparsegpt_compress, "prune:sparsegpt");
}

static void the_bytes_do_not_depend_on_the_threads(void **state) {
    (void)state;
    layers_same_bytes(prune_wanda_compress, "prune:wanda");
    layers_same_bytes(prune_sparsegpt_compress, "prune:sparsegpt");
    layers_same_bytes(prune_magnitude_compress, "prune:magnitude,scope=model");
}

/* Two layers, the second with much smaller weights: one threshold takes it first. */
static void one_threshold_for_the_model_takes_the_smallest_of_all(void **state) {
    const int64_t in[] = {2, 32}, square[] = {32, 32};
    float large[32 * 32], small[32 * 32];
    struct builder b;
    struct record record;
    struct err err = {0};
    size_t zeros[2] = {0}, count;
    (void)state;
    noise_fill(large, 32 * 32, 1, 1);
    noise_fill(small, 32 * 32, 2, 0.01F);
    builder_init(&b, 17);
    builder_input(&b, "x", GRAPH_FLOAT32, in, 2);
    builder_output(&b, "y", GRAPH_FLOAT32, in, 2);
    builder_floats(&b, "large", square, 2, large);
    builder_floats(&b, "small", square, 2, small);
    builder_node(&b, "MatMul", "x large", "h");
    builder_node(&b, "MatMul", "h small", "y");
    struct graph *g = builder_graph(&b);
    assert_int_equal(int8_apply(prune_magnitude_compress, "prune:magnitude,ratio=0.4,scope=model", g, NULL, 1,
                                &record, &err),
                     RC_OK);
    zeros[0] = zeros_of(g, "large", &count, NULL);
    zeros[1] = zeros_of(g, "small", &count, NULL);
    assert_int_equal(zeros[0] + zeros[1], 819);
    assert_true(zeros[1] > 800);
    record_release(&record);
    graph_free(g);
    builder_free(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knowing_the_inputs_pays_on_every_kind_of_layer),
        cmocka_unit_test(groups_of_a_pattern_run_along_the_channels),
        cmocka_unit_test(tiles_of_a_matmul_go_as_wholes),
        cmocka_unit_test(what_does_not_fit_the_pattern_is_left_alone_and_named),
        cmocka_unit_test(the_head_stays_dense_with_a_pattern),
        cmocka_unit_test(a_better_order_of_channels_loses_less),
        cmocka_unit_test(without_examples_it_is_refused),
        cmocka_unit_test(the_bytes_do_not_depend_on_the_threads),
        cmocka_unit_test(one_threshold_for_the_model_takes_the_smallest_of_all),
    };
    return cmocka_run_group_tests(tests, layers_start, layers_stop);
}
