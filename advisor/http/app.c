#include "advisor/http/app.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "advisor/http/answer_cache.h"
#include "advisor/http/http_metrics.h"
#include "advisor/http/idempotency.h"
#include "advisor/jobs/jobs.h"
#include "db/store.h"
#include "db/store_tokens.h"

enum { ROUTES_MAX = 128, ANSWERS = 64, ANSWERS_BYTES = 8 << 20 };

struct app {
    struct app_opts opts;
    struct http_metrics *metrics;
    struct idempotency *idempotency;
    struct answer_cache *answers;
    const struct route *routes[ROUTES_MAX];
    struct route_table table;
    pthread_mutex_t lock;       /* guards the two below */
    uint64_t tokens, tokens_at; /* how many there are; the store's change number when they were counted */
};

static enum rc add_own_routes(struct app *app, struct err *err) {
    size_t count;
    const struct route *routes = routes_all(&count);
    enum rc rc = RC_OK;
    for (size_t i = 0; rc == RC_OK && i < count; i++) {
        rc = app_add_route(app, &routes[i], err);
    }
    return rc;
}

enum rc app_new(const struct app_opts *opts, struct app **ret, struct err *err) {
    struct app *app = calloc(1, sizeof(*app));
    if (!app) {
        return err_memory(err);
    }
    app->opts = *opts;
    app->tokens_at = UINT64_MAX;
    app->table.routes = app->routes;
    pthread_mutex_init(&app->lock, NULL);
    enum rc rc = http_metrics_new(&app->metrics, err);
    if (rc == RC_OK) {
        rc = idempotency_new(&app->idempotency, err);
    }
    if (rc == RC_OK && !(app->answers = answer_cache_new(ANSWERS, ANSWERS_BYTES))) {
        rc = err_memory(err);
    }
    if (rc == RC_OK) {
        rc = add_own_routes(app, err);
    }
    if (rc != RC_OK) {
        app_free(app);
        return rc;
    }
    *ret = app;
    return RC_OK;
}

void app_free(struct app *app) {
    if (app) {
        http_metrics_free(app->metrics);
        idempotency_free(app->idempotency);
        answer_cache_free(app->answers);
        pthread_mutex_destroy(&app->lock);
        free(app);
    }
}

enum rc app_add_route(struct app *app, const struct route *route, struct err *err) {
    for (size_t i = 0; i < app->table.count; i++) {
        const struct route *other = app->routes[i];
        if (other->method == route->method && strcmp(other->pattern, route->pattern) == 0) {
            return err_set(err, RC_CONFLICT, "the route %s is there twice", route->pattern);
        }
    }
    if (app->table.count == ROUTES_MAX) {
        return err_set(err, RC_TOO_LARGE, "there are more than %d routes", ROUTES_MAX);
    }
    app->routes[app->table.count++] = route;
    return RC_OK;
}

struct jobs *app_jobs(struct app *app) {
    return app->opts.jobs;
}

struct store *app_store(struct app *app) {
    return jobs_store(app->opts.jobs);
}

struct answer_cache *app_answers(struct app *app) {
    return app->answers;
}

struct http_metrics *app_metrics(struct app *app) {
    return app->metrics;
}

const char *app_version(const struct app *app) {
    return app->opts.version;
}

const struct route_table *app_routes(const struct app *app) {
    return &app->table;
}

bool app_is_loopback(const struct app *app) {
    return app->opts.loopback;
}

/* How many tokens there are, counted again only when the store has changed. */
static enum rc count_tokens(struct app *app, uint64_t *ret, struct err *err) {
    enum rc rc = RC_OK;
    uint64_t now = store_changes(app_store(app));
    pthread_mutex_lock(&app->lock);
    if (app->tokens_at != now) {
        rc = store_token_count(app_store(app), &app->tokens, err);
        app->tokens_at = rc == RC_OK ? now : UINT64_MAX;
    }
    *ret = app->tokens;
    pthread_mutex_unlock(&app->lock);
    return rc;
}

static enum rc check_token(struct app *app, const struct http_request *req, const struct route *route,
                           struct err *err) {
    const char *header = http_header(req, "authorization");
    enum store_role role;
    if (!header || strncasecmp(header, "Bearer ", 7) != 0) {
        return err_set(err, RC_UNAUTHORIZED,
                       "a token is needed: send it as \"Authorization: Bearer TOKEN\" (the command line "
                       "takes it from PARE_TOKEN)");
    }
    enum rc rc = store_token_check(app_store(app), header + 7 + strspn(header + 7, " "), &role, err);
    if (rc != RC_OK) {
        return rc;
    }
    if (role != ROLE_ADMIN && !(route->roles & (1u << role))) {
        return err_set(err, RC_FORBIDDEN, "a token of the role \"%s\" may not do this",
                       store_role_name(role));
    }
    return RC_OK;
}

enum rc app_authorize(struct app *app, const struct http_request *req, const struct route *route,
                      struct err *err) {
    uint64_t tokens = 0;
    if (route->roles == ROLES_ANYONE) {
        return RC_OK;
    }
    if (!app->opts.require_token) {
        enum rc rc = count_tokens(app, &tokens, err);
        if (rc != RC_OK || tokens == 0) {
            return rc;
        }
    }
    return check_token(app, req, route, err);
}

enum rc app_handle(struct app *app, const struct http_request *req, const struct route *route,
                   struct http_response *res, struct err *err) {
    enum rc rc = app_authorize(app, req, route, err);
    if (rc != RC_OK) {
        return rc;
    }
    if ((route->flags & ROUTE_REPEATABLE) && http_header(req, "idempotency-key")) {
        return idempotency_handle(app->idempotency, app, req, route, res, err);
    }
    return route->handler(app, req, res, err);
}
