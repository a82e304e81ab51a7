#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/graph_internal.h"
#include "compressors/onnx/passes.h"
#include "core/base/checked.h"

enum { SHARED_MAX_BYTES = 1024 };

/* --- Constant nodes --- */

/* The tensor that a Constant node stands for, as raw bytes. False for strings, sparse tensors and rare types.
 */
struct constant {
    int32_t dtype;
    const int64_t *dims;
    size_t rank;
    const void *bytes;
    size_t size;
    int64_t length; /* storage for dims */
};

static bool read_list(struct constant *c, int32_t dtype, const void *data, size_t count, size_t width) {
    c->length = (int64_t)count;
    c->dtype = dtype;
    c->dims = &c->length;
    c->rank = 1;
    c->bytes = data;
    c->size = count * width;
    return data != NULL;
}

static bool read_constant(struct graph *g, const struct graph_node *n, struct constant *c) {
    const Onnx__AttributeProto *a = graph_attr(n, "value");
    if (a && a->t) {
        const uint8_t *bytes = NULL;
        if (graph_tensor_bytes(g, a->t, &bytes, &c->size, NULL) != RC_OK) {
            return false;
        }
        c->dtype = a->t->data_type;
        c->dims = a->t->dims;
        c->rank = a->t->n_dims;
        c->bytes = bytes;
        return true;
    }
    if ((a = graph_attr(n, "value_floats")) != NULL) {
        return read_list(c, GRAPH_FLOAT32, a->floats, a->n_floats, sizeof(float));
    }
    if ((a = graph_attr(n, "value_ints")) != NULL) {
        return read_list(c, GRAPH_INT64, a->ints, a->n_ints, sizeof(int64_t));
    }
    if ((a = graph_attr(n, "value_float")) != NULL && a->has_f) {
        *c = (struct constant){.dtype = GRAPH_FLOAT32, .bytes = &a->f, .size = sizeof(a->f)};
        return true;
    }
    if ((a = graph_attr(n, "value_int")) != NULL && a->has_i) {
        *c = (struct constant){.dtype = GRAPH_INT64, .bytes = &a->i, .size = sizeof(a->i)};
        return true;
    }
    return false;
}

/* Puts an initializer in place of node n, whose only output is v. Values that a subgraph reads or that are
 * outputs of the graph keep their node, because their name must stay. */
static enum rc replace_by_initializer(struct graph *g, struct graph_node *n, struct graph_value *v,
                                      const struct constant *c, struct err *err) {
    struct graph_value *fresh;
    enum rc rc =
        graph_add_initializer(g, v->name, c->dtype, c->dims, c->rank, c->bytes, c->size, &fresh, err);
    rc = rc != RC_OK ? rc : graph_redirect(g, v, fresh, NULL, err);
    if (rc == RC_OK) {
        graph_remove_node(g, n);
    }
    return rc;
}

static bool must_keep_name(const struct graph_value *v) {
    return v->is_output || graph_is_captured(v);
}

/* --- moving elements --- */

static bool is_reshape(const struct graph_node *n) {
    return graph_is_op(n, "Identity") || graph_is_op(n, "Reshape") || graph_is_op(n, "Squeeze") ||
           graph_is_op(n, "Unsqueeze") || graph_is_op(n, "Flatten");
}

struct shape {
    int64_t dims[GRAPH_MAX_RANK];
    size_t rank;
};

/* Axes from the attribute or from constant input 1. False when neither can be read; *count 0 when absent. */
static bool read_axes(const struct graph *g, const struct graph_node *n, int64_t axes[GRAPH_MAX_RANK],
                      size_t *count) {
    const int64_t *list = graph_attr_ints(n, "axes", count);
    if (!list && graph_input(g, n, 1)) {
        const Onnx__TensorProto *t = graph_constant(g, graph_input(g, n, 1));
        int64_t *values;
        if (!t || graph_tensor_ints(g, t, &values, count, NULL) != RC_OK) {
            return false;
        }
        if (*count <= GRAPH_MAX_RANK) {
            memcpy(axes, values, *count * sizeof(*axes));
        }
        free(values);
    } else if (list && *count <= GRAPH_MAX_RANK) {
        memcpy(axes, list, *count * sizeof(*axes));
    }
    return *count <= GRAPH_MAX_RANK;
}

/* Marks axes, counted from the end when negative. False for one out of range or given twice. */
static bool mark_axes(const int64_t *axes, size_t count, size_t rank, bool marked[GRAPH_MAX_RANK]) {
    memset(marked, 0, GRAPH_MAX_RANK * sizeof(*marked));
    for (size_t i = 0; i < count; i++) {
        int64_t axis = axes[i] < 0 ? axes[i] + (int64_t)rank : axes[i];
        if (axis < 0 || axis >= (int64_t)rank || marked[axis]) {
            return false;
        }
        marked[axis] = true;
    }
    return true;
}

