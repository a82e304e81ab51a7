/* agent.c -- see agent.h. */
#include "profiler/agent/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/http_client.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "profiler/agent/agent_job.h"
#include "profiler/agent/backoff.h"
#include "profiler/agent/fingerprint.h"
#include "profiler/agent/roofline.h"
#include "profiler/agent/worker_process.h"

enum { WAIT_S = 25, SLICE_MS = 100, PROBE_MS = 60000, REQUEST_MS = 30000, LOCK_WAIT_MS = 10000 };
static const uint64_t DEFAULT_CACHE_BYTES = (uint64_t)20 << 30;

struct agent {
    const struct agent_opts *opts;
    const atomic_int *stop;
    struct http_client *client;
    struct blob_cache cache;
    char jobs_folder[BLOB_CACHE_PATH];
    char worker[BLOB_CACHE_PATH];
    char name[128];
    int lock_fd; /* -1 = none */
    json_t *fingerprint;
    char target_id[64];
    uint32_t lease_s;
    struct backoff backoff;
};

static void wait_slice(void) {
    const struct timespec slice = {0, SLICE_MS * 1000000L};
    nanosleep(&slice, NULL);
}

/* Waits as the backoff says, in slices, so that a stop is seen. */
static void wait_backoff(struct agent *a) {
    uint32_t random = 0;
    (void)!getrandom(&random, sizeof(random), 0);
    uint32_t wait = backoff_failed(&a->backoff, random);
    for (uint32_t waited = 0; waited < wait && !atomic_load(a->stop); waited += SLICE_MS) {
        wait_slice();
    }
}

static void log_trouble(const char *event, const struct err *err) {
    char quoted[256];
    log_event(LOG_WARN, event, " code=%s text=%s", rc_name(err->rc),
              log_quote(err->text, quoted, sizeof(quoted)));
}

/* --- before the first claim --- */

static enum rc take_fingerprint(struct agent *a, struct err *err) {
    const char *const args[] = {"--probe", NULL};
    struct worker_process_outcome outcome;
    const struct worker_process_opts opts = {
        .program = a->worker, .args = args, .folder = a->jobs_folder, .timeout_ms = PROBE_MS};
    enum rc rc = worker_process_run(&opts, &outcome, err);
    if (rc == RC_OK) {
        rc = fingerprint_take(outcome.result, &a->fingerprint, err);
    } else {
        err_prefix(err, "pare-worker --probe");
    }
    worker_process_outcome_release(&outcome);
    return rc;
}

/* Registers without a roofline where it cannot be measured: explanations then say less. */
static enum rc add_roofline(struct agent *a, struct err *err) {
    json_t *roofline = NULL;
    const struct roofline_opts opts = {
        .worker = a->worker, .folder = a->opts->cache_folder, .jobs_folder = a->jobs_folder};
    struct err why;
    if (roofline_get(&opts, a->fingerprint, &roofline, &why) != RC_OK) {
        log_trouble("roofline_not_measured", &why);
        roofline = json_null();
    }
    return json_object_set_new(a->fingerprint, "roofline", roofline) == 0 ? RC_OK : err_memory(err);
}

/* Takes the cache folder for this process: a second agent would remove the job folders of the first. One that
 * is just ending (its service was killed and started again) is waited for. */
static enum rc lock_folder(struct agent *a, struct err *err) {
    char path[BLOB_CACHE_PATH];
    if (snprintf(path, sizeof(path), "%s/lock", a->opts->cache_folder) >= (int)sizeof(path)) {
        return err_set(err, RC_INPUT, "the path of the cache folder is too long");
    }
    a->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (a->lock_fd < 0) {
        return file_error(path, err);
    }
    for (uint32_t waited = 0; flock(a->lock_fd, LOCK_EX | LOCK_NB) != 0; waited += SLICE_MS) {
        if (errno != EWOULDBLOCK || waited >= LOCK_WAIT_MS || atomic_load(a->stop)) {
            return err_set(err, RC_CONFLICT,
                           "another agent uses the cache folder %s; stop it, or choose another with --cache",
                           a->opts->cache_folder);
        }
        wait_slice();
    }
    return RC_OK;
}

static enum rc open_folders(struct agent *a, struct err *err) {
    char blobs[BLOB_CACHE_PATH];
    uint64_t max_bytes = a->opts->cache_bytes > 0 ? a->opts->cache_bytes : DEFAULT_CACHE_BYTES;
    if (snprintf(blobs, sizeof(blobs), "%s/blobs", a->opts->cache_folder) >= (int)sizeof(blobs)) {
        return err_set(err, RC_INPUT, "the path of the cache folder is too long");
    }
    enum rc rc = blob_cache_open(&a->cache, blobs, max_bytes, err);
    if (rc != RC_OK || (rc = lock_folder(a, err)) != RC_OK) {
        return rc;
    }
    size_t prefix = strlen(a->cache.folder) - strlen("blobs"); /* absolute now */
    snprintf(a->jobs_folder, sizeof(a->jobs_folder), "%.*sjobs", (int)prefix, a->cache.folder);
    if ((rc = file_remove_tree(a->jobs_folder, err)) != RC_OK) { /* left by an agent that was killed */
        return rc;
    }
    return file_make_folder(a->jobs_folder, err);
}

