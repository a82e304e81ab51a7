/* output_change.h -- how far a changed model's first output is from what it was: which layers a model can
 * spare. */
#pragma once

#include <stddef.h>

#include "compressors/compressor.h"
#include "core/base/err.h"

/* Runs job->graph and, beside it, the packed model `was` on the first `max_examples` calibration examples (0:
 * all) and compares their first outputs. Where the dataset's labels are classes: the mean Kullback-Leibler
 * divergence of the softmax over the last axis, in nats. Otherwise the sum of squared differences over the
 * sum of squares. RC_UNSUPPORTED: the output is not a float32 tensor. Else errors as observe_run. */
MUST_USE enum rc output_change(const struct compress_job *job, const char *was, size_t was_size,
                               size_t max_examples, double *change, struct err *err);

/* The divergence of softmax(b) from softmax(a), both [count] logits. */
double output_change_divergence(const float *a, const float *b, size_t count);
