/* event_stream.h -- reads Server-Sent Events as the HTML standard defines them (section 9.2): lines "field:
 * value", an empty line ends an event. Pure: bytes in, calls out. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "core/base/buf.h"
#include "core/base/err.h"

struct event_stream {
    /* Called for each event; nonzero ends the reading. `event` is "message" where the stream names none. */
    int (*on_event)(void *user, const char *id, const char *event, const char *data);
    void *user;
    bool stopped; /* on_event has ended it */
    struct buf line, data;
    char id[64], event[64];
};

/* An event may hold max_bytes. */
void event_stream_init(struct event_stream *s, size_t max_bytes);
void event_stream_free(struct event_stream *s);

/* Takes the next bytes. RC_TOO_LARGE, RC_MEMORY. */
MUST_USE enum rc event_stream_add(struct event_stream *s, const char *data, size_t size, struct err *err);
