/* Structured pruning on generated graphs: for each coupled operator, removing channels gives exactly what the
 * model gives with them at zero; where that cannot be, the node that forbids it is named. */
#include "tests/unit/compressors_onnx/channel_fixture.h"

enum { SIZE = 8, VALUES_MAX = 1 << 14 };

/* --- building --- */

static void weights(struct builder *b, const char *name, size_t rank, const int64_t *dims) {
    static float values[VALUES_MAX];
    size_t count = 1;
    for (size_t i = 0; i < rank; i++) {
        count *= (size_t)dims[i];
    }
    assert_true(count <= VALUES_MAX);
    noise_fill(values, count, (uint32_t)b->graph.n_initializer * 31 + 7, 0.5F);
    builder_floats(b, name, dims, rank, values);
}
#define WEIGHTS(b, name, ...)                                                                                \
    weights(b, name, sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), (int64_t[]){__VA_ARGS__})

static void ints(struct builder *b, const char *name, size_t count, const int64_t *values) {
    int64_t n = (int64_t)count;
    builder_tensor(b, name, GRAPH_INT64, &n, 1, values, count * sizeof(*values));
}
#define INTS(b, name, ...)                                                                                   \
    ints(b, name, sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), (int64_t[]){__VA_ARGS__})

static void scalar(struct builder *b, const char *name, int64_t value) {
    builder_tensor(b, name, GRAPH_INT64, NULL, 0, &value, sizeof(value));
}

#define ATTR_INTS(b, node, name, ...)                                                                        \
    builder_attr_ints(b, node, name, (int64_t[]){__VA_ARGS__},                                               \
                      sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t))

static void conv3(struct builder *b, const char *inputs, const char *output) {
    Onnx__NodeProto *n = builder_node(b, "Conv", inputs, output);
    ATTR_INTS(b, n, "pads", 1, 1, 1, 1);
}

static void image_in(struct builder *b, int64_t opset) {
    const int64_t in[] = {-1, 3, SIZE, SIZE};
    builder_init(b, opset);
    builder_input(b, "x", GRAPH_FLOAT32, in, 4);
}

static void out(struct builder *b, size_t rank, const int64_t *dims) {
    builder_output(b, "y", GRAPH_FLOAT32, dims, rank);
}
#define OUT(b, ...) out(b, sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), (int64_t[]){__VA_ARGS__})

/* x -> 12 channels "a" */
static void head(struct builder *b, int64_t opset) {
    image_in(b, opset);
    WEIGHTS(b, "w1", 12, 3, 3, 3);
    WEIGHTS(b, "b1", 12);
    conv3(b, "x w1 b1", "a");
}

/* 12 channels `from` -> y */
static void tail(struct builder *b, const char *from) {
    char inputs[64];
    WEIGHTS(b, "wt", 4, 12, 3, 3);
    snprintf(inputs, sizeof(inputs), "%s wt", from);
    conv3(b, inputs, "y");
    OUT(b, -1, 4, SIZE, SIZE);
}

/* --- graphs that can be pruned --- */

static void residual_and_concat(struct builder *b) {
    head(b, 17);
    WEIGHTS(b, "w2", 12, 12, 3, 3);
    WEIGHTS(b, "w3", 6, 12, 3, 3);
    WEIGHTS(b, "w4", 5, 18, 1, 1);
    builder_node(b, "Relu", "a", "r");
    conv3(b, "r w2", "c");
    builder_node(b, "Add", "c a", "s"); /* shares a's channels */
    conv3(b, "s w3", "d");
    builder_attr_int(b, builder_node(b, "Concat", "s d", "e"), "axis", 1);
    builder_node(b, "Conv", "e w4", "y");
    OUT(b, -1, 5, SIZE, SIZE);
}

static void shuffle(struct builder *b) {
    head(b, 17);
    INTS(b, "apart", 0, 3, 4, SIZE, SIZE);
    INTS(b, "together", 0, 12, SIZE, SIZE);
    builder_node(b, "Reshape", "a apart", "p");
    ATTR_INTS(b, builder_node(b, "Transpose", "p", "q"), "perm", 0, 2, 1, 3, 4);
    builder_node(b, "Reshape", "q together", "r");
    builder_node(b, "Relu", "r", "s");
    tail(b, "s");
}

