/* fp16.h -- the technique fp16: weights and activations as 16-bit floats. */
#pragma once

#include "compressors/compressor.h"

/* compress_fn of "fp16". No options. Inputs and outputs of the graph stay float32. RC_UNSUPPORTED when there
 * is nothing in float32. */
MUST_USE enum rc fp16_compress(struct compress_job *job, const struct recipe_step *step, struct err *err);
