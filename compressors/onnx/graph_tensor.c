/* Tensors: the many places where TensorProto may keep its elements, read as floats, integers or packed bytes.
 * Where which type lives (onnx.proto, TensorProto): raw_data for everything but strings; otherwise float_data
 * for float32 (and complex64), int32_data for integers of up to 32 bits, bool, float16 and bfloat16 (as
 * bits), int64_data, double_data, uint64_data for uint32 and uint64. 4-bit types pack two elements into a
 * byte, the first in the low half. */
#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/graph_internal.h"
#include "core/base/checked.h"
#include "core/formats/dtype.h"

static const struct type_info {
    int32_t dtype;
    uint8_t bits;
    const char *name;
} types[] = {
    {GRAPH_FLOAT32, 32, "float32"}, {GRAPH_UINT8, 8, "uint8"},    {GRAPH_INT8, 8, "int8"},
    {GRAPH_UINT16, 16, "uint16"},   {GRAPH_INT16, 16, "int16"},   {GRAPH_INT32, 32, "int32"},
    {GRAPH_INT64, 64, "int64"},     {GRAPH_BOOL, 8, "bool"},      {GRAPH_FLOAT16, 16, "float16"},
    {GRAPH_FLOAT64, 64, "float64"}, {GRAPH_UINT32, 32, "uint32"}, {GRAPH_UINT64, 64, "uint64"},
    {14, 64, "complex64"},          {15, 128, "complex128"},      {GRAPH_BFLOAT16, 16, "bfloat16"},
    {17, 8, "float8e4m3fn"},        {18, 8, "float8e4m3fnuz"},    {19, 8, "float8e5m2"},
    {20, 8, "float8e5m2fnuz"},      {GRAPH_UINT4, 4, "uint4"},    {GRAPH_INT4, 4, "int4"},
    {23, 4, "float4e2m1"},          {GRAPH_STRING, 0, "string"},
};

static const struct type_info *type_of(int32_t dtype) {
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (types[i].dtype == dtype) {
            return &types[i];
        }
    }
    return NULL;
}

const char *graph_dtype_name(int32_t dtype) {
    const struct type_info *t = type_of(dtype);
    return t ? t->name : "a type unknown here";
}

size_t graph_dtype_bytes(int32_t dtype, size_t count) {
    const struct type_info *t = type_of(dtype);
    if (!t || !t->bits) {
        return 0;
    }
    return t->bits >= 8 ? count * (t->bits / 8u) : count / 2 + count % 2;
}

enum rc graph_tensor_count(const Onnx__TensorProto *t, size_t *count, struct err *err) {
    size_t product, bytes;
    if (checked_product(t->dims, t->n_dims, &product) || checked_mul(product, 16, &bytes)) {
        return err_set(err, RC_INPUT, "a dimension is negative, or their product too large");
    }
    *count = product;
    return RC_OK;
}

/* Elements in the typed field where `dtype` lives; SIZE_MAX for types that are not checked. */
static size_t typed_count(const Onnx__TensorProto *t) {
    switch (t->data_type) {
    case GRAPH_FLOAT32:
        return t->n_float_data;
    case GRAPH_INT64:
        return t->n_int64_data;
    case GRAPH_FLOAT64:
        return t->n_double_data;
    case GRAPH_UINT32:
    case GRAPH_UINT64:
        return t->n_uint64_data;
    case GRAPH_STRING:
        return t->n_string_data;
    case GRAPH_UINT8:
    case GRAPH_INT8:
    case GRAPH_UINT16:
    case GRAPH_INT16:
    case GRAPH_INT32:
    case GRAPH_BOOL:
    case GRAPH_FLOAT16:
    case GRAPH_BFLOAT16:
        return t->n_int32_data;
    default:
        return SIZE_MAX;
    }
}