static void grouped(struct builder *b) {
    head(b, 17);
    WEIGHTS(b, "wg", 12, 4, 3, 3);
    WEIGHTS(b, "bg", 12);
    builder_node(b, "Relu", "a", "r");
    Onnx__NodeProto *n = builder_node(b, "Conv", "r wg bg", "g");
    ATTR_INTS(b, n, "pads", 1, 1, 1, 1);
    builder_attr_int(b, n, "group", 3);
    tail(b, "g");
}

static void depthwise(struct builder *b) {
    head(b, 17);
    WEIGHTS(b, "wd", 24, 1, 3, 3); /* two outputs a channel */
    WEIGHTS(b, "wt", 4, 24, 1, 1);
    builder_node(b, "HardSwish", "a", "r");
    Onnx__NodeProto *n = builder_node(b, "Conv", "r wd", "d");
    ATTR_INTS(b, n, "pads", 1, 1, 1, 1);
    builder_attr_int(b, n, "group", 12);
    builder_node(b, "Conv", "d wt", "y");
    OUT(b, -1, 4, SIZE, SIZE);
}

static void transposed(struct builder *b) {
    head(b, 17);
    WEIGHTS(b, "wu", 12, 6, 2, 2);
    WEIGHTS(b, "bias_up", 6);
    WEIGHTS(b, "wv", 6, 1, 2, 2);
    WEIGHTS(b, "wt", 4, 6, 1, 1);
    ATTR_INTS(b, builder_node(b, "ConvTranspose", "a wu bias_up", "u"), "strides", 2, 2);
    Onnx__NodeProto *n = builder_node(b, "ConvTranspose", "u wv", "v"); /* depthwise */
    ATTR_INTS(b, n, "strides", 2, 2);
    builder_attr_int(b, n, "group", 6);
    builder_node(b, "Conv", "v wt", "y");
    OUT(b, -1, 4, 4 * SIZE, 4 * SIZE);
}

static void transposed_grouped(struct builder *b) {
    head(b, 17);
    WEIGHTS(b, "wu", 12, 3, 2, 2);
    WEIGHTS(b, "wt", 4, 9, 1, 1);
    Onnx__NodeProto *n = builder_node(b, "ConvTranspose", "a wu", "u");
    ATTR_INTS(b, n, "strides", 2, 2);
    builder_attr_int(b, n, "group", 3);
    builder_node(b, "Conv", "u wt", "y");
    OUT(b, -1, 4, 2 * SIZE, 2 * SIZE);
}

/* Two readers with parts of different sizes. */
static void split_in_two(struct builder *b) {
    head(b, 17);
    INTS(b, "sizes", 7, 5);
    WEIGHTS(b, "w2", 4, 7, 3, 3);
    WEIGHTS(b, "w3", 4, 5, 3, 3);
    builder_attr_int(b, builder_node(b, "Split", "a sizes", "p q"), "axis", 1);
    conv3(b, "p w2", "c");
    conv3(b, "q w3", "d");
    builder_node(b, "Mul", "c d", "y");
    OUT(b, -1, 4, SIZE, SIZE);
}

static void split_equal_old(struct builder *b) {
    head(b, 11);
    WEIGHTS(b, "w2", 4, 6, 3, 3);
    builder_attr_int(b, builder_node(b, "Split", "a", "p q"), "axis", 1);
    builder_node(b, "Sigmoid", "q", "gate");
    builder_node(b, "Mul", "p gate", "s"); /* ties the halves */
    conv3(b, "s w2", "y");
    OUT(b, -1, 4, SIZE, SIZE);
}

