/* halves.h -- arrays of floats as 16-bit floats. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* IEEE 754 binary16 of `count` values, to nearest, ties to even, as dtype_half_of_float. Too large becomes
 * infinity. */
void halves_of_floats(const float *values, size_t count, uint16_t *halves);

/* The same, but what is finite becomes 65,504 at most. Returns how many values that changed. */
size_t halves_of_floats_finite(const float *values, size_t count, uint16_t *halves);
