/* lease.c -- see lease.h. */
#include "profiler/agent/lease.h"

#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/http_client.h"
#include "core/base/ident.h"
#include "core/base/log.h"

enum { TEXT_SIZE = 200, RETRY_MS = 1000, TIMEOUT_MS = 10000 };

struct lease {
    struct http_client *client;
    char path[IDENT_SIZE + 64];
    char job_id[IDENT_SIZE];
    int64_t job_token;
    uint32_t period_ms;
    pthread_t thread;
    atomic_int stop; /* also ends a request */
    atomic_int state;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t wake;
    double fraction;
    char text[TEXT_SIZE];
};

static json_t *heartbeat_body(struct lease *l) {
    pthread_mutex_lock(&l->lock);
    json_t *text = json_string(l->text);
    if (!text) { /* cut within a character */
        text = json_string("");
    }
    json_t *body = json_pack("{s:I, s:f, s:o}", "token", (json_int_t)l->job_token, "fraction", l->fraction,
                             "text", text);
    pthread_mutex_unlock(&l->lock);
    return body;
}

/* One heartbeat; false when it did not arrive and should be repeated soon. */
static bool beat(struct lease *l) {
    struct err err = {0};
    json_t *answer = NULL;
    json_t *body = heartbeat_body(l);
    enum rc rc = body ? http_client_json(l->client, "POST", l->path, body, TIMEOUT_MS, &answer, &err)
                      : err_memory(&err);
    json_decref(body);
    if (rc == RC_OK && json_is_true(json_object_get(answer, "cancel"))) {
        atomic_store(&l->state, LEASE_CANCELLED);
    } else if (rc == RC_CONFLICT || rc == RC_NOT_FOUND) {
        atomic_store(&l->state, LEASE_LOST);
    }
    json_decref(answer);
    bool arrived = rc == RC_OK || rc == RC_CONFLICT || rc == RC_NOT_FOUND;
    if (!arrived && !atomic_load(&l->stop)) {
        char quoted[256];
        log_event(LOG_WARN, "heartbeat_failed", " job=%s text=%s", l->job_id,
                  log_quote(err.text, quoted, sizeof(quoted)));
    }
    return arrived;
}

/* Sleeps, unless the lease ends. */
static void pause_ms(struct lease *l, uint32_t ms) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&l->lock);
    int result = 0;
    while (!atomic_load(&l->stop) && result != ETIMEDOUT) {
        result = pthread_cond_timedwait(&l->wake, &l->lock, &until);
    }
    pthread_mutex_unlock(&l->lock);
}

static void *on_thread(void *user) {
    struct lease *l = user;
    while (!atomic_load(&l->stop) && atomic_load(&l->state) == LEASE_HELD) {
        bool arrived = beat(l);
        pause_ms(l, arrived || l->period_ms < RETRY_MS ? l->period_ms : RETRY_MS);
    }
    return NULL;
}

static enum rc init(struct lease *l, const struct lease_opts *opts, struct err *err) {
    const struct http_client_opts http = {
        .base_url = opts->server, .token = opts->token, .max_body_bytes = 1 << 16};
    uint32_t third_ms = opts->lease_s * 1000 / 3;
    l->job_token = opts->job_token;
    l->period_ms = third_ms > 100 ? third_ms : 100;
    snprintf(l->job_id, sizeof(l->job_id), "%s", opts->job_id);
    snprintf(l->path, sizeof(l->path), "/v1/agents/jobs/%s/heartbeat", l->job_id);
    enum rc rc = http_client_new(&http, &l->client, err);
    if (rc == RC_OK) {
        http_client_stop_with(l->client, &l->stop);
    }
    return rc;
}

static void destroy(struct lease *l) {
    http_client_free(l->client);
    pthread_cond_destroy(&l->wake);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

enum rc lease_start(const struct lease_opts *opts, struct lease **ret, struct err *err) {
    struct lease *l = calloc(1, sizeof(*l));
    pthread_condattr_t monotonic;
    if (!l) {
        return err_memory(err);
    }
    pthread_mutex_init(&l->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&l->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    enum rc rc = init(l, opts, err);
    if (rc == RC_OK && pthread_create(&l->thread, NULL, on_thread, l) != 0) {
        rc = err_set(err, RC_MEMORY, "the heartbeat's thread cannot be started");
    }
    if (rc != RC_OK) {
        destroy(l);
        return rc;
    }
    *ret = l;
    return RC_OK;
}

void lease_end(struct lease *l) {
    if (!l) {
        return;
    }
    pthread_mutex_lock(&l->lock);
    atomic_store(&l->stop, 1);
    pthread_cond_broadcast(&l->wake);
    pthread_mutex_unlock(&l->lock);
    pthread_join(l->thread, NULL);
    destroy(l);
}

enum lease_state lease_state(struct lease *l) {
    return (enum lease_state)atomic_load(&l->state);
}

void lease_progress(struct lease *l, double fraction, const char *text) {
    pthread_mutex_lock(&l->lock);
    l->fraction = fraction;
    snprintf(l->text, sizeof(l->text), "%s", text);
    pthread_mutex_unlock(&l->lock);
}
