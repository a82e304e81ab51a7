/* layer_sensitivity.h -- what a change of one layer's weights does to the model's output, measured. */
#pragma once

#include "compressors/compressor.h"
#include "compressors/onnx/weight_rows.h"
#include "compressors/onnx/weights.h"
#include "core/base/err.h"

/* Puts `changed` (weights of the same shape and order) in place of the layer's weights `rows`, measures
 * how far the model's output moves from that of `was`, and puts them back. Errors as output_change. */
MUST_USE enum rc layer_sensitivity(struct compress_job *job, const char *was, size_t was_size,
                                   const struct graph_node *n, const struct weights *w,
                                   enum weight_rows_order order, const struct weight_rows *rows,
                                   float *changed, double *change, struct err *err);
