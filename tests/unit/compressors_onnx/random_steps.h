/* random_steps.h -- the steps of a random graph that compute: convolutions, products, norms, sums, gates.
 * Each returns false, with nothing done, where the value does not suit it. */
#pragma once

#include "tests/unit/compressors_onnx/random_graph.h"

/* --- convolutions: axis 1 has the channels, those after it are slid over --- */

struct random_conv {
    int64_t group, out, kernel, stride;
};

static inline bool random_convolve(struct random_graph *r, const struct random_value *x,
                                   const struct random_conv *how) {
    int64_t dims[RANDOM_RANK] = {how->out, x->dims[1] / how->group, how->kernel, how->kernel};
    int64_t strides[] = {how->stride, how->stride};
    int64_t pads[4] = {0};
    const size_t spatial = x->rank - 2;
    for (size_t i = 0; i < 2 * spatial; i++) {
        pads[i] = how->kernel / 2;
    }
    const char *w = random_weights(r, x->rank, dims, 1, 0), *name = random_name(r);
    const char *bias = random_chance(r, 50) ? random_floats(r, 1, &how->out, 0, 0.3F) : "-";
    Onnx__NodeProto *n = random_node(r, "Conv", name, *bias == '-' ? "%s %s" : "%s %s %s", x->name, w, bias);
    builder_attr_ints(&r->b, n, "pads", pads, 2 * spatial);
    builder_attr_ints(&r->b, n, "strides", strides, spatial);
    builder_attr_int(&r->b, n, "group", how->group);
    struct random_value *y = random_offer(r, name, x);
    y->dims[1] = how->out;
    y->channels = 1; /* axes that are slid over stay */
    for (size_t i = 2; i < x->rank; i++) {
        y->dims[i] = (x->dims[i] + 2 * pads[0] - how->kernel) / how->stride + 1;
    }
    return true;
}

static inline struct random_conv random_kernel(struct random_graph *r, const struct random_value *x) {
    int64_t stride = random_chance(r, 25) && x->dims[x->rank - 1] >= 4 ? 2 : 1;
    return (struct random_conv){1, random_width(r), random_chance(r, 50) ? 1 : 3, stride};
}

static inline bool step_conv(struct random_graph *r, const struct random_value *x) {
    struct random_conv how = random_kernel(r, x);
    return x->rank >= 3 && random_suits(r, x, 1) && random_convolve(r, x, &how);
}

static inline bool step_conv_grouped(struct random_graph *r, const struct random_value *x) {
    if (x->rank < 3 || !random_suits(r, x, 1)) {
        return false;
    }
    struct random_conv how = random_kernel(r, x);
    how.group = random_divisor(r, x->dims[1], x->dims[1] - 1);
    how.out = how.group * (1 + random_below(r, 4));
    return how.group > 1 && random_convolve(r, x, &how);
}

static inline bool step_conv_depthwise(struct random_graph *r, const struct random_value *x) {
    if (x->rank < 3 || x->dims[1] < 2 || x->dims[1] > 16 || !random_suits(r, x, 1)) {
        return false;
    }
    struct random_conv how = random_kernel(r, x);
    how.group = x->dims[1];
    how.out = how.group * (random_chance(r, 30) ? 2 : 1);
    return random_convolve(r, x, &how);
}

static inline bool step_conv_transpose(struct random_graph *r, const struct random_value *x) {
    if (x->rank != 4 || random_elements(x) > RANDOM_ELEMENTS_MAX / 8 || !random_suits(r, x, 1)) {
        return false;
    }
    int64_t group = random_chance(r, 50)   ? 1
                    : random_chance(r, 50) ? x->dims[1]
                                           : random_divisor(r, x->dims[1], x->dims[1]);
    int64_t part = group == x->dims[1] ? 1 + random_below(r, 2) : 2 + random_below(r, 4);
    int64_t dims[] = {x->dims[1], part, 2, 2}, out = group * part;
    const char *w = random_weights(r, 4, dims, 0, 1), *name = random_name(r);
    const char *bias = random_floats(r, 1, &out, 0, 0.3F);
    Onnx__NodeProto *n = random_node(r, "ConvTranspose", name, "%s %s %s", x->name, w, bias);
    builder_attr_ints(&r->b, n, "strides", (int64_t[]){2, 2}, 2);
    builder_attr_int(&r->b, n, "group", group);
    r->neutral = r->neutral && group == 1; /* the axis that is summed over also makes the groups */
    struct random_value *y = random_offer(r, name, x);
    y->dims[1] = out;
    y->dims[2] *= 2;
    y->dims[3] *= 2;
    return true;
}

