/* Rules of operators that compute (definitions: docs/Operators.md of ONNX, opsets 7 to 23). An operator that
 * is not in the table pins all that it touches. */
#include "compressors/onnx/channel_rules.h"

#include <stdlib.h>
#include <string.h>

/* --- element by element --- */

/* Joins each axis of o with the axis of `out` that it is broadcast to: counted from the last. */
static void link_broadcast(struct coupling *c, const struct operand *o, const struct operand *out,
                           const struct graph_node *n) {
    if (o->rank > out->rank) {
        coupling_pin_node(c, n, "has an output of fewer axes than its input");
        return;
    }
    for (size_t i = 0; i < o->rank; i++) {
        const struct channel_axis *to = &out->axes[out->rank - o->rank + i];
        if (o->axes[i].length != 1 || to->length == 1) {
            coupling_link(c, &o->axes[i], to, n);
        }
    }
}

static void rule_elementwise(struct coupling *c, struct graph_node *n) {
    struct operand out = operand_out(c, n, 0);
    for (size_t i = 0; i < n->proto->n_input; i++) {
        struct operand in = operand_in(c, n, i);
        link_broadcast(c, &in, &out, n);
    }
    for (size_t i = 1; i < n->proto->n_output; i++) { /* Dropout's mask */
        struct operand other = operand_out(c, n, i);
        link_broadcast(c, &other, &out, n);
    }
}

/* Links the leading `count` axes of input 0 and output 0, and pins the others. */
static void link_leading(struct coupling *c, struct graph_node *n, size_t count, const char *why) {
    struct operand in = operand_in(c, n, 0), out = operand_out(c, n, 0);
    for (size_t i = 0; i < in.rank && i < out.rank && i < count; i++) {
        coupling_link(c, &in.axes[i], &out.axes[i], n);
    }
    for (size_t i = count; i < in.rank; i++) {
        coupling_pin(c, &in.axes[i], n, why);
    }
    for (size_t i = count; i < out.rank; i++) {
        coupling_pin(c, &out.axes[i], n, why);
    }
    for (size_t k = 1; k < n->proto->n_output; k++) { /* MaxPool's indices count over all channels */
        struct operand other = operand_out(c, n, k);
        coupling_pin_operand(c, &other, n, why);
        if (other.rank) {
            coupling_pin_operand(c, &out, n, why);
        }
    }
}

static void rule_pool(struct coupling *c, struct graph_node *n) {
    link_leading(c, n, 2, "slides over this axis");
}

/* --- products --- */

/* Axis 0 and the spatial axes of a convolution; `in` and `out` channels are the caller's. */
static void pin_spatial(struct coupling *c, struct graph_node *n, const struct operand *x,
                        const struct operand *w, const struct operand *y) {
    coupling_link(c, &x->axes[0], &y->axes[0], n);
    for (size_t i = 2; i < x->rank; i++) {
        coupling_pin(c, &x->axes[i], n, "slides over this axis");
        coupling_pin(c, &y->axes[i], n, "slides over this axis");
        coupling_pin(c, &w->axes[i], n, "slides over this axis");
    }
}

/* Joins index i of every one of the `groups` parts of axis a. */
static void tie_groups(struct coupling *c, const struct channel_axis *a, uint32_t groups) {
    uint32_t part = a->length / groups;
    for (uint32_t i = part; i < a->length; i++) {
        coupling_join(c, a->first + i, a->first + i % part);
    }
}

/* Channels that are not summed over other channels: input channel i makes outputs i * m .. i * m + m - 1. */
static void link_depthwise(struct coupling *c, const struct channel_axis *x, const struct channel_axis *y) {
    uint32_t m = y->length / x->length;
    for (uint32_t i = 0; i < y->length; i++) {
        coupling_join(c, y->first + i, x->first + i / m);
    }
}

/* Both operands and the output of a convolution fit each other. */
static bool conv_fits(const struct operand *x, const struct operand *w, const struct operand *y,
                      int64_t groups, uint32_t w_in, uint32_t w_out) {
    return x->rank >= 3 && w->rank == x->rank && y->rank == x->rank && groups > 0 &&
           groups <= (int64_t)x->axes[1].length && x->axes[1].length == w_in && y->axes[1].length == w_out &&
           w_in % groups == 0 && w_out % groups == 0;
}

