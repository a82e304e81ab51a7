#include "advisor/http/conn.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "advisor/http/exchange.h"
#include "advisor/http/request_parser.h"
#include "core/base/container.h"

/*
 *            first byte        accepted          body end        complete
 *   IDLE ------------> HEAD ------------> BODY ---------> FLUSH ---------> RUN <-------+
 *    ^                  |  \               ^ |              |             /   \ park    | wake
 *    |                  |   `--ask--> ADMIT' |              |      answer/     `---> PARKED
 *    |                  |               |    | refuse       |           v            ^
 *    |                  +----refuse-----+----|---(FLUSH)----+-------> WRITE --park---+ (event stream)
 *    |                                                               /  ^  \
 *    +------------------------next request--------------------------'   |   `--last--> LINGER --> CLOSED
 *                                                          piece of a file: READ
 *
 * BODY: an upload's chunks are written on pool threads while the next one fills; FLUSH waits for the last of
 * them. CLOSED can follow every state; the socket is closed when no step is under way on a pool thread.
 */
enum conn_state {
    STATE_NONE, /* of the table below: this cannot happen */
    STATE_IDLE,
    STATE_HEAD,
    STATE_ADMIT,
    STATE_BODY,
    STATE_FLUSH,
    STATE_RUN,
    STATE_PARKED,
    STATE_WRITE,
    STATE_READ,
    STATE_LINGER,
    STATE_CLOSED,
    STATE_COUNT
};

enum conn_event {
    EVENT_FIRST_BYTE,
    EVENT_ASK,
    EVENT_ACCEPT,
    EVENT_REFUSE,
    EVENT_BODY_END,
    EVENT_COMPLETE,
    EVENT_PARK,
    EVENT_WAKE,
    EVENT_ANSWER,
    EVENT_PIECE,
    EVENT_NEXT,
    EVENT_LAST,
    EVENT_GONE,
    EVENT_COUNT
};

static const uint8_t transitions[STATE_COUNT][EVENT_COUNT] = {
    [STATE_IDLE] = {[EVENT_FIRST_BYTE] = STATE_HEAD, [EVENT_GONE] = STATE_CLOSED},
    [STATE_HEAD] = {[EVENT_ASK] = STATE_ADMIT,
                    [EVENT_ACCEPT] = STATE_BODY,
                    [EVENT_REFUSE] = STATE_WRITE,
                    [EVENT_GONE] = STATE_CLOSED},
    [STATE_ADMIT] = {[EVENT_ACCEPT] = STATE_BODY, [EVENT_REFUSE] = STATE_WRITE, [EVENT_GONE] = STATE_CLOSED},
    [STATE_BODY] =
        {[EVENT_BODY_END] = STATE_FLUSH, [EVENT_REFUSE] = STATE_FLUSH, [EVENT_GONE] = STATE_CLOSED},
    [STATE_FLUSH] = {[EVENT_COMPLETE] = STATE_RUN, [EVENT_REFUSE] = STATE_WRITE, [EVENT_GONE] = STATE_CLOSED},
    [STATE_RUN] = {[EVENT_ANSWER] = STATE_WRITE,
                   [EVENT_REFUSE] = STATE_WRITE,
                   [EVENT_PARK] = STATE_PARKED,
                   [EVENT_GONE] = STATE_CLOSED},
    [STATE_PARKED] = {[EVENT_WAKE] = STATE_RUN, [EVENT_GONE] = STATE_CLOSED},
    [STATE_WRITE] = {[EVENT_PIECE] = STATE_READ,
                     [EVENT_PARK] = STATE_PARKED,
                     [EVENT_NEXT] = STATE_IDLE,
                     [EVENT_LAST] = STATE_LINGER,
                     [EVENT_GONE] = STATE_CLOSED},
    [STATE_READ] = {[EVENT_ANSWER] = STATE_WRITE, [EVENT_GONE] = STATE_CLOSED},
    [STATE_LINGER] = {[EVENT_GONE] = STATE_CLOSED},
    [STATE_CLOSED] = {[EVENT_GONE] = STATE_CLOSED},
};

