/* smoothquant.h -- the technique smoothquant (Xiao et al. 2022). */
#pragma once

#include "compressors/compressor.h"

/* compress_fn of "smoothquant". Option: alpha. The model computes what it did before, up to rounding; a later
 * int8 step leaves the scales as they are. RC_UNSUPPORTED when no activation can be rescaled. */
MUST_USE enum rc smoothquant_compress(struct compress_job *job, const struct recipe_step *step,
                                      struct err *err);
