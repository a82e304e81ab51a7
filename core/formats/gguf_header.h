/* gguf_header.h -- metadata and tensor list of a GGUF file (versions 2 and 3, little endian), without its
 * data. Every count, length and offset is checked against the file before it is believed. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

enum { GGUF_MAX_DIMS = 4 };

struct gguf_tensor {
    const char *name;
    uint32_t type;         /* enum ggml_type */
    const char *type_name; /* "Q4_K" */
    size_t rank;
    uint64_t dims[GGUF_MAX_DIMS]; /* ggml's order: dims[0] is contiguous */
    uint64_t elements;
    uint64_t offset; /* from the start of the file */
    uint64_t bytes;
};

struct gguf_header; /* opaque, immutable */

/* Reads and checks the header of a file. RC_INPUT: not GGUF, truncated ("tensor X ends at byte N, the file
 * has M"), broken; RC_UNSUPPORTED: another version, big endian, an unknown tensor type; RC_TOO_LARGE: more
 * tensors or keys than 1 << 20. */
MUST_USE enum rc gguf_header_read(const char *path, struct gguf_header **ret, struct err *err);
/* The same over memory, which need not outlive the call; `file_bytes` is the size of the whole file. */
MUST_USE enum rc gguf_header_parse(const void *data, size_t size, uint64_t file_bytes,
                                   struct gguf_header **ret, struct err *err);
void gguf_header_free(struct gguf_header *h); /* NULL is fine */

uint32_t gguf_header_version(const struct gguf_header *h);
uint64_t gguf_header_file_bytes(const struct gguf_header *h);
uint64_t gguf_header_parameters(const struct gguf_header *h); /* elements of all tensors */
size_t gguf_header_tensor_count(const struct gguf_header *h);
const struct gguf_tensor *gguf_header_tensor(const struct gguf_header *h, size_t index);

/* Metadata by key. NULL or false when the key is absent or of another kind. */
const char *gguf_header_string(const struct gguf_header *h, const char *key); /* "general.architecture" */
bool gguf_header_uint(const struct gguf_header *h, const char *key,
                      uint64_t *ret); /* any integer type, not negative */
bool gguf_header_number(const struct gguf_header *h, const char *key,
                        double *ret); /* any integer or float type */
bool gguf_header_array_count(const struct gguf_header *h, const char *key, uint64_t *ret);

/* Bits a weight that `type` takes, e.g. 4.5 for Q4_K; 0 for an unknown type. By name: "Q8_0", "F16". */
double gguf_type_bits(uint32_t type);
double gguf_type_bits_by_name(const char *name);