static void link_bias(struct coupling *c, struct graph_node *n, const struct channel_axis *channels) {
    struct operand bias = operand_in(c, n, 2);
    if (bias.value && bias.rank == 1) {
        coupling_link(c, &bias.axes[0], channels, n);
    } else if (bias.value) {
        coupling_pin(c, channels, n, "has a bias of unknown shape");
    }
}

static void rule_conv(struct coupling *c, struct graph_node *n) {
    struct operand x = operand_in(c, n, 0), w = operand_in(c, n, 1), y = operand_out(c, n, 0);
    int64_t groups = graph_attr_int(n, "group", 1);
    if (w.rank < 3 || groups < 1 || groups > (int64_t)UINT16_MAX ||
        !conv_fits(&x, &w, &y, groups, w.axes[1].length * (uint32_t)groups, w.axes[0].length)) {
        coupling_pin_node(c, n, "has shapes that are not understood");
        return;
    }
    pin_spatial(c, n, &x, &w, &y);
    coupling_link(c, &w.axes[0], &y.axes[1], n);
    link_bias(c, n, &y.axes[1]);
    if (groups > 1 && w.axes[1].length == 1) {
        link_depthwise(c, &x.axes[1], &y.axes[1]);
        return;
    }
    tie_groups(c, &x.axes[1], (uint32_t)groups);
    tie_groups(c, &y.axes[1], (uint32_t)groups);
    for (uint32_t i = 0; i < w.axes[1].length; i++) {
        coupling_join(c, x.axes[1].first + i, w.axes[1].first + i);
    }
    coupling_contract(c, n, 1, &w.axes[1]);
}

static void rule_conv_transpose(struct coupling *c, struct graph_node *n) {
    struct operand x = operand_in(c, n, 0), w = operand_in(c, n, 1), y = operand_out(c, n, 0);
    int64_t groups = graph_attr_int(n, "group", 1);
    if (w.rank < 3 || groups < 1 || groups > (int64_t)UINT16_MAX ||
        !conv_fits(&x, &w, &y, groups, w.axes[0].length, w.axes[1].length * (uint32_t)groups)) {
        coupling_pin_node(c, n, "has shapes that are not understood");
        return;
    }
    pin_spatial(c, n, &x, &w, &y);
    coupling_link(c, &w.axes[0], &x.axes[1], n);
    link_bias(c, n, &y.axes[1]);
    if (groups > 1 && x.axes[1].length == (uint32_t)groups) {
        link_depthwise(c, &x.axes[1], &y.axes[1]);
        coupling_pin(c, &w.axes[1], n, "makes this many outputs of each channel");
        return;
    }
    tie_groups(c, &x.axes[1], (uint32_t)groups);
    tie_groups(c, &y.axes[1], (uint32_t)groups);
    for (uint32_t i = 0; i < w.axes[1].length; i++) {
        coupling_join(c, y.axes[1].first + i, w.axes[1].first + i);
    }
    coupling_contract(c, n, 1, &w.axes[0]);
}

/* Joins the axes that a product of a and b sums over. */
static void link_summed(struct coupling *c, struct graph_node *n, const struct channel_axis *a,
                        const struct channel_axis *b) {
    coupling_link(c, a, b, n);
    coupling_contract(c, n, graph_constant(c->g, b->value) ? 1 : 0, graph_constant(c->g, b->value) ? b : a);
}

static void rule_matmul(struct coupling *c, struct graph_node *n) {
    struct operand a = operand_in(c, n, 0), b = operand_in(c, n, 1), y = operand_out(c, n, 0);
    if (a.rank < 2 || b.rank < 2 || y.rank < 2) {
        coupling_pin_node(c, n, "multiplies a vector");
        return;
    }
    struct operand batch = {.rank = y.rank - 2, .axes = y.axes};
    struct operand batch_a = {.rank = a.rank - 2, .axes = a.axes};
    struct operand batch_b = {.rank = b.rank - 2, .axes = b.axes};
    link_broadcast(c, &batch_a, &batch, n);
    link_broadcast(c, &batch_b, &batch, n);
    coupling_link(c, &a.axes[a.rank - 2], &y.axes[y.rank - 2], n);
    coupling_link(c, &b.axes[b.rank - 1], &y.axes[y.rank - 1], n);
    link_summed(c, n, &a.axes[a.rank - 1], &b.axes[b.rank - 2]);
}

