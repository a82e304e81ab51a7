/* observe.h -- runs the model on calibration examples and hands over the values of chosen tensors.
 *
 * The tensors become the only outputs of a copy of the graph, so what does not lead to them is not computed.
 * Batches run side by side on single-threaded runs of one session; what is taken from them is taken in the
 * dataset's order. So a sum over batches is the same for any number of threads. Memory: the model three
 * times, and for each thread one batch of the observed tensors (at most OBSERVE_BATCH_BYTES, one example
 * where that is more). */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "compressors/compressor.h"
#include "core/base/err.h"
#include "runtimes/onnxruntime.h" /* struct onnxruntime_tensor */

enum { OBSERVE_BATCH_BYTES = 32 << 20, OBSERVE_BATCH_MAX = 8 };

struct observe_opts {
    size_t max_examples; /* 0: all there are */
    double from, to;     /* the part of the job's progress that this is */
    const char *text;    /* of the progress: "observing the inputs of layers" */
};

/* Takes from one batch what part `part` of the sink needs; tensors[i] is target i, borrowed for the call, in
 * `thread` < the job's threads. Of one part, batches come in the dataset's order and never two at once. */
typedef enum rc observe_fn(void *user, size_t part, size_t thread,
                           const struct onnxruntime_tensor *const *tensors, struct err *err);

struct observe_sink {
    observe_fn *take;
    void *user;
    size_t parts; /* the work on a batch is divided into so many parts, which run side by side */
};

/* Runs job->calibration through job->graph on job->threads threads and gives every batch to the sink. `names`
 * are values of the graph: outputs of nodes or inputs of the model. Binds the dataset to the model's inputs
 * if nobody did. In *examples (may be NULL) how many were run. RC_INPUT: no calibration examples, they do not
 * fit the model, or the model fails on them; RC_UNSUPPORTED: a target is not a float32 tensor. */
MUST_USE enum rc observe_run(const struct compress_job *job, const char *const *names, size_t count,
                             const struct observe_opts *opts, const struct observe_sink *sink,
                             size_t *examples, struct err *err);
