#include "advisor/mcp/mcp_route.h"

#include <string.h>

#include "advisor/http/app.h"
#include "advisor/mcp/mcp.h"
#include "core/base/json.h"

enum {
    MAX_MESSAGE_BYTES = 1 << 20,
    PARSE_ERROR = -32700,
    ACCEPTED = 202,
    BAD_REQUEST = 400,
    FORBIDDEN = 403
};

/* A browser names the page's origin; it must be the service itself, or any page could ask in its reader's
 * name (the specification's warning on DNS rebinding). Programs send no Origin. */
static bool origin_is_ours(const struct http_request *req) {
    const char *origin = http_header(req, "origin"), *host = http_header(req, "host");
    const char *authority = origin ? strstr(origin, "://") : NULL;
    return !origin || (authority && host && strcmp(authority + 3, host) == 0);
}

static enum rc on_mcp(struct app *app, const struct http_request *req, struct http_response *res,
                      struct err *err) {
    const char *revision = http_header(req, "mcp-protocol-version");
    json_t *message = NULL, *answer;
    struct err parse_err;
    if (!origin_is_ours(req)) {
        res->status = FORBIDDEN;
        return err_set(err, RC_FORBIDDEN, "this page may not speak to the service");
    }
    if (revision && !mcp_speaks(revision)) {
        return err_set(err, RC_USAGE, "MCP-Protocol-Version %.40s is not spoken here", revision);
    }
    if (json_parse(req->body ? req->body : "", req->body_size, &message, &parse_err) != RC_OK) {
        return http_answer_json(res, BAD_REQUEST, mcp_error(NULL, PARSE_ERROR, parse_err.text), err);
    }
    answer = mcp_handle(app_jobs(app), message);
    json_decref(message);
    return answer ? http_answer_json(res, 0, answer, err)
                  : http_answer_text(res, ACCEPTED, "application/json", "", 0, err);
}

static const struct route mcp_route = {.method = METHOD_POST,
                                       .pattern = "/mcp",
                                       .handler = on_mcp,
                                       .roles = ROLES_USER,
                                       .body_max_bytes = MAX_MESSAGE_BYTES};

enum rc mcp_route_add(struct app *app, struct err *err) {
    return app_add_route(app, &mcp_route, err);
}
