#include "compressors/onnx/nbits_emit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/nbits_pack.h"

enum { HINT_SIZE = 256, INT8_ACCURACY = 4 };

const char *nbits_obstacle(const struct graph *g, const struct graph_node *n, const struct weights *w,
                           unsigned bits) {
    if (w->kind == WEIGHTS_CONV) {
        return "convolutions have no kernel for packed weights";
    }
    if (bits != 2 && bits != 4 && bits != 8) {
        return "the runtime's kernels take 2, 4 and 8 bits";
    }
    if (w->slot != 1 || w->tensor->n_dims != 2 || !graph_output(g, n, 0)) {
        return "the constant is not a matrix on the right";
    }
    if (w->kind == WEIGHTS_GEMM && graph_attr_int(n, "transA", 0)) {
        return "its left operand is transposed";
    }
    const struct graph_value *c = w->kind == WEIGHTS_GEMM ? graph_input(g, n, 2) : NULL;
    const Onnx__TensorProto *bias = graph_constant(g, c);
    if (c && graph_attr_float(n, "beta", 1.0f) != 1.0f && (!bias || bias->data_type != GRAPH_FLOAT32)) {
        return "beta multiplies something that is not constant";
    }
    return NULL;
}

bool nbits_is_fast(const struct group_format *f, enum nbits_compute compute) {
    return compute == NBITS_INT8 ? f->bits != 2 || f->group >= 32 : f->bits == 4;
}

static enum rc add_part(struct graph *g, const char *hint, const char *part, int32_t dtype,
                        const int64_t *dims, size_t rank, const void *data, size_t bytes, const char **name,
                        struct err *err) {
    char text[HINT_SIZE];
    struct graph_value *v;
    (void)snprintf(text, sizeof(text), "%.200s_%s", hint, part);
    enum rc rc = graph_add_initializer(g, text, dtype, dims, rank, data, bytes, &v, err);
    if (rc == RC_OK) {
        *name = v->name;
    }
    return rc;
}

/* --- MatMulNBits --- */

size_t nbits_weight_bytes(const struct group_quant *q) {
    return nbits_matrix_bytes(q) + q->rows * q->groups * sizeof(float) +
           (q->format.zero == GROUP_ASYMMETRIC ? nbits_zeros_bytes(q) : 0);
}

static enum rc add_scales(struct graph *g, const char *hint, const struct group_quant *q, float factor,
                          const int64_t *dims, size_t rank, const char **name, struct err *err) {
    size_t count = q->rows * q->groups;
    float *scales = malloc((count + 1) * sizeof(*scales));
    if (!scales) {
        return err_memory(err);
    }
    for (size_t i = 0; i < count; i++) {
        scales[i] = q->scales[i] * factor;
    }
    enum rc rc =
        add_part(g, hint, "scales", GRAPH_FLOAT32, dims, rank, scales, count * sizeof(*scales), name, err);
    free(scales);
    return rc;
}

enum rc nbits_add_weights(struct graph *g, const char *hint, const struct group_quant *q, float factor,
                          struct nbits_weights *ret, struct err *err) {
    size_t matrix = nbits_matrix_bytes(q), zeros = nbits_zeros_bytes(q);
    int64_t dims[3] = {(int64_t)q->rows, (int64_t)q->groups,
                       (int64_t)nbits_bytes(q->format.group, q->format.bits)};
    int64_t scale_dims = (int64_t)(q->rows * q->groups), zero_dims = (int64_t)zeros;
    uint8_t *packed = calloc(matrix + zeros + 1, 1);
    if (!packed) {
        return err_memory(err);
    }
    *ret = (struct nbits_weights){.zeros = "", .columns = q->columns, .rows = q->rows, .format = q->format};
    nbits_pack_matrix(q, packed);
    nbits_pack_zeros(q, packed + matrix);
    enum rc rc = add_part(g, hint, "packed", GRAPH_UINT8, dims, 3, packed, matrix, &ret->matrix, err);
    rc = rc != RC_OK ? rc : add_scales(g, hint, q, factor, &scale_dims, 1, &ret->scales, err);
    if (rc == RC_OK && q->format.zero == GROUP_ASYMMETRIC) {
        rc = add_part(g, hint, "zeros", GRAPH_UINT8, &zero_dims, 1, packed + matrix, zeros, &ret->zeros, err);
    }
    free(packed);
    return rc;
}

