/* store_blobs.h -- files kept by content: FOLDER/blobs/ab/cdef... Nothing a client sends becomes a path: a
 * name is 64 checked hexadecimal digits. They come by way of store_upload.h; those that nothing refers to are
 * collected. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/base/sha256.h"
#include "db/store.h"

/* Stores bytes that are in memory; they need no upload. */
MUST_USE enum rc store_blob_put(struct store *s, const void *data, size_t size, char sha256[SHA256_HEX_SIZE],
                                struct err *err);

/* RC_INPUT: not a SHA-256; RC_NOT_FOUND. */
MUST_USE enum rc store_blob_stat(struct store *s, const char *sha256, uint64_t *bytes, struct err *err);
/* The same inside a transaction. */
MUST_USE enum rc store_tx_blob_stat(struct store_tx *tx, const char *sha256, uint64_t *bytes,
                                    struct err *err);
/* A descriptor open for reading, closed by the caller. */
MUST_USE enum rc store_blob_open(struct store *s, const char *sha256, int *fd, uint64_t *bytes,
                                 struct err *err);
/* The whole content in memory, at most max_bytes (RC_TOO_LARGE); free() *data. */
MUST_USE enum rc store_blob_read(struct store *s, const char *sha256, size_t max_bytes, char **data,
                                 size_t *size, struct err *err);

/* Where the content lies, for readers of headers that want a path. The blob must exist. */
MUST_USE enum rc store_blob_path(struct store *s, const char *sha256, char *path, size_t path_size,
                                 struct err *err);

/* Removes blobs that no row refers to and that are older than min_age_ms: an upload
 * comes before the row that names it. */
MUST_USE enum rc store_blobs_collect(struct store *s, int64_t min_age_ms, uint64_t *removed, struct err *err);
