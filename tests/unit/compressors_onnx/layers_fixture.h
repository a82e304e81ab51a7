/* layers_fixture.h -- small models around one layer of each kind, whose inputs depend on each other: a first
 * layer, too small to be changed, mixes the noise of the calibration set. */
#pragma once

#include "tests/unit/compressors_onnx/int8_fixture.h"

enum { LAYER_CHANNELS = 16, LAYER_OUTPUTS = 24, LAYER_PIXELS = SIDE * SIDE };

enum layer_kind { LAYER_CONV, LAYER_GROUPED_CONV, LAYER_STRIDED_CONV, LAYER_MATMUL, LAYER_GEMM, LAYER_KINDS };

static inline void layers_constant(struct builder *b, const char *name, const int64_t *dims, size_t rank,
                                   uint32_t seed, float scale) {
    static float values[LAYER_OUTPUTS * LAYER_CHANNELS * 9 * 4];
    size_t count = 1;
    for (size_t i = 0; i < rank; i++) {
        count *= (size_t)dims[i];
    }
    assert_true(count <= sizeof(values) / sizeof(values[0]));
    noise_fill(values, count, seed, scale);
    builder_floats(b, name, dims, rank, values);
}

static inline void layers_conv(struct builder *b, enum layer_kind kind) {
    static const int64_t pads[] = {1, 1, 1, 1}, strides[] = {2, 2};
    const int64_t groups = kind == LAYER_GROUPED_CONV ? 2 : 1;
    const int64_t dims[] = {LAYER_OUTPUTS, LAYER_CHANNELS / groups, 3, 3}, bias[] = {LAYER_OUTPUTS};
    layers_constant(b, "w", dims, 4, 5, 0.2F);
    layers_constant(b, "b", bias, 1, 6, 0.5F);
    Onnx__NodeProto *n = builder_node(b, "Conv", "h w b", "y");
    builder_attr_ints(b, n, "pads", pads, 4);
    builder_attr_int(b, n, "group", groups);
    if (kind == LAYER_STRIDED_CONV) {
        builder_attr_ints(b, n, "strides", strides, 2);
    }
}

/* Each row of 8 pixels of each channel's image, times a matrix; Gemm takes the whole image. */
static inline void layers_product(struct builder *b, enum layer_kind kind) {
    const int64_t flat = LAYER_CHANNELS * 4, rank = 2, shape[] = {-1, flat};
    const int64_t matmul[] = {flat, LAYER_OUTPUTS}, gemm[] = {LAYER_OUTPUTS, flat}, bias[] = {LAYER_OUTPUTS};
    bool is_gemm = kind == LAYER_GEMM;
    builder_tensor(b, "shape", GRAPH_INT64, &rank, 1, shape, sizeof(shape));
    layers_constant(b, "w", is_gemm ? gemm : matmul, 2, 5, 0.2F);
    builder_node(b, "Reshape", "h shape", "rows");
    if (!is_gemm) {
        builder_node(b, "MatMul", "rows w", "y");
        return;
    }
    layers_constant(b, "b", bias, 1, 6, 0.5F);
    Onnx__NodeProto *n = builder_node(b, "Gemm", "rows w b", "y");
    builder_attr_int(b, n, "transB", 1);
    builder_attr_float(b, n, "alpha", 0.5F);
    builder_attr_float(b, n, "beta", 2.0F);
}

static inline struct graph *layers_model(struct builder *b, enum layer_kind kind) {
    static const int64_t pads[] = {1, 1, 1, 1}, mix[] = {LAYER_CHANNELS, 1, 3, 3};
    const int64_t in[] = {-1, 1, SIDE, SIDE}, image[] = {-1, LAYER_OUTPUTS, -1, -1},
                  rows[] = {-1, LAYER_OUTPUTS};
    builder_init(b, 17);
    builder_input(b, "x", GRAPH_FLOAT32, in, 4);
    builder_output(b, "y", GRAPH_FLOAT32, kind < LAYER_MATMUL ? image : rows, kind < LAYER_MATMUL ? 4 : 2);
    layers_constant(b, "mix", mix, 4, 3, 0.6F);
    builder_attr_ints(b, builder_node(b, "Conv", "x mix", "m"), "pads", pads, 4);
    builder_node(b, "Relu", "m", "h");
    if (kind < LAYER_MATMUL) {
        layers_conv(b, kind);
    } else {
        layers_product(b, kind);
    }
    return builder_graph(b);
}

