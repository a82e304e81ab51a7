/* int8:static and int8:dynamic on small models: what is quantized, what is left alone, how near the results
 * stay. */
#include "compressors/onnx/int8_dynamic.h"
#include "compressors/onnx/int8_static.h"
#include "tests/unit/compressors_onnx/int8_fixture.h"

enum { FILTERS = 8, CLASSES = 4 };

static const int64_t image_dims[] = {1, 1, SIDE, SIDE};
static const int64_t row_dims[] = {1, SIDE, SIDE};

/* x [1,1,8,8] -> Conv Relu -> Conv + skip, Relu -> MaxPool -> GlobalAveragePool -> Flatten -> Gemm -> y [1,4]
 */
static void build_image_model(struct builder *b, float first_weight) {
    static float w1[FILTERS * 9];
    static float w2[FILTERS * FILTERS * 9];
    static float w3[CLASSES * FILTERS];
    static float bias[FILTERS];
    const int64_t d1[] = {FILTERS, 1, 3, 3};
    const int64_t d2[] = {FILTERS, FILTERS, 3, 3};
    const int64_t d3[] = {CLASSES, FILTERS};
    const int64_t filters = FILTERS;
    const int64_t classes = CLASSES;
    const int64_t pads[] = {1, 1, 1, 1};
    const int64_t two[] = {2, 2};
    const int64_t out[] = {1, CLASSES};
    noise_fill(w1, FILTERS * 9, 1, 0.5F);
    noise_fill(w2, FILTERS * FILTERS * 9, 2, 0.2F);
    noise_fill(w3, CLASSES * FILTERS, 3, 1);
    noise_fill(bias, FILTERS, 4, 0.3F);
    w1[0] = first_weight;
    builder_init(b, 13);
    builder_input(b, "x", GRAPH_FLOAT32, image_dims, 4);
    builder_output(b, "y", GRAPH_FLOAT32, out, 2);
    builder_floats(b, "w1", d1, 4, w1);
    builder_floats(b, "w2", d2, 4, w2);
    builder_floats(b, "w3", d3, 2, w3);
    builder_floats(b, "b1", &filters, 1, bias);
    builder_floats(b, "b2", &filters, 1, bias);
    builder_floats(b, "b3", &classes, 1, bias);
    builder_attr_ints(b, builder_node(b, "Conv", "x w1 b1", "c1"), "pads", pads, 4);
    builder_node(b, "Relu", "c1", "r1");
    builder_attr_ints(b, builder_node(b, "Conv", "r1 w2 b2", "c2"), "pads", pads, 4);
    builder_node(b, "Add", "c2 r1", "s");
    builder_node(b, "Relu", "s", "r2");
    Onnx__NodeProto *pool = builder_node(b, "MaxPool", "r2", "p");
    builder_attr_ints(b, pool, "kernel_shape", two, 2);
    builder_attr_ints(b, pool, "strides", two, 2);
    builder_node(b, "GlobalAveragePool", "p", "g");
    builder_node(b, "Flatten", "g", "f");
    builder_attr_int(b, builder_node(b, "Gemm", "f w3 b3", "y"), "transB", 1);
}

/* One run before, the technique, one run after; the error between them. */
static double error_of(struct builder *b, compress_fn *technique, const char *recipe, const int64_t *dims,
                       size_t rank, size_t outputs, struct record *record) {
    static float in[IMAGE];
    static float before[1024];
    static float after[1024];
    struct onnxruntime *r = NULL;
    struct err err = {0};
    struct graph *g = builder_graph(b);
    struct dataset *d = noise_dataset();
    assert_int_equal(onnxruntime_new(NULL, &r, &err), RC_OK);
    noise_fill(in, IMAGE, 77, 1);
    run_floats(r, g, dims, rank, in, IMAGE, before, outputs);
    if (int8_apply(technique, recipe, g, d, 2, record, &err)) {
        fail_msg("%s", err.text);
    }
    run_floats(r, g, dims, rank, in, IMAGE, after, outputs);
    dataset_free(d);
    graph_free(g);
    onnxruntime_free(r);
    return relative_error(before, after, outputs);
}

