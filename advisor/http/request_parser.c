#include "advisor/http/request_parser.h"

#include <llhttp.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/container.h"

struct field {
    size_t name, value; /* offsets in request_parser.texts */
};

struct request_parser {
    llhttp_t llhttp;
    struct request_parser_opts opts;
    struct buf texts; /* of the head, each ended by a NUL: the target first */
    struct field *fields;
    unsigned field_count;
    enum { PART_TARGET, PART_NAME, PART_VALUE } part;
    enum parser_event event; /* what the callbacks recorded */
    enum rc head_rc;         /* why the head cannot be taken */
    llhttp_errno_t error;
    bool head_done, keep_alive;
};

/* ---- callbacks: they record ---- */

static struct request_parser *parser_of(llhttp_t *llhttp) {
    return CONTAINER_OF(llhttp, struct request_parser, llhttp);
}

/* Begins a text at the end of the head; *offset is where it stands. */
static enum rc open_text(struct request_parser *p, size_t *offset) {
    *offset = p->texts.size;
    return buf_add(&p->texts, "", 1, NULL);
}

/* Adds to the text that was opened last. */
static enum rc extend_text(struct request_parser *p, const char *at, size_t size) {
    enum rc rc = buf_reserve(&p->texts, size, NULL);
    if (rc == RC_OK) {
        memcpy(p->texts.data + p->texts.size - 1, at, size);
        p->texts.size += size;
        p->texts.data[p->texts.size - 1] = '\0';
    }
    return rc;
}

/* llhttp stops when a callback returns anything but 0. */
static int note(struct request_parser *p, enum rc rc) {
    p->head_rc = rc;
    return rc == RC_OK ? 0 : HPE_USER;
}

static int on_message_begin(llhttp_t *llhttp) {
    struct request_parser *p = parser_of(llhttp);
    size_t target;
    buf_clear(&p->texts);
    p->field_count = 0;
    p->part = PART_TARGET;
    p->head_done = false;
    return note(p, open_text(p, &target)) ? -1 : 0;
}

static int on_url(llhttp_t *llhttp, const char *at, size_t size) {
    struct request_parser *p = parser_of(llhttp);
    return note(p, extend_text(p, at, size));
}

static int open_field(struct request_parser *p) {
    p->part = PART_NAME;
    if (p->field_count == p->opts.headers) {
        return note(p, RC_TOO_LARGE);
    }
    return note(p, open_text(p, &p->fields[p->field_count++].name));
}

static int on_header_field(llhttp_t *llhttp, const char *at, size_t size) {
    struct request_parser *p = parser_of(llhttp);
    if (p->head_done) {
        return 0; /* a trailer */
    }
    int stop = p->part == PART_NAME ? 0 : open_field(p);
    return stop ? stop : note(p, extend_text(p, at, size));
}

static int on_header_field_complete(llhttp_t *llhttp) {
    struct request_parser *p = parser_of(llhttp);
    if (p->head_done) {
        return 0;
    }
    p->part = PART_VALUE;
    return note(p, open_text(p, &p->fields[p->field_count - 1].value));
}

static int on_header_value(llhttp_t *llhttp, const char *at, size_t size) {
    struct request_parser *p = parser_of(llhttp);
    return p->head_done ? 0 : note(p, extend_text(p, at, size));
}

static int on_headers_complete(llhttp_t *llhttp) {
    struct request_parser *p = parser_of(llhttp);
    p->head_done = true;
    p->event = PARSER_HEAD;
    llhttp->upgrade = 0; /* no protocol but this one is spoken here; a client may go on without */
    return HPE_PAUSED;
}

static int on_body(llhttp_t *llhttp, const char *at, size_t size) {
    struct request_parser *p = parser_of(llhttp);
    if (p->opts.on_body(p->opts.user, at, size) == RC_OK) {
        return 0;
    }
    p->event = PARSER_BODY;
    return HPE_USER;
}