/* --- matrix products --- */

/* `from`, which is x or has its rows, times weights over the last axis, with a bias added or not. A bias
 * makes numbers of zeros where rows are channels. */
static inline const char *random_project(struct random_graph *r, const struct random_value *x,
                                         const char *from, int64_t in, int64_t out) {
    const char *w = random_weights(r, 2, (int64_t[]){in, out}, 0, 1);
    const char *y = RANDOM_OP(r, "MatMul", "%s %s", from, w);
    if (random_chance(r, 50)) {
        return y;
    }
    const char *bias = random_floats(r, 1, &out, 0, 0.3F);
    r->neutral = r->neutral && random_only_channels(x, x->rank - 1);
    return random_chance(r, 50) ? RANDOM_OP(r, "Add", "%s %s", y, bias)
                                : RANDOM_OP(r, "Add", "%s %s", bias, y);
}

static inline bool step_matmul(struct random_graph *r, const struct random_value *x) {
    if (!random_suits(r, x, x->rank - 1)) {
        return false;
    }
    int64_t out = random_width(r);
    const char *y = random_project(r, x, x->name, x->dims[x->rank - 1], out);
    struct random_value *v = random_offer(r, y, x);
    v->dims[x->rank - 1] = out;
    v->channels = x->channels == x->rank - 1 ? x->channels : 0;
    return true;
}

/* Constant weights times x: sums over the last axis but one. */
static inline bool step_matmul_left(struct random_graph *r, const struct random_value *x) {
    if (x->rank < 3 || !random_suits(r, x, x->rank - 2)) {
        return false;
    }
    int64_t out = random_width(r);
    const char *w = random_weights(r, 2, (int64_t[]){out, x->dims[x->rank - 2]}, 1, 0);
    struct random_value *y = random_offer(r, RANDOM_OP(r, "MatMul", "%s %s", w, x->name), x);
    y->dims[x->rank - 2] = out;
    y->channels = x->channels == x->rank - 2 ? x->channels : 0;
    return true;
}

/* Both operands are computed. */
static inline bool step_matmul_computed(struct random_graph *r, const struct random_value *x) {
    if (x->rank != 3) {
        return false;
    }
    const char *t = random_transpose(r, x->name, 3, (int64_t[]){0, 2, 1});
    random_offer(r, RANDOM_OP(r, "MatMul", "%s %s", x->name, t), x)->dims[2] = x->dims[1];
    return true;
}

static inline bool random_gemm(struct random_graph *r, const struct random_value *x, int64_t trans_a,
                               int64_t trans_b) {
    if (x->rank != 2) {
        return false;
    }
    int64_t in = x->dims[1], out = random_width(r), bias_dims[] = {1, out};
    const char *w = trans_b ? random_weights(r, 2, (int64_t[]){out, in}, 1, 0)
                            : random_weights(r, 2, (int64_t[]){in, out}, 0, 1);
    const char *a = trans_a ? random_transpose(r, x->name, 2, (int64_t[]){1, 0}) : x->name;
    size_t from = random_below(r, 2); /* [1, out] or [out] */
    const char *bias = random_floats(r, 2 - from, bias_dims + from, 0, 0.3F), *name = random_name(r);
    bool without = r->opset >= 11 && random_chance(r, 30);
    Onnx__NodeProto *n = random_node(r, "Gemm", name, without ? "%s %s" : "%s %s %s", a, w, bias);
    builder_attr_int(&r->b, n, "transA", trans_a);
    builder_attr_int(&r->b, n, "transB", trans_b);
    if (random_chance(r, 30)) {
        builder_attr_float(&r->b, n, "alpha", 0.75F);
        builder_attr_float(&r->b, n, "beta", 1.5F);
    }
    random_offer(r, name, x)->dims[1] = out;
    return true;
}

static inline bool step_gemm(struct random_graph *r, const struct random_value *x) {
    return random_gemm(r, x, 0, 0);
}

