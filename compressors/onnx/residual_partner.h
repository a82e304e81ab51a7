/* residual_partner.h -- what the output of a layer is added to: the other side of a residual connection. */
#pragma once

#include <stddef.h>

#include "compressors/onnx/graph.h"

/* Follows the only output of `n` through additions of constants (a bias) to the first Add with a computed
 * value, and gives that value; NULL where something else reads the output or there is no such Add. NULL too
 * where the value depends on one of `pending`, layers of the same graph, or on another user of their weights:
 * it is not yet what it will be. */
struct graph_value *residual_partner(const struct graph *g, const struct graph_node *n,
                                     const struct graph_node *const *pending, size_t pending_count);
