/* store_jobs.h -- the queue of work with leases and fencing tokens.
 *
 *            +------------- lease lost, crash 1 or 2 --------------+
 *            v                                                     |
 *   add -> queued -- claim (token + 1, lease) --> running --> done | failed (by its own error)
 *            |                                        |       dead  (third crash)
 *            +--- cancel --> cancelled <--- cancel ---+
 *
 * Whoever holds the newest token of a running job may speak for it; all others get RC_CONFLICT. Adding work
 * whose key is there joins it where it is queued or running and otherwise queues it again: whoever adds work
 * has looked for its product. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/err.h"
#include "db/store.h"

enum { STORE_JOB_CRASHES_MAX = 3 };

struct store_job {
    const char *id, *key, *kind, *state;
    int64_t priority;         /* smaller first, then older first */
    const char *machine_type; /* NULL = any machine */
    const char *label;        /* for people: the recipe, "int8:static 1x2" */
    const char *spec_json;    /* for the worker */
    const char *subject_json; /* what the result is of: ids */
    int64_t token, lease_until_ms, crashes;
    const char *target; /* that claimed it last */
    double fraction;
    const char *text, *result_json, *error_code, *error_text, *log;
    int64_t created_ms, finished_ms;
};

/* Adds `j` (id, key, kind, priority, machine_type, label, spec_json, subject_json are read) for `study`
 * (NULL: for none), or joins the one with its key. ret->state says how far that one is. */
MUST_USE enum rc store_job_add(struct store_tx *tx, const struct store_job *j, const char *study,
                               struct store_job *ret, struct err *err);
MUST_USE enum rc store_job_get(struct store_tx *tx, const char *id, struct store_job *ret, struct err *err);
/* RC_NOT_FOUND when there is no work of that key. */
MUST_USE enum rc store_job_by_key(struct store_tx *tx, const char *key, struct store_job *ret,
                                  struct err *err);
MUST_USE enum rc store_jobs_of_study(struct store_tx *tx, const char *study, struct store_job **ret,
                                     size_t *n, struct err *err);
/* Open studies that wait for it. */
MUST_USE enum rc store_job_studies(struct store_tx *tx, const char *job, const char ***ret, size_t *n,
                                   struct err *err);

/* Whether there is a job for `target`: asked before a claim, which writes. */
MUST_USE enum rc store_job_waits(struct store_tx *tx, const char *target, bool *ret, struct err *err);
/* The next job for `target`, running under a lease of lease_ms. *found is false when there is none. */
MUST_USE enum rc store_job_claim(struct store_tx *tx, const char *target, int64_t lease_ms,
                                 struct store_job *ret, bool *found, struct err *err);
/* This job and no other, for a target that has done it already (results that were imported). *taken is false
 * when it is not queued: an agent runs it. */
MUST_USE enum rc store_job_take(struct store_tx *tx, const char *id, const char *target, int64_t lease_ms,
                                struct store_job *ret, bool *taken, struct err *err);
/* Extends the lease. *cancel: nobody wants the work any more, stop it. RC_CONFLICT: stale. */
MUST_USE enum rc store_job_heartbeat(struct store_tx *tx, const char *id, int64_t token, int64_t lease_ms,
                                     double fraction, const char *text, bool *cancel, struct err *err);
/* Done. *repeated: this token has reported before (RC_OK, nothing changes). RC_CONFLICT: stale. */
MUST_USE enum rc store_job_finish(struct store_tx *tx, const char *id, int64_t token, const char *result_json,
                                  bool *repeated, struct err *err);

/* By its own error, that would come again; a crash or its surroundings, which counts; somebody's doing, which
 * does not. */
enum store_failure_kind { FAILURE_FINAL, FAILURE_CRASH, FAILURE_ABANDONED };

struct store_failure {
    const char *code, *text, *log; /* log may be NULL */
    enum store_failure_kind kind;
};
/* Failed: queued again (a crash that is not the third), dead (the third) or failed; *state says which.
 * Repeating is RC_OK with *repeated. RC_CONFLICT: stale. */
MUST_USE enum rc store_job_fail(struct store_tx *tx, const char *id, int64_t token,
                                const struct store_failure *f, const char **state, bool *repeated,
                                struct err *err);

/* Requeues running jobs whose lease has passed. */
MUST_USE enum rc store_jobs_requeue_expired(struct store_tx *tx, int64_t *requeued, struct err *err);
/* Shortens leases that a clock which was set back made far longer than lease_ms. */
MUST_USE enum rc store_jobs_limit_leases(struct store_tx *tx, int64_t lease_ms, struct err *err);
/* Requeues what `target` was running: it has started anew. */
MUST_USE enum rc store_jobs_requeue_target(struct store_tx *tx, const char *target, struct err *err);
/* Cancels unfinished jobs of `study` that no other open study needs. */
MUST_USE enum rc store_jobs_cancel(struct store_tx *tx, const char *study, struct err *err);

/* Milliseconds since 1970 at which the next lease passes; INT64_MAX when no job runs. */
MUST_USE enum rc store_jobs_next_expiry(struct store_tx *tx, int64_t *ret, struct err *err);
/* Cancels the job of that key where it is queued or running. */
MUST_USE enum rc store_job_cancel_key(struct store_tx *tx, const char *key, struct err *err);
