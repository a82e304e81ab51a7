/* equalize: the model computes the same, its channels are equally large, and one scale a tensor loses less.
 */
#include "compressors/onnx/equalize.h"
#include "compressors/onnx/int8_static.h"
#include "tests/unit/compressors_onnx/int8_fixture.h"

enum { FILTERS = 8, CLASSES = 4, POOLED = 4, INPUTS = 24 };

static const int64_t image_dims[] = {1, 1, SIDE, SIDE};

/* What channel c is too large by. */
static float excess(size_t c) {
    return powf(5, (float)(c % 5) - 2);
}

/* rows of `channels` blocks of `each` values: block c times or by its excess. */
static void spread(float *w, size_t rows, size_t channels, size_t each, float sign) {
    for (size_t i = 0; i < rows * channels * each; i++) {
        w[i] *= powf(excess(i / each % channels), sign);
    }
}

/* With the variance that the convolution's outputs have on noise in -1 .. 1. */
static void add_norm(struct builder *b, const float *w, float shift) {
    static float scale[FILTERS], beta[FILTERS], mean[FILTERS], variance[FILTERS];
    const int64_t n = FILTERS;
    for (size_t i = 0; i < FILTERS; i++) {
        scale[i] = 0.3F * excess(i);
        beta[i] = shift * excess(i);
        mean[i] = 0;
        variance[i] = 0;
        for (size_t k = 0; k < 9; k++) {
            variance[i] += w[i * 9 + k] * w[i * 9 + k] / 3;
        }
    }
    builder_floats(b, "scale", &n, 1, scale);
    builder_floats(b, "beta", &n, 1, beta);
    builder_floats(b, "mean", &n, 1, mean);
    builder_floats(b, "variance", &n, 1, variance);
    builder_node(b, "BatchNormalization", "c1 scale beta mean variance", "n1");
}

/* Conv, norm, Relu -> depthwise Conv -> Relu, pool -> Conv in two groups -> Relu, Flatten -> Gemm -> Relu ->
 * MatMul + bias: every way from a layer to the next. Channels of the first and third
 * layer are too large by up to 25 or too small, and what reads them makes up for it. `shift`: of the norm. */
static void build_model(struct builder *b, float shift) {
    static float w1[FILTERS * 9], wd[FILTERS * 9], w2[FILTERS * FILTERS / 2 * 9];
    static float w3[16 * FILTERS * POOLED * POOLED], w4[16 * CLASSES], bias[16];
    const int64_t d1[] = {FILTERS, 1, 3, 3}, d2[] = {FILTERS, FILTERS / 2, 3, 3},
                  d3[] = {16, FILTERS * POOLED * POOLED}, d4[] = {16, CLASSES}, filters = FILTERS,
                  sixteen = 16, classes = CLASSES, pads[] = {1, 1, 1, 1}, two[] = {2, 2}, y[] = {1, CLASSES};
    noise_fill(w1, FILTERS * 9, 1, 0.5F);
    noise_fill(wd, FILTERS * 9, 2, 0.5F);
    noise_fill(w2, FILTERS * FILTERS / 2 * 9, 3, 0.2F);
    noise_fill(w3, 16 * FILTERS * POOLED * POOLED, 4, 0.1F);
    noise_fill(w4, 16 * CLASSES, 5, 0.5F);
    noise_fill(bias, 16, 6, 0.3F);
    spread(wd, 1, FILTERS, 9, -1);
    spread(w2, 1, FILTERS, FILTERS / 2 * 9, 1);
    spread(w3, 16, FILTERS, POOLED * POOLED, -1);
    builder_init(b, 17);
    builder_input(b, "x", GRAPH_FLOAT32, image_dims, 4);
    builder_output(b, "y", GRAPH_FLOAT32, y, 2);
    builder_floats(b, "w1", d1, 4, w1);
    builder_floats(b, "wd", d1, 4, wd);
    builder_floats(b, "bd", &filters, 1, bias);
    builder_floats(b, "w2", d2, 4, w2);
    builder_floats(b, "b2", &filters, 1, bias);
    builder_floats(b, "w3", d3, 2, w3);
    builder_floats(b, "b3", &sixteen, 1, bias);
    builder_floats(b, "w4", d4, 2, w4);
    builder_floats(b, "b4", &classes, 1, bias);
    builder_attr_ints(b, builder_node(b, "Conv", "x w1", "c1"), "pads", pads, 4);
    add_norm(b, w1, shift);
    builder_node(b, "Relu", "n1", "r1");
    builder_attr_int(b, builder_node(b, "Conv", "r1 wd bd", "cd"), "group", FILTERS);
    builder_node(b, "Relu", "cd", "rd");
    Onnx__NodeProto *pool = builder_node(b, "MaxPool", "rd", "p");
    builder_attr_ints(b, pool, "kernel_shape", two, 2);
    builder_attr_ints(b, pool, "strides", two, 2);
    builder_attr_ints(b, pool, "pads", (const int64_t[]){1, 1, 1, 1}, 4);
    Onnx__NodeProto *grouped = builder_node(b, "Conv", "p w2 b2", "c2");
    builder_attr_ints(b, grouped, "pads", pads, 4);
    builder_attr_int(b, grouped, "group", 2);
    builder_node(b, "Relu", "c2", "r2");
    builder_node(b, "Flatten", "r2", "f");
    builder_attr_int(b, builder_node(b, "Gemm", "f w3 b3", "g"), "transB", 1);
    builder_node(b, "Relu", "g", "r3");
    builder_node(b, "MatMul", "r3 w4", "m");
    builder_node(b, "Add", "m b4", "y");
}

