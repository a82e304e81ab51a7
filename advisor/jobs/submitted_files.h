/* submitted_files.h -- the "files" of a submitted model or dataset: [{"path", "sha256", "role"?}], checked
 * against the blobs. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/base/err.h"
#include "db/store.h"
#include "db/store_models.h"

enum { SUBMITTED_FILES_MAX = 1024 };

struct submitted_files {
    struct store_file *items; /* paths borrowed from the body, sorted by path */
    size_t n;
    int64_t bytes;
};

/* RC_INPUT: no file, a path that is not a plain relative one ("weights/a.bin"), a path twice, no SHA-256, a
 * file that was not uploaded. `roles` (NULL: none are allowed) lists the words for "role". Release with
 * submitted_files_release. */
MUST_USE enum rc submitted_files_read(struct store *s, const json_t *body, const char *const *roles,
                                      struct submitted_files *ret, struct err *err);
void submitted_files_release(struct submitted_files *f);

/* The file of that path, or NULL. */
const struct store_file *submitted_files_find(const struct submitted_files *f, const char *path);

/* A relative path of parts that are neither empty nor "." or "..", without backslashes and control bytes, at
 * most 255 bytes. */
bool submitted_path_is_plain(const char *path);

/* A name for people: 1 to 200 bytes without control bytes. */
MUST_USE enum rc submitted_name(const json_t *body, const char **ret, struct err *err);
