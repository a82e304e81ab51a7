/* agent_job.c -- see agent_job.h. */
#include "profiler/agent/agent_job.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/base/blob_upload.h"
#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/base/http_client.h"
#include "core/base/ident.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/sha256.h"
#include "profiler/agent/backoff.h"
#include "profiler/agent/count_passes.h"
#include "profiler/agent/lease.h"
#include "profiler/agent/worker_process.h"

enum { MAX_DEPTH = 16, MAX_RESULT_FILES = 64, MAX_FILE_NAME = 64, REQUEST_MS = 60000, LAST_WORDS_MS = 2000 };
static const uint64_t REPORT_LIMIT_NS = (uint64_t)300 * 1000000000;  /* how long a report is repeated */
static const uint64_t TRANSFER_LIMIT_NS = (uint64_t)60 * 1000000000; /* how long a file is tried again */
static const uint64_t DEFAULT_TIMEOUT_MS = (uint64_t)24 * 3600 * 1000;

struct agent_job {
    const struct agent_job_context *context;
    const char *id, *kind;
    int64_t token;
    json_t *spec; /* own copy, with "local" */
    char folder[BLOB_CACHE_PATH];
    struct lease *lease;
};

/* --- trying again --- */

static bool worth_repeating(enum rc rc) {
    return rc == RC_IO || rc == RC_TIMEOUT || rc == RC_BUSY;
}

static void sleep_ms(uint32_t ms) {
    const struct timespec wait = {ms / 1000, (long)(ms % 1000) * 1000000};
    nanosleep(&wait, NULL);
}

/* Waits before the next attempt; longer after each. */
static void wait_again(struct backoff *backoff) {
    uint32_t random = 0;
    (void)!getrandom(&random, sizeof(random), 0);
    sleep_ms(backoff_failed(backoff, random));
}

/* --- files in --- */

static enum worker_stop should_stop(void *user) {
    const struct agent_job *j = user;
    return atomic_load(j->context->stop) || lease_state(j->lease) != LEASE_HELD ? WORKER_STOP : WORKER_GO_ON;
}

static enum rc check_held(struct agent_job *j, struct err *err) {
    return should_stop(j) == WORKER_STOP ? err_set(err, RC_CANCELLED, "the job was given up") : RC_OK;
}

typedef enum rc transfer_fn(struct agent_job *j, const char *sha256, char path[BLOB_CACHE_PATH],
                            struct err *err);

/* Moves a file, again and again while the service cannot be reached for a moment. Its absence is not the
 * job's fault: what is left of it is RC_IO, never RC_TIMEOUT. */
static enum rc transfer(struct agent_job *j, transfer_fn *move, const char *sha256,
                        char path[BLOB_CACHE_PATH], struct err *err) {
    struct backoff backoff = {.first_ms = 250, .max_ms = 2000};
    uint64_t deadline = clock_mono_ns() + TRANSFER_LIMIT_NS;
    enum rc rc;
    while (worth_repeating(rc = move(j, sha256, path, err)) && clock_mono_ns() < deadline &&
           should_stop(j) == WORKER_GO_ON) {
        wait_again(&backoff);
    }
    if (rc == RC_TIMEOUT) {
        rc = err->rc = RC_IO;
    }
    return rc;
}

static enum rc fetch_blob(struct agent_job *j, const char *sha256, char path[BLOB_CACHE_PATH],
                          struct err *err) {
    return blob_cache_get(j->context->cache, j->context->client, sha256, path, err);
}

