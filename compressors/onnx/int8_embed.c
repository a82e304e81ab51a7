#include "compressors/onnx/int8_embed.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "compressors/onnx/int8_weights.h"

enum { NAME_SIZE = 512, OPSET = 13, MIN_ROWS = 64 };

static bool is_table(const struct graph *g, const struct graph_value *v) {
    const Onnx__TensorProto *t = v && !v->is_input && !v->is_output ? graph_constant(g, v) : NULL;
    if (!t || t->data_type != GRAPH_FLOAT32 || t->n_dims != 2 || t->dims[0] < MIN_ROWS || t->dims[1] <= 0) {
        return false;
    }
    for (size_t i = 0; i < v->use_count; i++) {
        const struct graph_use *use = &v->uses[i];
        if (use->slot != 0 || !graph_is_op(use->node, "Gather") ||
            graph_attr_int(use->node, "axis", 0) != 0) {
            return false;
        }
    }
    return v->use_count > 0;
}

/* Names of the parts of a quantized table. */
struct table {
    const char *integers, *scale, *zero_point;
};

static enum rc add_table(struct graph *g, const struct graph_value *v, struct table *ret, struct err *err) {
    const Onnx__TensorProto *t = graph_constant(g, v);
    struct int8_quantized w;
    struct graph_value *added[3] = {NULL, NULL, NULL};
    char hint[NAME_SIZE];
    int8_t *zeros = NULL;
    enum rc rc = int8_weights_read(g, t, 1, INT8_PER_CHANNEL, &w, err);
    if (rc) {
        goto out;
    }
    int64_t columns = (int64_t)w.view.channels;
    int8_weights_quantize(w.values, w.view, w.scales, w.q);
    zeros = calloc(w.view.channels, 1);
    if (!zeros) {
        rc = err_memory(err);
        goto out;
    }
    snprintf(hint, sizeof(hint), "%.480s_quantized", v->name);
    rc = graph_add_initializer(g, hint, GRAPH_INT8, t->dims, t->n_dims, w.q, w.count, &added[0], err);
    if (!rc) {
        snprintf(hint, sizeof(hint), "%.480s_scale", v->name);
        rc = graph_add_initializer(g, hint, GRAPH_FLOAT32, &columns, 1, w.scales,
                                   w.view.channels * sizeof(float), &added[1], err);
    }
    if (!rc) {
        snprintf(hint, sizeof(hint), "%.480s_zero_point", v->name);
        rc = graph_add_initializer(g, hint, GRAPH_INT8, &columns, 1, zeros, w.view.channels, &added[2], err);
    }
    if (!rc) {
        *ret = (struct table){added[0]->name, added[1]->name, added[2]->name};
    }
out:
    free(zeros);
    int8_weights_release(&w);
    return rc;
}

/* The Gather gives rows of integers under a new name; DequantizeLinear gives the old one. */
static enum rc rewire(struct graph *g, struct graph_node *gather, const struct table *t, struct err *err) {
    const char *out = graph_output(g, gather, 0)->name;
    char hint[NAME_SIZE];
    snprintf(hint, sizeof(hint), "%.480s_quantized", out);
    const char *rows = graph_unique_name(g, hint);
    if (!rows) {
        return err_memory(err);
    }
    enum rc rc = graph_set_input(g, gather, 0, t->integers, err);
    if (!rc) {
        rc = graph_set_output(g, gather, 0, rows, err);
    }
    const char *inputs[] = {rows, t->scale, t->zero_point};
    struct graph_node_spec spec = {.op_type = "DequantizeLinear",
                                   .inputs = inputs,
                                   .input_count = 3,
                                   .outputs = &out,
                                   .output_count = 1};
    struct graph_node *n = NULL;
    if (!rc) {
        rc = graph_add_node(g, &spec, NULL, &n, err);
    }
    return rc ? rc : graph_set_attr_int(g, n, "axis", -1, err);
}

static enum rc quantize_table(struct graph *g, struct graph_value *v, struct record *record,
                              struct err *err) {
    struct table t;
    enum rc rc = graph_need_opset(g, OPSET, err);
    if (!rc) {
        rc = add_table(g, v, &t, err);
    }
    while (!rc && v->use_count > 0) {
        rc = rewire(g, v->uses[0].node, &t, err);
    }
    return rc ? rc : record_changed(record, err, v->name, "int8 rows, one scale a column, read by Gather");
}

enum rc int8_embed_quantize(struct graph *g, const struct int8_ban *ban, struct record *record,
                            struct err *err) {
    size_t n = graph_value_count(g); /* values added on the way are not tables */
    for (size_t i = 0; i < n; i++) {
        struct graph_value *v = graph_value_at(g, i);
        if (is_table(g, v) && !int8_ban_has(ban, v)) {
            enum rc rc = quantize_table(g, v, record, err);
            if (rc) {
                return rc;
            }
        }
    }
    return RC_OK;
}
