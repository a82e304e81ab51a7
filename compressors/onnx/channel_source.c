#include "compressors/onnx/channel_source.h"

#include <stdio.h>
#include <stdlib.h>

enum { NAME_SIZE = 512 };

static void add_source(struct channel_source *s, struct graph_node *n, size_t slot) {
    s->constants[s->count].node = n;
    s->constants[s->count++].slot = slot;
}

const Onnx__TensorProto *channel_constant(const struct graph *g, const struct graph_node *n, size_t slot) {
    const struct graph_value *v = graph_input(g, n, slot);
    const Onnx__TensorProto *t = v && !v->is_input ? graph_constant(g, v) : NULL;
    return t && t->data_type == GRAPH_FLOAT32 && t->n_dims > 0 ? t : NULL;
}

int64_t channel_count(const Onnx__TensorProto *t) {
    return t->dims[t->n_dims - 1];
}

/* A constant whose last axis are the channels and whose other axes are 1. */
static bool is_vector(const Onnx__TensorProto *t, int64_t channels) {
    size_t count = 0;
    struct err err;
    return t && channel_count(t) == channels && !graph_tensor_count(t, &count, &err) &&
           (int64_t)count == channels;
}

/* x * constant: the last step of an RMS norm. */
static bool scaled_by_vector(const struct graph *g, struct graph_node *n, int64_t channels,
                             struct channel_source *ret) {
    for (size_t slot = 0; slot < 2; slot++) {
        if (is_vector(channel_constant(g, n, slot), channels)) {
            add_source(ret, n, slot);
            return true;
        }
    }
    return false;
}

/* x * constant + constant: the end of a layer norm written out. */
static bool shifted_by_vector(const struct graph *g, struct graph_node *n, int64_t channels,
                              struct channel_source *ret) {
    for (size_t slot = 0; slot < 2; slot++) {
        const struct graph_value *v = graph_input(g, n, 1 - slot);
        struct graph_node *scale = v ? v->producer : NULL;
        if (is_vector(channel_constant(g, n, slot), channels) && scale && graph_sole_use(v) &&
            graph_is_op(scale, "Mul") && scaled_by_vector(g, scale, channels, ret)) {
            add_source(ret, n, slot);
            return true;
        }
    }
    return false;
}

/* a * (b W): a gate. Channels of the product are columns of W, where nothing else reads the product. */
static bool gated(const struct graph *g, const struct graph_node *n, int64_t channels,
                  struct channel_source *ret) {
    for (size_t slot = 2; slot-- > 0;) {
        const struct graph_value *v = graph_input(g, n, slot);
        struct graph_node *product = v ? v->producer : NULL;
        if (!product || !graph_sole_use(v) || !graph_is_op(product, "MatMul")) {
            continue;
        }
        const Onnx__TensorProto *w = channel_constant(g, product, 1);
        if (w && w->n_dims == 2 && channel_count(w) == channels) {
            add_source(ret, product, 1);
            return true;
        }
    }
    return false;
}

bool channel_source_find(const struct graph *g, const struct graph_value *v, int64_t channels,
                         struct channel_source *ret) {
    struct graph_node *n = v->producer;
    *ret = (struct channel_source){0};
    if (!n) {
        return false;
    }
    if (graph_is_op(n, "Add")) {
        return shifted_by_vector(g, n, channels, ret);
    }
    if (graph_is_op(n, "Mul")) {
        return scaled_by_vector(g, n, channels, ret) || gated(g, n, channels, ret);
    }
    if (graph_is_op(n, "LayerNormalization") && n->proto->n_output == 1 &&
        is_vector(channel_constant(g, n, 1), channels)) {
        add_source(ret, n, 1);
        if (graph_input(g, n, 2)) {
            add_source(ret, n, 2);
            return is_vector(channel_constant(g, n, 2), channels);
        }
        return true;
    }
    return false;
}

enum rc channel_rescale(struct graph *g, struct graph_node *n, size_t slot, const float *by_row,
                        const float *by_column, struct err *err) {
    const Onnx__TensorProto *t = channel_constant(g, n, slot);
    const char *name = graph_input(g, n, slot)->name;
    float *values = NULL;
    size_t count = 0;
    enum rc rc = graph_tensor_floats(g, t, &values, &count, err);
    if (rc) {
        return rc;
    }
    size_t columns = (size_t)channel_count(t);
    for (size_t i = 0; i < count; i++) {
        values[i] *= by_row ? by_row[i / columns] : by_column[i % columns];
    }
    char hint[NAME_SIZE];
    snprintf(hint, sizeof(hint), "%.480s_smooth", name);
    struct graph_value *v = NULL;
    rc = graph_add_initializer(g, hint, GRAPH_FLOAT32, t->dims, t->n_dims, values, count * sizeof(float), &v,
                               err);
    free(values);
    return rc ? rc : graph_set_input(g, n, slot, v->name, err);
}
