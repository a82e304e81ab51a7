/* Weights in groups inside a model: what the runtime computes with them is what they stand for, in its own
 * kernel and unpacked at load; what is recorded and refused. */
#include <math.h>

#include "compressors/onnx/group_quant.h"
#include "compressors/onnx/weight_only.h"
#include "compressors/onnx/weight_rows.h"
#include "int8_fixture.h"

static struct onnxruntime *runtime;

/* --- products --- */

enum { M = 3, K = 80, N = 24 };

struct product {
    bool gemm, transposed;
    float alpha, beta;
};

static struct graph *product_graph(struct builder *b, const struct product *p, const float *w,
                                   const float *bias) {
    static const int64_t x[] = {M, K}, y[] = {M, N}, n[] = {N};
    const int64_t dims[] = {p->transposed ? N : K, p->transposed ? K : N};
    builder_init(b, 17);
    builder_input(b, "x", GRAPH_FLOAT32, x, 2);
    builder_output(b, "y", GRAPH_FLOAT32, y, 2);
    builder_floats(b, "w", dims, 2, w);
    if (!p->gemm) {
        builder_node(b, "MatMul", "x w", "y");
        return builder_graph(b);
    }
    builder_floats(b, "b", n, 1, bias);
    Onnx__NodeProto *node = builder_node(b, "Gemm", "x w b", "y");
    builder_attr_int(b, node, "transB", p->transposed);
    builder_attr_float(b, node, "alpha", p->alpha);
    builder_attr_float(b, node, "beta", p->beta);
    return builder_graph(b);
}

static unsigned bits_of(const char *recipe) {
    return (unsigned)(recipe[3] - '0');
}

/* y with weights rounded by group_round, in double. */
static void expect_product(const struct product *p, const float *x, const float *w, const float *bias,
                           const struct group_format *f, float *y) {
    static float rows[K * N];
    struct group_quant q;
    struct err err;
    for (size_t i = 0; i < K * N; i++) {
        rows[i] = p->transposed ? w[i] : w[i % K * N + i / K];
    }
    assert_int_equal(group_round(rows, N, K, f, GROUP_RANGE, NULL, 1, &q, &err), RC_OK);
    for (size_t i = 0; i < M * N; i++) {
        double sum = 0;
        for (size_t k = 0; k < K; k++) {
            sum += (double)x[i / N * K + k] * (double)group_value(&q, i % N, k);
        }
        y[i] = (float)(p->gemm ? (double)p->alpha * sum + (double)(p->beta * bias[i % N]) : sum);
    }
    group_quant_release(&q);
}

static void check_product(const struct product *p, const char *recipe, size_t group, float tolerance,
                          bool stored) {
    float x[M * K], w[K * N], bias[N], got[M * N], wanted[M * N];
    const struct group_format f = {bits_of(recipe), group,
                                   strstr(recipe, "symmetric") ? GROUP_SYMMETRIC : GROUP_ASYMMETRIC};
    struct builder b;
    struct record record;
    struct err err;
    noise_fill(x, M * K, 3, 1);
    noise_fill(w, K * N, 4, 1);
    noise_fill(bias, N, 5, 1);
    struct graph *g = product_graph(&b, p, w, bias);
    if (int8_apply(weight_only_compress, recipe, g, NULL, 2, &record, &err)) {
        fail_msg("%s: %s", recipe, err.text);
    }
    run_floats(runtime, g, (const int64_t[]){M, K}, 2, x, M * K, got, M * N);
    expect_product(p, x, w, bias, &f, wanted);
    for (size_t i = 0; i < M * N; i++) {
        if (fabsf(got[i] - wanted[i]) > tolerance) {
            fail_msg("%s: %g instead of %g", recipe, (double)got[i], (double)wanted[i]);
        }
    }
    assert_int_equal(record.changed.count, 1);
    assert_string_equal(record.changed.entries[0].tensor, "w");
    /* nothing is computed with fewer bits where there is no kernel for float activations */
    assert_true(record.storage_only == (stored || (strstr(recipe, "float") && f.bits != 4)));
    assert_true(record_says(&record.changed, "w", "unpacked when the model is loaded") == stored);
    record_release(&record);
    graph_free(g);
    builder_free(&b);
}