const struct conn_limits conn_default_limits = {
    .head_bytes = 32 << 10,
    .headers = 100,
    .idle_ns = 60ull * 1000000000,
    .head_ns = 10ull * 1000000000,
    .body_ns = 30ull * 1000000000,
    .write_ns = 30ull * 1000000000,
    .linger_ns = 2ull * 1000000000,
    .body_bytes_per_s = 8 << 10,
};

enum {
    INPUT_MAX_BYTES = 1 << 20,   /* unparsed; the owner stops reading long before */
    INPUT_KEEP_BYTES = 8 * 1024, /* of buffer, while nothing is under way */
    AHEAD_MAX_BYTES = 16 * 1024, /* taken from a client whose request is parked */
    OUT_MAX_BYTES = 64 * 1024    /* an answer's head */
};

/* How the request under way will be answered. */
enum verdict { VERDICT_RUN, VERDICT_ANSWERED, VERDICT_REFUSED };

struct conn {
    const struct conn_ops *ops;
    void *user;
    struct app *app;
    const struct conn_limits *limits;

    enum conn_state state;
    uint64_t deadline_ns; /* UINT64_MAX = none */
    struct request_parser *parser;
    struct buf in; /* received; the first `parsed` bytes are done with */
    size_t parsed;

    struct exchange *x; /* the request under way, NULL while idle */
    enum verdict verdict;
    struct err err; /* VERDICT_REFUSED */
    struct buf out; /* head of the answer, or of a chunk */
    unsigned interim_writes;

    bool body_done;  /* the request is complete */
    bool parser_due; /* the parser must run on, even without input */
    bool keep_alive; /* the client allows another request */
    bool head_sent;
    bool working; /* a pool thread has the exchange */
    bool woken;   /* the store changed since the handler was started */
    bool eof, draining;
};

static void conn_step(struct conn *c, enum conn_event event);

static size_t unparsed(const struct conn *c) {
    return c->in.size - c->parsed;
}

/* ---- refusing ---- */

/* Answers with a problem in place of running a handler. `status` 0: that of the code. */
static void refuse(struct conn *c, int status, enum rc rc, const char *text) {
    if (text) {
        err_set(&c->err, rc, "%s", text);
    }
    if (status) {
        c->x->res.status = status;
    }
    c->verdict = VERDICT_REFUSED;
    conn_step(c, EVENT_REFUSE);
}

/* ---- the head ---- */

static void head_complete(struct conn *c) {
    struct exchange *x = c->x;
    const char *target = NULL;
    x->req.started_ns = c->ops->now_ns(c->user);
    enum rc rc = request_parser_head(c->parser, &x->req, &x->framing, &target, &c->err);
    if (rc == RC_OK) {
        rc = exchange_route(x, target, &c->err);
    }
    if (rc != RC_OK) {
        c->verdict = VERDICT_REFUSED;
    } else if (!c->x->route) {
        c->verdict = VERDICT_ANSWERED;
    }
    if (c->verdict == VERDICT_RUN) {
        conn_step(c, exchange_needs_admission(c->x) ? EVENT_ASK : EVENT_ACCEPT);
    } else { /* without a body the connection can go on after the answer */
        conn_step(c, exchange_has_body(c->x) ? EVENT_REFUSE : EVENT_ACCEPT);
    }
}

/* ---- input ---- */

static bool is_parsing(const struct conn *c) {
    if (c->state == STATE_BODY) {
        return c->verdict != VERDICT_RUN || exchange_room(c->x) > 0;
    }
    return c->state == STATE_IDLE || c->state == STATE_HEAD;
}

/* Empty lines before a request are allowed and mean nothing. */
static size_t skip_empty_lines(const char *data, size_t size) {
    size_t n = 0;
    while (n < size && (data[n] == '\r' || data[n] == '\n')) {
        n++;
    }
    return n;
}

static void append_chunk(struct conn *c) {
    if (!c->working && exchange_turn_chunk(c->x)) {
        c->working = true;
        c->x->step = STEP_APPEND;
        c->ops->proceed(c->user, c->x);
    }
}