static void a_convolutional_model_stays_near_with_every_option(void **state) {
    (void)state;
    static const char *const recipes[] = {"int8:static",
                                          "int8:static,act=s8",
                                          "int8:static,calib=minmax",
                                          "int8:static,calib=entropy",
                                          "int8:static,calib=percentile,percentile=99.9",
                                          "int8:static,weights=tensor"};
    for (size_t i = 0; i < sizeof(recipes) / sizeof(recipes[0]); i++) {
        struct builder b;
        struct record record;
        build_image_model(&b, 0.5F);
        assert_true(error_of(&b, int8_static_compress, recipes[i], image_dims, 4, CLASSES, &record) < 0.06);
        assert_int_equal(record.changed.count, 3);
        assert_int_equal(record.left_alone.count, 0);
        record_release(&record);
        builder_free(&b);
    }
}

/* The runtime has no convolution from 8 bits to float, so even the model's output goes through 8 bits; its
 * name must stay. */
static void a_convolution_may_be_the_output(void **state) {
    (void)state;
    struct builder b;
    struct record record;
    static float w[FILTERS * 9];
    const int64_t d[] = {FILTERS, 1, 3, 3};
    const int64_t out[] = {1, FILTERS, SIDE - 2, SIDE - 2};
    noise_fill(w, FILTERS * 9, 1, 0.5F);
    builder_init(&b, 13);
    builder_input(&b, "x", GRAPH_FLOAT32, image_dims, 4);
    builder_output(&b, "y", GRAPH_FLOAT32, out, 4);
    builder_floats(&b, "w", d, 4, w);
    builder_node(&b, "Conv", "x w", "y");
    size_t n = FILTERS * (SIDE - 2) * (SIDE - 2);
    assert_true(error_of(&b, int8_static_compress, "int8:static", image_dims, 4, n, &record) < 0.03);
    record_release(&record);
    assert_true(error_of(&b, int8_dynamic_compress, "int8:dynamic", image_dims, 4, n, &record) < 0.03);
    record_release(&record);
    builder_free(&b);
}

/* Clip becomes part of the 8-bit range only where its bounds are fixed. */
static void clips_are_kept_or_absorbed_but_never_lost(void **state) {
    (void)state;
    for (int fixed = 0; fixed < 2; fixed++) {
        struct builder b;
        struct record record;
        static float w[FILTERS * 9];
        const float low = 0;
        const float high = 0.4F;
        const int64_t d[] = {FILTERS, 1, 3, 3};
        const int64_t out[] = {1, FILTERS, SIDE - 4, SIDE - 4};
        const int64_t three[] = {3, 3};
        noise_fill(w, FILTERS * 9, 1, 0.5F);
        builder_init(&b, 13);
        builder_input(&b, "x", GRAPH_FLOAT32, image_dims, 4);
        builder_output(&b, "y", GRAPH_FLOAT32, out, 4);
        builder_floats(&b, "w", d, 4, w);
        builder_floats(&b, "low", NULL, 0, &low);
        builder_floats(&b, "high0", NULL, 0, &high);
        builder_node(&b, fixed ? "Identity" : "Abs", "high0", "high");
        builder_node(&b, "Conv", "x w", "c");
        builder_node(&b, "Clip", "c low high", "k");
        builder_attr_ints(&b, builder_node(&b, "MaxPool", "k", "y"), "kernel_shape", three, 2);
        size_t n = FILTERS * (SIDE - 4) * (SIDE - 4);
        assert_true(error_of(&b, int8_static_compress, "int8:static", image_dims, 4, n, &record) < 0.03);
        record_release(&record);
        builder_free(&b);
    }
}

