/* What a layer owes to the residual that its output is added to, against plain sums; and where there is none
 * to be had. */
#include "compressors/onnx/paired_moments.h"

#include "compressors/onnx/residual_partner.h"
#include "tests/unit/compressors_onnx/int8_fixture.h"

enum { CHANNELS = 4, GROUPS = 2, WIDTH = CHANNELS / GROUPS, FEATURES = 16, ROWS = IMAGES * IMAGE / FEATURES };

static const float first_was[CHANNELS] = {1, -0.5F, 0.7F, 2}, first_now[CHANNELS] = {0.9F, 0, 0.7F, 1.5F};

/* r = first x, h = Relu(r), y = w h + b + r: 1 by 1 convolutions, the second in groups. */
static struct graph *convolutions(struct builder *b, const float first[CHANNELS]) {
    static const int64_t in[] = {-1, 1, SIDE, SIDE}, out[] = {-1, CHANNELS, SIDE, SIDE},
                         one[] = {CHANNELS, 1, 1, 1}, two[] = {CHANNELS, WIDTH, 1, 1},
                         bias[] = {1, CHANNELS, 1, 1};
    float w[CHANNELS * WIDTH], add[CHANNELS];
    noise_fill(w, CHANNELS * WIDTH, 3, 1);
    noise_fill(add, CHANNELS, 4, 1);
    builder_init(b, 17);
    builder_input(b, "x", GRAPH_FLOAT32, in, 4);
    builder_output(b, "y", GRAPH_FLOAT32, out, 4);
    builder_floats(b, "first", one, 4, first);
    builder_floats(b, "w", two, 4, w);
    builder_floats(b, "b", bias, 4, add);
    builder_node(b, "Conv", "x first", "r");
    builder_node(b, "Relu", "r", "h");
    builder_attr_int(b, builder_node(b, "Conv", "h w", "c"), "group", GROUPS);
    builder_node(b, "Add", "b c", "with_bias");
    builder_node(b, "Add", "r with_bias", "y");
    return builder_graph(b);
}

/* The same with products over rows of FEATURES; the first is a matrix times `scale`. */
static struct graph *products(struct builder *b, float scale) {
    static const int64_t in[] = {-1, 1, SIDE, SIDE}, out[] = {-1, FEATURES}, square[] = {FEATURES, FEATURES},
                         rank = 2, shape[] = {-1, FEATURES}, bias[] = {FEATURES};
    float first[FEATURES * FEATURES], w[FEATURES * FEATURES], add[FEATURES];
    noise_fill(first, FEATURES * FEATURES, 5, scale);
    noise_fill(w, FEATURES * FEATURES, 6, 1);
    noise_fill(add, FEATURES, 7, 1);
    builder_init(b, 17);
    builder_input(b, "x", GRAPH_FLOAT32, in, 4);
    builder_output(b, "y", GRAPH_FLOAT32, out, 2);
    builder_tensor(b, "shape", GRAPH_INT64, &rank, 1, shape, sizeof(shape));
    builder_floats(b, "first", square, 2, first);
    builder_floats(b, "w", square, 2, w);
    builder_floats(b, "b", bias, 1, add);
    builder_node(b, "Reshape", "x shape", "rows");
    builder_node(b, "MatMul", "rows first", "r");
    builder_node(b, "Relu", "r", "h");
    builder_node(b, "MatMul", "h w", "m");
    builder_node(b, "Add", "m b", "with_bias");
    builder_node(b, "Add", "with_bias r", "y");
    return builder_graph(b);
}

static const struct graph_node *producer_of(const struct graph *g, const char *name) {
    const struct graph_value *v = graph_find(g, name);
    assert_non_null(v);
    return v->producer;
}

/* The moments of the node that makes `output` in `now`, beside `was`; `pending` nodes as given. */
static struct paired_moments *moments_of(struct graph *now, struct graph *was, const char *output,
                                         const struct graph_node *const *pending, size_t pending_count,
                                         uint32_t threads, float *images) {
    struct dataset *d = noise_dataset();
    struct record record;
    struct compress_job job = {.graph = now, .calibration = d, .threads = threads, .record = &record};
    struct paired_moments *m = NULL;
    struct err err = {0};
    char *packed = NULL;
    size_t size = 0;
    record_init(&record);
    const struct graph_node *node = producer_of(now, output);
    const struct paired_opts opts = {.pending = pending, .pending_count = pending_count};
    if (graph_pack(was, &packed, &size, &err) ||
        paired_moments_run(&job, packed, size, &node, 1, &opts, &m, &err)) {
        fail_msg("%s", err.text);
    }
    dataset_fill(d, 0, 0, IMAGES, images);
    free(packed);
    record_release(&record);
    dataset_free(d);
    return m;
}

