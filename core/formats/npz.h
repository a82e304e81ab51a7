/* npz.h -- named arrays in a NumPy .npz file (a zip of .npy files, stored or deflated), read strictly: the
 * declared shape must be the bytes that are there, and nothing grows beyond the limits, whatever the archive
 * says. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/formats/npy.h"

struct npz; /* opaque; used by one thread */

struct npz_limits {
    size_t max_arrays;  /* 0 = 256 */
    uint64_t max_bytes; /* of all arrays together, unpacked; 0 = 8 GiB */
};

struct npz_array {
    const char *name; /* without ".npy"; valid as long as the npz */
    struct npy_header header;
};

/* Reads the directory and the header of every array; no data yet. `limits` NULL = all defaults.
 * RC_INPUT: not a zip, broken, an entry that is not .npy, a name twice. RC_TOO_LARGE: a limit.
 * RC_UNSUPPORTED: see npy_parse. */
MUST_USE enum rc npz_open(const char *path, const struct npz_limits *limits, struct npz **ret,
                          struct err *err);
/* The same over memory, which must outlive the npz. */
MUST_USE enum rc npz_open_memory(const void *data, size_t size, const struct npz_limits *limits,
                                 struct npz **ret, struct err *err);
void npz_close(struct npz *z); /* NULL is fine */

size_t npz_count(const struct npz *z);
const struct npz_array *npz_at(const struct npz *z, size_t index);
const struct npz_array *npz_find(const struct npz *z, const char *name); /* NULL when absent */

/* The data of one array in C order, `header.data_bytes` long (at least 1 allocated), checked against the
 * zip's CRC. The caller frees *data. */
MUST_USE enum rc npz_read(struct npz *z, const struct npz_array *array, void **data, struct err *err);
