/* Rules of activation functions. Where a function has a kink, its derivative there is that from the flat
 * side. */
#include <math.h>

#include "compressors/onnx/backward_rules.h"

static const double pi = 3.14159265358979323846;

static void give_times(struct backward *b, const struct graph_node *n, const char *gy, const char *slope) {
    backward_give(b, n, 0, emit_two(&b->e, "Mul", gy, slope));
}

/* y is never negative, so its sign is 1 where the input passes. */
void backward_relu(struct backward *b, const struct graph_node *n, const char *gy) {
    give_times(b, n, gy, emit_one(&b->e, "Sign", backward_y(n)));
}

/* 1 where x is above 0, else 0. */
static const char *positive(struct backward *b, const struct graph_node *n) {
    return emit_one(&b->e, "Sign", emit_one(&b->e, "Relu", backward_x(n, 0)));
}

void backward_leaky_relu(struct backward *b, const struct graph_node *n, const char *gy) {
    const float alpha = graph_attr_float(n, "alpha", 0.01F);
    give_times(b, n, gy, emit_linear(&b->e, positive(b, n), 1 - alpha, alpha));
}

/* 1 above 0, else `below`. */
static void give_bent(struct backward *b, const struct graph_node *n, const char *gy, const char *below) {
    const char *above = positive(b, n);
    const char *rest = emit_two(&b->e, "Mul", emit_linear(&b->e, above, -1, 1), below);
    give_times(b, n, gy, emit_two(&b->e, "Add", above, rest));
}

void backward_prelu(struct backward *b, const struct graph_node *n, const char *gy) {
    if (backward_wants(b, n, 1)) {
        backward_refuse(b, n, "its slopes are not constant");
        return;
    }
    give_bent(b, n, gy, backward_x(n, 1));
}

/* Below 0, y = alpha (e^x - 1), whose slope is y + alpha. */
void backward_elu(struct backward *b, const struct graph_node *n, const char *gy) {
    give_bent(b, n, gy, emit_linear(&b->e, backward_y(n), 1, graph_attr_float(n, "alpha", 1)));
}

void backward_softplus(struct backward *b, const struct graph_node *n, const char *gy) {
    give_times(b, n, gy, emit_one(&b->e, "Sigmoid", backward_x(n, 0)));
}

/* 1 where x was not changed: 1 - sign |x - y|. */
void backward_clip(struct backward *b, const struct graph_node *n, const char *gy) {
    struct graph_emitter *e = &b->e;
    const char *moved = emit_one(e, "Abs", emit_two(e, "Sub", backward_x(n, 0), backward_y(n)));
    give_times(b, n, gy, emit_linear(e, emit_one(e, "Sign", moved), -1, 1));
}

/* y (1 - y) */
static const char *of_sigmoid(struct backward *b, const char *y) {
    return emit_two(&b->e, "Mul", y, emit_linear(&b->e, y, -1, 1));
}

void backward_sigmoid(struct backward *b, const struct graph_node *n, const char *gy) {
    give_times(b, n, gy, of_sigmoid(b, backward_y(n)));
}

/* `alpha` where y is neither 0 nor 1. */
void backward_hard_sigmoid(struct backward *b, const struct graph_node *n, const char *gy) {
    const char *between = emit_one(&b->e, "Sign", of_sigmoid(b, backward_y(n)));
    give_times(b, n, gy, emit_linear(&b->e, between, graph_attr_float(n, "alpha", 0.2F), 0));
}

/* y = x h, h = clip(x / 6 + 1 / 2, 0, 1): h + x h', h' = 1 / 6 where h is neither 0 nor 1. */
void backward_hard_swish(struct backward *b, const struct graph_node *n, const char *gy) {
    struct graph_emitter *e = &b->e;
    const char *x = backward_x(n, 0);
    const char *limits[] = {emit_linear(e, x, 1.0F / 6, 0.5F), emit_float(e, 0), emit_float(e, 1)};
    const char *h = emit_output(emit_node(e, "Clip", limits, 3));
    const char *slope = emit_linear(e, emit_one(e, "Sign", of_sigmoid(b, h)), 1.0F / 6, 0);
    give_times(b, n, gy, emit_two(e, "Add", h, emit_two(e, "Mul", x, slope)));
}

