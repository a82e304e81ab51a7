/* logits.h -- a model's output for a batch, seen as [examples, positions, classes] of float. */
#pragma once

#include <stddef.h>

#include "core/base/err.h"
#include "core/formats/dtype.h"
#include "runtimes/onnxruntime.h"

struct logits {
    const float *data; /* row-major */
    size_t examples, positions, classes;
};

/* How an output is read, from its declared spec: the last axis holds the classes, all between the batch and
 * it are positions. RC_UNSUPPORTED unless an output is a float tensor with a batch axis; *ret is its index:
 * the first that is. */
MUST_USE enum rc logits_choose(const struct tensor_spec *outputs, size_t count, size_t *ret, struct err *err);

/* Views (float32) or converts (float16, bfloat16, float64; into *room, grown with realloc, of *room_size
 * floats) the tensor of a run. A tensor [N] counts as [N, 1, 1]. RC_INPUT when it does not have `batch`
 * examples. */
MUST_USE enum rc logits_view(const struct onnxruntime_tensor *tensor, size_t batch, float **room,
                             size_t *room_size, struct logits *ret, struct err *err);

/* One row of classes. */
static inline const float *logits_row(const struct logits *l, size_t example, size_t position) {
    return l->data + (example * l->positions + position) * l->classes;
}

/* Index of the largest value, the first of equal ones (as NumPy's argmax); NaN never wins over a number. */
size_t logits_argmax(const float *row, size_t classes);

/* True when every row is already a distribution: values in 0..1 that sum to 1 within 0.001. */
int logits_are_probabilities(const struct logits *l);

/* KL divergence of `row` from `reference` in nats, sum over classes of p_ref (log p_ref - log p). Rows are
 * logits (their softmax is taken, in double), or distributions where `probabilities`; a p of 0 then counts as
 * 1e-12. Never negative. */
double logits_divergence(const float *reference, const float *row, size_t classes, int probabilities);
