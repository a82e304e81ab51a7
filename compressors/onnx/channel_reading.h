/* channel_reading.h -- a layer that sums over channels of a group: which rows of its weights belong to a
 * unit.
 */
#pragma once

#include "compressors/onnx/channel_groups.h"
#include "compressors/onnx/product_layer.h"

struct channel_reading {
    const struct channel_groups *groups;
    const struct channel_axis *axis; /* of the weights: the one summed over */
    struct product_layer layer;
};

/* Describes contraction i of `groups`. False where its rows cannot be made (stacked weights, a second use of
 * the operands) or no unit is on it. */
bool channel_reading_of(const struct graph *g, const struct channel_groups *groups, size_t i,
                        struct channel_reading *ret);

/* Writes which rows of group `group` belong to `unit`: at most layer.rows.width. Returns how many. */
size_t channel_reading_rows(const struct channel_reading *r, size_t group, uint32_t unit, size_t *rows);

/* True when a unit of the family is on the axis. */
bool channel_reading_has(const struct channel_reading *r, const struct channel_family *f);