static void static_leaves_no_float_weights_and_quantizes_the_flow(void **state) {
    (void)state;
    struct builder b;
    struct record record;
    struct err err = {0};
    build_image_model(&b, 0.5F);
    struct graph *g = builder_graph(&b);
    struct dataset *d = noise_dataset();
    assert_int_equal(int8_apply(int8_static_compress, "int8:static", g, d, 1, &record, &err), RC_OK);
    assert_null(graph_find(g, "w1")->initializer);
    assert_null(graph_find(g, "w3")->initializer);
    /* x, r1, c2, r2, p, g, f */
    assert_int_equal(count_ops(g, "QuantizeLinear"), 7);
    /* those, and three weights and biases */
    assert_int_equal(count_ops(g, "DequantizeLinear"), 7 + 6);
    dataset_free(d);
    graph_free(g);
    record_release(&record);
    builder_free(&b);
}

static void the_number_of_threads_does_not_change_the_bytes(void **state) {
    (void)state;
    char *data[2] = {NULL, NULL};
    size_t size[2] = {0, 0};
    for (uint32_t i = 0; i < 2; i++) {
        struct builder b;
        struct record record;
        struct err err = {0};
        build_image_model(&b, 0.5F);
        struct graph *g = builder_graph(&b);
        struct dataset *d = noise_dataset();
        assert_int_equal(int8_apply(int8_static_compress, "int8:static", g, d, 1 + 2 * i, &record, &err),
                         RC_OK);
        assert_int_equal(graph_pack(g, &data[i], &size[i], &err), RC_OK);
        dataset_free(d);
        graph_free(g);
        record_release(&record);
        builder_free(&b);
    }
    assert_int_equal(size[0], size[1]);
    assert_memory_equal(data[0], data[1], size[0]);
    free(data[0]);
    free(data[1]);
}

static void dynamic_stays_near_and_says_that_convolutions_are_slow(void **state) {
    (void)state;
    struct builder b;
    struct record record;
    build_image_model(&b, 0.5F);
    assert_true(error_of(&b, int8_dynamic_compress, "int8:dynamic", image_dims, 4, CLASSES, &record) < 0.06);
    assert_int_equal(record.changed.count, 3);
    assert_true(record_says(&record.slow, NULL, "ConvInteger"));
    record_release(&record);
    builder_free(&b);
}

/* --- products --- */

/* x [1,8,8] W1 + mask -> Softmax -> W2: attention in small. */
static void build_masked_model(struct builder *b, float masked) {
    static float w[SIDE * SIDE];
    static float mask[SIDE * SIDE];
    const int64_t d[] = {SIDE, SIDE};
    noise_fill(w, SIDE * SIDE, 5, 0.5F);
    for (size_t i = 0; i < SIDE * SIDE; i++) {
        mask[i] = i % SIDE > i / SIDE ? masked : 0;
    }
    builder_init(b, 13);
    builder_input(b, "x", GRAPH_FLOAT32, row_dims, 3);
    builder_output(b, "y", GRAPH_FLOAT32, row_dims, 3);
    builder_floats(b, "w1", d, 2, w);
    builder_floats(b, "w2", d, 2, w);
    builder_floats(b, "mask", d, 2, mask);
    builder_node(b, "MatMul", "x w1", "scores");
    builder_node(b, "Add", "scores mask", "masked");
    builder_node(b, "Softmax", "masked", "p");
    builder_node(b, "MatMul", "p w2", "y");
}

static void masks_before_a_softmax_cost_nothing(void **state) {
    (void)state;
    const float masks[] = {-10000, -3.4028235e38F, -INFINITY};
    for (size_t i = 0; i < 3; i++) {
        struct builder b;
        struct record record;
        build_masked_model(&b, masks[i]);
        assert_true(error_of(&b, int8_static_compress, "int8:static", row_dims, 3, IMAGE, &record) < 0.03);
        assert_int_equal(record.changed.count, 2);
        record_release(&record);
        builder_free(&b);
    }
}

