#include "advisor/http/server.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <uv.h>

#include "advisor/http/app.h"
#include "advisor/http/http_metrics.h"
#include "advisor/http/link.h"
#include "advisor/http/pool.h"
#include "core/base/clock.h"
#include "core/base/container.h"
#include "core/base/log.h"
#include "db/store.h"

enum {
    DEFAULT_THREADS = 8,
    DEFAULT_QUEUE = 256,
    DEFAULT_CONNECTIONS = 1024,
    BACKLOG = 511,
    TICK_MS = 100,   /* how exactly deadlines are kept */
    WAKE_GAP_MS = 10 /* the store may change far more often than it is worth looking */
};

static const uint64_t DEFAULT_STOP_NS = 30ull * 1000000000;

struct server {
    uv_loop_t loop;
    uv_tcp_t listener;
    uv_timer_t tick, wake_gap;
    uv_async_t changed, stop;
    uv_signal_t terminate, interrupt;
    struct link_host host;
    bool loop_open, stopping, pool_stopped;
    uint64_t stop_ns, stop_deadline_ns; /* after it, what still runs is cut off */
    void (*on_stopping)(void *user);
    void *user;
};

/* ---- the address ---- */

struct address {
    char host[64];
    int port;
};

static enum rc parse_address(const char *listen, struct address *a, struct err *err) {
    const char *colon = strrchr(listen, ':');
    const char *begin = listen[0] == '[' ? listen + 1 : listen;
    const char *end = colon && listen[0] == '[' && colon > listen && colon[-1] == ']' ? colon - 1 : colon;
    char *rest = NULL;
    long port = colon && colon[1] ? strtol(colon + 1, &rest, 10) : -1;
    if (!colon || end <= begin || (size_t)(end - begin) >= sizeof(a->host) || port < 0 || port > 65535 ||
        *rest) {
        return err_set(err, RC_INPUT,
                       "\"%.100s\" is not an address to listen on; it must look like 127.0.0.1:7878", listen);
    }
    snprintf(a->host, sizeof(a->host), "%.*s", (int)(end - begin), begin);
    if (strcasecmp(a->host, "localhost") == 0) {
        snprintf(a->host, sizeof(a->host), "127.0.0.1");
    }
    a->port = (int)port;
    return RC_OK;
}

enum rc server_listen_is_loopback(const char *listen, int *ret, struct err *err) {
    struct address a;
    enum rc rc = parse_address(listen, &a, err);
    if (rc == RC_OK) {
        *ret = strncmp(a.host, "127.", 4) == 0 || strcmp(a.host, "::1") == 0;
    }
    return rc;
}

static enum rc listen_error(const char *listen, int e, struct err *err) {
    switch (e) {
    case UV_EADDRINUSE:
        return err_set(err, RC_CONFLICT,
                       "%s is in use by another program; stop it, or choose another port with --listen",
                       listen);
    case UV_EACCES:
        return err_set(err, RC_FORBIDDEN,
                       "listening on %s is not allowed; choose a port above 1023 with --listen", listen);
    case UV_EADDRNOTAVAIL:
        return err_set(err, RC_IO, "%s is not an address of this machine; choose another with --listen",
                       listen);
    default:
        return err_set(err, RC_IO, "cannot listen on %s: %s", listen, uv_strerror(e));
    }
}

/* ---- callbacks of the loop ---- */

static void follow_shutdown(struct server *s);

static void on_connection(uv_stream_t *listener, int status) {
    struct server *s = CONTAINER_OF(listener, struct server, listener);
    if (status == 0) {
        link_accept(&s->host, listener);
    }
}

static void on_link_end(struct link_host *host) {
    follow_shutdown(CONTAINER_OF(host, struct server, host));
}

