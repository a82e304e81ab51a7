/* channel_source.h -- where the channels of an activation can be divided by factors at no cost: in the
 * constants of the operator before it, the weights of a norm or of the product that feeds a gate. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compressors/onnx/graph.h"
#include "core/base/err.h"

enum { CHANNEL_CONSTANTS_MAX = 2 };

/* Constants before the tensor that take 1 / s: inputs `slot` of `node`, channels on their last axis. */
struct channel_source {
    struct {
        struct graph_node *node;
        size_t slot;
    } constants[CHANNEL_CONSTANTS_MAX];
    size_t count;
};

/* The source of v, whose last axis has `channels`; false when there is none. */
bool channel_source_find(const struct graph *g, const struct graph_value *v, int64_t channels,
                         struct channel_source *ret);

/* The constant float32 tensor, of one axis or more, that is input `slot` of n; NULL when it is none. */
const Onnx__TensorProto *channel_constant(const struct graph *g, const struct graph_node *n, size_t slot);
/* Its last axis. */
int64_t channel_count(const Onnx__TensorProto *t);

/* Gives input `slot` of n a copy of its constant, [.., rows, columns], times factors: by row or by column,
 * the other NULL. */
MUST_USE enum rc channel_rescale(struct graph *g, struct graph_node *n, size_t slot, const float *by_row,
                                 const float *by_column, struct err *err);
