/* worker_lines.h -- what a worker writes on standard output, bytes in, meaning out. The worker has opened a
 * hostile model: nothing it writes is believed before it was checked. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/base/buf.h"
#include "core/base/err.h"

enum { WORKER_LINES_LINE_BYTES = 64 << 20, WORKER_LINES_TOTAL_BYTES = 256 << 20, WORKER_LINES_TEXT = 200 };

struct worker_lines {
    struct buf line;
    size_t total;
    json_t *result, *files; /* of the result line */
    bool answered;          /* a result or error line came */
    struct err reason;      /* of the error line; rc RC_OK when there was none */
    void (*on_progress)(void *user, double fraction, const char *text); /* NULL is fine */
    void *user;
};

void worker_lines_init(struct worker_lines *l);
void worker_lines_release(struct worker_lines *l);

/* More bytes. RC_INTERNAL: not the protocol (not JSON, unknown type, a second answer), RC_TOO_LARGE. */
MUST_USE enum rc worker_lines_add(struct worker_lines *l, const char *data, size_t size, struct err *err);
