/* The connection's state machine, without a socket. */
#include <setjmp.h>
#include <stdio.h>

#include "tests/support/test.h"

#include "tests/support/conn_harness.h"

#define SECOND 1000000000ull

/* ---- handlers that show what they were given ---- */

static enum rc echo(struct app *app, const struct http_request *req, struct http_response *res,
                    struct err *err) {
    (void)app;
    return http_answer_text(res, 200, "text/plain", req->body, req->body_size, err);
}

static enum rc name(struct app *app, const struct http_request *req, struct http_response *res,
                    struct err *err) {
    (void)app;
    return http_answer_text(res, 200, "text/plain", req->params[0], strlen(req->params[0]), err);
}

static enum rc header(struct app *app, const struct http_request *req, struct http_response *res,
                      struct err *err) {
    const char *value = http_header(req, req->params[0]);
    (void)app;
    value = value ? value : "(none)";
    return http_answer_text(res, 200, "text/plain", value, strlen(value), err);
}

/* Answers when it is called the third time. */
static enum rc patient(struct app *app, const struct http_request *req, struct http_response *res,
                       struct err *err) {
    (void)app;
    if (res->cursor++ < 2 && !req->closing) {
        res->kind = ANSWER_PARK;
        res->park_until_ns = req->started_ns + 5 * SECOND;
        return RC_OK;
    }
    return http_answer_text(res, 200, "text/plain", req->closing ? "closing" : "at last",
                            req->closing ? 7 : 7, err);
}

static enum rc stream(struct app *app, const struct http_request *req, struct http_response *res,
                      struct err *err) {
    (void)app;
    res->kind = ANSWER_STREAM;
    res->content_type = "text/event-stream";
    res->stream_end = ++res->cursor == 3 || req->closing;
    return buf_printf(&res->body, err, "part %lld\n", (long long)res->cursor);
}

static enum rc fails(struct app *app, const struct http_request *req, struct http_response *res,
                     struct err *err) {
    (void)app, (void)req, (void)res;
    return err_set(err, RC_CONFLICT, "it is so");
}

static const struct route test_routes[] = {
    {METHOD_POST, "/t/echo", echo, ROLES_ANYONE, 0, 1000},
    {METHOD_GET, "/t/name/{name}", name, ROLES_ANYONE, 0, 0},
    {METHOD_GET, "/t/header/{name}", header, ROLES_ANYONE, 0, 0},
    {METHOD_GET, "/t/patient", patient, ROLES_ANYONE, 0, 0},
    {METHOD_GET, "/t/stream", stream, ROLES_ANYONE, 0, 0},
    {METHOD_GET, "/t/fails", fails, ROLES_ANYONE, 0, 0},
};

static const struct conn_limits limits = {.head_bytes = 2048,
                                          .headers = 10,
                                          .idle_ns = 60 * SECOND,
                                          .head_ns = 10 * SECOND,
                                          .body_ns = 30 * SECOND,
                                          .write_ns = 30 * SECOND,
                                          .linger_ns = 2 * SECOND,
                                          .body_bytes_per_s = 1000};

struct fixture {
    struct app *app;
    struct harness h;
};

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof(*f));
    struct app_opts opts = {.loopback = true, .version = "test"};
    struct err err;
    assert_non_null(f);
    assert_int_equal(app_new(&opts, &f->app, &err), RC_OK);
    for (size_t i = 0; i < sizeof(test_routes) / sizeof(test_routes[0]); i++) {
        assert_int_equal(app_add_route(f->app, &test_routes[i], &err), RC_OK);
    }
    harness_open(&f->h, f->app, &limits);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    harness_end_all(&f->h);
    app_free(f->app);
    free(f);
    return 0;
}

static const char *sent(const struct harness *h) {
    return h->sent.data ? h->sent.data : "";
}

/* How often `what` occurs in what was sent. */
static int count(const struct harness *h, const char *what) {
    int n = 0;
    for (const char *p = sent(h); (p = strstr(p, what)) != NULL; p += strlen(what)) {
        n++;
    }
    return n;
}

static void assert_sent(const struct harness *h, const char *what) {
    if (!strstr(sent(h), what)) {
        fail_msg("\"%s\" is not in what was sent:\n%s", what, sent(h));
    }
}

