/* channel_refit.h -- after channels were cut: fits the weights of the layers that read what is left, so that
 * their outputs come as near as they can to those of the original model (He, Zhang & Sun 2017, "Channel
 * Pruning for Accelerating Very Deep Neural Networks", equation 3).
 *
 * Layer by layer, from the inputs of the model on: both models run side by side on the calibration examples;
 * with rows R that the layer reads in the cut model (a column of ones for the bias) and outputs Y of the same
 * layer in the original, it becomes the W that minimises |Y - R W|^2 + lambda |W - W0|^2, where W0 are its
 * weights so far. So it also makes up for what went wrong in the layers before it. lambda is chosen by
 * two-fold cross-validation over batches; where no lambda does better than W0 on examples that were not
 * fitted, W0 stays. */
#pragma once

#include <stdbool.h>

#include "compressors/compressor.h"
#include "compressors/onnx/channel_groups.h"

struct refit_job {
    struct compress_job *job; /* its graph is cut already */
    const char *original;     /* the graph before, packed */
    size_t original_size;
    const struct channel_groups *groups; /* of the original */
    const bool *removed;                 /* by unit */
    double from, to;                     /* the part of the job's progress that this is */
};

/* Refits every Conv (of one group), MatMul and Gemm with constant float32 weights of its own that lost
 * inputs. Records each, and those that it left alone with the reason. RC_INPUT without calibration examples.
 */
MUST_USE enum rc channel_refit(const struct refit_job *r, struct err *err);
