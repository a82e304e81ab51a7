/* idx.h -- IDX files as MNIST and its relatives use them, plain or gzip. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/formats/dtype.h"

enum { IDX_MAX_RANK = 4 };

struct idx {
    enum dtype dtype; /* uint8, int8, int16, int32, float32, float64 */
    size_t rank;
    int64_t dims[IDX_MAX_RANK];
    size_t bytes;
    void *data; /* this machine's byte order; owned; idx_release */
};

/* max_bytes limits the unpacked data (0 = 8 GiB). RC_INPUT: not IDX, truncated, bytes after the end;
 * RC_TOO_LARGE. */
MUST_USE enum rc idx_read(const char *path, uint64_t max_bytes, struct idx *ret, struct err *err);
/* The same over a file's bytes in memory, gzip or plain. */
MUST_USE enum rc idx_read_memory(const void *data, size_t size, uint64_t max_bytes, struct idx *ret,
                                 struct err *err);
void idx_release(struct idx *x);

/* RC_INPUT unless `images` has rank 3 or 4 ([N, h, w], [N, h, w, c] or [N, c, h, w]), `labels` is integer of
 * rank 1, and both have the same number of examples. `labels` may be NULL. */
MUST_USE enum rc idx_check_pair(const struct idx *images, const struct idx *labels, struct err *err);
