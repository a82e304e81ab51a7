/* round_loops.h -- the loops that round weights, each over plain arrays. Who uses one wraps it in a function
 * marked VECTOR_LOOPS; tests compare that with the same loop as plain code. */
#pragma once

#include <float.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "compressors/onnx/vector.h"

enum {
    ROUND_BLOCK = 32,      /* weights whose codes are written at once */
    ROUND_GROUPS_MAX = 64, /* for round_ranges */
    ROUND_AHEAD = 2048     /* weights that are fetched while others are rounded */
};

static const float round_magic = 12582912.0F; /* 1.5 * 2^23: a sum with it has no room for a fraction */

/* a or b, without the jump that a compiler might make of a question mark. */
VECTOR_BODY int32_t round_either(bool first, int32_t a, int32_t b) {
    return b ^ ((a ^ b) & -(int32_t)first);
}

/* To the nearest integer, ties to even, of |x| < 2^22: what nearbyintf does, without a call. */
VECTOR_BODY float round_even(float x) {
    return (x + round_magic) - round_magic;
}

/* The code nearest to w, for 1 / scale (0 for a scale of 0) and the largest code `top`. */
VECTOR_BODY float round_code(float w, float inverse, float zero, float top) {
    float c = w * inverse + zero;
    c = c < 0 ? 0 : c;
    return round_even(c > top ? top : c);
}

/* 1 / scale; 0 for scales so small that it would be infinite: their weights are as good as 0. */
VECTOR_BODY float round_inverse(float scale) {
    float inverse = 1.0F / scale, size = scale < 0 ? -scale : scale;
    return size >= FLT_MIN ? inverse : 0;
}

/* How far n weights reach above 0 and below it, both as bits, in lanes: the bits of positive floats order as
 * integers do. Above FLOAT_INFINITY where one is NaN. */
VECTOR_BODY void round_reach(const float *w, size_t n, int32_t above[VECTOR_LANES],
                             int32_t below[VECTOR_LANES]) {
    int_lanes high = {0}, low = {0};
    size_t i = 0;
    for (; i + VECTOR_LANES <= n; i += VECTOR_LANES) {
        int_lanes x;
        memcpy(&x, w + i, sizeof(x));
        int_lanes y = x ^ FLOAT_SIGN, higher = x > high, lower = y > low;
        high = (x & higher) | (high & ~higher);
        low = (y & lower) | (low & ~lower);
    }
    memcpy(above, &high, sizeof(high));
    memcpy(below, &low, sizeof(low));
    for (; i < n; i++) {
        above[0] = vector_larger(vector_bits(w[i]), above[0]);
        below[0] = vector_larger(vector_bits(w[i]) ^ FLOAT_SIGN, below[0]);
    }
}

VECTOR_BODY int32_t round_largest(const int32_t v[VECTOR_LANES]) {
    return vector_larger(vector_larger(vector_larger(v[0], v[1]), vector_larger(v[2], v[3])),
                         vector_larger(vector_larger(v[4], v[5]), vector_larger(v[6], v[7])));
}

/* low[g] (0 or less) and high[g] (0 or more) of every group of n weights, at most ROUND_GROUPS_MAX groups.
 * False when one is not finite. */
VECTOR_BODY bool round_ranges(const float *restrict w, size_t n, size_t group, float *restrict low,
                              float *restrict high) {
    int32_t above[ROUND_GROUPS_MAX][VECTOR_LANES], below[ROUND_GROUPS_MAX][VECTOR_LANES], most = 0;
    size_t groups = 0;
    for (size_t first = 0; first < n; first += group, groups++) {
        round_reach(w + first, n - first < group ? n - first : group, above[groups], below[groups]);
    }
    for (size_t g = 0; g < groups; g++) {
        int32_t up = round_largest(above[g]), down = round_largest(below[g]);
        most = vector_larger(most, vector_larger(up, down));
        high[g] = vector_float(up);
        low[g] = 0 - vector_float(down);
    }
    return most < FLOAT_INFINITY;
}

/* The codes of ROUND_BLOCK weights, as round_code. */
VECTOR_BODY void round_encode_block(const float *w, float inverse, float zero, float top, uint8_t *codes) {
    int32_t sums[ROUND_BLOCK];
    for (size_t i = 0; i < ROUND_BLOCK; i += VECTOR_LANES) {
        float_lanes c, most = (float_lanes){0} + top;
        memcpy(&c, w + i, sizeof(c));
        c = c * inverse + zero;
        c = (float_lanes)((int_lanes)c & ~(c < 0));
        int_lanes over = c > top;
        c = (float_lanes)(((int_lanes)c & ~over) | ((int_lanes)most & over));
        c = c + round_magic;
        memcpy(sums + i, &c, sizeof(c));
    }
    for (size_t i = 0; i < ROUND_BLOCK; i++) {
        codes[i] = (uint8_t)sums[i]; /* the integer is in the lowest bits */
    }
}

