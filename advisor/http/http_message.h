/* http_message.h -- one request and its answer as handlers see them.
 * A handler is a plain blocking function on a pool thread. Everything in the request is borrowed and lives
 * until the answer is sent. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/ident.h"

struct app;          /* advisor/http/app.h */
struct store_upload; /* db/store_upload.h */

enum http_method {
    METHOD_GET,
    METHOD_HEAD,
    METHOD_POST,
    METHOD_PUT,
    METHOD_DELETE,
    METHOD_OPTIONS,
    METHOD_OTHER
};

struct http_pair {
    const char *name; /* of a header: in lower case */
    const char *value;
};

enum { HTTP_PARAMS_MAX = 2, HTTP_REQUEST_ID_SIZE = 65 };

struct http_request {
    enum http_method method;
    const char *method_name;
    const char *path; /* decoded, without the query */
    const struct http_pair *headers;
    size_t header_count;
    const struct http_pair *query; /* decoded */
    size_t query_count;
    const char *params[HTTP_PARAMS_MAX]; /* what {...} in the route's pattern stand for */
    const char *body;                    /* NUL-terminated beyond body_size; NULL for an upload */
    size_t body_size;
    struct store_upload *
        *upload; /* the streamed body; a handler that takes it sets it to NULL; NULL without one */
    char id[HTTP_REQUEST_ID_SIZE];
    uint64_t started_ns; /* monotonic, when the head was complete */
    bool closing;        /* the service shuts down: a parked handler must answer now */
    struct arena *arena; /* memory until the answer is sent */
};

/* How the answer leaves. */
enum http_answer_kind {
    ANSWER_WHOLE,  /* body */
    ANSWER_FILE,   /* the first file_bytes of fd, read piece by piece; fd is closed afterwards */
    ANSWER_STREAM, /* what is in body now; the handler is called again and adds more until it sets stream_end
                    */
    ANSWER_PARK /* nothing yet: the handler is called again when the store has changed or at park_until_ns */
};

enum { HTTP_HEADERS_MAX = 12 };

struct http_response {
    enum http_answer_kind kind;
    int status; /* 0 = 200, or what the error code says */
    const char *content_type;
    struct http_pair headers[HTTP_HEADERS_MAX]; /* borrowed from the request's arena or literal */
    size_t header_count;
    struct buf body;
    int fd;
    uint64_t file_bytes;
    bool stream_end;
    uint64_t park_until_ns; /* monotonic; ANSWER_PARK and ANSWER_STREAM */
    int64_t cursor;         /* the handler's own: 0 at first, kept between its calls */
};

/* On failure the answer is a problem document (RFC 9457) with the status of the code (or res->status if that
 * is set). */
typedef enum rc http_handler(struct app *app, const struct http_request *req, struct http_response *res,
                             struct err *err);

/* ---- for handlers ---- */

/* The header of that name (lower case), or NULL. */
const char *http_header(const struct http_request *req, const char *name);
/* The query parameter of that name, or NULL. */
const char *http_query(const struct http_request *req, const char *name);
/* A whole number in the query; absent leaves *ret. RC_INPUT outside min..max. */
MUST_USE enum rc http_query_int(const struct http_request *req, const char *name, int64_t min, int64_t max,
                                int64_t *ret, struct err *err);
/* A part of a whole, both ends inside it. */
struct http_range {
    uint64_t first, last, total;
};
/* A Content-Range of the form "bytes FIRST-LAST/TOTAL" (RFC 9110, section 14.4); anything else is RC_INPUT.
 */
MUST_USE enum rc http_content_range(const char *text, struct http_range *ret, struct err *err);
/* Whether Content-Type says JSON. */
bool http_body_is_json(const struct http_request *req);
/* The body as JSON: RC_INPUT where it is not an object or its Content-Type is another one. The caller owns
 * *ret. */
MUST_USE enum rc http_body_json(const struct http_request *req, struct http_response *res, json_t **ret,
                                struct err *err);

/* Answers with `value` (consumed, also on failure; NULL counts as out of memory). */
MUST_USE enum rc http_answer_json(struct http_response *res, int status, json_t *value, struct err *err);
MUST_USE enum rc http_answer_text(struct http_response *res, int status, const char *content_type,
                                  const void *data, size_t size, struct err *err);
/* Adds a header; name and value are borrowed until the answer is sent. */
MUST_USE enum rc http_answer_header(struct http_response *res, const char *name, const char *value,
                                    struct err *err);

/* ---- for the server ---- */

void http_response_init(struct http_response *res, size_t max_body_bytes);
void http_response_release(struct http_response *res);
/* Replaces whatever is in *res by the problem document of *err. */
void http_response_problem(struct http_response *res, const struct err *err, const char *request_id);
/* "Not Found" for 404; "Status" for an unknown one. */
const char *http_status_text(int status);

/* Splits "/a%20b?c=d" into path and query, decoded into the arena. RC_INPUT: bad escapes, a NUL, no leading
 * '/'. */
MUST_USE enum rc http_target_parse(const char *target, struct http_request *req, struct err *err);
