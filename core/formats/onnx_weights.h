/* onnx_weights.h -- which constant tensors each node of an ONNX model reads, by name of the node: their
 * bytes, and the shape of the largest. Read by scanning the protobuf wire format, without the weights
 * themselves. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

struct onnx_weights; /* immutable */

struct onnx_node_weights {
    const char *node;   /* its name; nodes without one are left out */
    const char *op;     /* "Conv" */
    uint64_t bytes;     /* of all initializers that it reads */
    uint64_t elements;  /* of the largest of them (the first of equals); 0: it reads none */
    uint64_t first_dim; /* of the largest; 1 for a scalar */
};

/* RC_INPUT: not an ONNX model, or a broken one; RC_TOO_LARGE: absurd counts; RC_IO. Nodes of subgraphs are
 * not read. Owned by the caller. */
MUST_USE enum rc onnx_weights_read(const char *path, struct onnx_weights **ret, struct err *err);
/* The same over memory, which need not outlive the call. */
MUST_USE enum rc onnx_weights_parse(const void *data, size_t size, struct onnx_weights **ret,
                                    struct err *err);
void onnx_weights_free(struct onnx_weights *w); /* NULL is fine */

/* NULL when no node has that name; of several of one name any. */
const struct onnx_node_weights *onnx_weights_find(const struct onnx_weights *w, const char *node);
/* Bytes of all initializers. */
uint64_t onnx_weights_bytes(const struct onnx_weights *w);
