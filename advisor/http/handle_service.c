/* The service itself: health, metrics, the description of its interface, the dashboard. */
#include <string.h>

#include "advisor/http/app.h"
#include "advisor/http/handlers.h"
#include "advisor/http/http_metrics.h"
#include "core/base/asset.h"
#include "core/base/container.h"
#include "core/base/sha256.h"
#include "db/store.h"

enum rc handle_health_live(struct app *app, const struct http_request *req, struct http_response *res,
                           struct err *err) {
    (void)req;
    return http_answer_json(res, 200, json_pack("{s:b, s:s}", "live", 1, "version", app_version(app)), err);
}

/* Ready when the store can be read. */
enum rc handle_health_ready(struct app *app, const struct http_request *req, struct http_response *res,
                            struct err *err) {
    struct store_tx *tx = NULL;
    if (req->closing || store_read_begin(app_store(app), &tx, err) != RC_OK) {
        return http_answer_json(res, 503, json_pack("{s:b}", "ready", 0), err);
    }
    store_read_end(tx);
    return http_answer_json(res, 200, json_pack("{s:b, s:s}", "ready", 1, "version", app_version(app)), err);
}

enum rc handle_metrics(struct app *app, const struct http_request *req, struct http_response *res,
                       struct err *err) {
    (void)req;
    res->content_type = "text/plain; version=0.0.4; charset=utf-8";
    return http_metrics_text(app_metrics(app), app_jobs(app), &res->body, err);
}

/* ---- files that travel inside the program ---- */

static const char *type_of(const char *name) {
    static const struct {
        const char *end, *type;
    } types[] = {
        {".html", "text/html; charset=utf-8"},
        {".js", "text/javascript; charset=utf-8"},
        {".css", "text/css; charset=utf-8"},
        {".json", "application/json"},
        {".svg", "image/svg+xml"},
        {".png", "image/png"},
        {".ico", "image/x-icon"},
        {".woff2", "font/woff2"},
        {".txt", "text/plain; charset=utf-8"},
    };
    size_t size = strlen(name);
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        size_t n = strlen(types[i].end);
        if (size >= n && strcmp(name + size - n, types[i].end) == 0) {
            return types[i].type;
        }
    }
    return "application/octet-stream";
}

/* Pages may load only what comes from here, and may be framed by nobody. (ECharts sets style attributes.) */
static enum rc add_page_headers(struct http_response *res, struct err *err) {
    static const struct http_pair headers[] = {
        {"Content-Security-Policy",
         "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
         "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"},
        {"Referrer-Policy", "no-referrer"},
        {"X-Frame-Options", "DENY"},
        {"Cross-Origin-Opener-Policy", "same-origin"},
        {"Cross-Origin-Resource-Policy", "same-origin"},
    };
    enum rc rc = RC_OK;
    for (size_t i = 0; rc == RC_OK && i < ARRAY_SIZE(headers); i++) {
        rc = http_answer_header(res, headers[i].name, headers[i].value, err);
    }
    return rc;
}

/* Answers with the asset, or with 304 where the client has it. `caching` is the Cache-Control. */
static enum rc answer_asset(const struct asset *asset, const char *caching, const struct http_request *req,
                            struct http_response *res, struct err *err) {
    char hex[SHA256_HEX_SIZE];
    const char *known = http_header(req, "if-none-match");
    sha256_of(asset->data, asset->size, hex);
    const char *tag = arena_printf(req->arena, "\"%.32s\"", hex);
    enum rc rc = http_answer_header(res, "ETag", tag, err);
    if (rc == RC_OK) {
        rc = http_answer_header(res, "Cache-Control", caching, err);
    }
    if (rc != RC_OK) {
        return rc;
    }
    if (known && strstr(known, tag)) {
        res->status = 304;
        return RC_OK;
    }
    return http_answer_text(res, 200, type_of(asset->name), asset->data, asset->size, err);
}

enum rc handle_openapi(struct app *app, const struct http_request *req, struct http_response *res,
                       struct err *err) {
    (void)app;
    const struct asset *asset = asset_find("advisor/http/openapi.json");
    return asset ? answer_asset(asset, "no-cache", req, res, err)
                 : err_set(err, RC_NOT_FOUND, "this program was built without its interface description");
}

static bool starts_with(const char *text, const char *start) {
    return strncmp(text, start, strlen(start)) == 0;
}

/* The file of the dashboard for a path; every path that a browser opens as a page is the one page. */
static const struct asset *find_page(const struct http_request *req) {
    const char *accept = http_header(req, "accept");
    const char *name = strcmp(req->path, "/") == 0 ? "/index.html" : req->path;
    const char *asset_name = arena_printf(req->arena, "web%s", name);
    const struct asset *asset = asset_name ? asset_find(asset_name) : NULL;
    bool interface = starts_with(req->path, "/v1/") || starts_with(req->path, "/v2/") ||
                     starts_with(req->path, "/assets/");
    if (!asset && !interface && accept && strstr(accept, "text/html")) {
        asset = asset_find("web/index.html");
    }
    return asset;
}

enum rc handle_dashboard(struct app *app, const struct http_request *req, struct http_response *res,
                         struct err *err) {
    (void)app;
    const struct asset *asset = find_page(req);
    if (!asset && strcmp(req->path, "/") == 0) {
        return err_set(
            err, RC_NOT_FOUND,
            "this program was built without the dashboard; the interface is described at /openapi.json");
    }
    if (!asset) {
        return err_set(err, RC_NOT_FOUND,
                       "there is nothing at %.200s; the interface is described at /openapi.json", req->path);
    }
    bool named_by_content = starts_with(asset->name, "web/assets/");
    enum rc rc = add_page_headers(res, err);
    return rc == RC_OK
               ? answer_asset(asset, named_by_content ? "public, max-age=31536000, immutable" : "no-cache",
                              req, res, err)
               : rc;
}
