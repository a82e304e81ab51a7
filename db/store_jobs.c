#include "db/store_jobs.h"

#include <string.h>

#include "db/sql.h"

static void read_job(struct sql_rows *r, struct store_job *j) {
    j->id = sql_text(r);
    j->key = sql_text(r);
    j->kind = sql_text(r);
    j->state = sql_text(r);
    j->priority = sql_int(r);
    j->machine_type = sql_text(r);
    j->label = sql_text(r);
    j->spec_json = sql_text(r);
    j->subject_json = sql_text(r);
    j->token = sql_int(r);
    j->lease_until_ms = sql_int(r);
    j->crashes = sql_int(r);
    j->target = sql_text(r);
    j->fraction = sql_real(r);
    j->text = sql_text(r);
    j->result_json = sql_text(r);
    j->error_code = sql_text(r);
    j->error_text = sql_text(r);
    j->log = sql_text(r);
    j->created_ms = sql_int(r);
    j->finished_ms = sql_int(r);
}

static enum rc get_job(struct store_tx *tx, enum statement id, const char *name, struct store_job *ret,
                       struct err *err) {
    struct sql_rows rows;
    enum rc rc = sql_first(tx, id, ARGS(TEXT(name)), "job", name, &rows, err);
    if (rc != RC_OK) {
        return rc;
    }
    read_job(&rows, ret);
    return sql_end(&rows, err);
}

enum rc store_job_get(struct store_tx *tx, const char *id, struct store_job *ret, struct err *err) {
    return get_job(tx, SQL_JOB_GET, id, ret, err);
}

enum rc store_job_by_key(struct store_tx *tx, const char *key, struct store_job *ret, struct err *err) {
    return get_job(tx, SQL_JOB_BY_KEY, key, ret, err);
}

enum rc store_job_add(struct store_tx *tx, const struct store_job *j, const char *study,
                      struct store_job *ret, struct err *err) {
    enum rc rc =
        sql_run(tx, SQL_JOB_ADD,
                ARGS(TEXT(j->id), TEXT(j->key), TEXT(j->kind), INT(j->priority), TEXT(j->machine_type),
                     TEXT(j->label), TEXT(j->spec_json), TEXT(j->subject_json), INT(store_tx_now_ms(tx))),
                NULL, err);
    if (rc == RC_OK) {
        rc = sql_run(tx, SQL_JOB_AGAIN, ARGS(TEXT(j->key)), NULL, err);
    }
    if (rc == RC_OK) {
        rc = store_job_by_key(tx, j->key, ret, err);
    }
    if (rc == RC_OK && study) {
        rc = sql_run(tx, SQL_STUDY_JOB_ADD, ARGS(TEXT(study), TEXT(ret->id)), NULL, err);
    }
    return rc;
}

enum rc store_jobs_of_study(struct store_tx *tx, const char *study, struct store_job **ret, size_t *n,
                            struct err *err) {
    struct sql_rows rows;
    void *items = NULL;
    size_t count = 0;
    sql_query(tx, SQL_JOBS_OF_STUDY, ARGS(TEXT(study)), &rows);
    while (sql_next(&rows)) {
        struct store_job *j = sql_grow(&rows, &items, count, sizeof(*j));
        if (j) {
            read_job(&rows, j);
            count++;
        }
    }
    *ret = items;
    *n = count;
    return sql_end(&rows, err);
}

enum rc store_job_studies(struct store_tx *tx, const char *job, const char ***ret, size_t *n,
                          struct err *err) {
    return sql_names(tx, SQL_JOB_STUDIES, job, ret, n, err);
}

enum rc store_job_waits(struct store_tx *tx, const char *target, bool *ret, struct err *err) {
    int64_t n = 0;
    enum rc rc = sql_number(tx, SQL_JOB_WAITS, ARGS(TEXT(target)), &n, err);
    *ret = n > 0;
    return rc;
}

enum rc store_job_claim(struct store_tx *tx, const char *target, int64_t lease_ms, struct store_job *ret,
                        bool *found, struct err *err) {
    struct sql_rows rows;
    struct store_job next;
    *found = false;
    sql_query(tx, SQL_JOB_NEXT, ARGS(TEXT(target)), &rows);
    bool any = sql_next(&rows);
    if (any) {
        read_job(&rows, &next);
    }
    enum rc rc = sql_end(&rows, err);
    if (rc != RC_OK || !any) {
        return rc;
    }
    int64_t until_ms = store_tx_now_ms(tx) + lease_ms;
    rc = sql_run(tx, SQL_JOB_CLAIM, ARGS(TEXT(next.id), TEXT(target), INT(until_ms)), NULL, err);
    if (rc == RC_OK) {
        rc = store_job_get(tx, next.id, ret, err);
    }
    *found = rc == RC_OK;
    return rc;
}

enum rc store_job_take(struct store_tx *tx, const char *id, const char *target, int64_t lease_ms,
                       struct store_job *ret, bool *taken, struct err *err) {
    int64_t changed = 0;
    enum rc rc = sql_run(tx, SQL_JOB_TAKE, ARGS(TEXT(id), TEXT(target), INT(store_tx_now_ms(tx) + lease_ms)),
                         &changed, err);
    *taken = changed > 0;
    return rc == RC_OK ? store_job_get(tx, id, ret, err) : rc;
}