/* x + mask feeds a product itself: 8 bits cannot hold both. */
static void a_wrecked_activation_is_left_in_float32(void **state) {
    (void)state;
    struct builder b;
    struct record record;
    static float w[SIDE * SIDE];
    static float mask[SIDE * SIDE];
    const int64_t d[] = {SIDE, SIDE};
    noise_fill(w, SIDE * SIDE, 5, 0.5F);
    mask[0] = -30000;
    builder_init(&b, 13);
    builder_input(&b, "x", GRAPH_FLOAT32, row_dims, 3);
    builder_output(&b, "y", GRAPH_FLOAT32, row_dims, 3);
    builder_floats(&b, "w1", d, 2, w);
    builder_floats(&b, "w2", d, 2, w);
    builder_floats(&b, "mask", d, 2, mask);
    builder_node(&b, "MatMul", "x w2", "m");
    builder_node(&b, "Add", "m mask", "h");
    builder_node(&b, "MatMul", "h w1", "y");
    assert_true(error_of(&b, int8_static_compress, "int8:static", row_dims, 3, IMAGE, &record) < 0.02);
    assert_true(record_says(&record.changed, "w2", "int8"));
    assert_true(record_says(&record.left_alone, "w1", "does not fit 8 bits"));
    record_release(&record);
    builder_free(&b);
}

/* x * norm -> W, where one channel is 1,000 times as large as the others and its weights as small. */
static void an_outlier_channel_moves_into_the_weights(void **state) {
    (void)state;
    struct builder b;
    struct record record;
    static float w[SIDE * SIDE];
    static float norm[SIDE];
    const int64_t d[] = {SIDE, SIDE};
    const int64_t n = SIDE;
    noise_fill(w, SIDE * SIDE, 5, 1);
    for (size_t i = 0; i < SIDE; i++) {
        norm[i] = i == 3 ? 1000 : 1;
        w[3 * SIDE + i] *= 0.001F;
    }
    builder_init(&b, 13);
    builder_input(&b, "x", GRAPH_FLOAT32, row_dims, 3);
    builder_output(&b, "y", GRAPH_FLOAT32, row_dims, 3);
    builder_floats(&b, "w", d, 2, w);
    builder_floats(&b, "norm", &n, 1, norm);
    builder_node(&b, "Mul", "x norm", "h");
    builder_node(&b, "MatMul", "h w", "y");
    assert_true(error_of(&b, int8_static_compress, "int8:static", row_dims, 3, IMAGE, &record) < 0.02);
    assert_true(record_says(&record.notes, NULL, "SmoothQuant"));
    record_release(&record);
    builder_free(&b);
}

static void products_of_activations_are_left_alone_with_a_reason(void **state) {
    (void)state;
    struct builder b;
    struct record record;
    struct err err = {0};
    static float w[SIDE * SIDE];
    const int64_t d[] = {SIDE, SIDE};
    noise_fill(w, SIDE * SIDE, 5, 1);
    builder_init(&b, 13);
    builder_input(&b, "x", GRAPH_FLOAT32, row_dims, 3);
    builder_output(&b, "y", GRAPH_FLOAT32, row_dims, 3);
    builder_floats(&b, "w", d, 2, w);
    builder_node(&b, "MatMul", "x w", "h");
    builder_node(&b, "MatMul", "h x", "y");
    struct graph *g = builder_graph(&b);
    assert_int_equal(int8_apply(int8_dynamic_compress, "int8:dynamic", g, NULL, 1, &record, &err), RC_OK);
    assert_true(record_says(&record.left_alone, NULL, "both factors are activations"));
    assert_int_equal(count_ops(g, "MatMul"), 1);
    graph_free(g);
    record_release(&record);
    builder_free(&b);
}

