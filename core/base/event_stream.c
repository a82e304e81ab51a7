#include "core/base/event_stream.h"

#include <stdio.h>
#include <string.h>

void event_stream_init(struct event_stream *s, size_t max_bytes) {
    *s = (struct event_stream){0};
    buf_init(&s->line, max_bytes);
    buf_init(&s->data, max_bytes);
}

void event_stream_free(struct event_stream *s) {
    buf_free(&s->line);
    buf_free(&s->data);
}

static enum rc take_field(struct event_stream *s, const char *field, const char *value, struct err *err) {
    if (strcmp(field, "data") ==
        0) { /* each line is ended by a newline; the last one is dropped with the event */
        enum rc rc = buf_add_text(&s->data, value, err);
        return rc == RC_OK ? buf_add(&s->data, "\n", 1, err) : rc;
    }
    if (strcmp(field, "event") == 0) {
        snprintf(s->event, sizeof(s->event), "%s", value);
    } else if (strcmp(field, "id") == 0) {
        snprintf(s->id, sizeof(s->id), "%s", value);
    }
    return RC_OK; /* a comment (empty field) or a field of no interest */
}

static void end_event(struct event_stream *s) {
    if (s->data.size > 0) {
        s->data.data[s->data.size - 1] = '\0';
        s->stopped = s->on_event(s->user, s->id, s->event[0] ? s->event : "message", s->data.data) != 0;
    }
    buf_clear(&s->data);
    s->event[0] = '\0';
}

static enum rc take_line(struct event_stream *s, struct err *err) {
    struct buf *line = &s->line;
    if (line->size > 0 && line->data[line->size - 1] == '\r') {
        line->data[--line->size] = '\0';
    }
    if (line->size == 0) {
        end_event(s);
        return RC_OK;
    }
    char *colon = strchr(line->data, ':');
    const char *value = "";
    if (colon) {
        *colon = '\0';
        value = colon[1] == ' ' ? colon + 2 : colon + 1;
    }
    enum rc rc = take_field(s, line->data, value, err);
    buf_clear(line);
    return rc;
}

enum rc event_stream_add(struct event_stream *s, const char *data, size_t size, struct err *err) {
    enum rc rc = RC_OK;
    while (rc == RC_OK && size > 0 && !s->stopped) {
        const char *end = memchr(data, '\n', size);
        size_t n = end ? (size_t)(end - data) : size, step = end ? n + 1 : n;
        rc = buf_add(&s->line, data, n, err);
        if (rc == RC_OK && end) {
            rc = take_line(s, err);
        }
        data += step;
        size -= step;
    }
    return rc;
}