static inline bool step_gemm_trans_b(struct random_graph *r, const struct random_value *x) {
    return random_gemm(r, x, 0, 1);
}

static inline bool step_gemm_trans_a(struct random_graph *r, const struct random_value *x) {
    return random_gemm(r, x, 1, random_below(r, 2));
}

/* Weights on the left, the batch last: W x^T, turned back. */
static inline bool step_gemm_left(struct random_graph *r, const struct random_value *x) {
    if (x->rank != 2) {
        return false;
    }
    int64_t out = random_width(r);
    const char *w = random_weights(r, 2, (int64_t[]){out, x->dims[1]}, 1, 0);
    const char *bias = random_floats(r, 2, (int64_t[]){out, 1}, 0, 0.3F);
    Onnx__NodeProto *n = random_node(r, "Gemm", random_name(r), "%s %s %s", w, x->name, bias);
    builder_attr_int(&r->b, n, "transB", 1);
    const char *y = random_transpose(r, n->output[0], 2, (int64_t[]){1, 0});
    random_offer(r, y, x)->dims[1] = out;
    return true;
}

/* As exporters write a linear layer on sequences: rows of all examples are one axis meanwhile. */
static inline bool step_gemm_rows(struct random_graph *r, const struct random_value *x) {
    if (x->rank != 3 || !random_suits(r, x, 2)) {
        return false;
    }
    int64_t in = x->dims[2], out = random_width(r);
    const char *rows = random_reshape(r, x->name, 2, (int64_t[]){-1, in});
    const char *w = random_weights(r, 2, (int64_t[]){out, in}, 1, 0);
    const char *bias = random_floats(r, 1, &out, 0, 0.3F);
    Onnx__NodeProto *n = random_node(r, "Gemm", random_name(r), "%s %s %s", rows, w, bias);
    builder_attr_int(&r->b, n, "transB", 1);
    int64_t back[] = {-1, x->dims[1], out};
    struct random_value *y = random_offer(r, random_reshape(r, n->output[0], 3, back), x);
    r->neutral = r->neutral && random_only_channels(x, 2);
    y->dims[2] = out;
    y->channels = random_channels_of_both(x->channels, 2);
    return true;
}

/* A matrix of its own for each index of the axis before (heads, experts). */
static inline bool step_matmul_stacked(struct random_graph *r, const struct random_value *x) {
    if (x->rank != 4) {
        return false;
    }
    int64_t dims[] = {x->dims[1], x->dims[3], random_width(r)};
    const char *w = random_floats(r, 3, dims, 0, 0.8F);
    struct random_value *y = random_offer(r, RANDOM_OP(r, "MatMul", "%s %s", x->name, w), x);
    y->dims[3] = dims[2];
    y->channels = random_channels_of_both(x->channels, 1);
    r->neutral = false; /* an axis of the weights makes channels there and is summed over here */
    return true;
}

/* Weights that are computed from constants. */
static inline bool step_conv_scaled(struct random_graph *r, const struct random_value *x) {
    if (x->rank != 4 || !random_suits(r, x, 1)) {
        return false;
    }
    int64_t out = random_width(r);
    const char *w = random_weights(r, 4, (int64_t[]){out, x->dims[1], 1, 1}, 1, 0);
    const char *scale = random_floats(r, 4, (int64_t[]){out, 1, 1, 1}, 1, 0.3F);
    const char *scaled = RANDOM_OP(r, "Mul", "%s %s", w, scale);
    struct random_value *y = random_offer(r, RANDOM_OP(r, "Conv", "%s %s", x->name, scaled), x);
    y->dims[1] = out;
    y->channels = 1;
    return true;
}

/* The same matrix there and back. */
static inline bool step_gemm_tied(struct random_graph *r, const struct random_value *x) {
    if (x->rank != 2) {
        return false;
    }
    const char *w = random_weights(r, 2, (int64_t[]){x->dims[1], 4 + random_below(r, 6)}, 0, 1);
    const char *zero = random_floats(r, 1, (int64_t[]){1}, 0, 0);
    const char *h = RANDOM_OP(r, "Gemm", "%s %s %s", x->name, w, zero);
    const char *a = RANDOM_OP(r, "Tanh", "%s", h), *name = random_name(r);
    builder_attr_int(&r->b, random_node(r, "Gemm", name, "%s %s %s", a, w, zero), "transB", 1);
    r->neutral = false; /* one axis of the weights makes channels and is summed over */
    random_offer(r, name, x);
    return true;
}

