/* int8_dynamic.h -- the technique int8:dynamic: 8-bit weights, the ranges of activations measured at every
 * run. */
#pragma once

#include "compressors/compressor.h"
#include "core/base/err.h"

/* compress_fn of "int8:dynamic". No options: weights get one scale an output channel. RC_UNSUPPORTED when
 * nothing in the model can be quantized. */
MUST_USE enum rc int8_dynamic_compress(struct compress_job *job, const struct recipe_step *step,
                                       struct err *err);