static void rule_gemm(struct coupling *c, struct graph_node *n) {
    struct operand a = operand_in(c, n, 0), b = operand_in(c, n, 1), bias = operand_in(c, n, 2);
    struct operand y = operand_out(c, n, 0);
    size_t ta = graph_attr_int(n, "transA", 0) != 0, tb = graph_attr_int(n, "transB", 0) != 0;
    if (a.rank != 2 || b.rank != 2 || y.rank != 2) {
        coupling_pin_node(c, n, "has shapes that are not understood");
        return;
    }
    coupling_link(c, &a.axes[ta], &y.axes[0], n);
    coupling_link(c, &b.axes[1 - tb], &y.axes[1], n);
    link_broadcast(c, &bias, &y, n);
    link_summed(c, n, &a.axes[1 - ta], &b.axes[tb]);
}

/* --- normalisations --- */

/* Inputs from `slot` on hold one number a channel. */
static void link_channel_inputs(struct coupling *c, struct graph_node *n, size_t slot,
                                const struct channel_axis *channels) {
    for (; slot < n->proto->n_input; slot++) {
        struct operand p = operand_in(c, n, slot);
        if (p.rank == 1) {
            coupling_link(c, &p.axes[0], channels, n);
        }
    }
}

static void rule_batchnorm(struct coupling *c, struct graph_node *n) {
    struct operand x = operand_in(c, n, 0), y = operand_out(c, n, 0);
    if (x.rank < 2 || graph_attr_int(n, "training_mode", 0) != 0 || graph_attr_int(n, "spatial", 1) != 1) {
        coupling_pin_node(c, n, "is in a mode that is not understood");
        return;
    }
    link_broadcast(c, &x, &y, n);
    link_channel_inputs(c, n, 1, &y.axes[1]);
    for (size_t i = 1; i < n->proto->n_output; i++) {
        struct operand other = operand_out(c, n, i);
        if (other.rank == 1) {
            coupling_link(c, &other.axes[0], &y.axes[1], n);
        }
    }
}

static void rule_instancenorm(struct coupling *c, struct graph_node *n) {
    struct operand y = operand_out(c, n, 0);
    if (y.rank < 3) {
        coupling_pin_node(c, n, "has shapes that are not understood");
        return;
    }
    link_leading(c, n, 2, "normalises over this axis");
    link_channel_inputs(c, n, 1, &y.axes[1]);
}

/* Opset 18 has one scale for each group, opset 21 one for each channel. */
static void rule_groupnorm(struct coupling *c, struct graph_node *n) {
    struct operand y = operand_out(c, n, 0), scale = operand_in(c, n, 1);
    int64_t groups = graph_attr_int(n, "num_groups", 0);
    if (y.rank < 3 || groups < 1 || groups > (int64_t)y.axes[1].length || y.axes[1].length % groups != 0 ||
        scale.rank != 1) {
        coupling_pin_node(c, n, "has shapes that are not understood");
        return;
    }
    link_leading(c, n, 2, "normalises over this axis");
    uint32_t part = y.axes[1].length / (uint32_t)groups;
    for (uint32_t i = 0; i < y.axes[1].length; i++) {
        coupling_join(c, y.axes[1].first + i, y.axes[1].first + i / part * part);
    }
    for (size_t slot = 1; slot < 3; slot++) {
        struct operand p = operand_in(c, n, slot);
        if (p.rank == 1 && p.axes[0].length == y.axes[1].length) {
            coupling_link(c, &p.axes[0], &y.axes[1], n);
        } else if (p.rank == 1 && (int64_t)p.axes[0].length == groups) {
            for (uint32_t i = 0; i < p.axes[0].length; i++) {
                coupling_join(c, p.axes[0].first + i, y.axes[1].first + i * part);
            }
        } else {
            coupling_pin_node(c, n, "has shapes that are not understood");
        }
    }
}

static int64_t from_front(int64_t axis, size_t rank) {
    return axis < 0 ? axis + (int64_t)rank : axis;
}

