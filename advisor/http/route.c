#include "advisor/http/route.h"

#include <stdio.h>
#include <string.h>

/* What the parameters of a pattern stand for in a path. */
struct matched {
    const char *params[HTTP_PARAMS_MAX];
    size_t sizes[HTTP_PARAMS_MAX];
};

/* A parameter is one segment of at least one character; "*" is all that is left. */
static bool match(const char *pattern, const char *path, struct matched *m) {
    size_t n = 0;
    while (*pattern) {
        if (*pattern == '*') {
            return true;
        }
        if (*pattern == '{') {
            size_t size = strcspn(path, "/");
            if (size == 0 || n == HTTP_PARAMS_MAX) {
                return false;
            }
            m->params[n] = path;
            m->sizes[n++] = size;
            path += size;
            pattern = strchr(pattern, '}') + 1;
        } else if (*pattern++ != *path++) {
            return false;
        }
    }
    return *path == '\0';
}

static const char *method_text(enum http_method method) {
    switch (method) {
    case METHOD_GET:
        return "GET, HEAD";
    case METHOD_POST:
        return "POST";
    case METHOD_PUT:
        return "PUT";
    case METHOD_DELETE:
        return "DELETE";
    default:
        return "";
    }
}

static bool set_params(struct http_request *req, const struct matched *m) {
    for (size_t i = 0; i < HTTP_PARAMS_MAX; i++) {
        req->params[i] = m->params[i] ? arena_strndup(req->arena, m->params[i], m->sizes[i]) : NULL;
        if (m->params[i] && !req->params[i]) {
            return false;
        }
    }
    return true;
}

enum route_found route_find(const struct route_table *table, struct http_request *req,
                            const struct route **ret, char allow[ALLOW_SIZE]) {
    enum http_method method = req->method == METHOD_HEAD ? METHOD_GET : req->method;
    const struct route *found = NULL;
    struct matched best = {0};
    size_t used = 0;
    allow[0] = '\0';
    for (size_t i = 0; i < table->count; i++) {
        const struct route *r = table->routes[i];
        struct matched m = {0};
        bool open_end = strchr(r->pattern, '*') != NULL; /* takes only what no other pattern knows */
        if (!match(r->pattern, req->path, &m)) {
            continue;
        }
        if (r->method == method && (!found || !open_end)) {
            found = r;
            best = m;
        }
        if (!open_end && used < ALLOW_SIZE) {
            used += (size_t)snprintf(allow + used, ALLOW_SIZE - used, "%s%s", used ? ", " : "",
                                     method_text(r->method));
        }
    }
    if (found && (used == 0 || !strchr(found->pattern, '*')) && set_params(req, &best)) {
        *ret = found;
        return ROUTE_FOUND;
    }
    return used > 0 ? ROUTE_NO_METHOD : ROUTE_NO_PATH;
}