struct scene {
    struct onnxruntime *runtime;
    struct graph *g;
    struct builder b;
    struct record record;
    float in[INPUTS][IMAGE], before[INPUTS * CLASSES], after[INPUTS * CLASSES];
};

static void scene_run(struct scene *s, float *out) {
    for (size_t i = 0; i < INPUTS; i++) {
        run_floats(s->runtime, s->g, image_dims, 4, s->in[i], IMAGE, out + i * CLASSES, CLASSES);
    }
}

static void scene_start(struct scene *s, float shift) {
    struct err err = {0};
    build_model(&s->b, shift);
    s->g = builder_graph(&s->b);
    assert_int_equal(onnxruntime_new(NULL, &s->runtime, &err), RC_OK);
    noise_fill(s->in[0], INPUTS * IMAGE, 77, 1);
    scene_run(s, s->before);
}

static void scene_apply(struct scene *s, compress_fn *technique, const char *text) {
    struct dataset *d = noise_dataset();
    struct err err = {0};
    if (int8_apply(technique, text, s->g, d, 2, &s->record, &err)) {
        fail_msg("%s: %s", text, err.text);
    }
    dataset_free(d);
}

static double scene_error(struct scene *s) {
    scene_run(s, s->after);
    return relative_error(s->before, s->after, INPUTS * CLASSES);
}

/* Root of the mean squared error, as a part of that of the values. */
static double scene_mean_error(struct scene *s) {
    double squares = 0, errors = 0;
    scene_run(s, s->after);
    for (size_t i = 0; i < INPUTS * CLASSES; i++) {
        double d = (double)s->after[i] - (double)s->before[i];
        squares += (double)s->before[i] * (double)s->before[i];
        errors += d * d;
    }
    return sqrt(errors / squares);
}

static void scene_end(struct scene *s) {
    graph_free(s->g);
    onnxruntime_free(s->runtime);
    builder_free(&s->b);
}

/* Largest absolute weight of each output channel of the node's weights [out, ...]. */
static void channel_ranges(struct graph *g, const char *node, float *range, size_t outputs) {
    for (const struct graph_node *n = graph_first(g); n; n = n->next) {
        if (strcmp(n->proto->name, node) != 0) {
            continue;
        }
        float *w = NULL;
        size_t count = 0;
        struct err err;
        assert_int_equal(graph_tensor_floats(g, graph_constant(g, graph_input(g, n, 1)), &w, &count, &err),
                         RC_OK);
        memset(range, 0, outputs * sizeof(*range));
        for (size_t i = 0; i < count; i++) {
            size_t o = i / (count / outputs);
            range[o] = fmaxf(range[o], fabsf(w[i]));
        }
        free(w);
        return;
    }
    fail_msg("no node %s", node);
}

