/* prune_magnitude.h -- the technique prune:magnitude: the smallest weights become zero. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "compressors/compressor.h"

/* compress_fn of "prune:magnitude". Options: block, pattern, ratio, scope. Changes constant weights of Conv,
 * ConvTranspose, MatMul and Gemm that have at least 512 elements and no other readers. RC_UNSUPPORTED when
 * there are none; RC_INPUT for weights that are not finite. */
MUST_USE enum rc prune_magnitude_compress(struct compress_job *job, const struct recipe_step *step,
                                          struct err *err);

/* Sets the floor(count * ratio) values of least magnitude to zero (Han et al. 2015, without retraining); of
 * equal magnitudes the first ones. Returns how many are zero then. RC_INPUT for NaN or infinity, RC_MEMORY.
 */
MUST_USE enum rc prune_magnitude_values(float *values, size_t count, double ratio, size_t *zeros,
                                        struct err *err);
