/* prune_sparsegpt.h -- the technique prune:sparsegpt: weights become zero and the others make up for it. */
#pragma once

#include "compressors/compressor.h"

/* compress_fn of "prune:sparsegpt" (Frantar & Alistarh 2023; kernel: sparsegpt.h), with a
 * second choice of zeros beside it (Boža 2024; prune_admm.h) of which the better counts. Options: block,
 * damp, pattern, ratio, scope. Needs calibration examples. Changes what prune:wanda changes, with the same
 * errors.
 */
MUST_USE enum rc prune_sparsegpt_compress(struct compress_job *job, const struct recipe_step *step,
                                          struct err *err);