static enum rc stale(const struct store_job *j, int64_t token, struct err *err) {
    return err_set(err, RC_CONFLICT, "the lease of job %s is lost (token %lld, state %s): drop this work",
                   j->id, (long long)token, j->state);
}

enum rc store_job_heartbeat(struct store_tx *tx, const char *id, int64_t token, int64_t lease_ms,
                            double fraction, const char *text, bool *cancel, struct err *err) {
    struct store_job j;
    enum rc rc = store_job_get(tx, id, &j, err);
    if (rc != RC_OK) {
        return rc;
    }
    *cancel = j.token == token && strcmp(j.state, "cancelled") == 0;
    if (*cancel) {
        return RC_OK;
    }
    int64_t until_ms = store_tx_now_ms(tx) + lease_ms, changed = 0;
    rc = sql_run(tx, SQL_JOB_HEARTBEAT, ARGS(TEXT(id), INT(token), INT(until_ms), REAL(fraction), TEXT(text)),
                 &changed, err);
    return rc == RC_OK && changed == 0 ? stale(&j, token, err) : rc;
}

enum rc store_job_finish(struct store_tx *tx, const char *id, int64_t token, const char *result_json,
                         bool *repeated, struct err *err) {
    struct store_job j;
    enum rc rc = store_job_get(tx, id, &j, err);
    if (rc != RC_OK) {
        return rc;
    }
    *repeated = j.token == token && strcmp(j.state, "done") == 0;
    if (*repeated) {
        return RC_OK;
    }
    int64_t changed = 0;
    rc = sql_run(tx, SQL_JOB_FINISH, ARGS(TEXT(id), INT(token), TEXT(result_json), INT(store_tx_now_ms(tx))),
                 &changed, err);
    return rc == RC_OK && changed == 0 ? stale(&j, token, err) : rc;
}

/* Where a job goes from running when it fails. */
static const char *state_after(const struct store_job *j, const struct store_failure *f) {
    if (f->kind != FAILURE_CRASH) {
        return f->kind == FAILURE_FINAL ? "failed" : "queued";
    }
    return j->crashes + 1 >= STORE_JOB_CRASHES_MAX ? "dead" : "queued";
}

enum rc store_job_fail(struct store_tx *tx, const char *id, int64_t token, const struct store_failure *f,
                       const char **state, bool *repeated, struct err *err) {
    struct store_job j;
    enum rc rc = store_job_get(tx, id, &j, err);
    if (rc != RC_OK) {
        return rc;
    }
    /* A claim clears the error: one that is there with this token was reported under it. */
    bool reported = j.error_code && strcmp(j.state, "running") != 0 && strcmp(j.state, "done") != 0;
    *repeated = j.token == token && reported;
    *state = *repeated ? j.state : state_after(&j, f);
    if (*repeated) {
        return RC_OK;
    }
    bool final = strcmp(*state, "queued") != 0;
    int64_t changed = 0;
    rc = sql_run(tx, SQL_JOB_FAIL,
                 ARGS(TEXT(id), INT(token), TEXT(*state), INT(j.crashes + (f->kind == FAILURE_CRASH)),
                      TEXT(f->code), TEXT(f->text), TEXT(f->log),
                      final ? INT(store_tx_now_ms(tx)) : TEXT(NULL)),
                 &changed, err);
    return rc == RC_OK && changed == 0 ? stale(&j, token, err) : rc;
}

enum rc store_jobs_requeue_expired(struct store_tx *tx, int64_t *requeued, struct err *err) {
    return sql_run(tx, SQL_JOBS_EXPIRED, ARGS(INT(store_tx_now_ms(tx))), requeued, err);
}

enum rc store_jobs_limit_leases(struct store_tx *tx, int64_t lease_ms, struct err *err) {
    enum { SLACK_MS = 60 * 1000 }; /* a lease given before lease_ms was made smaller is no error */
    return sql_run(tx, SQL_JOBS_LIMIT_LEASES, ARGS(INT(store_tx_now_ms(tx)), INT(lease_ms), INT(SLACK_MS)),
                   NULL, err);
}

enum rc store_jobs_requeue_target(struct store_tx *tx, const char *target, struct err *err) {
    return sql_run(tx, SQL_JOBS_OF_TARGET, ARGS(TEXT(target)), NULL, err);
}

enum rc store_jobs_cancel(struct store_tx *tx, const char *study, struct err *err) {
    return sql_run(tx, SQL_JOBS_CANCEL, ARGS(TEXT(study), INT(store_tx_now_ms(tx))), NULL, err);
}

enum rc store_jobs_next_expiry(struct store_tx *tx, int64_t *ret, struct err *err) {
    return sql_number(tx, SQL_JOBS_NEXT_EXPIRY, NO_ARGS, ret, err);
}

enum rc store_job_cancel_key(struct store_tx *tx, const char *key, struct err *err) {
    return sql_run(tx, SQL_JOB_CANCEL_KEY, ARGS(TEXT(key), INT(store_tx_now_ms(tx))), NULL, err);
}