static void a_convolution_owes_what_the_residual_lost(void **state) {
    struct builder before, after;
    float x[IMAGES * IMAGE];
    (void)state;
    for (uint32_t threads = 1; threads <= 2; threads++) {
        struct graph *was = convolutions(&before, first_was), *now = convolutions(&after, first_now);
        const struct graph_node *pending[] = {producer_of(now, "c")};
        struct paired_moments *m = moments_of(now, was, "c", pending, 1, threads, x);
        const double *owed = paired_moments_owed(m, 0);
        assert_non_null(owed);
        for (size_t i = 0; i < (size_t)CHANNELS * WIDTH; i++) {
            size_t out = i / WIDTH, in = out / WIDTH * WIDTH + i % WIDTH;
            double sum = 0;
            for (size_t p = 0; p < (size_t)IMAGES * IMAGE; p++) {
                double lost = ((double)first_was[out] - (double)first_now[out]) * (double)x[p];
                sum += lost * fmax(0, (double)first_now[in] * (double)x[p]);
            }
            assert_true(fabs(owed[i] - sum) < 1e-3 * (1 + fabs(sum)));
        }
        paired_moments_free(m);
        graph_free(was);
        graph_free(now);
        builder_free(&before);
        builder_free(&after);
    }
}

static void a_product_owes_what_the_residual_lost(void **state) {
    struct builder before, after;
    static float x[IMAGES * IMAGE];
    float first[FEATURES * FEATURES];
    (void)state;
    struct graph *was = products(&before, 1), *now = products(&after, 0.8F);
    const struct graph_node *pending[] = {producer_of(now, "m")};
    struct paired_moments *m = moments_of(now, was, "m", pending, 1, 1, x);
    const double *owed = paired_moments_owed(m, 0);
    assert_non_null(owed);
    noise_fill(first, FEATURES * FEATURES, 5, 1);
    for (size_t out = 0; out < FEATURES; out++) {
        for (size_t in = 0; in < FEATURES; in++) {
            double sum = 0;
            for (size_t row = 0; row < ROWS; row++) {
                double a = 0, b = 0;
                for (size_t k = 0; k < FEATURES; k++) {
                    a += (double)x[row * FEATURES + k] * (double)first[k * FEATURES + out];
                    b += (double)x[row * FEATURES + k] * (double)first[k * FEATURES + in];
                }
                sum += 0.2 * a * fmax(0, 0.8 * b);
            }
            assert_true(fabs(owed[out * FEATURES + in] - sum) < 1e-3 * (1 + fabs(sum)));
        }
    }
    paired_moments_free(m);
    graph_free(was);
    graph_free(now);
    builder_free(&before);
    builder_free(&after);
}

