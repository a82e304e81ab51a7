/* server.h -- the HTTP server: one libuv loop for all sockets, a pool of threads for everything that may
 * block. */
#pragma once

#include <stdint.h>

#include "advisor/http/conn.h"
#include "core/base/err.h"

struct app;
struct server;

struct server_opts {
    struct app *app;           /* borrowed; outlives the server */
    const char *listen;        /* "127.0.0.1:7878", "[::1]:7878"; port 0 = any free one */
    unsigned threads;          /* of the pool; 0 = 8 */
    uint32_t queue_max;        /* requests waiting for a thread before 503; 0 = 256 */
    uint32_t connections_max;  /* 0 = 1024 */
    struct conn_limits limits; /* all 0 = conn_default_limits */
    uint64_t stop_ns;          /* how long a shutdown waits for what runs; 0 = 30 s */
    /* Called on the loop thread when a shutdown begins; must not block. May be NULL. */
    void (*on_stopping)(void *user);
    void *user;
};

/* True for "127.x.x.x", "localhost" and "[::1]" before the port. RC_INPUT for what is not ADDRESS:PORT. */
MUST_USE enum rc server_listen_is_loopback(const char *listen, int *ret, struct err *err);

/* Opens the socket and takes over SIGTERM and SIGINT. RC_CONFLICT: another program uses the port; RC_INPUT:
 * no such address here. */
MUST_USE enum rc server_new(const struct server_opts *opts, struct server **ret, struct err *err);

/* The port that is listened on. */
int server_port(const struct server *s);

/* Serves until SIGTERM or SIGINT or server_stop: then finishes what runs and returns. A second signal ends
 * the process. */
MUST_USE enum rc server_run(struct server *s, struct err *err);

/* Begins the shutdown, from any thread. */
void server_stop(struct server *s);

/* After server_run, or in place of it, and after the store is closed (it tells this server of its changes).
 * NULL is fine. */
void server_free(struct server *s);
