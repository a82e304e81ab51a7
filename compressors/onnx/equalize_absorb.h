/* equalize_absorb.h -- high biases into the layer behind (Nagel et al. 2019, section 4.1.3).
 *
 * Where a Relu stands between, Relu(x) = Relu(x - c) + c for all x >= c. With c three standard deviations
 * below the mean, as batch normalization knows both, that is nearly all: c leaves the first layer's bias and
 * W2 c joins the second's, so that the activation between has a smaller range. */
#pragma once

#include <stddef.h>

#include "compressors/onnx/equalize_pairs.h"
#include "compressors/onnx/graph.h"
#include "core/base/err.h"

/* Mean and deviation of the outputs of one Conv, from the BatchNormalization behind it. */
struct equalize_norm {
    const struct graph_node *conv;
    float *mean, *deviation; /* [channels]: beta, |gamma| */
    size_t channels;
};

struct equalize_norms {
    struct equalize_norm *list;
    size_t count;
};

/* Call before batch normalizations are folded. Release *ret in any case. */
MUST_USE enum rc equalize_norms_read(const struct graph *g, struct equalize_norms *ret, struct err *err);
void equalize_norms_release(struct equalize_norms *n);

/* Moves what can be moved over pair `at`, whose channels were divided by `scales`, in the layers' working
 * copies. Returns the number of channels; 0 where there is no Relu alone between, no statistics, a reader
 * without a bias, or one that pads (a border of zeros does not hold c). */
size_t equalize_absorb(struct equalize_pairs *p, size_t at, const double *scales,
                       const struct equalize_norms *norms);
