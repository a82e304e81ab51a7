/* layer_rows.h -- the input of a layer with weights as rows x, so that every output is a product w . x.
 *
 *   MatMul, Gemm     a row is what is multiplied by one column of the weights [width, outputs]
 *   Conv             a row is the patch of one group under the kernel: element (channel, kernel position),
 *                    in the order of the weights [outputs, channels / group, kernel...]; padding is zero
 *   ConvTranspose    a row is the channels of one group at one position; weights [channels, outputs...] */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compressors/onnx/weights.h"
#include "core/base/err.h"
#include "runtimes/onnxruntime.h" /* struct onnxruntime_tensor */

enum { LAYER_SPATIAL_MAX = 3 };

enum layer_rows_kind { LAYER_ROWS_LAST_AXIS, LAYER_ROWS_SECOND_LAST, LAYER_ROWS_PATCHES };
enum layer_pad { LAYER_PAD_EXPLICIT, LAYER_PAD_SAME_UPPER, LAYER_PAD_SAME_LOWER, LAYER_PAD_VALID };

struct layer_rows {
    enum layer_rows_kind kind;
    struct graph_value *input; /* the value the rows are made of */
    size_t groups, width;      /* of a row */
    size_t channels;           /* patches: of one group */
    size_t spatial;            /* patches: number of spatial axes */
    size_t kernel[LAYER_SPATIAL_MAX], stride[LAYER_SPATIAL_MAX], dilation[LAYER_SPATIAL_MAX];
    size_t pad_begin[LAYER_SPATIAL_MAX], pad_end[LAYER_SPATIAL_MAX];
    enum layer_pad pad;
};

/* Describes the rows of a node that has constant weights of two dimensions or more (weights_of). False with a
 * reason in *why (static) where rows cannot be made: stacked weights, more than three spatial axes. */
bool layer_rows_of(const struct graph *g, const struct graph_node *n, struct layer_rows *ret,
                   const char **why);

/* True when the two have the same rows. */
bool layer_rows_equal(const struct layer_rows *a, const struct layer_rows *b);

/* Rows of each group in t. RC_INPUT when its shape does not fit the weights. */
MUST_USE enum rc layer_rows_count(const struct layer_rows *r, const struct onnxruntime_tensor *t,
                                  size_t *count, struct err *err);

/* Writes rows first, first + step, ... (`count` of them) of one group to out[count, width]. All must exist.
 */
void layer_rows_fill(const struct layer_rows *r, const struct onnxruntime_tensor *t, size_t group,
                     size_t first, size_t step, size_t count, float *out);
