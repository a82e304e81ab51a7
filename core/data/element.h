/* element.h -- one element of an array of any type, as a number. Internal to core/data. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/formats/dtype.h"

/* Element i as an integer; false when it does not fit (uint64) . Asserts an integer type. */
bool element_int(const void *data, enum dtype dtype, size_t i, int64_t *ret);

/* Element i of any type as a floating-point number. */
double element_float(const void *data, enum dtype dtype, size_t i);

/* Stores at element i; the value must fit (integers) or is rounded to nearest (floats). */
void element_put_int(void *data, enum dtype dtype, size_t i, int64_t value);
void element_put_float(void *data, enum dtype dtype, size_t i, double value);

/* The values that an integer type holds, as far as int64 reaches; bool: 0 and 1. */
void element_range(enum dtype dtype, int64_t *min, int64_t *max);
