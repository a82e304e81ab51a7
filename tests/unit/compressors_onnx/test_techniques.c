/* fp16 and prune:magnitude: what the changed model computes, what is recorded, what is refused. */
#include <math.h>

#include "compressors/compressor.h"
#include "compressors/onnx/fp16.h"
#include "compressors/onnx/fp16_keep.h"
#include "compressors/onnx/prune_magnitude.h"
#include "compressors/onnx/weight_only.h"
#include "core/recipes/recipe.h"
#include "model_fixture.h"

/* Deterministic values in -1..1. */
static void fill(float *out, size_t count, unsigned seed) {
    for (size_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        out[i] = (float)(seed >> 8) / (float)(1 << 23) - 1.0f;
    }
}

static enum rc apply(struct graph *g, const char *text, struct record *record, struct err *err) {
    struct recipe recipe;
    struct compress_job job = {.graph = g, .threads = 1, .record = record};
    assert_int_equal(recipe_parse(text, FAMILY_ONNX, &recipe, err), RC_OK);
    compress_fn *f = strncmp(text, "fp16", 4) == 0   ? fp16_compress
                     : strncmp(text, "int4", 4) == 0 ? weight_only_compress
                                                     : prune_magnitude_compress;
    return f(&job, &recipe.steps[0], err);
}

static void apply_ok(struct graph *g, const char *text, struct record *record) {
    struct err err;
    if (apply(g, text, record, &err) != RC_OK) {
        fail_msg("%s", err.text);
    }
}

static void weights_that_are_not_finite_are_refused(void **state) {
    float w[32] = {0};
    struct err err;
    size_t zeros;
    (void)state;
    w[3] = NAN;
    assert_int_equal(prune_magnitude_values(w, 32, 0.5, &zeros, &err), RC_INPUT);
    w[3] = INFINITY;
    assert_int_equal(prune_magnitude_values(w, 32, 0.5, &zeros, &err), RC_INPUT);
}

enum { M = 3, K = 80, N = 24 };

/* y = x * w [+ b], as MatMul or as Gemm with every attribute. */
static struct graph *product(struct builder *b, bool gemm, bool transposed, float *w) {
    static const int64_t x[] = {M, K}, y[] = {M, N}, n[] = {N};
    const int64_t dims[] = {transposed ? N : K, transposed ? K : N};
    float bias[N];
    fill(w, K * N, 7);
    fill(bias, N, 8);
    builder_init(b, 17);
    builder_input(b, "x", GRAPH_FLOAT32, x, 2);
    builder_output(b, "y", GRAPH_FLOAT32, y, 2);
    builder_floats(b, "w", dims, 2, w);
    if (!gemm) {
        builder_node(b, "MatMul", "x w", "y");
        return builder_graph(b);
    }
    builder_floats(b, "b", n, 1, bias);
    Onnx__NodeProto *node = builder_node(b, "Gemm", "x w b", "y");
    builder_attr_int(b, node, "transB", transposed);
    builder_attr_float(b, node, "alpha", 0.5f);
    builder_attr_float(b, node, "beta", 2.0f);
    return builder_graph(b);
}

static void the_same_job_gives_the_same_bytes(void **state) {
    static const char *const recipes[] = {"int4", "fp16", "prune:magnitude"};
    (void)state;
    for (size_t r = 0; r < 3; r++) {
        char *data[2];
        size_t size[2];
        for (int i = 0; i < 2; i++) {
            static float w[K * N];
            struct builder b;
            struct record record;
            struct err err;
            record_init(&record);
            struct graph *g = product(&b, true, false, w);
            apply_ok(g, recipes[r], &record);
            assert_int_equal(graph_pack(g, &data[i], &size[i], &err), RC_OK);
            record_release(&record);
            graph_free(g);
            builder_free(&b);
        }
        assert_int_equal(size[0], size[1]);
        assert_memory_equal(data[0], data[1], size[0]);
        free(data[0]);
        free(data[1]);
    }
}

/* --- fp16 --- */