/* The parser hands a part of the body on. What belongs to a refused request is not kept. */
static enum rc on_body(void *user, const char *data, size_t size) {
    struct conn *c = user;
    return c->verdict == VERDICT_RUN ? exchange_add_body(c->x, data, size, &c->err) : RC_OK;
}

/* What the parser found becomes events. */
static void follow_parser(struct conn *c, enum parser_event event) {
    switch (event) {
    case PARSER_HEAD:
        head_complete(c);
        break;
    case PARSER_END:
        c->body_done = true;
        c->keep_alive = request_parser_keep_alive(c->parser);
        conn_step(c, EVENT_BODY_END);
        break;
    case PARSER_BODY:
        refuse(c, 0, c->err.rc, NULL); /* on_body has said why */
        break;
    case PARSER_BAD:
        refuse(c, request_parser_problem(c->parser, &c->err), c->err.rc, NULL);
        break;
    case PARSER_MORE:
        if (c->state == STATE_BODY && c->verdict == VERDICT_RUN && exchange_room(c->x) == 0) {
            append_chunk(c);
        }
        break;
    }
}

/* Gives the parser as much of the input as the exchange has room for. */
static void parse(struct conn *c) {
    const char *data = c->in.data ? c->in.data + c->parsed : "";
    size_t size = unparsed(c), taken;
    if (c->state == STATE_BODY && c->verdict == VERDICT_RUN && size > exchange_room(c->x)) {
        size = exchange_room(c->x);
    }
    c->parser_due = false;
    enum parser_event event = request_parser_run(c->parser, data, size, &taken);
    c->parsed += taken;
    follow_parser(c, event);
}

/* Forgets the input that is done with, and large buffers while nothing is under way. */
static void drop_parsed(struct conn *c) {
    buf_consume(&c->in, c->parsed);
    c->parsed = 0;
    if (c->state == STATE_IDLE && c->in.size == 0 && c->in.capacity > INPUT_KEEP_BYTES) {
        buf_free(&c->in);
    }
}

/* Parses what is there as far as the state allows. Called at the end of everything that may have changed the
 * state. */
static void pump(struct conn *c) {
    while (is_parsing(c) && (unparsed(c) > 0 || c->parser_due)) {
        if (c->state != STATE_IDLE) {
            parse(c);
            continue;
        }
        c->parsed += skip_empty_lines(c->in.data + c->parsed, unparsed(c));
        if (unparsed(c) > 0) {
            conn_step(c, EVENT_FIRST_BYTE);
        }
    }
    drop_parsed(c);
    if (c->eof && c->in.size == 0 && (is_parsing(c) || c->state == STATE_LINGER)) {
        conn_step(c, EVENT_GONE); /* nothing more can come */
    }
}

/* ---- output ---- */

static bool is_chunked_answer(const struct conn *c) {
    return c->x->res.kind == ANSWER_STREAM && c->x->framing.minor == 1;
}

static bool stream_goes_on(const struct conn *c) {
    return c->x->res.kind == ANSWER_STREAM && exchange_sends_body(c->x) && !c->x->res.stream_end;
}

static enum rc start_answer(struct conn *c) {
    struct http_response *res = &c->x->res;
    if (c->verdict == VERDICT_REFUSED) {
        http_response_problem(res, &c->err, c->x->req.id);
    }
    if (res->status == 0) {
        res->status = 200;
    }
    if (!c->body_done || c->draining || (res->kind == ANSWER_STREAM && !is_chunked_answer(c))) {
        c->keep_alive = false;
    }
    c->head_sent = true;
    return exchange_write_head(c->x, c->keep_alive ? CONNECTION_KEEP : CONNECTION_CLOSE, &c->out, &c->err);
}

/* The part of the answer's body that is sent now. */
static size_t body_now(const struct conn *c) {
    const struct http_response *res = &c->x->res;
    bool only_head = res->kind == ANSWER_FILE && c->x->file_left == res->file_bytes;
    return exchange_sends_body(c->x) && !only_head ? res->body.size : 0;
}

