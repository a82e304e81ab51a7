/* file.h -- small file helpers: read whole, write whole and durably, folders. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

/* The whole file, at most max_bytes (RC_TOO_LARGE), NUL-terminated beyond its size. free() *data. */
MUST_USE enum rc file_read(const char *path, size_t max_bytes, char **data, size_t *size, struct err *err);

/* A file of /proc or /sys, whose size the kernel does not tell beforehand: its first max_bytes bytes. free()
 * *data. */
MUST_USE enum rc file_read_kernel(const char *path, size_t max_bytes, char **data, size_t *size,
                                  struct err *err);

/* Writes a temporary name beside `path`, fsyncs, renames over it and fsyncs the folder. `mode` as for
 * open(2). */
MUST_USE enum rc file_write(const char *path, const void *data, size_t size, unsigned mode, struct err *err);

/* Creates the folder and its parents; one that is there is fine. */
MUST_USE enum rc file_make_folder(const char *path, struct err *err);

/* Removes a folder with all it holds (symbolic links are removed, not followed). A missing one is fine. */
MUST_USE enum rc file_remove_tree(const char *path, struct err *err);

MUST_USE enum rc file_size(const char *path, uint64_t *bytes, struct err *err);

/* RC_IO or RC_NOT_FOUND with "path: text of errno". */
enum rc file_error(const char *path, struct err *err);

/* The part after the last '/'. */
const char *file_base_name(const char *path);