/* Gemm's C times beta, as a value to add; *ret is NULL when there is none. */
static enum rc bias_of(struct graph *g, const struct graph_node *n, struct graph_value **ret,
                       struct err *err) {
    struct graph_value *c = graph_is_op(n, "Gemm") ? graph_input(g, n, 2) : NULL;
    float beta = graph_attr_float(n, "beta", 1.0f), *values;
    size_t count;
    *ret = c;
    if (!c || beta == 1.0f) {
        return RC_OK;
    }
    const Onnx__TensorProto *t = graph_constant(g, c);
    enum rc rc = graph_tensor_floats(g, t, &values, &count, err);
    if (rc != RC_OK) {
        return rc;
    }
    for (size_t i = 0; i < count; i++) {
        values[i] *= beta;
    }
    rc = graph_add_initializer(g, c->name, GRAPH_FLOAT32, t->dims, t->n_dims, values, count * sizeof(*values),
                               ret, err);
    free(values);
    return rc;
}

static enum rc set_attributes(struct graph *g, struct graph_node *n, const struct nbits_weights *w,
                              enum nbits_compute compute, struct err *err) {
    enum rc rc = graph_set_attr_int(g, n, "K", (int64_t)w->columns, err);
    rc = rc != RC_OK ? rc : graph_set_attr_int(g, n, "N", (int64_t)w->rows, err);
    rc = rc != RC_OK ? rc : graph_set_attr_int(g, n, "bits", w->format.bits, err);
    rc = rc != RC_OK ? rc : graph_set_attr_int(g, n, "block_size", (int64_t)w->format.group, err);
    return rc != RC_OK || compute == NBITS_FLOAT
               ? rc
               : graph_set_attr_int(g, n, "accuracy_level", INT8_ACCURACY, err);
}

enum rc nbits_replace(struct graph *g, struct graph_node *n, const struct nbits_weights *w,
                      enum nbits_compute compute, struct err *err) {
    struct graph_value *out = graph_output(g, n, 0), *bias;
    enum rc rc = bias_of(g, n, &bias, err);
    if (rc != RC_OK) {
        return rc;
    }
    const char *product = bias ? graph_unique_name(g, "product") : out->name;
    const char *inputs[4] = {n->proto->input[0], w->matrix, w->scales, w->zeros};
    const char *terms[2] = {product, bias ? bias->name : NULL};
    const char *result[1] = {out->name};
    struct graph_node_spec nbits = {
        "MatMulNBits", "com.microsoft", n->proto->name, inputs, *w->zeros ? 4 : 3, &product, 1};
    struct graph_node_spec add = {"Add", NULL, NULL, terms, 2, result, 1};
    struct graph_node *after = n->next, *made;
    if (!product) {
        return err_memory(err);
    }
    graph_remove_node(g, n);
    rc = graph_add_node(g, &nbits, after, &made, err);
    rc = rc != RC_OK ? rc : set_attributes(g, made, w, compute, err);
    return rc != RC_OK || !bias ? rc : graph_add_node(g, &add, after, NULL, err);
}

/* --- stored: unpacked when the model is loaded --- */

/* Codes of 3 bits are a plane of 2 and a plane of 1; 5, 6 and 7 likewise. */
static size_t planes_of(unsigned bits, unsigned widths[3]) {
    size_t count = 0;
    for (unsigned width = 8; width > 0; width /= 2) {
        if (bits & width) {
            widths[count++] = width;
        }
    }
    return count;
}

size_t nbits_stored_bytes(const struct group_quant *q) {
    unsigned widths[3];
    size_t planes = planes_of(q->format.bits, widths), bytes = 0, count = q->rows * q->columns;
    for (size_t i = 0; i < planes; i++) {
        bytes += nbits_bytes(count, widths[i]);
    }
    return bytes + q->rows * q->groups * (sizeof(float) + (q->format.zero == GROUP_ASYMMETRIC));
}

