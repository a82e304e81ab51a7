/* The client of the agent and the command line, against the real server. */
#include "tests/support/test.h"

#include <string.h>
#include <unistd.h>

#include "core/base/blob_upload.h"
#include "core/base/http_client.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/sha256.h"
#include "db/store_blobs.h"
#include "db/store_tokens.h"
#include "db/store_upload.h"
#include "tests/support/http_service.h"

/* Three events, one of two lines, with a comment and a line end of each kind between; then an event without
 * end. */
static enum rc three_events(struct app *app, const struct http_request *req, struct http_response *res,
                            struct err *err) {
    static const char text[] =
        ": hello\n\nid: 1\nevent: step\ndata: {\"a\":1}\n\n"
        "id: 2\r\ndata: two\r\ndata:lines\r\n\r\nid:3\nevent: state\ndata: last\n\ndata: not ended\n";
    const char *last = http_header(req, "last-event-id");
    (void)app;
    res->kind = ANSWER_STREAM;
    res->content_type = "text/event-stream";
    res->stream_end = true;
    return last ? buf_printf(&res->body, err, "data: after %s\n\n", last)
                : buf_add_text(&res->body, text, err);
}

static const struct route events_route = {METHOD_GET, "/t/events", three_events, ROLES_ANYONE, 0, 0};

struct fixture {
    struct http_service service;
    struct http_client *client;
};

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof(*f));
    struct err err;
    log_set_level(LOG_ERROR);
    http_service_start(&f->service, NULL, &events_route);
    struct http_client_opts opts = {.base_url = f->service.url};
    assert_int_equal(http_client_new(&opts, &f->client, &err), RC_OK);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    http_client_free(f->client);
    http_service_stop(&f->service);
    free(f);
    return 0;
}

static void json_goes_both_ways(void **state) {
    struct fixture *f = *state;
    struct err err = {0};
    json_t *answer = NULL;
    assert_int_equal(http_client_json(f->client, "GET", "/v2/health/ready", NULL, 0, &answer, &err), RC_OK);
    assert_true(json_is_true(json_object_get(answer, "ready")));
    json_decref(answer);
}

static void a_problem_becomes_its_code_and_text(void **state) {
    struct fixture *f = *state;
    struct err err = {0};
    json_t *answer = NULL, *body = json_pack("{s:s}", "nam", "x");
    assert_int_equal(http_client_json(f->client, "GET", "/v1/models/mdl_none", NULL, 0, &answer, &err),
                     RC_NOT_FOUND);
    assert_true(strlen(err.text) > 10);
    assert_int_equal(http_client_json(f->client, "POST", "/v1/models", body, 0, &answer, &err), RC_INPUT);
    assert_non_null(strstr(err.text, "name"));
    assert_null(answer);
    json_decref(body);
}

static void every_status_is_an_answer(void **state) {
    struct fixture *f = *state;
    struct err err = {0};
    struct http_answer answer;
    http_answer_init(&answer);
    assert_int_equal(http_client_send(f->client, "HEAD", "/v1/blobs/none", NULL, NULL, 0, 0, &answer, &err),
                     RC_OK);
    assert_int_equal(answer.status, 400);
    assert_int_equal(http_client_send(f->client, "DELETE", "/v1/models", NULL, NULL, 0, 0, &answer, &err),
                     RC_OK);
    assert_int_equal(answer.status, 405);
    assert_string_equal(answer.content_type, "application/problem+json");
    http_answer_free(&answer);
}

static void count_progress(void *user, uint64_t sent, uint64_t total) {
    uint64_t *most = user;
    assert_true(sent <= total);
    *most = sent > *most ? sent : *most;
}

