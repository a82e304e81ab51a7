#include "advisor/jobs/dispatch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "advisor/jobs/completion.h"
#include "advisor/jobs/jobs_internal.h"
#include "advisor/jobs/stored_json.h"
#include "advisor/jobs/study_events.h"
#include "advisor/jobs/submitted_files.h"
#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "db/store_jobs.h"
#include "db/store_machines.h"
#include "db/store_work.h"
#include "profiler/agent/machine_type.h"

enum {
    FINGERPRINT_BYTES_MAX = 64 * 1024,
    LOG_BYTES_MAX = 32 * 1024,
    TEXT_BYTES_MAX = 1024,
    WAIT_S_MAX = 120
};

/* ---- register ---- */

struct registration {
    const char *name;
    char *fingerprint;     /* owned */
    double price_per_hour; /* NAN = none */
    struct machine_type type;
    char id[IDENT_SIZE];
};

static enum rc keep_price(struct store_tx *tx, const struct registration *r, struct err *err) {
    struct store_machine_type m;
    enum rc rc = store_machine_type_get(tx, r->type.id, &m, err);
    if (rc != RC_OK || isnan(r->price_per_hour) || m.price.usd_per_hour == r->price_per_hour) {
        return rc;
    }
    char as_of[CLOCK_ISO_SIZE];
    clock_iso(store_tx_now_ms(tx), as_of);
    as_of[10] = '\0'; /* the date */
    struct store_price price = {r->price_per_hour, "stated by the agent", as_of};
    return store_price_set(tx, r->type.id, &price, err);
}

static enum rc register_target(struct store_tx *tx, void *user, struct err *err) {
    const struct registration *r = user;
    struct store_machine_type m = {
        .id = r->type.id, .name = r->type.name, .fingerprint_json = r->fingerprint};
    struct store_target t = {
        .id = r->id, .name = r->name, .machine_type = r->type.id, .fingerprint_json = r->fingerprint};
    enum rc rc = store_machine_type_add(tx, &m, err);
    if (rc == RC_OK) {
        rc = store_target_put(tx, &t, err);
    }
    if (rc == RC_OK) {
        rc = store_jobs_requeue_target(tx, r->id, err);
    }
    return rc == RC_OK ? keep_price(tx, r, err) : rc;
}

static enum rc read_registration(const json_t *body, struct registration *r, struct err *err) {
    static const char *const keys[] = {"name", "fingerprint", "price_per_hour", NULL};
    json_t *fingerprint = NULL;
    enum rc rc = json_only_keys(body, keys, err);
    if (rc == RC_OK) {
        rc = submitted_name(body, &r->name, err);
    }
    if (rc == RC_OK) {
        rc = json_get_object(body, "fingerprint", &fingerprint, err);
    }
    if (rc == RC_OK) {
        rc = json_opt_number(body, "price_per_hour", &r->price_per_hour, err);
    }
    if (rc == RC_OK && !isnan(r->price_per_hour) && !(r->price_per_hour > 0 && r->price_per_hour < 1e6)) {
        rc = err_set(err, RC_INPUT, "field \"price_per_hour\" must be above 0 USD");
    }
    if (rc == RC_OK) {
        rc = machine_type_of(fingerprint, &r->type, err);
    }
    if (rc == RC_OK) {
        rc = stored_text(fingerprint, &r->fingerprint, err);
    }
    if (rc == RC_OK && strlen(r->fingerprint) > FINGERPRINT_BYTES_MAX) {
        rc = err_set(err, RC_INPUT, "the fingerprint is longer than %d bytes", (int)FINGERPRINT_BYTES_MAX);
    }
    return rc;
}

enum rc dispatch_register(struct jobs *j, const json_t *body, json_t **ret, struct err *err) {
    struct registration r = {.price_per_hour = NAN};
    enum rc rc = read_registration(body, &r, err);
    if (rc == RC_OK) {
        rc = stored_id("tgt", json_pack("[s, s]", r.name, r.type.id), r.id, err);
    }
    if (rc == RC_OK) {
        rc = store_write(j->store, register_target, &r, err);
    }
    free(r.fingerprint);
    if (rc != RC_OK) {
        return rc;
    }
    log_event(LOG_INFO, "target_registered", "target=%s machine_type=%s", r.id, r.type.id);
    return stored_give(json_pack("{s:s, s:s, s:I}", "target_id", r.id, "machine_type_id", r.type.id,
                                 "lease_s", (json_int_t)(j->lease_ms / 1000)),
                       ret, err);
}

/* ---- claim ---- */

