/* http_client.h -- blocking HTTP requests (libcurl) for the agent and the command line. One client is used by
 * one thread. */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/err.h"

struct http_client;

struct http_client_opts {
    const char *base_url;    /* "http://127.0.0.1:7878" */
    const char *token;       /* sent as "Authorization: Bearer ..."; NULL for none */
    uint64_t max_body_bytes; /* of an answer kept in memory; 0 = 64 MiB */
};

struct http_answer {
    int status;
    struct buf body; /* of a problem document too */
    char content_type[64];
    uint64_t upload_offset; /* of the header of that name; 0 without one */
};

/* RC_INPUT for an unusable URL. Owned by the caller. */
MUST_USE enum rc http_client_new(const struct http_client_opts *opts, struct http_client **ret,
                                 struct err *err);
void http_client_free(struct http_client *c); /* NULL is fine */

/* Requests end with RC_CANCELLED within about a second once *stop (borrowed) is not zero. */
void http_client_stop_with(struct http_client *c, const atomic_int *stop);

void http_answer_init(struct http_answer *a);
void http_answer_free(struct http_answer *a);

/* One request. `path` begins with "/". `body` (may be NULL) is sent as `content_type`. timeout_ms 0 = 30 s.
 * RC_OK for every status; RC_IO with "cannot reach URL: ..." and RC_TIMEOUT when no answer came. */
MUST_USE enum rc http_client_send(struct http_client *c, const char *method, const char *path,
                                  const char *content_type, const void *body, size_t body_size,
                                  uint64_t timeout_ms, struct http_answer *answer, struct err *err);

/* The same with JSON both ways: 2xx gives RC_OK and the parsed body in *ret (NULL for an empty one); any
 * other status gives the code and "detail" of the problem document. The caller owns *ret. `body` may be NULL.
 */
struct json_t;
MUST_USE enum rc http_client_json(struct http_client *c, const char *method, const char *path,
                                  const struct json_t *body, uint64_t timeout_ms, struct json_t **ret,
                                  struct err *err);

/* PUTs a file as the body, streamed, without its first `offset` bytes (fewer than it has; then Content-Range
 * says so). `on_progress` (may be NULL) is called with the bytes that are there and all of the file's. */
MUST_USE enum rc http_client_upload(struct http_client *c, const char *path, const char *file,
                                    uint64_t offset,
                                    void (*on_progress)(void *user, uint64_t sent, uint64_t total),
                                    void *user, struct err *err);

/* GETs into a file (written to a temporary name, renamed when complete). */
MUST_USE enum rc http_client_download(struct http_client *c, const char *path, const char *file,
                                      struct err *err);

/* GETs a Server-Sent Events stream and calls on_event for each event until it returns nonzero or the stream
 * ends. RC_OK in both cases. `last_id` (may be NULL) is sent as Last-Event-ID. */
MUST_USE enum rc http_client_events(struct http_client *c, const char *path, const char *last_id,
                                    int (*on_event)(void *user, const char *id, const char *event,
                                                    const char *data),
                                    void *user, struct err *err);