static void split_num_outputs(struct builder *b) {
    head(b, 18);
    WEIGHTS(b, "w2", 4, 4, 3, 3);
    WEIGHTS(b, "w3", 4, 4, 3, 3);
    Onnx__NodeProto *n = builder_node(b, "Split", "a", "p q r");
    builder_attr_int(b, n, "axis", 1);
    builder_attr_int(b, n, "num_outputs", 3);
    conv3(b, "p w2", "c");
    conv3(b, "q w3", "d");
    conv3(b, "r w3", "e"); /* shared weights tie q and r */
    builder_node(b, "Sum", "c d e", "y");
    OUT(b, -1, 4, SIZE, SIZE);
}

static void sliced(struct builder *b) {
    head(b, 17);
    INTS(b, "from", 2);
    INTS(b, "to", -3);
    INTS(b, "axis", 1);
    WEIGHTS(b, "w2", 4, 7, 3, 3);
    WEIGHTS(b, "w3", 4, 12, 3, 3);
    builder_node(b, "Slice", "a from to axis", "p");
    conv3(b, "p w2", "c");
    conv3(b, "a w3", "d");
    builder_node(b, "Add", "c d", "y");
    OUT(b, -1, 4, SIZE, SIZE);
}

static void norms(struct builder *b) {
    static const char *const names[] = {"gamma", "beta", "mean", "is", "ib", "ps", "as"};
    head(b, 17);
    for (size_t i = 0; i < 5; i++) {
        WEIGHTS(b, names[i], 12);
    }
    float variance[12];
    for (size_t i = 0; i < 12; i++) {
        variance[i] = 0.5F + (float)i;
    }
    const int64_t n = 12;
    builder_floats(b, "var", &n, 1, variance);
    WEIGHTS(b, "ps", 12, 1, 1);
    WEIGHTS(b, "as", 1, 12, 1, 1);
    builder_node(b, "BatchNormalization", "a gamma beta mean var", "n1");
    builder_node(b, "PRelu", "n1 ps", "n2");
    builder_node(b, "InstanceNormalization", "n2 is ib", "n3");
    builder_node(b, "Mul", "n3 as", "n4"); /* broadcasts a constant over the channels */
    tail(b, "n4");
}

/* The pattern that exporters write for GroupNorm. */
static void group_norm(struct builder *b) {
    head(b, 17);
    INTS(b, "apart", 0, 4, -1);
    INTS(b, "together", 0, 12, SIZE, SIZE);
    WEIGHTS(b, "gs", 4);
    WEIGHTS(b, "gb", 4);
    WEIGHTS(b, "cs", 12, 1, 1);
    builder_node(b, "Reshape", "a apart", "p");
    builder_node(b, "InstanceNormalization", "p gs gb", "q");
    builder_node(b, "Reshape", "q together", "r");
    builder_node(b, "Mul", "r cs", "s");
    tail(b, "s");
}

static void group_norm_op(struct builder *b) {
    head(b, 21);
    WEIGHTS(b, "gs", 12);
    WEIGHTS(b, "gb", 12);
    builder_attr_int(b, builder_node(b, "GroupNormalization", "a gs gb", "n"), "num_groups", 4);
    tail(b, "n");
}

static void pools_and_dense(struct builder *b) {
    head(b, 17);
    WEIGHTS(b, "w2", 10, 192);
    WEIGHTS(b, "b2", 10);
    WEIGHTS(b, "w3", 10, 5);
    ATTR_INTS(b, builder_node(b, "MaxPool", "a", "p"), "kernel_shape", 2, 2);
    b->nodes[b->graph.n_node - 1]->attribute[0]->n_ints = 2;
    ATTR_INTS(b, b->nodes[b->graph.n_node - 1], "strides", 2, 2);
    builder_attr_int(b, builder_node(b, "Flatten", "p", "f"), "axis", 1);
    builder_attr_int(b, builder_node(b, "Gemm", "f w2 b2", "h"), "transB", 1);
    builder_node(b, "Tanh", "h", "t");
    builder_node(b, "MatMul", "t w3", "y");
    OUT(b, -1, 5);
}

