/* mixed_loss.h -- how far a changed model is from the original on calibration examples, without labels. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compressors/compressor.h"
#include "core/base/err.h"

struct mixed_loss;

struct mixed_distance {
    /* Mean Kullback-Leibler divergence of the classes' probabilities from the original's, in nats; for a
     * model whose first float32 output has no classes (last dimension 1) the squared error as a part of the
     * original's mean square. INFINITY where values are not finite. */
    double divergence;
    /* Mean of what the original's probability of its own best class loses when the changed model's best class
     * is taken instead, in percentage points: the drop in accuracy that would be seen were the original's
     * probabilities true. 0 without classes. */
    double drop;
};

/* Runs `model` (an ONNX file in memory, borrowed for the call) on the job's calibration examples, as many as
 * `max_bytes` of outputs hold, but at most `max_examples` and at least one, and keeps what it gives. Batches
 * run on job->threads threads; results do not depend on their number. Owned by the caller.
 * RC_INPUT: no calibration examples, or the model fails on them; RC_UNSUPPORTED: no float32 output. */
MUST_USE enum rc mixed_loss_open(const struct compress_job *job, const void *model, size_t size,
                                 size_t max_examples, size_t max_bytes, struct mixed_loss **ret,
                                 struct err *err);
void mixed_loss_free(struct mixed_loss *m); /* NULL is fine */

size_t mixed_loss_examples(const struct mixed_loss *m);
bool mixed_loss_has_classes(const struct mixed_loss *m);

/* Distance of `model` on the first `examples` of those. */
MUST_USE enum rc mixed_loss_measure(struct mixed_loss *m, const void *model, size_t size, size_t examples,
                                    struct mixed_distance *ret, struct err *err);