/* Every object with "sha256" and "path" gets "local". */
static enum rc fetch_files(struct agent_job *j, json_t *value, unsigned depth, struct err *err) {
    char path[BLOB_CACHE_PATH];
    const char *sha256 = json_string_value(json_object_get(value, "sha256"));
    enum rc rc = depth > MAX_DEPTH
                     ? err_set(err, RC_INPUT, "the job is nested deeper than %d levels", MAX_DEPTH)
                     : RC_OK;
    if (rc == RC_OK && sha256 && json_is_string(json_object_get(value, "path"))) {
        rc = check_held(j, err);
        if (rc == RC_OK) {
            rc = transfer(j, fetch_blob, sha256, path, err);
        }
        if (rc == RC_OK && json_object_set_new(value, "local", json_string(path)) != 0) {
            rc = err_memory(err);
        }
    }
    const char *key;
    json_t *child;
    json_object_foreach(value, key, child) {
        if (rc == RC_OK && (json_is_object(child) || json_is_array(child))) {
            rc = fetch_files(j, child, depth + 1, err);
        }
    }
    size_t i;
    json_array_foreach(value, i, child) {
        if (rc == RC_OK && (json_is_object(child) || json_is_array(child))) {
            rc = fetch_files(j, child, depth + 1, err);
        }
    }
    return rc;
}

static enum rc make_folder(struct agent_job *j, struct err *err) {
    int n = snprintf(j->folder, sizeof(j->folder), "%s/job-XXXXXX", j->context->jobs_folder);
    if (n < 0 || (size_t)n >= sizeof(j->folder) || !mkdtemp(j->folder)) {
        enum rc rc = file_error(j->context->jobs_folder, err);
        j->folder[0] = '\0';
        return rc;
    }
    return RC_OK;
}

/* --- the worker --- */

static void on_progress(void *user, double fraction, const char *text) {
    struct agent_job *j = user;
    lease_progress(j->lease, fraction, text);
}

static enum rc run_worker(struct agent_job *j, struct worker_process_outcome *outcome, struct err *err) {
    char sandbox[32];
    const char *const args[] = {sandbox, NULL};
    int64_t cpu_s = json_integer_value(json_object_get(json_object_get(j->spec, "limits"), "cpu_s"));
    char *input = json_dumps(j->spec, JSON_COMPACT);
    if (!input) {
        return err_memory(err);
    }
    snprintf(sandbox, sizeof(sandbox), "--sandbox=%s", j->context->sandbox);
    const struct worker_process_opts opts = {.program = j->context->worker,
                                             .args = args,
                                             .folder = j->folder,
                                             .input = input,
                                             .timeout_ms =
                                                 cpu_s > 0 ? (uint64_t)cpu_s * 2000 : DEFAULT_TIMEOUT_MS,
                                             .should_stop = should_stop,
                                             .on_progress = on_progress,
                                             .user = j};
    enum rc rc = worker_process_run(&opts, outcome, err);
    free(input);
    return rc == RC_OK ? count_passes_run(&opts, j->spec, outcome->result, err) : rc;
}

/* --- files out --- */

/* A plain name of a few harmless characters: no folders, nothing hidden. */
static bool name_is_plain(const char *name) {
    size_t size = strlen(name);
    return size > 0 && size < MAX_FILE_NAME && name[0] != '.' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == size;
}

static enum rc upload_blob(struct agent_job *j, const char *sha256, char path[BLOB_CACHE_PATH],
                           struct err *err) {
    return blob_upload_once(j->context->client, sha256, path, NULL, NULL, err);
}

/* Uploads one file and completes its entry with hash and size. */
static enum rc upload_file(struct agent_job *j, json_t *entry, struct err *err) {
    const char *name = NULL;
    char path[BLOB_CACHE_PATH];
    char sha256[SHA256_HEX_SIZE];
    size_t bytes = 0;
    struct stat st;
    enum rc rc = json_get_string(entry, "path", &name, err);
    if (rc != RC_OK) {
        return rc;
    }
    if (!name_is_plain(name)) {
        return err_set(err, RC_INTERNAL, "the worker named a file \"%.80s\"", name);
    }
    if (snprintf(path, sizeof(path), "%s/%s", j->folder, name) >= (int)sizeof(path)) {
        return err_set(err, RC_INPUT, "the path is too long: %.100s...", path);
    }
    if (lstat(path, &st) != 0 || !S_ISREG(st.st_mode)) {
        return err_set(err, RC_INTERNAL, "the worker named %s, which is not a file that it wrote", name);
    }
    if ((rc = sha256_of_file(path, sha256, &bytes, err)) != RC_OK ||
        (rc = transfer(j, upload_blob, sha256, path, err)) != RC_OK) {
        return rc;
    }
    if (json_object_set_new(entry, "sha256", json_string(sha256)) != 0 ||
        json_object_set_new(entry, "bytes", json_integer((json_int_t)bytes)) != 0) {
        return err_memory(err);
    }
    return RC_OK;
}