static bool squeeze_shape(const struct graph *g, const struct graph_node *n, const struct shape *in,
                          struct shape *out) {
    int64_t axes[GRAPH_MAX_RANK];
    bool marked[GRAPH_MAX_RANK];
    size_t count;
    if (!read_axes(g, n, axes, &count) || !mark_axes(axes, count, in->rank, marked) ||
        (!count && graph_input(g, n, 1))) {
        return false;
    }
    out->rank = 0;
    for (size_t i = 0; i < in->rank; i++) {
        if (marked[i] && in->dims[i] != 1) {
            return false;
        }
        if (!marked[i] && (count || in->dims[i] != 1)) {
            out->dims[out->rank++] = in->dims[i];
        }
    }
    return true;
}

static bool unsqueeze_shape(const struct graph *g, const struct graph_node *n, const struct shape *in,
                            struct shape *out) {
    int64_t axes[GRAPH_MAX_RANK];
    bool marked[GRAPH_MAX_RANK];
    size_t count, next = 0;
    if (!read_axes(g, n, axes, &count) || in->rank + count > GRAPH_MAX_RANK ||
        !mark_axes(axes, count, in->rank + count, marked)) {
        return false;
    }
    out->rank = in->rank + count;
    for (size_t i = 0; i < out->rank; i++) {
        out->dims[i] = marked[i] ? 1 : in->dims[next++];
    }
    return true;
}

/* Reshape's 0 (copy) and -1 (what is left). */
static bool reshape_shape(const struct graph *g, const struct graph_node *n, const struct shape *in,
                          size_t elements, struct shape *out) {
    const Onnx__TensorProto *t = graph_constant(g, graph_input(g, n, 1));
    int64_t *dims;
    size_t rank, product = 1, open = SIZE_MAX;
    if (!t || graph_attr_int(n, "allowzero", 0) || graph_tensor_ints(g, t, &dims, &rank, NULL) != RC_OK) {
        return false;
    }
    bool ok = rank <= GRAPH_MAX_RANK;
    for (size_t i = 0; ok && i < rank; i++) {
        out->dims[i] = dims[i] == 0 && i < in->rank ? in->dims[i] : dims[i];
        if (out->dims[i] == -1 && open == SIZE_MAX) {
            open = i;
        } else {
            ok = out->dims[i] > 0 && !checked_mul(product, (size_t)out->dims[i], &product);
        }
    }
    free(dims);
    out->rank = rank;
    if (ok && open != SIZE_MAX) {
        out->dims[open] = (int64_t)(elements / product);
        product *= elements / product;
    }
    return ok && product == elements;
}

static bool flatten_shape(const struct graph_node *n, const struct shape *in, struct shape *out) {
    int64_t axis = graph_attr_int(n, "axis", 1);
    axis += axis < 0 ? (int64_t)in->rank : 0;
    if (axis < 0 || axis > (int64_t)in->rank) {
        return false;
    }
    *out = (struct shape){{1, 1}, 2};
    for (size_t i = 0; i < in->rank; i++) {
        out->dims[i >= (size_t)axis] *= in->dims[i]; /* a part of a product that was checked */
    }
    return true;
}

static bool new_shape(const struct graph *g, const struct graph_node *n, const struct shape *in,
                      size_t elements, struct shape *out) {
    *out = *in;
    if (graph_is_op(n, "Squeeze")) {
        return squeeze_shape(g, n, in, out);
    }
    if (graph_is_op(n, "Unsqueeze")) {
        return unsqueeze_shape(g, n, in, out);
    }
    if (graph_is_op(n, "Flatten")) {
        return flatten_shape(n, in, out);
    }
    return graph_is_op(n, "Identity") || reshape_shape(g, n, in, elements, out);
}

/* --- Transpose --- */

static bool read_permutation(const struct graph_node *n, size_t rank, size_t perm[GRAPH_MAX_RANK]) {
    size_t count;
    const int64_t *list = graph_attr_ints(n, "perm", &count);
    bool marked[GRAPH_MAX_RANK];
    if (list && (count != rank || !mark_axes(list, count, rank, marked))) {
        return false;
    }
    for (size_t i = 0; i < rank; i++) {
        perm[i] = list ? (size_t)(list[i] < 0 ? list[i] + (int64_t)rank : list[i]) : rank - 1 - i;
    }
    return true;
}