static void on_tick(uv_timer_t *timer) {
    struct server *s = CONTAINER_OF(timer, struct server, tick);
    struct http_metrics_server figures = {.connections = s->host.links,
                                          .connections_accepted = s->host.accepted,
                                          .connections_refused = s->host.refused,
                                          .pool_waiting = pool_waiting(s->host.pool)};
    http_metrics_set_server(app_metrics(s->host.app), &figures);
    if (s->host.missed && !s->stopping) {
        s->host.missed = false;
        link_accept(&s->host, (uv_stream_t *)&s->listener);
    }
    if (s->stopping && clock_mono_ns() >= s->stop_deadline_ns) {
        link_break_all(&s->host);
    }
    link_tick_all(&s->host);
}

static void on_wake_gap(uv_timer_t *timer) {
    link_wake_all(&CONTAINER_OF(timer, struct server, wake_gap)->host);
}

static void on_changed(uv_async_t *handle) {
    struct server *s = CONTAINER_OF(handle, struct server, changed);
    if (!s->pool_stopped && !uv_is_active((uv_handle_t *)&s->wake_gap)) {
        uv_timer_start(&s->wake_gap, on_wake_gap, WAKE_GAP_MS, 0);
    }
}

static void on_store_change(void *user) {
    struct server *s = user;
    uv_async_send(&s->changed);
}

static void begin_shutdown(struct server *s, const char *why) {
    if (!s->stopping) {
        s->stopping = true;
        s->stop_deadline_ns = clock_mono_ns() + s->stop_ns;
        log_event(LOG_INFO, "stopping", "why=%s connections=%u", why, s->host.links);
        uv_close((uv_handle_t *)&s->listener, NULL);
        link_drain_all(&s->host);
        if (s->on_stopping) {
            s->on_stopping(s->user);
        }
    }
    follow_shutdown(s);
}

static void on_stop(uv_async_t *handle) {
    begin_shutdown(CONTAINER_OF(handle, struct server, stop), "request");
}

static void on_signal(uv_signal_t *handle, int number) {
    struct server *s = handle->data;
    if (s->stopping) {
        log_event(LOG_WARN, "killed", "signal=%d", number);
        signal(number, SIG_DFL);
        raise(number);
    }
    begin_shutdown(s, number == SIGTERM ? "SIGTERM" : "SIGINT");
}

/* When the last link is gone nothing keeps the loop but `changed`, which the store may still use: the loop is
 * left. */
static void follow_shutdown(struct server *s) {
    if (s->stopping && !s->pool_stopped && s->host.links == 0 && s->host.disposing == 0) {
        s->pool_stopped = true;
        pool_stop(s->host.pool);
        uv_stop(&s->loop);
    }
}

/* ---- opening and closing ---- */

static enum rc open_listener(struct server *s, const char *listen, struct err *err) {
    struct address a = {0};
    struct sockaddr_storage ip;
    enum rc rc = parse_address(listen, &a, err);
    if (rc != RC_OK) {
        return rc;
    }
    if (uv_ip4_addr(a.host, a.port, (struct sockaddr_in *)&ip) != 0 &&
        uv_ip6_addr(a.host, a.port, (struct sockaddr_in6 *)&ip) != 0) {
        return err_set(err, RC_INPUT, "\"%.60s\" is not an IP address; --listen takes ADDRESS:PORT", a.host);
    }
    int e = uv_tcp_bind(&s->listener, (const struct sockaddr *)&ip, 0);
    if (e == 0) {
        e = uv_listen((uv_stream_t *)&s->listener, BACKLOG, on_connection);
    }
    return e == 0 ? RC_OK : listen_error(listen, e, err);
}

