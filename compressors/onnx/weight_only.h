/* weight_only.h -- weights of 8, 4, 3 or 2 bits in groups; activations stay floats between layers. The steps
 * int8:weights, int4, int3, int2 (round to nearest), int4:hqq .. int2:hqq (hqq.h), int8:gptq .. int2:gptq
 * (gptq.h) and int4:awq .. int2:awq (awq.h).
 *
 * Matrix products run in com.microsoft.MatMulNBits where it has the width (2, 4 and 8 bits), by default with
 * activations rounded to 8 bits inside the product, which is what its fast kernels do. Everything else, and
 * all convolutions, are stored packed and unpacked once when the model is loaded: smaller on disk, no faster.
 */
#pragma once

#include "compressors/compressor.h"

compress_fn weight_only_compress;
