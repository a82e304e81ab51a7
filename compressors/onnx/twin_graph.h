/* twin_graph.h -- two models in one, side by side on the same inputs, so that one run shows what both make of
 * an example. */
#pragma once

#include "compressors/onnx/graph.h"

/* Begins the names of the values that come from the original. */
#define TWIN_PREFIX "original/"

/* The nodes of `original` (packed by graph_pack) with TWIN_PREFIX before all names but those of the model's
 * inputs, and those of `g`, which must have come from it: the same inputs, functions and domains. The result
 * has the outputs of g; both are borrowed. Owned by the caller. RC_UNSUPPORTED: the original has subgraphs,
 * or g has a name with that prefix. */
MUST_USE enum rc twin_graph_make(const char *original, size_t original_size, struct graph *g,
                                 struct graph **ret, struct err *err);
