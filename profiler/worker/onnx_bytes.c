/* onnx_bytes.c -- see onnx_bytes.h. Protobuf's wire format written by hand, inner messages first; field
 * numbers from onnx/onnx.proto. Errors stick: only the end looks at them. */
#include "profiler/worker/onnx_bytes.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IR_VERSION = 8, OPSET = 17, MODEL_BYTES_MAX = 64 << 20, NAME_SIZE = 24 };
enum { WIRE_VARINT = 0, WIRE_BYTES = 2 };

struct message {
    struct buf bytes;
    enum rc rc;
    struct err *err;
};

static struct message message_new(struct err *err) {
    struct message m = {.rc = RC_OK, .err = err};
    buf_init(&m.bytes, MODEL_BYTES_MAX);
    return m;
}

static void add(struct message *m, const void *data, size_t size) {
    if (m->rc == RC_OK && size > 0) {
        m->rc = buf_add(&m->bytes, data, size, m->err);
    }
}

static void add_varint(struct message *m, uint64_t value) {
    uint8_t bytes[10];
    size_t n = 0;
    do {
        bytes[n++] = (uint8_t)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
        value >>= 7;
    } while (value > 0);
    add(m, bytes, n);
}

static void add_int(struct message *m, unsigned field, uint64_t value) {
    add_varint(m, field << 3 | WIRE_VARINT);
    add_varint(m, value);
}

static void add_bytes(struct message *m, unsigned field, const void *data, size_t size) {
    add_varint(m, field << 3 | WIRE_BYTES);
    add_varint(m, size);
    add(m, data, size);
}

static void add_text(struct message *m, unsigned field, const char *text) {
    add_bytes(m, field, text, strlen(text));
}

/* Takes `inner` over. */
static void add_message(struct message *m, unsigned field, struct message *inner) {
    if (m->rc == RC_OK && inner->rc != RC_OK) {
        m->rc = inner->rc;
    }
    add_bytes(m, field, inner->bytes.data, inner->bytes.size);
    buf_free(&inner->bytes);
}

/* ValueInfoProto {name = 1, type = 2 {tensor_type = 1 {elem_type = 1, shape = 2 {dim = 1 {dim_value = 1}}}}}
 */
static void add_value(struct message *graph, unsigned field, const char *name, enum dtype type,
                      const size_t *dims, size_t rank) {
    struct message value = message_new(graph->err), outer = message_new(graph->err),
                   tensor = message_new(graph->err), shape = message_new(graph->err);
    for (size_t i = 0; i < rank; i++) {
        struct message dim = message_new(graph->err);
        add_int(&dim, 1, dims[i]);
        add_message(&shape, 1, &dim);
    }
    add_int(&tensor, 1, (uint64_t)dtype_to_onnx(type));
    add_message(&tensor, 2, &shape);
    add_message(&outer, 1, &tensor);
    add_text(&value, 1, name);
    add_message(&value, 2, &outer);
    add_message(graph, field, &value);
}

/* NodeProto {input = 1, output = 2, name = 3, op_type = 4} */
static void add_node(struct message *graph, const char *op, const char *in, const char *second,
                     const char *out) {
    struct message node = message_new(graph->err);
    add_text(&node, 1, in);
    if (second) {
        add_text(&node, 1, second);
    }
    add_text(&node, 2, out);
    add_text(&node, 3, out);
    add_text(&node, 4, op);
    add_message(graph, 1, &node);
}

/* ModelProto {ir_version = 1, graph = 7 {name = 2}, opset_import = 8 {domain = 1, version = 2}}; takes
 * `graph` over. */
static enum rc finish(struct message *graph, struct buf *out, struct err *err) {
    struct message model = message_new(err), opset = message_new(err);
    add_text(graph, 2, "calibration");
    add_int(&model, 1, IR_VERSION);
    add_text(&opset, 1, "");
    add_int(&opset, 2, OPSET);
    add_message(&model, 8, &opset);
    add_message(&model, 7, graph);
    if (model.rc == RC_OK) {
        model.rc = buf_add(out, model.bytes.data, model.bytes.size, err);
    }
    buf_free(&model.bytes);
    return model.rc;
}

/* Small numbers of both signs that no kernel can take for zeros. */
static void fill(void *data, enum dtype type, size_t count) {
    for (size_t i = 0; i < count; i++) {
        float value = (float)(int)(i % 15) * 0.25f - 1.5f;
        value = value == 0 ? 2 : value;
        if (type == DTYPE_FLOAT32) {
            ((float *)data)[i] = value;
        } else if (type == DTYPE_FLOAT16) {
            ((uint16_t *)data)[i] = dtype_half_of_float(value);
        } else if (type == DTYPE_BFLOAT16) {
            ((uint16_t *)data)[i] = dtype_bfloat16_of_float(value);
        } else {
            ((int8_t *)data)[i] = (int8_t)(value * 16);
        }
    }
}

/* TensorProto {dims = 1, data_type = 2, name = 8, raw_data = 9} */
static void add_weights(struct message *graph, const struct onnx_product *p) {
    size_t count = p->depth * p->columns, bytes = count * dtype_bytes(p->b);
    struct message tensor = message_new(graph->err);
    void *data = malloc(bytes);
    if (!data) {
        graph->rc = err_memory(graph->err);
        return;
    }
    fill(data, p->b, count);
    add_int(&tensor, 1, p->depth);
    add_int(&tensor, 1, p->columns);
    add_int(&tensor, 2, (uint64_t)dtype_to_onnx(p->b));
    add_text(&tensor, 8, "b");
    add_bytes(&tensor, 9, data, bytes);
    add_message(graph, 5, &tensor);
    free(data);
}

enum rc onnx_bytes_product(const struct onnx_product *p, struct buf *out, struct err *err) {
    struct message graph = message_new(err);
    add_node(&graph, p->op, "a", "b", "y");
    add_weights(&graph, p);
    add_value(&graph, 11, "a", p->a, (const size_t[]){p->rows, p->depth}, 2);
    add_value(&graph, 12, "y", p->y, (const size_t[]){p->rows, p->columns}, 2);
    return finish(&graph, out, err);
}

enum rc onnx_bytes_chain(size_t count, struct buf *out, struct err *err) {
    struct message graph = message_new(err);
    char in[NAME_SIZE] = "a", name[NAME_SIZE];
    for (size_t i = 0; i < count; i++) {
        snprintf(name, sizeof(name), i + 1 == count ? "y" : "t%zu", i);
        add_node(&graph, i % 2 ? "Neg" : "Abs", in, NULL, name);
        memcpy(in, name, sizeof(in));
    }
    add_value(&graph, 11, "a", DTYPE_FLOAT32, (const size_t[]){1}, 1);
    add_value(&graph, 12, "y", DTYPE_FLOAT32, (const size_t[]){1}, 1);
    return finish(&graph, out, err);
}
