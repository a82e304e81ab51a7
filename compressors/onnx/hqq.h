/* hqq.h -- scale and zero point of a group of weights by half-quadratic quantization (Badri & Shaji 2023). */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "compressors/onnx/group_quant.h"

/* Chooses scale and zero for n finite weights so that hqq_error is small: of the errors many are small and a
 * few, of outliers, are large, and these count for less than in a sum of squares. Starts from
 * group_choose_range and never ends with a larger sum. Symmetric formats keep their zero. No data is needed.
 */
void hqq_choose(const float *w, size_t n, const struct group_format *f, float *scale, uint8_t *zero);

/* Sum of (|weight - rounded weight| / unit)^0.75, unit > 0. */
double hqq_error(const float *w, size_t n, const struct group_format *f, float scale, uint8_t zero,
                 float unit);