static void a_file_goes_up_and_comes_back(void **state) {
    struct fixture *f = *state;
    struct err err = {0};
    enum { SIZE = 3000001 };
    char *data = malloc(SIZE), *back = NULL, hex[SHA256_HEX_SIZE], path[128], from[128], to[128];
    size_t size = 0;
    uint64_t most = 0;
    for (size_t i = 0; i < SIZE; i++) {
        data[i] = (char)(i * 31 >> 3);
    }
    sha256_of(data, SIZE, hex);
    snprintf(from, sizeof(from), "%s/from", f->service.data);
    snprintf(to, sizeof(to), "%s/to", f->service.data);
    snprintf(path, sizeof(path), "/v1/blobs/%s", hex);
    assert_int_equal(file_write(from, data, SIZE, 0600, &err), RC_OK);
    assert_int_equal(http_client_upload(f->client, path, from, 0, count_progress, &most, &err), RC_OK);
    assert_int_equal(most, SIZE);
    assert_int_equal(http_client_download(f->client, path, to, &err), RC_OK);
    assert_int_equal(file_read(to, SIZE, &back, &size, &err), RC_OK);
    assert_int_equal(size, SIZE);
    assert_memory_equal(back, data, SIZE);
    free(back);
    free(data);
}

struct sent {
    uint64_t least, most;
};

static void note_progress(void *user, uint64_t sent, uint64_t total) {
    struct sent *s = user;
    assert_int_equal(total, 1000003);
    s->least = sent < s->least ? sent : s->least;
    s->most = sent > s->most ? sent : s->most;
}

static void an_interrupted_upload_sends_only_the_rest(void **state) {
    struct fixture *f = *state;
    struct err err = {0};
    enum { SIZE = 1000003, KEPT = 600001 };
    char *data = calloc(1, SIZE), hex[SHA256_HEX_SIZE], from[128];
    struct store_upload *u;
    struct sent sent = {.least = UINT64_MAX};
    uint64_t bytes = 0;
    data[SIZE - 1] = 1;
    sha256_of(data, SIZE, hex);
    snprintf(from, sizeof(from), "%s/from", f->service.data);
    assert_int_equal(file_write(from, data, SIZE, 0600, &err), RC_OK);
    assert_int_equal(store_upload_begin(app_store(f->service.app), hex, 0, &u, &err), RC_OK);
    assert_int_equal(store_upload_append(u, data, KEPT, &err), RC_OK);
    store_upload_suspend(u);
    assert_int_equal(blob_upload(f->client, hex, from, note_progress, &sent, &err), RC_OK);
    assert_true(sent.least >= KEPT && sent.most == SIZE);
    assert_int_equal(store_blob_stat(app_store(f->service.app), hex, &bytes, &err), RC_OK);
    assert_int_equal(bytes, SIZE);
    sent = (struct sent){.least = UINT64_MAX};
    assert_int_equal(blob_upload(f->client, hex, from, note_progress, &sent, &err), RC_OK);
    assert_int_equal(sent.most, 0); /* it was there: nothing was sent */
    free(data);
}

static void a_refused_upload_says_why(void **state) {
    struct fixture *f = *state;
    struct err err = {0};
    char from[128], path[128];
    snprintf(from, sizeof(from), "%s/other", f->service.data);
    snprintf(path, sizeof(path), "/v1/blobs/%064d", 0);
    assert_int_equal(file_write(from, "abc", 3, 0600, &err), RC_OK);
    assert_int_equal(http_client_upload(f->client, path, from, 0, NULL, NULL, &err), RC_INPUT);
    assert_non_null(strstr(err.text, "ba7816bf")); /* the hash that it has */
}

static void a_failed_download_leaves_no_file(void **state) {
    struct fixture *f = *state;
    struct err err = {0};
    char to[128], path[128];
    snprintf(to, sizeof(to), "%s/never", f->service.data);
    snprintf(path, sizeof(path), "/v1/blobs/%064d", 0);
    assert_int_equal(http_client_download(f->client, path, to, &err), RC_NOT_FOUND);
    assert_int_not_equal(access(to, F_OK), 0);
}

struct seen {
    int count, stop_after;
    char text[256];
};