/* --- norms --- */

static inline bool step_batch_norm(struct random_graph *r, const struct random_value *x) {
    const int64_t c = x->dims[1];
    const char *scale = random_floats(r, 1, &c, 1, 0.5F), *bias = random_floats(r, 1, &c, 0, 0.3F);
    const char *mean = random_floats(r, 1, &c, 0, 0.3F), *var = random_floats(r, 1, &c, 1, 0.5F);
    r->neutral = r->neutral && random_only_channels(x, 1);
    random_offer(r, RANDOM_OP(r, "BatchNormalization", "%s %s %s %s %s", x->name, scale, bias, mean, var), x);
    return true;
}

static inline bool step_instance_norm(struct random_graph *r, const struct random_value *x) {
    const int64_t c = x->dims[1];
    if (x->rank < 3 || random_elements(x) < 8 * (size_t)c) {
        return false; /* of a few elements it makes much of little differences */
    }
    const char *scale = random_floats(r, 1, &c, 1, 0.5F), *bias = random_floats(r, 1, &c, 0, 0.3F);
    random_offer(r, RANDOM_OP(r, "InstanceNormalization", "%s %s %s", x->name, scale, bias), x);
    return true;
}

static inline bool step_group_norm(struct random_graph *r, const struct random_value *x) {
    int64_t groups = x->rank == 4 ? random_divisor(r, x->dims[1], x->dims[1]) : 1, c = x->dims[1];
    if (groups == 1 || random_elements(x) < 8 * (size_t)groups) {
        return false;
    }
    if (r->opset >= 18 && random_chance(r, 50)) {
        const int64_t *n = r->opset >= 21 ? &c : &groups;
        const char *scale = random_floats(r, 1, n, 1, 0.5F), *bias = random_floats(r, 1, n, 0, 0.3F);
        Onnx__NodeProto *node =
            random_node(r, "GroupNormalization", random_name(r), "%s %s %s", x->name, scale, bias);
        builder_attr_int(&r->b, node, "num_groups", groups);
        random_offer(r, node->output[0], x);
        return true;
    }
    const char *scale = random_floats(r, 1, &groups, 1, 0), *bias = random_floats(r, 1, &groups, 0, 0);
    const char *apart = random_reshape(r, x->name, 3, (int64_t[]){0, groups, -1});
    const char *norm = RANDOM_OP(r, "InstanceNormalization", "%s %s %s", apart, scale, bias);
    const char *whole = random_reshape(r, norm, 4, (int64_t[]){0, c, x->dims[2], x->dims[3]});
    random_offer(r, RANDOM_OP(r, "Mul", "%s %s", whole, random_vector(r, x, 1, 1, 0.5F)), x);
    return true;
}

static inline bool step_layer_norm(struct random_graph *r, const struct random_value *x) {
    const int64_t last = x->dims[x->rank - 1];
    if (r->opset < 17 || last < 3) {
        return false;
    }
    const char *scale = random_floats(r, 1, &last, 1, 0.5F), *bias = random_floats(r, 1, &last, 0, 0.3F);
    random_offer(r, RANDOM_OP(r, "LayerNormalization", "%s %s %s", x->name, scale, bias), x);
    r->neutral = false; /* its bias is added to all channels that lie on other axes */
    return true;
}

static inline bool step_softmax(struct random_graph *r, const struct random_value *x) {
    Onnx__NodeProto *n = random_node(r, "Softmax", random_name(r), "%s", x->name);
    builder_attr_int(&r->b, n, "axis", (int64_t)x->rank - 1);
    random_offer(r, n->output[0], x);
    r->neutral = false;
    return true;
}

/* --- element by element --- */

static inline bool step_activation(struct random_graph *r, const struct random_value *x) {
    static const struct {
        const char *op_type;
        int64_t opset;
    } ops[] = {{"Relu", 1}, {"LeakyRelu", 1}, {"Tanh", 1},  {"HardSwish", 14}, {"Abs", 1},  {"Neg", 1},
               {"Elu", 1},  {"Erf", 9},       {"Gelu", 20}, {"Softsign", 1},   {"Selu", 1}, {"Identity", 1},
               {"Sin", 7},  {"Celu", 12},     {"Mish", 18}, {"Dropout", 7}};
    size_t i = random_below(r, sizeof(ops) / sizeof(ops[0]));
    if (r->opset < ops[i].opset) {
        return false;
    }
    random_offer(r, RANDOM_OP(r, ops[i].op_type, "%s", x->name), x);
    return true;
}