static void mean_over_pixels(struct builder *b) {
    head(b, 18);
    INTS(b, "axes", 2, 3);
    WEIGHTS(b, "w2", 12, 5);
    builder_attr_int(b, builder_node(b, "ReduceMean", "a axes", "m"), "keepdims", 0);
    builder_node(b, "MatMul", "m w2", "y");
    OUT(b, -1, 5);
}

/* Squeeze and excitation: a gate from the channels' means, with a bottleneck. */
static void squeeze_excite(struct builder *b) {
    head(b, 17);
    WEIGHTS(b, "w2", 4, 12, 1, 1);
    WEIGHTS(b, "w3", 12, 4, 1, 1);
    builder_node(b, "GlobalAveragePool", "a", "g");
    builder_node(b, "Conv", "g w2", "h");
    builder_node(b, "Relu", "h", "hr");
    builder_node(b, "Conv", "hr w3", "e");
    builder_node(b, "Sigmoid", "e", "gate");
    builder_node(b, "Mul", "a gate", "s");
    tail(b, "s");
}

static void blocks_of_pixels(struct builder *b) {
    head(b, 17);
    WEIGHTS(b, "w2", 4, 12, 1, 1);
    Onnx__NodeProto *n = builder_node(b, "DepthToSpace", "a", "d");
    builder_attr_int(b, n, "blocksize", 2);
    n = builder_node(b, "SpaceToDepth", "d", "e");
    builder_attr_int(b, n, "blocksize", 2);
    builder_node(b, "Conv", "e w2", "y");
    OUT(b, -1, 4, SIZE, SIZE);
}

static void resized_and_padded(struct builder *b) {
    const float scales[] = {1, 1, 2, 2};
    const int64_t four = 4;
    head(b, 17);
    INTS(b, "pads", 0, 0, 1, 1, 0, 0, 1, 1);
    builder_floats(b, "scales", &four, 1, scales);
    INTS(b, "sizes", 3, 12, SIZE, SIZE);
    builder_node(b, "Pad", "a pads", "p");
    builder_node(b, "Resize", "p - scales", "q");
    INTS(b, "from", 0, 0);
    INTS(b, "to", SIZE, SIZE);
    INTS(b, "axes", 2, 3);
    builder_node(b, "Slice", "q from to axes", "r");
    tail(b, "r");
}

static void expanded(struct builder *b) {
    head(b, 17);
    INTS(b, "shape", 1, 12, SIZE, SIZE);
    WEIGHTS(b, "e1", 12, 1, 1);
    builder_node(b, "Expand", "e1 shape", "e");
    builder_node(b, "Max", "a e", "m");
    tail(b, "m");
}

/* x.view(x.size(0), x.size(1), -1): the channels' number is read where the model runs. */
static void shape_computed(struct builder *b) {
    head(b, 17);
    scalar(b, "zero", 0);
    scalar(b, "one", 1);
    INTS(b, "first", 0);
    INTS(b, "rest", -1);
    INTS(b, "side", SIZE, SIZE);
    builder_node(b, "Shape", "a", "s");
    builder_node(b, "Gather", "s zero", "n");
    builder_node(b, "Gather", "s one", "c");
    builder_node(b, "Unsqueeze", "n first", "n1");
    builder_node(b, "Unsqueeze", "c first", "c1");
    builder_attr_int(b, builder_node(b, "Concat", "n1 c1 rest", "flat"), "axis", 0);
    builder_node(b, "Reshape", "a flat", "f");
    builder_node(b, "Relu", "f", "r");
    builder_attr_int(b, builder_node(b, "Concat", "n1 c1 side", "back"), "axis", 0);
    builder_node(b, "Reshape", "r back", "t");
    tail(b, "t");
}

/* The channels' number is a constant inside a shape that is computed. */
static void shape_half_computed(struct builder *b) {
    head(b, 17);
    scalar(b, "zero", 0);
    INTS(b, "first", 0);
    INTS(b, "rest", 12, SIZE * SIZE);
    INTS(b, "whole", 0, 12, SIZE, SIZE);
    builder_node(b, "Shape", "a", "s");
    builder_node(b, "Gather", "s zero", "n");
    builder_node(b, "Unsqueeze", "n first", "n1");
    builder_attr_int(b, builder_node(b, "Concat", "n1 rest", "flat"), "axis", 0);
    builder_node(b, "Reshape", "a flat", "f");
    builder_node(b, "Reshape", "f whole", "t");
    tail(b, "t");
}

