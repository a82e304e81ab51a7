/* http_service.h -- a real server on a free port of loopback with a store of its own, in this process. For
 * unit tests; include tests/support/test.h first. */
#pragma once

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "advisor/http/app.h"
#include "advisor/http/server.h"
#include "advisor/jobs/jobs.h"
#include "core/base/file.h"

struct http_service {
    char data[64];
    char url[64];
    struct jobs *jobs;
    struct app *app;
    struct server *server;
    pthread_t thread;
};

static inline void *http_service_thread(void *server) {
    struct err err;
    return server_run(server, &err) == RC_OK ? NULL : server;
}

/* `limits` NULL for the safe ones; `extra` (may be NULL) is one more route. */
static inline void http_service_start(struct http_service *s, const struct conn_limits *limits,
                                      const struct route *extra) {
    struct err err = {0};
    snprintf(s->data, sizeof(s->data), "/tmp/pare-test-XXXXXX");
    assert_non_null(mkdtemp(s->data));
    struct jobs_opts jobs = {.folder = s->data};
    assert_int_equal(jobs_open(&jobs, &s->jobs, &err), RC_OK);
    struct app_opts app = {.jobs = s->jobs, .loopback = true, .version = "test"};
    assert_int_equal(app_new(&app, &s->app, &err), RC_OK);
    if (extra) {
        assert_int_equal(app_add_route(s->app, extra, &err), RC_OK);
    }
    struct server_opts opts = {.app = s->app,
                               .listen = "127.0.0.1:0",
                               .threads = 2,
                               .limits = limits ? *limits : conn_default_limits};
    assert_int_equal(server_new(&opts, &s->server, &err), RC_OK);
    snprintf(s->url, sizeof(s->url), "http://127.0.0.1:%d", server_port(s->server));
    assert_int_equal(pthread_create(&s->thread, NULL, http_service_thread, s->server), 0);
}

static inline void http_service_stop(struct http_service *s) {
    struct err err;
    void *failed;
    server_stop(s->server);
    assert_int_equal(pthread_join(s->thread, &failed), 0);
    assert_null(failed);
    jobs_close(s->jobs);
    server_free(s->server);
    app_free(s->app);
    assert_int_equal(file_remove_tree(s->data, &err), RC_OK);
}
