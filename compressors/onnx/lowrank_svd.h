/* lowrank_svd.h -- the technique lowrank:svd: two thin matrices in place of a wide one. */
#pragma once

#include "compressors/compressor.h"

/* compress_fn of "lowrank:svd" (SVD-LLM: Wang et al. 2024; kernel: whitened_svd.h; ranks: rank_budget.h).
 * Needs calibration examples. Options: rank (budget, ratio, energy), ratio, energy. Changes Conv, MatMul and
 * Gemm with float32 weights of their own, each kept whole where two matrices would be more operations. Layers
 * are done in the order of the data, each fitted to the inputs that it gets from those before it, so that its
 * outputs are those of the original (paired_moments.h); layers that stay whole are fitted too. RC_UNSUPPORTED
 * when no layer gains; RC_INPUT without examples and for weights that are not finite. */
MUST_USE enum rc lowrank_svd_compress(struct compress_job *job, const struct recipe_step *step,
                                      struct err *err);