/* Gemm holds its weights as [in, out] or [out, in]; dynamic needs them turned. */
static void gemm_is_the_same_both_ways_round(void **state) {
    (void)state;
    for (int64_t turned = 0; turned < 2; turned++) {
        struct builder b;
        struct record record;
        static float w[IMAGE * CLASSES];
        static float bias[CLASSES];
        const int64_t in[] = {1, 1, SIDE, SIDE};
        const int64_t d[] = {turned ? CLASSES : IMAGE, turned ? IMAGE : CLASSES};
        const int64_t classes = CLASSES;
        const int64_t out[] = {1, CLASSES};
        noise_fill(w, IMAGE * CLASSES, 6, 1);
        noise_fill(bias, CLASSES, 7, 1);
        builder_init(&b, 13);
        builder_input(&b, "x", GRAPH_FLOAT32, in, 4);
        builder_output(&b, "y", GRAPH_FLOAT32, out, 2);
        builder_floats(&b, "w", d, 2, w);
        builder_floats(&b, "b", &classes, 1, bias);
        builder_node(&b, "Flatten", "x", "f");
        builder_attr_int(&b, builder_node(&b, "Gemm", "f w b", "y"), "transB", turned);
        assert_true(error_of(&b, int8_dynamic_compress, "int8:dynamic", in, 4, CLASSES, &record) < 0.02);
        record_release(&record);
        assert_true(error_of(&b, int8_static_compress, "int8:static", in, 4, CLASSES, &record) < 0.02);
        record_release(&record);
        builder_free(&b);
    }
}

/* --- embeddings --- */

static void embedding_rows_become_int8(void **state) {
    (void)state;
    enum { ROWS = 64, WIDTH = 8, IDS = 3 };
    static float table[ROWS * WIDTH];
    static float w[WIDTH * WIDTH];
    int64_t ids[IDS] = {0, 63, 17};
    const int64_t table_dims[] = {ROWS, WIDTH};
    const int64_t w_dims[] = {WIDTH, WIDTH};
    const int64_t id_dims[] = {1, IDS};
    const int64_t out_dims[] = {1, IDS, WIDTH};
    struct builder b;
    struct record record;
    struct err err = {0};
    struct onnxruntime *r = NULL;
    float out[2][IDS * WIDTH];
    noise_fill(table, ROWS * WIDTH, 8, 1);
    noise_fill(w, WIDTH * WIDTH, 9, 1);
    builder_init(&b, 13);
    builder_input(&b, "ids", GRAPH_INT64, id_dims, 2);
    builder_output(&b, "y", GRAPH_FLOAT32, out_dims, 3);
    builder_floats(&b, "table", table_dims, 2, table);
    builder_floats(&b, "w", w_dims, 2, w);
    builder_node(&b, "Gather", "table ids", "h");
    builder_node(&b, "MatMul", "h w", "y");
    struct graph *g = builder_graph(&b);
    assert_int_equal(onnxruntime_new(NULL, &r, &err), RC_OK);
    for (int pass = 0; pass < 2; pass++) {
        struct onnxruntime_session *s = NULL;
        struct onnxruntime_result *result = NULL;
        struct onnxruntime_tensor t = {DTYPE_INT64, 2, {1, IDS}, ids, sizeof(ids)};
        char *data = NULL;
        size_t size = 0;
        if (pass == 1) {
            assert_int_equal(int8_apply(int8_dynamic_compress, "int8:dynamic", g, NULL, 1, &record, &err),
                             RC_OK);
        }
        assert_int_equal(graph_pack(g, &data, &size, &err), RC_OK);
        assert_int_equal(onnxruntime_open_bytes(r, data, size, NULL, &s, &err), RC_OK);
        assert_int_equal(onnxruntime_run(s, &t, &result, &err), RC_OK);
        memcpy(out[pass], onnxruntime_result_output(result, 0)->data, sizeof(out[pass]));
        onnxruntime_result_free(result);
        onnxruntime_close(s);
        free(data);
    }
    assert_true(relative_error(out[0], out[1], IDS * WIDTH) < 0.03);
    assert_true(record_says(&record.changed, "table", "int8 rows"));
    graph_free(g);
    onnxruntime_free(r);
    record_release(&record);
    builder_free(&b);
}

/* --- refusals --- */

