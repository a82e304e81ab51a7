/* Rows of layers against ONNX Runtime's own convolutions and products, their second moments against plain
 * sums, and that the number of threads changes no bit. */
#include <math.h>

#include "compressors/onnx/moments.h"
#include "compressors/onnx/parallel.h"
#include "int8_fixture.h"

/* --- the kernel --- */

static void sums_are_those_of_a_plain_loop(void **state) {
    static const size_t widths[] = {1, 7, 8, 9, 15, 17, 1023};
    static const size_t counts[] = {1, 7, 33};
    (void)state;
    parallel_keep_blas_single();
    for (size_t k = 0; k < 7 * 3; k++) {
        size_t width = widths[k % 7], count = counts[k / 7];
        float *rows = malloc(count * width * sizeof(float));
        float *scratch = calloc(width * width, sizeof(float));
        double *products = calloc(width * width, sizeof(double));
        double *sums = calloc(width, sizeof(double)), *abs_sums = calloc(width, sizeof(double));
        noise_fill(rows, count * width, (uint32_t)k, 2);
        moments_add_rows(rows, count, width, scratch, products, sums, abs_sums);
        moments_add_rows(rows, count, width, scratch, products, sums, abs_sums);
        for (size_t i = 0; i < width; i++) {
            double sum = 0, abs_sum = 0;
            for (size_t r = 0; r < count; r++) {
                sum += 2 * (double)rows[r * width + i];
                abs_sum += 2 * fabs((double)rows[r * width + i]);
            }
            assert_true(fabs(sums[i] - sum) < 1e-9 && fabs(abs_sums[i] - abs_sum) < 1e-9);
            for (size_t j = i; j < width; j += 1 + width / 64) {
                double product = 0;
                for (size_t r = 0; r < count; r++) {
                    product += 2 * (double)rows[r * width + i] * (double)rows[r * width + j];
                }
                assert_true(fabs(products[i * width + j] - product) < 1e-4 * (1 + fabs(product)));
            }
        }
        free(rows);
        free(scratch);
        free(products);
        free(sums);
        free(abs_sums);
    }
}

/* --- rows, against the runtime --- */

enum { VALUES_MAX = 8192 };

struct shape {
    int64_t x[6], w[6];
    size_t rank;
    int64_t group, strides[3], dilations[3], pads[6];
    const char *auto_pad; /* NULL: pads */
};

static const struct shape shapes[] = {
    {{2, 3, 6, 5}, {4, 3, 3, 3}, 4, 1, {1, 1}, {1, 1}, {1, 1, 1, 1}, NULL},
    {{2, 4, 7, 8}, {6, 2, 3, 2}, 4, 2, {2, 3}, {1, 2}, {0, 1, 2, 1}, NULL},
    {{1, 4, 6, 6}, {4, 1, 3, 3}, 4, 4, {1, 1}, {1, 1}, {1, 1, 1, 1}, NULL},
    {{2, 3, 7, 6}, {4, 3, 3, 2}, 4, 1, {2, 2}, {1, 1}, {0}, "SAME_UPPER"},
    {{2, 3, 7, 6}, {4, 3, 2, 4}, 4, 1, {2, 1}, {1, 1}, {0}, "SAME_LOWER"},
    {{2, 3, 7, 6}, {4, 3, 2, 3}, 4, 1, {2, 1}, {1, 1}, {0}, "VALID"},
    {{2, 3, 9}, {4, 3, 3}, 3, 1, {2}, {2}, {2, 1}, NULL},
    {{1, 2, 4, 5, 6}, {3, 2, 2, 3, 2}, 5, 1, {1, 2, 1}, {1, 1, 2}, {1, 0, 1, 0, 1, 1}, NULL},
};

static size_t product_of(const int64_t *dims, size_t rank) {
    size_t n = 1;
    for (size_t i = 0; i < rank; i++) {
        n *= (size_t)dims[i];
    }
    return n;
}

