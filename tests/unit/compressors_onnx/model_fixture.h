/* model_fixture.h -- small ONNX models made in a test, and running them. Everything a builder makes lives
 * until builder_free. */
#pragma once

#include <onnx.pb-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/graph.h"
#include "core/base/arena.h"
#include "runtimes/onnxruntime.h"
#include "tests/support/test.h"

enum { BUILDER_MAX = 160 };

struct builder {
    struct arena *arena;
    Onnx__ModelProto model;
    Onnx__GraphProto graph;
    Onnx__OperatorSetIdProto opset, *opsets[1];
    Onnx__NodeProto *nodes[BUILDER_MAX];
    Onnx__TensorProto *initializers[BUILDER_MAX];
    Onnx__ValueInfoProto *inputs[BUILDER_MAX], *outputs[BUILDER_MAX], *infos[BUILDER_MAX];
};

static inline void builder_init(struct builder *b, int64_t opset) {
    memset(b, 0, sizeof(*b));
    b->arena = arena_new(64u << 20);
    assert_non_null(b->arena);
    onnx__model_proto__init(&b->model);
    onnx__graph_proto__init(&b->graph);
    onnx__operator_set_id_proto__init(&b->opset);
    b->opset.has_version = 1;
    b->opset.version = opset;
    b->opset.domain = arena_strdup(b->arena, "");
    b->opsets[0] = &b->opset;
    b->model.n_opset_import = 1;
    b->model.opset_import = b->opsets;
    b->model.has_ir_version = 1;
    b->model.ir_version = 8;
    b->model.graph = &b->graph;
    b->graph.name = arena_strdup(b->arena, "test");
    b->graph.node = b->nodes;
    b->graph.initializer = b->initializers;
    b->graph.input = b->inputs;
    b->graph.output = b->outputs;
    b->graph.value_info = b->infos;
}

static inline void builder_free(struct builder *b) {
    arena_free(b->arena);
}

static inline Onnx__ValueInfoProto *builder_info(struct builder *b, const char *name, int32_t dtype,
                                                 const int64_t *dims, size_t rank) {
    Onnx__ValueInfoProto *info = arena_alloc(b->arena, sizeof(*info));
    Onnx__TypeProto *type = arena_alloc(b->arena, sizeof(*type));
    Onnx__TypeProto__Tensor *tensor = arena_alloc(b->arena, sizeof(*tensor));
    Onnx__TensorShapeProto *shape = arena_alloc(b->arena, sizeof(*shape));
    onnx__value_info_proto__init(info);
    onnx__type_proto__init(type);
    onnx__type_proto__tensor__init(tensor);
    onnx__tensor_shape_proto__init(shape);
    shape->dim = arena_calloc(b->arena, rank + 1, sizeof(Onnx__TensorShapeProto__Dimension *));
    for (shape->n_dim = 0; shape->n_dim < rank; shape->n_dim++) {
        Onnx__TensorShapeProto__Dimension *d = arena_alloc(b->arena, sizeof(*d));
        onnx__tensor_shape_proto__dimension__init(d);
        d->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        d->dim_value = dims[shape->n_dim];
        shape->dim[shape->n_dim] = d;
    }
    tensor->has_elem_type = 1;
    tensor->elem_type = dtype;
    tensor->shape = shape;
    type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    type->tensor_type = tensor;
    info->type = type;
    info->name = arena_strdup(b->arena, name);
    return info;
}

static inline void builder_input(struct builder *b, const char *name, int32_t dtype, const int64_t *dims,
                                 size_t rank) {
    b->inputs[b->graph.n_input++] = builder_info(b, name, dtype, dims, rank);
}

static inline void builder_output(struct builder *b, const char *name, int32_t dtype, const int64_t *dims,
                                  size_t rank) {
    b->outputs[b->graph.n_output++] = builder_info(b, name, dtype, dims, rank);
}

static inline Onnx__TensorProto *builder_tensor(struct builder *b, const char *name, int32_t dtype,
                                                const int64_t *dims, size_t rank, const void *data,
                                                size_t bytes) {
    Onnx__TensorProto *t = arena_alloc(b->arena, sizeof(*t));
    onnx__tensor_proto__init(t);
    t->name = arena_strdup(b->arena, name);
    t->has_data_type = 1;
    t->data_type = dtype;
    t->n_dims = rank;
    t->dims = arena_calloc(b->arena, rank + 1, sizeof(int64_t));
    if (rank) {
        memcpy(t->dims, dims, rank * sizeof(int64_t));
    }
    t->has_raw_data = 1;
    t->raw_data.len = bytes;
    t->raw_data.data = arena_alloc(b->arena, bytes);
    if (bytes) {
        memcpy(t->raw_data.data, data, bytes);
    }
    assert_true(b->graph.n_initializer < BUILDER_MAX);
    b->initializers[b->graph.n_initializer++] = t;
    return t;
}

static inline Onnx__TensorProto *builder_floats(struct builder *b, const char *name, const int64_t *dims,
                                                size_t rank, const float *values) {
    size_t count = 1;
    for (size_t i = 0; i < rank; i++) {
        count *= (size_t)dims[i];
    }
    return builder_tensor(b, name, GRAPH_FLOAT32, dims, rank, values, count * sizeof(float));
}

