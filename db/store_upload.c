#include "db/store_upload.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/ident.h"
#include "db/sql.h"
#include "db/store_internal.h"

enum { REHASH_BYTES = 256 * 1024, OPEN_TRIES = 8, UPLOAD_NAME_SIZE = SHA256_HEX_SIZE + 16 };

struct store_upload {
    struct store *store;
    int fd;
    char path[STORE_PATH_SIZE]; /* FOLDER/uploads/NAME */
    bool named;                 /* NAME is the content's hash: it can be gone on with */
    struct sha256 hash;
    uint64_t bytes;
};

static enum rc upload_file(const struct store *s, const char *name, char path[STORE_PATH_SIZE],
                           struct err *err) {
    char inside[UPLOAD_NAME_SIZE];
    snprintf(inside, sizeof(inside), "uploads/%s", name);
    return store_path(s, path, inside, err);
}

/* ---- opening ---- */

/* Not mkostemp: ThreadSanitizer does not see the descriptors that it makes. */
static enum rc open_unnamed(struct store_upload *u, struct err *err) {
    char id[IDENT_SIZE];
    ident_random("up", id);
    enum rc rc = upload_file(u->store, id, u->path, err);
    if (rc != RC_OK) {
        return rc;
    }
    u->fd = open(u->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return u->fd >= 0 ? RC_OK : file_error(u->path, err);
}

/* Does the name still lead to the file that was opened and locked? An upload that ended in between has
 * renamed or removed it. */
static bool is_same_file(int fd, const char *path) {
    struct stat opened, there;
    return fstat(fd, &opened) == 0 && stat(path, &there) == 0 && opened.st_ino == there.st_ino &&
           opened.st_dev == there.st_dev;
}

/* Opens and locks the file of that content. *busy: somebody else is writing it. */
static enum rc open_named(struct store_upload *u, const char *sha256, bool *busy, struct err *err) {
    enum rc rc = upload_file(u->store, sha256, u->path, err);
    *busy = false;
    for (int i = 0; rc == RC_OK && i < OPEN_TRIES; i++) {
        u->fd = open(u->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (u->fd < 0) {
            return file_error(u->path, err);
        }
        *busy = flock(u->fd, LOCK_EX | LOCK_NB) != 0;
        if (!*busy && is_same_file(u->fd, u->path)) {
            u->named = true;
            return RC_OK;
        }
        close(u->fd);
        u->fd = -1;
        if (*busy) {
            return RC_OK;
        }
    }
    *busy = true;
    return rc;
}

/* Hashes the first `offset` bytes that are here and puts the end of the file behind them. */
static enum rc go_on_from(struct store_upload *u, uint64_t offset, struct err *err) {
    struct stat st;
    if (fstat(u->fd, &st) != 0) {
        return file_error(u->path, err);
    }
    if ((uint64_t)st.st_size < offset) {
        return err_set(err, RC_CONFLICT,
                       "only %lld bytes of this file are here: go on from there (HEAD says how many as "
                       "Upload-Offset)",
                       (long long)st.st_size);
    }
    char *piece = malloc(REHASH_BYTES);
    enum rc rc = piece ? RC_OK : err_memory(err);
    while (rc == RC_OK && u->bytes < offset) {
        size_t want = offset - u->bytes < REHASH_BYTES ? (size_t)(offset - u->bytes) : REHASH_BYTES;
        ssize_t n = read(u->fd, piece, want);
        if (n > 0) {
            sha256_add(&u->hash, piece, (size_t)n);
            u->bytes += (uint64_t)n;
        } else if (n == 0 || errno != EINTR) {
            rc = n == 0 ? err_set(err, RC_IO, "what was kept of the upload became shorter")
                        : file_error(u->path, err);
        }
    }
    free(piece);
    return rc == RC_OK && ftruncate(u->fd, (off_t)offset) != 0 ? file_error(u->path, err) : rc;
}

static enum rc open_upload(struct store_upload *u, const char *sha256, uint64_t offset, struct err *err) {
    bool busy = true;
    enum rc rc = sha256 ? open_named(u, sha256, &busy, err) : RC_OK;
    if (rc != RC_OK) {
        return rc;
    }
    if (!busy) {
        return go_on_from(u, offset, err);
    }
    return offset == 0 ? open_unnamed(u, err)
                       : err_set(err, RC_CONFLICT, "this file is being uploaded by somebody else; try again");
}

enum rc store_upload_begin(struct store *s, const char *sha256, uint64_t offset, struct store_upload **ret,
                           struct err *err) {
    if (sha256 && !sha256_is_hex(sha256)) {
        return err_set(err, RC_INPUT, "\"%.80s\" is not a SHA-256: 64 hexadecimal digits in lower case",
                       sha256);
    }
    if (!sha256 && offset > 0) {
        return err_set(
            err, RC_INPUT,
            "only an upload to the name of its content (PUT /v1/blobs/{sha256}) can be gone on with");
    }
    struct store_upload *u = calloc(1, sizeof(*u));
    if (!u) {
        return err_memory(err);
    }
    u->store = s;
    u->fd = -1;
    sha256_init(&u->hash);
    enum rc rc = open_upload(u, sha256, offset, err);
    if (rc != RC_OK) {
        store_upload_suspend(u);
        return rc;
    }
    *ret = u;
    return RC_OK;
}

/* ---- writing ---- */

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

/* ---- ending ---- */

static void release(struct store_upload *u) {
    if (u->fd >= 0) {
        close(u->fd);
    }
    free(u);
}

void store_upload_abort(struct store_upload *u) {
    if (u) {
        if (u->fd >= 0 && is_same_file(u->fd, u->path)) {
            unlink(u->path); /* before the lock is gone with the descriptor */
        }
        release(u);
    }
}

void store_upload_suspend(struct store_upload *u) {
    if (u && u->named) {
        release(u);
    } else {
        store_upload_abort(u);
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

static enum rc blob_folder(const struct store *s, const char *sha256, char path[STORE_PATH_SIZE],
                           struct err *err) {
    char name[16];
    snprintf(name, sizeof(name), "blobs/%.2s", sha256);
    return store_path(s, path, name, err);
}

/* Gives the written file its name by content, durably. */
static enum rc keep_file(struct store_upload *u, const char *sha256, struct err *err) {
    char folder[STORE_PATH_SIZE], path[STORE_PATH_SIZE], blobs[STORE_PATH_SIZE];
    enum rc rc = blob_folder(u->store, sha256, folder, err);
    if (rc == RC_OK) {
        rc = store_blob_file(u->store, sha256, path, err);
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
    if (rc != RC_OK) {
        store_upload_abort(u);
        return rc;
    }
    release(u); /* it has its new name */
    *bytes = b.bytes;
    if (created) {
        *created = b.created;
    }
    return RC_OK;
}

/* ---- what was kept ---- */

enum rc store_upload_kept(struct store *s, const char *sha256, uint64_t *bytes, struct err *err) {
    char path[STORE_PATH_SIZE];
    struct stat st;
    if (!sha256_is_hex(sha256)) {
        return err_set(err, RC_INPUT, "\"%.80s\" is not a SHA-256: 64 hexadecimal digits in lower case",
                       sha256);
    }
    enum rc rc = upload_file(s, sha256, path, err);
    *bytes = rc == RC_OK && stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
    return rc;
}

/* Removes one file of the folder of uploads if nobody writes it and it is old. */
static bool remove_left(struct store *s, const char *name, int64_t before_ms) {
    char path[STORE_PATH_SIZE];
    struct err ignored;
    struct stat st;
    if (upload_file(s, name, path, &ignored) != RC_OK) {
        return false;
    }
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    bool removed = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &st) == 0 &&
                   (int64_t)st.st_mtim.tv_sec * 1000 < before_ms && is_same_file(fd, path) &&
                   unlink(path) == 0;
    if (fd >= 0) {
        close(fd);
    }
    return removed;
}

enum rc store_uploads_collect(struct store *s, int64_t min_age_ms, uint64_t *removed, struct err *err) {
    char folder[STORE_PATH_SIZE];
    int64_t before_ms = store_now_ms(s) - min_age_ms;
    *removed = 0;
    enum rc rc = store_path(s, folder, "uploads", err);
    DIR *dir = rc == RC_OK ? opendir(folder) : NULL;
    if (!dir) {
        return rc == RC_OK ? file_error(folder, err) : rc;
    }
    for (const struct dirent *e; (e = readdir(dir));) {
        *removed += sha256_is_hex(e->d_name) && remove_left(s, e->d_name, before_ms);
    }
    closedir(dir);
    return RC_OK;
}