static void rule_layernorm(struct coupling *c, struct graph_node *n) {
    struct operand x = operand_in(c, n, 0);
    int64_t axis = from_front(graph_attr_int(n, "axis", -1), x.rank);
    if (axis < 0 || axis >= (int64_t)x.rank) {
        coupling_pin_node(c, n, "has an axis that does not exist");
        return;
    }
    struct operand y = operand_out(c, n, 0);
    static const char why[] = "normalises over these channels: even zeros count in its mean";
    for (size_t i = 0; i < x.rank; i++) {
        coupling_link(c, &x.axes[i], &y.axes[i], n);
        if (i >= (size_t)axis) {
            coupling_pin_number(c, &y.axes[i], n, why);
        }
    }
    for (size_t slot = 1; slot < n->proto->n_input; slot++) {
        struct operand p = operand_in(c, n, slot);
        link_broadcast(c, &p, &y, n);
    }
    for (size_t i = 1; i < n->proto->n_output; i++) {
        struct operand other = operand_out(c, n, i);
        coupling_pin_operand(c, &other, n, why);
        coupling_pin_operand(c, other.rank ? &y : &other, n, why);
    }
}

/* --- over an axis --- */

typedef void pin_fn(struct coupling *c, const struct channel_axis *a, const struct graph_node *n,
                    const char *why);

static void rule_softmax(struct coupling *c, struct graph_node *n) {
    struct operand x = operand_in(c, n, 0), y = operand_out(c, n, 0);
    pin_fn *pin = graph_is_op(n, "Hardmax") ? coupling_pin : coupling_pin_number; /* it marks the first */
    bool coerces = graph_opset(c->g) < 13; /* to two dimensions: all axes from `axis` on are one */
    int64_t axis = from_front(graph_attr_int(n, "axis", coerces ? 1 : -1), x.rank);
    for (size_t i = 0; i < x.rank && i < y.rank; i++) {
        coupling_link(c, &x.axes[i], &y.axes[i], n);
        if ((int64_t)i == axis || (coerces && (int64_t)i > axis)) {
            pin(c, &x.axes[i], n, "compares the channels with each other: zero is not neutral");
        }
    }
}

/* Reduced axes; false when they are computed. */
static bool reduced_axes(const struct coupling *c, const struct graph_node *n, size_t rank, bool *reduced) {
    size_t count = 0;
    const int64_t *list = graph_attr_ints(n, "axes", &count);
    int64_t *values = NULL;
    if (!list && graph_input(c->g, n, 1)) {
        if (!constant_ints(c, graph_input(c->g, n, 1), &values, &count)) {
            return false;
        }
        list = values;
    }
    bool all = count == 0 && graph_attr_int(n, "noop_with_empty_axes", 0) == 0;
    for (size_t i = 0; i < rank; i++) {
        reduced[i] = all;
    }
    bool fine = true;
    for (size_t i = 0; list && i < count; i++) {
        int64_t axis = from_front(list[i], rank);
        fine = fine && axis >= 0 && axis < (int64_t)rank;
        if (fine) {
            reduced[axis] = true;
        }
    }
    free(values);
    return fine;
}

static void link_kept(struct coupling *c, struct graph_node *n, const bool *reduced, pin_fn *pin) {
    struct operand x = operand_in(c, n, 0), y = operand_out(c, n, 0);
    bool keep = graph_attr_int(n, "keepdims", 1) != 0;
    for (size_t i = 0, o = 0; i < x.rank; i++) {
        if (reduced[i]) {
            pin(c, &x.axes[i], n, "puts the channels together: zero is not neutral");
            o += keep;
        } else if (o < y.rank) {
            coupling_link(c, &x.axes[i], &y.axes[o++], n);
        } else {
            coupling_pin_node(c, n, "has shapes that are not understood");
        }
    }
}

static void rule_reduce(struct coupling *c, struct graph_node *n) {
    struct operand x = operand_in(c, n, 0);
    bool reduced[GRAPH_MAX_RANK];
    if (x.rank > GRAPH_MAX_RANK || !reduced_axes(c, n, x.rank, reduced)) {
        coupling_pin_node(c, n, "reduces axes that are not constant");
        return;
    }
    link_kept(c, n, reduced, coupling_pin_number);
}

static void rule_arg(struct coupling *c, struct graph_node *n) {
    struct operand x = operand_in(c, n, 0);
    bool reduced[GRAPH_MAX_RANK] = {false};
    int64_t axis = from_front(graph_attr_int(n, "axis", 0), x.rank);
    if (axis < 0 || axis >= GRAPH_MAX_RANK) {
        coupling_pin_node(c, n, "has an axis that does not exist");
        return;
    }
    reduced[axis] = true;
    link_kept(c, n, reduced, coupling_pin);
}

