/* onnx_header.h -- what an ONNX file says about itself, read by scanning the protobuf wire format: no weights
 * are copied, no protobuf library is needed. For `pare size`, family detection and checks before anything
 * costs time. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/formats/dtype.h"

struct onnx_external {
    const char *location; /* as written in the model: may be hostile; never open it without checking */
    uint64_t end;         /* the largest offset + length that an initializer declares; 0 where none does */
};

/* Immutable; strings belong to it. */
struct onnx_header {
    int64_t ir_version;
    int64_t opset;        /* of the default domain */
    const char *producer; /* "pytorch 2.5.1", "" when absent */
    size_t n_inputs, n_outputs, n_nodes, n_initializers, n_externals;
    const struct tensor_spec *inputs; /* of the graph, without its initializers */
    const struct tensor_spec *outputs;
    const struct onnx_external *externals; /* distinct locations */
    uint64_t parameters;                   /* elements of all initializers of the main graph */
    uint64_t initializer_bytes;            /* by dtype and dims, wherever they lie */
    uint64_t float32_bytes;                /* the part that is float32: what fp16 and int8 can shrink */
    uint64_t file_bytes;
};

/* RC_INPUT: not an ONNX model (with what it looks like instead), truncated, broken; RC_TOO_LARGE: absurd
 * counts. */
MUST_USE enum rc onnx_header_read(const char *path, struct onnx_header **ret, struct err *err);
/* The same over memory, which need not outlive the call. */
MUST_USE enum rc onnx_header_parse(const void *data, size_t size, struct onnx_header **ret, struct err *err);
void onnx_header_free(struct onnx_header *h); /* NULL is fine */
