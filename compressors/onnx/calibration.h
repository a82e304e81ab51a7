/* calibration.h -- runs the model on calibration examples and gathers statistics of chosen activations.
 *
 * The activations become outputs of a copy of the graph. Batches run side by side on single-threaded runs of
 * one session, and the statistics do not depend on order, so the result is the same for any number of
 * threads. Memory: the model three times, and for each thread one batch of the watched activations (at most
 * CALIBRATION_BATCH_BYTES, one example where that is more) and one set of statistics.
 *
 * Examples are taken in the dataset's order (a random sample) in rounds. When a further round moved no range
 * noticeably, the rest is not run: minutes of inference would change nothing. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "compressors/compressor.h"
#include "compressors/onnx/range.h"
#include "core/base/err.h"

struct graph;
struct calibration; /* opaque, immutable once made */

enum { CALIBRATION_BATCH_BYTES = 64 << 20 };

/* What to watch of one float32 value of the graph. */
enum calibration_watch {
    CALIBRATION_RANGE = 1,    /* count, min and max */
    CALIBRATION_BINS = 2,     /* and the histogram */
    CALIBRATION_CHANNELS = 4, /* largest absolute value for each index of the last axis */
};

struct calibration_target {
    const char *name; /* of a value of the graph: a node's output or an input of the model */
    unsigned watch;   /* bits of enum calibration_watch */
};

struct calibration_opts {
    size_t max_examples; /* 0: all that are needed */
    double from, to;     /* the part of the job's progress that this is */
};

/* Runs job->calibration through job->graph on job->threads threads; binds the dataset to the model's inputs
 * if nobody did. `targets` is borrowed for the call. RC_INPUT: no calibration examples, they do not fit the
 * model, or the model fails on them; RC_UNSUPPORTED: a target is not a float32 tensor. Owned by the caller.
 */
MUST_USE enum rc calibration_run(const struct compress_job *job, const struct calibration_target *targets,
                                 size_t count, const struct calibration_opts *opts, struct calibration **ret,
                                 struct err *err);
void calibration_free(struct calibration *c); /* NULL is fine */

/* Statistics of target i; bins are NULL unless CALIBRATION_BINS was asked for. Owned by the calibration. */
const struct range_stats *calibration_stats(const struct calibration *c, size_t i);
/* Largest absolute values by channel and their number; NULL unless asked for, and where the last axis is not
 * the same in every run. */
const float *calibration_channels(const struct calibration *c, size_t i, size_t *channels);
/* Examples that were run. */
size_t calibration_examples(const struct calibration *c);
/* Elements of target i for one example, on average. */
double calibration_elements(const struct calibration *c, size_t i);
