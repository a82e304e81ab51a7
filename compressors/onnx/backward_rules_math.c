/* Rules of arithmetic, element by element. What was repeated to fit the other side is summed again. */
#include <stdlib.h>

#include "compressors/onnx/backward_rules.h"

void backward_add(struct backward *b, const struct graph_node *n, const char *gy) {
    for (size_t i = 0; i < n->proto->n_input; i++) {
        backward_give_broadcast(b, n, i, gy);
    }
}

void backward_sub(struct backward *b, const struct graph_node *n, const char *gy) {
    backward_give_broadcast(b, n, 0, gy);
    if (backward_wants(b, n, 1)) {
        backward_give_broadcast(b, n, 1, emit_one(&b->e, "Neg", gy));
    }
}

void backward_mul(struct backward *b, const struct graph_node *n, const char *gy) {
    for (size_t i = 0; i < 2; i++) {
        if (backward_wants(b, n, i)) {
            backward_give_broadcast(b, n, i, emit_two(&b->e, "Mul", gy, backward_x(n, 1 - i)));
        }
    }
}

/* y = a / c: by a 1 / c, by c -y / c. */
void backward_div(struct backward *b, const struct graph_node *n, const char *gy) {
    struct graph_emitter *e = &b->e;
    const char *by_a = emit_two(e, "Div", gy, backward_x(n, 1));
    backward_give_broadcast(b, n, 0, by_a);
    if (backward_wants(b, n, 1)) {
        backward_give_broadcast(b, n, 1, emit_one(e, "Neg", emit_two(e, "Mul", by_a, backward_y(n))));
    }
}

/* The exponent, where it is one constant number. */
static bool exponent_of(const struct graph *g, const struct graph_node *n, float *ret) {
    const Onnx__TensorProto *t = graph_constant(g, graph_input(g, n, 1));
    struct err ignored;
    float *values = NULL;
    int64_t *ints = NULL;
    size_t count = 0;
    if (!t) {
        return false;
    }
    if (graph_tensor_floats(g, t, &values, &count, &ignored) == RC_OK) {
        *ret = count == 1 ? values[0] : 0;
    } else if (graph_tensor_ints(g, t, &ints, &count, &ignored) == RC_OK) {
        *ret = count == 1 ? (float)ints[0] : 0;
    }
    free(values);
    free(ints);
    return count == 1;
}

void backward_pow(struct backward *b, const struct graph_node *n, const char *gy) {
    struct graph_emitter *e = &b->e;
    float exponent = 0;
    if (!exponent_of(e->g, n, &exponent)) {
        backward_refuse(b, n, "its exponent is not one constant number");
        return;
    }
    const char *power = emit_two(e, "Pow", backward_x(n, 0), emit_float(e, exponent - 1));
    backward_give_broadcast(b, n, 0, emit_two(e, "Mul", gy, emit_linear(e, power, exponent, 0)));
}

void backward_where(struct backward *b, const struct graph_node *n, const char *gy) {
    struct graph_emitter *e = &b->e;
    const char *zero = emit_float(e, 0);
    if (backward_wants(b, n, 1)) {
        backward_give_broadcast(b, n, 1, emit_three(e, "Where", backward_x(n, 0), gy, zero));
    }
    if (backward_wants(b, n, 2)) {
        backward_give_broadcast(b, n, 2, emit_three(e, "Where", backward_x(n, 0), zero, gy));
    }
}

/* Max and Min: to whom gave the result, which is 1 - sign |x - y|. */
void backward_extreme(struct backward *b, const struct graph_node *n, const char *gy) {
    struct graph_emitter *e = &b->e;
    for (size_t i = 0; i < n->proto->n_input; i++) {
        if (backward_wants(b, n, i)) {
            const char *off = emit_one(e, "Abs", emit_two(e, "Sub", backward_y(n), backward_x(n, i)));
            const char *gave = emit_linear(e, emit_one(e, "Sign", off), -1, 1);
            backward_give_broadcast(b, n, i, emit_two(e, "Mul", gy, gave));
        }
    }
}

void backward_neg(struct backward *b, const struct graph_node *n, const char *gy) {
    backward_give(b, n, 0, emit_one(&b->e, "Neg", gy));
}

void backward_abs(struct backward *b, const struct graph_node *n, const char *gy) {
    backward_give(b, n, 0, emit_two(&b->e, "Mul", gy, emit_one(&b->e, "Sign", backward_x(n, 0))));
}

void backward_exp(struct backward *b, const struct graph_node *n, const char *gy) {
    backward_give(b, n, 0, emit_two(&b->e, "Mul", gy, backward_y(n)));
}

void backward_log(struct backward *b, const struct graph_node *n, const char *gy) {
    backward_give(b, n, 0, emit_two(&b->e, "Div", gy, backward_x(n, 0)));
}

/* 1 / (2 y) */
void backward_sqrt(struct backward *b, const struct graph_node *n, const char *gy) {
    backward_give(b, n, 0, emit_linear(&b->e, emit_two(&b->e, "Div", gy, backward_y(n)), 0.5F, 0));
}

/* -y^2 */
void backward_reciprocal(struct backward *b, const struct graph_node *n, const char *gy) {
    struct graph_emitter *e = &b->e;
    const char *square = emit_two(e, "Mul", backward_y(n), backward_y(n));
    backward_give(b, n, 0, emit_one(e, "Neg", emit_two(e, "Mul", gy, square)));
}