static inline bool step_activation_of_no_zero(struct random_graph *r, const struct random_value *x) {
    static const char *const ops[] = {"Sigmoid", "HardSigmoid", "Softplus", "Cos"};
    random_offer(r, RANDOM_OP(r, ops[random_below(r, 4)], "%s", x->name), x);
    r->neutral = false;
    return true;
}

static inline bool step_prelu(struct random_graph *r, const struct random_value *x) {
    random_offer(r, RANDOM_OP(r, "PRelu", "%s %s", x->name, random_vector(r, x, 1, 0.2F, 0.2F)), x);
    return true;
}

static inline bool step_clip(struct random_graph *r, const struct random_value *x) {
    if (r->opset < 11) {
        return false;
    }
    const char *low = random_floats(r, 0, NULL, -1, 0), *high = random_floats(r, 0, NULL, 1, 0);
    random_offer(r, RANDOM_OP(r, "Clip", "%s %s %s", x->name, low, high), x);
    return true;
}

static inline bool step_cast(struct random_graph *r, const struct random_value *x) {
    Onnx__NodeProto *n = random_node(r, "Cast", random_name(r), "%s", x->name);
    builder_attr_int(&r->b, n, "to", GRAPH_FLOAT64);
    n = random_node(r, "Cast", random_name(r), "%s", n->output[0]);
    builder_attr_int(&r->b, n, "to", GRAPH_FLOAT32);
    random_offer(r, n->output[0], x);
    return true;
}

static inline bool step_binary(struct random_graph *r, const struct random_value *x) {
    static const char *const ops[] = {"Add", "Sub", "Mul", "Max", "Min", "Sum", "Add"};
    const struct random_value *other = random_peer(r, x, 0);
    if (!other) {
        return false;
    }
    const char *op_type = ops[random_below(r, sizeof(ops) / sizeof(ops[0]))];
    random_offer(r, RANDOM_OP(r, op_type, "%s %s", x->name, other->name), x)->channels =
        random_channels_of_both(x->channels, other->channels);
    return true;
}

static inline bool step_where(struct random_graph *r, const struct random_value *x) {
    const struct random_value *other = random_peer(r, x, 0);
    uint8_t mask[RANDOM_ELEMENTS_MAX];
    const int64_t dims[] = {x->dims[1], 1, 1};
    if (!other || x->rank != 4) {
        return false;
    }
    for (int64_t i = 0; i < dims[0]; i++) {
        mask[i] = (uint8_t)random_below(r, 2);
    }
    const char *name = random_name(r);
    builder_tensor(&r->b, name, GRAPH_BOOL, dims, 3, mask, (size_t)dims[0]);
    random_offer(r, RANDOM_OP(r, "Where", "%s %s %s", name, x->name, other->name), x)->channels =
        random_channels_of_both(x->channels, other->channels);
    return true;
}

static inline bool step_vector(struct random_graph *r, const struct random_value *x) {
    static const char *const ops[] = {"Mul", "Add", "Mul", "Sub", "Div"};
    size_t axis = 1 + random_below(r, (uint32_t)x->rank - 1), op = random_below(r, 5);
    const char *v = random_vector(r, x, axis, 1, 0.5F);
    const char *y = op == 0 && random_chance(r, 50) ? RANDOM_OP(r, "Mul", "%s %s", v, x->name)
                                                    : RANDOM_OP(r, ops[op], "%s %s", x->name, v);
    random_offer(r, y, x);
    r->neutral = r->neutral && op != 4 && (op % 2 == 0 || random_only_channels(x, axis));
    return true;
}

/* One vector for two values: their channels go together. */
static inline bool step_vector_shared(struct random_graph *r, const struct random_value *x) {
    const struct random_value *other = random_peer(r, x, 0);
    if (!other) {
        return false;
    }
    size_t axis = x->channels ? x->channels : 1;
    const char *v = random_vector(r, x, axis, 1, 0.5F);
    random_offer(r, RANDOM_OP(r, "Mul", "%s %s", x->name, v), x);
    random_offer(r, RANDOM_OP(r, "Mul", "%s %s", other->name, v), other);
    return true;
}