struct claim {
    const char *target;
    int64_t lease_ms;
    json_t *answer; /* owned by the caller */
    bool found;
};

static json_t *job_json(const struct store_job *job, const char *study) {
    return json_pack("{s:{s:s, s:I, s:s, s:s?, s:s, s:o}}", "job", "id", job->id, "token",
                     (json_int_t)job->token, "kind", job->kind, "study_id", study, "label", job->label,
                     "spec", stored_json(job->spec_json));
}

static enum rc claim_job(struct store_tx *tx, void *user, struct err *err) {
    struct claim *c = user;
    struct store_job job;
    const char **studies;
    size_t n = 0;
    enum rc rc = store_target_seen(tx, c->target, err);
    if (rc == RC_OK) {
        rc = store_job_claim(tx, c->target, c->lease_ms, &job, &c->found, err);
    }
    if (rc != RC_OK || !c->found) {
        return rc;
    }
    rc = store_job_studies(tx, job.id, &studies, &n, err);
    if (rc == RC_OK) {
        rc = study_events_progress(tx, &job, 0, "started", err);
    }
    return rc == RC_OK ? stored_give(job_json(&job, n ? studies[0] : NULL), &c->answer, err) : rc;
}

/* Whether a claim would write anything: it is asked again at every change of the store. */
static enum rc worth_claiming(struct jobs *j, const char *target, bool *ret, struct err *err) {
    struct store_tx *tx;
    struct store_target t;
    enum { SEEN_EVERY_MS = 10000 };
    enum rc rc = store_read_begin(j->store, &tx, err);
    if (rc != RC_OK) {
        return rc;
    }
    rc = store_target_get(tx, target, &t, err);
    if (rc == RC_OK) {
        rc = store_job_waits(tx, target, ret, err);
    }
    if (rc == RC_OK) {
        *ret = *ret || llabs(t.last_seen_ms - store_tx_now_ms(tx)) > SEEN_EVERY_MS;
    }
    store_read_end(tx);
    return rc;
}

enum rc dispatch_claim(struct jobs *j, const json_t *body, json_t **ret, struct err *err) {
    static const char *const keys[] = {"target_id", "wait_s", NULL};
    struct claim c = {.lease_ms = j->lease_ms};
    int64_t wait_s = 0;
    bool worth = false;
    enum rc rc = json_only_keys(body, keys, err);
    if (rc == RC_OK) {
        rc = json_get_string(body, "target_id", &c.target, err);
    }
    if (rc == RC_OK) {
        rc = json_opt_int(body, "wait_s", 0, WAIT_S_MAX, &wait_s, err);
    }
    if (rc == RC_OK) {
        rc = worth_claiming(j, c.target, &worth, err);
    }
    if (rc == RC_OK && worth) {
        rc = store_write(j->store, claim_job, &c, err);
    }
    if (rc != RC_OK) {
        json_decref(c.answer);
        return rc;
    }
    if (c.answer) {
        const json_t *job = json_object_get(c.answer, "job");
        log_event(LOG_INFO, "job_claimed", "job=%s kind=%s target=%s token=%lld",
                  json_string_value(json_object_get(job, "id")),
                  json_string_value(json_object_get(job, "kind")), c.target,
                  (long long)json_integer_value(json_object_get(job, "token")));
    }
    *ret = c.answer;
    return RC_OK;
}

/* ---- heartbeat ---- */

struct beat {
    const char *job, *text;
    int64_t token, lease_ms;
    double fraction;
    bool cancel;
};

static enum rc heartbeat_job(struct store_tx *tx, void *user, struct err *err) {
    struct beat *b = user;
    struct store_job job;
    enum rc rc =
        store_job_heartbeat(tx, b->job, b->token, b->lease_ms, b->fraction, b->text, &b->cancel, err);
    if (rc == RC_OK) {
        rc = store_job_get(tx, b->job, &job, err);
    }
    if (rc == RC_OK && job.target) {
        rc = store_target_seen(tx, job.target, err);
    }
    return rc == RC_OK && !b->cancel ? study_events_progress(tx, &job, b->fraction, b->text, err) : rc;
}