static void sequence_in(struct builder *b, int64_t opset) {
    const int64_t in[] = {-1, 6, 10};
    builder_init(b, opset);
    builder_input(b, "x", GRAPH_FLOAT32, in, 3);
}

/* Four heads of three features; grouped queries where `fused` is false: two heads of keys and values. */
static void attention_tail(struct builder *b) {
    INTS(b, "merge", 0, 0, 12);
    WEIGHTS(b, "wo", 12, 10);
    float root = 1.7F;
    builder_floats(b, "root", NULL, 0, &root);
    builder_node(b, "MatMul", "q kt", "scores");
    builder_node(b, "Div", "scores root", "scaled");
    builder_attr_int(b, builder_node(b, "Softmax", "scaled", "p"), "axis", -1);
    builder_node(b, "MatMul", "p v", "context");
    ATTR_INTS(b, builder_node(b, "Transpose", "context", "ct"), "perm", 0, 2, 1, 3);
    builder_node(b, "Reshape", "ct merge", "m");
    builder_node(b, "MatMul", "m wo", "o");
    builder_node(b, "Add", "o x", "y");
    OUT(b, -1, 6, 10);
}

static void attention(struct builder *b) {
    sequence_in(b, 17);
    INTS(b, "heads", 0, 0, 4, 3);
    for (int i = 0; i < 3; i++) {
        char text[3][32];
        static const char part[] = "qkv";
        snprintf(text[0], 32, "w%c", part[i]);
        WEIGHTS(b, text[0], 10, 12);
        snprintf(text[1], 32, "b%c", part[i]);
        WEIGHTS(b, text[1], 12);
        snprintf(text[0], 32, "x w%c", part[i]);
        snprintf(text[1], 32, "m%c", part[i]);
        builder_node(b, "MatMul", text[0], text[1]);
        snprintf(text[0], 32, "m%c b%c", part[i], part[i]);
        snprintf(text[1], 32, "l%c", part[i]);
        builder_node(b, "Add", text[0], text[1]);
        snprintf(text[0], 32, "l%c heads", part[i]);
        snprintf(text[1], 32, "h%c", part[i]);
        builder_node(b, "Reshape", text[0], text[1]);
    }
    ATTR_INTS(b, builder_node(b, "Transpose", "hq", "q"), "perm", 0, 2, 1, 3);
    ATTR_INTS(b, builder_node(b, "Transpose", "hk", "kt"), "perm", 0, 2, 3, 1);
    ATTR_INTS(b, builder_node(b, "Transpose", "hv", "v"), "perm", 0, 2, 1, 3);
    attention_tail(b);
}

/* One matrix for queries, keys and values: [3, heads, features] is the second choice of what to hand on. */
static void attention_fused(struct builder *b) {
    sequence_in(b, 17);
    INTS(b, "parts", 0, 0, 3, 4, 3);
    INTS(b, "axis", 0);
    WEIGHTS(b, "w", 10, 36);
    builder_node(b, "MatMul", "x w", "qkv");
    builder_node(b, "Reshape", "qkv parts", "r");
    ATTR_INTS(b, builder_node(b, "Transpose", "r", "t"), "perm", 2, 0, 3, 1, 4);
    builder_attr_int(b, builder_node(b, "Split", "t", "q1 k1 v1"), "axis", 0);
    builder_node(b, "Squeeze", "q1 axis", "q");
    builder_node(b, "Squeeze", "k1 axis", "k");
    builder_node(b, "Squeeze", "v1 axis", "v");
    ATTR_INTS(b, builder_node(b, "Transpose", "k", "kt"), "perm", 0, 1, 3, 2);
    attention_tail(b);
}

