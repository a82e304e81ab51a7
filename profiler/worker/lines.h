/* lines.h -- what the worker says on standard output: JSON lines (docs/protocol.md). The descriptor is kept
 * aside, so that whatever a library prints to standard output lands on standard error. Thread-safe. */
#pragma once

#include <jansson.h>
#include <pthread.h>
#include <stdint.h>

#include "core/base/err.h"

struct lines {
    int fd;
    uint64_t last_progress_ns;
    pthread_mutex_t lock;
};

/* Takes over standard output (descriptor 1 becomes a copy of descriptor 2). */
MUST_USE enum rc lines_open(struct lines *l, struct err *err);
void lines_close(struct lines *l);

/* A progress line; at most one in 100 ms is written, except for fraction 1. Signature as compressors' and
 * runtimes' callbacks want it: `user` is the struct lines. */
void lines_progress(void *user, double fraction, const char *text);

/* The last line. `result` and `files` (array of {"path"}; NULL for none) are borrowed.
 * RC_IO when it cannot be written whole. */
MUST_USE enum rc lines_result(struct lines *l, json_t *result, json_t *files, struct err *err);
void lines_error(struct lines *l, const struct err *reason);