/* [N, C, H, W] with [N, 1, H, W]. */
static inline bool step_broadcast(struct random_graph *r, const struct random_value *x) {
    if (x->rank != 4) {
        return false;
    }
    const char *w = random_weights(r, 4, (int64_t[]){1, x->dims[1], 1, 1}, 1, 0);
    const char *one = RANDOM_OP(r, "Conv", "%s %s", x->name, w);
    bool add = random_chance(r, 50);
    random_offer(r, RANDOM_OP(r, add ? "Add" : "Mul", "%s %s", x->name, one), x);
    r->neutral = r->neutral && !add;
    return true;
}

/* --- blocks --- */

/* x plus what a layer makes of it. */
static inline bool step_residual(struct random_graph *r, const struct random_value *x) {
    const char *h;
    size_t made = x->rank - 1;
    if (x->rank == 4 && x->dims[1] <= 16) {
        int64_t hidden = random_width(r);
        const char *w = random_weights(r, 4, (int64_t[]){hidden, x->dims[1], 1, 1}, 1, 0);
        const char *back = random_weights(r, 4, (int64_t[]){x->dims[1], hidden, 1, 1}, 1, 0);
        const char *a = RANDOM_OP(r, "Relu", "%s", RANDOM_OP(r, "Conv", "%s %s", x->name, w));
        h = RANDOM_OP(r, "Conv", "%s %s", a, back);
        made = 1;
    } else {
        int64_t hidden = random_width(r), last = x->dims[x->rank - 1];
        const char *a = RANDOM_OP(r, "Tanh", "%s", random_project(r, x, x->name, last, hidden));
        h = random_project(r, x, a, hidden, last);
    }
    random_offer(r, RANDOM_OP(r, "Add", "%s %s", h, x->name), x)->channels =
        random_channels_of_both(x->channels, made);
    return true;
}

static inline bool step_squeeze_excite(struct random_graph *r, const struct random_value *x) {
    if (x->rank != 4) {
        return false;
    }
    int64_t c = x->dims[1], few = 2 + random_below(r, 4);
    const char *w = random_weights(r, 4, (int64_t[]){few, c, 1, 1}, 1, 0);
    const char *back = random_weights(r, 4, (int64_t[]){c, few, 1, 1}, 1, 0);
    const char *mean = RANDOM_OP(r, "GlobalAveragePool", "%s", x->name);
    const char *h = RANDOM_OP(r, "Relu", "%s", RANDOM_OP(r, "Conv", "%s %s", mean, w));
    const char *gate = RANDOM_OP(r, "Sigmoid", "%s", RANDOM_OP(r, "Conv", "%s %s", h, back));
    random_offer(r, RANDOM_OP(r, "Mul", "%s %s", x->name, gate), x);
    return true;
}

static inline bool step_gated(struct random_graph *r, const struct random_value *x) {
    if (!random_suits(r, x, x->rank - 1)) {
        return false;
    }
    int64_t in = x->dims[x->rank - 1], hidden = random_width(r);
    const char *g = random_project(r, x, x->name, in, hidden), *u = random_project(r, x, x->name, in, hidden);
    const char *silu = RANDOM_OP(r, "Mul", "%s %s", g, RANDOM_OP(r, "Sigmoid", "%s", g));
    random_offer(r, random_project(r, x, RANDOM_OP(r, "Mul", "%s %s", silu, u), hidden, in), x)->channels =
        random_channels_of_both(x->channels, x->rank - 1);
    return true;
}

/* Queries, keys and values of h heads of d features from separate products: [N, heads, S, d]; keys and values
 * have fewer heads where `pairs` is more than 1, and each is repeated. */
