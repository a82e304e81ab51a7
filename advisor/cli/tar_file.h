/* tar_file.h -- writes a tar archive in the ustar format (POSIX.1-1988): plain files in folders, nothing
 * else. */
#pragma once

#include <stddef.h>

#include "core/base/err.h"

struct tar_file; /* opaque */

/* A temporary file beside `path`, renamed over it by tar_file_close. Owned by the caller. */
MUST_USE enum rc tar_file_open(const char *path, struct tar_file **ret, struct err *err);

/* `name` in the archive has at most 99 bytes; `mode` as of chmod(2). RC_INPUT for a longer name, RC_TOO_LARGE
 * from 8 GiB. */
MUST_USE enum rc tar_file_add(struct tar_file *t, const char *name, unsigned mode, const char *source,
                              struct err *err);
MUST_USE enum rc tar_file_add_text(struct tar_file *t, const char *name, unsigned mode, const char *text,
                                   struct err *err);

/* Ends the archive. `t` is gone, whatever is returned. */
MUST_USE enum rc tar_file_close(struct tar_file *t, struct err *err);
/* Gives up: nothing is left. NULL is fine. */
void tar_file_abandon(struct tar_file *t);
