#include "db/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "core/base/asset.h"
#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/base/sha256.h"
#include "db/migrate.h"
#include "db/sql.h"
#include "db/store_internal.h"
#include "db/writer.h"

enum {
    TX_MEMORY_BYTES = 64 * 1024 * 1024,
    DEFAULT_READERS = 4,
    DEFAULT_QUEUE = 1024,
    BACKUP_PAGES_A_STEP = 256
};

/* Takes the folder for this process. The lock goes with the descriptor, so a kill releases it. */
static enum rc lock_folder(struct store *s, struct err *err) {
    char path[STORE_PATH_SIZE];
    enum rc rc = store_path(s, path, "lock", err);
    if (rc != RC_OK) {
        return rc;
    }
    s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (s->lock_fd < 0) {
        return file_error(path, err);
    }
    if (flock(s->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        return err_set(err, RC_CONFLICT,
                       "another pare serve uses this folder (%s); stop it, or choose another with --data",
                       s->folder);
    }
    return RC_OK;
}

enum rc store_path(const struct store *s, char path[STORE_PATH_SIZE], const char *name, struct err *err) {
    int n = snprintf(path, STORE_PATH_SIZE, "%s/%s", s->folder, name);
    if (n < 0 || n >= STORE_PATH_SIZE) {
        return err_set(err, RC_INPUT, "the path of the data folder is too long: %.100s...", s->folder);
    }
    return RC_OK;
}

/* An upload without a name cannot be gone on with: what a kill left of one is removed. */
static enum rc remove_unnamed_uploads(const char *folder, struct err *err) {
    DIR *dir = opendir(folder);
    if (!dir) {
        return file_error(folder, err);
    }
    for (const struct dirent *e; (e = readdir(dir));) {
        if (e->d_name[0] != '.' && !sha256_is_hex(e->d_name)) {
            (void)unlinkat(dirfd(dir), e->d_name, 0);
        }
    }
    closedir(dir);
    return RC_OK;
}

/* Folders of the store. */
static enum rc make_folders(struct store *s, struct err *err) {
    char path[STORE_PATH_SIZE];
    enum rc rc = store_path(s, path, "uploads", err);
    if (rc == RC_OK) {
        rc = file_make_folder(path, err);
    }
    if (rc == RC_OK) {
        rc = remove_unnamed_uploads(path, err);
    }
    if (rc == RC_OK && (rc = store_path(s, path, "blobs", err)) == RC_OK) {
        rc = file_make_folder(path, err);
    }
    return rc;
}

static void on_commit(void *user, bool evidence) {
    struct store *s = user;
    pthread_mutex_lock(&s->mutex);
    atomic_fetch_add(&s->changes, 1);
    atomic_fetch_add(&s->evidence, evidence);
    pthread_cond_broadcast(&s->changed);
    void (*fn)(void *) = s->on_change;
    void *fn_user = s->on_change_user;
    pthread_mutex_unlock(&s->mutex);
    if (fn) {
        fn(fn_user);
    }
}

static enum rc open_writer(struct store *s, const char *path, size_t queue_max, struct err *err) {
    struct sql *sql;
    enum rc rc = sql_open(path, SQL_WRITER, &sql, err);
    if (rc != RC_OK) {
        return rc;
    }
    size_t n;
    const struct asset *assets = asset_table(&n);
    rc = migrate_run(sql, assets, n, err);
    if (rc == RC_OK) {
        rc = sql_prepare(sql, err);
    }
    if (rc == RC_OK) {
        rc = writer_start(s, sql, queue_max, on_commit, s, &s->writer, err);
    }
    if (rc != RC_OK) {
        sql_close(sql);
    }
    return rc;
}

static enum rc open_readers(struct store *s, const char *path, unsigned n, struct err *err) {
    s->readers = calloc(n, sizeof(*s->readers));
    if (!s->readers) {
        return err_memory(err);
    }
    enum rc rc = RC_OK;
    while (rc == RC_OK && s->n_readers < n) {
        struct store_reader *r = &s->readers[s->n_readers];
        rc = sql_open(path, SQL_READER, &r->sql, err);
        if (rc == RC_OK) {
            s->n_readers++;
            rc = sql_prepare(r->sql, err);
        }
    }
    return rc;
}

static int64_t wall_ms(void *user) {
    (void)user;
    return clock_wall_ms();
}

static void init_sync(struct store *s) {
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&s->mutex, NULL);
    pthread_cond_init(&s->changed, &attr);
    pthread_cond_init(&s->reader_free, NULL);
    pthread_rwlock_init(&s->blobs_lock, NULL);
    pthread_condattr_destroy(&attr);
}