static int open_handles(struct server *s) {
    int e = uv_tcp_init(&s->loop, &s->listener);
    e = e ? e : uv_timer_init(&s->loop, &s->tick);
    e = e ? e : uv_timer_init(&s->loop, &s->wake_gap);
    e = e ? e : uv_async_init(&s->loop, &s->changed, on_changed);
    e = e ? e : uv_async_init(&s->loop, &s->stop, on_stop);
    e = e ? e : uv_signal_init(&s->loop, &s->terminate);
    e = e ? e : uv_signal_init(&s->loop, &s->interrupt);
    s->terminate.data = s->interrupt.data = s;
    e = e ? e
          : uv_signal_start(&s->terminate, on_signal,
                            SIGTERM); /* from now on: the loop answers when it runs */
    e = e ? e : uv_signal_start(&s->interrupt, on_signal, SIGINT);
    return e;
}

static enum rc open_loop(struct server *s, struct err *err) {
    int e = uv_loop_init(&s->loop);
    s->loop_open = e == 0;
    if (e == 0) {
        e = open_handles(s);
    }
    return e == 0 ? RC_OK : err_set(err, RC_IO, "cannot start the event loop: %s", uv_strerror(e));
}

static const struct conn_limits *chosen_limits(const struct server_opts *opts) {
    return opts->limits.head_bytes ? &opts->limits : &conn_default_limits;
}

enum rc server_new(const struct server_opts *opts, struct server **ret, struct err *err) {
    struct server *s = calloc(1, sizeof(*s));
    if (!s) {
        return err_memory(err);
    }
    s->host = (struct link_host){
        .loop = &s->loop, .app = opts->app, .limits = *chosen_limits(opts), .on_end = on_link_end};
    s->host.links_max = opts->connections_max ? opts->connections_max : DEFAULT_CONNECTIONS;
    s->stop_ns = opts->stop_ns ? opts->stop_ns : DEFAULT_STOP_NS;
    s->on_stopping = opts->on_stopping;
    s->user = opts->user;
    enum rc rc = open_loop(s, err);
    struct pool_opts pool = {.loop = &s->loop,
                             .threads = opts->threads ? opts->threads : DEFAULT_THREADS,
                             .queue_max = opts->queue_max ? opts->queue_max : DEFAULT_QUEUE};
    if (rc == RC_OK) {
        rc = open_listener(s, opts->listen, err);
    }
    if (rc == RC_OK) {
        rc = pool_new(&pool, &s->host.pool, err);
    }
    if (rc != RC_OK) {
        server_free(s);
        return rc;
    }
    store_on_change(app_store(opts->app), on_store_change, s);
    *ret = s;
    return RC_OK;
}

int server_port(const struct server *s) {
    struct sockaddr_storage ip;
    int size = sizeof(ip);
    if (uv_tcp_getsockname(&s->listener, (struct sockaddr *)&ip, &size) != 0) {
        return 0;
    }
    return ntohs(ip.ss_family == AF_INET ? ((struct sockaddr_in *)&ip)->sin_port
                                         : ((struct sockaddr_in6 *)&ip)->sin6_port);
}

enum rc server_run(struct server *s, struct err *err) {
    int e = uv_timer_start(&s->tick, on_tick, TICK_MS, TICK_MS);
    if (e != 0) {
        return err_set(err, RC_IO, "cannot start serving: %s", uv_strerror(e));
    }
    uv_run(&s->loop, UV_RUN_DEFAULT);
    return RC_OK;
}

void server_stop(struct server *s) {
    uv_async_send(&s->stop);
}

static void on_walk(uv_handle_t *handle, void *arg) {
    (void)arg;
    if (!uv_is_closing(handle)) {
        uv_close(handle, NULL);
    }
}

void server_free(struct server *s) {
    if (!s) {
        return;
    }
    if (s->host.pool && !s->pool_stopped) {
        pool_stop(s->host.pool); /* never ran: there is no link */
    }
    if (s->loop_open) {
        uv_walk(&s->loop, on_walk, NULL);
        uv_run(&s->loop, UV_RUN_DEFAULT);
        int e = uv_loop_close(&s->loop);
        assert(e == 0);
        (void)e;
    }
    pool_free(s->host.pool);
    free(s);
}
