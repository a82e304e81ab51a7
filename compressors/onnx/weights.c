#include "compressors/onnx/weights.h"

static const struct {
    const char *op_type;
    enum weights_kind kind;
} ops[] = {
    {"Conv", WEIGHTS_CONV},
    {"ConvTranspose", WEIGHTS_CONV_TRANSPOSE},
    {"MatMul", WEIGHTS_MATMUL},
    {"Gemm", WEIGHTS_GEMM},
};

static enum weights_kind kind_of(const struct graph_node *n, const char **op_type) {
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
        if (graph_is_op(n, ops[i].op_type)) {
            *op_type = ops[i].op_type;
            return ops[i].kind;
        }
    }
    return WEIGHTS_NONE;
}

static bool is_float(int32_t dtype) {
    return dtype == GRAPH_FLOAT32 || dtype == GRAPH_FLOAT16 || dtype == GRAPH_BFLOAT16 ||
           dtype == GRAPH_FLOAT64;
}

struct weights weights_of(const struct graph *g, const struct graph_node *n) {
    const char *op_type;
    struct weights w = {.kind = kind_of(n, &op_type), .slot = 1};
    if (w.kind == WEIGHTS_NONE) {
        return (struct weights){0};
    }
    if (w.kind == WEIGHTS_MATMUL && !graph_constant(g, graph_input(g, n, 1))) {
        w.slot = 0;
    }
    w.value = graph_input(g, n, w.slot);
    w.tensor = graph_constant(g, w.value);
    if (!w.tensor || w.tensor->n_dims < 2 || !is_float(w.tensor->data_type)) {
        return (struct weights){0};
    }
    return w;
}

bool weights_is_first(const struct graph *g, const struct graph_node *n, const struct weights *w) {
    for (size_t i = 0; i < w->value->use_count; i++) {
        const struct graph_node *other = w->value->uses[i].node;
        if (other->id < n->id && weights_of(g, other).value == w->value) {
            return false;
        }
    }
    return true;
}

const char *weights_op(const struct graph_node *n) {
    const char *op_type = NULL;
    return kind_of(n, &op_type) == WEIGHTS_NONE ? NULL : op_type;
}
