/* weight_rows.h -- the weights of a node as matrices with a row for each output and a column for each input,
 * for techniques that look at a layer as y = W x. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "compressors/onnx/graph.h"
#include "compressors/onnx/weights.h"
#include "core/base/err.h"

/* Order of a convolution's columns. Both are the same for every other layer and for 1 by 1 kernels. */
enum weight_rows_order {
    WEIGHT_ROWS_AS_STORED,     /* channel, kernel row, kernel column: as im2col gives patches */
    WEIGHT_ROWS_CHANNELS_LAST, /* kernel row, kernel column, channel: as sparse and blocked kernels want them
                                */
};

struct weight_rows {
    size_t groups, rows, columns; /* of each group; groups is 1 unless a convolution has more */
    size_t run;    /* columns that belong to one position of the kernel: channels, or all columns */
    float *values; /* [groups, rows, columns] */
};

/* True for Conv, Gemm, and MatMul with one constant matrix on the right. ConvTranspose, stacks of matrices
 * and constants on the left are not (*why is a reason for a record). */
bool weight_rows_possible(const struct graph_node *n, const struct weights *w, const char **why);

/* Reads the weights of `n` (for which weight_rows_possible). Released with weight_rows_release. RC_INPUT: the
 * weights do not fit the node, or are not finite; RC_MEMORY. Gemm's alpha is not applied. */
MUST_USE enum rc weight_rows_load(const struct graph *g, const struct graph_node *n, const struct weights *w,
                                  enum weight_rows_order order, struct weight_rows *ret, struct err *err);
/* Writes values of the same shape back, in the tensor's own type. */
MUST_USE enum rc weight_rows_store(struct graph *g, const struct graph_node *n, const struct weights *w,
                                   enum weight_rows_order order, const struct weight_rows *rows,
                                   struct err *err);
void weight_rows_release(struct weight_rows *r); /* zeroed is fine */

/* The place, in stored order, of column `column`. */
size_t weight_rows_stored_column(const struct weight_rows *r, enum weight_rows_order order, size_t column);

/* Of one group, second moments products [groups, columns, columns] (columns as stored) with rows and columns
 * in this order; free() the result. NULL: no memory. */
double *weight_rows_moments(const struct weight_rows *r, enum weight_rows_order order, const double *products,
                            size_t group);

/* Writes floats into a tensor in its own type (float32, float16, bfloat16), its shape as it is. */
MUST_USE enum rc weight_rows_set_floats(struct graph *g, Onnx__TensorProto *t, const float *values,
                                        size_t count, struct err *err);