static inline const char *random_heads(struct random_graph *r, const struct random_value *x, int64_t heads,
                                       int64_t d, int64_t pairs, bool keys) {
    int64_t s = x->dims[1], few = heads / pairs;
    const char *y = random_project(r, x, x->name, x->dims[2], few * d);
    y = random_reshape(r, y, 4, (int64_t[]){0, 0, few, d});
    y = random_transpose(r, y, 4, keys && pairs == 1 ? (int64_t[]){0, 2, 3, 1} : (int64_t[]){0, 2, 1, 3});
    if (pairs > 1) {
        Onnx__NodeProto *n;
        y = random_axes_op(r, "Unsqueeze", y, 13, 1, (int64_t[]){2}, &n);
        y = random_chance(r, 50)
                ? RANDOM_OP(r, "Tile", "%s %s", y, random_ints(r, 5, (int64_t[]){1, 1, pairs, 1, 1}))
                : RANDOM_OP(r, "Expand", "%s %s", y, random_ints(r, 5, (int64_t[]){1, few, pairs, s, d}));
        y = random_reshape(r, y, 4, (int64_t[]){0, heads, s, d});
        y = keys ? random_transpose(r, y, 4, (int64_t[]){0, 1, 3, 2}) : y;
    }
    return y;
}

/* One matrix for all three. */
static inline void random_heads_fused(struct random_graph *r, const struct random_value *x, int64_t heads,
                                      int64_t d, const char *parts[3]) {
    const char *y = random_project(r, x, x->name, x->dims[2], 3 * heads * d);
    y = random_reshape(r, y, 5, (int64_t[]){0, 0, 3, heads, d});
    y = random_transpose(r, y, 5, (int64_t[]){2, 0, 3, 1, 4});
    for (int64_t i = 0; i < 3; i++) {
        Onnx__NodeProto *n = random_node(r, "Gather", random_name(r), "%s %s", y, random_scalar(r, i));
        builder_attr_int(&r->b, n, "axis", 0);
        parts[i] = n->output[0];
    }
    parts[1] = random_transpose(r, parts[1], 4, (int64_t[]){0, 1, 3, 2});
}

/* Softmax over the keys, times the values, heads put together, and a product. */
static inline const char *random_attend(struct random_graph *r, const struct random_value *x, int64_t width,
                                        const char *const parts[3]) {
    const char *scores = RANDOM_OP(r, "MatMul", "%s %s", parts[0], parts[1]);
    const char *scaled = RANDOM_OP(r, "Div", "%s %s", scores, random_floats(r, 0, NULL, 1.5F, 0));
    if (random_chance(r, 50)) {
        const char *mask = random_floats(r, 2, (int64_t[]){x->dims[1], x->dims[1]}, -2, 2);
        scaled = RANDOM_OP(r, "Add", "%s %s", scaled, mask);
    }
    Onnx__NodeProto *n = random_node(r, "Softmax", random_name(r), "%s", scaled);
    builder_attr_int(&r->b, n, "axis", 3);
    const char *context = RANDOM_OP(r, "MatMul", "%s %s", n->output[0], parts[2]);
    const char *t = random_transpose(r, context, 4, (int64_t[]){0, 2, 1, 3});
    const char *m = random_reshape(r, t, 3, (int64_t[]){0, 0, random_chance(r, 50) ? width : -1});
    return random_project(r, x, m, width, x->dims[2]);
}

static inline bool random_attention(struct random_graph *r, const struct random_value *x, bool fused,
                                    int64_t pairs) {
    if (x->rank != 3 || x->dims[1] > 16 || !random_suits(r, x, 2)) {
        return false;
    }
    int64_t heads = pairs * (2 + random_below(r, 2)), d = 1 + random_below(r, 4);
    const char *parts[3];
    if (fused) {
        random_heads_fused(r, x, heads, d, parts);
    } else {
        parts[0] = random_heads(r, x, heads, d, 1, false);
        parts[1] = random_heads(r, x, heads, d, pairs, true);
        parts[2] = random_heads(r, x, heads, d, pairs, false);
    }
    const char *y = random_attend(r, x, heads * d, parts);
    random_offer(r, random_chance(r, 60) ? RANDOM_OP(r, "Add", "%s %s", y, x->name) : y, x)->channels =
        random_channels_of_both(x->channels, 2);
    return true;
}

static inline bool step_attention(struct random_graph *r, const struct random_value *x) {
    return random_attention(r, x, false, 1);
}

static inline bool step_attention_fused(struct random_graph *r, const struct random_value *x) {
    return random_attention(r, x, true, 1);
}

static inline bool step_attention_grouped(struct random_graph *r, const struct random_value *x) {
    return random_attention(r, x, false, 2);
}
