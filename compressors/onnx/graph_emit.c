#include "compressors/onnx/graph_emit.h"

#include <string.h>

/* Versions of the operator set in which the axes became an input. */
enum { SUM_AXES_INPUT = 13, MEAN_AXES_INPUT = 18 };

struct graph_node *emit_node(struct graph_emitter *e, const char *op, const char *const *inputs,
                             size_t count) {
    struct graph_node *n = NULL;
    const char *output = e->rc == RC_OK ? graph_unique_name(e->g, op) : NULL;
    if (e->rc == RC_OK && !output) {
        e->rc = err_memory(e->err);
    }
    if (e->rc != RC_OK) {
        return NULL;
    }
    const struct graph_node_spec spec = {
        .op_type = op, .inputs = inputs, .input_count = count, .outputs = &output, .output_count = 1};
    e->rc = graph_add_node(e->g, &spec, NULL, &n, e->err);
    return e->rc == RC_OK ? n : NULL;
}

void emit_attr_int(struct graph_emitter *e, struct graph_node *n, const char *name, int64_t value) {
    if (e->rc == RC_OK) {
        e->rc = graph_set_attr_int(e->g, n, name, value, e->err);
    }
}

void emit_attr_ints(struct graph_emitter *e, struct graph_node *n, const char *name, const int64_t *values,
                    size_t count) {
    if (e->rc == RC_OK) {
        e->rc = graph_set_attr_ints(e->g, n, name, values, count, e->err);
    }
}

const char *emit_output(const struct graph_node *n) {
    return n ? n->proto->output[0] : "";
}

const char *emit_one(struct graph_emitter *e, const char *op, const char *x) {
    return emit_output(emit_node(e, op, &x, 1));
}

const char *emit_two(struct graph_emitter *e, const char *op, const char *x, const char *y) {
    return emit_output(emit_node(e, op, (const char *const[]){x, y}, 2));
}

const char *emit_three(struct graph_emitter *e, const char *op, const char *x, const char *y, const char *z) {
    return emit_output(emit_node(e, op, (const char *const[]){x, y, z}, 3));
}

const char *emit_float(struct graph_emitter *e, float value) {
    struct graph_value *v = NULL;
    if (e->rc == RC_OK) {
        e->rc = graph_add_float(e->g, "number", value, &v, e->err);
    }
    return e->rc == RC_OK ? v->name : "";
}

const char *emit_ints(struct graph_emitter *e, const int64_t *values, size_t count) {
    struct graph_value *v = NULL;
    if (e->rc == RC_OK) {
        e->rc = graph_add_ints(e->g, "list", values, count, &v, e->err);
    }
    return e->rc == RC_OK ? v->name : "";
}

const char *emit_int(struct graph_emitter *e, int64_t value) {
    return emit_ints(e, &value, 1);
}

const char *emit_linear(struct graph_emitter *e, const char *x, float factor, float term) {
    const char *scaled = factor == 1 ? x : emit_two(e, "Mul", x, emit_float(e, factor));
    return term == 0 ? scaled : emit_two(e, "Add", scaled, emit_float(e, term));
}

const char *emit_reduce(struct graph_emitter *e, const char *op, const char *x, const int64_t *axes,
                        size_t count) {
    bool by_input = graph_opset(e->g) >= (strcmp(op, "ReduceSum") == 0 ? SUM_AXES_INPUT : MEAN_AXES_INPUT);
    if (count == 0) {
        return x; /* no axes would mean all of them */
    }
    const char *inputs[] = {x, by_input ? emit_ints(e, axes, count) : ""};
    struct graph_node *n = emit_node(e, op, inputs, by_input ? 2 : 1);
    emit_attr_int(e, n, "keepdims", 1);
    if (!by_input) {
        emit_attr_ints(e, n, "axes", axes, count);
    }
    return emit_output(n);
}

const char *emit_zeros_like(struct graph_emitter *e, const char *x) {
    return emit_one(e, "ConstantOfShape", emit_one(e, "Shape", x));
}

const char *emit_reshaped_like(struct graph_emitter *e, const char *x, const char *like) {
    return emit_two(e, "Reshape", x, emit_one(e, "Shape", like));
}

const char *emit_expanded_like(struct graph_emitter *e, const char *x, const char *like) {
    return emit_two(e, "Expand", x, emit_one(e, "Shape", like));
}

const char *emit_joined(struct graph_emitter *e, const char *const *lists, size_t count) {
    struct graph_node *n = emit_node(e, "Concat", lists, count);
    emit_attr_int(e, n, "axis", 0);
    return emit_output(n);
}

const char *emit_entries(struct graph_emitter *e, const char *x, int64_t first, int64_t end) {
    return emit_three(e, "Slice", x, emit_int(e, first), emit_int(e, end));
}

const char *emit_transposed(struct graph_emitter *e, const char *x, const int64_t *perm, size_t rank) {
    struct graph_node *n = emit_node(e, "Transpose", &x, 1);
    emit_attr_ints(e, n, "perm", perm, rank);
    return emit_output(n);
}
