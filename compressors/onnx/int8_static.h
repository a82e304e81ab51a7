/* int8_static.h -- the technique int8:static: 8-bit weights and activations, ranges fixed by calibration. */
#pragma once

#include "compressors/compressor.h"
#include "core/base/err.h"

/* compress_fn of "int8:static". Options: act=u8|s8, calib=minmax|percentile|entropy|mse, percentile=P,
 * weights=channel|tensor. RC_UNSUPPORTED when nothing in the model can be quantized; RC_INPUT without
 * calibration examples. */
MUST_USE enum rc int8_static_compress(struct compress_job *job, const struct recipe_step *step,
                                      struct err *err);
