/* drop_layers.h -- the technique prune:layers: whole residual blocks are dropped. */
#pragma once

#include "compressors/compressor.h"

/* compress_fn of "prune:layers". Option: ratio, the part of the residual blocks that goes. A block is an Add
 * of a value and of what layers with constant weights make of it, both of one shape; without it the value
 * goes on alone. The block whose loss changes the model's outputs least on the calibration examples goes
 * first, and the others are measured again without it (greedy; compare Men et al. 2024, "ShortGPT"). RC_INPUT
 * without calibration examples, RC_UNSUPPORTED when the model has no residual blocks. */
MUST_USE enum rc drop_layers_compress(struct compress_job *job, const struct recipe_step *step,
                                      struct err *err);