/* Two products, "w" and "head", behind each other; the second gives the model's output. */
static inline struct graph *layers_two_products(struct builder *b) {
    const int64_t in[] = {-1, 1, SIDE, SIDE}, rows[] = {-1, LAYER_OUTPUTS}, rank = 2, shape[] = {-1, IMAGE};
    const int64_t first[] = {IMAGE, 2 * LAYER_OUTPUTS}, second[] = {2 * LAYER_OUTPUTS, LAYER_OUTPUTS};
    builder_init(b, 17);
    builder_input(b, "x", GRAPH_FLOAT32, in, 4);
    builder_output(b, "y", GRAPH_FLOAT32, rows, 2);
    builder_tensor(b, "shape", GRAPH_INT64, &rank, 1, shape, sizeof(shape));
    layers_constant(b, "w", first, 2, 5, 0.2F);
    layers_constant(b, "head", second, 2, 7, 0.2F);
    builder_node(b, "Reshape", "x shape", "rows");
    builder_node(b, "MatMul", "rows w", "m");
    builder_node(b, "Relu", "m", "h");
    builder_node(b, "MatMul", "h head", "y");
    return builder_graph(b);
}

/* A model, its calibration set and what a technique said of it. */
struct layers_scene {
    struct builder b;
    struct graph *g;
    struct dataset *d; /* bound to the input "x" */
    struct record record;
};

static inline void layers_open_graph(struct layers_scene *s, struct graph *g) {
    const struct tensor_spec spec = {
        .name = "x", .dtype = DTYPE_FLOAT32, .rank = 4, .dims = {-1, 1, SIDE, SIDE}};
    struct err err = {0};
    s->g = g;
    s->d = noise_dataset();
    record_init(&s->record);
    assert_int_equal(dataset_bind(s->d, &spec, 1, &err), RC_OK);
}

static inline void layers_open(struct layers_scene *s, enum layer_kind kind) {
    layers_open_graph(s, layers_model(&s->b, kind));
}

static inline void layers_close(struct layers_scene *s) {
    record_release(&s->record);
    graph_free(s->g);
    builder_free(&s->b);
    dataset_free(s->d);
}

/* Applies a technique; the record is of the last one. */
static inline void layers_apply(struct layers_scene *s, compress_fn *technique, const char *recipe,
                                uint32_t threads) {
    struct err err = {0};
    record_release(&s->record);
    if (int8_apply(technique, recipe, s->g, s->d, threads, &s->record, &err)) {
        fail_msg("%s: %s", recipe, err.text);
    }
}

/* The bytes of the model of one convolution after the recipe are the same with one thread and with three. */
static inline void layers_same_bytes(compress_fn *technique, const char *recipe) {
    char *data[2];
    size_t size[2];
    for (uint32_t i = 0; i < 2; i++) {
        struct layers_scene s;
        struct err err = {0};
        layers_open(&s, LAYER_CONV);
        layers_apply(&s, technique, recipe, i ? 3 : 1);
        assert_int_equal(graph_pack(s.g, &data[i], &size[i], &err), RC_OK);
        layers_close(&s);
    }
    assert_int_equal(size[0], size[1]);
    assert_memory_equal(data[0], data[1], size[0]);
    free(data[0]);
    free(data[1]);
}

/* Without a calibration set the recipe is refused, and says what it needs. */
static inline void layers_need_examples(compress_fn *technique, const char *recipe) {
    struct layers_scene s;
    struct err err = {0};
    layers_open(&s, LAYER_CONV);
    record_release(&s.record);
    assert_int_equal(int8_apply(technique, recipe, s.g, NULL, 1, &s.record, &err), RC_INPUT);
    assert_non_null(strstr(err.text, "calibrat"));
    layers_close(&s);
}

static inline int layers_start(void **state) {
    return onnxruntime_new(NULL, (struct onnxruntime **)state, NULL) != RC_OK;
}

static inline int layers_stop(void **state) {
    onnxruntime_free(*state);
    return 0;
}

static inline size_t layers_outputs(enum layer_kind kind, size_t images) {
    size_t rows = kind == LAYER_STRIDED_CONV ? LAYER_PIXELS / 4
                  : kind < LAYER_MATMUL      ? LAYER_PIXELS
                                             : LAYER_CHANNELS * LAYER_PIXELS / (LAYER_CHANNELS * 4);
    return images * rows * LAYER_OUTPUTS;
}

/* The model's outputs on all images of the calibration set; free() them. */
static inline float *layers_run(struct onnxruntime *r, struct graph *g, struct dataset *d,
                                enum layer_kind kind) {
    size_t count = layers_outputs(kind, IMAGES);
    float *x = malloc(IMAGES * IMAGE * sizeof(float)), *y = malloc(count * sizeof(float));
    const int64_t dims[] = {IMAGES, 1, SIDE, SIDE};
    assert_int_equal(dataset_count(d), IMAGES);
    dataset_fill(d, 0, 0, IMAGES, x);
    run_floats(r, g, dims, 4, x, IMAGES * IMAGE, y, count);
    free(x);
    return y;
}

/* Mean square of the difference, as a part of the mean square of a. */
static inline double layers_error(const float *a, const float *b, size_t count) {
    double difference = 0, square = 0;
    for (size_t i = 0; i < count; i++) {
        double d = (double)a[i] - (double)b[i];
        difference += d * d;
        square += (double)a[i] * (double)a[i];
    }
    return difference / square;
}
