#include "advisor/http/route.h"

#include <stdio.h>
#include <string.h>

/* Matches one segment of pattern and path; a parameter is at least one character. */
static bool match(const char *pattern, const char *path, const char *params[HTTP_PARAMS_MAX],
                  size_t sizes[HTTP_PARAMS_MAX]) {
    size_t n = 0;
    while (*pattern) {
        if (*pattern == '*') {
            params[n] = path;
            sizes[n] = strlen(path);
            return true;
        }
        if (*pattern == '{') {
            size_t size = strcspn(path, "/");
            if (size == 0 || n == HTTP_PARAMS_MAX) {
                return false;
            }
            params[n] = path;
            sizes[n++] = size;
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

static bool set_params(struct http_request *req, const char *const params[], const size_t sizes[]) {
    for (size_t i = 0; i < HTTP_PARAMS_MAX; i++) {
        req->params[i] = params[i] ? arena_strndup(req->arena, params[i], sizes[i]) : NULL;
        if (params[i] && !req->params[i]) {
            return false;
        }
    }
    return true;
}

enum route_found route_find(const struct route_table *table, struct http_request *req,
                            const struct route **ret, char allow[64]) {
    enum http_method method = req->method == METHOD_HEAD ? METHOD_GET : req->method;
    size_t used = 0;
    allow[0] = '\0';
    for (size_t i = 0; i < table->count; i++) {
        const struct route *r = table->routes[i];
        const char *params[HTTP_PARAMS_MAX] = {0};
        size_t sizes[HTTP_PARAMS_MAX] = {0};
        bool open_end = strchr(r->pattern, '*') != NULL; /* takes only what no other pattern knows */
        if ((open_end && (used > 0 || r->method != method)) || !match(r->pattern, req->path, params, sizes)) {
            continue;
        }
        if (r->method == method && set_params(req, params, sizes)) {
            *ret = r;
            return ROUTE_FOUND;
        }
        used += (size_t)snprintf(allow + used, 64 - used, "%s%s", used ? ", " : "", method_text(r->method));
    }
    return used > 0 ? ROUTE_NO_METHOD : ROUTE_NO_PATH;
}
