/* route.h -- which handler answers which method and path: data, looked up by matching patterns. */
#pragma once

#include "advisor/http/http_message.h"
#include "db/store_tokens.h"

enum {
    ROLES_ANYONE = 0, /* no token needed */
    ROLES_USER = 1 << ROLE_USER,
    ROLES_AGENT = 1 << ROLE_AGENT,
    ROLES_ADMIN = 1 << ROLE_ADMIN /* an admin may do everything anyway */
};

enum route_flags {
    ROUTE_PLAIN = 0,
    ROUTE_UPLOAD = 1 << 0,     /* the body goes to the store while it arrives */
    ROUTE_REPEATABLE = 1 << 1, /* takes Idempotency-Key */
    ROUTE_QUIET = 1 << 2       /* asked all the time: not logged when all is well */
};

struct route {
    enum http_method method; /* METHOD_GET answers HEAD too */
    const char *pattern;     /* "/v1/models/{id}": {..} stands for one segment; a final "*" for the rest */
    http_handler *handler;
    unsigned roles; /* who may: ROLES_... or'ed */
    unsigned flags; /* enum route_flags or'ed */
    uint64_t body_max_bytes;
};

enum { ALLOW_SIZE = 64 };

enum route_found { ROUTE_FOUND, ROUTE_NO_PATH, ROUTE_NO_METHOD };

struct route_table {
    const struct route *const *routes;
    size_t count;
};

/* Finds the route for req->method and req->path and sets req->params (in the request's arena).
 * ROUTE_NO_METHOD: the path is known, `allow` then lists its methods ("GET, HEAD, POST"). */
enum route_found route_find(const struct route_table *table, struct http_request *req,
                            const struct route **ret, char allow[ALLOW_SIZE]);

/* The routes of the HTTP interface (routes.c). */
const struct route *routes_all(size_t *count);