static enum rc upload_files(struct agent_job *j, json_t *files, struct err *err) {
    size_t count = json_array_size(files);
    if (count > MAX_RESULT_FILES) {
        return err_set(err, RC_INTERNAL, "the worker named %zu files; at most %d are taken", count,
                       MAX_RESULT_FILES);
    }
    lease_progress(j->lease, 1, "uploading");
    enum rc rc = RC_OK;
    for (size_t i = 0; rc == RC_OK && i < count; i++) {
        rc = upload_file(j, json_array_get(files, i), err);
    }
    return rc;
}

/* --- telling the service --- */

/* POSTs until it arrives, the lease is lost, or it makes no sense any more. A report is idempotent. */
static enum rc tell(struct agent_job *j, const char *what, const json_t *body, struct err *err) {
    struct backoff backoff = {.first_ms = 250, .max_ms = 10000};
    char path[IDENT_SIZE + 64];
    uint64_t deadline = clock_mono_ns() + REPORT_LIMIT_NS;
    snprintf(path, sizeof(path), "/v1/agents/jobs/%s/%s", j->id, what);
    for (;;) {
        uint64_t timeout_ms = atomic_load(j->context->stop) ? LAST_WORDS_MS : REQUEST_MS;
        enum rc rc = http_client_json(j->context->client, "POST", path, body, timeout_ms, NULL, err);
        if (!worth_repeating(rc) || clock_mono_ns() > deadline || atomic_load(j->context->stop)) {
            return rc;
        }
        wait_again(&backoff);
    }
}

static enum rc tell_result(struct agent_job *j, const struct worker_process_outcome *outcome,
                           struct err *err) {
    json_t *body = json_pack("{s:I, s:O, s:O}", "token", (json_int_t)j->token, "result", outcome->result,
                             "files", outcome->files);
    enum rc rc = body ? tell(j, "result", body, err) : err_memory(err);
    json_decref(body);
    return rc;
}

/* A text that may have been cut within a character, or quote a hostile file. */
static json_t *text_json(const char *text) {
    char ascii[sizeof(((struct err *)0)->text)];
    json_t *json = json_string(text);
    if (json) {
        return json;
    }
    snprintf(ascii, sizeof(ascii), "%s", text);
    for (char *c = ascii; *c; c++) {
        *c = (char)((unsigned char)*c < 0x80 ? *c : '?');
    }
    return json_string(ascii);
}

static enum rc tell_failure(struct agent_job *j, const struct worker_process_outcome *outcome,
                            const struct err *reason, struct err *err) {
    json_t *body = json_pack("{s:I, s:{s:s, s:o}, s:b, s:s}", "token", (json_int_t)j->token, "error", "code",
                             rc_name(reason->rc), "text", text_json(reason->text), "crashed",
                             outcome->crashed, "log", outcome->log);
    enum rc rc = body ? tell(j, "failure", body, err) : err_memory(err);
    json_decref(body);
    return rc;
}

/* --- the whole --- */

static enum rc work(struct agent_job *j, struct worker_process_outcome *outcome, struct err *err) {
    enum rc rc = blob_cache_trim(j->context->cache, err);
    if (rc != RC_OK || (rc = make_folder(j, err)) != RC_OK ||
        (rc = fetch_files(j, j->spec, 0, err)) != RC_OK || (rc = run_worker(j, outcome, err)) != RC_OK) {
        return rc;
    }
    return upload_files(j, outcome->files, err);
}

/* The service will not have this result. Without a word the lease would pass and the same work be done again,
 * for ever. Its own trouble (RC_IO) counts like a crash: there are a few more attempts. */