static void add_string(struct builder *b, Onnx__NodeProto *n, const char *name, const char *text) {
    Onnx__AttributeProto *a = builder_attr(b, n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING);
    a->has_s = 1;
    a->s.data = (uint8_t *)arena_strdup(b->arena, text);
    a->s.len = strlen(text);
}

static struct graph *conv_graph(struct builder *b, const struct shape *s, const float *w) {
    static const int64_t none[1] = {1};
    size_t spatial = s->rank - 2;
    builder_init(b, 17);
    builder_input(b, "x", GRAPH_FLOAT32, s->x, s->rank);
    builder_output(b, "y", GRAPH_FLOAT32, none, 0);
    b->outputs[0]->type->tensor_type->shape = NULL;
    builder_floats(b, "w", s->w, s->rank, w);
    Onnx__NodeProto *n = builder_node(b, "Conv", "x w", "y");
    builder_attr_int(b, n, "group", s->group);
    builder_attr_ints(b, n, "strides", s->strides, spatial);
    builder_attr_ints(b, n, "dilations", s->dilations, spatial);
    if (s->auto_pad) {
        add_string(b, n, "auto_pad", s->auto_pad);
    } else {
        builder_attr_ints(b, n, "pads", s->pads, 2 * spatial);
    }
    return builder_graph(b);
}

static void rows_give_what_the_runtime_computes(void **state) {
    static float x[VALUES_MAX], w[VALUES_MAX], y[VALUES_MAX], row[VALUES_MAX];
    struct onnxruntime *r = NULL;
    struct err err;
    (void)state;
    assert_int_equal(onnxruntime_new(NULL, &r, &err), RC_OK);
    for (size_t k = 0; k < sizeof(shapes) / sizeof(shapes[0]); k++) {
        const struct shape *s = &shapes[k];
        struct builder b;
        struct layer_rows rows;
        const char *why = NULL;
        size_t count = 0, n = product_of(s->x, s->rank);
        noise_fill(x, n, 1, 1);
        noise_fill(w, product_of(s->w, s->rank), 2, 1);
        struct graph *g = conv_graph(&b, s, w);
        assert_true(layer_rows_of(g, graph_first(g), &rows, &why));
        struct onnxruntime_tensor t = {
            .dtype = DTYPE_FLOAT32, .rank = s->rank, .data = x, .bytes = n * sizeof(float)};
        memcpy(t.dims, s->x, sizeof(s->x));
        assert_int_equal(layer_rows_count(&rows, &t, &count, &err), RC_OK);
        size_t outputs = (size_t)s->w[0], each = count / (size_t)s->x[0], by = outputs / rows.groups;
        run_floats(r, g, s->x, s->rank, x, n, y, count * outputs);
        for (size_t o = 0; o < outputs; o++) {
            for (size_t i = 0; i < count; i++) {
                double sum = 0;
                layer_rows_fill(&rows, &t, o / by, i, 1, 1, row);
                for (size_t j = 0; j < rows.width; j++) {
                    sum += (double)(w[o * rows.width + j] * row[j]);
                }
                assert_float_equal(y[(i / each * outputs + o) * each + i % each], sum, 1e-4);
            }
        }
        graph_free(g);
        builder_free(&b);
    }
    onnxruntime_free(r);
}

