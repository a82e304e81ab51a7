/* Group commit: while one transaction is on its way to the disk, others queue up; the next transaction takes
 * them all. */
#include "db/writer.h"

#include <pthread.h>
#include <stdlib.h>

enum { TX_MEMORY_BYTES = 64 * 1024 * 1024, BATCH_MAX = 256 };

/* A caller's request, on its stack until `done`. */
struct request {
    struct request *next;
    store_fn *fn;
    void *user;
    struct err *err;
    enum rc rc;
    bool answer_only, done;
};

struct writer {
    struct store *store;
    struct sql *sql;
    void (*on_commit)(void *user, bool evidence);
    void *user;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t arrived, finished;
    struct request *first, **last;
    size_t waiting, queue_max;
    bool stopping;
};

/* Runs one request in a savepoint. A failed one leaves nothing behind. */
static void run_request(struct writer *w, struct request *r) {
    struct store_tx tx = {.store = w->store, .sql = w->sql, .arena = arena_new(TX_MEMORY_BYTES)};
    if (!tx.arena) {
        r->rc = err_memory(r->err);
        return;
    }
    r->rc = sql_text_run(w->sql, "SAVEPOINT request", r->err);
    if (r->rc == RC_OK) {
        r->rc = r->fn(&tx, r->user, r->err);
        if (r->rc != RC_OK) {
            sql_try(w->sql, "ROLLBACK TO request");
        }
        enum rc released = sql_text_run(w->sql, "RELEASE request", r->rc == RC_OK ? r->err : NULL);
        r->rc = r->rc == RC_OK ? released : r->rc;
    }
    r->answer_only = tx.answer_only;
    arena_free(tx.arena);
}

/* What a transaction changed. */
struct change {
    bool any, evidence; /* evidence: more than answers was written */
};

/* One transaction over the batch. If it cannot be committed, everything in it failed. */
static struct change run_batch(struct writer *w, struct request *batch) {
    struct err err = {0};
    struct change change = {0};
    enum rc rc = sql_text_run(w->sql, "BEGIN IMMEDIATE", &err);
    for (struct request *r = batch; rc == RC_OK && r; r = r->next) {
        int64_t before = sqlite3_total_changes64(w->sql->handle);
        run_request(w, r);
        bool changed = r->rc == RC_OK && sqlite3_total_changes64(w->sql->handle) != before;
        change.any = change.any || changed;
        change.evidence = change.evidence || (changed && !r->answer_only);
        if (sqlite3_get_autocommit(w->sql->handle)) { /* a full disk: SQLite has rolled back all of it */
            rc = err_set(&err, RC_IO, "the transaction was given up: %s", r->err ? r->err->text : "");
        }
    }
    if (rc == RC_OK) {
        rc = sql_text_run(w->sql, "COMMIT", &err);
        if (rc != RC_OK) {
            sql_try(w->sql, "ROLLBACK");
        }
    }
    for (struct request *r = batch; rc != RC_OK && r; r = r->next) {
        r->rc = err_set(r->err, rc, "%s", err.text);
    }
    return rc == RC_OK ? change : (struct change){0};
}

/* Called with the mutex held: detaches up to BATCH_MAX requests. */
static struct request *take(struct writer *w) {
    struct request *batch = w->first, **end = &w->first;
    for (size_t n = 0; *end && n < BATCH_MAX; n++) {
        end = &(*end)->next;
        w->waiting--;
    }
    w->first = *end;
    *end = NULL;
    if (!w->first) {
        w->last = &w->first;
    }
    return batch;
}

static void *writer_main(void *user) {
    struct writer *w = user;
    pthread_mutex_lock(&w->mutex);
    for (;;) {
        while (!w->first && !w->stopping) {
            pthread_cond_wait(&w->arrived, &w->mutex);
        }
        if (!w->first) {
            break;
        }
        struct request *batch = take(w);
        pthread_mutex_unlock(&w->mutex);
        struct change change = run_batch(w, batch);
        if (change.any) {
            w->on_commit(w->user, change.evidence);
        }
        pthread_mutex_lock(&w->mutex);
        while (batch) { /* a request is its caller's again as soon as the mutex is free */
            struct request *next = batch->next;
            batch->done = true;
            batch = next;
        }
        pthread_cond_broadcast(&w->finished);
    }
    pthread_mutex_unlock(&w->mutex);
    return NULL;
}

enum rc writer_start(struct store *store, struct sql *sql, size_t queue_max,
                     void (*on_commit)(void *user, bool evidence), void *user, struct writer **ret,
                     struct err *err) {
    struct writer *w = calloc(1, sizeof(*w));
    if (!w) {
        return err_memory(err);
    }
    *w = (struct writer){
        .store = store, .sql = sql, .queue_max = queue_max, .on_commit = on_commit, .user = user};
    w->last = &w->first;
    pthread_mutex_init(&w->mutex, NULL);
    pthread_cond_init(&w->arrived, NULL);
    pthread_cond_init(&w->finished, NULL);
    if (pthread_create(&w->thread, NULL, writer_main, w) != 0) {
        free(w);
        return err_set(err, RC_IO,
                       "the writer thread could not be started; is the limit on processes reached?");
    }
    *ret = w;
    return RC_OK;
}

void writer_stop(struct writer *w) {
    if (!w) {
        return;
    }
    pthread_mutex_lock(&w->mutex);
    w->stopping = true;
    pthread_cond_signal(&w->arrived);
    pthread_mutex_unlock(&w->mutex);
    pthread_join(w->thread, NULL);
    sql_try(w->sql, "PRAGMA wal_checkpoint(TRUNCATE)");
    sql_close(w->sql);
    pthread_cond_destroy(&w->finished);
    pthread_cond_destroy(&w->arrived);
    pthread_mutex_destroy(&w->mutex);
    free(w);
}

enum rc writer_run(struct writer *w, store_fn *fn, void *user, struct err *err) {
    struct request r = {.fn = fn, .user = user, .err = err};
    pthread_mutex_lock(&w->mutex);
    if (w->waiting >= w->queue_max) {
        pthread_mutex_unlock(&w->mutex);
        return err_set(err, RC_BUSY, "%zu writes are waiting for the disk; try again later", w->queue_max);
    }
    *w->last = &r;
    w->last = &r.next;
    w->waiting++;
    pthread_cond_signal(&w->arrived);
    while (!r.done) {
        pthread_cond_wait(&w->finished, &w->mutex);
    }
    pthread_mutex_unlock(&w->mutex);
    return r.rc;
}

size_t writer_waiting(struct writer *w) {
    pthread_mutex_lock(&w->mutex);
    size_t n = w->waiting;
    pthread_mutex_unlock(&w->mutex);
    return n;
}