#define HOST "Host: localhost\r\n"

/* ---- */

static void pipelined_requests_are_answered_in_their_order(void **state) {
    struct harness *h = &((struct fixture *)*state)->h;
    harness_send(h, "GET /t/name/one HTTP/1.1\r\n" HOST "\r\nGET /t/name/two HTTP/1.1\r\n" HOST
                    "\r\nPOST /t/echo HTTP/1.1\r\n" HOST
                    "Content-Length: 5\r\n\r\nthreeGET /t/name/four HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(count(h, "HTTP/1.1 "), 0);
    assert_true(harness_work(h));
    assert_int_equal(count(h, "HTTP/1.1 200"), 1); /* the second waits until the first is sent */
    assert_null(h->step);
    harness_settle(h);
    const char *one = strstr(sent(h), "\r\n\r\none"), *two = strstr(sent(h), "\r\n\r\ntwo");
    const char *three = strstr(sent(h), "\r\n\r\nthree"), *four = strstr(sent(h), "\r\n\r\nfour");
    assert_true(one && two > one && three > two && four > three);
    assert_false(h->closed);
}

static void a_request_may_arrive_byte_by_byte(void **state) {
    struct harness *h = &((struct fixture *)*state)->h;
    static const char text[] =
        "POST /t/echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
        "3\r\nabc\r\n4;ext=1\r\ndefg\r\n0\r\nTrailer: x\r\n\r\nGET /t/name/next HTTP/1.1\r\n" HOST "\r\n";
    for (const char *p = text; *p; p++) {
        assert_int_equal(harness_feed(h, p, 1), 1);
        harness_settle(h);
    }
    assert_sent(h, "\r\n\r\nabcdefg");
    assert_sent(h, "\r\n\r\nnext");
}

static void header_values_are_trimmed_and_names_ignore_case(void **state) {
    struct harness *h = &((struct fixture *)*state)->h;
    harness_send(h, "GET /t/header/x-some HTTP/1.1\r\n" HOST "X-SOME:   a b \t \r\n\r\n");
    harness_settle(h);
    assert_sent(h, "\r\n\r\na b");
    assert_null(strstr(sent(h), "a b "));
    harness_send(h, "GET /t/header/x-empty HTTP/1.1\r\nX-Empty:\r\nX-Next: y\r\n" HOST "\r\n");
    harness_settle(h);
    assert_sent(h, "Content-Length: 0\r\n");
}

static void expect_continue_is_answered_before_the_body(void **state) {
    struct harness *h = &((struct fixture *)*state)->h;
    harness_send(h, "POST /t/echo HTTP/1.1\r\n" HOST "Content-Length: 4\r\nExpect: 100-continue\r\n\r\n");
    assert_string_equal(sent(h), "HTTP/1.1 100 Continue\r\n\r\n");
    harness_send(h, "body"); /* even before the interim answer is acknowledged */
    harness_settle(h);
    assert_sent(h, "HTTP/1.1 200 OK\r\n");
    assert_sent(h, "\r\n\r\nbody");
    harness_send(h, "GET /t/name/again HTTP/1.1\r\n" HOST "\r\n");
    harness_settle(h);
    assert_sent(h, "again");
}

static void expect_continue_is_refused_for_a_body_that_is_too_large(void **state) {
    struct harness *h = &((struct fixture *)*state)->h;
    harness_send(h, "POST /t/echo HTTP/1.1\r\n" HOST "Content-Length: 1001\r\nExpect: 100-continue\r\n\r\n");
    harness_settle(h);
    assert_int_equal(count(h, "100 Continue"), 0);
    assert_sent(h, "HTTP/1.1 413 ");
    assert_sent(h, "Connection: close");
    assert_true(h->ended);
}

static void a_chunked_body_beyond_the_limit_is_cut_off(void **state) {
    struct harness *h = &((struct fixture *)*state)->h;
    char text[1200];
    harness_send(h, "POST /t/echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n");
    harness_settle(h);
    snprintf(text, sizeof(text), "3e9\r\n%01001d\r\n0\r\n\r\n", 0);
    harness_send(h, text);
    harness_settle(h);
    assert_sent(h, "HTTP/1.1 413 ");
    assert_true(h->ended);
}

static void a_refusal_without_body_keeps_the_connection(void **state) {
    struct harness *h = &((struct fixture *)*state)->h;
    harness_send(h, "GET /t/unknown HTTP/1.1\r\n" HOST "\r\nDELETE /t/echo HTTP/1.1\r\n" HOST
                    "\r\nGET /t/name/on HTTP/1.1\r\n" HOST "\r\n");
    harness_settle(h);
    assert_sent(h, "HTTP/1.1 404 ");
    assert_sent(h, "HTTP/1.1 405 ");
    assert_sent(h, "Allow: POST\r\n");
    assert_sent(h, "\r\n\r\non");
}

static void a_failing_handler_answers_a_problem(void **state) {
    struct harness *h = &((struct fixture *)*state)->h;
    harness_send(h, "GET /t/fails HTTP/1.1\r\nX-Request-Id: my.own-1\r\n" HOST "\r\n");
    harness_settle(h);
    assert_sent(h, "HTTP/1.1 409 Conflict\r\n");
    assert_sent(h, "Content-Type: application/problem+json\r\n");
    assert_sent(h, "\"detail\":\"it is so\"");
    assert_sent(h, "\"request_id\":\"my.own-1\"");
    assert_false(h->ended);
}

static void head_sends_no_body_but_its_length(void **state) {
    struct harness *h = &((struct fixture *)*state)->h;
    harness_send(h, "HEAD /t/name/abcd HTTP/1.1\r\n" HOST "\r\n");
    harness_settle(h);
    assert_sent(h, "Content-Length: 4\r\n");
    assert_null(strstr(sent(h), "abcd"));
}

static void http_1_0_is_closed_unless_asked(void **state) {
    struct harness *h = &((struct fixture *)*state)->h;
    harness_send(h, "GET /t/name/a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    harness_settle(h);
    assert_sent(h, "Connection: keep-alive\r\n");
    assert_false(h->ended);
    harness_send(h, "GET /t/name/b HTTP/1.0\r\n\r\n");
    harness_settle(h);
    assert_sent(h, "Connection: close\r\n");
    assert_true(h->ended);
}

static void a_parked_handler_is_called_again_on_wake_and_at_its_time(void **state) {
    struct harness *h = &((struct fixture *)*state)->h;
    harness_send(h, "GET /t/patient HTTP/1.1\r\n" HOST "\r\n");
    harness_settle(h);
    assert_int_equal(h->sent.size, 0);
    conn_wake(h->conn);
    harness_settle(h);
    assert_int_equal(h->sent.size, 0);
    harness_wait(h, 4 * SECOND);
    assert_null(h->step);
    harness_wait(h, 1 * SECOND);
    assert_non_null(h->step);
    harness_settle(h);
    assert_sent(h, "at last");
}

static void a_change_while_the_handler_runs_is_not_lost(void **state) {
    struct harness *h = &((struct fixture *)*state)->h;
    harness_send(h, "GET /t/patient HTTP/1.1\r\n" HOST "\r\n");
    conn_wake(h->conn); /* the first call is under way */
    harness_work(h);
    assert_non_null(h->step); /* called again at once */
    harness_settle(h);
    assert_int_equal(h->sent.size, 0);
}

static void a_client_that_leaves_ends_what_is_parked(void **state) {
    struct harness *h = &((struct fixture *)*state)->h;
    harness_send(h, "GET /t/patient HTTP/1.1\r\n" HOST "\r\n");
    harness_settle(h);
    conn_eof(h->conn);
    assert_true(h->closed);
}

static void a_stream_is_sent_in_chunks(void **state) {
    struct harness *h = &((struct fixture *)*state)->h;
    harness_send(h, "GET /t/stream HTTP/1.1\r\n" HOST "\r\n");
    harness_settle(h);
    assert_sent(h, "Transfer-Encoding: chunked\r\n");
    assert_sent(h, "\r\n\r\n7\r\npart 1\n\r\n");
    conn_wake(h->conn);
    harness_settle(h);
    conn_wake(h->conn);
    harness_settle(h);
    assert_sent(h, "7\r\npart 3\n\r\n0\r\n\r\n");
    assert_false(h->ended);
}

static void a_stream_to_http_1_0_ends_with_the_connection(void **state) {
    struct harness *h = &((struct fixture *)*state)->h;
    harness_send(h, "GET /t/stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    harness_settle(h);
    assert_null(strstr(sent(h), "chunked"));
    conn_wake(h->conn);
    harness_settle(h);
    conn_wake(h->conn);
    harness_settle(h);
    assert_sent(h, "part 1\npart 2\npart 3\n");
    assert_true(h->ended);
}

static void a_full_queue_answers_503(void **state) {
    struct harness *h = &((struct fixture *)*state)->h;
    h->full = true;
    harness_send(h, "GET /t/name/a HTTP/1.1\r\n" HOST "\r\n");
    harness_settle(h);
    assert_sent(h, "HTTP/1.1 503 ");
    assert_sent(h, "Retry-After: 1\r\n");
    h->full = false;
    harness_send(h, "GET /t/name/b HTTP/1.1\r\n" HOST "\r\n");
    harness_settle(h);
    assert_sent(h, "HTTP/1.1 200 ");
}

static void a_slow_head_is_answered_408(void **state) {
    struct harness *h = &((struct fixture *)*state)->h;
    harness_send(h, "GET / HTTP/1.1\r\n");
    for (int i = 0; i < 9; i++) {
        harness_wait(h, SECOND);
        harness_send(h, "X: y\r\n"); /* a byte now and then does not help */
    }
    assert_int_equal(h->sent.size, 0);
    harness_wait(h, SECOND);
    harness_settle(h);
    assert_sent(h, "HTTP/1.1 408 ");
    assert_true(h->ended);
    harness_wait(h, 2 * SECOND);
    assert_true(h->closed);
}

static void a_slow_body_is_answered_408(void **state) {
    struct harness *h = &((struct fixture *)*state)->h;
    harness_send(h, "POST /t/echo HTTP/1.1\r\n" HOST "Content-Length: 100\r\n\r\n");
    harness_wait(h, 29 * SECOND);
    harness_send(h, "x");
    harness_wait(h, SECOND);
    harness_settle(h);
    assert_sent(h, "HTTP/1.1 408 ");
}

static void an_idle_connection_is_closed_without_a_word(void **state) {
    struct harness *h = &((struct fixture *)*state)->h;
    harness_wait(h, 59 * SECOND);
    assert_false(h->closed);
    harness_wait(h, SECOND);
    assert_true(h->closed);
    assert_int_equal(h->sent.size, 0);
}

static void a_client_that_does_not_read_is_cut_off(void **state) {
    struct harness *h = &((struct fixture *)*state)->h;
    harness_send(h, "GET /t/name/a HTTP/1.1\r\n" HOST "\r\n");
    harness_work(h);
    assert_int_equal(h->writes, 1);
    harness_wait(h, 31 * SECOND);
    assert_true(h->closed);
}

static void a_socket_that_fails_while_a_handler_runs_waits_for_it(void **state) {
    struct harness *h = &((struct fixture *)*state)->h;
    harness_send(h, "GET /t/name/a HTTP/1.1\r\n" HOST "\r\n");
    conn_broken(h->conn);
    assert_false(h->closed);
    harness_work(h);
    assert_true(h->closed);
    assert_int_equal(h->sent.size, 0);
}

static void draining_finishes_the_request_and_closes(void **state) {
    struct harness *h = &((struct fixture *)*state)->h;
    harness_send(h, "GET /t/name/last HTTP/1.1\r\n" HOST "\r\nGET /t/name/never HTTP/1.1\r\n" HOST "\r\n");
    conn_drain(h->conn);
    harness_settle(h);
    assert_sent(h, "Connection: close\r\n");
    assert_sent(h, "last");
    assert_null(strstr(sent(h), "never"));
    assert_true(h->ended);
    conn_eof(h->conn);
    assert_true(h->closed);
}

static void draining_closes_an_idle_connection(void **state) {
    struct harness *h = &((struct fixture *)*state)->h;
    conn_drain(h->conn);
    assert_true(h->closed);
}

static void draining_asks_what_is_parked_to_answer(void **state) {
    struct harness *h = &((struct fixture *)*state)->h;
    harness_send(h, "GET /t/patient HTTP/1.1\r\n" HOST "\r\n");
    harness_settle(h);
    conn_drain(h->conn);
    harness_settle(h);
    assert_sent(h, "closing");
    assert_true(h->ended);
}

static void a_half_closed_client_still_gets_its_answer(void **state) {
    struct harness *h = &((struct fixture *)*state)->h;
    harness_send(h, "GET /t/name/a HTTP/1.1\r\n" HOST "\r\n");
    conn_eof(h->conn);
    harness_settle(h);
    assert_sent(h, "HTTP/1.1 200 ");
    assert_true(h->closed);
}

static void too_many_connections_are_told_to_come_again(void **state) {
    struct harness *h = &((struct fixture *)*state)->h;
    conn_refuse_busy(h->conn);
    harness_settle(h);
    assert_sent(h, "HTTP/1.1 503 ");
    assert_true(h->ended);
}

static void other_names_for_loopback_are_refused(void **state) {
    static const struct {
        const char *host;
        const char *status;
    } cases[] = {{"localhost", "200"},      {"LOCALHOST:7878", "200"},
                 {"127.0.0.1:1", "200"},    {"127.9.9.9", "200"},
                 {"[::1]:7878", "200"},     {"evil.example", "421"},
                 {"127.0.0.1.evil", "421"}, {"localhost.evil", "421"},
                 {"[::1].evil", "421"},     {"", "421"}};
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[200], line[32];
        snprintf(text, sizeof(text), "GET /t/name/a HTTP/1.1\r\nHost: %s\r\n\r\n", cases[i].host);
        snprintf(line, sizeof(line), "HTTP/1.1 %s ", cases[i].status);
        harness_send(&f->h, text);
        harness_settle(&f->h);
        assert_sent(&f->h, line);
        buf_clear(&f->h.sent);
    }
}

static void pages_of_other_sites_may_not_post(void **state) {
    struct harness *h = &((struct fixture *)*state)->h;
    harness_send(h, "POST /t/echo HTTP/1.1\r\nHost: localhost:7878\r\nOrigin: "
                    "http://localhost:7878\r\nContent-Length: 2\r\n\r\nok");
    harness_settle(h);
    assert_sent(h, "HTTP/1.1 200 ");
    harness_send(h, "POST /t/echo HTTP/1.1\r\nHost: localhost:7878\r\nOrigin: "
                    "http://evil.example\r\nContent-Length: 2\r\n\r\nno");
    harness_settle(h);
    assert_sent(h, "HTTP/1.1 403 ");
}

int main(void) {
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(pipelined_requests_are_answered_in_their_order),
        CASE(a_request_may_arrive_byte_by_byte),
        CASE(header_values_are_trimmed_and_names_ignore_case),
        CASE(expect_continue_is_answered_before_the_body),
        CASE(expect_continue_is_refused_for_a_body_that_is_too_large),
        CASE(a_chunked_body_beyond_the_limit_is_cut_off),
        CASE(a_refusal_without_body_keeps_the_connection),
        CASE(a_failing_handler_answers_a_problem),
        CASE(head_sends_no_body_but_its_length),
        CASE(http_1_0_is_closed_unless_asked),
        CASE(a_parked_handler_is_called_again_on_wake_and_at_its_time),
        CASE(a_change_while_the_handler_runs_is_not_lost),
        CASE(a_client_that_leaves_ends_what_is_parked),
        CASE(a_stream_is_sent_in_chunks),
        CASE(a_stream_to_http_1_0_ends_with_the_connection),
        CASE(a_full_queue_answers_503),
        CASE(a_slow_head_is_answered_408),
        CASE(a_slow_body_is_answered_408),
        CASE(an_idle_connection_is_closed_without_a_word),
        CASE(a_client_that_does_not_read_is_cut_off),
        CASE(a_socket_that_fails_while_a_handler_runs_waits_for_it),
        CASE(draining_finishes_the_request_and_closes),
        CASE(draining_closes_an_idle_connection),
        CASE(draining_asks_what_is_parked_to_answer),
        CASE(a_half_closed_client_still_gets_its_answer),
        CASE(too_many_connections_are_told_to_come_again),
        CASE(other_names_for_loopback_are_refused),
        CASE(pages_of_other_sites_may_not_post),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
