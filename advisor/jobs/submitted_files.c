#include "advisor/jobs/submitted_files.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/json.h"
#include "core/base/nearest.h"
#include "db/store_blobs.h"

enum { PATH_BYTES_MAX = 255, NAME_BYTES_MAX = 200 };

static bool has_control(const char *text) {
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p < 0x20 || *p == 0x7f) {
            return true;
        }
    }
    return false;
}

bool submitted_path_is_plain(const char *path) {
    size_t size = strlen(path);
    if (size == 0 || size > PATH_BYTES_MAX || has_control(path) || strchr(path, '\\')) {
        return false;
    }
    for (const char *part = path; part;) {
        const char *slash = strchr(part, '/');
        size_t n = slash ? (size_t)(slash - part) : strlen(part);
        bool dots = (n == 1 && part[0] == '.') || (n == 2 && part[0] == '.' && part[1] == '.');
        if (n == 0 || dots) {
            return false;
        }
        part = slash ? slash + 1 : NULL;
    }
    return true;
}

enum rc submitted_name(const json_t *body, const char **ret, struct err *err) {
    enum rc rc = json_get_string(body, "name", ret, err);
    if (rc == RC_OK && (!**ret || strlen(*ret) > NAME_BYTES_MAX || has_control(*ret))) {
        return err_set(err, RC_INPUT, "field \"name\" must have 1 to %d bytes and no control characters",
                       (int)NAME_BYTES_MAX);
    }
    return rc;
}

static enum rc read_role(const json_t *entry, const char *const *roles, struct store_file *f,
                         struct err *err) {
    if (!roles) {
        return RC_OK;
    }
    enum rc rc = json_get_string(entry, "role", &f->role, err);
    for (size_t i = 0; rc == RC_OK && roles[i]; i++) {
        if (strcmp(roles[i], f->role) == 0) {
            return RC_OK;
        }
    }
    if (rc == RC_OK) {
        const char *near = nearest_name(f->role, roles);
        rc = err_set(err, RC_INPUT, "unknown role \"%.32s\" of a file%s%s", f->role,
                     near ? "; did you mean " : "", near ? near : ": arrays, images, labels or text");
    }
    return rc;
}

static enum rc read_entry(struct store *s, const json_t *entry, const char *const *roles,
                          struct store_file *f, struct err *err) {
    static const char *const keys[] = {"path", "sha256", "bytes", "role", NULL};
    enum rc rc = json_is_object(entry) ? json_only_keys(entry, keys, err)
                                       : err_set(err, RC_INPUT, "every entry of \"files\" must be an object");
    if (rc == RC_OK) {
        rc = json_get_string(entry, "path", &f->path, err);
    }
    if (rc == RC_OK && !submitted_path_is_plain(f->path)) {
        rc = err_set(
            err, RC_INPUT,
            "the path \"%.100s\" must be a plain relative one (like \"weights/a.bin\", without \"..\")",
            f->path);
    }
    if (rc == RC_OK) {
        rc = json_get_string(entry, "sha256", &f->sha256, err);
    }
    if (rc == RC_OK) {
        rc = read_role(entry, roles, f, err);
    }
    if (rc != RC_OK) {
        return rc;
    }
    uint64_t bytes;
    rc = store_blob_stat(s, f->sha256, &bytes, err);
    if (rc == RC_NOT_FOUND) {
        rc = err_set(err, RC_INPUT, "the file \"%.100s\" (%s) has not been uploaded: PUT /v1/blobs/%s first",
                     f->path, f->sha256, f->sha256);
    }
    if (rc == RC_OK) {
        f->bytes = (int64_t)bytes;
    }
    return rc;
}

static int by_path(const void *a, const void *b) {
    return strcmp(((const struct store_file *)a)->path, ((const struct store_file *)b)->path);
}

static enum rc sort_files(struct submitted_files *f, struct err *err) {
    qsort(f->items, f->n, sizeof(*f->items), by_path);
    for (size_t i = 0; i < f->n; i++) {
        if (i > 0 && strcmp(f->items[i - 1].path, f->items[i].path) == 0) {
            return err_set(err, RC_INPUT, "the path \"%.100s\" is listed twice", f->items[i].path);
        }
        if (__builtin_add_overflow(f->bytes, f->items[i].bytes, &f->bytes)) {
            return err_set(err, RC_TOO_LARGE, "the files are too large together");
        }
    }
    return RC_OK;
}

enum rc submitted_files_read(struct store *s, const json_t *body, const char *const *roles,
                             struct submitted_files *ret, struct err *err) {
    struct submitted_files f = {0};
    json_t *array, *entry;
    enum rc rc = json_get_array(body, "files", &array, err);
    if (rc != RC_OK) {
        return rc;
    }
    if (json_array_size(array) == 0 || json_array_size(array) > SUBMITTED_FILES_MAX) {
        return err_set(err, RC_INPUT, "field \"files\" must list 1 to %d files", (int)SUBMITTED_FILES_MAX);
    }
    f.items = calloc(json_array_size(array), sizeof(*f.items));
    if (!f.items) {
        return err_memory(err);
    }
    json_array_foreach(array, f.n, entry) {
        rc = read_entry(s, entry, roles, &f.items[f.n], err);
        if (rc != RC_OK) {
            break;
        }
    }
    if (rc == RC_OK) {
        rc = sort_files(&f, err);
    }
    if (rc != RC_OK) {
        submitted_files_release(&f);
        return rc;
    }
    *ret = f;
    return RC_OK;
}

void submitted_files_release(struct submitted_files *f) {
    free(f->items);
    f->items = NULL;
}

const struct store_file *submitted_files_find(const struct submitted_files *f, const char *path) {
    for (size_t i = 0; i < f->n; i++) {
        if (strcmp(f->items[i].path, path) == 0) {
            return &f->items[i];
        }
    }
    return NULL;
}
