/* request_parser.h -- bytes of a client become requests: heads, bodies, ends (llhttp behind it). Limits are
 * kept while the bytes arrive, so that a head never takes more memory than allowed. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "advisor/http/http_message.h"
#include "core/base/err.h"

struct request_parser;

struct request_parser_opts {
    size_t head_bytes; /* request line and headers */
    unsigned headers;  /* how many */
    /* A part of the body; another code than RC_OK stops the parser. */
    enum rc (*on_body)(void *user, const char *data, size_t size);
    void *user;
};

/* What the head says about the message. */
struct request_framing {
    int major, minor; /* of the HTTP version */
    bool chunked;
    bool has_length;
    uint64_t length;
};

enum parser_event {
    PARSER_MORE, /* everything is taken; more is needed */
    PARSER_HEAD, /* the head is complete: request_parser_head. Run on, also without input, for what follows */
    PARSER_END,  /* the request is complete: request_parser_keep_alive. What follows is the next one */
    PARSER_BODY, /* on_body stopped it; nothing more can be parsed */
    PARSER_BAD /* this is no request that can be taken: request_parser_problem; nothing more can be parsed */
};

/* NULL when out of memory. */
struct request_parser *request_parser_new(const struct request_parser_opts *opts);
void request_parser_free(struct request_parser *p); /* NULL is fine */

/* Parses up to the next event; *taken tells how much of data[0..size) is done with. */
enum parser_event request_parser_run(struct request_parser *p, const char *data, size_t size, size_t *taken);

/* After PARSER_HEAD: fills in what the head says, with its texts copied into req->arena. RC_MEMORY. */
MUST_USE enum rc request_parser_head(const struct request_parser *p, struct http_request *req,
                                     struct request_framing *framing, const char **target, struct err *err);

/* After PARSER_END: whether the client allows another request on this connection. */
bool request_parser_keep_alive(const struct request_parser *p);

/* After PARSER_BAD: fills *err and gives the HTTP status. */
int request_parser_problem(const struct request_parser *p, struct err *err);