/* 1 - y^2 */
void backward_tanh(struct backward *b, const struct graph_node *n, const char *gy) {
    const char *square = emit_two(&b->e, "Mul", backward_y(n), backward_y(n));
    give_times(b, n, gy, emit_linear(&b->e, square, -1, 1));
}

/* factor exp(-x^2 rate) */
static const char *bell(struct backward *b, const char *x, float factor, float rate) {
    struct graph_emitter *e = &b->e;
    const char *exponent = emit_linear(e, emit_two(e, "Mul", x, x), -rate, 0);
    return emit_linear(e, emit_one(e, "Exp", exponent), factor, 0);
}

void backward_erf(struct backward *b, const struct graph_node *n, const char *gy) {
    give_times(b, n, gy, bell(b, backward_x(n, 0), (float)(2 / sqrt(pi)), 1));
}

/* P(x) + x P'(x) with the normal distribution P; or with its approximation (1 + tanh(u)) / 2, where
 * u = c (x + 0.044715 x^3) and c = sqrt(2 / pi), whose slope is (1 - tanh^2) c (1 + 0.134145 x^2) / 2. */
void backward_gelu(struct backward *b, const struct graph_node *n, const char *gy) {
    struct graph_emitter *e = &b->e;
    const char *x = backward_x(n, 0), *p, *slope;
    if (graph_attr_is(n, "approximate", "tanh")) {
        const float c = (float)sqrt(2 / pi), cubic = 0.044715F;
        const char *square = emit_two(e, "Mul", x, x);
        const char *u = emit_two(e, "Mul", x, emit_linear(e, square, c * cubic, c));
        const char *t = emit_one(e, "Tanh", u);
        const char *rest = emit_linear(e, emit_two(e, "Mul", t, t), -1, 1);
        p = emit_linear(e, t, 0.5F, 0.5F);
        slope = emit_two(e, "Mul", rest, emit_linear(e, square, 1.5F * c * cubic, 0.5F * c));
    } else {
        p = emit_linear(e, emit_one(e, "Erf", emit_linear(e, x, (float)sqrt(0.5), 0)), 0.5F, 0.5F);
        slope = bell(b, x, (float)(1 / sqrt(2 * pi)), 0.5F);
    }
    give_times(b, n, gy, emit_two(e, "Add", p, emit_two(e, "Mul", x, slope)));
}

/* The sum of x over the axes that a Softmax or LogSoftmax goes along; before version 13, all from `axis` on.
 */
static const char *sum_along(struct backward *b, const struct graph_node *n, const char *x) {
    const bool one_axis = graph_opset(b->e.g) >= 13;
    int64_t axes[GRAPH_MAX_RANK];
    size_t rank = 0, count = 0;
    if (!backward_dims_out(b, n, &rank) || rank > GRAPH_MAX_RANK) {
        return "";
    }
    int64_t axis = backward_axis(b, n, "axis", one_axis ? -1 : 1, rank);
    for (int64_t i = axis; i < (one_axis ? axis + 1 : (int64_t)rank); i++) {
        axes[count++] = i;
    }
    return emit_reduce(&b->e, "ReduceSum", x, axes, count);
}

/* y (g - sum of g y) */
void backward_softmax(struct backward *b, const struct graph_node *n, const char *gy) {
    struct graph_emitter *e = &b->e;
    const char *sum = sum_along(b, n, emit_two(e, "Mul", gy, backward_y(n)));
    backward_give(b, n, 0, emit_two(e, "Mul", backward_y(n), emit_two(e, "Sub", gy, sum)));
}

/* g - e^y sum of g */
void backward_log_softmax(struct backward *b, const struct graph_node *n, const char *gy) {
    struct graph_emitter *e = &b->e;
    const char *part = emit_two(e, "Mul", emit_one(e, "Exp", backward_y(n)), sum_along(b, n, gy));
    backward_give(b, n, 0, emit_two(e, "Sub", gy, part));
}
