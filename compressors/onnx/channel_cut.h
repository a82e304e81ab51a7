/* channel_cut.h -- removes units of channels from a graph: constants are cut, and what nodes say about sizes
 * (groups of a convolution, targets of a Reshape, ranges of Slice, sizes of Split) is changed with them. */
#pragma once

#include <stdbool.h>

#include "compressors/onnx/channel_groups.h"

/* Removes every unit u with remove[u] from `g`, the graph that `groups` was found in; the groups are of no
 * use for g afterwards. Each family must keep a unit (asserted). RC_UNSUPPORTED: a tensor whose elements have
 * no whole bytes; RC_MEMORY. On failure g is of no use. */
MUST_USE enum rc channel_cut(struct graph *g, const struct channel_groups *groups, const bool *remove,
                             struct err *err);

/* What the cut is equal to: sets to zero what the products with constant weights take from the units. */
MUST_USE enum rc channel_mask(struct graph *g, const struct channel_groups *groups, const bool *remove,
                              struct err *err);