static const struct product products[] = {
    {false, false, 1, 1}, {true, false, 0.5F, 2}, {true, true, 0.5F, 2}, {true, true, 1, 1}};

static void kernels_read_the_packing_as_it_was_written(void **state) {
    static const char *const recipes[] = {
        "int2:compute=float",         "int2:compute=float,symmetric",
        "int4:compute=float",         "int4:compute=float,symmetric",
        "int8:weights,compute=float", "int8:weights,compute=float,symmetric"};
    (void)state;
    for (size_t k = 0; k < 6 * 4; k++) {
        check_product(&products[k % 4], recipes[k / 4], 32, 1e-3F, false);
    }
    check_product(&products[0], "int4:compute=float,group=16", 16, 1e-3F, false);
}

static void integer_kernels_stay_close(void **state) {
    static const char *const recipes[] = {"int2",           "int2:symmetric", "int4",
                                          "int4:symmetric", "int8:weights",   "int8:weights,symmetric"};
    (void)state;
    for (size_t k = 0; k < 6 * 4; k++) {
        check_product(&products[k % 4], recipes[k / 4], 32, 0.1F, false);
    }
}

static void three_bits_are_unpacked_when_the_model_is_loaded(void **state) {
    (void)state;
    for (size_t k = 0; k < 4; k++) {
        /* 80 columns in groups of at most 32: three of 27, the last shorter; of 16: five */
        check_product(&products[k], "int3", 27, 1e-3F, true);
        check_product(&products[k], "int3:symmetric,group=16", 16, 1e-3F, true);
    }
}

static void kernels_that_unpack_at_every_run_are_named_slow(void **state) {
    static const struct {
        const char *recipe;
        bool slow;
    } cases[] = {{"int2:compute=float", true},    {"int8:weights,compute=float", true},
                 {"int2:group=16", true},         {"int4:compute=float", false},
                 {"int4:group=16", false},        {"int2", false},
                 {"int8:weights,group=16", false}};
    (void)state;
    for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
        float w[K * N], bias[N] = {0};
        struct builder b;
        struct record record;
        struct err err;
        noise_fill(w, K * N, 4, 1);
        struct graph *g = product_graph(&b, &products[0], w, bias);
        assert_int_equal(int8_apply(weight_only_compress, cases[k].recipe, g, NULL, 1, &record, &err), RC_OK);
        assert_int_equal(record.slow.count, cases[k].slow);
        record_release(&record);
        graph_free(g);
        builder_free(&b);
    }
}

/* --- convolutions, and the whole --- */

enum { CHANNELS = 8 };

/* x [n, 1, 8, 8] -> Conv 1->8 -> Relu -> grouped Conv 8->8 (2 groups) -> Relu -> Conv 8->4 -> Flatten -> Gemm
 */
