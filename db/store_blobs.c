#include "db/store_blobs.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/file.h"
#include "db/sql.h"
#include "db/store_internal.h"
#include "db/store_upload.h"

static enum rc check_name(const char *sha256, struct err *err) {
    return sha256_is_hex(sha256)
               ? RC_OK
               : err_set(err, RC_INPUT, "\"%.80s\" is not a SHA-256: 64 hexadecimal digits in lower case",
                         sha256);
}

enum rc store_blob_file(const struct store *s, const char *sha256, char path[STORE_PATH_SIZE],
                        struct err *err) {
    char name[SHA256_HEX_SIZE + 16];
    snprintf(name, sizeof(name), "blobs/%.2s/%s", sha256, sha256 + 2);
    return store_path(s, path, name, err);
}

enum rc store_blob_put(struct store *s, const void *data, size_t size, char sha256[SHA256_HEX_SIZE],
                       struct err *err) {
    struct store_upload *u;
    uint64_t bytes;
    enum rc rc = store_upload_begin(s, NULL, 0, &u, err);
    if (rc != RC_OK) {
        return rc;
    }
    rc = store_upload_append(u, data, size, err);
    if (rc != RC_OK) {
        store_upload_abort(u);
        return rc;
    }
    return store_upload_commit(u, NULL, sha256, &bytes, NULL, err);
}

enum rc store_tx_blob_stat(struct store_tx *tx, const char *sha256, uint64_t *bytes, struct err *err) {
    struct sql_rows rows;
    enum rc rc = check_name(sha256, err);
    if (rc == RC_OK) {
        rc = sql_first(tx, SQL_BLOB_BYTES, ARGS(TEXT(sha256)), "file with SHA-256", sha256, &rows, err);
    }
    if (rc != RC_OK) {
        return rc;
    }
    *bytes = (uint64_t)sql_int(&rows);
    return sql_end(&rows, err);
}

enum rc store_blob_stat(struct store *s, const char *sha256, uint64_t *bytes, struct err *err) {
    struct store_tx *tx;
    enum rc rc = store_read_begin(s, &tx, err);
    if (rc == RC_OK) {
        rc = store_tx_blob_stat(tx, sha256, bytes, err);
        store_read_end(tx);
    }
    return rc;
}

enum rc store_blob_path(struct store *s, const char *sha256, char *path, size_t path_size, struct err *err) {
    uint64_t bytes;
    char full[STORE_PATH_SIZE];
    enum rc rc = store_blob_stat(s, sha256, &bytes, err);
    if (rc == RC_OK) {
        rc = store_blob_file(s, sha256, full, err);
    }
    if (rc == RC_OK && (size_t)snprintf(path, path_size, "%s", full) >= path_size) {
        rc = err_set(err, RC_INPUT, "the path of the data folder is too long: %.100s...", s->folder);
    }
    return rc;
}

enum rc store_blob_open(struct store *s, const char *sha256, int *fd, uint64_t *bytes, struct err *err) {
    char path[STORE_PATH_SIZE];
    uint64_t size;
    enum rc rc = store_blob_stat(s, sha256, &size, err);
    if (rc == RC_OK) {
        rc = store_blob_file(s, sha256, path, err);
    }
    if (rc != RC_OK) {
        return rc;
    }
    int opened = open(path, O_RDONLY | O_CLOEXEC);
    if (opened < 0) {
        return file_error(path, err);
    }
    *fd = opened;
    *bytes = size;
    return RC_OK;
}

enum rc store_blob_read(struct store *s, const char *sha256, size_t max_bytes, char **data, size_t *size,
                        struct err *err) {
    char path[STORE_PATH_SIZE];
    enum rc rc = store_blob_path(s, sha256, path, sizeof(path), err);
    return rc == RC_OK ? file_read(path, max_bytes, data, size, err) : rc;
}

/* Rows that nothing refers to are deleted; their names are kept for the removal of the files. */
struct collection {
    int64_t before_ms;
    char (*names)[SHA256_HEX_SIZE]; /* owned by the caller */
    size_t n;
};

static enum rc delete_unused(struct store_tx *tx, void *user, struct err *err) {
    struct collection *c = user;
    const char **names;
    struct sql_rows rows;
    void *items = NULL;
    size_t n = 0;
    sql_query(tx, SQL_BLOBS_UNUSED, ARGS(INT(c->before_ms)), &rows);
    while (sql_next(&rows)) {
        const char **name = sql_grow(&rows, &items, n, sizeof(*name));
        if (name) {
            *name = sql_text(&rows);
            n++;
        }
    }
    names = items;
    enum rc rc = sql_end(&rows, err);
    if (rc != RC_OK || n == 0) {
        return rc;
    }
    c->names = calloc(n, sizeof(*c->names));
    if (!c->names) {
        return err_memory(err);
    }
    for (size_t i = 0; rc == RC_OK && i < n; i++) {
        snprintf(c->names[i], SHA256_HEX_SIZE, "%s", names[i]);
        rc = sql_run(tx, SQL_BLOB_DELETE, ARGS(TEXT(names[i])), NULL, err);
    }
    c->n = n;
    return rc;
}

/* What a kill left in FOLDER/blobs without a row is found again when the same content is uploaded, and
 * replaced then. */
enum rc store_blobs_collect(struct store *s, int64_t min_age_ms, uint64_t *removed, struct err *err) {
    struct collection c = {.before_ms = store_now_ms(s) - min_age_ms};
    *removed = 0;
    pthread_rwlock_wrlock(&s->blobs_lock);
    enum rc rc = store_write(s, delete_unused, &c, err);
    for (size_t i = 0; rc == RC_OK && i < c.n; i++) {
        char path[STORE_PATH_SIZE];
        if (store_blob_file(s, c.names[i], path, err) == RC_OK && unlink(path) == 0) {
            (*removed)++;
        }
    }
    pthread_rwlock_unlock(&s->blobs_lock);
    free(c.names);
    return rc;
}
