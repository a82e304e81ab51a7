/* http_metrics.h -- what the server counts, and its text for Prometheus (exposition format 0.0.4).
 * Thread-safe. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/err.h"

struct http_metrics;
struct route;
struct jobs;

MUST_USE enum rc http_metrics_new(struct http_metrics **ret, struct err *err);
void http_metrics_free(struct http_metrics *m); /* NULL is fine */

/* One request is over. `route` NULL: none was found. */
void http_metrics_request(struct http_metrics *m, const struct route *route, int status, uint64_t duration_ns,
                          uint64_t body_bytes, uint64_t answer_bytes);

/* Figures that the server sets as they change. */
struct http_metrics_server {
    uint64_t connections;          /* open now */
    uint64_t connections_accepted; /* ever */
    uint64_t connections_refused;  /* ever, for being too many */
    uint64_t pool_waiting;
};
void http_metrics_set_server(struct http_metrics *m, const struct http_metrics_server *figures);

/* Everything, with the figures of the jobs and the store (blocking). */
MUST_USE enum rc http_metrics_text(struct http_metrics *m, struct jobs *jobs, struct buf *out,
                                   struct err *err);
