/* store_upload.h -- a file on its way into the store. It is written to FOLDER/uploads, hashed on the way,
 * fsynced, renamed to its place among the blobs, the folder fsynced, and only then recorded.
 *
 * An upload whose content was named beforehand can be gone on with: what came before it was interrupted stays
 * in FOLDER/uploads under that name, also when the service is killed, until it is old. One process writes it
 * at a time (flock). Nothing a client sends becomes a path: a name is 64 checked hexadecimal digits. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/base/sha256.h"
#include "db/store.h"

struct store_upload; /* one upload, used by one thread at a time */

/* `sha256`: what the content will be, NULL where that is not known (such an upload cannot be gone on with).
 * `offset`: how much of it is here already: 0 begins anew, otherwise at most store_upload_kept, whose content
 * is hashed again (blocking). RC_INPUT: not a SHA-256, or an offset without one. RC_CONFLICT: less than
 * `offset` is here, or somebody else is uploading that content from an offset right now. */
MUST_USE enum rc store_upload_begin(struct store *s, const char *sha256, uint64_t offset,
                                    struct store_upload **ret, struct err *err);
/* Writes and hashes (blocking disk I/O). */
MUST_USE enum rc store_upload_append(struct store_upload *u, const void *data, size_t size, struct err *err);
/* Ends the upload and frees `u` in every case. `expected` (NULL = any): RC_INPUT when the content has another
 * hash; then nothing of it is kept. *created (may be NULL) tells whether it is new. */
MUST_USE enum rc store_upload_commit(struct store_upload *u, const char *expected,
                                     char sha256[SHA256_HEX_SIZE], uint64_t *bytes, bool *created,
                                     struct err *err);
/* Removes what was written and frees. NULL is fine. */
void store_upload_abort(struct store_upload *u);
/* Frees, and keeps what was written where it can be gone on with. NULL is fine. */
void store_upload_suspend(struct store_upload *u);

/* How many bytes of that content an interrupted upload left: 0 for none. RC_INPUT: not a SHA-256. */
MUST_USE enum rc store_upload_kept(struct store *s, const char *sha256, uint64_t *bytes, struct err *err);

/* Removes what interrupted uploads left and nothing was added to for min_age_ms; those under way stay. */
MUST_USE enum rc store_uploads_collect(struct store *s, int64_t min_age_ms, uint64_t *removed,
                                       struct err *err);
