/* layer_stages.h -- which layers must be changed before which, so that each can be fitted to the inputs that
 * it will really get. */
#pragma once

#include <stddef.h>

#include "compressors/onnx/graph.h"

/* Numbers `nodes` (in the graph's topological order: graph_sort) by stage: a node comes in a later stage than
 * those of `nodes` whose outputs lead to it, and as early as that allows. With more than `max_stages` of them
 * neighbouring ones become one. Returns how many there are. Uses the nodes' marks. */
size_t layer_stages(const struct graph *g, struct graph_node *const *nodes, size_t count, size_t max_stages,
                    size_t *stage);
