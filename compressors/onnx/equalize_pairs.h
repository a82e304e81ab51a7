/* equalize_pairs.h -- which layers follow each other so that a scale can move from one to the next. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "compressors/onnx/graph.h"
#include "compressors/onnx/weights.h"
#include "core/base/err.h"

enum { EQUALIZE_READERS_MAX = 8 };

/* A Conv, Gemm or MatMul with float32 weights of its own. The arrays are working copies. */
struct equalize_layer {
    struct graph_node *node;
    struct weights weights;
    float *w; /* [count] in the layout of the tensor */
    size_t count;
    size_t outputs;         /* output channels */
    struct graph_node *add; /* holds the bias: the node itself, or the Add behind a MatMul; NULL: no bias */
    size_t add_slot;
    float *bias; /* [outputs]; NULL without one */
    bool changed;
};

/* What the first gives goes, through operators that a positive factor by channel passes, to the others alone.
 */
struct equalize_pair {
    size_t from;
    size_t to[EQUALIZE_READERS_MAX];
    size_t to_count;
    bool only_relu; /* a Relu, and besides it nothing but flattening */
};

struct equalize_pairs {
    struct equalize_layer *layers;
    size_t layer_count;
    struct equalize_pair *pairs; /* in the order of the graph */
    size_t count;
};

/* Reads a graph in order. Release *ret in any case. */
MUST_USE enum rc equalize_pairs_find(struct graph *g, struct equalize_pairs *ret, struct err *err);
void equalize_pairs_release(struct equalize_pairs *p);

/* Output channel that element i of the layer's weights belongs to, and input channel, of `channels`, that it
 * is multiplied with (a flattened image has several inputs for each channel). */
size_t equalize_output_of(const struct equalize_layer *l, size_t i);
size_t equalize_input_of(const struct equalize_layer *l, size_t i, size_t channels);