/* A chain of nodes: each reads what the last one made. */
struct chain {
    struct graph *g;
    struct graph_node *before;
    const char *hint;
    const char *value; /* the last result */
    enum rc rc;
    struct err *err;
};

static struct graph_node *append(struct chain *c, const char *op_type, const char *second,
                                 const char *third) {
    struct graph_node *made = NULL;
    if (c->rc != RC_OK) {
        return NULL;
    }
    const char *inputs[3] = {c->value, second, third}, *out = graph_unique_name(c->g, "u"); /* short: many */
    struct graph_node_spec spec = {op_type, NULL, NULL, inputs, third ? 3 : second ? 2 : 1, &out, 1};
    c->rc = out ? graph_add_node(c->g, &spec, c->before, &made, c->err) : err_memory(c->err);
    c->value = out;
    return made;
}

static const char *constant(struct chain *c, const char *part, int32_t dtype, const int64_t *dims,
                            size_t rank, const void *data, size_t bytes) {
    const char *name = "";
    c->rc =
        c->rc != RC_OK ? c->rc : add_part(c->g, c->hint, part, dtype, dims, rank, data, bytes, &name, c->err);
    return name;
}

static void append_cast(struct chain *c) {
    struct graph_node *n = append(c, "Cast", NULL, NULL);
    c->rc = c->rc != RC_OK ? c->rc : graph_set_attr_int(c->g, n, "to", GRAPH_FLOAT32, c->err);
}

static void append_reshape(struct chain *c, const int64_t *dims, int64_t rank) {
    const char *shape = constant(c, "shape", GRAPH_INT64, &rank, 1, dims, (size_t)rank * sizeof(*dims));
    (void)append(c, "Reshape", shape, NULL);
}

/* Bits shift .. shift + width - 1 of all codes, as floats [count]. */
static void append_plane(struct chain *c, const struct group_quant *q, unsigned shift, unsigned width) {
    size_t count = q->rows * q->columns, bytes = nbits_bytes(count, width), each = 8 / width;
    const int64_t packed_dims[2] = {(int64_t)bytes, 1}, one = 1, shift_dims[2] = {1, (int64_t)each};
    const int64_t flat = -1, start = 0, end = (int64_t)count;
    const uint8_t modulus = (uint8_t)(1U << (width % 8));
    uint8_t shifts[8], *packed = calloc(bytes + 1, 1);
    if (!packed) {
        c->rc = err_memory(c->err);
        return;
    }
    nbits_pack(q->codes, count, shift, width, packed);
    c->value = constant(c, "packed", GRAPH_UINT8, packed_dims, 2, packed, bytes);
    free(packed);
    if (width < 8) {
        for (size_t k = 0; k < each; k++) {
            shifts[k] = (uint8_t)(k * width);
        }
        struct graph_node *n =
            append(c, "BitShift", constant(c, "shifts", GRAPH_UINT8, shift_dims, 2, shifts, each), NULL);
        c->rc = c->rc != RC_OK ? c->rc : graph_set_attr_string(c->g, n, "direction", "RIGHT", c->err);
        (void)append(c, "Mod", constant(c, "modulus", GRAPH_UINT8, &one, 1, &modulus, 1), NULL);
    }
    append_cast(c);
    append_reshape(c, &flat, 1);
    if (bytes * each > count) {
        const char *from = constant(c, "start", GRAPH_INT64, &one, 1, &start, sizeof(start));
        const char *to = constant(c, "end", GRAPH_INT64, &one, 1, &end, sizeof(end));
        (void)append(c, "Slice", from, to);
    }
}