/* Splits "a b c" into names; "-" is an input left out. */
static inline char **builder_names(struct builder *b, const char *text, size_t *count) {
    char **names = arena_calloc(b->arena, BUILDER_MAX, sizeof(char *));
    for (*count = 0; *text; (*count)++) {
        size_t n = strcspn(text, " ");
        names[*count] =
            n == 1 && *text == '-' ? arena_strdup(b->arena, "") : arena_strndup(b->arena, text, n);
        text += n + (text[n] == ' ');
    }
    return names;
}

static inline Onnx__NodeProto *builder_node(struct builder *b, const char *op_type, const char *inputs,
                                            const char *outputs) {
    Onnx__NodeProto *n = arena_alloc(b->arena, sizeof(*n));
    onnx__node_proto__init(n);
    n->op_type = arena_strdup(b->arena, op_type);
    n->name = arena_printf(b->arena, "n%zu", b->graph.n_node);
    n->input = builder_names(b, inputs, &n->n_input);
    n->output = builder_names(b, outputs, &n->n_output);
    assert_true(b->graph.n_node < BUILDER_MAX);
    b->nodes[b->graph.n_node++] = n;
    return n;
}

static inline Onnx__AttributeProto *builder_attr(struct builder *b, Onnx__NodeProto *n, const char *name,
                                                 Onnx__AttributeProto__AttributeType type) {
    Onnx__AttributeProto **list = arena_calloc(b->arena, n->n_attribute + 1, sizeof(Onnx__AttributeProto *));
    Onnx__AttributeProto *a = arena_alloc(b->arena, sizeof(*a));
    if (n->n_attribute) {
        memcpy(list, n->attribute, n->n_attribute * sizeof(Onnx__AttributeProto *));
    }
    onnx__attribute_proto__init(a);
    a->name = arena_strdup(b->arena, name);
    a->has_type = 1;
    a->type = type;
    list[n->n_attribute++] = a;
    n->attribute = list;
    return a;
}

static inline void builder_attr_int(struct builder *b, Onnx__NodeProto *n, const char *name, int64_t value) {
    Onnx__AttributeProto *a = builder_attr(b, n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
    a->has_i = 1;
    a->i = value;
}

static inline void builder_attr_float(struct builder *b, Onnx__NodeProto *n, const char *name, float value) {
    Onnx__AttributeProto *a = builder_attr(b, n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
    a->has_f = 1;
    a->f = value;
}

static inline void builder_attr_ints(struct builder *b, Onnx__NodeProto *n, const char *name,
                                     const int64_t *values, size_t count) {
    Onnx__AttributeProto *a = builder_attr(b, n, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
    a->n_ints = count;
    a->ints = arena_calloc(b->arena, count, sizeof(int64_t));
    memcpy(a->ints, values, count * sizeof(int64_t));
}

static inline uint8_t *builder_bytes(struct builder *b, size_t *size) {
    *size = onnx__model_proto__get_packed_size(&b->model);
    uint8_t *bytes = arena_alloc(b->arena, *size);
    assert_non_null(bytes);
    onnx__model_proto__pack(&b->model, bytes);
    return bytes;
}

static inline enum rc builder_try(struct builder *b, struct graph **g, struct err *err) {
    size_t size;
    const uint8_t *bytes = builder_bytes(b, &size);
    return graph_parse(bytes, size, g, err);
}

static inline struct graph *builder_graph(struct builder *b) {
    struct graph *g = NULL;
    struct err err = {0};
    enum rc rc = builder_try(b, &g, &err);
    if (rc != RC_OK) {
        fail_msg("%s", err.text);
    }
    return g;
}

/* Runs the graph on one float input of shape dims; copies its first output, float32, into out[out_count]. */
static inline void run_floats(struct onnxruntime *r, struct graph *g, const int64_t *dims, size_t rank,
                              float *in, size_t in_count, float *out, size_t out_count) {
    struct onnxruntime_session_opts opts = {.threads = 1};
    struct onnxruntime_session *s = NULL;
    struct onnxruntime_result *result = NULL;
    struct onnxruntime_tensor input = {
        .dtype = DTYPE_FLOAT32, .rank = rank, .data = in, .bytes = in_count * sizeof(float)};
    struct err err = {0};
    char *data = NULL;
    size_t size = 0;
    memcpy(input.dims, dims, rank * sizeof(*dims));
    if (graph_pack(g, &data, &size, &err) || onnxruntime_open_bytes(r, data, size, &opts, &s, &err) ||
        onnxruntime_run(s, &input, &result, &err)) {
        fail_msg("%s", err.text);
    }
    const struct onnxruntime_tensor *t = onnxruntime_result_output(result, 0);
    assert_int_equal(t->dtype, DTYPE_FLOAT32);
    assert_int_equal(t->bytes, out_count * sizeof(float));
    memcpy(out, t->data, t->bytes);
    onnxruntime_result_free(result);
    onnxruntime_close(s);
    free(data);
}
