/* Bias correction: the shift of the outputs' means by rounded weights is found and taken out. */
#include "compressors/onnx/int8_bias.h"
#include "compressors/onnx/int8_static.h"
#include "tests/unit/compressors_onnx/int8_fixture.h"

enum { FILTERS = 8, WIDTH = 16, CLASSES = 4, INPUTS = 48 };

static const int64_t image_dims[] = {1, 1, SIDE, SIDE};

static double mean_of(const void *user, size_t element) {
    return ((const double *)user)[element];
}

static void check_shift(size_t channels, size_t inner) {
    size_t count = 2 * channels * inner;
    float *w = calloc(count, sizeof(*w)), *scales = calloc(channels, sizeof(*scales));
    int8_t *q = calloc(count, 1);
    double *means = calloc(count, sizeof(*means)), *shift = calloc(channels, sizeof(*shift));
    assert_true(w && scales && q && means && shift);
    noise_fill(w, count, 3, 1);
    for (size_t i = 0; i < count; i++) {
        q[i] = (int8_t)lrintf(w[i] * 20);
        means[i] = (double)(i % 7) - 2;
    }
    for (size_t c = 0; c < channels; c++) {
        scales[c] = 0.05F;
    }
    const struct int8_quantized quantized = {
        .view = {2, channels, inner}, .count = count, .values = w, .scales = scales, .q = q};
    int8_bias_shift(&quantized, mean_of, means, shift);
    for (size_t c = 0; c < channels; c++) {
        double expected = 0;
        for (size_t o = 0; o < 2; o++) {
            for (size_t i = 0; i < inner; i++) {
                size_t at = (o * channels + c) * inner + i;
                expected += ((double)scales[c] * q[at] - (double)w[at]) * means[at];
            }
        }
        assert_true(fabs(expected - shift[c]) < 1e-9);
    }
    free(w);
    free(scales);
    free(q);
    free(means);
    free(shift);
}

static void the_shift_is_what_rounding_does_to_mean_inputs(void **state) {
    static const size_t sizes[] = {1, 7, 8, 9, 15, 17, 1023};
    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        check_shift(sizes[i], 1);
        check_shift(3, sizes[i]);
    }
}

/* Conv without a bias, Relu -> Conv in two groups, Relu -> pool, Flatten -> Gemm, Relu -> MatMul + bias, with
 * small weights beside a large one, so that one scale a tensor rounds them badly. */
static void build_model(struct builder *b) {
    static float w1[FILTERS * 9], w2[FILTERS * FILTERS / 2 * 9], w3[WIDTH * FILTERS], w4[WIDTH * CLASSES],
        bias[WIDTH];
    const int64_t d1[] = {FILTERS, 1, 3, 3}, d2[] = {FILTERS, FILTERS / 2, 3, 3}, d3[] = {WIDTH, FILTERS},
                  d4[] = {WIDTH, CLASSES}, filters = FILTERS, width = WIDTH, classes = CLASSES,
                  y[] = {1, CLASSES};
    noise_fill(w1, FILTERS * 9, 1, 0.3F);
    noise_fill(w2, FILTERS * FILTERS / 2 * 9, 2, 0.1F);
    noise_fill(w3, WIDTH * FILTERS, 3, 0.2F);
    noise_fill(w4, WIDTH * CLASSES, 4, 0.2F);
    noise_fill(bias, WIDTH, 5, 0.1F);
    w2[0] = 3;
    w3[0] = 6;
    w4[0] = 6;
    builder_init(b, 17);
    builder_input(b, "x", GRAPH_FLOAT32, image_dims, 4);
    builder_output(b, "y", GRAPH_FLOAT32, y, 2);
    builder_floats(b, "w1", d1, 4, w1);
    builder_floats(b, "w2", d2, 4, w2);
    builder_floats(b, "b2", &filters, 1, bias);
    builder_floats(b, "w3", d3, 2, w3);
    builder_floats(b, "b3", &width, 1, bias);
    builder_floats(b, "w4", d4, 2, w4);
    builder_floats(b, "b4", &classes, 1, bias);
    builder_node(b, "Conv", "x w1", "c1");
    builder_node(b, "Relu", "c1", "r1");
    builder_attr_int(b, builder_node(b, "Conv", "r1 w2 b2", "c2"), "group", 2);
    builder_node(b, "Relu", "c2", "r2");
    builder_node(b, "GlobalAveragePool", "r2", "p");
    builder_node(b, "Flatten", "p", "f");
    builder_attr_int(b, builder_node(b, "Gemm", "f w3 b3", "g"), "transB", 1);
    builder_node(b, "Relu", "g", "r3");
    builder_node(b, "MatMul", "r3 w4", "m");
    builder_node(b, "Add", "m b4", "y");
}

static void mean_outputs(struct onnxruntime *r, struct graph *g, double *means) {
    static float in[INPUTS][IMAGE];
    float out[CLASSES];
    memset(means, 0, CLASSES * sizeof(*means));
    noise_fill(in[0], INPUTS * IMAGE, 77, 1);
    for (size_t i = 0; i < INPUTS; i++) {
        run_floats(r, g, image_dims, 4, in[i], IMAGE, out, CLASSES);
        for (size_t c = 0; c < CLASSES; c++) {
            means[c] += (double)out[c] / INPUTS;
        }
    }
}

/* Largest shift of a mean output. */
static double shift_after(const char *recipe, struct record *record) {
    struct onnxruntime *r = NULL;
    struct err err = {0};
    struct builder b;
    double before[CLASSES], after[CLASSES], worst = 0;
    build_model(&b);
    struct graph *g = builder_graph(&b);
    struct dataset *d = noise_dataset();
    assert_int_equal(onnxruntime_new(NULL, &r, &err), RC_OK);
    mean_outputs(r, g, before);
    if (int8_apply(int8_static_compress, recipe, g, d, 2, record, &err)) {
        fail_msg("%s: %s", recipe, err.text);
    }
    mean_outputs(r, g, after);
    for (size_t c = 0; c < CLASSES; c++) {
        worst = fmax(worst, fabs(after[c] - before[c]));
    }
    dataset_free(d);
    graph_free(g);
    onnxruntime_free(r);
    builder_free(&b);
    return worst;
}

static void mean_outputs_shift_less_with_it(void **state) {
    (void)state;
    struct record record;
    double without = shift_after("int8:static,weights=tensor", &record);
    record_release(&record);
    double with = shift_after("int8:static,biascorrect,weights=tensor", &record);
    print_message("means shift by %.5f without, %.5f with bias correction\n", without, with);
    assert_true(record_says(&record.notes, NULL, "the biases of 4 layers"));
    record_release(&record);
    assert_true(with < without / 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_shift_is_what_rounding_does_to_mean_inputs),
        cmocka_unit_test(mean_outputs_shift_less_with_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
