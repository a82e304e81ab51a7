#include "advisor/http/idempotency.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "advisor/http/app.h"
#include "core/base/log.h"
#include "core/base/sha256.h"
#include "db/store_tokens.h"

enum { KEY_MAX = 128 };

/* A request with a key that runs now; lives on the stack of its thread. */
struct running {
    const char *route, *key;
    struct running *next;
};

struct idempotency {
    pthread_mutex_t lock; /* guards running */
    struct running *running;
};

enum rc idempotency_new(struct idempotency **ret, struct err *err) {
    struct idempotency *i = calloc(1, sizeof(*i));
    if (!i) {
        return err_memory(err);
    }
    pthread_mutex_init(&i->lock, NULL);
    *ret = i;
    return RC_OK;
}

void idempotency_free(struct idempotency *i) {
    if (i) {
        pthread_mutex_destroy(&i->lock);
        free(i);
    }
}

static enum rc check_key(const char *key, struct err *err) {
    size_t size = key ? strlen(key) : 0;
    if (size == 0 || size > KEY_MAX) {
        return err_set(err, RC_INPUT, "Idempotency-Key must have 1 to %d characters", KEY_MAX);
    }
    return RC_OK;
}

static enum rc enter(struct idempotency *i, struct running *self, struct err *err) {
    enum rc rc = RC_OK;
    pthread_mutex_lock(&i->lock);
    for (const struct running *r = i->running; r; r = r->next) {
        if (strcmp(r->key, self->key) == 0 && strcmp(r->route, self->route) == 0) {
            rc = err_set(err, RC_CONFLICT,
                         "a request with this Idempotency-Key is still running; ask again when it is done");
        }
    }
    if (rc == RC_OK) {
        self->next = i->running;
        i->running = self;
    }
    pthread_mutex_unlock(&i->lock);
    return rc;
}

static void leave(struct idempotency *i, struct running *self) {
    pthread_mutex_lock(&i->lock);
    struct running **at = &i->running;
    while (*at != self) {
        at = &(*at)->next;
    }
    *at = self->next;
    pthread_mutex_unlock(&i->lock);
}

static enum rc repeat_answer(struct http_response *res, int status, const char *answer, struct err *err) {
    enum rc rc = http_answer_header(res, "Idempotent-Replayed", "true", err);
    return rc == RC_OK ? http_answer_text(res, status, "application/json", answer, strlen(answer), err) : rc;
}

static void remember(struct app *app, const struct http_request *req, const struct running *self,
                     const char *hash, const struct http_response *res) {
    struct err err;
    char text[sizeof(err.text) + 3];
    if (res->kind != ANSWER_WHOLE || res->status < 200 || res->status > 299) {
        return;
    }
    const char *answer = res->body.data ? res->body.data : "";
    if (store_idempotency_keep(app_store(app), self->route, self->key, hash, res->status, answer, &err) !=
        RC_OK) {
        log_event(LOG_WARN, "idempotency_lost", "request=%s error=%s", req->id,
                  log_quote(err.text, text, sizeof(text)));
    }
}

static enum rc find_or_run(struct app *app, const struct http_request *req, const struct route *route,
                           const struct running *self, struct http_response *res, struct err *err) {
    char hash[SHA256_HEX_SIZE];
    char *answer = NULL;
    int status = 0;
    sha256_of(req->body, req->body_size, hash);
    enum rc rc = store_idempotency_find(app_store(app), self->route, self->key, hash, &status, &answer, err);
    if (rc == RC_OK) {
        rc = repeat_answer(res, status, answer, err);
    } else if (rc == RC_NOT_FOUND) {
        rc = route->handler(app, req, res, err);
        if (rc == RC_OK) {
            remember(app, req, self, hash, res);
        }
    }
    free(answer);
    return rc;
}

enum rc idempotency_handle(struct idempotency *i, struct app *app, const struct http_request *req,
                           const struct route *route, struct http_response *res, struct err *err) {
    struct running self = {.route = arena_printf(req->arena, "%s %s", req->method_name, req->path),
                           .key = http_header(req, "idempotency-key")};
    enum rc rc = self.route ? check_key(self.key, err) : err_memory(err);
    if (rc == RC_OK) {
        rc = enter(i, &self, err);
    }
    if (rc != RC_OK) {
        return rc;
    }
    rc = find_or_run(app, req, route, &self, res, err);
    leave(i, &self);
    return rc;
}
