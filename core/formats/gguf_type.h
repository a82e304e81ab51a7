/* gguf_type.h -- the element types of GGUF tensors. */
#pragma once

#include <stdint.h>

struct gguf_type {
    uint32_t id; /* enum ggml_type */
    const char *name;
    uint32_t block_elements; /* quantized types store blocks of so many elements ... */
    uint32_t block_bytes;    /* ... in so many bytes */
};

/* NULL for an unknown type. */
const struct gguf_type *gguf_type_find(uint32_t id);
