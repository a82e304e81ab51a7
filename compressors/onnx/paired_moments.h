/* paired_moments.h -- second moments of the inputs of layers in a model that is being changed, beside what
 * the same inputs were before any change. With them a layer can make up for what was done to the layers
 * before it (SparseGPT and SVD-LLM work on the inputs x' of the changed model; that the outputs should be
 * those of the original, W x and not W x', is from Li et al. 2025, GPTAQ). */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "compressors/compressor.h"
#include "compressors/onnx/graph.h"
#include "compressors/onnx/layer_rows.h"
#include "compressors/onnx/observe.h"
#include "core/base/err.h"

struct paired_moments; /* opaque, immutable once made */

/* Of one layer; arrays belong to the moments. */
struct paired_layer {
    struct layer_rows rows;
    uint64_t count;      /* rows that were added */
    const double *now;   /* [groups, width, width]: sum of x' x'^T */
    const double *cross; /* [groups, width, width]: sum of x x'^T, x a row of the original */
};

/* How many examples give each of the nodes many times more rows than its inputs are wide, by running one; 0
 * where all are not enough. */
MUST_USE enum rc paired_moments_examples(const struct compress_job *job,
                                         const struct graph_node *const *nodes, size_t count,
                                         size_t *examples, struct err *err);

struct paired_opts {
    struct observe_opts observe;
    size_t max_rows; /* as of moments_opts */
    /* Layers of job->graph that are still to be changed, `nodes` among them; NULL: no residuals are looked
     * at.
     */
    const struct graph_node *const *pending;
    size_t pending_count;
};

/* Runs job->graph and, beside it, the packed model `was` on the calibration examples. `nodes` are layers of
 * job->graph for which layer_rows_of; their inputs must exist under the same names in `was`. Errors as of
 * moments_run. */
MUST_USE enum rc paired_moments_run(const struct compress_job *job, const char *was, size_t was_size,
                                    const struct graph_node *const *nodes, size_t count,
                                    const struct paired_opts *opts, struct paired_moments **ret,
                                    struct err *err);
void paired_moments_free(struct paired_moments *m);                                     /* NULL is fine */
const struct paired_layer *paired_moments_at(const struct paired_moments *m, size_t i); /* of nodes[i] */

/* What nodes[i] owes to the value that its output is added to (residual_partner.h): the sum of (r - r') x'^T
 * [groups, outputs, width], r that value in the original and r' as it is now. A layer that pays it brings the
 * sum back to the original's, not only its own part (compare Lin et al. 2025, LoaQ). NULL where there is
 * none.
 */
const double *paired_moments_owed(const struct paired_moments *m, size_t i);

/* The weights that a layer w [rows, columns] should have on its new inputs: those whose outputs come closest
 * to what w made of the old ones plus what is owed, (w cross + owed) (now + d I)^-1 with d = damp times the
 * mean of now's diagonal, and w itself where nothing changed. now, cross [columns, columns]; owed [rows,
 * columns] or NULL. out may be w. RC_MEMORY; RC_INPUT for moments that are not finite. */
MUST_USE enum rc paired_moments_target(const double *w, size_t rows, size_t columns, const double *now,
                                       const double *cross, const double *owed, double damp, double *out,
                                       struct err *err);
