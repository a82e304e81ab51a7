#include "compressors/onnx/equalize_pairs.h"

#include <stdlib.h>
#include <string.h>

/* --- layout of weights --- */

static bool rows_are_outputs(const struct equalize_layer *l) {
    return l->weights.kind == WEIGHTS_CONV ||
           (l->weights.kind == WEIGHTS_GEMM && graph_attr_int(l->node, "transB", 0) != 0);
}

size_t equalize_output_of(const struct equalize_layer *l, size_t i) {
    return rows_are_outputs(l) ? i / (l->count / l->outputs) : i % l->outputs;
}

size_t equalize_input_of(const struct equalize_layer *l, size_t i, size_t channels) {
    if (l->weights.kind == WEIGHTS_CONV) {
        const Onnx__TensorProto *t = l->weights.tensor;
        size_t groups = (size_t)graph_attr_int(l->node, "group", 1);
        size_t in_group = (size_t)t->dims[1], inner = l->count / l->outputs / in_group;
        size_t group = equalize_output_of(l, i) / (l->outputs / groups);
        return group * in_group + i / inner % in_group;
    }
    size_t inputs = l->count / l->outputs;
    size_t input = rows_are_outputs(l) ? i % inputs : i / l->outputs;
    return input / (inputs / channels);
}

/* Input channels that the layer's weights are made for. */
static size_t inputs_of(const struct equalize_layer *l) {
    return l->weights.kind == WEIGHTS_CONV
               ? (size_t)l->weights.tensor->dims[1] * (size_t)graph_attr_int(l->node, "group", 1)
               : l->count / l->outputs;
}

/* --- layers --- */

static bool is_vector_of(const struct graph *g, const struct graph_value *v, size_t channels) {
    const Onnx__TensorProto *t = v && !v->is_input ? graph_constant(g, v) : NULL;
    size_t count = 0;
    return t && t->data_type == GRAPH_FLOAT32 && t->n_dims > 0 &&
           t->dims[t->n_dims - 1] == (int64_t)channels && graph_tensor_count(t, &count, NULL) == RC_OK &&
           count == channels;
}

/* The Add behind a MatMul that adds one constant a column, and its slot. */
static struct graph_node *bias_add(const struct graph *g, const struct graph_value *out, size_t channels,
                                   size_t *slot) {
    const struct graph_use *use = out ? graph_sole_use(out) : NULL;
    if (!use || !graph_is_op(use->node, "Add")) {
        return NULL;
    }
    *slot = 1 - use->slot;
    return is_vector_of(g, graph_input(g, use->node, *slot), channels) ? use->node : NULL;
}

/* False for weights in a form that is left alone. */
static bool has_plain_form(const struct graph *g, const struct equalize_layer *l) {
    const struct graph_node *n = l->node;
    const Onnx__TensorProto *t = l->weights.tensor;
    if (l->weights.slot != 1 || t->data_type != GRAPH_FLOAT32 || l->weights.value->use_count != 1 ||
        l->weights.value->is_output) {
        return false;
    }
    if (l->weights.kind == WEIGHTS_CONV) {
        int64_t groups = graph_attr_int(n, "group", 1);
        return t->n_dims >= 3 && groups > 0 && t->dims[0] > 0 && t->dims[0] % groups == 0;
    }
    bool gemm = l->weights.kind == WEIGHTS_GEMM;
    return t->n_dims == 2 && (gemm || l->weights.kind == WEIGHTS_MATMUL) &&
           (!gemm || (graph_attr_int(n, "transA", 0) == 0 && graph_attr_float(n, "alpha", 1) == 1.0F &&
                      graph_attr_float(n, "beta", 1) == 1.0F)) &&
           graph_output(g, n, 0) != NULL;
}

/* Where the bias is. False when there is one in another form. */
static bool find_bias(const struct graph *g, struct equalize_layer *l) {
    if (l->weights.kind == WEIGHTS_MATMUL) {
        l->add = bias_add(g, graph_output(g, l->node, 0), l->outputs, &l->add_slot);
        return true;
    }
    const struct graph_value *bias = graph_input(g, l->node, 2);
    l->add = bias ? l->node : NULL;
    l->add_slot = 2;
    return !bias || is_vector_of(g, bias, l->outputs);
}

static enum rc add_layer(struct graph *g, struct graph_node *n, struct equalize_pairs *p, struct err *err) {
    struct equalize_layer *l = &p->layers[p->layer_count];
    *l = (struct equalize_layer){.node = n, .weights = weights_of(g, n)};
    size_t count;
    if (l->weights.kind == WEIGHTS_NONE || !has_plain_form(g, l) ||
        graph_tensor_count(l->weights.tensor, &l->count, err) != RC_OK || l->count == 0) {
        return RC_OK;
    }
    l->outputs = (size_t)l->weights.tensor->dims[rows_are_outputs(l) ? 0 : 1];
    if (!find_bias(g, l)) {
        return RC_OK;
    }
    enum rc rc = graph_tensor_floats(g, l->weights.tensor, &l->w, &l->count, err);
    if (rc == RC_OK) {
        p->layer_count++;
    }
    if (rc == RC_OK && l->add) {
        rc = graph_tensor_floats(g, graph_constant(g, graph_input(g, l->add, l->add_slot)), &l->bias, &count,
                                 err);
    }
    return rc;
}

