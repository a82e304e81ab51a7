/* equalize.h -- the technique equalize: cross-layer equalization (Nagel et al. 2019). */
#pragma once

#include "compressors/compressor.h"

/* compress_fn of "equalize". Option: absorb. Without it the model computes what it did before, up to
 * rounding. RC_UNSUPPORTED when no two layers follow each other as is needed. */
MUST_USE enum rc equalize_compress(struct compress_job *job, const struct recipe_step *step, struct err *err);
