#include "advisor/http/exchange.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "advisor/http/app.h"
#include "advisor/http/http_metrics.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "db/store_upload.h"

enum {
    ARENA_EXTRA_BYTES = 256 * 1024, /* beside what the head needs */
    ANSWER_MAX_BYTES = 64 << 20,
    ADMIT_ABOVE_BYTES = 64 * 1024, /* a body beyond this is asked about before it comes */
    DATE_SIZE = 40
};

/* A request's own id where it is plain, otherwise a random one. */
static void set_id(struct http_request *req) {
    const char *given = req->headers ? http_header(req, "x-request-id") : NULL;
    size_t size =
        given ? strspn(given, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") : 0;
    if (given && size > 0 && size < sizeof(req->id) && given[size] == '\0') {
        memcpy(req->id, given, size + 1);
    } else if (req->id[0] == '\0') {
        char id[IDENT_SIZE];
        ident_random("req", id);
        memcpy(req->id, id, sizeof(id));
    }
}

struct exchange *exchange_new(struct app *app, size_t head_bytes, uint64_t now_ns) {
    struct exchange *x = calloc(1, sizeof(*x));
    if (!x) {
        return NULL;
    }
    x->app = app;
    x->arena = arena_new(4 * head_bytes + ARENA_EXTRA_BYTES);
    x->req =
        (struct http_request){.method = METHOD_OTHER, .method_name = "-", .path = "-", .started_ns = now_ns};
    x->req.arena = x->arena;
    http_response_init(&x->res, ANSWER_MAX_BYTES);
    buf_init(&x->body, 0);
    set_id(&x->req);
    if (!x->arena) {
        exchange_free(x);
        return NULL;
    }
    return x;
}

void exchange_free(struct exchange *x) {
    if (x) {
        store_upload_suspend(x->upload);
        http_response_release(&x->res);
        buf_free(&x->body);
        free(x->filling.data);
        free(x->moving.data);
        arena_free(x->arena);
        free(x);
    }
}

/* ---- the head ---- */

static size_t count_header(const struct http_request *req, const char *name) {
    size_t n = 0;
    for (size_t i = 0; i < req->header_count; i++) {
        n += strcmp(req->headers[i].name, name) == 0;
    }
    return n;
}

/* "localhost", "127.x.y.z" or "[::1]", with or without a port. */
static bool names_this_machine(const char *host) {
    if (strncmp(host, "[::1]", 5) == 0) {
        return host[5] == '\0' || host[5] == ':';
    }
    size_t size = strcspn(host, ":");
    if (size == 9 && strncasecmp(host, "localhost", 9) == 0) {
        return true;
    }
    return strncmp(host, "127.", 4) == 0 && strspn(host, "0123456789.") == size;
}

/* A browser's page of another site may send requests to a service on loopback: by a name that it lets resolve
 * to 127.0.0.1 (DNS rebinding), or plainly, without seeing the answer. Both are told by what the browser
 * itself writes in the head. */
static enum rc check_origin(struct exchange *x, const char *host, struct err *err) {
    const char *origin = http_header(&x->req, "origin");
    if (app_is_loopback(x->app) && host && !names_this_machine(host)) {
        x->res.status = 421;
        return err_set(err, RC_FORBIDDEN,
                       "this service answers on loopback only; the Host header must be localhost or "
                       "127.0.0.1, not \"%.100s\"",
                       host);
    }
    const char *authority = origin ? strstr(origin, "://") : NULL;
    bool changes =
        x->req.method != METHOD_GET && x->req.method != METHOD_HEAD && x->req.method != METHOD_OPTIONS;
    if (changes && origin && (!authority || !host || strcasecmp(authority + 3, host) != 0)) {
        return err_set(err, RC_FORBIDDEN, "requests from pages of other sites (Origin: %.100s) are refused",
                       origin);
    }
    return RC_OK;
}

static enum rc check_framing(struct exchange *x, struct err *err) {
    const struct request_framing *f = &x->framing;
    const char *coding = http_header(&x->req, "transfer-encoding"), *expect = http_header(&x->req, "expect");
    const char *content = http_header(&x->req, "content-encoding");
    if (f->major != 1 || f->minor > 1) {
        x->res.status = 505;
        return err_set(err, RC_USAGE, "this service speaks HTTP/1.1 and HTTP/1.0");
    }
    if (coding && f->minor == 0) {
        return err_set(err, RC_USAGE, "HTTP/1.0 has no Transfer-Encoding");
    }
    if (coding && strcasecmp(coding, "chunked") != 0) {
        x->res.status = 501;
        return err_set(err, RC_USAGE, "the only Transfer-Encoding known here is chunked");
    }
    if (content && strcasecmp(content, "identity") != 0) {
        x->res.status = 415;
        return err_set(err, RC_USAGE, "the body must come without Content-Encoding");
    }
    if (expect && strcasecmp(expect, "100-continue") != 0) {
        x->res.status = 417;
        return err_set(err, RC_USAGE, "the only Expect known here is 100-continue");
    }
    return RC_OK;
}

static enum rc check_head(struct exchange *x, struct err *err) {
    enum rc rc = check_framing(x, err);
    size_t hosts = count_header(&x->req, "host");
    if (rc == RC_OK && (hosts > 1 || (hosts == 0 && x->framing.minor == 1))) {
        rc = err_set(err, RC_USAGE, "an HTTP/1.1 request has exactly one Host header");
    }
    return rc == RC_OK ? check_origin(x, http_header(&x->req, "host"), err) : rc;
}

static enum rc no_route(struct exchange *x, enum route_found found, struct err *err) {
    if (found == ROUTE_NO_PATH) {
        return err_set(err, RC_NOT_FOUND,
                       "there is nothing at %.200s; the interface is described at /openapi.json",
                       x->req.path);
    }
    enum rc rc = http_answer_header(&x->res, "Allow", x->allow, err);
    if (rc == RC_OK && x->req.method == METHOD_OPTIONS) {
        x->res.status = 204;
        return RC_OK;
    }
    x->res.status = 405;
    return rc != RC_OK ? rc
                       : err_set(err, RC_USAGE, "%.200s does not know the method %.20s; it knows %s",
                                 x->req.path, x->req.method_name, x->allow);
}

static enum rc check_length(struct exchange *x, struct err *err) {
    uint64_t max = x->route->body_max_bytes;
    if (max == 0 && exchange_has_body(x)) {
        return err_set(err, RC_TOO_LARGE, "%s %s takes no body", x->req.method_name, x->route->pattern);
    }
    if (x->framing.has_length && x->framing.length > max) {
        return err_set(err, RC_TOO_LARGE, "the body has %llu bytes; the limit here is %llu",
                       (unsigned long long)x->framing.length, (unsigned long long)max);
    }
    x->body.max = exchange_is_upload(x) ? 0 : (size_t)max;
    return RC_OK;
}

enum rc exchange_route(struct exchange *x, const char *target, struct err *err) {
    set_id(&x->req);
    enum rc rc = check_head(x, err);
    if (rc == RC_OK && x->req.method == METHOD_OPTIONS && strcmp(target, "*") == 0) {
        x->res.status = 204;
        return http_answer_header(&x->res, "Allow", "GET, HEAD, POST, PUT, DELETE, OPTIONS", err);
    }
    if (rc == RC_OK) {
        rc = http_target_parse(target, &x->req, err);
    }
    if (rc != RC_OK) {
        return rc;
    }
    enum route_found found = route_find(app_routes(x->app), &x->req, &x->route, x->allow);
    return found == ROUTE_FOUND ? check_length(x, err) : no_route(x, found, err);
}

bool exchange_has_body(const struct exchange *x) {
    return x->framing.chunked || (x->framing.has_length && x->framing.length > 0);
}

bool exchange_is_upload(const struct exchange *x) {
    return x->route && (x->route->flags & ROUTE_UPLOAD);
}

bool exchange_needs_admission(const struct exchange *x) {
    bool big = x->framing.chunked || x->framing.length > ADMIT_ABOVE_BYTES;
    return exchange_is_upload(x) || (exchange_has_body(x) && big);
}

bool exchange_expects_continue(const struct exchange *x) {
    return http_header(&x->req, "expect") != NULL && exchange_has_body(x);
}

/* ---- the body ---- */

size_t exchange_room(const struct exchange *x) {
    return exchange_is_upload(x) ? EXCHANGE_CHUNK_BYTES - x->filling.size : SIZE_MAX;
}

static enum rc fill_chunk(struct exchange *x, const char *data, size_t size, struct err *err) {
    if (!x->filling.data) {
        x->filling.data = malloc(EXCHANGE_CHUNK_BYTES);
    }
    if (!x->filling.data) {
        return err_memory(err);
    }
    memcpy(x->filling.data + x->filling.size, data, size);
    x->filling.size += size;
    return RC_OK;
}

enum rc exchange_add_body(struct exchange *x, const char *data, size_t size, struct err *err) {
    x->body_bytes += size;
    if (x->body_bytes > x->route->body_max_bytes) {
        return err_set(err, RC_TOO_LARGE, "the body is larger than the limit of %llu bytes",
                       (unsigned long long)x->route->body_max_bytes);
    }
    return exchange_is_upload(x) ? fill_chunk(x, data, size, err) : buf_add(&x->body, data, size, err);
}

bool exchange_turn_chunk(struct exchange *x) {
    if (x->filling.size == 0) {
        return false;
    }
    struct exchange_chunk full = x->filling;
    x->filling = x->moving;
    x->filling.size = 0;
    x->moving = full;
    return true;
}

/* ---- steps on a pool thread ---- */

/* Where the body of an upload goes on (Content-Range; RFC 9110, section 14.5): its rest, up to the end. */
static enum rc upload_offset(const struct exchange *x, uint64_t *offset, struct err *err) {
    struct http_range range;
    const char *text = http_header(&x->req, "content-range");
    *offset = 0;
    if (!text) {
        return RC_OK;
    }
    enum rc rc = http_content_range(text, &range, err);
    if (rc != RC_OK) {
        return rc;
    }
    if (range.last + 1 != range.total ||
        (x->framing.has_length && x->framing.length != range.total - range.first)) {
        return err_set(err, RC_INPUT,
                       "Content-Range %.80s: the body must be the rest of the file, up to its last byte",
                       text);
    }
    *offset = range.first;
    return RC_OK;
}

static enum rc begin_upload(struct exchange *x) {
    uint64_t offset;
    const char *name = x->req.method == METHOD_PUT ? x->req.params[0] : NULL;
    enum rc rc = upload_offset(x, &offset, &x->err);
    return rc == RC_OK ? store_upload_begin(app_store(x->app), name, offset, &x->upload, &x->err) : rc;
}

static enum rc admit(struct exchange *x) {
    enum rc rc = app_authorize(x->app, &x->req, x->route, &x->err);
    return rc == RC_OK && exchange_is_upload(x) ? begin_upload(x) : rc;
}

static enum rc handle(struct exchange *x) {
    x->req.body = x->body.data ? x->body.data : "";
    x->req.body_size = x->body.size;
    x->req.upload = &x->upload;
    x->calls++;
    enum rc rc = app_handle(x->app, &x->req, x->route, &x->res, &x->err);
    x->file_left = x->res.kind == ANSWER_FILE ? x->res.file_bytes : 0;
    return rc;
}

static enum rc read_piece(struct exchange *x) {
    size_t want = x->file_left < EXCHANGE_CHUNK_BYTES ? (size_t)x->file_left : EXCHANGE_CHUNK_BYTES;
    buf_clear(&x->res.body);
    enum rc rc = buf_reserve(&x->res.body, want, &x->err);
    if (rc != RC_OK) {
        return rc;
    }
    ssize_t n;
    do {
        n = read(x->res.fd, x->res.body.data, want);
    } while (n < 0 && errno == EINTR);
    if (n <= 0) {
        return err_set(&x->err, RC_IO, "cannot read the file to send: %s",
                       n < 0 ? strerror(errno) : "it is shorter than it was");
    }
    x->res.body.size = (size_t)n;
    x->file_left -= (size_t)n;
    return RC_OK;
}

void exchange_work(struct exchange *x) {
    switch (x->step) {
    case STEP_ADMIT:
        x->rc = admit(x);
        break;
    case STEP_APPEND:
        x->rc = store_upload_append(x->upload, x->moving.data, x->moving.size, &x->err);
        break;
    case STEP_HANDLE:
        x->rc = handle(x);
        break;
    case STEP_READ:
        x->rc = read_piece(x);
        break;
    }
}

/* ---- the answer ---- */

bool exchange_sends_body(const struct exchange *x) {
    return x->req.method != METHOD_HEAD && x->res.status != 204 && x->res.status != 304;
}

static bool has_header(const struct http_response *res, const char *name) {
    for (size_t i = 0; i < res->header_count; i++) {
        if (strcasecmp(res->headers[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

static enum rc write_framing(const struct exchange *x, struct buf *out, struct err *err) {
    const struct http_response *res = &x->res;
    if (res->status == 204 || res->status == 304) {
        return RC_OK;
    }
    if (res->kind == ANSWER_STREAM) {
        return x->framing.minor == 1 ? buf_add_text(out, "Transfer-Encoding: chunked\r\n", err) : RC_OK;
    }
    uint64_t length = res->kind == ANSWER_FILE ? res->file_bytes : res->body.size;
    return buf_printf(out, err, "Content-Length: %llu\r\n", (unsigned long long)length);
}

/* What follows from the status alone. */
static enum rc write_status_headers(const struct exchange *x, struct buf *out, struct err *err) {
    enum rc rc = RC_OK;
    if (x->res.status == 503 && !has_header(&x->res, "Retry-After")) {
        rc = buf_add_text(out, "Retry-After: 1\r\n", err);
    } else if (x->res.status == 401) {
        rc = buf_add_text(out, "WWW-Authenticate: Bearer realm=\"pare\"\r\n", err);
    }
    if (rc == RC_OK && !has_header(&x->res, "Cache-Control")) {
        rc = buf_add_text(out, "Cache-Control: no-store\r\n", err);
    }
    return rc;
}

enum rc exchange_write_head(const struct exchange *x, enum exchange_connection connection, struct buf *out,
                            struct err *err) {
    const struct http_response *res = &x->res;
    char date[DATE_SIZE];
    struct tm tm;
    time_t now = (time_t)(clock_wall_ms() / 1000);
    strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &tm));
    enum rc rc = buf_printf(out, err,
                            "HTTP/1.1 %d %s\r\nDate: %s\r\nX-Request-Id: %s\r\nX-Content-Type-Options: "
                            "nosniff\r\nConnection: %s\r\n",
                            res->status, http_status_text(res->status), date, x->req.id,
                            connection == CONNECTION_KEEP ? "keep-alive" : "close");
    if (rc == RC_OK && res->content_type && res->status != 204 && res->status != 304) {
        rc = buf_printf(out, err, "Content-Type: %s\r\n", res->content_type);
    }
    for (size_t i = 0; rc == RC_OK && i < res->header_count; i++) {
        rc = buf_printf(out, err, "%s: %s\r\n", res->headers[i].name, res->headers[i].value);
    }
    if (rc == RC_OK) {
        rc = write_status_headers(x, out, err);
    }
    if (rc == RC_OK) {
        rc = write_framing(x, out, err);
    }
    return rc == RC_OK ? buf_add_text(out, "\r\n", err) : rc;
}

void exchange_finish(const struct exchange *x, uint64_t now_ns) {
    const struct http_request *req = &x->req;
    uint64_t ns = now_ns > req->started_ns ? now_ns - req->started_ns : 0;
    bool reads = req->method == METHOD_GET || req->method == METHOD_HEAD;
    bool quiet = x->res.status < 400 && (reads || (x->route && (x->route->flags & ROUTE_QUIET)));
    enum log_level level = x->res.status >= 500 ? LOG_WARN : quiet ? LOG_DEBUG : LOG_INFO;
    http_metrics_request(app_metrics(x->app), x->route, x->res.status, ns, x->body_bytes, x->answer_bytes);
    if (log_is_written(level)) {
        char path[256];
        log_event(level, "request", "request=%s method=%s path=%s status=%d ms=%.3f in=%llu out=%llu",
                  req->id, req->method_name, log_quote(req->path, path, sizeof(path)), x->res.status,
                  (double)ns / 1e6, (unsigned long long)x->body_bytes, (unsigned long long)x->answer_bytes);
    }
}