/* All planes, each times its weight, summed. */
static void append_codes(struct chain *c, const struct group_quant *q) {
    unsigned widths[3], shift = 0;
    size_t planes = planes_of(q->format.bits, widths);
    const char *sum = NULL;
    for (size_t i = planes; i-- > 0;) {
        const int64_t one = 1;
        float weight = (float)(1U << shift);
        append_plane(c, q, shift, widths[i]);
        if (shift > 0) {
            (void)append(c, "Mul", constant(c, "weight", GRAPH_FLOAT32, &one, 1, &weight, sizeof(weight)),
                         NULL);
        }
        if (sum) {
            (void)append(c, "Add", sum, NULL);
        }
        sum = c->value;
        shift += widths[i];
    }
}

/* (code - zero) * scale. Scales are for groups; where a row is a whole number of groups they are broadcast
 * over [rows, groups, group], else repeated by a Gather along the columns. */
static void append_scaling(struct chain *c, const struct group_quant *q) {
    const int64_t rows = (int64_t)q->rows, groups = (int64_t)q->groups, columns = (int64_t)q->columns;
    size_t scale_count = q->rows * q->groups;
    bool even = q->columns % q->format.group == 0;
    const int64_t split[3] = {rows, groups, even ? (int64_t)q->format.group : 1};
    const int64_t scale_dims[3] = {rows, groups, 1}, whole[2] = {rows, columns}, one = 1;
    uint8_t half = (uint8_t)(1U << (q->format.bits - 1));
    bool zeros = q->format.zero == GROUP_ASYMMETRIC;
    const char *codes, *zero, *scale = NULL, *place = NULL;
    append_reshape(c, even ? split : whole, even ? 3 : 2);
    codes = c->value;
    if (!even && c->rc == RC_OK) {
        int64_t *index = malloc(q->columns * sizeof(*index));
        for (size_t i = 0; index && i < q->columns; i++) {
            index[i] = (int64_t)(i / q->format.group);
        }
        c->rc = index ? RC_OK : err_memory(c->err);
        place =
            index ? constant(c, "group", GRAPH_INT64, &columns, 1, index, q->columns * sizeof(*index)) : NULL;
        free(index);
    }
    c->value = zeros ? constant(c, "zeros", GRAPH_UINT8, scale_dims, even ? 3 : 2, q->zeros, scale_count)
                     : constant(c, "zero", GRAPH_UINT8, &one, 1, &half, 1);
    append_cast(c);
    if (zeros && !even) {
        struct graph_node *n = append(c, "Gather", place, NULL);
        c->rc = c->rc != RC_OK ? c->rc : graph_set_attr_int(c->g, n, "axis", 1, c->err);
    }
    zero = c->value;
    c->rc =
        c->rc != RC_OK ? c->rc : add_scales(c->g, c->hint, q, 1, scale_dims, even ? 3 : 2, &scale, c->err);
    c->value = scale;
    if (!even) {
        struct graph_node *n = append(c, "Gather", place, NULL);
        c->rc = c->rc != RC_OK ? c->rc : graph_set_attr_int(c->g, n, "axis", 1, c->err);
    }
    scale = c->value;
    c->value = codes;
    (void)append(c, "Sub", zero, NULL);
    (void)append(c, "Mul", scale, NULL);
}

enum rc nbits_store(struct graph *g, const struct weights *w, const struct group_quant *q, enum nbits_lie lie,
                    struct err *err) {
    static const int64_t swap[2] = {1, 0};
    const int64_t matrix[2] = {(int64_t)q->rows, (int64_t)q->columns};
    struct chain c = {.g = g, .before = graph_first(g), .hint = w->value->name, .rc = RC_OK, .err = err};
    append_codes(&c, q);
    append_scaling(&c, q);
    if (lie == NBITS_ROWS_LAST) {
        append_reshape(&c, matrix, 2);
        struct graph_node *n = append(&c, "Transpose", NULL, NULL);
        c.rc = c.rc != RC_OK ? c.rc : graph_set_attr_ints(g, n, "perm", swap, 2, err);
    } else {
        append_reshape(&c, w->tensor->dims, (int64_t)w->tensor->n_dims);
    }
    return c.rc != RC_OK ? c.rc : graph_redirect(g, w->value, graph_find(g, c.value), NULL, err);
}