static size_t layer_of(const struct equalize_pairs *p, const struct graph_node *n) {
    for (size_t i = 0; i < p->layer_count; i++) {
        if (p->layers[i].node == n) {
            return i;
        }
    }
    return SIZE_MAX;
}

/* --- from a layer to the next --- */

/* f(s x) = s f(x) for every positive s by channel. */
static bool passes_factors(const struct graph_node *n) {
    static const char *const names[] = {
        "Relu", "LeakyRelu", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "Identity"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (graph_is_op(n, names[i])) {
            return n->proto->n_output == 1;
        }
    }
    return false;
}

/* [N, C, ...] to [N, C * ...]. A Reshape does that for certain where it keeps the first axis, or where one
 * value a channel is left. */
static bool flattens(const struct graph *g, const struct graph_node *n, size_t channels, bool one_each) {
    if (graph_is_op(n, "Flatten")) {
        return graph_attr_int(n, "axis", 1) == 1;
    }
    const Onnx__TensorProto *t = graph_is_op(n, "Reshape") ? graph_constant(g, graph_input(g, n, 1)) : NULL;
    int64_t *shape = NULL;
    size_t count = 0;
    if (!t || graph_attr_int(n, "allowzero", 0) || graph_tensor_ints(g, t, &shape, &count, NULL) != RC_OK) {
        return false;
    }
    bool flat = count == 2 && (shape[0] == 0 || (one_each && shape[1] == (int64_t)channels));
    free(shape);
    return flat;
}

/* All that read v must be layers, through their first input, whose inputs are `channels` or, behind a
 * flattening, a multiple of it. */
static bool take_readers(const struct equalize_pairs *p, const struct graph_value *v, size_t channels,
                         bool flat, struct equalize_pair *pair) {
    if (v->is_output || graph_is_captured(v) || v->use_count == 0 || v->use_count > EQUALIZE_READERS_MAX) {
        return false;
    }
    for (size_t i = 0; i < v->use_count; i++) {
        size_t to = layer_of(p, v->uses[i].node);
        if (to == SIZE_MAX || v->uses[i].slot != 0) {
            return false;
        }
        size_t inputs = inputs_of(&p->layers[to]);
        if (flat ? inputs % channels != 0 : inputs != channels) {
            return false;
        }
        pair->to[pair->to_count++] = to;
    }
    return true;
}

static bool follow(const struct graph *g, const struct equalize_pairs *p, size_t from,
                   struct equalize_pair *pair) {
    const struct equalize_layer *l = &p->layers[from];
    const struct graph_value *v = graph_output(g, l->add && l->add != l->node ? l->add : l->node, 0);
    bool conv = l->weights.kind == WEIGHTS_CONV, flat = false, one_each = false;
    size_t relus = 0, others = 0;
    *pair = (struct equalize_pair){.from = from};
    for (const struct graph_use *use; v && (use = graph_sole_use(v)) != NULL && use->slot == 0;) {
        bool relu = graph_is_op(use->node, "Relu");
        if (conv && !flat && flattens(g, use->node, l->outputs, one_each)) {
            flat = true;
        } else if (relu || (conv && !flat && passes_factors(use->node))) {
            relus += relu;
            others += !relu;
            one_each = one_each || strncmp(use->node->proto->op_type, "Global", 6) == 0;
        } else {
            break;
        }
        v = graph_output(g, use->node, 0);
    }
    pair->only_relu = relus == 1 && others == 0;
    return v && take_readers(p, v, l->outputs, flat, pair);
}

enum rc equalize_pairs_find(struct graph *g, struct equalize_pairs *ret, struct err *err) {
    size_t nodes = graph_node_count(g);
    *ret = (struct equalize_pairs){.layers = calloc(nodes + 1, sizeof(*ret->layers)),
                                   .pairs = calloc(nodes + 1, sizeof(*ret->pairs))};
    enum rc rc = ret->layers && ret->pairs ? RC_OK : err_memory(err);
    for (struct graph_node *n = graph_first(g); n && rc == RC_OK; n = n->next) {
        rc = add_layer(g, n, ret, err);
    }
    for (size_t i = 0; i < ret->layer_count && rc == RC_OK; i++) {
        ret->count += follow(g, ret, i, &ret->pairs[ret->count]);
    }
    return rc;
}

void equalize_pairs_release(struct equalize_pairs *p) {
    for (size_t i = 0; i < p->layer_count; i++) {
        free(p->layers[i].w);
        free(p->layers[i].bias);
    }
    free(p->layers);
    free(p->pairs);
    *p = (struct equalize_pairs){0};
}
