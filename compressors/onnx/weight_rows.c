#include "compressors/onnx/weight_rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/halves.h"
#include "core/base/checked.h"
#include "core/formats/dtype.h"

bool weight_rows_possible(const struct graph_node *n, const struct weights *w, const char **why) {
    (void)n;
    *why = w->kind == WEIGHTS_NONE                             ? "its weights are not constant"
           : w->kind == WEIGHTS_CONV_TRANSPOSE                 ? "transposed convolutions are not covered"
           : w->slot != 1                                      ? "the constant is not the right operand"
           : w->tensor->data_type == GRAPH_FLOAT64             ? "its weights are float64"
           : w->kind != WEIGHTS_CONV && w->tensor->n_dims != 2 ? "its weights are a stack of matrices"
                                                               : NULL;
    return *why == NULL;
}

/* A layer's weights lie row by row as stored, or column by column. */
static bool is_transposed(const struct graph_node *n, const struct weights *w) {
    return w->kind == WEIGHTS_MATMUL || (w->kind == WEIGHTS_GEMM && !graph_attr_int(n, "transB", 0));
}

static enum rc shape_of(const struct graph_node *n, const struct weights *w, struct weight_rows *r,
                        struct err *err) {
    const Onnx__TensorProto *t = w->tensor;
    size_t count;
    enum rc rc = graph_tensor_count(t, &count, err);
    if (rc != RC_OK) {
        return rc;
    }
    int64_t groups = w->kind == WEIGHTS_CONV ? graph_attr_int(n, "group", 1) : 1;
    size_t outputs = (size_t)t->dims[is_transposed(n, w) ? 1 : 0];
    if (count == 0 || groups < 1 || outputs % (size_t)groups != 0) {
        return err_set(err, RC_INPUT, "weights \"%.160s\" do not fit their node", w->value->name);
    }
    r->groups = (size_t)groups;
    r->rows = outputs / r->groups;
    r->columns = count / outputs;
    r->run = w->kind == WEIGHTS_CONV ? (size_t)t->dims[1] : r->columns;
    return RC_OK;
}

size_t weight_rows_stored_column(const struct weight_rows *r, enum weight_rows_order order, size_t column) {
    if (order == WEIGHT_ROWS_AS_STORED) {
        return column;
    }
    size_t positions = r->columns / r->run;
    return column % r->run * positions + column / r->run;
}

/* Where weight (row of all groups, column) lies in the tensor. */
static size_t stored_at(const struct weight_rows *r, bool transposed, enum weight_rows_order order,
                        size_t row, size_t column) {
    size_t stored = weight_rows_stored_column(r, order, column);
    return transposed ? stored * r->rows + row : row * r->columns + stored;
}

enum rc weight_rows_load(const struct graph *g, const struct graph_node *n, const struct weights *w,
                         enum weight_rows_order order, struct weight_rows *ret, struct err *err) {
    struct weight_rows r = {0};
    float *stored = NULL;
    size_t count = 0;
    enum rc rc = shape_of(n, w, &r, err);
    rc = rc != RC_OK ? rc : graph_tensor_floats(g, w->tensor, &stored, &count, err);
    if (rc != RC_OK) {
        return rc;
    }
    r.values = malloc(count * sizeof(*r.values));
    rc = r.values ? RC_OK : err_memory(err);
    bool transposed = is_transposed(n, w);
    for (size_t i = 0; i < count && rc == RC_OK; i++) {
        r.values[i] = stored[stored_at(&r, transposed, order, i / r.columns, i % r.columns)];
        if (!isfinite(r.values[i])) {
            rc = err_set(err, RC_INPUT, "weights \"%.160s\": a value is not a finite number", w->value->name);
        }
    }
    free(stored);
    if (rc != RC_OK) {
        free(r.values);
        return rc;
    }
    *ret = r;
    return RC_OK;
}

enum rc weight_rows_set_floats(struct graph *g, Onnx__TensorProto *t, const float *values, size_t count,
                               struct err *err) {
    const int64_t *dims = t->dims;
    if (t->data_type == GRAPH_FLOAT32) {
        return graph_set_tensor(g, t, GRAPH_FLOAT32, dims, t->n_dims, values, count * sizeof(*values), err);
    }
    uint16_t *halves = malloc(count ? count * sizeof(*halves) : 1);
    if (!halves) {
        return err_memory(err);
    }
    if (t->data_type == GRAPH_FLOAT16) {
        halves_of_floats(values, count, halves);
    }
    for (size_t i = 0; t->data_type != GRAPH_FLOAT16 && i < count; i++) {
        halves[i] = dtype_bfloat16_of_float(values[i]);
    }
    enum rc rc = graph_set_tensor(g, t, t->data_type, dims, t->n_dims, halves, count * sizeof(*halves), err);
    free(halves);
    return rc;
}

enum rc weight_rows_store(struct graph *g, const struct graph_node *n, const struct weights *w,
                          enum weight_rows_order order, const struct weight_rows *rows, struct err *err) {
    size_t count = rows->groups * rows->rows * rows->columns;
    float *stored = malloc(count * sizeof(*stored));
    if (!stored) {
        return err_memory(err);
    }
    bool transposed = is_transposed(n, w);
    for (size_t i = 0; i < count; i++) {
        stored[stored_at(rows, transposed, order, i / rows->columns, i % rows->columns)] = rows->values[i];
    }
    enum rc rc = weight_rows_set_floats(g, w->tensor, stored, count, err);
    free(stored);
    return rc;
}

void weight_rows_release(struct weight_rows *r) {
    free(r->values);
    *r = (struct weight_rows){0};
}

double *weight_rows_moments(const struct weight_rows *r, enum weight_rows_order order, const double *products,
                            size_t group) {
    size_t n = r->columns;
    double *h = malloc(n * n * sizeof(*h));
    products += group * n * n;
    for (size_t i = 0; h && i < n; i++) {
        const double *from = products + weight_rows_stored_column(r, order, i) * n;
        for (size_t j = 0; j < n; j++) {
            h[i * n + j] = from[weight_rows_stored_column(r, order, j)];
        }
    }
    return h;
}
