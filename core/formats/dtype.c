#include "core/formats/dtype.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/container.h"

static const struct {
    const char *name;
    size_t bytes;
    int onnx;
    const char *numpy;
} table[] = {
#define X(id, name, bytes, onnx, numpy) {name, bytes, onnx, numpy},
    DTYPE_TABLE(X)
#undef X
};

const char *dtype_name(enum dtype dtype) {
    return (size_t)dtype < ARRAY_SIZE(table) ? table[dtype].name : "other";
}

size_t dtype_bytes(enum dtype dtype) {
    return (size_t)dtype < ARRAY_SIZE(table) ? table[dtype].bytes : 0;
}

bool dtype_is_float(enum dtype dtype) {
    return dtype == DTYPE_FLOAT16 || dtype == DTYPE_BFLOAT16 || dtype == DTYPE_FLOAT32 ||
           dtype == DTYPE_FLOAT64;
}

enum dtype dtype_from_onnx(int64_t type) {
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        if (table[i].onnx == type) {
            return (enum dtype)i;
        }
    }
    return DTYPE_OTHER;
}

int dtype_to_onnx(enum dtype dtype) {
    return (size_t)dtype < ARRAY_SIZE(table) ? table[dtype].onnx : 0;
}

enum dtype dtype_from_numpy(const char *descr, size_t size) {
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        if (table[i].numpy && strlen(table[i].numpy) == size && memcmp(table[i].numpy, descr, size) == 0) {
            return (enum dtype)i;
        }
    }
    return DTYPE_OTHER;
}

static float float_of_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static uint32_t bits_of_float(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

float dtype_float_of_half(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16, exponent = (half >> 10) & 31u, mantissa = half & 0x3ffu;
    if (exponent == 31) {
        return float_of_bits(sign | 0x7f800000u | mantissa << 13);
    }
    if (exponent == 0) { /* zero and subnormals: mantissa * 2^-24, exact in float */
        float value = (float)mantissa * 0x1p-24f;
        return sign ? -value : value;
    }
    return float_of_bits(sign | (exponent + 112) << 23 | mantissa << 13);
}

uint16_t dtype_half_of_float(float value) {
    uint32_t bits = bits_of_float(value), magnitude = bits & 0x7fffffffu;
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000u);
    if (magnitude > 0x7f800000u) {
        return (uint16_t)(sign | 0x7e00u);
    }
    if (magnitude >= 0x477ff000u) { /* 65520 and more round to infinity */
        return (uint16_t)(sign | 0x7c00u);
    }
    if (magnitude < 0x38800000u) { /* below 2^-14: the addition rounds to a multiple of 2^-24, to even */
        uint32_t rounded = bits_of_float(float_of_bits(magnitude) + 0.5f) - bits_of_float(0.5f);
        return (uint16_t)(sign | rounded);
    }
    uint32_t rounded = magnitude + 0xfffu + (magnitude >> 13 & 1u);
    return (uint16_t)(sign | ((rounded >> 13) - (112u << 10)));
}

float dtype_float_of_bfloat16(uint16_t bits) {
    return float_of_bits((uint32_t)bits << 16);
}

uint16_t dtype_bfloat16_of_float(float value) {
    uint32_t bits = bits_of_float(value);
    if (isnan(value)) {
        return (uint16_t)(bits >> 16 | 0x40u);
    }
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

void dtype_shape_text(const int64_t *dims, size_t rank, char text[SHAPE_TEXT_SIZE]) {
    size_t used = (size_t)snprintf(text, SHAPE_TEXT_SIZE, "[");
    for (size_t i = 0; i < rank && used < SHAPE_TEXT_SIZE - 24; i++) {
        const char *comma = i ? ", " : "";
        int n = dims[i] < 0
                    ? snprintf(text + used, SHAPE_TEXT_SIZE - used, "%s%s", comma, i ? "?" : "N")
                    : snprintf(text + used, SHAPE_TEXT_SIZE - used, "%s%lld", comma, (long long)dims[i]);
        used += (size_t)n;
    }
    snprintf(text + used, SHAPE_TEXT_SIZE - used, "]");
}
