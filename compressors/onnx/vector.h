/* vector.h -- loops over weights as vector code. A function marked VECTOR_LOOPS is compiled for AVX2 too
 * where the compiler can do that, and the program picks the one its machine has when it starts. Its loops are
 * written so that no sum of floats changes its order, and AVX2 alone has no fused multiplication, so both
 * give the same bits. */
#pragma once

#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) &&                 \
    !defined(PARE_SANITIZED) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define VECTOR_LOOPS __attribute__((target_clones("avx2", "default"), optimize("O3"), noinline))
#else
#define VECTOR_LOOPS
#endif

enum { VECTOR_LANES = 8 }; /* partial results that a loop keeps, so that they fit registers */
