#include "core/data/element.h"

#include <assert.h>

bool element_int(const void *data, enum dtype dtype, size_t i, int64_t *ret) {
    switch (dtype) {
    case DTYPE_BOOL:
        *ret = ((const uint8_t *)data)[i] != 0;
        return true;
    case DTYPE_UINT8:
        *ret = ((const uint8_t *)data)[i];
        return true;
    case DTYPE_INT8:
        *ret = ((const int8_t *)data)[i];
        return true;
    case DTYPE_UINT16:
        *ret = ((const uint16_t *)data)[i];
        return true;
    case DTYPE_INT16:
        *ret = ((const int16_t *)data)[i];
        return true;
    case DTYPE_UINT32:
        *ret = ((const uint32_t *)data)[i];
        return true;
    case DTYPE_INT32:
        *ret = ((const int32_t *)data)[i];
        return true;
    case DTYPE_UINT64:
        *ret = (int64_t)((const uint64_t *)data)[i];
        return *ret >= 0;
    case DTYPE_INT64:
        *ret = ((const int64_t *)data)[i];
        return true;
    default:
        assert(false); /* not an integer type */
        return false;
    }
}

double element_float(const void *data, enum dtype dtype, size_t i) {
    int64_t integer;
    switch (dtype) {
    case DTYPE_FLOAT16:
        return (double)dtype_float_of_half(((const uint16_t *)data)[i]);
    case DTYPE_BFLOAT16:
        return (double)dtype_float_of_bfloat16(((const uint16_t *)data)[i]);
    case DTYPE_FLOAT32:
        return (double)((const float *)data)[i];
    case DTYPE_FLOAT64:
        return ((const double *)data)[i];
    case DTYPE_UINT64:
        return (double)((const uint64_t *)data)[i];
    default:
        return element_int(data, dtype, i, &integer) ? (double)integer : 0;
    }
}

void element_put_int(void *data, enum dtype dtype, size_t i, int64_t value) {
    switch (dtype_bytes(dtype)) {
    case 1:
        ((uint8_t *)data)[i] = (uint8_t)value;
        break;
    case 2:
        ((uint16_t *)data)[i] = (uint16_t)value;
        break;
    case 4:
        ((uint32_t *)data)[i] = (uint32_t)value;
        break;
    default:
        ((uint64_t *)data)[i] = (uint64_t)value;
        break;
    }
}

void element_put_float(void *data, enum dtype dtype, size_t i, double value) {
    switch (dtype) {
    case DTYPE_FLOAT16:
        ((uint16_t *)data)[i] = dtype_half_of_float((float)value);
        break;
    case DTYPE_BFLOAT16:
        ((uint16_t *)data)[i] = dtype_bfloat16_of_float((float)value);
        break;
    case DTYPE_FLOAT32:
        ((float *)data)[i] = (float)value;
        break;
    case DTYPE_FLOAT64:
        ((double *)data)[i] = value;
        break;
    default:
        assert(false); /* not a float type */
    }
}

void element_range(enum dtype dtype, int64_t *min, int64_t *max) {
    unsigned bits = 8 * (unsigned)dtype_bytes(dtype);
    bool is_signed =
        dtype == DTYPE_INT8 || dtype == DTYPE_INT16 || dtype == DTYPE_INT32 || dtype == DTYPE_INT64;
    if (dtype == DTYPE_BOOL) {
        *min = 0;
        *max = 1;
        return;
    }
    *max = is_signed || bits == 64 ? (int64_t)(((uint64_t)1 << (bits - 1)) - 1)
                                   : (int64_t)(((uint64_t)1 << bits) - 1);
    *min = is_signed ? -*max - 1 : 0;
}
