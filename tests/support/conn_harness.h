/* conn_harness.h -- drives struct conn without a socket: what it writes is kept, its steps run when the test
 * says so, its clock stands still until it is moved. Used by the unit tests and the fuzz target. */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "advisor/http/app.h"
#include "advisor/http/conn.h"
#include "advisor/http/exchange.h"
#include "core/base/buf.h"

struct harness {
    struct conn *conn;
    struct exchange *step; /* handed over, not run yet */
    unsigned writes;       /* not acknowledged yet */
    struct buf sent;       /* everything that was written */
    uint64_t now_ns;
    bool full;   /* the pool refuses new work */
    bool ended;  /* no more will be written */
    bool closed; /* the socket */
};

static inline uint64_t harness_now(void *user) {
    return ((struct harness *)user)->now_ns;
}

static inline void harness_proceed(void *user, struct exchange *x) {
    struct harness *h = user;
    assert(!h->step);
    h->step = x;
}

static inline bool harness_submit(void *user, struct exchange *x) {
    struct harness *h = user;
    if (!h->full) {
        harness_proceed(h, x);
    }
    return !h->full;
}

static inline void harness_dispose(void *user, struct exchange *x) {
    (void)user;
    exchange_free(x);
}

static inline void harness_write(void *user, const struct conn_piece *pieces, size_t count) {
    struct harness *h = user;
    assert(!h->closed && !h->ended);
    for (size_t i = 0; i < count; i++) {
        enum rc rc = buf_add(&h->sent, pieces[i].data, pieces[i].size, NULL);
        assert(rc == RC_OK || rc == RC_TOO_LARGE);
        (void)rc;
    }
    h->writes++;
}

static inline void harness_end(void *user) {
    ((struct harness *)user)->ended = true;
}

static inline void harness_close(void *user) {
    struct harness *h = user;
    assert(!h->closed && !h->step);
    h->closed = true;
}

static inline void harness_open(struct harness *h, struct app *app, const struct conn_limits *limits) {
    static const struct conn_ops ops = {harness_now,   harness_submit, harness_proceed, harness_dispose,
                                        harness_write, harness_end,    harness_close};
    struct conn_opts opts = {.app = app, .limits = limits, .ops = &ops, .user = h};
    *h = (struct harness){.now_ns = 1000000000};
    buf_init(&h->sent, 64 << 20);
    h->conn = conn_new(&opts);
    assert(h->conn);
}

/* Runs the step that was handed over, if any. */
static inline bool harness_work(struct harness *h) {
    struct exchange *x = h->step;
    if (x) {
        h->step = NULL;
        exchange_work(x);
        conn_worked(h->conn);
    }
    return x != NULL;
}

/* Acknowledges one write, if any is under way. */
static inline bool harness_acknowledge(struct harness *h) {
    if (h->writes == 0 || h->closed) {
        return false;
    }
    h->writes--;
    conn_written(h->conn, RC_OK);
    return true;
}

/* Runs and acknowledges until nothing is under way. */
static inline void harness_settle(struct harness *h) {
    while (harness_work(h) || harness_acknowledge(h)) {
    }
}

/* Gives the connection bytes, as far as it wants them. */
static inline size_t harness_feed(struct harness *h, const char *data, size_t size) {
    if (h->closed || !conn_wants_input(h->conn)) {
        return 0;
    }
    conn_input(h->conn, data, size);
    return size;
}

static inline void harness_send(struct harness *h, const char *text) {
    size_t taken = harness_feed(h, text, strlen(text));
    assert(taken == strlen(text));
    (void)taken;
}

/* Lets time pass and deadlines with it. */
static inline void harness_wait(struct harness *h, uint64_t ns) {
    h->now_ns += ns;
    conn_tick(h->conn);
}

static inline void harness_end_all(struct harness *h) {
    if (!h->closed) {
        conn_broken(h->conn);
    }
    while (harness_work(h)) {
    }
    assert(h->closed);
    conn_free(h->conn);
    buf_free(&h->sent);
}