static void rule_lrn(struct coupling *c, struct graph_node *n) {
    struct operand x = operand_in(c, n, 0), y = operand_out(c, n, 0);
    for (size_t i = 0; i < x.rank; i++) {
        coupling_link(c, &x.axes[i], &y.axes[i], n);
        if (i == 1) {
            coupling_pin(c, &x.axes[i], n, "normalises over neighbouring channels");
        }
    }
}

static void rule_cumsum(struct coupling *c, struct graph_node *n) {
    struct operand x = operand_in(c, n, 0), y = operand_out(c, n, 0);
    int64_t *axis = NULL;
    size_t count = 0;
    if (!constant_ints(c, graph_input(c->g, n, 1), &axis, &count) || count != 1) {
        free(axis);
        coupling_pin_node(c, n, "sums along an axis that is not constant");
        return;
    }
    for (size_t i = 0; i < x.rank; i++) {
        coupling_link(c, &x.axes[i], &y.axes[i], n);
        if ((int64_t)i == from_front(axis[0], x.rank)) {
            coupling_pin(c, &x.axes[i], n, "sums along this axis");
        }
    }
    free(axis);
}

static void rule_trilu(struct coupling *c, struct graph_node *n) {
    struct operand x = operand_in(c, n, 0), y = operand_out(c, n, 0);
    for (size_t i = 0; i < x.rank; i++) {
        coupling_link(c, &x.axes[i], &y.axes[i], n);
        if (i + 2 >= x.rank) {
            coupling_pin(c, &x.axes[i], n, "cuts along the diagonal of this axis");
        }
    }
}

static void rule_nothing(struct coupling *c, struct graph_node *n) {
    (void)c;
    (void)n;
}

/* The entries of the shape were followed; only how many there are must stay. */
static void rule_shape(struct coupling *c, struct graph_node *n) {
    struct operand out = operand_out(c, n, 0);
    coupling_pin_operand(c, &out, n, "gives a shape");
}

/* --- the table --- */

