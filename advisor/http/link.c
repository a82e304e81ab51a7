#include "advisor/http/link.h"

#include <stdlib.h>

#include "advisor/http/exchange.h"
#include "advisor/http/pool.h"
#include "core/base/clock.h"
#include "core/base/container.h"
#include "db/store_upload.h"

enum { PIECES_MAX = 3, REFUSED_EXTRA = 64 };

struct link {
    struct link_host *host;
    struct link *next, *previous;
    struct conn *conn;
    uv_tcp_t tcp;
    uv_shutdown_t shutdown;
    bool reading, closing;
};

/* A write under way; several can be, in order. */
struct link_write {
    uv_write_t req;
    struct link *link;
};

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf);

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
    struct link *l = CONTAINER_OF(handle, struct link, tcp);
    (void)suggested;
    *buf = uv_buf_init(l->host->read_buffer, sizeof(l->host->read_buffer));
}

/* Reads exactly while the connection wants input; called after everything that may have changed that. */
static void follow(struct link *l) {
    bool wants = !l->closing && conn_wants_input(l->conn);
    if (wants && !l->reading) {
        l->reading = uv_read_start((uv_stream_t *)&l->tcp, on_alloc, on_read) == 0;
    } else if (!wants && l->reading) {
        uv_read_stop((uv_stream_t *)&l->tcp);
        l->reading = false;
    }
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
    struct link *l = CONTAINER_OF(stream, struct link, tcp);
    if (n > 0) {
        conn_input(l->conn, buf->base, (size_t)n);
    } else if (n == UV_EOF) {
        conn_eof(l->conn);
    } else if (n < 0) {
        conn_broken(l->conn);
    }
    follow(l);
}

/* ---- what the connection asks for ---- */

static uint64_t link_now(void *user) {
    (void)user;
    return clock_mono_ns();
}

static void on_step(struct pool_task *task) {
    exchange_work(CONTAINER_OF(task, struct exchange, task));
}

static void on_step_done(struct pool_task *task) {
    struct link *l = CONTAINER_OF(task, struct exchange, task)->owner;
    conn_worked(l->conn);
    follow(l);
}

static void prepare(struct link *l, struct exchange *x) {
    x->owner = l;
    x->task.work = on_step;
    x->task.done = on_step_done;
}

static bool link_submit(void *user, struct exchange *x) {
    struct link *l = user;
    prepare(l, x);
    return pool_submit(l->host->pool, &x->task);
}

static void link_proceed(void *user, struct exchange *x) {
    struct link *l = user;
    prepare(l, x);
    pool_continue(l->host->pool, &x->task);
}

static void on_suspend_upload(struct pool_task *task) {
    struct exchange *x = CONTAINER_OF(task, struct exchange, task);
    store_upload_suspend(x->upload);
    x->upload = NULL;
}

static void on_upload_suspended(struct pool_task *task) {
    struct exchange *x = CONTAINER_OF(task, struct exchange, task);
    struct link_host *host = x->owner;
    exchange_free(x);
    host->disposing--;
    host->on_end(host);
}

static void link_dispose(void *user, struct exchange *x) {
    struct link *l = user;
    if (!x->upload) {
        exchange_free(x);
        return;
    }
    x->owner = l->host; /* the link may end first */
    x->task.work = on_suspend_upload;
    x->task.done = on_upload_suspended;
    l->host->disposing++;
    pool_continue(l->host->pool, &x->task);
}

static void on_write(uv_write_t *req, int status) {
    struct link_write *w = CONTAINER_OF(req, struct link_write, req);
    struct link *l = w->link;
    free(w);
    conn_written(l->conn, status == 0 ? RC_OK : RC_IO);
    follow(l);
}

static void link_write(void *user, const struct conn_piece *pieces, size_t count) {
    struct link *l = user;
    struct link_write *w = malloc(sizeof(*w));
    uv_buf_t bufs[PIECES_MAX];
    unsigned n = 0;
    for (size_t i = 0; i < count && n < PIECES_MAX; i++) {
        if (pieces[i].size > 0) {
            bufs[n++] = (uv_buf_t){.base = (char *)pieces[i].data, .len = pieces[i].size};
        }
    }
    if (w) {
        w->link = l;
    }
    if (!w || uv_write(&w->req, (uv_stream_t *)&l->tcp, bufs, n, on_write) != 0) {
        free(w);
        uv_read_stop((uv_stream_t *)&l->tcp); /* the write deadline ends this connection */
        l->reading = false;
    }
}

static void on_shutdown(uv_shutdown_t *req, int status) {
    (void)req, (void)status; /* the client's end or the linger deadline closes */
}

static void link_end(void *user) {
    struct link *l = user;
    uv_shutdown(&l->shutdown, (uv_stream_t *)&l->tcp, on_shutdown);
}

static void on_close(uv_handle_t *handle) {
    struct link *l = CONTAINER_OF(handle, struct link, tcp);
    struct link_host *host = l->host;
    if (l->next) {
        l->next->previous = l->previous;
    }
    if (l->previous) {
        l->previous->next = l->next;
    } else {
        host->first = l->next;
    }
    host->links--;
    conn_free(l->conn);
    free(l);
    host->on_end(host);
}

static void link_close(void *user) {
    struct link *l = user;
    if (!l->closing) {
        l->closing = true;
        uv_close((uv_handle_t *)&l->tcp, on_close);
    }
}

static const struct conn_ops link_ops = {
    .now_ns = link_now,
    .submit = link_submit,
    .proceed = link_proceed,
    .dispose = link_dispose,
    .write = link_write,
    .end = link_end,
    .close = link_close,
};

/* ---- links ---- */

static struct link *link_new(struct link_host *host) {
    struct link *l = calloc(1, sizeof(*l));
    struct conn_opts opts = {.app = host->app, .limits = &host->limits, .ops = &link_ops, .user = l};
    if (!l) {
        return NULL;
    }
    l->host = host;
    l->conn = conn_new(&opts);
    if (!l->conn || uv_tcp_init(host->loop, &l->tcp) != 0) {
        conn_free(l->conn);
        free(l);
        return NULL;
    }
    l->next = host->first;
    if (host->first) {
        host->first->previous = l;
    }
    host->first = l;
    host->links++;
    return l;
}

void link_accept(struct link_host *host, uv_stream_t *listener) {
    struct link *l = link_new(host);
    if (!l) {
        host->missed = true; /* out of memory: libuv listens again only after it was accepted */
        return;
    }
    if (uv_accept(listener, (uv_stream_t *)&l->tcp) != 0 || host->links > host->links_max + REFUSED_EXTRA) {
        host->refused++;
        link_close(l);
        return;
    }
    host->accepted++;
    uv_tcp_nodelay(&l->tcp, 1);
    if (host->links > host->links_max) {
        host->refused++;
        conn_refuse_busy(l->conn);
    }
    follow(l);
}

void link_tick_all(struct link_host *host) {
    for (struct link *l = host->first; l; l = l->next) { /* links are freed later, by their close callbacks */
        conn_tick(l->conn);
        follow(l);
    }
}

void link_wake_all(struct link_host *host) {
    for (struct link *l = host->first; l; l = l->next) {
        conn_wake(l->conn);
        follow(l);
    }
}

void link_drain_all(struct link_host *host) {
    for (struct link *l = host->first; l; l = l->next) {
        conn_drain(l->conn);
        follow(l);
    }
}

void link_break_all(struct link_host *host) {
    for (struct link *l = host->first; l; l = l->next) {
        conn_broken(l->conn);
        follow(l);
    }
}
