/* blob_cache.h -- files fetched from the service, by content, in a folder. A file is checked against its hash
 * before it gets its name, so whatever has a name is whole. Used by one thread; several agents may share a
 * folder. */
#pragma once

#include <stdint.h>

#include "core/base/err.h"

struct http_client;

enum { BLOB_CACHE_PATH = 4096 };

struct blob_cache {
    char folder[BLOB_CACHE_PATH]; /* absolute */
    uint64_t max_bytes;
};

/* Makes the folder. RC_INPUT for a path that is too long. */
MUST_USE enum rc blob_cache_open(struct blob_cache *c, const char *folder, uint64_t max_bytes,
                                 struct err *err);

/* The path of the blob, fetched when it is not there. RC_INPUT: `sha256` is no hash, or what came does not
 * have it; else errors of http_client_download. */
MUST_USE enum rc blob_cache_get(struct blob_cache *c, struct http_client *client, const char *sha256,
                                char path[BLOB_CACHE_PATH], struct err *err);

/* Removes the least recently used blobs until the rest is within max_bytes. Called between jobs: paths handed
 * out before may be gone. */
MUST_USE enum rc blob_cache_trim(struct blob_cache *c, struct err *err);
