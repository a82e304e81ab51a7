/* mixed_model.h -- a model whose layers may each have another width: which layers there are, and the graph
 * for any choice of widths. */
#pragma once

#include <stddef.h>

#include "compressors/compressor.h"
#include "compressors/onnx/graph.h"
#include "compressors/onnx/int8_static.h"
#include "compressors/onnx/mixed_choose.h"
#include "core/base/err.h"

/* Weights that are quantized as one: those of one or more Conv, Gemm or MatMul, or an embedding table. */
struct mixed_layer {
    char *weights;              /* name of the initializer */
    bool offered[MIXED_WIDTHS]; /* MIXED_FP32 always */
    double elements;            /* of the weights */
    double macs;                /* multiply-accumulates of one example; 0 for a table */
};

struct mixed_model {
    struct compress_job *job; /* its graph is prepared, and smoothed where that helps; borrowed */
    struct int8_ranges *ranges;
    struct int8_static_opts int8;
    struct mixed_layer *layers; /* in the order of the graph */
    size_t count;
    char *plain; /* the float32 model, packed */
    size_t plain_size;
    struct graph *four; /* the plain model with all products in 4 bits (mixed_four.h); NULL: none can be */
};

/* Prepares job->graph (batch normalizations folded, outliers smoothed unless an earlier step did that),
 * observes its ranges and lists the layers that 8 or 4 bits can hold. `from` and `to`: the part of the job's
 * progress. RC_UNSUPPORTED when there are none. Release *m in any case. */
MUST_USE enum rc mixed_model_open(struct compress_job *job, enum range_type act, double from, double to,
                                  struct mixed_model *m, struct err *err);
void mixed_model_release(struct mixed_model *m);

/* The graph with widths[m->count]; `record` is told what was changed. Owned by the caller. */
MUST_USE enum rc mixed_model_build(const struct mixed_model *m, const enum mixed_width *widths,
                                   struct record *record, struct graph **ret, struct err *err);
/* The same, packed; free() *data. */
MUST_USE enum rc mixed_model_pack(const struct mixed_model *m, const enum mixed_width *widths, char **data,
                                  size_t *size, struct err *err);
