/* channel_groups.h -- which channels of a graph belong together: the dependency graph of structured pruning
 * (Fang et al. 2023, "DepGraph: Towards Any Structural Pruning"), here on single indices of axes.
 *
 * Every index of every axis of every value is an atom. Each operator says which atoms of its inputs and
 * outputs can only be removed together (a Conv: output channel c, row c of its weights, element c of its
 * bias; a residual Add: channel c of both sides; a Reshape to heads: all features of one head), and they are
 * joined (union-find). A class of joined atoms is a unit: what can be removed as a whole. An operator for
 * which removing an index would change the other elements (Softmax along the axis, a mean over it, a
 * convolution along its spatial axes) pins the axis, as do inputs and outputs of the graph and every operator
 * without a rule; a pinned unit stays, and the node that pinned it is named.
 *
 * Exactness: units that are not pinned end in products with constant weights (contractions). Removing a unit
 * gives what the model gives with the unit's rows of those weights at zero, up to rounding. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compressors/onnx/graph.h"

struct graph_shapes;

/* An axis of a value; its atoms are first .. first + length - 1. */
struct channel_axis {
    struct graph_value *value;
    uint32_t index; /* among the value's axes */
    uint32_t first, length;
};

/* A product with constant weights that sums over an axis of them. */
struct channel_contraction {
    struct graph_node *node; /* Conv, ConvTranspose, MatMul, Gemm */
    size_t slot;             /* the input with the weights */
    uint32_t axis;           /* the axis summed over: index into axes */
};

/* A node that is told the shape it makes (Reshape, Expand, ConstantOfShape, Resize). */
struct channel_target {
    struct graph_node *node;
    size_t slot;      /* the input with the shape */
    uint32_t numbers; /* bit i: entry i is a constant and equal to the length of axis i */
};

/* Units of the same making: each has the same number of atoms on the same axes. All can be removed but one.
 */
struct channel_family {
    const char *label;     /* of the first operator that makes the channels */
    uint32_t first, count; /* units */
    uint32_t stride;       /* atoms of a unit on the axis of weights where it has the fewest: channels a unit
                              counts as */
};

struct channel_unit {
    uint32_t first, count; /* its atoms: atoms[first ..], ascending */
    uint32_t family;
};

/* A family that cannot be pruned, and why. */
struct channel_refusal {
    const char *label; /* of the operator that makes the channels */
    const char *node;  /* of the one that forbids it */
    const char *why;
    uint32_t length; /* channels */
};

#define CHANNEL_NO_UNIT UINT32_MAX

struct channel_groups {
    const struct graph_shapes *shapes; /* borrowed */
    struct channel_axis *axes;
    size_t axis_count, atom_count;
    uint32_t *first_axis; /* by index of the value (graph_shapes_index); its axes follow each other;
                             UINT32_MAX where its shape is not known */
    uint32_t *atoms;      /* of all units, unit by unit */
    uint32_t *unit_of;    /* by atom; CHANNEL_NO_UNIT */
    struct channel_unit *units;
    size_t unit_count;
    struct channel_family *families;
    size_t family_count;
    struct channel_contraction *contractions;
    size_t contraction_count;
    struct channel_target *targets;
    size_t target_count;
    struct channel_refusal *refusals;
    size_t refusal_count;
};

/* What the groups are for. An operator that takes all channels alike (a normalisation, a mean, Softmax) pins
 * their number, not their order. */
enum channel_use { CHANNEL_TO_REMOVE, CHANNEL_TO_ORDER };

/* Finds what can be pruned, or put into another order, in `g`, whose shapes are `shapes` (both borrowed;
 * labels live in g). g must not be edited before the groups are used. Owned by the caller. RC_TOO_LARGE over
 * 2^28 atoms. */
MUST_USE enum rc channel_groups_find(struct graph *g, const struct graph_shapes *shapes, enum channel_use use,
                                     struct channel_groups **ret, struct err *err);
void channel_groups_free(struct channel_groups *c); /* NULL is fine */

/* The axis of v, or NULL where its shape is not known or it has no such axis. */
const struct channel_axis *channel_groups_axis(const struct channel_groups *c, const struct graph_value *v,
                                               size_t axis);