static void rows_of_products_lie_along_the_reduction(void **state) {
    static const struct {
        int64_t x[3], w[2];
        size_t rank, width, count;
        bool left, trans_a, trans_b;
        size_t second; /* index in x of element 1 of row 0 */
        const char *op;
    } cases[] = {
        {{2, 3, 5}, {5, 4}, 3, 5, 6, false, false, false, 1, "MatMul"},
        {{2, 3, 5}, {4, 3}, 3, 3, 10, true, false, false, 5, "MatMul"},
        {{3, 5}, {4, 5}, 2, 5, 3, false, false, true, 1, "Gemm"},
        {{3, 5}, {3, 4}, 2, 3, 5, false, true, false, 5, "Gemm"},
    };
    (void)state;
    for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
        static float x[64], w[64], rows_out[64];
        struct builder b;
        struct layer_rows rows;
        struct err err;
        const char *why = NULL;
        size_t count = 0, n = product_of(cases[k].x, cases[k].rank);
        noise_fill(x, n, 5, 1);
        builder_init(&b, 17);
        builder_input(&b, "x", GRAPH_FLOAT32, cases[k].x, cases[k].rank);
        builder_output(&b, "y", GRAPH_FLOAT32, cases[k].x, 0);
        builder_floats(&b, "w", cases[k].w, 2, w);
        Onnx__NodeProto *node = builder_node(&b, cases[k].op, cases[k].left ? "w x" : "x w", "y");
        if (strcmp(cases[k].op, "Gemm") == 0) {
            builder_attr_int(&b, node, "transA", cases[k].trans_a);
            builder_attr_int(&b, node, "transB", cases[k].trans_b);
        }
        struct graph *g = builder_graph(&b);
        struct onnxruntime_tensor t = {
            .dtype = DTYPE_FLOAT32, .rank = cases[k].rank, .data = x, .bytes = n * sizeof(float)};
        memcpy(t.dims, cases[k].x, sizeof(cases[k].x));
        assert_true(layer_rows_of(g, graph_first(g), &rows, &why));
        assert_int_equal(rows.width, cases[k].width);
        assert_int_equal(layer_rows_count(&rows, &t, &count, &err), RC_OK);
        assert_int_equal(count, cases[k].count);
        layer_rows_fill(&rows, &t, 0, 0, 1, count, rows_out);
        assert_true(rows_out[0] == x[0] && rows_out[1] == x[cases[k].second]);
        assert_true(rows_out[count * rows.width - 1] == x[n - 1]);
        t.dims[cases[k].rank - 1]++;
        t.dims[cases[k].rank - 2]++;
        assert_int_equal(layer_rows_count(&rows, &t, &count, &err), RC_INPUT);
        graph_free(g);
        builder_free(&b);
    }
}

/* --- the whole --- */

/* x -> Conv -> Relu -> Flatten -> Gemm; and a second Gemm that reads the same rows. */
static struct graph *small_net(struct builder *b) {
    static const int64_t x[] = {-1, 1, SIDE, SIDE}, cw[] = {2, 1, 3, 3}, w[] = {72, 5}, y[] = {-1, 5};
    static float values[512];
    noise_fill(values, 512, 9, 1);
    builder_init(b, 17);
    builder_input(b, "x", GRAPH_FLOAT32, x, 4);
    builder_output(b, "y", GRAPH_FLOAT32, y, 2);
    builder_output(b, "z", GRAPH_FLOAT32, y, 2);
    b->inputs[0]->type->tensor_type->shape->dim[0]->value_case =
        ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE__NOT_SET;
    builder_floats(b, "cw", cw, 4, values);
    builder_floats(b, "w", w, 2, values);
    builder_floats(b, "v", w, 2, values + 20);
    builder_node(b, "Conv", "x cw", "a");
    builder_node(b, "Relu", "a", "r");
    builder_node(b, "Flatten", "r", "f");
    builder_node(b, "Gemm", "f w", "y");
    builder_node(b, "Gemm", "f v", "z");
    return builder_graph(b);
}

static struct moments *observe_net(struct graph *g, struct dataset *d, uint32_t threads, size_t max_rows) {
    const struct graph_node *nodes[3];
    struct compress_job job = {.graph = g, .calibration = d, .threads = threads};
    struct moments_opts opts = {.observe = {.text = "observing"}, .max_rows = max_rows};
    struct moments *m = NULL;
    struct err err;
    size_t count = 0;
    for (struct graph_node *n = graph_first(g); n; n = n->next) {
        if (moments_bytes(g, n) > 0) {
            nodes[count++] = n;
        }
    }
    assert_int_equal(count, 3);
    if (moments_run(&job, nodes, count, &opts, &m, &err)) {
        fail_msg("%s", err.text);
    }
    return m;
}