static void the_model_computes_the_same(void **state) {
    (void)state;
    struct scene s;
    scene_start(&s, 0.1F);
    scene_apply(&s, equalize_compress, "equalize");
    assert_int_equal(s.record.changed.count, 5);
    assert_int_equal(s.record.left_alone.count, 0);
    assert_true(scene_error(&s) < 1e-5);
    record_release(&s.record);
    scene_end(&s);
}

/* Output channel i of the first and input channel i of the depthwise one, which is its output channel too. */
static void channels_become_equally_large(void **state) {
    (void)state;
    struct scene s;
    float first[FILTERS], second[FILTERS];
    scene_start(&s, 0.1F);
    scene_apply(&s, equalize_compress, "equalize");
    channel_ranges(s.g, "n0", first, FILTERS);
    channel_ranges(s.g, "n3", second, FILTERS);
    for (size_t i = 0; i < FILTERS; i++) {
        assert_float_equal(first[i], second[i], 0.02F * first[i]);
    }
    record_release(&s.record);
    scene_end(&s);
}

static void one_scale_a_tensor_loses_less_after_it(void **state) {
    (void)state;
    double error[2];
    for (int equalized = 0; equalized < 2; equalized++) {
        struct scene s;
        scene_start(&s, 0.1F);
        if (equalized) {
            scene_apply(&s, equalize_compress, "equalize");
            record_release(&s.record);
        }
        scene_apply(&s, int8_static_compress, "int8:static,weights=tensor");
        error[equalized] = scene_mean_error(&s);
        record_release(&s.record);
        scene_end(&s);
    }
    print_message("error %.4f without, %.4f with equalize\n", error[0], error[1]);
    assert_true(error[1] < 0.7 * error[0]);
}

/* The norm says 5 +- 0.3: nearly nothing lies below 4.1, which joins the depthwise layer's bias, as that one
 * does not pad. The first layer keeps what is left. */
static void high_biases_move_behind_the_relu(void **state) {
    (void)state;
    struct scene s;
    scene_start(&s, 5);
    scene_apply(&s, equalize_compress, "equalize:absorb");
    assert_true(record_says(&s.record.notes, NULL, "high biases of 8 channels"));
    assert_true(scene_error(&s) < 0.02);
    record_release(&s.record);
    scene_end(&s);
    scene_start(&s, 0.1F);
    scene_apply(&s, equalize_compress, "equalize:absorb");
    assert_true(record_says(&s.record.notes, NULL, "high biases of 0 channels"));
    assert_true(scene_error(&s) < 1e-5);
    record_release(&s.record);
    scene_end(&s);
}

/* A residual sum needs its terms as they are. */
static void a_layer_whose_output_is_also_read_elsewhere_stays(void **state) {
    (void)state;
    static float w[FILTERS * 9], w2[FILTERS * FILTERS];
    const int64_t d1[] = {FILTERS, 1, 3, 3}, d2[] = {FILTERS, FILTERS, 1, 1},
                  y[] = {1, FILTERS, SIDE - 2, SIDE - 2};
    struct builder b;
    struct record record;
    struct err err = {0};
    noise_fill(w, FILTERS * 9, 1, 0.5F);
    noise_fill(w2, FILTERS * FILTERS, 2, 0.5F);
    builder_init(&b, 17);
    builder_input(&b, "x", GRAPH_FLOAT32, image_dims, 4);
    builder_output(&b, "y", GRAPH_FLOAT32, y, 4);
    builder_floats(&b, "w", d1, 4, w);
    builder_floats(&b, "w2", d2, 4, w2);
    builder_node(&b, "Conv", "x w", "c");
    builder_node(&b, "Conv", "c w2", "k");
    builder_node(&b, "Add", "k c", "y");
    struct graph *g = builder_graph(&b);
    struct dataset *d = noise_dataset();
    assert_int_equal(int8_apply(equalize_compress, "equalize", g, d, 1, &record, &err), RC_UNSUPPORTED);
    assert_non_null(strstr(err.text, "nothing to equalize"));
    record_release(&record);
    dataset_free(d);
    graph_free(g);
    builder_free(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_model_computes_the_same),
        cmocka_unit_test(channels_become_equally_large),
        cmocka_unit_test(one_scale_a_tensor_loses_less_after_it),
        cmocka_unit_test(high_biases_move_behind_the_relu),
        cmocka_unit_test(a_layer_whose_output_is_also_read_elsewhere_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