static void fp16_keeps_inputs_and_outputs_and_stays_close(void **state) {
    static float x[M * K], w[K * N], before[M * N], after[M * N];
    struct builder b;
    struct record record;
    record_init(&record);
    fill(x, M * K, 3);
    struct graph *g = product(&b, true, true, w);
    run_floats(*state, g, (const int64_t[]){M, K}, 2, x, M * K, before, M * N);
    apply_ok(g, "fp16", &record);
    assert_int_equal(graph_declared_dtype(graph_find(g, "x")), GRAPH_FLOAT32);
    assert_int_equal(graph_declared_dtype(graph_find(g, "y")), GRAPH_FLOAT32);
    assert_string_equal(graph_find(g, "y")->producer->proto->op_type, "Cast");
    assert_null(graph_constant(g, graph_find(g, "w")));
    assert_int_equal(graph_constant(g, graph_find(g, "w_2"))->data_type, GRAPH_FLOAT16);
    run_floats(*state, g, (const int64_t[]){M, K}, 2, x, M * K, after, M * N);
    for (int i = 0; i < M * N; i++) {
        assert_float_equal(before[i], after[i], 0.02f);
    }
    assert_true(record.storage_only);
    assert_int_equal(record.notes.count, 1);
    record_release(&record);
    graph_free(g);
    builder_free(&b);
}

static void constants_are_judged_by_what_float16_can_hold(void **state) {
    const float fits[] = {1e-8f, 65504.0f, -65519.0f}, mask[] = {0.0f, -3.4028235e38f},
                large[] = {1.0f, 70000.0f};
    const float epsilon[] = {1e-5f}, infinite[] = {-INFINITY, 1.0f};
    (void)state;
    assert_int_equal(fp16_fit_of(fits, 2), FP16_FITS);
    assert_int_equal(fp16_fit_of(fits, 3), FP16_FITS);
    assert_int_equal(fp16_fit_of(mask, 2), FP16_SATURATES);
    assert_int_equal(fp16_fit_of(large, 2), FP16_TOO_LARGE);
    assert_int_equal(fp16_fit_of(epsilon, 1), FP16_TOO_SMALL);
    assert_int_equal(fp16_fit_of(infinite, 2), FP16_FITS);
}

/* y = relu(x * 1e6) * 1e-6: float16 would overflow in between. */
static void nodes_with_constants_too_large_stay_in_float32(void **state) {
    static const int64_t dims[] = {4};
    float x[] = {1, -2, 3, 0.5f}, y[4];
    struct builder b;
    struct record record;
    record_init(&record);
    builder_init(&b, 17);
    builder_input(&b, "x", GRAPH_FLOAT32, dims, 1);
    builder_output(&b, "y", GRAPH_FLOAT32, dims, 1);
    builder_floats(&b, "large", NULL, 0, (const float[]){1e6f});
    builder_floats(&b, "small", NULL, 0, (const float[]){1e-6f});
    builder_node(&b, "Mul", "x large", "a");
    builder_node(&b, "Mul", "a small", "c");
    builder_node(&b, "Relu", "c", "y");
    struct graph *g = builder_graph(&b);
    apply_ok(g, "fp16", &record);
    run_floats(*state, g, dims, 1, x, 4, y, 4);
    assert_float_equal(y[2], 3.0f, 0.01f);
    assert_float_equal(y[1], 0.0f, 0.0f);
    assert_int_equal(record.left_alone.count, 2);
    record_release(&record);
    graph_free(g);
    builder_free(&b);
}

static void a_mask_of_lowest_floats_stays_a_mask(void **state) {
    static const int64_t dims[] = {4};
    float x[] = {1, 2, 3, 4}, y[4];
    struct builder b;
    struct record record;
    record_init(&record);
    builder_init(&b, 17);
    builder_input(&b, "x", GRAPH_FLOAT32, dims, 1);
    builder_output(&b, "y", GRAPH_FLOAT32, dims, 1);
    builder_floats(&b, "mask", dims, 1, (const float[]){0, 0, -3.4028235e38f, -3.4028235e38f});
    builder_node(&b, "Add", "x mask", "a");
    builder_node(&b, "Softmax", "a", "y");
    struct graph *g = builder_graph(&b);
    apply_ok(g, "fp16", &record);
    run_floats(*state, g, dims, 1, x, 4, y, 4);
    assert_float_equal(y[0] + y[1], 1.0f, 1e-3f);
    assert_float_equal(y[1], 0.731f, 1e-3f);
    assert_true(y[2] == 0.0f && y[3] == 0.0f);
    record_release(&record);
    graph_free(g);
    builder_free(&b);
}

