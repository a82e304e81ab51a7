/* channel_reorder.h -- puts the units of a graph's channels into another order: the model computes what it
 * did, up to rounding. */
#pragma once

#include <stdint.h>

#include "compressors/onnx/channel_groups.h"

/* order [unit_count]: which unit comes in the place of each; a permutation within every family. `groups` were
 * found in g with CHANNEL_TO_ORDER, and are still good for it afterwards. Constants are put into the order;
 * nothing else knows of it. RC_UNSUPPORTED: a tensor whose elements have no whole bytes; RC_MEMORY. */
MUST_USE enum rc channel_reorder(struct graph *g, const struct channel_groups *groups, const uint32_t *order,
                                 struct err *err);