static const struct {
    const char *op_type;
    channel_rule *rule;
} rules[] = {
    {"Abs", rule_elementwise},
    {"Acos", rule_elementwise},
    {"Add", rule_elementwise},
    {"And", rule_elementwise},
    {"ArgMax", rule_arg},
    {"ArgMin", rule_arg},
    {"Asin", rule_elementwise},
    {"Atan", rule_elementwise},
    {"AveragePool", rule_pool},
    {"BatchNormalization", rule_batchnorm},
    {"Cast", rule_elementwise},
    {"Ceil", rule_elementwise},
    {"Celu", rule_elementwise},
    {"Clip", rule_elementwise},
    {"Concat", rule_concat},
    {"Constant", rule_nothing},
    {"ConstantOfShape", rule_constant_of_shape},
    {"Conv", rule_conv},
    {"ConvTranspose", rule_conv_transpose},
    {"Cos", rule_elementwise},
    {"CumSum", rule_cumsum},
    {"DepthToSpace", rule_depth_to_space},
    {"Div", rule_elementwise},
    {"Dropout", rule_elementwise},
    {"Elu", rule_elementwise},
    {"Equal", rule_elementwise},
    {"Erf", rule_elementwise},
    {"Exp", rule_elementwise},
    {"Expand", rule_expand},
    {"Flatten", rule_reshape},
    {"Floor", rule_elementwise},
    {"Gather", rule_gather},
    {"Gelu", rule_elementwise},
    {"Gemm", rule_gemm},
    {"GlobalAveragePool", rule_pool},
    {"GlobalMaxPool", rule_pool},
    {"Greater", rule_elementwise},
    {"GreaterOrEqual", rule_elementwise},
    {"GroupNormalization", rule_groupnorm},
    {"HardSigmoid", rule_elementwise},
    {"HardSwish", rule_elementwise},
    {"Hardmax", rule_softmax},
    {"Identity", rule_elementwise},
    {"InstanceNormalization", rule_instancenorm},
    {"IsNaN", rule_elementwise},
    {"LRN", rule_lrn},
    {"LayerNormalization", rule_layernorm},
    {"LeakyRelu", rule_elementwise},
    {"Less", rule_elementwise},
    {"LessOrEqual", rule_elementwise},
    {"Log", rule_elementwise},
    {"LogSoftmax", rule_softmax},
    {"LpPool", rule_pool},
    {"MatMul", rule_matmul},
    {"Max", rule_elementwise},
    {"MaxPool", rule_pool},
    {"Mean", rule_elementwise},
    {"Min", rule_elementwise},
    {"Mish", rule_elementwise},
    {"Mod", rule_elementwise},
    {"Mul", rule_elementwise},
    {"Neg", rule_elementwise},
    {"Not", rule_elementwise},
    {"Or", rule_elementwise},
    {"PRelu", rule_elementwise},
    {"Pad", rule_pad},
    {"Pow", rule_elementwise},
    {"RMSNormalization", rule_layernorm},
    {"Reciprocal", rule_elementwise},
    {"ReduceL1", rule_reduce},
    {"ReduceL2", rule_reduce},
    {"ReduceLogSum", rule_reduce},
    {"ReduceLogSumExp", rule_reduce},
    {"ReduceMax", rule_reduce},
    {"ReduceMean", rule_reduce},
    {"ReduceMin", rule_reduce},
    {"ReduceProd", rule_reduce},
    {"ReduceSum", rule_reduce},
    {"ReduceSumSquare", rule_reduce},
    {"Relu", rule_elementwise},
    {"Reshape", rule_reshape},
    {"Resize", rule_resize},
    {"Round", rule_elementwise},
    {"Selu", rule_elementwise},
    {"Shape", rule_shape},
    {"Sigmoid", rule_elementwise},
    {"Sign", rule_elementwise},
    {"SimplifiedLayerNormalization", rule_layernorm},
    {"Sin", rule_elementwise},
    {"Slice", rule_slice},
    {"Softmax", rule_softmax},
    {"Softplus", rule_elementwise},
    {"Softsign", rule_elementwise},
    {"SpaceToDepth", rule_space_to_depth},
    {"Split", rule_split},
    {"Sqrt", rule_elementwise},
    {"Squeeze", rule_reshape},
    {"Sub", rule_elementwise},
    {"Sum", rule_elementwise},
    {"Swish", rule_elementwise},
    {"Tan", rule_elementwise},
    {"Tanh", rule_elementwise},
    {"ThresholdedRelu", rule_elementwise},
    {"Tile", rule_tile},
    {"Transpose", rule_transpose},
    {"Trilu", rule_trilu},
    {"Unsqueeze", rule_reshape},
    {"Where", rule_elementwise},
    {"Xor", rule_elementwise},
};

static int by_name(const void *name, const void *row) {
    return strcmp(name, *(const char *const *)row);
}

/* Every input that is not left out and every output that something reads has a known shape. */
static bool shapes_known(const struct coupling *c, const struct graph_node *n) {
    for (size_t i = 0; i < n->proto->n_input; i++) {
        struct operand o = operand_in(c, n, i);
        if (o.value && !o.known) {
            return false;
        }
    }
    for (size_t i = 0; i < n->proto->n_output; i++) {
        struct operand o = operand_out(c, n, i);
        if (o.value && !o.known && (i == 0 || o.value->use_count || o.value->is_output)) {
            return false;
        }
    }
    return n->proto->n_output > 0 && graph_output(c->g, n, 0);
}

void channel_rules_apply(struct coupling *c, struct graph_node *n) {
    channel_rule *rule = NULL;
    if (graph_is_op(n, n->proto->op_type)) {
        const void *row =
            bsearch(n->proto->op_type, rules, sizeof(rules) / sizeof(rules[0]), sizeof(rules[0]), by_name);
        rule =
            row ? rules[((const char *)row - (const char *)rules) / (ptrdiff_t)sizeof(rules[0])].rule : NULL;
    }
    if (!rule || graph_has_subgraph(n)) {
        coupling_pin_node(c, n, "is an operator that cannot be pruned through");
        return;
    }
    if (!shapes_known(c, n)) {
        coupling_pin_node(c, n, "has values of unknown shape");
        return;
    }
    rule(c, n);
    if (!elements_follow(c, n)) {
        for (size_t i = 0; i < n->proto->n_input; i++) {
            elements_pin(c, graph_input(c->g, n, i), n, "computes with the length of this axis");
        }
    }
}
