/* Feeds bytes through a connection without a socket. The first byte says in which pieces the rest arrives;
 * now and then the clock moves, the store changes, a step or a write ends late. The service is real: store
 * and handlers, in a private folder. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "advisor/jobs/jobs.h"
#include "core/base/file.h"
#include "core/base/log.h"
#include "tests/support/conn_harness.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct conn_limits limits = {.head_bytes = 4096,
                                          .headers = 20,
                                          .idle_ns = 60000000000,
                                          .head_ns = 10000000000,
                                          .body_ns = 30000000000,
                                          .write_ns = 30000000000,
                                          .linger_ns = 2000000000,
                                          .body_bytes_per_s = 1000};

static enum rc answer_body(struct app *app, const struct http_request *req, struct http_response *res,
                           struct err *err) {
    (void)app;
    return http_answer_text(res, 200, "text/plain", req->body, req->body_size, err);
}

static enum rc wait_twice(struct app *app, const struct http_request *req, struct http_response *res,
                          struct err *err) {
    (void)app;
    res->kind = ANSWER_STREAM;
    res->park_until_ns = req->started_ns + 3000000000;
    res->stream_end = ++res->cursor > 2 || req->closing;
    return buf_add_text(&res->body, "part\n", err);
}

static const struct route extra[] = {
    {METHOD_POST, "/e", answer_body, ROLES_ANYONE, 0, 2000},
    {METHOD_GET, "/s", wait_twice, ROLES_ANYONE, 0, 0},
};

static char folder[64];
static struct jobs *jobs;
static struct app *app;

static void clean_up(void) {
    struct err err;
    app_free(app);
    jobs_close(jobs);
    if (file_remove_tree(folder, &err) != RC_OK) {
        fprintf(stderr, "%s\n", err.text);
    }
}

static void start_service(void) {
    struct err err = {0};
    struct jobs_opts opts = {.folder = folder};
    struct app_opts app_opts = {.loopback = true, .version = "fuzz"};
    snprintf(folder, sizeof(folder), "/tmp/pare-fuzz-XXXXXX");
    enum rc rc = mkdtemp(folder) ? jobs_open(&opts, &jobs, &err) : RC_IO;
    app_opts.jobs = jobs;
    if (rc == RC_OK) {
        rc = app_new(&app_opts, &app, &err);
    }
    for (size_t i = 0; rc == RC_OK && i < sizeof(extra) / sizeof(extra[0]); i++) {
        rc = app_add_route(app, &extra[i], &err);
    }
    if (rc != RC_OK) {
        fprintf(stderr, "cannot start: %s\n", err.text);
        abort();
    }
    log_set_level(LOG_ERROR);
    atexit(clean_up);
}

/* What happens between two pieces, by the bits of a byte. */
static void between(struct harness *h, uint8_t bits) {
    if (bits & 1) {
        harness_work(h);
    }
    if (bits & 2) {
        harness_acknowledge(h);
    }
    if (!h->closed && (bits & 4)) {
        conn_wake(h->conn);
    }
    if (!h->closed && (bits & 8)) {
        harness_wait(h, 4000000000);
    }
    if (!(bits & 16)) {
        harness_settle(h);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct harness h;
    if (!app) {
        start_service();
    }
    if (size < 2) {
        return 0;
    }
    size_t piece = data[0] ? data[0] : 4096;
    uint8_t mixed = data[1];
    harness_open(&h, app, &limits);
    for (size_t at = 2; at < size && !h.closed; at += piece) {
        size_t n = size - at < piece ? size - at : piece;
        between(&h, mixed);
        if (!h.closed && !conn_wants_input(h.conn)) {
            harness_settle(&h);
        }
        harness_feed(&h, (const char *)data + at, n);
        mixed = (uint8_t)(mixed * 5 + 1);
    }
    if (!h.closed && (data[1] & 32)) {
        conn_eof(h.conn);
    } else if (!h.closed && (data[1] & 64)) {
        conn_drain(h.conn);
    }
    harness_settle(&h);
    harness_end_all(&h);
    return 0;
}