/* --- prune --- */

static int by_magnitude(const void *a, const void *b) {
    float x = fabsf(*(const float *)a), y = fabsf(*(const float *)b);
    return x < y ? -1 : x > y;
}

static void the_smallest_magnitudes_become_zero(void **state) {
    static const size_t sizes[] = {1, 7, 8, 9, 15, 17, 1023};
    static const double ratios[] = {0.01, 0.3, 0.5, 0.99};
    (void)state;
    for (size_t s = 0; s < 7; s++) {
        for (size_t r = 0; r < 4; r++) {
            float values[1023] = {0}, sorted[1023];
            size_t n = sizes[s], zeros, k = (size_t)((double)n * ratios[r]);
            struct err err;
            fill(values, n, (unsigned)s + 1);
            values[n / 2] = values[0]; /* a tie */
            memcpy(sorted, values, sizeof(sorted));
            qsort(sorted, n, sizeof(float), by_magnitude);
            assert_int_equal(prune_magnitude_values(values, n, ratios[r], &zeros, &err), RC_OK);
            assert_int_equal(zeros, k);
            for (size_t i = 0; i < n; i++) {
                assert_true(values[i] == 0.0f || k == n || fabsf(values[i]) >= fabsf(sorted[k]));
            }
        }
    }
}

static void all_equal_weights_are_pruned_to_the_exact_count(void **state) {
    float values[100];
    size_t zeros;
    struct err err;
    (void)state;
    for (int i = 0; i < 100; i++) {
        values[i] = i % 2 ? 0.5f : -0.5f;
    }
    assert_int_equal(prune_magnitude_values(values, 100, 0.3, &zeros, &err), RC_OK);
    assert_int_equal(zeros, 30);
    assert_true(values[29] == 0.0f && values[30] != 0.0f);
}

static void prune_changes_large_weights_and_leaves_small_ones(void **state) {
    static float w[K * N];
    static const int64_t x[] = {M, K}, wd[] = {K, N}, sd[] = {N, 2}, y[] = {M, 2};
    float tail[N * 2];
    struct builder b;
    struct record record;
    float *values;
    size_t count, zeros = 0;
    struct err err;
    (void)state;
    record_init(&record);
    fill(w, K * N, 1);
    fill(tail, N * 2, 2);
    builder_init(&b, 17);
    builder_input(&b, "x", GRAPH_FLOAT32, x, 2);
    builder_output(&b, "y", GRAPH_FLOAT32, y, 2);
    builder_floats(&b, "w", wd, 2, w);
    builder_floats(&b, "s", sd, 2, tail);
    builder_node(&b, "MatMul", "x w", "a");
    builder_node(&b, "MatMul", "a s", "y");
    struct graph *g = builder_graph(&b);
    apply_ok(g, "prune:magnitude,ratio=0.25", &record);
    assert_int_equal(graph_tensor_floats(g, graph_constant(g, graph_find(g, "w")), &values, &count, &err),
                     RC_OK);
    for (size_t i = 0; i < count; i++) {
        zeros += values[i] == 0.0f;
    }
    assert_int_equal(zeros, K * N / 4);
    free(values);
    assert_int_equal(record.changed.count, 1);
    assert_int_equal(record.left_alone.count, 1);
    assert_string_equal(record.left_alone.entries[0].tensor, "s");
    assert_true(record.storage_only);
    record_release(&record);
    graph_free(g);
    builder_free(&b);
}

static int start(void **state) {
    return onnxruntime_new(NULL, (struct onnxruntime **)state, NULL) != RC_OK;
}

static int stop(void **state) {
    onnxruntime_free(*state);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_that_are_not_finite_are_refused),
        cmocka_unit_test(the_same_job_gives_the_same_bytes),
        cmocka_unit_test(fp16_keeps_inputs_and_outputs_and_stays_close),
        cmocka_unit_test(constants_are_judged_by_what_float16_can_hold),
        cmocka_unit_test(nodes_with_constants_too_large_stay_in_float32),
        cmocka_unit_test(a_mask_of_lowest_floats_stays_a_mask),
        cmocka_unit_test(the_smallest_magnitudes_become_zero),
        cmocka_unit_test(all_equal_weights_are_pruned_to_the_exact_count),
        cmocka_unit_test(prune_changes_large_weights_and_leaves_small_ones),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