static const char *chunk_end(const struct conn *c, size_t body) {
    if (!is_chunked_answer(c) || !exchange_sends_body(c->x)) {
        return "";
    }
    if (c->x->res.stream_end) {
        return body > 0 ? "\r\n0\r\n\r\n" : "0\r\n\r\n";
    }
    return body > 0 ? "\r\n" : "";
}

static void answer_sent(struct conn *c);

static void enter_write(struct conn *c) {
    struct exchange *x = c->x;
    buf_clear(&c->out);
    enum rc rc = c->head_sent ? RC_OK : start_answer(c);
    size_t body = body_now(c);
    const char *end = chunk_end(c, body);
    if (rc == RC_OK && body > 0 && is_chunked_answer(c)) {
        rc = buf_printf(&c->out, &c->err, "%zx\r\n", body);
    }
    if (rc != RC_OK) { /* no memory even for the head */
        conn_step(c, EVENT_GONE);
        return;
    }
    struct conn_piece pieces[3] = {{c->out.data, c->out.size}, {x->res.body.data, body}, {end, strlen(end)}};
    uint64_t rate = c->limits->body_bytes_per_s ? c->limits->body_bytes_per_s : 1;
    c->deadline_ns = c->ops->now_ns(c->user) + c->limits->write_ns + body * 1000000000ull / rate;
    x->answer_bytes += body;
    if (c->out.size + body + pieces[2].size == 0) {
        answer_sent(c); /* a stream that had nothing to say */
    } else {
        c->ops->write(c->user, pieces, ARRAY_SIZE(pieces));
    }
}

static void park(struct conn *c) {
    conn_step(c, EVENT_PARK);
    if (c->woken || c->draining) {
        conn_step(c, EVENT_WAKE);
    }
}

static void end_exchange(struct conn *c) {
    if (c->x->req.headers || c->x->res.status) {
        exchange_finish(c->x, c->ops->now_ns(c->user));
    }
    c->ops->dispose(c->user, c->x);
    c->x = NULL;
}

/* A piece of the answer has left; what comes after it? */
static void answer_sent(struct conn *c) {
    struct exchange *x = c->x;
    if (x->res.kind == ANSWER_FILE && x->file_left > 0 && exchange_sends_body(x)) {
        conn_step(c, EVENT_PIECE);
    } else if (stream_goes_on(c)) {
        buf_clear(&x->res.body);
        park(c);
    } else {
        bool next = c->keep_alive && !c->draining;
        end_exchange(c);
        conn_step(c, next ? EVENT_NEXT : EVENT_LAST);
    }
}

/* ---- entering states ---- */

static void set_deadline(struct conn *c, uint64_t after_ns) {
    c->deadline_ns = after_ns == UINT64_MAX ? UINT64_MAX : c->ops->now_ns(c->user) + after_ns;
}

static void enter_idle(struct conn *c) {
    set_deadline(c, c->limits->idle_ns);
    c->body_done = c->head_sent = c->woken = false;
    c->verdict = VERDICT_RUN;
    if (c->draining) {
        conn_step(c, EVENT_GONE);
    }
}

static void enter_head(struct conn *c) {
    set_deadline(c, c->limits->head_ns);
    c->x = exchange_new(c->app, c->limits->head_bytes, c->ops->now_ns(c->user));
    if (!c->x) {
        conn_step(c, EVENT_GONE);
    }
}

/* Hands the exchange to the pool for a first step; without room there the client is told to come again. */
static void submit(struct conn *c, enum exchange_step step) {
    c->x->step = step;
    c->working = true;
    if (!c->ops->submit(c->user, c->x)) {
        c->working = false;
        refuse(c, 0, RC_BUSY, "too many requests are waiting; try again in a second");
    }
}

static void proceed(struct conn *c, enum exchange_step step) {
    c->x->step = step;
    c->working = true;
    c->ops->proceed(c->user, c->x);
}

static void enter_body(struct conn *c) {
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    set_deadline(c, c->limits->body_ns);
    c->parser_due = true;
    if (c->verdict == VERDICT_RUN && exchange_expects_continue(c->x) && unparsed(c) == 0) {
        struct conn_piece piece = {go_on, sizeof(go_on) - 1};
        c->interim_writes++;
        c->ops->write(c->user, &piece, 1);
    }
}