enum rc dispatch_heartbeat(struct jobs *j, const char *job_id, const json_t *body, json_t **ret,
                           struct err *err) {
    static const char *const keys[] = {"token", "fraction", "text", NULL};
    struct beat b = {.job = job_id, .lease_ms = j->lease_ms, .text = ""};
    enum rc rc = json_only_keys(body, keys, err);
    if (rc == RC_OK) {
        rc = json_get_int(body, "token", 1, INT64_MAX, &b.token, err);
    }
    if (rc == RC_OK) {
        rc = json_opt_number(body, "fraction", &b.fraction, err);
    }
    if (rc == RC_OK) {
        rc = json_opt_string(body, "text", &b.text, err);
    }
    if (rc == RC_OK && (!(b.fraction >= 0 && b.fraction <= 1) || strlen(b.text) > TEXT_BYTES_MAX)) {
        rc = err_set(err, RC_INPUT, "\"fraction\" must lie in 0 to 1 and \"text\" have at most %d bytes",
                     (int)TEXT_BYTES_MAX);
    }
    if (rc == RC_OK) {
        rc = store_write(j->store, heartbeat_job, &b, err);
    }
    return rc == RC_OK ? stored_give(json_pack("{s:b}", "cancel", (int)b.cancel), ret, err) : rc;
}

/* ---- failure ---- */

struct failing {
    const char *job;
    int64_t token;
    struct store_failure f;
    char state[16];
    bool repeated;
};

/* A compression that failed for good makes its variant a failed one; other kinds are looked up among the
 * study's jobs. */
static enum rc fail_product(struct store_tx *tx, const struct store_job *job, const char *text,
                            struct err *err) {
    if (strcmp(job->kind, "compress") != 0) {
        return RC_OK;
    }
    json_t *subject = stored_json(job->subject_json);
    const char *variant = json_string_value(json_object_get(subject, "variant"));
    enum rc rc = variant ? store_variant_failed(tx, variant, text, err) : RC_OK;
    json_decref(subject);
    return rc;
}

static enum rc fail_job(struct store_tx *tx, void *user, struct err *err) {
    struct failing *f = user;
    struct store_job job;
    const char *state = NULL;
    char text[TEXT_BYTES_MAX];
    enum rc rc = store_job_fail(tx, f->job, f->token, &f->f, &state, &f->repeated, err);
    if (rc == RC_OK) {
        snprintf(f->state, sizeof(f->state), "%s", state);
        rc = store_job_get(tx, f->job, &job, err);
    }
    if (rc != RC_OK || f->repeated || strcmp(f->state, "queued") == 0) {
        return rc;
    }
    rc = fail_product(tx, &job, f->f.text, err);
    snprintf(text, sizeof(text), "%s: %s", job.label, f->f.text);
    return rc == RC_OK ? study_events_step(tx, &job, "failed", text, err) : rc;
}

static enum rc report_failure(struct jobs *j, struct failing *f, struct err *err) {
    char quoted[600];
    enum rc rc = store_write(j->store, fail_job, f, err);
    if (rc == RC_OK && !f->repeated) {
        log_event(LOG_WARN, "job_failed", "job=%s state=%s code=%s text=%s", f->job, f->state, f->f.code,
                  log_quote(f->f.text, quoted, sizeof(quoted)));
    }
    return rc;
}

/* A code from the worker, cut to the ones there are. */
static const char *known_code(const char *code) {
    return rc_name(rc_from_name(code));
}

enum rc dispatch_failure(struct jobs *j, const char *job_id, const json_t *body, json_t **ret,
                         struct err *err) {
    static const char *const keys[] = {"token", "error", "crashed", "log", NULL};
    struct failing f = {.job = job_id};
    json_t *error = NULL;
    bool crashed = false;
    const char *code = "internal", *text = "";
    enum rc rc = json_only_keys(body, keys, err);
    if (rc == RC_OK) {
        rc = json_get_int(body, "token", 1, INT64_MAX, &f.token, err);
    }
    if (rc == RC_OK) {
        rc = json_get_object(body, "error", &error, err);
    }
    if (rc == RC_OK) {
        rc = json_get_string(error, "code", &code, err);
    }
    if (rc == RC_OK) {
        rc = json_get_string(error, "text", &text, err);
    }
    if (rc == RC_OK) {
        rc = json_opt_bool(body, "crashed", &crashed, err);
    }
    if (rc == RC_OK) {
        rc = json_opt_string(body, "log", &f.f.log, err);
    }
    if (rc == RC_OK && (strlen(text) > TEXT_BYTES_MAX || (f.f.log && strlen(f.f.log) > LOG_BYTES_MAX))) {
        rc = err_set(err, RC_INPUT, "\"text\" must have at most %d bytes and \"log\" %d", (int)TEXT_BYTES_MAX,
                     (int)LOG_BYTES_MAX);
    }
    if (rc == RC_OK) {
        enum rc why = rc_from_name(code);
        f.f.code = known_code(code);
        f.f.text = text;
        bool abandoned = why == RC_CANCELLED || why == RC_BUSY;
        f.f.kind = crashed || why == RC_IO ? FAILURE_CRASH : abandoned ? FAILURE_ABANDONED : FAILURE_FINAL;
        rc = report_failure(j, &f, err);
    }
    return rc == RC_OK ? stored_give(json_object(), ret, err) : rc;
}

