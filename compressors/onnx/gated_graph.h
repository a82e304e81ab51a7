/* gated_graph.h -- a copy of a graph in which units of channels can be switched off from outside: what each
 * layer reads of a family is multiplied by a gate, a further input of the model with a number for each index.
 */
#pragma once

#include "compressors/onnx/channel_groups.h"

struct gate {
    char name[64];                   /* of the input */
    const struct channel_axis *axis; /* of what the layer reads: the gate has as many numbers */
    uint32_t rank;                   /* of that value: the gate's dims are 1 but for the axis */
};

struct gates {
    struct gate *list;
    size_t count;
};

/* Packs a copy of `g`, in which `groups` were found, with gates in front of every layer that reads the
 * family; free() *data, gates_release. Layers whose other operand is no float32 value of known shape have
 * none. */
MUST_USE enum rc gated_graph_pack(struct graph *g, const struct channel_groups *groups, size_t family,
                                  struct gates *gates, char **data, size_t *size, struct err *err);
void gates_release(struct gates *gates);