static enum rc prepare(struct agent *a, struct err *err) {
    const struct http_client_opts http = {.base_url = a->opts->server, .token = a->opts->token};
    enum rc rc = worker_process_find(a->opts->worker, a->worker, sizeof(a->worker), err);
    if (rc != RC_OK || (rc = open_folders(a, err)) != RC_OK || (rc = take_fingerprint(a, err)) != RC_OK ||
        (rc = add_roofline(a, err)) != RC_OK || (rc = http_client_new(&http, &a->client, err)) != RC_OK) {
        return rc;
    }
    http_client_stop_with(a->client, a->stop);
    if (a->opts->name) {
        snprintf(a->name, sizeof(a->name), "%s", a->opts->name);
    } else if (gethostname(a->name, sizeof(a->name) - 1) != 0 || a->name[0] == '\0') {
        snprintf(a->name, sizeof(a->name), "unnamed");
    }
    return RC_OK;
}

/* --- talking to the service --- */

static enum rc send_registration(struct agent *a, json_t **answer, struct err *err) {
    json_t *body = json_pack("{s:s, s:O}", "name", a->name, "fingerprint", a->fingerprint);
    if (body && a->opts->price_per_hour > 0) {
        json_object_set_new(body, "price_per_hour", json_real(a->opts->price_per_hour));
    }
    enum rc rc =
        body ? http_client_json(a->client, "POST", "/v1/agents/register", body, REQUEST_MS, answer, err)
             : err_memory(err);
    json_decref(body);
    return rc;
}

static enum rc register_target(struct agent *a, struct err *err) {
    json_t *answer = NULL;
    const char *id = NULL;
    int64_t lease_s = 30;
    enum rc rc = send_registration(a, &answer, err);
    if (rc == RC_OK) {
        rc = json_get_string(answer, "target_id", &id, err);
    }
    if (rc == RC_OK) {
        rc = json_opt_int(answer, "lease_s", 1, 3600, &lease_s, err);
    }
    if (rc == RC_OK) {
        snprintf(a->target_id, sizeof(a->target_id), "%s", id);
        a->lease_s = (uint32_t)lease_s;
        log_event(LOG_INFO, "registered", " target=%s name=%s lease_s=%u", a->target_id, a->name, a->lease_s);
    }
    json_decref(answer);
    return rc;
}

/* *job stays NULL when there was none within the wait. */
static enum rc claim(struct agent *a, json_t **job, struct err *err) {
    json_t *answer = NULL;
    json_t *body = json_pack("{s:s, s:i}", "target_id", a->target_id, "wait_s", WAIT_S);
    enum rc rc = body ? http_client_json(a->client, "POST", "/v1/agents/claim", body,
                                         (WAIT_S + 15) * UINT64_C(1000), &answer, err)
                      : err_memory(err);
    json_decref(body);
    if (rc == RC_OK && answer) {
        json_t *found = NULL;
        rc = json_get_object(answer, "job", &found, err);
        *job = rc == RC_OK ? json_incref(found) : NULL;
    }
    json_decref(answer);
    return rc;
}

static enum rc run_job(struct agent *a, const json_t *job, struct err *err) {
    const struct agent_job_context context = {.server = a->opts->server,
                                              .token = a->opts->token,
                                              .client = a->client,
                                              .cache = &a->cache,
                                              .jobs_folder = a->jobs_folder,
                                              .worker = a->worker,
                                              .sandbox = a->opts->sandbox ? a->opts->sandbox : "allow",
                                              .lease_s = a->lease_s,
                                              .stop = a->stop};
    return agent_job_run(&context, job, err);
}

/* The service will never take this agent: trying again is of no use. */
static bool is_final(enum rc rc) {
    return rc == RC_UNAUTHORIZED || rc == RC_FORBIDDEN || rc == RC_INPUT || rc == RC_USAGE;
}

/* One step: register when there is no target yet, else claim and run. */
static enum rc step(struct agent *a, struct err *err) {
    json_t *job = NULL;
    if (a->target_id[0] == '\0') {
        return register_target(a, err);
    }
    enum rc rc = claim(a, &job, err);
    bool forgotten = rc == RC_NOT_FOUND || rc == RC_CONFLICT; /* or the service has this target elsewhere */
    if (forgotten || rc == RC_UNAUTHORIZED || rc == RC_FORBIDDEN) { /* if for good, registering will show */
        a->target_id[0] = '\0';
    }
    if (rc == RC_OK && job) {
        rc = run_job(a, job, err);
    }
    json_decref(job);
    return rc;
}

static enum rc loop(struct agent *a, struct err *err) {
    while (!atomic_load(a->stop)) {
        bool registering = a->target_id[0] == '\0';
        enum rc rc = step(a, err);
        if (rc == RC_OK) {
            backoff_succeeded(&a->backoff);
        } else if (registering && is_final(rc)) {
            return rc;
        } else if (!atomic_load(a->stop)) {
            log_trouble(registering ? "registration_failed" : "claim_failed", err);
            wait_backoff(a);
        }
    }
    return RC_OK;
}

enum rc agent_run(const struct agent_opts *opts, const atomic_int *stop, struct err *err) {
    struct agent *a = calloc(1, sizeof(*a));
    if (!a) {
        return err_memory(err);
    }
    a->opts = opts;
    a->stop = stop;
    a->lock_fd = -1;
    a->backoff = (struct backoff){.first_ms = 500, .max_ms = 30000};
    enum rc rc = prepare(a, err);
    if (rc == RC_OK) {
        rc = loop(a, err);
    }
    http_client_free(a->client);
    json_decref(a->fingerprint);
    if (a->lock_fd >= 0) {
        close(a->lock_fd);
    }
    free(a);
    return rc;
}
