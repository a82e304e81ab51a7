/* prune_wanda.h -- the technique prune:wanda: weights that do little to the outputs become zero. */
#pragma once

#include <stddef.h>

#include "compressors/compressor.h"
#include "compressors/onnx/prune_pattern.h"

/* compress_fn of "prune:wanda". Options: block, pattern, ratio. Needs calibration examples. Changes constant
 * weights of Conv, MatMul and Gemm that have at least 512 elements and no other readers. RC_UNSUPPORTED when
 * there are none; RC_INPUT for weights that are not finite, and without examples. */
MUST_USE enum rc prune_wanda_compress(struct compress_job *job, const struct recipe_step *step,
                                      struct err *err);

/* Prunes w [rows, columns] by |w| times the norm of its input, norms[columns]; without a pattern the same
 * part of each row (output). RC_INPUT for values that are not finite; RC_MEMORY. */
MUST_USE enum rc prune_wanda_matrix(float *w, size_t rows, size_t columns, const double *norms,
                                    const struct prune_pattern *pattern, struct err *err);