/* Keys and values of two heads serve two heads of queries each. */
static void attention_grouped(struct builder *b) {
    sequence_in(b, 17);
    INTS(b, "heads", 0, 0, 4, 3);
    INTS(b, "pairs", 0, 0, 2, 3);
    INTS(b, "second", 2);
    INTS(b, "twice", 1, 1, 2, 1, 1);
    INTS(b, "all", 0, 4, 6, 3);
    WEIGHTS(b, "wq", 10, 12);
    WEIGHTS(b, "wk", 10, 6);
    WEIGHTS(b, "wv", 10, 6);
    builder_node(b, "MatMul", "x wq", "mq");
    builder_node(b, "MatMul", "x wk", "mk");
    builder_node(b, "MatMul", "x wv", "mv");
    builder_node(b, "Reshape", "mq heads", "hq");
    builder_node(b, "Reshape", "mk pairs", "hk");
    builder_node(b, "Reshape", "mv pairs", "hv");
    ATTR_INTS(b, builder_node(b, "Transpose", "hq", "q"), "perm", 0, 2, 1, 3);
    ATTR_INTS(b, builder_node(b, "Transpose", "hk", "tk"), "perm", 0, 2, 1, 3);
    ATTR_INTS(b, builder_node(b, "Transpose", "hv", "tv"), "perm", 0, 2, 1, 3);
    builder_node(b, "Unsqueeze", "tk second", "uk");
    builder_node(b, "Unsqueeze", "tv second", "uv");
    builder_node(b, "Tile", "uk twice", "wk2");
    builder_node(b, "Tile", "uv twice", "wv2");
    builder_node(b, "Reshape", "wk2 all", "k");
    builder_node(b, "Reshape", "wv2 all", "v");
    ATTR_INTS(b, builder_node(b, "Transpose", "k", "kt"), "perm", 0, 1, 3, 2);
    attention_tail(b);
}

/* Gated hidden units, over positions instead of features. */
static void gated_mixer(struct builder *b) {
    sequence_in(b, 17);
    WEIGHTS(b, "wg", 6, 16);
    WEIGHTS(b, "wu", 6, 16);
    WEIGHTS(b, "wd", 16, 6);
    WEIGHTS(b, "scale", 10);
    WEIGHTS(b, "shift", 10);
    builder_node(b, "LayerNormalization", "x scale shift", "n");
    ATTR_INTS(b, builder_node(b, "Transpose", "n", "t"), "perm", 0, 2, 1);
    builder_node(b, "MatMul", "t wg", "g");
    builder_node(b, "Sigmoid", "g", "gs");
    builder_node(b, "Mul", "g gs", "silu");
    builder_node(b, "MatMul", "t wu", "u");
    builder_node(b, "Mul", "silu u", "h");
    builder_node(b, "MatMul", "h wd", "d");
    ATTR_INTS(b, builder_node(b, "Transpose", "d", "e"), "perm", 0, 2, 1);
    builder_node(b, "Add", "e x", "y");
    OUT(b, -1, 6, 10);
}

/* LayerNormalization over one axis while channels lie on another. */
static void norm_beside(struct builder *b) {
    head(b, 17);
    WEIGHTS(b, "scale", SIZE);
    WEIGHTS(b, "shift", SIZE);
    builder_node(b, "LayerNormalization", "a scale shift", "n");
    builder_attr_int(b, builder_node(b, "Softmax", "n", "s"), "axis", 2);
    tail(b, "s");
}

static void embedding(struct builder *b) {
    const int64_t in[] = {-1, 6};
    builder_init(b, 17);
    builder_input(b, "ids", GRAPH_INT64, in, 2);
    WEIGHTS(b, "table", 20, 9);
    WEIGHTS(b, "up", 9, 11);
    builder_node(b, "Gather", "table ids", "e"); /* a factorised embedding: its inner width can go */
    builder_node(b, "MatMul", "e up", "y");
    OUT(b, -1, 6, 11);
}