enum rc graph_tensor_check(const Onnx__TensorProto *t, struct err *err) {
    size_t count = 0;
    enum rc rc = graph_tensor_count(t, &count, err);
    if (rc != RC_OK) {
        return rc;
    }
    if (t->has_data_location && t->data_location != ONNX__TENSOR_PROTO__DATA_LOCATION__DEFAULT) {
        return err_set(err, RC_INPUT, "its data are not in the model's own files");
    }
    size_t expected = graph_dtype_bytes(t->data_type, count);
    if (t->has_raw_data) {
        return !expected || t->raw_data.len == expected
                   ? RC_OK
                   : err_set(err, RC_INPUT, "it has %zu bytes of data; its shape and type need %zu",
                             t->raw_data.len, expected);
    }
    size_t typed = typed_count(t);
    return typed == SIZE_MAX || typed == count
               ? RC_OK
               : err_set(err, RC_INPUT, "it has %zu elements; its shape needs %zu", typed, count);
}

/* --- as floats and integers --- */

static bool is_16_bit_float(int32_t dtype) {
    return dtype == GRAPH_FLOAT16 || dtype == GRAPH_BFLOAT16;
}

static float float_of_bits(int32_t dtype, uint16_t bits) {
    return dtype == GRAPH_FLOAT16 ? dtype_float_of_half(bits) : dtype_float_of_bfloat16(bits);
}

static void read_floats(const Onnx__TensorProto *t, float *out, size_t count) {
    const uint8_t *raw = t->has_raw_data ? t->raw_data.data : NULL;
    if (t->data_type == GRAPH_FLOAT32 && count) {
        memcpy(out, raw ? (const void *)raw : t->float_data, count * sizeof(float));
        return;
    }
    for (size_t i = 0; i < count; i++) {
        double d;
        uint16_t bits;
        if (is_16_bit_float(t->data_type)) {
            bits = raw ? (uint16_t)((unsigned)raw[2 * i] | (unsigned)raw[2 * i + 1] << 8)
                       : (uint16_t)((uint32_t)t->int32_data[i] & 0xffffu);
            out[i] = float_of_bits(t->data_type, bits);
        } else {
            memcpy(&d, raw ? (const void *)(raw + 8 * i) : &t->double_data[i], sizeof(d));
            out[i] = (float)d;
        }
    }
}

enum rc graph_tensor_floats(const struct graph *g, const Onnx__TensorProto *t, float **values, size_t *count,
                            struct err *err) {
    (void)g;
    enum rc rc = graph_tensor_check(t, err);
    rc = rc != RC_OK ? rc : graph_tensor_count(t, count, err);
    if (rc != RC_OK) {
        return rc;
    }
    if (t->data_type != GRAPH_FLOAT32 && t->data_type != GRAPH_FLOAT64 && !is_16_bit_float(t->data_type)) {
        return err_set(err, RC_UNSUPPORTED, "a tensor of %s where floating point numbers are needed",
                       graph_dtype_name(t->data_type));
    }
    float *out = malloc(*count ? *count * sizeof(float) : 1);
    if (!out) {
        return err_memory(err);
    }
    read_floats(t, out, *count);
    *values = out;
    return RC_OK;
}

/* Element i of a little-endian integer tensor of `bits` 8 to 64, sign-extended when `is_signed`. */
static int64_t read_raw_int(const uint8_t *raw, size_t i, unsigned bits, bool is_signed) {
    uint64_t v = 0;
    for (unsigned b = 0; b < bits / 8; b++) {
        v |= (uint64_t)raw[i * (bits / 8) + b] << (8 * b);
    }
    if (is_signed && bits < 64 && (v >> (bits - 1) & 1)) {
        v |= ~(uint64_t)0 << bits;
    }
    return (int64_t)v;
}

static int64_t read_nibble(const uint8_t *raw, size_t i, bool is_signed) {
    int v = raw[i / 2] >> (i % 2 ? 4 : 0) & 15;
    return is_signed && v > 7 ? v - 16 : v;
}

static int64_t read_int(const Onnx__TensorProto *t, size_t i, unsigned bits, bool is_signed) {
    if (t->has_raw_data) {
        return bits == 4 ? read_nibble(t->raw_data.data, i, is_signed)
                         : read_raw_int(t->raw_data.data, i, bits, is_signed);
    }
    switch (t->data_type) {
    case GRAPH_INT64:
        return t->int64_data[i];
    case GRAPH_UINT32:
    case GRAPH_UINT64:
        return (int64_t)t->uint64_data[i];
    default:
        return t->int32_data[i];
    }
}

