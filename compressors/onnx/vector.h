/* vector.h -- loops over weights as vector code. A function marked VECTOR_LOOPS is compiled for AVX2 too
 * where the compiler can do that, and the program picks the one its machine has when it starts. Its loops are
 * written so that no sum of floats changes its order, and AVX2 alone has no fused multiplication, so both
 * give the same bits. What such a function calls is marked VECTOR_BODY, so that it becomes part of it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) &&                 \
    !defined(PARE_SANITIZED) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define VECTOR_CLONES 1 /* there are two variants */
#define VECTOR_LOOPS  __attribute__((target_clones("avx2", "default"), optimize("O3"), noinline))
#define VECTOR_BODY   static inline __attribute__((always_inline))
#else
#define VECTOR_LOOPS
#define VECTOR_BODY static inline
#endif

/* Asks for the cache line `ahead` elements on to come to the second cache, wherever that is: nothing happens
 * where there is no memory. */
#if defined(__GNUC__)
#define VECTOR_PREFETCH(from, ahead)                                                                         \
    __builtin_prefetch((const void *)((uintptr_t)(from) + (ahead) * sizeof(*(from))), 0, 2)
#else
#define VECTOR_PREFETCH(from, ahead) ((void)0)
#endif

enum { VECTOR_LANES = 8 }; /* partial results that a loop keeps, so that they fit registers */

/* For loops that compilers do not turn into vector code by themselves. Loaded and stored by memcpy. */
typedef float float_lanes __attribute__((vector_size(4 * VECTOR_LANES)));
typedef int32_t int_lanes __attribute__((vector_size(4 * VECTOR_LANES)));
typedef int16_t short_lanes __attribute__((vector_size(4 * VECTOR_LANES))); /* twice as many */

enum { FLOAT_SIGN = INT32_MIN, FLOAT_INFINITY = 0x7f800000 }; /* bits of a float */

VECTOR_BODY int32_t vector_bits(float x) {
    int32_t bits;
    memcpy(&bits, &x, sizeof(bits));
    return bits;
}

VECTOR_BODY float vector_float(int32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof(x));
    return x;
}

VECTOR_BODY int32_t vector_larger(int32_t a, int32_t b) {
    return a > b ? a : b;
}

/* The bits without the sign: they order as magnitudes do, with NaN above FLOAT_INFINITY. */
VECTOR_BODY int32_t vector_magnitude(float x) {
    return vector_bits(x) & INT32_MAX;
}

/* The largest magnitude of n, as bits: FLOAT_INFINITY or more when one is not finite. */
VECTOR_BODY int32_t vector_largest(const float *x, size_t n) {
    int32_t most = 0;
    for (size_t i = 0; i < n; i++) {
        most = vector_larger(most, vector_magnitude(x[i]));
    }
    return most;
}
