/* moments.h -- second moments of the inputs of layers, the Hessian of a layer's squared output error
 * (Hassibi & Stork 1993; Frantar & Alistarh 2022): H = sum of x x^T over rows x (layer_rows.h) of the
 * calibration examples. Also sums of x and of |x|. Nothing but these is kept while examples stream by. Sums
 * are double, in the order of the dataset: the same for any number of threads.
 *
 * What a change of weights W to V does to the outputs over all rows follows from H alone:
 * sum |(W - V) x|^2 = trace((W - V) H (W - V)^T). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compressors/compressor.h"
#include "compressors/onnx/graph.h"
#include "compressors/onnx/layer_rows.h"
#include "compressors/onnx/observe.h"

struct moments; /* opaque, immutable once made */

/* Of one layer. All arrays belong to the moments. */
struct moments_layer {
    struct layer_rows rows;
    uint64_t count;         /* rows that were added */
    const double *products; /* [groups, width, width], symmetric, both halves */
    const double *sums;     /* [groups, width] */
    const double *abs_sums; /* [groups, width] of |x| */
};

struct moments_opts {
    struct observe_opts observe;
    size_t max_rows; /* of each layer: every n-th row is taken so that at most about so many are; 0: all */
};

/* Bytes that the moments of a node take; 0 when it has none (layer_rows_of). */
size_t moments_bytes(const struct graph *g, const struct graph_node *n);

enum { MOMENTS_BYTES_MAX = 1 << 30 };

/* Observes the inputs of `nodes`, each of which must have rows (moments_bytes > 0). Layers that read the same
 * rows share theirs. RC_TOO_LARGE when all together would pass MOMENTS_BYTES_MAX: ask for fewer nodes at once
 * (moments_fit). Else errors as observe_run. The nodes need not outlive the call. Owned by the caller. */
MUST_USE enum rc moments_run(const struct compress_job *job, const struct graph_node *const *nodes,
                             size_t count, const struct moments_opts *opts, struct moments **ret,
                             struct err *err);
void moments_free(struct moments *m); /* NULL is fine */

/* How many of the first nodes fit into `max_bytes`; at least 1 where count is. */
size_t moments_fit(const struct graph *g, const struct graph_node *const *nodes, size_t count,
                   size_t max_bytes);

/* Of nodes[i] of moments_run. */
const struct moments_layer *moments_at(const struct moments *m, size_t i);
size_t moments_examples(const struct moments *m); /* that were run */

/* Adds rows[count, width] to sums: products (upper half), sums and abs_sums as above. `scratch` holds
 * width * width floats. The kernel of moments_run, for tests and benches. */
void moments_add_rows(const float *rows, size_t count, size_t width, float *scratch, double *products,
                      double *sums, double *abs_sums);