/* The channels stay, as they are picked by index; what is picked can be less. */
static void gather_of_channels(struct builder *b) {
    head(b, 17);
    INTS(b, "order", 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    builder_attr_int(b, builder_node(b, "Gather", "a order", "s"), "axis", 1);
    tail(b, "s");
}

struct graph_case {
    const char *name;
    void (*build)(struct builder *b);
    size_t units; /* that can be pruned */
    bool neutral; /* zeros stay zeros on the way: zero weights make channels that are not missed */
};

static const struct graph_case pruned[] = {
    {"residual and concat", residual_and_concat, 18, true},
    {"shuffle", shuffle, 4, true},
    {"grouped", grouped, 8, true},
    {"depthwise", depthwise, 12, true},
    {"transposed", transposed, 18, true},
    {"transposed, grouped", transposed_grouped, 7, true},
    {"split in two", split_in_two, 12, true},
    {"split in equal parts, opset 11", split_equal_old, 6, true},
    {"split by num_outputs", split_num_outputs, 8, true},
    {"sliced", sliced, 12, true},
    {"norms", norms, 12, true},
    {"group norm, as a pattern", group_norm, 4, false},
    {"group norm, as an operator", group_norm_op, 4, true},
    {"pools and dense", pools_and_dense, 22, true},
    {"mean over pixels", mean_over_pixels, 12, true},
    {"squeeze and excitation", squeeze_excite, 16, true},
    {"blocks of pixels", blocks_of_pixels, 3, true},
    {"resized and padded", resized_and_padded, 12, true},
    {"expanded", expanded, 12, false},
    {"shape computed", shape_computed, 12, true},
    {"shape half computed", shape_half_computed, 12, true},
    {"attention", attention, 4, true},
    {"attention, fused", attention_fused, 4, true},
    {"attention, grouped queries", attention_grouped, 2, true},
    {"gated mixer", gated_mixer, 16, true},
    {"norm beside", norm_beside, 12, false},
    {"embedding", embedding, 9, true},
    {"gather of channels", gather_of_channels, 12, false},
};

static struct graph *make_case(const void *user) {
    const struct graph_case *c = user;
    struct builder b;
    c->build(&b);
    struct graph *g = builder_graph(&b);
    builder_free(&b);
    return g;
}

static void removing_zero_channels_changes_nothing(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(pruned) / sizeof(pruned[0]); i++) {
        struct channel_scene s;
        scene_open(&s, make_case(&pruned[i]));
        if (s.groups->unit_count != pruned[i].units) {
            fail_msg("%s: %zu units can be pruned, not %zu", pruned[i].name, s.groups->unit_count,
                     pruned[i].units);
        }
        scene_close(&s);
        prove_exact(make_case, &pruned[i], pruned[i].name, 3, pruned[i].neutral);
    }
}

/* --- graphs that cannot --- */

static void softmax_over_channels(struct builder *b) {
    head(b, 17);
    builder_attr_int(b, builder_node(b, "Softmax", "a", "s"), "axis", 1);
    tail(b, "s");
}

static void softmax_old(struct builder *b) {
    head(b, 11);
    builder_node(b, "Softmax", "a", "s"); /* all axes from 1 on are one */
    tail(b, "s");
}

static void mean_over_channels(struct builder *b) {
    head(b, 17);
    Onnx__NodeProto *n = builder_node(b, "ReduceMean", "a", "m");
    ATTR_INTS(b, n, "axes", 1);
    builder_node(b, "Sub", "a m", "s");
    tail(b, "s");
}

static void channels_are_output(struct builder *b) {
    head(b, 17);
    builder_output(b, "a", GRAPH_FLOAT32, (int64_t[]){-1, 12, SIZE, SIZE}, 4);
    tail(b, "a");
}

static void strided_slice(struct builder *b) {
    head(b, 17);
    INTS(b, "from", 0);
    INTS(b, "to", 12);
    INTS(b, "axis", 1);
    INTS(b, "step", 2);
    WEIGHTS(b, "w2", 4, 6, 3, 3);
    builder_node(b, "Slice", "a from to axis step", "s");
    conv3(b, "s w2", "y");
    OUT(b, -1, 4, SIZE, SIZE);
}

