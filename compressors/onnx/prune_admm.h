/* prune_admm.h -- a second way to choose which weights of a layer go: by alternating between the best weights
 * and the allowed ones (Boža 2024, Fast and Effective Weight Update for Pruned Large Language Models). */
#pragma once

#include <stddef.h>

#include "compressors/onnx/prune_pattern.h"
#include "core/base/err.h"

/* As sparsegpt_prune, with h [columns, columns] instead of its root: of w [rows, columns] the weights that
 * `pattern` removes become zero, the others near to what makes the outputs' error least (sparsegpt_refit
 * makes them exact). RC_MEMORY, RC_INPUT for moments that are not finite. */
MUST_USE enum rc prune_admm(double *w, size_t rows, size_t columns, const double *h,
                            const struct prune_pattern *pattern, struct err *err);
