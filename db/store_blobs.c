#include "db/store_blobs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/ident.h"
#include "db/sql.h"
#include "db/store_internal.h"

struct store_upload {
    struct store *store;
    int fd;
    char path[STORE_PATH_SIZE]; /* FOLDER/uploads/XXXXXX */
    struct sha256 hash;
    uint64_t bytes;
};

static enum rc check_name(const char *sha256, struct err *err) {
    return sha256_is_hex(sha256)
               ? RC_OK
               : err_set(err, RC_INPUT, "\"%.80s\" is not a SHA-256: 64 hexadecimal digits in lower case",
                         sha256);
}

/* FOLDER/blobs/ab/cdef..., or its folder. `sha256` was checked. */
static enum rc blob_path(const struct store *s, const char *sha256, char path[STORE_PATH_SIZE],
                         struct err *err) {
    char name[SHA256_HEX_SIZE + 16];
    snprintf(name, sizeof(name), "blobs/%.2s/%s", sha256, sha256 + 2);
    return store_path(s, path, name, err);
}

static enum rc blob_folder(const struct store *s, const char *sha256, char path[STORE_PATH_SIZE],
                           struct err *err) {
    char name[16];
    snprintf(name, sizeof(name), "blobs/%.2s", sha256);
    return store_path(s, path, name, err);
}

enum rc store_upload_begin(struct store *s, struct store_upload **ret, struct err *err) {
    struct store_upload *u = calloc(1, sizeof(*u));
    if (!u) {
        return err_memory(err);
    }
    u->store = s;
    sha256_init(&u->hash);
    char id[IDENT_SIZE], name[IDENT_SIZE + 16];
    ident_random("up", id);
    snprintf(name, sizeof(name), "uploads/%s", id);
    enum rc rc = store_path(s, u->path, name, err);
    if (rc == RC_OK) { /* not mkostemp: ThreadSanitizer does not see the descriptors that it makes */
        u->fd = open(u->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        rc = u->fd >= 0 ? RC_OK : file_error(u->path, err);
    }
    if (rc != RC_OK) {
        free(u);
        return rc;
    }
    *ret = u;
    return RC_OK;
}

enum rc store_upload_append(struct store_upload *u, const void *data, size_t size, struct err *err) {
    const char *p = data;
    size_t left = size;
    while (left > 0) {
        ssize_t n = write(u->fd, p, left);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return err_set(err, RC_IO, "the upload could not be written: %s", strerror(errno));
        }
        p += n;
        left -= (size_t)n;
    }
    sha256_add(&u->hash, data, size);
    u->bytes += size;
    return RC_OK;
}

void store_upload_abort(struct store_upload *u) {
    if (u) {
        close(u->fd);
        unlink(u->path);
        free(u);
    }
}

static enum rc sync_folder(const char *path, struct err *err) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return file_error(path, err);
    }
    enum rc rc = fsync(fd) == 0 ? RC_OK : file_error(path, err);
    close(fd);
    return rc;
}

/* Gives the written file its name by content, durably. */
static enum rc keep_file(struct store_upload *u, const char *sha256, struct err *err) {
    char folder[STORE_PATH_SIZE], path[STORE_PATH_SIZE], blobs[STORE_PATH_SIZE];
    enum rc rc = blob_folder(u->store, sha256, folder, err);
    if (rc == RC_OK) {
        rc = blob_path(u->store, sha256, path, err);
    }
    if (rc == RC_OK) {
        rc = store_path(u->store, blobs, "blobs", err);
    }
    if (rc == RC_OK && fsync(u->fd) != 0) {
        rc = file_error(u->path, err);
    }
    if (rc == RC_OK && mkdir(folder, 0700) == 0) {
        rc = sync_folder(blobs, err);
    }
    if (rc == RC_OK && rename(u->path, path) != 0) {
        rc = file_error(path, err);
    }
    return rc == RC_OK ? sync_folder(folder, err) : rc;
}

struct new_blob {
    const char *sha256;
    uint64_t bytes;
    bool created;
};

static enum rc add_blob(struct store_tx *tx, void *user, struct err *err) {
    struct new_blob *b = user;
    int64_t there = -1;
    struct sql_rows rows;
    sql_query(tx, SQL_BLOB_BYTES, ARGS(TEXT(b->sha256)), &rows);
    if (sql_next(&rows)) {
        there = sql_int(&rows);
    }
    enum rc rc = sql_end(&rows, err);
    b->created = there < 0;
    if (rc != RC_OK) {
        return rc;
    }
    return sql_run(tx, SQL_BLOB_ADD, ARGS(TEXT(b->sha256), INT((int64_t)b->bytes), INT(store_tx_now_ms(tx))),
                   NULL, err);
}

enum rc store_upload_commit(struct store_upload *u, const char *expected, char sha256[SHA256_HEX_SIZE],
                            uint64_t *bytes, bool *created, struct err *err) {
    struct store *s = u->store;
    struct new_blob b = {.sha256 = sha256, .bytes = u->bytes};
    sha256_hex(&u->hash, sha256);
    if (expected && strcmp(expected, sha256) != 0) {
        store_upload_abort(u);
        return err_set(err, RC_INPUT,
                       "the content has SHA-256 %s, not %.80s: it was damaged on the way, or the wrong file",
                       sha256, expected);
    }
    pthread_rwlock_rdlock(&s->blobs_lock);
    enum rc rc = keep_file(u, sha256, err);
    if (rc == RC_OK) {
        rc = store_write(s, add_blob, &b, err);
    }
    pthread_rwlock_unlock(&s->blobs_lock);
    store_upload_abort(u); /* the temporary name is gone when it was renamed */
    if (rc == RC_OK) {
        *bytes = b.bytes;
        if (created) {
            *created = b.created;
        }
    }
    return rc;
}

enum rc store_blob_put(struct store *s, const void *data, size_t size, char sha256[SHA256_HEX_SIZE],
                       struct err *err) {
    struct store_upload *u;
    uint64_t bytes;
    enum rc rc = store_upload_begin(s, &u, err);
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
        rc = blob_path(s, sha256, full, err);
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
        rc = blob_path(s, sha256, path, err);
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
        if (blob_path(s, c.names[i], path, err) == RC_OK && unlink(path) == 0) {
            (*removed)++;
        }
    }
    pthread_rwlock_unlock(&s->blobs_lock);
    free(c.names);
    return rc;
}
