#include "compressors/onnx/lowrank_emit.h"

#include <stdio.h>
#include <stdlib.h>

enum { NAME_SIZE = 512, PIVOT_OPSET = 11 /* negative axes */ };

const char *lowrank_emit_obstacle(const struct graph *g, const struct graph_node *n,
                                  const struct weights *w) {
    const char *why;
    if (!weight_rows_possible(n, w, &why)) {
        return why;
    }
    if (w->tensor->data_type != GRAPH_FLOAT32) {
        return "its weights are not float32";
    }
    if (w->kind == WEIGHTS_GEMM && graph_attr_int(n, "transA", 0)) {
        return "its left operand is transposed";
    }
    if (w->value->use_count > 1 || w->value->is_output || graph_is_captured(w->value)) {
        return "others read its weights too";
    }
    return graph_output(g, n, 0) ? NULL : "nothing reads its output";
}

struct emit {
    struct graph *g;
    struct graph_node *n;
    const struct weights *w;
    const struct weight_rows *shape;
    size_t rank;
};

/* [rows, columns] as it is, or turned into [columns, rows]. */
static enum rc add_matrix(const struct emit *e, const char *suffix, const float *values, size_t rows,
                          size_t columns, bool turned, const char **name, struct err *err) {
    char hint[NAME_SIZE];
    struct graph_value *v;
    const int64_t dims[] = {(int64_t)(turned ? columns : rows), (int64_t)(turned ? rows : columns)};
    float *out = malloc((rows * columns + 1) * sizeof(*out));
    if (!out) {
        return err_memory(err);
    }
    for (size_t i = 0; i < rows * columns; i++) {
        out[turned ? i % columns * rows + i / columns : i] = values[i];
    }
    (void)snprintf(hint, sizeof(hint), "%.480s%s", e->w->value->name, suffix);
    enum rc rc = graph_add_initializer(e->g, hint, GRAPH_FLOAT32, dims, 2, out, rows * columns * sizeof(*out),
                                       &v, err);
    free(out);
    if (rc == RC_OK) {
        *name = v->name;
    }
    return rc;
}

/* A kernel [outputs, inputs, kernel...]; `as` gives the kernel's sizes, all 1 when `point`. */
static enum rc add_kernel(const struct emit *e, const char *suffix, const float *values, size_t outputs,
                          size_t inputs, bool point, const char **name, struct err *err) {
    char hint[NAME_SIZE];
    struct graph_value *v;
    int64_t dims[GRAPH_MAX_RANK] = {(int64_t)outputs, (int64_t)inputs};
    size_t axes = e->w->tensor->n_dims, count = outputs * inputs;
    for (size_t i = 2; i < axes; i++) {
        dims[i] = point ? 1 : e->w->tensor->dims[i];
        count *= (size_t)dims[i];
    }
    (void)snprintf(hint, sizeof(hint), "%.480s%s", e->w->value->name, suffix);
    enum rc rc = graph_add_initializer(e->g, hint, GRAPH_FLOAT32, dims, axes, values, count * sizeof(*values),
                                       &v, err);
    if (rc == RC_OK) {
        *name = v->name;
    }
    return rc;
}

/* Adds the narrow layer before n and makes n read it and its own new weights. */
static enum rc chain(const struct emit *e, const char *op_type, const char *narrow, const char *wide,
                     struct graph_node **made, struct err *err) {
    char hint[NAME_SIZE];
    (void)snprintf(hint, sizeof(hint), "%.480s_rank", graph_output(e->g, e->n, 0)->name);
    const char *middle = graph_unique_name(e->g, hint);
    const char *inputs[] = {e->n->proto->input[0], narrow};
    const struct graph_node_spec spec = {
        .op_type = op_type, .inputs = inputs, .input_count = 2, .outputs = &middle, .output_count = 1};
    enum rc rc = middle ? graph_add_node(e->g, &spec, e->n, made, err) : err_memory(err);
    rc = rc != RC_OK ? rc : graph_set_input(e->g, e->n, 0, middle, err);
    return rc != RC_OK ? rc : graph_set_input(e->g, e->n, 1, wide, err);
}

static enum rc emit_product(const struct emit *e, const float *narrow, const float *wide, struct err *err) {
    const char *names[2];
    struct graph_node *made;
    bool turned = !(e->w->kind == WEIGHTS_GEMM && graph_attr_int(e->n, "transB", 0));
    enum rc rc = add_matrix(e, "_narrow", narrow, e->rank, e->shape->columns, true, &names[0], err);
    rc = rc != RC_OK ? rc : add_matrix(e, "_wide", wide, e->shape->rows, e->rank, turned, &names[1], err);
    return rc != RC_OK ? rc : chain(e, "MatMul", names[0], names[1], &made, err);
}

/* The attributes of a convolution move to the narrow one, which has its kernel. */
static enum rc move_attributes(const struct emit *e, struct graph_node *narrow, struct err *err) {
    static const char *const lists[] = {"kernel_shape", "strides", "pads", "dilations"};
    enum rc rc = graph_set_attr_int(e->g, narrow, "group", (int64_t)e->shape->groups, err);
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]) && rc == RC_OK; i++) {
        size_t count;
        const int64_t *values = graph_attr_ints(e->n, lists[i], &count);
        rc = values ? graph_set_attr_ints(e->g, narrow, lists[i], values, count, err) : RC_OK;
        graph_remove_attr(e->n, lists[i]);
    }
    static const char *const pads[] = {"SAME_UPPER", "SAME_LOWER", "VALID"};
    for (size_t i = 0; i < 3 && rc == RC_OK; i++) {
        if (graph_attr_is(e->n, "auto_pad", pads[i])) {
            rc = graph_set_attr_string(e->g, narrow, "auto_pad", pads[i], err);
        }
    }
    graph_remove_attr(e->n, "auto_pad");
    return rc;
}

