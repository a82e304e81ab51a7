/* channel_permute.h -- puts channels into an order in which an N:M pattern takes less from the layers that
 * read them (Pool & Yu 2021, "Channel Permutations for N:M Sparsity"). All that makes or reads the channels
 * is put into the same order, so that the model computes what it did, up to rounding: hidden units of a dense
 * block, channels between convolutions, and the features of a whole residual stream, over all of its layers.
 */
#pragma once

#include <stddef.h>

#include "compressors/compressor.h"

/* Puts every family of channels that some layer reads, n of m of whose inputs are to be kept, in a better
 * order, and records which. What a weight counts is (w ||x||)^2, as in Wanda, as a part of its layer's. The
 * result is compared with the model as it was; where they differ by more than rounding the graph stays as it
 * was, with a record. `spare_last`: the layer that gives the model's output is not counted (nor where it is
 * the only one). RC_INPUT without
 * calibration examples. */
MUST_USE enum rc channel_permute(struct compress_job *job, size_t n, size_t m, bool spare_last,
                                 struct err *err);
