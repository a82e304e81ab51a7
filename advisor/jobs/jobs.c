#include "advisor/jobs/jobs.h"

#include <stdlib.h>
#include <string.h>

#include "advisor/jobs/comparisons.h"
#include "advisor/jobs/jobs_internal.h"
#include "advisor/jobs/planner.h"
#include "core/base/log.h"
#include "db/store_blobs.h"
#include "db/store_jobs.h"
#include "db/store_studies.h"
#include "db/store_upload.h"

enum {
    DEFAULT_LEASE_S = 30,
    DEFAULT_COLLECT_S = 3600,
    BLOB_AGE_MS = 24 * 3600 * 1000,
    LOOK_EVERY_MS = 5000, /* at least, for leases that pass */
};

enum rc jobs_open(const struct jobs_opts *opts, struct jobs **ret, struct err *err) {
    struct jobs *j = calloc(1, sizeof(*j));
    if (!j) {
        return err_memory(err);
    }
    struct store_opts store = {.folder = opts->folder, .now_ms = opts->now_ms, .now_user = opts->now_user};
    j->lease_ms = 1000 * (int64_t)(opts->lease_s ? opts->lease_s : DEFAULT_LEASE_S);
    j->collect_ms = 1000 * (int64_t)(opts->collect_s ? opts->collect_s : DEFAULT_COLLECT_S);
    atomic_init(&j->stopping, false);
    enum rc rc = store_open(&store, &j->store, err);
    if (rc != RC_OK) {
        free(j);
        return rc;
    }
    *ret = j;
    return RC_OK;
}

struct store *jobs_store(struct jobs *j) {
    return j->store;
}

struct requeuing {
    int64_t lease_ms, requeued;
};

static enum rc requeue(struct store_tx *tx, void *user, struct err *err) {
    struct requeuing *r = user;
    enum rc rc = store_jobs_limit_leases(tx, r->lease_ms, err);
    return rc == RC_OK ? store_jobs_requeue_expired(tx, &r->requeued, err) : rc;
}

/* Ids of the open studies, copied out of the transaction; free() them and the list. */
static enum rc open_studies(struct store *s, char ***ret, size_t *n, struct err *err) {
    struct store_tx *tx;
    struct store_study *rows;
    enum rc rc = store_read_begin(s, &tx, err);
    if (rc != RC_OK) {
        return rc;
    }
    rc = store_studies_open(tx, &rows, n, err);
    char **ids = rc == RC_OK ? calloc(*n + 1, sizeof(*ids)) : NULL;
    if (rc == RC_OK && !ids) {
        rc = err_memory(err);
    }
    for (size_t i = 0; rc == RC_OK && i < *n; i++) {
        ids[i] = strdup(rows[i].id);
        rc = ids[i] ? RC_OK : err_memory(err);
    }
    store_read_end(tx);
    *ret = ids;
    return rc;
}

enum rc jobs_step(struct jobs *j, struct err *err) {
    struct err first = {0};
    char **ids = NULL;
    size_t n = 0;
    struct requeuing r = {.lease_ms = j->lease_ms};
    enum rc rc = store_write(j->store, requeue, &r, err);
    if (rc == RC_OK && r.requeued > 0) {
        log_event(LOG_WARN, "leases_lost", "jobs=%lld", (long long)r.requeued);
    }
    if (rc == RC_OK) {
        rc = open_studies(j->store, &ids, &n, err);
    }
    for (size_t i = 0; ids && i < n && ids[i]; i++) {
        struct err why = {0};
        bool go_on = rc == RC_OK && !atomic_load(&j->stopping);
        if (go_on && planner_advance(j->store, ids[i], &why) != RC_OK && first.rc == RC_OK) {
            first = why; /* the other studies go on */
        }
        free(ids[i]);
    }
    free(ids);
    if (rc == RC_OK && !atomic_load(&j->stopping)) {
        struct err why = {0};
        if (comparisons_advance_all(j->store, &why) != RC_OK && first.rc == RC_OK) {
            first = why;
        }
    }
    return rc == RC_OK && first.rc != RC_OK ? err_set(err, first.rc, "%s", first.text) : rc;
}

static void collect_blobs(struct jobs *j) {
    int64_t now_ms = store_now_ms(j->store);
    uint64_t removed = 0, parts = 0;
    struct err err;
    if (now_ms < j->next_collect_ms && j->next_collect_ms - now_ms <= j->collect_ms) {
        return; /* else the clock was set back */
    }
    j->next_collect_ms = now_ms + j->collect_ms;
    if (store_blobs_collect(j->store, BLOB_AGE_MS, &removed, &err) == RC_OK && removed > 0) {
        log_event(LOG_INFO, "blobs_collected", "removed=%llu", (unsigned long long)removed);
    }
    if (store_uploads_collect(j->store, BLOB_AGE_MS, &parts, &err) == RC_OK && parts > 0) {
        log_event(LOG_INFO, "uploads_collected", "removed=%llu", (unsigned long long)parts);
    }
}

static void *planner_main(void *user) {
    struct jobs *j = user;
    char quoted[600];
    while (!atomic_load(&j->stopping)) {
        uint64_t seen = store_changes(j->store);
        struct err err = {0};
        if (jobs_step(j, &err) != RC_OK) {
            log_event(LOG_ERROR, "planner_failed", "code=%s text=%s", rc_name(err.rc),
                      log_quote(err.text, quoted, sizeof(quoted)));
        }
        collect_blobs(j);
        if (!atomic_load(&j->stopping)) {
            store_wait_change(j->store, seen, LOOK_EVERY_MS);
        }
    }
    return NULL;
}

enum rc jobs_start(struct jobs *j, struct err *err) {
    if (pthread_create(&j->planner, NULL, planner_main, j) != 0) {
        return err_set(err, RC_IO,
                       "the planner thread could not be started; is the limit on processes reached?");
    }
    j->planner_runs = true;
    return RC_OK;
}

void jobs_close(struct jobs *j) {
    if (!j) {
        return;
    }
    atomic_store(&j->stopping, true);
    if (j->planner_runs) {
        store_wake(j->store);
        pthread_join(j->planner, NULL);
    }
    store_close(j->store);
    free(j);
}