static enum rc emit_conv(const struct emit *e, const float *narrow, const float *wide, struct err *err) {
    const char *names[2];
    struct graph_node *made;
    size_t groups = e->shape->groups;
    enum rc rc = add_kernel(e, "_narrow", narrow, groups * e->rank, e->shape->run, false, &names[0], err);
    rc = rc != RC_OK ? rc
                     : add_kernel(e, "_wide", wide, groups * e->shape->rows, e->rank, true, &names[1], err);
    rc = rc != RC_OK ? rc : chain(e, "Conv", names[0], names[1], &made, err);
    return rc != RC_OK ? rc : move_attributes(e, made, err);
}

enum rc lowrank_emit(struct graph *g, struct graph_node *n, const struct weights *w,
                     const struct weight_rows *shape, size_t rank, const float *narrow, const float *wide,
                     struct err *err) {
    const struct emit e = {g, n, w, shape, rank};
    struct graph_value *old = w->value;
    enum rc rc =
        w->kind == WEIGHTS_CONV ? emit_conv(&e, narrow, wide, err) : emit_product(&e, narrow, wide, err);
    return rc != RC_OK || !old->initializer ? rc : graph_remove_initializer(g, old, err);
}

/* --- some outputs from the others --- */

bool lowrank_emit_can_pivot(const struct weights *w) {
    return w->kind == WEIGHTS_MATMUL;
}

/* Adds `op` of two values along the last axis. */
static enum rc add_along_last(const struct emit *e, const char *op, const char *first, const char *second,
                              const char *output, struct err *err) {
    const char *inputs[] = {first, second};
    struct graph_node *made;
    const struct graph_node_spec spec = {
        .op_type = op, .inputs = inputs, .input_count = 2, .outputs = &output, .output_count = 1};
    enum rc rc = graph_add_node(e->g, &spec, e->n->next, &made, err);
    return rc != RC_OK ? rc : graph_set_attr_int(e->g, made, "axis", -1, err);
}

/* Where each output is in what Concat gives. */
static enum rc add_places(const struct emit *e, const size_t *order, const char **name, struct err *err) {
    char hint[NAME_SIZE];
    struct graph_value *v;
    int64_t *places = calloc(e->shape->rows + 1, sizeof(*places));
    if (!places) {
        return err_memory(err);
    }
    for (size_t i = 0; i < e->shape->rows; i++) {
        places[order[i]] = (int64_t)i;
    }
    (void)snprintf(hint, sizeof(hint), "%.480s_places", e->w->value->name);
    enum rc rc = graph_add_ints(e->g, hint, places, e->shape->rows, &v, err);
    free(places);
    if (rc == RC_OK) {
        *name = v->name;
    }
    return rc;
}

/* Makes n give another name, and the two parts together the old one. */
static enum rc join(const struct emit *e, const char *kept, const size_t *order, struct err *err) {
    char hint[NAME_SIZE];
    const char *output = graph_output(e->g, e->n, 0)->name, *places = NULL;
    (void)snprintf(hint, sizeof(hint), "%.480s_rest", output);
    const char *rest = graph_unique_name(e->g, hint);
    (void)snprintf(hint, sizeof(hint), "%.480s_parts", output);
    enum rc rc = rest ? graph_set_output(e->g, e->n, 0, rest, err) : err_memory(err);
    if (rc != RC_OK || !order) {
        return rc != RC_OK ? rc : add_along_last(e, "Concat", kept, rest, output, err);
    }
    const char *parts = graph_unique_name(e->g, hint);
    rc = parts ? add_places(e, order, &places, err) : err_memory(err);
    rc = rc != RC_OK ? rc : add_along_last(e, "Gather", parts, places, output, err);
    return rc != RC_OK ? rc : add_along_last(e, "Concat", kept, rest, parts, err);
}

enum rc lowrank_emit_pivot(struct graph *g, struct graph_node *n, const struct weights *w,
                           const struct weight_rows *shape, size_t rank, const float *kept, const float *rest,
                           const size_t *order, struct err *err) {
    const struct emit e = {g, n, w, shape, rank};
    const char *names[2];
    struct graph_node *made;
    struct graph_value *old = w->value;
    enum rc rc = graph_need_opset(g, PIVOT_OPSET, err);
    rc = rc != RC_OK ? rc : add_matrix(&e, "_kept", kept, rank, shape->columns, true, &names[0], err);
    rc = rc != RC_OK ? rc : add_matrix(&e, "_rest", rest, shape->rows - rank, rank, true, &names[1], err);
    rc = rc != RC_OK ? rc : chain(&e, "MatMul", names[0], names[1], &made, err);
    rc = rc != RC_OK ? rc : join(&e, graph_output(g, made, 0)->name, order, err);
    return rc != RC_OK || !old->initializer ? rc : graph_remove_initializer(g, old, err);
}
