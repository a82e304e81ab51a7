/* graph_beside.h -- two states of a model in one graph, so that one run shows both. */
#pragma once

#include <stddef.h>

#include "compressors/onnx/graph.h"
#include "core/base/err.h"

#define GRAPH_BESIDE_PREFIX "was/"

/* A graph that computes all that `now` computes and, from the same inputs, all that the packed model `was`
 * (an earlier state of it, with the same inputs) computes: its values, nodes and initializers have
 * GRAPH_BESIDE_PREFIX before their names. The outputs are those of `now`. Owned by the caller. RC_TOO_LARGE
 * where both together pass protobuf's 2 GiB; RC_UNSUPPORTED where `now` has a name with that prefix. */
MUST_USE enum rc graph_beside(struct graph *now, const char *was, size_t was_size, struct graph **ret,
                              struct err *err);