static struct graph *conv_net(struct builder *b) {
    static const int64_t x[] = {-1, 1, SIDE, SIDE}, y[] = {-1, 10};
    static const int64_t dims[4][4] = {{8, 1, 3, 3}, {8, 4, 3, 3}, {4, 8, 1, 1}, {4 * 16, 10}};
    static float values[4][1024];
    builder_init(b, 17);
    builder_input(b, "x", GRAPH_FLOAT32, x, 4);
    b->inputs[0]->type->tensor_type->shape->dim[0]->value_case =
        ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE__NOT_SET;
    builder_output(b, "y", GRAPH_FLOAT32, y, 2);
    b->outputs[0]->type->tensor_type->shape->dim[0]->value_case =
        ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE__NOT_SET;
    for (uint32_t i = 0; i < 4; i++) {
        static const char *const names[] = {"w0", "w1", "w2", "w3"};
        noise_fill(values[i], 1024, i + 1, 0.5F);
        builder_floats(b, names[i], dims[i], i < 3 ? 4 : 2, values[i]);
    }
    builder_node(b, "Conv", "x w0", "a");
    builder_node(b, "Relu", "a", "ar");
    builder_attr_int(b, builder_node(b, "Conv", "ar w1", "c"), "group", 2);
    builder_node(b, "Relu", "c", "cr");
    builder_node(b, "Conv", "cr w2", "d");
    builder_node(b, "Flatten", "d", "f");
    builder_node(b, "MatMul", "f w3", "y");
    return builder_graph(b);
}

static void run_net(struct graph *g, const struct dataset *d, float y[20]) {
    float x[2 * IMAGE];
    dataset_fill(d, 0, 0, 2, x);
    run_floats(runtime, g, (const int64_t[]){2, 1, SIDE, SIDE}, 4, x, 2 * IMAGE, y, 20);
}

static double distance(const float *a, const float *b, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += (double)(a[i] - b[i]) * (double)(a[i] - b[i]);
    }
    return sqrt(sum / (double)n);
}

static void convolutions_are_stored_and_say_so(void **state) {
    static const char *const recipes[] = {"int8:weights", "int8:gptq", "int4",      "int4:gptq",
                                          "int3:gptq",    "int2",      "int2:gptq", "int4:hqq"};
    static const double within[] = {0.01, 0.01, 0.3, 0.3, 0.6, 2, 2, 0.3};
    (void)state;
    for (size_t k = 0; k < sizeof(recipes) / sizeof(recipes[0]); k++) {
        struct dataset *d = noise_dataset();
        struct builder b;
        struct record record;
        struct err err;
        float before[20], after[20];
        struct graph *g = conv_net(&b);
        if (int8_apply(weight_only_compress, recipes[k], g, d, 2, &record, &err)) {
            fail_msg("%s: %s", recipes[k], err.text);
        }
        assert_true(record_says(&record.changed, "w1", "convolutions have no kernel"));
        assert_int_equal(record.changed.count + record.left_alone.count, 4);
        assert_true(record_says(&record.notes, NULL, "run as fast as before"));
        assert_true(record_says(&record.notes, NULL, "3 convolutions are rounded to nearest") ==
                    (strstr(recipes[k], "hqq") != NULL));
        assert_true(record.storage_only == (bits_of(recipes[k]) == 3));
        if (dataset_is_bound(d)) { /* by the observing steps; for the others the weights alone tell */
            struct builder fresh;
            struct graph *original = conv_net(&fresh);
            run_net(original, d, before);
            run_net(g, d, after);
            assert_true(distance(before, after, 20) < within[k]);
            graph_free(original);
            builder_free(&fresh);
        }
        record_release(&record);
        graph_free(g);
        builder_free(&b);
        dataset_free(d);
    }
}

static void the_same_job_gives_the_same_bytes(void **state) {
    static const char *const recipes[] = {"int4:gptq", "int3:gptq,group=16", "int2", "int4:hqq"};
    (void)state;
    for (size_t k = 0; k < 4; k++) {
        char *data[2];
        size_t size[2];
        for (uint32_t i = 0; i < 2; i++) {
            struct dataset *d = noise_dataset();
            struct builder b;
            struct record record;
            struct err err;
            struct graph *g = conv_net(&b);
            assert_int_equal(int8_apply(weight_only_compress, recipes[k], g, d, 1 + 2 * i, &record, &err),
                             RC_OK);
            assert_int_equal(graph_pack(g, &data[i], &size[i], &err), RC_OK);
            record_release(&record);
            graph_free(g);
            builder_free(&b);
            dataset_free(d);
        }
        assert_int_equal(size[0], size[1]);
        assert_memory_equal(data[0], data[1], size[0]);
        free(data[0]);
        free(data[1]);
    }
}