static void refuse(struct builder *b, compress_fn *technique, const char *recipe, struct dataset *d,
                   enum rc expected, const char *words) {
    struct record record;
    struct err err = {0};
    struct graph *g = builder_graph(b);
    assert_int_equal(int8_apply(technique, recipe, g, d, 1, &record, &err), expected);
    if (!strstr(err.text, words)) {
        fail_msg("\"%s\" does not say \"%s\"", err.text, words);
    }
    graph_free(g);
    record_release(&record);
}

static void a_model_without_weights_is_refused(void **state) {
    (void)state;
    struct builder b;
    struct dataset *d = noise_dataset();
    builder_init(&b, 13);
    builder_input(&b, "x", GRAPH_FLOAT32, row_dims, 3);
    builder_output(&b, "y", GRAPH_FLOAT32, row_dims, 3);
    builder_node(&b, "Relu", "x", "y");
    refuse(&b, int8_static_compress, "int8:static", d, RC_UNSUPPORTED, "no Conv, Gemm or MatMul");
    refuse(&b, int8_dynamic_compress, "int8:dynamic", NULL, RC_UNSUPPORTED, "no Conv, Gemm or MatMul");
    dataset_free(d);
    builder_free(&b);
}

static void a_model_whose_only_activation_is_wrecked_is_refused(void **state) {
    (void)state;
    struct builder b;
    struct dataset *d = noise_dataset();
    static float w[SIDE * SIDE];
    static float mask[SIDE * SIDE];
    const int64_t dims[] = {SIDE, SIDE};
    noise_fill(w, SIDE * SIDE, 5, 0.5F);
    mask[0] = -INFINITY;
    builder_init(&b, 13);
    builder_input(&b, "x", GRAPH_FLOAT32, row_dims, 3);
    builder_output(&b, "y", GRAPH_FLOAT32, row_dims, 3);
    builder_floats(&b, "w", dims, 2, w);
    builder_floats(&b, "mask", dims, 2, mask);
    builder_node(&b, "Add", "x mask", "h");
    builder_node(&b, "MatMul", "h w", "y");
    refuse(&b, int8_static_compress, "int8:static", d, RC_UNSUPPORTED, "fits 8 bits");
    dataset_free(d);
    builder_free(&b);
}

static void static_without_examples_is_refused(void **state) {
    (void)state;
    struct builder b;
    build_image_model(&b, 0.5F);
    refuse(&b, int8_static_compress, "int8:static", NULL, RC_INPUT, "calibration");
    builder_free(&b);
}

static void weights_that_are_not_finite_are_refused_by_name(void **state) {
    (void)state;
    const float bad[] = {NAN, INFINITY};
    for (size_t i = 0; i < 2; i++) {
        struct builder b;
        build_image_model(&b, bad[i]);
        refuse(&b, int8_dynamic_compress, "int8:dynamic", NULL, RC_INPUT, "w1");
        builder_free(&b);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_convolutional_model_stays_near_with_every_option),
        cmocka_unit_test(a_convolution_may_be_the_output),
        cmocka_unit_test(clips_are_kept_or_absorbed_but_never_lost),
        cmocka_unit_test(static_leaves_no_float_weights_and_quantizes_the_flow),
        cmocka_unit_test(the_number_of_threads_does_not_change_the_bytes),
        cmocka_unit_test(dynamic_stays_near_and_says_that_convolutions_are_slow),
        cmocka_unit_test(masks_before_a_softmax_cost_nothing),
        cmocka_unit_test(a_wrecked_activation_is_left_in_float32),
        cmocka_unit_test(an_outlier_channel_moves_into_the_weights),
        cmocka_unit_test(products_of_activations_are_left_alone_with_a_reason),
        cmocka_unit_test(gemm_is_the_same_both_ways_round),
        cmocka_unit_test(embedding_rows_become_int8),
        cmocka_unit_test(a_model_without_weights_is_refused),
        cmocka_unit_test(a_model_whose_only_activation_is_wrecked_is_refused),
        cmocka_unit_test(static_without_examples_is_refused),
        cmocka_unit_test(weights_that_are_not_finite_are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
