/* prune_allocate.h -- gives each layer its own ratio, so that the model's output suffers little. */
#pragma once

#include "compressors/onnx/prune_layers.h"

/* Sets the ratio of every layer so that together they lose pattern->ratio of their weights: each layer is
 * pruned by `probe` alone at a few ratios, the error of its outputs follows from the second moments of its
 * inputs, and what such an error does to the model's output is measured at one of them (output_change.h;
 * where that cannot be compared, the error relative to the layer's outputs counts). `was` is the packed
 * model. RC_INPUT, RC_MEMORY. */
MUST_USE enum rc prune_allocate(struct compress_job *job, const struct recipe_step *step,
                                const struct prune_pattern *pattern, prune_matrix_fn *probe,
                                struct prune_layers *layers, const char *was, size_t was_size,
                                struct err *err);