static void shared_weights_are_packed_once(void **state) {
    static const int64_t x[] = {M, 64}, dims[] = {64, 64};
    static float w[64 * 64];
    float in[M * 64], out[M * 64];
    struct builder b;
    struct record record;
    struct err err;
    (void)state;
    for (int k = 0; k < 2; k++) {
        noise_fill(w, 64 * 64, 1, 1);
        noise_fill(in, M * 64, 2, 1);
        builder_init(&b, 17);
        builder_input(&b, "x", GRAPH_FLOAT32, x, 2);
        builder_output(&b, "y", GRAPH_FLOAT32, x, 2);
        builder_floats(&b, "w", dims, 2, w);
        builder_node(&b, "MatMul", "x w", "a");
        builder_node(&b, "MatMul", "a w", "y");
        struct graph *g = builder_graph(&b);
        assert_int_equal(int8_apply(weight_only_compress, k ? "int3" : "int4", g, NULL, 1, &record, &err),
                         RC_OK);
        assert_int_equal(record.changed.count, 1);
        run_floats(runtime, g, x, 2, in, M * 64, out, M * 64);
        assert_null(graph_find(g, "w")->initializer);
        record_release(&record);
        graph_free(g);
        builder_free(&b);
    }
}

static void what_cannot_get_smaller_is_refused(void **state) {
    static const int64_t x[] = {4, 2}, w[] = {2, 4}, y[] = {4, 4};
    static const float weights[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    struct builder b;
    struct record record;
    struct err err;
    (void)state;
    builder_init(&b, 17);
    builder_input(&b, "x", GRAPH_FLOAT32, x, 2);
    builder_output(&b, "y", GRAPH_FLOAT32, y, 2);
    builder_floats(&b, "w", w, 2, weights);
    builder_node(&b, "MatMul", "x w", "y");
    struct graph *g = builder_graph(&b);
    assert_int_equal(int8_apply(weight_only_compress, "int4", g, NULL, 1, &record, &err), RC_UNSUPPORTED);
    assert_true(record_says(&record.left_alone, "w", "too narrow"));
    record_release(&record);
    assert_int_equal(int8_apply(weight_only_compress, "int4:gptq", g, NULL, 1, &record, &err), RC_INPUT);
    assert_non_null(strstr(err.text, "calibration examples are needed"));
    record_release(&record);
    graph_free(g);
    builder_free(&b);
    builder_init(&b, 17);
    builder_input(&b, "x", GRAPH_FLOAT32, y, 2);
    builder_output(&b, "y", GRAPH_FLOAT32, y, 2);
    builder_node(&b, "MatMul", "x x", "y");
    g = builder_graph(&b);
    assert_int_equal(int8_apply(weight_only_compress, "int2", g, NULL, 1, &record, &err), RC_UNSUPPORTED);
    assert_non_null(strstr(err.text, "no MatMul, Gemm or Conv"));
    record_release(&record);
    graph_free(g);
    builder_free(&b);
}

static int start(void **state) {
    (void)state;
    return onnxruntime_new(NULL, &runtime, NULL) != RC_OK;
}

static int stop(void **state) {
    (void)state;
    onnxruntime_free(runtime);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kernels_read_the_packing_as_it_was_written),
        cmocka_unit_test(integer_kernels_stay_close),
        cmocka_unit_test(three_bits_are_unpacked_when_the_model_is_loaded),
        cmocka_unit_test(kernels_that_unpack_at_every_run_are_named_slow),
        cmocka_unit_test(convolutions_are_stored_and_say_so),
        cmocka_unit_test(the_same_job_gives_the_same_bytes),
        cmocka_unit_test(shared_weights_are_packed_once),
        cmocka_unit_test(what_cannot_get_smaller_is_refused),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