/* The number of channels is used as a number. */
static void size_computed_with(struct builder *b) {
    head(b, 17);
    scalar(b, "one", 1);
    builder_node(b, "Shape", "a", "s");
    builder_node(b, "Gather", "s one", "c");
    builder_attr_int(b, builder_node(b, "Cast", "c", "f"), "to", GRAPH_FLOAT32);
    builder_node(b, "Div", "a f", "d");
    tail(b, "d");
}

static void two_computed_values(struct builder *b) {
    head(b, 17);
    INTS(b, "flat", 0, 12, -1);
    WEIGHTS(b, "w2", SIZE * SIZE, 5);
    builder_node(b, "Reshape", "a flat", "f");
    ATTR_INTS(b, builder_node(b, "Transpose", "f", "t"), "perm", 0, 2, 1);
    builder_node(b, "MatMul", "t f", "gram");
    builder_node(b, "MatMul", "gram w2", "y");
    OUT(b, -1, SIZE * SIZE, 5);
}

static void unknown_operator(struct builder *b) {
    head(b, 17);
    builder_attr_int(b, builder_node(b, "LpNormalization", "a", "s"), "axis", 1);
    tail(b, "s");
}

static void padded_channels(struct builder *b) {
    head(b, 17);
    INTS(b, "pads", 0, 1, 0, 0, 0, 1, 0, 0);
    WEIGHTS(b, "w2", 4, 14, 3, 3);
    builder_node(b, "Pad", "a pads", "s");
    conv3(b, "s w2", "y");
    OUT(b, -1, 4, SIZE, SIZE);
}

static void layer_norm(struct builder *b) {
    sequence_in(b, 17);
    WEIGHTS(b, "w1", 10, 12);
    WEIGHTS(b, "scale", 12);
    WEIGHTS(b, "shift", 12);
    WEIGHTS(b, "w2", 12, 10);
    builder_node(b, "MatMul", "x w1", "a");
    builder_node(b, "LayerNormalization", "a scale shift", "n");
    builder_node(b, "MatMul", "n w2", "y");
    OUT(b, -1, 6, 10);
}

static const struct {
    const char *name;
    void (*build)(struct builder *b);
    const char *label, *node, *why;
} refused[] = {
    {"softmax over channels", softmax_over_channels, "n0", "Softmax n1", "zero is not neutral"},
    {"softmax of opset 11", softmax_old, "n0", "Softmax n1", "zero is not neutral"},
    {"mean over channels", mean_over_channels, "n0", "ReduceMean n1", "zero is not neutral"},
    {"channels are output", channels_are_output, "n0", NULL, "output of the model"},
    {"strided slice", strided_slice, "n0", "Slice n1", "every so many"},
    {"size computed with", size_computed_with, "n0", "Div n4", "length of this axis"},
    {"two computed values", two_computed_values, "n0", "MatMul n3", "two computed values"},
    {"unknown operator", unknown_operator, "n0", "LpNormalization n1", "cannot be pruned through"},
    {"padded channels", padded_channels, "n0", "Pad n1", "pads this axis"},
    {"layer norm", layer_norm, "n0", "LayerNormalization n1", "normalises over these channels"},
};

static void what_zeros_would_change_is_refused_by_name(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        struct builder b;
        struct channel_scene s;
        refused[i].build(&b);
        scene_open(&s, builder_graph(&b));
        builder_free(&b);
        if (s.groups->unit_count) {
            fail_msg("%s: %zu units can be pruned", refused[i].name, s.groups->unit_count);
        }
        if (!scene_refuses(&s, refused[i].label, refused[i].node, refused[i].why)) {
            fail_msg("%s: \"%s\" is said of %s", refused[i].name, s.groups->refusals[0].why,
                     s.groups->refusals[0].node ? s.groups->refusals[0].node : "nothing");
        }
        scene_close(&s);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(removing_zero_channels_changes_nothing),
        cmocka_unit_test(what_zeros_would_change_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
