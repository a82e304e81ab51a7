/* int8_bias.h -- bias correction (Nagel, van Baalen, Blankevoort, Welling 2019, section 4.2, equation 17).
 *
 * Rounding weights shifts the mean of every output by (Wq - W) E[x]. With the mean inputs E[x] observed on
 * calibration examples in float32, that shift is taken out of the bias. Each layer is corrected by itself,
 * for the inputs it had: what layers before it shift is corrected there. Where a convolution pads, E[x] is
 * taken without the border of zeros. */
#pragma once

#include <stddef.h>

#include "compressors/compressor.h"
#include "compressors/onnx/graph.h"
#include "compressors/onnx/int8_plan.h"
#include "compressors/onnx/int8_weights.h"
#include "core/base/err.h"

struct int8_means; /* mean inputs by channel, kept by name of the tensor; opaque, immutable once made */

/* Observes the inputs of the plan's nodes with weights in job->graph. Errors as observe_run. `from` and `to`:
 * the part of the job's progress. Owned by the caller. */
MUST_USE enum rc int8_means_observe(const struct compress_job *job, const struct int8_plan *plan, double from,
                                    double to, struct int8_means **ret, struct err *err);
void int8_means_free(struct int8_means *m); /* NULL is fine */

/* Changes the float32 biases of g, before int8_emit writes the plan. Conv and Gemm without a bias get one,
 * and the plan with them; the bias of a MatMul is the constant that an Add alone adds to it. *count: nodes
 * corrected. A node whose mean inputs are not known, or a MatMul without a bias, stays as it is. */
MUST_USE enum rc int8_bias_correct(struct graph *g, struct int8_plan *plan, const struct int8_means *means,
                                   enum int8_scales scales, size_t *count, struct err *err);

/* shift[outputs] = sum over inputs of (scale q - w) mean: rows of the view are [outer, channels, inner], and
 * mean_of(user, element) is the mean input that an element is multiplied with. The kernel, for tests. */
void int8_bias_shift(const struct int8_quantized *w, double (*mean_of)(const void *user, size_t element),
                     const void *user, double *shift);
