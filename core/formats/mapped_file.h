/* mapped_file.h -- a whole file mapped read-only. A file that shrinks while it is mapped kills the reader
 * (SIGBUS): map stored blobs, which never change, or a user's own file. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

struct mapped_file {
    const uint8_t *data; /* never NULL once open, also for an empty file */
    size_t size;
};

/* RC_NOT_FOUND, RC_IO; RC_INPUT when it is not a regular file. */
MUST_USE enum rc mapped_file_open(const char *path, struct mapped_file *ret, struct err *err);
void mapped_file_close(struct mapped_file *m);
