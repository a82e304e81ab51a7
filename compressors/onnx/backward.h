/* backward.h -- derivatives by activations: reverse-mode differentiation of a graph, as nodes of the same
 * graph (Griewank and Walther 2008, "Evaluating Derivatives").
 *
 * ONNX Runtime's inference packages have no gradients, but a derivative is made of operators that they have:
 * that of a Conv by its input is a ConvTranspose, that of a product a product. Weights are constants here.
 * Derivatives are taken in float32, of operators that a table lists (backward_rules.c). */
#pragma once

#include <stddef.h>

#include "compressors/onnx/graph.h"
#include "compressors/onnx/graph_shapes.h"
#include "core/base/err.h"

/* Where differentiation begins: the loss's derivative by an output, in the shape of the output. */
struct backward_seed {
    const struct graph_value *output;
    const char *gradient;
};

/* Adds to `g`, which is in order (graph_sort) and whose shapes are `shapes`, the nodes that compute the
 * loss's derivative by each of wanted[wanted_count], float32 values of any node; gradients[i] is the name of
 * what has it, in the shape of wanted[i], or NULL where the loss does not depend on it. Nothing is computed
 * that does not lead to them. May raise the operator set. RC_UNSUPPORTED: an operator between them and the
 * outputs has no rule, and is named. */
MUST_USE enum rc backward_build(struct graph *g, const struct graph_shapes *shapes,
                                const struct backward_seed *seeds, size_t seed_count,
                                struct graph_value *const *wanted, size_t wanted_count,
                                const char **gradients, struct err *err);
