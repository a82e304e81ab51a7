/* metrics.h -- what the server counts, and its text for Prometheus (exposition format 0.0.4). Thread-safe. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/err.h"

struct metrics;
struct route;
struct jobs;

MUST_USE enum rc metrics_new(struct metrics **ret, struct err *err);
void metrics_free(struct metrics *m); /* NULL is fine */

/* One request is over. `route` NULL: none was found. */
void metrics_request(struct metrics *m, const struct route *route, int status, uint64_t duration_ns,
                     uint64_t body_bytes, uint64_t answer_bytes);

/* Figures that the server sets as they change. */
struct metrics_server {
    uint64_t connections;          /* open now */
    uint64_t connections_accepted; /* ever */
    uint64_t connections_refused;  /* ever, for being too many */
    uint64_t pool_waiting;
};
void metrics_set_server(struct metrics *m, const struct metrics_server *figures);

/* Everything, with the figures of the jobs and the store (blocking). */
MUST_USE enum rc metrics_text(struct metrics *m, struct jobs *jobs, struct buf *out, struct err *err);
