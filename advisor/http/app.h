/* app.h -- what handlers share: the jobs, the routes, who may do what, the metrics. One for a service.
 * Extension: a layer above (MCP) adds its routes with app_add_route before the server starts. */
#pragma once

#include <stdbool.h>

#include "advisor/http/route.h"
#include "core/base/err.h"

struct app;
struct jobs;
struct http_metrics;
struct store;

struct app_opts {
    struct jobs *jobs;   /* borrowed; outlives the app */
    bool require_token;  /* even when no token exists (off loopback) */
    bool loopback;       /* the Host header must name this machine (DNS rebinding) */
    const char *version; /* shown by health */
};

MUST_USE enum rc app_new(const struct app_opts *opts, struct app **ret, struct err *err);
void app_free(struct app *app); /* NULL is fine */

/* `route` is borrowed and outlives the app. RC_CONFLICT: method and pattern are taken. */
MUST_USE enum rc app_add_route(struct app *app, const struct route *route, struct err *err);

struct jobs *app_jobs(struct app *app);
struct store *app_store(struct app *app); /* that of the jobs */
struct http_metrics *app_metrics(struct app *app);
struct answer_cache *app_answers(struct app *app); /* of POST /v1/recommendations */
const char *app_version(const struct app *app);
const struct route_table *app_routes(const struct app *app);
bool app_is_loopback(const struct app *app);

/* Blocking. Who sends `req`: RC_UNAUTHORIZED, RC_FORBIDDEN where the route's roles do not hold the token's.
 */
MUST_USE enum rc app_authorize(struct app *app, const struct http_request *req, const struct route *route,
                               struct err *err);

/* Blocking. Runs the handler of `route` with what every request needs: authorization, Idempotency-Key. */
MUST_USE enum rc app_handle(struct app *app, const struct http_request *req, const struct route *route,
                            struct http_response *res, struct err *err);