enum rc store_open(const struct store_opts *opts, struct store **ret, struct err *err) {
    struct store *s = calloc(1, sizeof(*s));
    if (!s) {
        return err_memory(err);
    }
    s->lock_fd = -1;
    s->now_ms = opts->now_ms ? opts->now_ms : wall_ms;
    s->now_user = opts->now_user;
    init_sync(s);
    char path[STORE_PATH_SIZE];
    s->folder = strdup(opts->folder);
    enum rc rc = s->folder ? file_make_folder(s->folder, err) : err_memory(err);
    if (rc == RC_OK) {
        rc = lock_folder(s, err);
    }
    if (rc == RC_OK) {
        rc = make_folders(s, err);
    }
    if (rc == RC_OK) {
        rc = store_path(s, path, "pare.db", err);
    }
    if (rc == RC_OK) {
        rc = open_writer(s, path, opts->queue_max ? opts->queue_max : DEFAULT_QUEUE, err);
    }
    if (rc == RC_OK) {
        rc = open_readers(s, path, opts->readers ? opts->readers : DEFAULT_READERS, err);
    }
    if (rc != RC_OK) {
        store_close(s);
        return rc;
    }
    *ret = s;
    return RC_OK;
}

void store_close(struct store *s) {
    if (!s) {
        return;
    }
    for (unsigned i = 0; i < s->n_readers; i++) {
        sql_close(s->readers[i].sql);
    }
    writer_stop(s->writer); /* after the readers, so that its checkpoint can fold back everything */
    if (s->lock_fd >= 0) {
        close(s->lock_fd);
    }
    pthread_rwlock_destroy(&s->blobs_lock);
    pthread_cond_destroy(&s->reader_free);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->mutex);
    free(s->readers);
    free(s->folder);
    free(s);
}

enum rc store_write(struct store *s, store_fn *fn, void *user, struct err *err) {
    return writer_run(s->writer, fn, user, err);
}

size_t store_writes_waiting(struct store *s) {
    return writer_waiting(s->writer);
}

static struct store_reader *take_reader(struct store *s) {
    struct store_reader *free_one = NULL;
    pthread_mutex_lock(&s->mutex);
    while (!free_one) {
        for (unsigned i = 0; i < s->n_readers && !free_one; i++) {
            free_one = s->readers[i].busy ? NULL : &s->readers[i];
        }
        if (!free_one) {
            pthread_cond_wait(&s->reader_free, &s->mutex);
        }
    }
    free_one->busy = true;
    pthread_mutex_unlock(&s->mutex);
    return free_one;
}

static void give_reader(struct store *s, struct store_reader *r) {
    pthread_mutex_lock(&s->mutex);
    r->busy = false;
    pthread_cond_signal(&s->reader_free);
    pthread_mutex_unlock(&s->mutex);
}

enum rc store_read_begin(struct store *s, struct store_tx **ret, struct err *err) {
    struct store_reader *r = take_reader(s);
    r->tx = (struct store_tx){.store = s, .sql = r->sql, .arena = arena_new(TX_MEMORY_BYTES)};
    enum rc rc = r->tx.arena ? sql_text_run(r->sql, "BEGIN", err) : err_memory(err);
    if (rc != RC_OK) {
        arena_free(r->tx.arena);
        give_reader(s, r);
        return rc;
    }
    *ret = &r->tx;
    return RC_OK;
}

