/* checked.h -- size arithmetic for numbers that come from a file or the network. True means overflow. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool checked_mul(size_t a, size_t b, size_t *ret) {
    return __builtin_mul_overflow(a, b, ret);
}

static inline bool checked_add(size_t a, size_t b, size_t *ret) {
    return __builtin_add_overflow(a, b, ret);
}

/* Product of n dimensions (an empty list gives 1). A negative dimension counts as overflow. */
static inline bool checked_product(const int64_t *dims, size_t n, size_t *ret) {
    size_t product = 1;
    for (size_t i = 0; i < n; i++) {
        if (dims[i] < 0 || checked_mul(product, (size_t)dims[i], &product)) {
            return true;
        }
    }
    *ret = product;
    return false;
}