/* out[i] = in[i permuted], elements of `width` bytes, one odometer step an element. */
static void transpose(const uint8_t *in, uint8_t *out, const struct shape *s, const size_t *perm,
                      size_t elements, size_t width) {
    size_t stride[GRAPH_MAX_RANK], at[GRAPH_MAX_RANK] = {0}, from = 0;
    for (size_t i = s->rank, step = 1; i-- > 0;) {
        stride[i] = step;
        step *= (size_t)s->dims[i];
    }
    for (size_t e = 0; e < elements; e++) {
        memcpy(out + e * width, in + from * width, width);
        for (size_t i = s->rank; i-- > 0;) {
            from += stride[perm[i]];
            if (++at[i] < (size_t)s->dims[perm[i]]) {
                break;
            }
            from -= at[i] * stride[perm[i]];
            at[i] = 0;
        }
    }
}

/* --- the pass --- */

static enum rc fold_transpose(struct graph *g, struct graph_node *n, struct graph_value *v,
                              struct constant *c, const struct shape *in, size_t elements, size_t *count,
                              struct err *err) {
    size_t perm[GRAPH_MAX_RANK], width = graph_dtype_bytes(c->dtype, 1);
    if (!read_permutation(n, in->rank, perm) || width * elements != c->size) {
        return RC_OK; /* 4-bit types among them */
    }
    uint8_t *moved = malloc(c->size ? c->size : 1);
    if (!moved) {
        return err_memory(err);
    }
    struct shape out = {.rank = in->rank};
    for (size_t i = 0; i < in->rank; i++) {
        out.dims[i] = in->dims[perm[i]];
    }
    transpose(c->bytes, moved, in, perm, elements, width);
    struct constant result = {
        .dtype = c->dtype, .dims = out.dims, .rank = out.rank, .bytes = moved, .size = c->size};
    enum rc rc = replace_by_initializer(g, n, v, &result, err);
    free(moved);
    (*count)++;
    return rc;
}

/* Computes n when it only moves elements of a constant. */
static enum rc fold_move(struct graph *g, struct graph_node *n, struct graph_value *v, size_t *count,
                         struct err *err) {
    Onnx__TensorProto *t = graph_constant(g, graph_input(g, n, 0));
    struct constant c = {0};
    const uint8_t *bytes = NULL;
    size_t elements = 0;
    if (!t || t->n_dims > GRAPH_MAX_RANK || graph_tensor_bytes(g, t, &bytes, &c.size, NULL) != RC_OK ||
        graph_tensor_count(t, &elements, NULL) != RC_OK || !elements) {
        return RC_OK;
    }
    if (graph_is_op(n, "Identity") && !graph_input(g, n, 0)->producer) {
        (*count)++;
        enum rc rc = graph_redirect(g, v, graph_input(g, n, 0), NULL, err);
        graph_remove_node(g, n);
        return rc;
    }
    if (c.size > SHARED_MAX_BYTES && !graph_sole_use(graph_input(g, n, 0))) {
        return RC_OK; /* the original would stay beside the result */
    }
    struct shape in = {.rank = t->n_dims}, out;
    for (size_t i = 0; i < in.rank; i++) {
        in.dims[i] = t->dims[i];
    }
    c.bytes = bytes;
    c.dtype = t->data_type;
    if (graph_is_op(n, "Transpose")) {
        return fold_transpose(g, n, v, &c, &in, elements, count, err);
    }
    if (!new_shape(g, n, &in, elements, &out)) {
        return RC_OK;
    }
    c.dims = out.dims;
    c.rank = out.rank;
    (*count)++;
    return replace_by_initializer(g, n, v, &c, err);
}

static enum rc fold_node(struct graph *g, struct graph_node *n, size_t *count, struct err *err) {
    struct graph_value *v = graph_output(g, n, 0);
    struct constant c = {0};
    if (!v || n->proto->n_output != 1 || must_keep_name(v)) {
        return RC_OK;
    }
    if (graph_is_op(n, "Constant") && read_constant(g, n, &c)) {
        (*count)++;
        return replace_by_initializer(g, n, v, &c, err);
    }
    return is_reshape(n) || graph_is_op(n, "Transpose") ? fold_move(g, n, v, count, err) : RC_OK;
}

enum rc pass_fold_constants(struct graph *g, size_t *count, struct err *err) {
    size_t folded = 0;
    enum rc rc = graph_sort(g, err);
    for (struct graph_node *n = graph_first(g), *next; n && rc == RC_OK; n = next) {
        next = n->next;
        rc = fold_node(g, n, &folded, err);
    }
    if (count) {
        *count = folded;
    }
    return rc != RC_OK || !folded ? rc : pass_remove_dead(g, NULL, err);
}
