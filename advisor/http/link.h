/* link.h -- a connection's socket: libuv on one side, struct conn on the other. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "advisor/http/conn.h"
#include "core/base/err.h"

struct app;
struct pool;
struct link;

/* What all links share. */
struct link_host {
    uv_loop_t *loop;
    struct pool *pool;
    struct app *app;
    struct conn_limits limits;
    uint32_t links_max;
    struct link *first;
    uint32_t links;     /* open now */
    uint32_t disposing; /* exchanges that a pool thread frees */
    uint64_t accepted, refused;
    bool missed; /* a connection waits to be accepted, for which there was no memory */
    void (*on_end)(struct link_host *host); /* a link or a disposal has ended */
    char read_buffer[64 * 1024];            /* for the one read callback that runs at a time */
};

/* Accepts one connection; beyond links_max it is answered 503. */
void link_accept(struct link_host *host, uv_stream_t *listener);

/* For all links. */
void link_tick_all(struct link_host *host);
void link_wake_all(struct link_host *host);
void link_drain_all(struct link_host *host);
void link_break_all(struct link_host *host); /* cuts them off */