static int on_message_complete(llhttp_t *llhttp) {
    struct request_parser *p = parser_of(llhttp);
    p->event = PARSER_END;
    p->keep_alive = llhttp_should_keep_alive(llhttp);
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_message_begin = on_message_begin,
    .on_url = on_url,
    .on_header_field = on_header_field,
    .on_header_field_complete = on_header_field_complete,
    .on_header_value = on_header_value,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

/* ---- the interface ---- */

struct request_parser *request_parser_new(const struct request_parser_opts *opts) {
    struct request_parser *p = calloc(1, sizeof(*p));
    if (!p) {
        return NULL;
    }
    p->opts = *opts;
    p->fields = calloc(opts->headers, sizeof(*p->fields));
    if (!p->fields) {
        free(p);
        return NULL;
    }
    buf_init(&p->texts, opts->head_bytes);
    llhttp_init(&p->llhttp, HTTP_REQUEST, &settings);
    return p;
}

void request_parser_free(struct request_parser *p) {
    if (p) {
        buf_free(&p->texts);
        free(p->fields);
        free(p);
    }
}

enum parser_event request_parser_run(struct request_parser *p, const char *data, size_t size, size_t *taken) {
    p->event = PARSER_BAD;
    p->error = llhttp_execute(&p->llhttp, data, size);
    *taken = size;
    if (p->error == HPE_OK) {
        return PARSER_MORE;
    }
    if (p->error == HPE_PAUSED) {
        *taken = (size_t)(llhttp_get_error_pos(&p->llhttp) - data);
        llhttp_resume(&p->llhttp);
    }
    return p->event;
}

static enum http_method method_of(const llhttp_t *llhttp) {
    switch (llhttp->method) {
    case HTTP_GET:
        return METHOD_GET;
    case HTTP_HEAD:
        return METHOD_HEAD;
    case HTTP_POST:
        return METHOD_POST;
    case HTTP_PUT:
        return METHOD_PUT;
    case HTTP_DELETE:
        return METHOD_DELETE;
    case HTTP_OPTIONS:
        return METHOD_OPTIONS;
    default:
        return METHOD_OTHER;
    }
}

static void lower_case(char *text) {
    for (; *text; text++) {
        if (*text >= 'A' && *text <= 'Z') {
            *text = (char)(*text - 'A' + 'a');
        }
    }
}

static void trim_end(char *text) {
    size_t size = strlen(text);
    while (size > 0 && (text[size - 1] == ' ' || text[size - 1] == '\t')) {
        text[--size] = '\0';
    }
}

enum rc request_parser_head(const struct request_parser *p, struct http_request *req,
                            struct request_framing *framing, const char **target, struct err *err) {
    char *texts = arena_alloc(req->arena, p->texts.size);
    struct http_pair *pairs = arena_calloc(req->arena, p->field_count + 1, sizeof(*pairs));
    if (!texts || !pairs) {
        return err_memory(err);
    }
    memcpy(texts, p->texts.data, p->texts.size);
    for (unsigned i = 0; i < p->field_count; i++) {
        lower_case(texts + p->fields[i].name);
        trim_end(texts + p->fields[i].value);
        pairs[i] = (struct http_pair){texts + p->fields[i].name, texts + p->fields[i].value};
    }
    req->headers = pairs;
    req->header_count = p->field_count;
    req->method = method_of(&p->llhttp);
    req->method_name = llhttp_method_name((llhttp_method_t)p->llhttp.method);
    *framing = (struct request_framing){.major = p->llhttp.http_major,
                                        .minor = p->llhttp.http_minor,
                                        .chunked = (p->llhttp.flags & F_CHUNKED) != 0,
                                        .has_length = (p->llhttp.flags & F_CONTENT_LENGTH) != 0,
                                        .length = p->llhttp.content_length};
    *target = texts;
    return RC_OK;
}

bool request_parser_keep_alive(const struct request_parser *p) {
    return p->keep_alive;
}

int request_parser_problem(const struct request_parser *p, struct err *err) {
    if (p->head_rc == RC_MEMORY) {
        err_memory(err);
        return 500;
    }
    if (p->head_rc != RC_OK && p->part == PART_TARGET) {
        err_set(err, RC_TOO_LARGE, "the address of the request is too long");
        return 414;
    }
    if (p->head_rc != RC_OK) {
        err_set(err, RC_TOO_LARGE, "the request has too many headers, or too long ones");
        return 431;
    }
    if (p->error == HPE_PAUSED_H2_UPGRADE || p->error == HPE_INVALID_VERSION) {
        err_set(err, RC_USAGE, "this service speaks HTTP/1.1 and HTTP/1.0");
        return 505;
    }
    err_set(err, RC_USAGE, "this is not a valid HTTP request: %s", llhttp_get_error_reason(&p->llhttp));
    return 400;
}