/* ---- result ---- */

/* What is kept of a job's row while its result is read, outside any transaction. */
struct job_copy {
    struct store_job row;
    char *id, *kind, *label, *subject; /* owned */
};

static void job_copy_release(struct job_copy *c) {
    free(c->id);
    free(c->kind);
    free(c->label);
    free(c->subject);
}

static enum rc job_copy_make(const struct store_job *job, struct job_copy *c, struct err *err) {
    *c = (struct job_copy){.id = strdup(job->id),
                           .kind = strdup(job->kind),
                           .label = strdup(job->label),
                           .subject = strdup(job->subject_json)};
    c->row = (struct store_job){.id = c->id, .kind = c->kind, .label = c->label, .subject_json = c->subject};
    return c->id && c->kind && c->label && c->subject ? RC_OK : err_memory(err);
}

/* The job, if `token` may speak for it. *repeated: it has been finished with this token. */
static enum rc find_job(struct store *s, const char *id, int64_t token, struct job_copy *copy, bool *repeated,
                        struct err *err) {
    struct store_tx *tx;
    struct store_job job;
    enum rc rc = store_read_begin(s, &tx, err);
    if (rc != RC_OK) {
        return rc;
    }
    rc = store_job_get(tx, id, &job, err);
    if (rc == RC_OK) {
        *repeated = job.token == token && strcmp(job.state, "done") == 0;
        bool holds = job.token == token && strcmp(job.state, "running") == 0;
        rc = holds || *repeated
                 ? job_copy_make(&job, copy, err)
                 : err_set(err, RC_CONFLICT, "the lease of job %s is lost: drop this work", id);
    }
    store_read_end(tx);
    return rc;
}

struct finishing {
    const struct store_job *job;
    int64_t token;
    const struct completion *made;
    bool repeated;
};

static enum rc finish_job(struct store_tx *tx, void *user, struct err *err) {
    struct finishing *f = user;
    enum rc rc = store_job_finish(tx, f->job->id, f->token, completion_result(f->made), &f->repeated, err);
    return rc == RC_OK && !f->repeated ? completion_store(tx, f->made, f->job, err) : rc;
}

static enum rc finish(struct jobs *j, const struct store_job *job, int64_t token, const json_t *result,
                      const json_t *files, struct err *err) {
    struct completion *made = NULL;
    enum rc rc = completion_read(j->store, job, result, files, &made, err);
    if (rc == RC_INPUT || rc == RC_TOO_LARGE) {
        char text[sizeof(err->text) + 40];
        snprintf(text, sizeof(text), "the worker's result is not valid: %s", err->text);
        struct failing f = {.job = job->id, .token = token, .f = {.code = "internal", .text = text}};
        return report_failure(j, &f, err);
    }
    struct finishing f = {job, token, made, false};
    if (rc == RC_OK) {
        rc = store_write(j->store, finish_job, &f, err);
    }
    if (rc == RC_OK && !f.repeated) {
        log_event(LOG_INFO, "job_done", "job=%s kind=%s", job->id, job->kind);
    }
    completion_free(made);
    return rc;
}

enum rc dispatch_result(struct jobs *j, const char *job_id, const json_t *body, json_t **ret,
                        struct err *err) {
    static const char *const keys[] = {"token", "result", "files", NULL};
    json_t *result = NULL, *files = json_object_get(body, "files");
    struct job_copy copy = {0};
    bool repeated = false;
    int64_t token = 0;
    enum rc rc = json_only_keys(body, keys, err);
    if (rc == RC_OK) {
        rc = json_get_int(body, "token", 1, INT64_MAX, &token, err);
    }
    if (rc == RC_OK) {
        rc = json_get_object(body, "result", &result, err);
    }
    if (rc == RC_OK && files && !json_is_null(files) && !json_is_array(files)) {
        rc = err_set(err, RC_INPUT, "field \"files\" must be a list");
    }
    if (rc == RC_OK) {
        rc = find_job(j->store, job_id, token, &copy, &repeated, err);
    }
    if (rc == RC_OK && !repeated) {
        rc = finish(j, &copy.row, token, result, json_is_array(files) ? files : NULL, err);
    }
    job_copy_release(&copy);
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the analyzer forgets the copy at the call of finish */
    return rc == RC_OK ? stored_give(json_object(), ret, err) : rc;
}