static void enter_flush(struct conn *c) {
    set_deadline(c, UINT64_MAX);
    if (c->verdict == VERDICT_RUN && exchange_is_upload(c->x)) {
        append_chunk(c);
    }
    if (!c->working) {
        conn_step(c, c->verdict == VERDICT_RUN ? EVENT_COMPLETE : EVENT_REFUSE);
    }
}

static void enter_run(struct conn *c) {
    set_deadline(c, UINT64_MAX);
    c->woken = false;
    c->x->req.closing = c->draining;
    if (c->x->calls > 0) {
        proceed(c, STEP_HANDLE);
    } else {
        submit(c, STEP_HANDLE);
    }
}

static void enter_parked(struct conn *c) {
    uint64_t until = c->x->res.park_until_ns;
    c->deadline_ns = until ? until : UINT64_MAX;
}

static void enter_linger(struct conn *c) {
    set_deadline(c, c->limits->linger_ns);
    c->parsed = c->in.size;
    c->ops->end(c->user);
}

static void enter_closed(struct conn *c) {
    c->deadline_ns = UINT64_MAX;
    if (c->working) {
        return; /* conn_worked comes back here */
    }
    if (c->x) {
        c->x->res.status = c->head_sent ? c->x->res.status : 499; /* the client went away */
        end_exchange(c);
    }
    c->ops->close(c->user);
}

static void enter(struct conn *c) {
    switch (c->state) {
    case STATE_IDLE:
        enter_idle(c);
        break;
    case STATE_HEAD:
        enter_head(c);
        break;
    case STATE_ADMIT:
        set_deadline(c, UINT64_MAX);
        submit(c, STEP_ADMIT);
        break;
    case STATE_BODY:
        enter_body(c);
        break;
    case STATE_FLUSH:
        enter_flush(c);
        break;
    case STATE_RUN:
        enter_run(c);
        break;
    case STATE_PARKED:
        enter_parked(c);
        break;
    case STATE_WRITE:
        enter_write(c);
        break;
    case STATE_READ:
        set_deadline(c, UINT64_MAX);
        proceed(c, STEP_READ);
        break;
    case STATE_LINGER:
        enter_linger(c);
        break;
    case STATE_CLOSED:
        enter_closed(c);
        break;
    default:
        break;
    }
}

/* Every change of state happens here. */
static void conn_step(struct conn *c, enum conn_event event) {
    enum conn_state next = (enum conn_state)transitions[c->state][event];
    assert(next != STATE_NONE);
    if (c->state != STATE_CLOSED) {
        c->state = next != STATE_NONE ? next : STATE_CLOSED;
        enter(c);
    }
}

/* ---- what the owner of the socket calls ---- */

struct conn *conn_new(const struct conn_opts *opts) {
    struct conn *c = calloc(1, sizeof(*c));
    if (!c) {
        return NULL;
    }
    c->ops = opts->ops;
    c->user = opts->user;
    c->app = opts->app;
    c->limits = opts->limits;
    struct request_parser_opts parser = {.head_bytes = opts->limits->head_bytes,
                                         .headers = opts->limits->headers,
                                         .on_body = on_body,
                                         .user = c};
    c->parser = request_parser_new(&parser);
    if (!c->parser) {
        free(c);
        return NULL;
    }
    buf_init(&c->in, INPUT_MAX_BYTES);
    buf_init(&c->out, OUT_MAX_BYTES);
    c->state = STATE_IDLE;
    enter_idle(c);
    return c;
}

void conn_free(struct conn *c) {
    if (c) {
        assert(!c->x);
        buf_free(&c->in);
        buf_free(&c->out);
        request_parser_free(c->parser);
        free(c);
    }
}

bool conn_wants_input(const struct conn *c) {
    return !c->eof && (is_parsing(c) || c->state == STATE_LINGER ||
                       (c->state == STATE_PARKED && c->in.size < AHEAD_MAX_BYTES));
}

void conn_input(struct conn *c, const char *data, size_t size) {
    if (c->state == STATE_LINGER || c->state == STATE_CLOSED) {
        return;
    }
    if (buf_add(&c->in, data, size, NULL) != RC_OK) {
        conn_step(c, EVENT_GONE);
        return;
    }
    pump(c);
}