static void moments_are_those_of_the_examples(void **state) {
    struct builder b;
    (void)state;
    struct graph *g = small_net(&b);
    struct dataset *d = noise_dataset();
    struct moments *m = observe_net(g, d, 2, 0);
    const struct moments_layer *conv = moments_at(m, 0);
    float *x = malloc(IMAGES * IMAGE * sizeof(float));
    assert_int_equal(moments_examples(m), IMAGES);
    assert_int_equal(conv->count, IMAGES * 36);
    assert_true(moments_at(m, 1) == moments_at(m, 2));
    assert_int_equal(moments_at(m, 1)->rows.width, 72);
    dataset_fill(d, 0, 0, IMAGES, x);
    double wanted = 0, sum = 0, abs_sum = 0; /* of elements (0, 0) and (2, 1) of the 3 x 3 patch */
    for (size_t i = 0; i < IMAGES; i++) {
        for (size_t p = 0; p < 36; p++) {
            const float *at = x + i * IMAGE + p / 6 * SIDE + p % 6;
            wanted += (double)at[0] * (double)at[2 * SIDE + 1];
            sum += (double)at[0];
            abs_sum += fabs((double)at[0]);
        }
    }
    assert_true(fabs(conv->products[7] - wanted) < 1e-3);
    assert_true(conv->products[7] == conv->products[7 * 9]);
    assert_true(fabs(conv->sums[0] - sum) < 1e-6 && fabs(conv->abs_sums[0] - abs_sum) < 1e-6);
    free(x);
    moments_free(m);
    dataset_free(d);
    graph_free(g);
    builder_free(&b);
}

static void threads_change_no_bit(void **state) {
    struct builder b;
    (void)state;
    struct graph *g = small_net(&b);
    struct dataset *d = noise_dataset();
    for (size_t max_rows = 0; max_rows <= 400; max_rows += 400) {
        struct moments *one = observe_net(g, d, 1, max_rows), *three = observe_net(g, d, 3, max_rows);
        for (size_t i = 0; i < 3; i++) {
            const struct moments_layer *p = moments_at(one, i), *q = moments_at(three, i);
            size_t n = p->rows.width;
            assert_int_equal(p->count, q->count);
            assert_true(max_rows == 0 || p->count <= max_rows + IMAGES);
            assert_memory_equal(p->products, q->products, n * n * sizeof(double));
            assert_memory_equal(p->sums, q->sums, n * sizeof(double));
        }
        moments_free(one);
        moments_free(three);
    }
    dataset_free(d);
    graph_free(g);
    builder_free(&b);
}

static void what_cannot_be_observed_is_refused(void **state) {
    struct builder b;
    struct moments *m = NULL;
    struct err err;
    (void)state;
    struct graph *g = small_net(&b);
    const struct graph_node *conv = graph_first(g), *relu = conv->next;
    struct compress_job job = {.graph = g, .threads = 1};
    struct moments_opts opts = {.observe = {.text = "observing"}};
    assert_int_equal(moments_run(&job, &conv, 1, &opts, &m, &err), RC_INPUT); /* no examples */
    assert_int_equal(moments_run(&job, &relu, 1, &opts, &m, &err), RC_UNSUPPORTED);
    assert_int_equal(moments_fit(g, &conv, 1, 0), 1);
    graph_free(g);
    builder_free(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_are_those_of_a_plain_loop),
        cmocka_unit_test(rows_give_what_the_runtime_computes),
        cmocka_unit_test(rows_of_products_lie_along_the_reduction),
        cmocka_unit_test(moments_are_those_of_the_examples),
        cmocka_unit_test(threads_change_no_bit),
        cmocka_unit_test(what_cannot_be_observed_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
