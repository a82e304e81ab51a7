/* int4.h -- the technique int4: weights of matrix products in 4 bits, in groups along the reduction;
 * activations stay float32. */
#pragma once

#include "compressors/compressor.h"

/* compress_fn of "int4". Options: group=16|32|64|128|256, symmetric. MatMul with a constant right operand and
 * Gemm with a constant B become com.microsoft.MatMulNBits (and Add). RC_UNSUPPORTED when there are none. */
MUST_USE enum rc int4_compress(struct compress_job *job, const struct recipe_step *step, struct err *err);