static enum rc tell_refusal(struct agent_job *j, const struct worker_process_outcome *outcome,
                            const struct err *refusal, struct err *err) {
    struct err reason;
    bool trouble = refusal->rc == RC_INTERNAL || refusal->rc == RC_MEMORY;
    err_set(&reason, trouble ? RC_IO : RC_INTERNAL, "the service did not take the result: %s", refusal->text);
    log_event(LOG_WARN, "result_refused", " job=%s code=%s", j->id, rc_name(refusal->rc));
    return tell_failure(j, outcome, &reason, err);
}

static bool is_refusal(enum rc rc) {
    return rc != RC_OK && rc != RC_CONFLICT && rc != RC_CANCELLED && !worth_repeating(rc);
}

static enum rc report(struct agent_job *j, enum rc rc, const struct worker_process_outcome *outcome,
                      const struct err *reason, struct err *err) {
    char quoted[256];
    enum lease_state state = lease_state(j->lease);
    if (atomic_load(j->context->stop)) { /* the last words, quickly: requests are not given up for them */
        http_client_stop_with(j->context->client, NULL);
    }
    if (state == LEASE_LOST) {
        log_event(LOG_WARN, "job_lost", " job=%s", j->id);
        return RC_OK;
    }
    if (rc == RC_OK) {
        log_event(LOG_INFO, "job_done", " job=%s kind=%s", j->id, j->kind);
        rc = tell_result(j, outcome, err);
        if (is_refusal(rc)) {
            struct err refusal = *err;
            rc = tell_refusal(j, outcome, &refusal, err);
        }
    } else {
        log_event(LOG_WARN, "job_failed", " job=%s kind=%s code=%s crashed=%d text=%s", j->id, j->kind,
                  rc_name(rc), outcome->crashed, log_quote(reason->text, quoted, sizeof(quoted)));
        rc = tell_failure(j, outcome, reason, err);
    }
    if (rc == RC_CONFLICT) { /* the lease went away meanwhile: somebody else's result counts */
        log_event(LOG_WARN, "job_lost", " job=%s", j->id);
        return RC_OK;
    }
    return rc;
}

static enum rc read_claim(const json_t *job, struct agent_job *j, struct err *err) {
    json_t *spec = NULL;
    enum rc rc = json_get_string(job, "id", &j->id, err);
    if (rc != RC_OK || (rc = json_get_int(job, "token", 0, INT64_MAX, &j->token, err)) != RC_OK ||
        (rc = json_get_object(job, "spec", &spec, err)) != RC_OK ||
        (rc = json_get_string(spec, "kind", &j->kind, err)) != RC_OK) {
        return err_prefix(err, "the claimed job");
    }
    if (!ident_valid("job", j->id)) {
        return err_set(err, RC_INPUT, "the claimed job: \"%.60s\" is not the id of a job", j->id);
    }
    j->spec = json_deep_copy(spec);
    return j->spec ? RC_OK : err_memory(err);
}

enum rc agent_job_run(const struct agent_job_context *context, const json_t *job, struct err *err) {
    struct agent_job j = {.context = context};
    struct worker_process_outcome outcome = {0};
    struct err reason = {0};
    enum rc rc = read_claim(job, &j, err);
    if (rc != RC_OK) {
        goto out;
    }
    const struct lease_opts opts = {.server = context->server,
                                    .token = context->token,
                                    .job_id = j.id,
                                    .job_token = j.token,
                                    .lease_s = context->lease_s};
    if ((rc = lease_start(&opts, &j.lease, err)) != RC_OK) {
        goto out;
    }
    log_event(LOG_INFO, "job_started", " job=%s kind=%s", j.id, j.kind);
    rc = work(&j, &outcome, &reason);
    rc = report(&j, rc, &outcome, &reason, err);

out:
    lease_end(j.lease);
    if (j.folder[0]) {
        struct err ignored;
        (void)!file_remove_tree(j.folder, &ignored);
    }
    worker_process_outcome_release(&outcome);
    json_decref(j.spec);
    return rc;
}