/* The codes of every group of n weights. */
VECTOR_BODY void round_encode(const float *restrict w, size_t n, size_t group, const float *restrict scales,
                              const uint8_t *restrict zeros, float top, uint8_t *restrict codes) {
    for (size_t first = 0, g = 0; first < n; first += group, g++) {
        size_t end = n - first < group ? n : first + group, i = first;
        float inverse = round_inverse(scales[g]), zero = zeros[g];
        for (; i + ROUND_BLOCK <= end; i += ROUND_BLOCK) {
            VECTOR_PREFETCH(w + i, ROUND_AHEAD);
            VECTOR_PREFETCH(w + i, ROUND_AHEAD + ROUND_BLOCK / 2);
            round_encode_block(w + i, inverse, zero, top, codes + i);
        }
        for (; i < end; i++) {
            codes[i] = (uint8_t)(int32_t)round_code(w[i], inverse, zero, top);
        }
    }
}

/* Pairs of 4-bit codes, the first in the lower half of a byte. */
VECTOR_BODY void round_pack_nibbles(const uint8_t *restrict codes, size_t pairs, uint8_t *restrict out) {
    for (size_t i = 0; i < pairs; i++) {
        out[i] = (uint8_t)(codes[2 * i] | codes[2 * i + 1] << 4);
    }
}

/* The scale and zero of the codes 0 .. top that cover low .. high, as round-to-nearest does everywhere. */
VECTOR_BODY void round_cover(float low, float high, float top, float *scale, uint8_t *zero) {
    float s = (high - low) / top, middle = (top + 1) / 2;
    float z = round_code(-low, round_inverse(s), 0, top);
    *scale = s;
    *zero = (uint8_t)(int32_t)(s >= FLT_MIN ? z : middle);
}

/* The same with zero in the middle: the value of largest magnitude becomes the lowest code. */
VECTOR_BODY void round_cover_symmetric(float low, float high, float top, float *scale, uint8_t *zero) {
    float middle = (top + 1) / 2;
    *scale = (-low >= high ? low : high) / -middle;
    *zero = (uint8_t)(int32_t)middle;
}

/* The integer nearest to x, within -most .. most. That is handed in: of a constant the compiler makes jumps
 * instead of vector code. */
VECTOR_BODY int8_t round_int8(float x, float most) {
    x = x < -most ? -most : x;
    return (int8_t)(int32_t)round_even(x > most ? most : x);
}

/* n weights with one scale. */
VECTOR_BODY void round_int8_run(const float *restrict w, float scale, size_t n, float most,
                                int8_t *restrict q) {
    for (size_t i = 0; i < n; i++) {
        q[i] = round_int8(w[i] / scale, most);
    }
}

/* n weights with a scale each. */
VECTOR_BODY void round_int8_columns(const float *restrict w, const float *restrict scales, size_t n,
                                    float most, int8_t *restrict q) {
    for (size_t i = 0; i < n; i++) {
        q[i] = round_int8(w[i] / scales[i], most);
    }
}

/* The 16-bit float nearest to x, ties to even; too large becomes infinity. The three cases of
 * dtype_half_of_float, all computed and one chosen. */
VECTOR_BODY uint16_t round_half(float x) {
    int32_t bits = vector_bits(x), size = bits & INT32_MAX, sign = bits >> 16 & 0x8000;
    uint32_t rounded = (uint32_t)size + 0xfff + (uint32_t)(size >> 13 & 1);
    int32_t normal = (int32_t)(rounded >> 13) - (112 << 10);
    int32_t small = vector_bits(vector_float(size) + 0.5F) - vector_bits(0.5F); /* below 2^-14 */
    int32_t half = round_either(size < 0x38800000, small, normal);
    half = round_either(size >= 0x477ff000, 0x7c00, half); /* 65,520 and more */
    half = round_either(size > FLOAT_INFINITY, 0x7e00, half);
    return (uint16_t)(sign | half);
}

VECTOR_BODY void round_halves(const float *restrict x, size_t n, uint16_t *restrict halves) {
    for (size_t i = 0; i < n; i++) {
        halves[i] = round_half(x[i]);
    }
}

/* The same, but what is finite stays finite: 65,504 at most. Returns how many that changed. */
VECTOR_BODY size_t round_halves_finite(const float *restrict x, size_t n, uint16_t *restrict halves) {
    size_t changed = 0;
    for (size_t i = 0; i < n; i++) {
        int32_t size = vector_bits(x[i]) & INT32_MAX;
        bool cut = (size >= 0x477ff000) & (size < FLOAT_INFINITY);
        halves[i] = (uint16_t)(round_half(x[i]) - cut); /* the number before infinity */
        changed += cut;
    }
    return changed;
}
