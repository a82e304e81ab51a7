/* pool.h -- a fixed number of threads that run blocking work for the loop; the queue is bounded. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "core/base/err.h"

struct pool;

/* Embedded in what has work to do; at most once in the pool at a time. */
struct pool_task {
    void (*work)(struct pool_task *task); /* on a pool thread */
    void (*done)(struct pool_task *task); /* on the loop, after work */
    struct pool_task *next;
};

struct pool_opts {
    uv_loop_t *loop;
    unsigned threads; /* 1 to 64 */
    size_t queue_max; /* tasks waiting before pool_submit refuses */
};

MUST_USE enum rc pool_new(const struct pool_opts *opts, struct pool **ret, struct err *err);

/* False when the queue is full: the caller answers 503. Loop thread only. */
MUST_USE bool pool_submit(struct pool *p, struct pool_task *task);
/* For the next step of work that was accepted already, so that it cannot be refused half-way. Loop thread
 * only. */
void pool_continue(struct pool *p, struct pool_task *task);

size_t pool_waiting(struct pool *p);

/* Ends the threads after the work that is queued and closes the handle on the loop; then the loop must run
 * until it is idle. No task may be submitted afterwards. */
void pool_stop(struct pool *p);
/* After the loop has ended. NULL is fine. */
void pool_free(struct pool *p);
