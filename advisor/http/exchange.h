/* exchange.h -- one request under way: its texts, its body, its answer, and the blocking steps that a pool
 * thread takes for it. The connection (loop thread) owns it; between the submission of a step and its end the
 * pool thread does, except for the chunk that is being filled. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "advisor/http/http_message.h"
#include "advisor/http/pool.h"
#include "advisor/http/request_parser.h"
#include "advisor/http/route.h"

struct app;

enum exchange_step {
    STEP_ADMIT,  /* may this body come? opens the upload */
    STEP_APPEND, /* the full chunk goes to the upload */
    STEP_HANDLE, /* the handler runs */
    STEP_READ    /* the next piece of the file to send */
};

enum { EXCHANGE_CHUNK_BYTES = 256 * 1024 };

struct exchange_chunk {
    char *data; /* EXCHANGE_CHUNK_BYTES, allocated when first needed */
    size_t size;
};

struct exchange {
    struct pool_task task;
    void *owner; /* of the task: who gets its end */
    enum exchange_step step;
    enum rc rc; /* how the last step ended */
    struct err err;

    struct app *app;
    const struct route *route; /* NULL until found */
    struct arena *arena;
    struct http_request req;
    struct http_response res;
    struct request_framing framing;
    char allow[ALLOW_SIZE];

    struct buf body;             /* of a request whose body is kept in memory */
    struct store_upload *upload; /* of one that is streamed */
    struct exchange_chunk filling, moving;
    uint64_t body_bytes;

    unsigned calls;        /* of the handler so far */
    uint64_t file_left;    /* of ANSWER_FILE */
    uint64_t answer_bytes; /* of the body, sent */
};

/* NULL when out of memory. `head_bytes` is the most its head may hold. */
struct exchange *exchange_new(struct app *app, size_t head_bytes, uint64_t now_ns);
/* Blocks on the disk where an upload is under way and not taken: then call it on a pool thread. NULL is fine.
 */
void exchange_free(struct exchange *x);

/* Loop thread. The head is complete: checks it and finds the route. On failure x->res.status may hold a
 * better status than that of the code. RC_OK with x->route NULL: answered already (OPTIONS). */
MUST_USE enum rc exchange_route(struct exchange *x, const char *target, struct err *err);

/* A body is announced, and big or for the store: the pool is asked first. */
bool exchange_needs_admission(const struct exchange *x);
bool exchange_has_body(const struct exchange *x);
bool exchange_expects_continue(const struct exchange *x);
bool exchange_is_upload(const struct exchange *x);

/* Loop thread. Takes a part of the body; `size` is at most exchange_room. RC_TOO_LARGE beyond the route's
 * limit. */
MUST_USE enum rc exchange_add_body(struct exchange *x, const char *data, size_t size, struct err *err);
size_t exchange_room(const struct exchange *x);
/* Turns the filled chunk over to the next STEP_APPEND; false when it is empty. */
bool exchange_turn_chunk(struct exchange *x);

/* Pool thread, blocking: takes x->step, leaving how it ended in x->rc and x->err. */
void exchange_work(struct exchange *x);

enum exchange_connection { CONNECTION_KEEP, CONNECTION_CLOSE };

/* The head of the answer. `connection` says what follows it. RC_TOO_LARGE, RC_MEMORY. */
MUST_USE enum rc exchange_write_head(const struct exchange *x, enum exchange_connection connection,
                                     struct buf *out, struct err *err);
/* False for HEAD, 204 and 304: the head is all there is. */
bool exchange_sends_body(const struct exchange *x);

/* Writes the log line and counts the request. Once, when it is over. */
void exchange_finish(const struct exchange *x, uint64_t now_ns);
