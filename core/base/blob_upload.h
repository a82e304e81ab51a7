/* blob_upload.h -- sends one file to the service's blobs: not where it is there already, and from where an
 * earlier upload was interrupted. */
#pragma once

#include "core/base/err.h"
#include "core/base/http_client.h"

/* Sends `file`, whose content has `sha256`, once. `on_progress` (may be NULL) is called with the bytes of the
 * file that are there and all of them. Worth repeating after RC_IO, RC_TIMEOUT and RC_BUSY: it then goes on
 * where it stopped. */
MUST_USE enum rc blob_upload_once(struct http_client *c, const char *sha256, const char *file,
                                  void (*on_progress)(void *user, uint64_t sent, uint64_t total), void *user,
                                  struct err *err);

/* The same, repeated with growing pauses (half a second at first) while that is worth it, six times in all. A
 * service that cannot be reached at first is an error at once. */
MUST_USE enum rc blob_upload(struct http_client *c, const char *sha256, const char *file,
                             void (*on_progress)(void *user, uint64_t sent, uint64_t total), void *user,
                             struct err *err);