static int note_event(void *user, const char *id, const char *event, const char *data) {
    struct seen *s = user;
    size_t used = strlen(s->text);
    snprintf(s->text + used, sizeof(s->text) - used, "[%s|%s|%s]", id, event, data);
    return ++s->count == s->stop_after;
}

static void events_are_told_apart(void **state) {
    struct fixture *f = *state;
    struct err err = {0};
    struct seen s = {0};
    assert_int_equal(http_client_events(f->client, "/t/events", NULL, note_event, &s, &err), RC_OK);
    assert_string_equal(s.text, "[1|step|{\"a\":1}][2|message|two\nlines][3|state|last]");
    s = (struct seen){.stop_after = 2};
    assert_int_equal(http_client_events(f->client, "/t/events", NULL, note_event, &s, &err), RC_OK);
    assert_int_equal(s.count, 2);
    s = (struct seen){0};
    assert_int_equal(http_client_events(f->client, "/t/events", "41", note_event, &s, &err), RC_OK);
    assert_string_equal(s.text, "[|message|after 41]");
    assert_int_equal(http_client_events(f->client, "/v1/studies/std_none/events", NULL, note_event, &s, &err),
                     RC_NOT_FOUND);
}

static void nobody_there_is_said_with_the_address(void **state) {
    struct err err = {0};
    struct http_client *client;
    json_t *answer;
    (void)state;
    struct http_client_opts opts = {.base_url = "http://127.0.0.1:1"};
    assert_int_equal(http_client_new(&opts, &client, &err), RC_OK);
    assert_int_equal(http_client_json(client, "GET", "/", NULL, 0, &answer, &err), RC_IO);
    assert_non_null(strstr(err.text, "http://127.0.0.1:1"));
    http_client_free(client);
}

static void what_is_no_url_is_refused(void **state) {
    static const char *const bad[] = {"",          "127.0.0.1:7878", "ftp://x",           "http://",
                                      "http:///x", "http://a b",     "file:///etc/passwd"};
    struct err err = {0};
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct http_client *client;
        struct http_client_opts opts = {.base_url = bad[i]};
        assert_int_equal(http_client_new(&opts, &client, &err), RC_INPUT);
    }
}

static void a_token_is_sent_and_checked(void **state) {
    struct fixture *f = *state;
    struct err err = {0};
    struct http_client *known;
    json_t *answer = NULL;
    char token[TOKEN_SIZE];
    assert_int_equal(store_token_new(jobs_store(f->service.jobs), "t", ROLE_USER, token, &err), RC_OK);
    struct http_client_opts opts = {.base_url = f->service.url, .token = token};
    assert_int_equal(http_client_new(&opts, &known, &err), RC_OK);
    assert_int_equal(http_client_json(f->client, "GET", "/v1/models", NULL, 0, &answer, &err),
                     RC_UNAUTHORIZED);
    assert_int_equal(http_client_json(known, "GET", "/v1/models", NULL, 0, &answer, &err), RC_OK);
    json_decref(answer);
    answer = NULL;
    json_t *body = json_pack("{s:s}", "target_id", "tgt_x");
    assert_int_equal(http_client_json(known, "POST", "/v1/agents/claim", body, 0, &answer, &err),
                     RC_FORBIDDEN);
    json_decref(body);
    http_client_free(known);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_goes_both_ways),
        cmocka_unit_test(a_problem_becomes_its_code_and_text),
        cmocka_unit_test(every_status_is_an_answer),
        cmocka_unit_test(a_file_goes_up_and_comes_back),
        cmocka_unit_test(an_interrupted_upload_sends_only_the_rest),
        cmocka_unit_test(a_refused_upload_says_why),
        cmocka_unit_test(a_failed_download_leaves_no_file),
        cmocka_unit_test(events_are_told_apart),
        cmocka_unit_test(nobody_there_is_said_with_the_address),
        cmocka_unit_test(what_is_no_url_is_refused),
        cmocka_unit_test(a_token_is_sent_and_checked), /* last: from then on a token is needed */
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