enum rc graph_tensor_ints(const struct graph *g, const Onnx__TensorProto *t, int64_t **values, size_t *count,
                          struct err *err) {
    (void)g;
    const struct type_info *type = type_of(t->data_type);
    enum rc rc = graph_tensor_check(t, err);
    rc = rc != RC_OK ? rc : graph_tensor_count(t, count, err);
    if (rc != RC_OK) {
        return rc;
    }
    bool four_bits = t->data_type == GRAPH_UINT4 || t->data_type == GRAPH_INT4;
    bool is_signed = t->data_type == GRAPH_INT8 || t->data_type == GRAPH_INT16 ||
                     t->data_type == GRAPH_INT32 || t->data_type == GRAPH_INT64 || t->data_type == GRAPH_INT4;
    bool is_unsigned = t->data_type == GRAPH_UINT8 || t->data_type == GRAPH_UINT16 ||
                       t->data_type == GRAPH_UINT32 || t->data_type == GRAPH_UINT64 ||
                       t->data_type == GRAPH_BOOL || t->data_type == GRAPH_UINT4;
    if (!type || (!is_signed && !is_unsigned) || (four_bits && !t->has_raw_data)) {
        return err_set(err, RC_UNSUPPORTED, "a tensor of %s where integers are needed",
                       graph_dtype_name(t->data_type));
    }
    int64_t *out = malloc(*count ? *count * sizeof(int64_t) : 1);
    if (!out) {
        return err_memory(err);
    }
    for (size_t i = 0; i < *count; i++) {
        out[i] = read_int(t, i, type->bits, is_signed);
        if (t->data_type == GRAPH_UINT64 && out[i] < 0) {
            free(out);
            return err_set(err, RC_UNSUPPORTED, "an unsigned number above 2^63");
        }
    }
    *values = out;
    return RC_OK;
}

/* --- as bytes --- */

/* Packs the typed field. `width` is 1, 2, 4 or 8 bytes. */
static void pack_typed(const Onnx__TensorProto *t, uint8_t *out, size_t count, size_t width) {
    for (size_t i = 0; i < count; i++) {
        uint64_t v;
        switch (t->data_type) {
        case GRAPH_INT64:
            v = (uint64_t)t->int64_data[i];
            break;
        case GRAPH_UINT32:
        case GRAPH_UINT64:
            v = t->uint64_data[i];
            break;
        case GRAPH_FLOAT32: {
            uint32_t bits;
            memcpy(&bits, &t->float_data[i], sizeof(bits));
            v = bits;
            break;
        }
        case GRAPH_FLOAT64:
            memcpy(&v, &t->double_data[i], sizeof(v));
            break;
        default:
            v = (uint64_t)(int64_t)t->int32_data[i];
        }
        for (size_t b = 0; b < width; b++) {
            out[i * width + b] = (uint8_t)(v >> (8 * b));
        }
    }
}

enum rc graph_tensor_bytes(struct graph *g, Onnx__TensorProto *t, const uint8_t **bytes, size_t *size,
                           struct err *err) {
    static const uint8_t nothing[1];
    size_t count = 0;
    enum rc rc = graph_tensor_check(t, err);
    rc = rc != RC_OK ? rc : graph_tensor_count(t, &count, err);
    if (rc != RC_OK) {
        return rc;
    }
    if (t->has_raw_data) {
        *bytes = t->raw_data.data ? t->raw_data.data : nothing;
        *size = t->raw_data.len;
        return RC_OK;
    }
    if (typed_count(t) == SIZE_MAX || t->data_type == GRAPH_STRING) {
        return err_set(err, RC_UNSUPPORTED, "a tensor of %s has no plain bytes",
                       graph_dtype_name(t->data_type));
    }
    *size = graph_dtype_bytes(t->data_type, count);
    uint8_t *out = arena_alloc(g->arena, *size);
    if (!out) {
        return err_memory(err);
    }
    pack_typed(t, out, count, graph_dtype_bytes(t->data_type, 1));
    *bytes = out;
    return RC_OK;
}

/* --- edit --- */

