/* sparsegpt.h -- removes weights of one layer and lets the others make up for it (Frantar & Alistarh 2023).
 * The layer's output error on its inputs, trace(D h D^T) with D what changed and h the inputs' second
 * moments, is what counts. */
#pragma once

#include <stddef.h>

#include "compressors/onnx/prune_pattern.h"
#include "core/base/err.h"

enum {
    SPARSEGPT_BLOCK = 128
}; /* columns among which weights to remove are chosen together, as in the paper */

/* w [rows, columns]: a row an output. `root` [columns, columns]: from inverse_root, of the inputs' second
 * moments. Afterwards the weights that `pattern` removes are exactly zero. RC_MEMORY. */
MUST_USE enum rc sparsegpt_prune(double *w, size_t rows, size_t columns, const double *root,
                                 const struct prune_pattern *pattern, struct err *err);

/* Gives the non-zero weights of every row the values that make its error least while zeros stay zeros: the
 * exact solution, where sparsegpt_prune only ever corrects columns to the right. `original` [rows, columns]
 * is the layer as it was, h [columns, columns] the inputs' second moments, to whose diagonal `damp` times its
 * mean is added. RC_MEMORY. */
MUST_USE enum rc sparsegpt_refit(double *w, const double *original, size_t rows, size_t columns,
                                 const double *h, double damp, struct err *err);