void conn_eof(struct conn *c) {
    c->eof = true;
    if (c->state == STATE_PARKED) {
        conn_step(c, EVENT_GONE); /* nobody waits for this answer any more */
    }
    pump(c);
}

void conn_broken(struct conn *c) {
    conn_step(c, EVENT_GONE);
}

void conn_written(struct conn *c, enum rc rc) {
    if (c->state == STATE_CLOSED) {
        return;
    }
    if (rc != RC_OK) {
        conn_step(c, EVENT_GONE);
    } else if (c->interim_writes > 0) { /* writes end in their order */
        c->interim_writes--;
    } else if (c->state == STATE_WRITE) {
        answer_sent(c);
    }
    pump(c);
}

static void handler_done(struct conn *c) {
    struct exchange *x = c->x;
    if (x->rc != RC_OK && c->head_sent) {
        conn_step(c, EVENT_GONE); /* a stream failed half-way: only its end can tell */
        return;
    }
    if (x->rc != RC_OK) {
        http_response_problem(&x->res, &x->err, x->req.id);
    }
    if (x->res.kind == ANSWER_PARK) {
        park(c);
    } else {
        conn_step(c, EVENT_ANSWER);
    }
}

/* The step failed while the body was still coming. */
static void step_refused(struct conn *c) {
    c->err = c->x->err;
    refuse(c, 0, c->err.rc, NULL);
}

void conn_worked(struct conn *c) {
    c->working = false;
    bool failed = c->state != STATE_CLOSED && c->x->rc != RC_OK;
    switch (c->state) {
    case STATE_ADMIT:
        if (failed) {
            step_refused(c);
        } else {
            conn_step(c, EVENT_ACCEPT);
        }
        break;
    case STATE_BODY:
        if (failed) {
            step_refused(c);
        } else if (exchange_room(c->x) == 0) {
            append_chunk(c);
        }
        break;
    case STATE_FLUSH:
        if (failed && c->verdict == VERDICT_RUN) {
            step_refused(c);
        } else {
            enter_flush(c);
        }
        break;
    case STATE_RUN:
        handler_done(c);
        break;
    case STATE_READ:
        conn_step(c, failed ? EVENT_GONE : EVENT_ANSWER);
        break;
    case STATE_CLOSED:
        enter_closed(c);
        return;
    default:
        assert(false); /* a step ended that was not under way */
    }
    pump(c);
}

/* A body may take body_ns and what its size allows at the least rate. */
static uint64_t deadline(const struct conn *c) {
    if (c->state != STATE_BODY) {
        return c->deadline_ns;
    }
    uint64_t rate = c->limits->body_bytes_per_s ? c->limits->body_bytes_per_s : 1;
    return conn_wants_input(c) ? c->deadline_ns + c->x->body_bytes / rate * 1000000000ull : UINT64_MAX;
}

void conn_tick(struct conn *c) {
    if (c->ops->now_ns(c->user) < deadline(c)) {
        return;
    }
    switch (c->state) {
    case STATE_HEAD:
    case STATE_BODY:
        refuse(c, 408, RC_TIMEOUT, "the request did not arrive in time");
        break;
    case STATE_PARKED:
        conn_step(c, EVENT_WAKE);
        break;
    default:
        conn_step(c, EVENT_GONE);
        break;
    }
}

void conn_wake(struct conn *c) {
    c->woken = true;
    if (c->state == STATE_PARKED) {
        conn_step(c, EVENT_WAKE);
    }
}

void conn_drain(struct conn *c) {
    c->draining = true;
    if (c->state == STATE_IDLE) {
        conn_step(c, EVENT_GONE);
    } else if (c->state == STATE_PARKED) {
        conn_step(c, EVENT_WAKE);
    }
}

void conn_refuse_busy(struct conn *c) {
    conn_step(c, EVENT_FIRST_BYTE);
    if (c->x) {
        refuse(c, 0, RC_BUSY, "too many connections are open; try again in a second");
    }
}