void store_read_end(struct store_tx *tx) {
    if (!tx) {
        return;
    }
    struct store_reader *r = CONTAINER_OF(tx, struct store_reader, tx);
    sql_try(tx->sql, "COMMIT");
    arena_free(tx->arena);
    give_reader(tx->store, r);
}

void *store_alloc(struct store_tx *tx, size_t count, size_t size) {
    return arena_calloc(tx->arena, count, size);
}

int64_t store_now_ms(const struct store *s) {
    return s->now_ms(s->now_user);
}

int64_t store_tx_now_ms(const struct store_tx *tx) {
    return store_now_ms(tx->store);
}

uint64_t store_changes(const struct store *s) {
    return atomic_load(&s->changes);
}

uint64_t store_evidence(const struct store *s) {
    return atomic_load(&s->evidence);
}

void store_tx_keeps_answer(struct store_tx *tx) {
    tx->answer_only = true;
}

uint64_t store_wait_change(struct store *s, uint64_t seen, uint64_t timeout_ms) {
    uint64_t until_ns = clock_mono_ns() + timeout_ms * 1000000;
    struct timespec until = {(time_t)(until_ns / 1000000000), (long)(until_ns % 1000000000)};
    pthread_mutex_lock(&s->mutex);
    while (atomic_load(&s->changes) == seen) {
        if (pthread_cond_timedwait(&s->changed, &s->mutex, &until) == ETIMEDOUT) {
            break;
        }
    }
    pthread_mutex_unlock(&s->mutex);
    return atomic_load(&s->changes);
}

void store_wake(struct store *s) {
    on_commit(s, false);
}

void store_on_change(struct store *s, void (*fn)(void *user), void *user) {
    pthread_mutex_lock(&s->mutex);
    s->on_change = fn;
    s->on_change_user = user;
    pthread_mutex_unlock(&s->mutex);
}

/* Copies page by page while others read and write; SQLite restarts the copy where the source changed under
 * it. */
static enum rc copy_pages(struct sql *from, sqlite3 *to, struct err *err) {
    sqlite3_backup *b = sqlite3_backup_init(to, "main", from->handle, "main");
    if (!b) {
        return err_set(err, RC_IO, "the backup: %s", sqlite3_errmsg(to));
    }
    int code;
    do {
        code = sqlite3_backup_step(b, BACKUP_PAGES_A_STEP);
    } while (code == SQLITE_OK);
    sqlite3_backup_finish(b);
    return code == SQLITE_DONE ? RC_OK : err_set(err, RC_IO, "the backup: %s", sqlite3_errstr(code));
}

enum rc store_backup(struct store *s, const char *path, struct err *err) {
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        return errno == EEXIST
                   ? err_set(err, RC_CONFLICT, "%s exists; a backup is written to a new file", path)
                   : file_error(path, err);
    }
    close(fd);
    struct store_tx *tx;
    enum rc rc = store_read_begin(s, &tx, err); /* a snapshot: the copy is of one moment */
    if (rc != RC_OK) {
        return rc;
    }
    sqlite3 *to = NULL;
    if (sqlite3_open_v2(path, &to, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK) {
        rc = err_set(err, RC_IO, "%s: %s", path, to ? sqlite3_errmsg(to) : "out of memory");
    } else {
        rc = sql_text_run(tx->sql, "SELECT count(*) FROM sqlite_schema",
                          err); /* the first read takes the snapshot */
    }
    if (rc == RC_OK) {
        rc = copy_pages(tx->sql, to, err);
    }
    sqlite3_close(to);
    store_read_end(tx);
    if (rc != RC_OK) {
        unlink(path);
    }
    return rc;
}