/* A batch of one, and a residual without that axis: as many bytes, but added by broadcasting. */
static void nothing_is_owed_to_what_is_broadcast(void **state) {
    static const int64_t in[] = {1, 1, SIDE, SIDE}, one[] = {CHANNELS, 1, 1, 1}, axis = 0, scalar = 1;
    static const struct { const char *op, *inputs; } views[] = {{"Squeeze", "h axes"}, {"Identity", "h"}};
    float w[CHANNELS * CHANNELS], x[IMAGES * IMAGE];
    (void)state;
    noise_fill(w, CHANNELS * CHANNELS, 3, 1);
    for (size_t v = 0; v < 2; v++) {
        static const int64_t square[] = {CHANNELS, CHANNELS, 1, 1};
        struct builder b;
        builder_init(&b, 17);
        builder_input(&b, "x", GRAPH_FLOAT32, in, 4);
        builder_output(&b, "y", GRAPH_FLOAT32, in, 4);
        builder_floats(&b, "first", one, 4, first_was);
        builder_floats(&b, "w", square, 4, w);
        builder_tensor(&b, "axes", GRAPH_INT64, &scalar, 1, &axis, sizeof(axis));
        builder_node(&b, "Conv", "x first", "h");
        builder_node(&b, views[v].op, views[v].inputs, "r");
        builder_node(&b, "Conv", "h w", "c");
        builder_node(&b, "Add", "c r", "sum");
        builder_node(&b, "Relu", "sum", "y");
        b.outputs[0]->type->tensor_type->shape->dim[1]->dim_value = CHANNELS;
        struct graph *g = builder_graph(&b), *was = builder_graph(&b);
        const struct graph_node *pending[] = {producer_of(g, "c")};
        float *first;
        size_t count;
        struct err err = {0};
        assert_int_equal(
            graph_tensor_floats(g, graph_constant(g, graph_find(g, "first")), &first, &count, &err), RC_OK);
        first[0] = 0.25F;
        assert_int_equal(graph_set_tensor(g, graph_constant(g, graph_find(g, "first")), GRAPH_FLOAT32, one, 4,
                                          first, count * sizeof(float), &err),
                         RC_OK);
        struct paired_moments *m = moments_of(g, was, "c", pending, 1, 1, x);
        const double *owed = paired_moments_owed(m, 0);
        double sum = 0;
        for (size_t i = 0; owed && i < (size_t)CHANNELS * CHANNELS; i++) {
            sum += fabs(owed[i]);
        }
        assert_true(v == 0 ? sum == 0 : sum > 0);
        free(first);
        paired_moments_free(m);
        graph_free(was);
        graph_free(g);
        builder_free(&b);
    }
}

/* r = first x is not what it will be while `first` is still to be changed. */
static void nothing_is_owed_to_what_is_still_to_be_changed(void **state) {
    struct builder b;
    (void)state;
    struct graph *g = products(&b, 1);
    const struct graph_node *m = producer_of(g, "m"), *first = producer_of(g, "r");
    const struct graph_node *both[] = {m, first};
    assert_ptr_equal(residual_partner(g, m, both, 1), graph_find(g, "r"));
    assert_null(residual_partner(g, m, both, 2));
    assert_null(residual_partner(g, first, both, 0)); /* two nodes read it */
    graph_free(g);
    builder_free(&b);
}

/* What pays is least squares over the sum: y = w' h' + r' comes closest to w h + r. */
static void paying_brings_the_sum_back(void **state) {
    enum { N = 6, SAMPLES = 60 };
    double now[N * N] = {0}, cross[N * N] = {0}, owed[2 * N] = {0}, w[2 * N], v[2 * N];
    static double h[SAMPLES][N], was[SAMPLES][N], lost[SAMPLES][2];
    uint32_t seed = 9;
    struct err err;
    (void)state;
    for (size_t i = 0; i < 2 * (size_t)N; i++) {
        w[i] = (double)noise(&seed);
    }
    for (size_t s = 0; s < SAMPLES; s++) {
        for (size_t i = 0; i < N; i++) {
            was[s][i] = (double)noise(&seed);
            h[s][i] = was[s][i] + 0.2 * (double)noise(&seed);
        }
        for (size_t o = 0; o < 2; o++) {
            lost[s][o] = 0.5 * h[s][o] - 0.3 * h[s][o + 3] + 0.1 * (double)noise(&seed);
        }
        for (size_t i = 0; i < N; i++) {
            for (size_t j = 0; j < N; j++) {
                now[i * N + j] += h[s][i] * h[s][j];
                cross[i * N + j] += was[s][i] * h[s][j];
            }
            owed[i] += lost[s][0] * h[s][i];
            owed[N + i] += lost[s][1] * h[s][i];
        }
    }
    assert_int_equal(paired_moments_target(w, 2, N, now, cross, owed, 0, v, &err), RC_OK);
    for (size_t o = 0; o < 2; o++) { /* the error is orthogonal to every input */
        for (size_t i = 0; i < N; i++) {
            double product = 0;
            for (size_t s = 0; s < SAMPLES; s++) {
                double error = lost[s][o];
                for (size_t k = 0; k < N; k++) {
                    error += w[o * N + k] * was[s][k] - v[o * N + k] * h[s][k];
                }
                product += error * h[s][i];
            }
            assert_true(fabs(product) < 1e-9);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_convolution_owes_what_the_residual_lost),
        cmocka_unit_test(a_product_owes_what_the_residual_lost),
        cmocka_unit_test(nothing_is_owed_to_what_is_broadcast),
        cmocka_unit_test(nothing_is_owed_to_what_is_still_to_be_changed),
        cmocka_unit_test(paying_brings_the_sum_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
