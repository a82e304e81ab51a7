/* residual_blocks.h -- finds y = x + f(x) in a graph. */
#pragma once

#include "compressors/onnx/graph.h"

struct graph_shapes;

struct residual_block {
    const char *label; /* of the Add; lives in the graph */
    const char *sum;   /* the Add's output */
    size_t skip;       /* the input of the Add that is x */
};

struct residual_blocks {
    struct residual_block *list; /* in the order of the graph */
    size_t count;
};

/* Finds the blocks of `g`, in order (graph_sort), whose f holds at least one layer with constant weights and
 * whose sum is no output of the model and read in no subgraph. Names live in g. */
MUST_USE enum rc residual_blocks_find(struct graph *g, const struct graph_shapes *shapes,
                                      struct residual_blocks *ret, struct err *err);
void residual_blocks_release(struct residual_blocks *b);

/* Lets x go on in place of y, and removes what nothing reads any more. False when the block is gone already,
 * with one that held it. */
MUST_USE enum rc residual_block_drop(struct graph *g, const struct residual_block *b, bool *dropped,
                                     struct err *err);