enum rc graph_set_tensor(struct graph *g, Onnx__TensorProto *t, int32_t dtype, const int64_t *dims,
                         size_t rank, const void *data, size_t bytes, struct err *err) {
    Onnx__TensorProto fresh = ONNX__TENSOR_PROTO__INIT;
    fresh.name = t->name;
    fresh.doc_string = t->doc_string;
    fresh.has_data_type = 1;
    fresh.data_type = dtype;
    fresh.n_dims = rank;
    fresh.dims = arena_calloc(g->arena, rank + 1, sizeof(int64_t));
    fresh.has_raw_data = 1;
    fresh.raw_data.len = bytes;
    fresh.raw_data.data = arena_alloc(g->arena, bytes);
    if (!fresh.dims || !fresh.raw_data.data) {
        return err_memory(err);
    }
    if (rank) {
        memcpy(fresh.dims, dims, rank * sizeof(int64_t));
    }
    if (bytes) {
        memcpy(fresh.raw_data.data, data, bytes);
    }
    if (graph_tensor_check(&fresh, NULL) != RC_OK) {
        return err_set(err, RC_INTERNAL, "the new contents of \"%.160s\" do not fit their shape",
                       t->name ? t->name : "");
    }
    *t = fresh;
    return RC_OK;
}

static enum rc append_initializer(struct graph *g, Onnx__TensorProto *t, struct err *err) {
    Onnx__GraphProto *p = g->model->graph;
    if (p->n_initializer >= g->initializer_capacity) {
        size_t capacity = p->n_initializer * 2 + 16;
        Onnx__TensorProto **list = arena_calloc(g->arena, capacity, sizeof(Onnx__TensorProto *));
        if (!list) {
            return err_memory(err);
        }
        if (p->n_initializer) {
            memcpy(list, p->initializer, p->n_initializer * sizeof(Onnx__TensorProto *));
        }
        p->initializer = list;
        g->initializer_capacity = capacity;
    }
    p->initializer[p->n_initializer++] = t;
    return RC_OK;
}

enum rc graph_add_initializer(struct graph *g, const char *hint, int32_t dtype, const int64_t *dims,
                              size_t rank, const void *data, size_t bytes, struct graph_value **ret,
                              struct err *err) {
    Onnx__TensorProto *t = arena_alloc(g->arena, sizeof(*t));
    const char *name = graph_unique_name(g, hint);
    if (!t || !name) {
        return err_memory(err);
    }
    if (!g->model->has_ir_version || g->model->ir_version < 4) {
        graph_close_initializers(g);
        g->model->has_ir_version = 1;
        g->model->ir_version = 4; /* from here on an initializer need not be an input */
    }
    onnx__tensor_proto__init(t);
    t->name = arena_strdup(g->arena, name);
    if (!t->name) {
        return err_memory(err);
    }
    enum rc rc = graph_set_tensor(g, t, dtype, dims, rank, data, bytes, err);
    rc = rc != RC_OK ? rc : append_initializer(g, t, err);
    if (rc == RC_OK) {
        struct graph_value *v = graph_find(g, name);
        v->initializer = t;
        v->dtype = dtype;
        *ret = v;
    }
    return rc;
}

enum rc graph_add_float(struct graph *g, const char *hint, float value, struct graph_value **ret,
                        struct err *err) {
    return graph_add_initializer(g, hint, GRAPH_FLOAT32, NULL, 0, &value, sizeof(value), ret, err);
}

enum rc graph_add_ints(struct graph *g, const char *hint, const int64_t *values, size_t count,
                       struct graph_value **ret, struct err *err) {
    int64_t dims[1] = {(int64_t)count};
    return graph_add_initializer(g, hint, GRAPH_INT64, dims, 1, values, count * sizeof(*values), ret, err);
}

enum rc graph_remove_initializer(struct graph *g, struct graph_value *v, struct err *err) {
    Onnx__GraphProto *p = g->model->graph;
    if (!v->initializer || v->use_count || v->is_output) {
        return err_set(err, RC_INTERNAL, "initializer \"%.160s\" is still used", v->name);
    }
    v->initializer = NULL; /* graph_sync takes it out of the message */
    size_t kept = 0;
    for (size_t i = 0; v->is_input && i < p->n_input; i++) {
        if (strcmp(p->input[i]->name, v->name) != 0) {
            p->input[kept++] = p->input[i];
        }
    }
    p->n_input = v->is_input ? kept : p->n_input;
    v->is_input = false;
    return RC_OK;
}
