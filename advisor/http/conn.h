/* conn.h -- one HTTP/1.1 connection as a state machine without a socket: bytes come in, answers go out
 * through conn_ops. It takes one request at a time; what a client sends ahead (pipelining) waits, so answers
 * leave in order. All functions are for the loop thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

struct app;
struct conn;
struct exchange;

struct conn_limits {
    size_t head_bytes;  /* request line and headers */
    unsigned headers;   /* how many */
    uint64_t idle_ns;   /* between requests */
    uint64_t head_ns;   /* from a request's first byte to the end of its head */
    uint64_t body_ns;   /* for a body, beside what body_bytes_per_s allows */
    uint64_t write_ns;  /* for the client to take a piece of an answer, beside what body_bytes_per_s allows */
    uint64_t linger_ns; /* how long unread input is thrown away after a refusal */
    uint64_t body_bytes_per_s; /* a client that is slower is cut off */
};

/* Safe values for a service: 32 KiB, 100 headers, 60 s idle, 10 s head, 30 s body, 30 s write, 2 s, 8 KiB/s.
 */
extern const struct conn_limits conn_default_limits;

struct conn_piece {
    const void *data; /* lives until conn_written */
    size_t size;
};

/* What a connection needs from the owner of its socket. Nothing here may call back into the connection before
 * it returns. */
struct conn_ops {
    uint64_t (*now_ns)(void *user);
    /* Runs exchange_work(x) on a pool thread, then calls conn_worked. False: too much waits already. */
    bool (*submit)(void *user, struct exchange *x);
    /* The same, never refused. */
    void (*proceed)(void *user, struct exchange *x);
    /* Frees x, on a pool thread if that may block. */
    void (*dispose)(void *user, struct exchange *x);
    /* Sends, then calls conn_written. */
    void (*write)(void *user, const struct conn_piece *pieces, size_t count);
    /* No more will be written: tells the client so, but goes on reading. */
    void (*end)(void *user);
    /* Closes the socket; later the owner calls conn_free. */
    void (*close)(void *user);
};

struct conn_opts {
    struct app *app;                  /* borrowed */
    const struct conn_limits *limits; /* borrowed */
    const struct conn_ops *ops;       /* borrowed */
    void *user;                       /* for the ops */
};

/* NULL when out of memory. */
struct conn *conn_new(const struct conn_opts *opts);
void conn_free(struct conn *c); /* after ops->close; NULL is fine */

/* True while the connection wants conn_input: otherwise the owner stops reading its socket. */
bool conn_wants_input(const struct conn *c);
void conn_input(struct conn *c, const char *data, size_t size);
/* The client will send no more. */
void conn_eof(struct conn *c);
/* The socket failed. */
void conn_broken(struct conn *c);
/* The write is done (or failed). */
void conn_written(struct conn *c, enum rc rc);
/* The step of the exchange is done. */
void conn_worked(struct conn *c);
/* Now and then: lets deadlines pass. */
void conn_tick(struct conn *c);
/* The store has changed: parked handlers look again. */
void conn_wake(struct conn *c);
/* The service shuts down: the request under way is the last. */
void conn_drain(struct conn *c);
/* Refuses before anything is read, because there are too many connections (503), then closes. */
void conn_refuse_busy(struct conn *c);
