/* bench_http -- requests a second and latency of the service beside a bare libuv + llhttp responder, on
 * loopback. Usage: bench_http [SECONDS [CONNECTIONS [PORT PATH [BODY]]]]   (default 3 s, 32 connections) With
 * PORT and PATH a running service is asked, by POST with the JSON text BODY where one is given, after the
 * bare responder; otherwise the bare responder and a service started here (GET /v2/health/live). The client
 * is a closed loop over CONNECTIONS keep-alive connections on one thread. */
#include <arpa/inet.h>
#include <llhttp.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <uv.h>

#include "advisor/http/app.h"
#include "advisor/http/server.h"
#include "advisor/jobs/jobs.h"
#include "core/base/clock.h"
#include "core/base/container.h"
#include "core/base/file.h"
#include "core/base/log.h"

enum { CONNECTIONS_MAX = 1024, ANSWER_BYTES = 1 << 20, SAMPLES_MAX = 4 << 20 };

static void die(const char *what) {
    perror(what);
    exit(1);
}

/* ---- the client ---- */

struct client {
    int fd;
    uint64_t sent_ns;
    char *answer;
    size_t size;
};

struct load {
    char request[4096];
    struct client clients[CONNECTIONS_MAX];
    float *latency_us;
    size_t count;
    uint64_t failed;
};

static void send_request(const struct load *l, struct client *c) {
    size_t size = strlen(l->request);
    c->size = 0;
    c->sent_ns = clock_mono_ns();
    if (write(c->fd, l->request, size) != (ssize_t)size) {
        die("write");
    }
}

/* True when the answer in c is complete (Content-Length only). */
static bool is_complete(const struct client *c) {
    const char *end = memmem(c->answer, c->size, "\r\n\r\n", 4);
    const char *length = end ? memmem(c->answer, (size_t)(end - c->answer), "Content-Length: ", 16) : NULL;
    return length && c->size >= (size_t)(end + 4 - c->answer) + strtoul(length + 16, NULL, 10);
}

static void on_answer(struct load *l, struct client *c) {
    ssize_t n = read(c->fd, c->answer + c->size, ANSWER_BYTES - 1 - c->size);
    if (n <= 0) {
        die("the server closed a connection");
    }
    c->size += (size_t)n;
    c->answer[c->size] = '\0';
    if (is_complete(c)) {
        l->failed += memcmp(c->answer, "HTTP/1.1 20", 11) != 0;
        if (l->count < SAMPLES_MAX) {
            l->latency_us[l->count++] = (float)((double)(clock_mono_ns() - c->sent_ns) / 1000.0);
        }
        send_request(l, c);
    }
}

static void connect_client(struct client *c, int port) {
    struct sockaddr_in ip = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    c->answer = malloc(ANSWER_BYTES);
    if (c->fd < 0 || !c->answer || connect(c->fd, (struct sockaddr *)&ip, sizeof(ip)) != 0) {
        die("connect");
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static int by_value(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void report(const char *name, struct load *l, double seconds) {
    qsort(l->latency_us, l->count, sizeof(float), by_value);
    printf("%-28s %9.0f requests/s   p50 %7.1f us   p99 %7.1f us   failed %llu\n", name,
           (double)l->count / seconds, (double)l->latency_us[l->count / 2],
           (double)l->latency_us[l->count * 99 / 100], (unsigned long long)l->failed);
}

static void run_load(const char *name, int port, const char *path, const char *body, unsigned connections,
                     double seconds) {
    struct load *l = calloc(1, sizeof(*l));
    struct epoll_event events[CONNECTIONS_MAX];
    int epoll = epoll_create1(0);
    if (!l || epoll < 0 || !(l->latency_us = malloc(SAMPLES_MAX * sizeof(float)))) {
        die("starting the load");
    }
    int size = snprintf(l->request, sizeof(l->request),
                        "%s %s HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\nAccept: */*\r\n",
                        body ? "POST" : "GET", path);
    snprintf(l->request + size, sizeof(l->request) - (size_t)size,
             body ? "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s" : "\r\n",
             body ? strlen(body) : 0, body);
    for (unsigned i = 0; i < connections; i++) {
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = &l->clients[i]};
        connect_client(&l->clients[i], port);
        epoll_ctl(epoll, EPOLL_CTL_ADD, l->clients[i].fd, &e);
        send_request(l, &l->clients[i]);
    }
    uint64_t begin_ns = clock_mono_ns(), end_ns = begin_ns + (uint64_t)(seconds * 1e9);
    while (clock_mono_ns() < end_ns) {
        int n = epoll_wait(epoll, events, CONNECTIONS_MAX, 100);
        for (int i = 0; i < n; i++) {
            on_answer(l, events[i].data.ptr);
        }
    }
    report(name, l, (double)(clock_mono_ns() - begin_ns) / 1e9);
    for (unsigned i = 0; i < connections; i++) {
        close(l->clients[i].fd);
        free(l->clients[i].answer);
    }
    close(epoll);
    free(l->latency_us);
    free(l);
}

/* ---- the bare responder: parses, answers a constant ---- */

struct bare {
    uv_loop_t loop;
    uv_tcp_t listener;
    uv_async_t stop;
    int port;
};

struct bare_link {
    uv_tcp_t tcp;
    llhttp_t parser;
    uv_write_t write;
    char buffer[4096];
};

static const char constant[] =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{\"live\":true}";

static int on_bare_request(llhttp_t *parser) {
    struct bare_link *l = CONTAINER_OF(parser, struct bare_link, parser);
    uv_buf_t buf = {.base = (char *)constant, .len = sizeof(constant) - 1};
    return uv_write(&l->write, (uv_stream_t *)&l->tcp, &buf, 1, NULL);
}

static const llhttp_settings_t bare_settings = {.on_message_complete = on_bare_request};

static void on_bare_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf) {
    struct bare_link *l = CONTAINER_OF(h, struct bare_link, tcp);
    (void)suggested;
    *buf = (uv_buf_t){.base = l->buffer, .len = sizeof(l->buffer)};
}

static void on_bare_close(uv_handle_t *h) {
    free(CONTAINER_OF(h, struct bare_link, tcp));
}

static void on_bare_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf) {
    struct bare_link *l = CONTAINER_OF(s, struct bare_link, tcp);
    if (n < 0 || (n > 0 && llhttp_execute(&l->parser, buf->base, (size_t)n) != HPE_OK)) {
        uv_close((uv_handle_t *)s, on_bare_close);
    }
}

static void on_bare_connection(uv_stream_t *s, int status) {
    struct bare_link *l = calloc(1, sizeof(*l));
    if (status != 0 || !l) {
        die("accept");
    }
    llhttp_init(&l->parser, HTTP_REQUEST, &bare_settings);
    uv_tcp_init(s->loop, &l->tcp);
    uv_accept(s, (uv_stream_t *)&l->tcp);
    uv_tcp_nodelay(&l->tcp, 1);
    uv_read_start((uv_stream_t *)&l->tcp, on_bare_alloc, on_bare_read);
}

static void on_bare_stop(uv_async_t *h) {
    uv_stop(h->loop);
}

static void *run_bare(void *arg) {
    uv_run(&((struct bare *)arg)->loop, UV_RUN_DEFAULT);
    return NULL;
}

static void bench_bare(unsigned connections, double seconds) {
    static struct bare b;
    struct sockaddr_in ip;
    int size = sizeof(ip);
    pthread_t thread;
    uv_loop_init(&b.loop);
    uv_tcp_init(&b.loop, &b.listener);
    uv_async_init(&b.loop, &b.stop, on_bare_stop);
    uv_ip4_addr("127.0.0.1", 0, &ip);
    uv_tcp_bind(&b.listener, (struct sockaddr *)&ip, 0);
    if (uv_listen((uv_stream_t *)&b.listener, 511, on_bare_connection) != 0) {
        die("listen");
    }
    uv_tcp_getsockname(&b.listener, (struct sockaddr *)&ip, &size);
    pthread_create(&thread, NULL, run_bare, &b);
    run_load("bare libuv + llhttp", ntohs(ip.sin_port), "/", NULL, connections, seconds);
    uv_async_send(&b.stop);
    pthread_join(thread, NULL);
}

/* ---- the service ---- */

static void *run_service(void *arg) {
    struct err err;
    return server_run(arg, &err) == RC_OK ? NULL : arg;
}

static void bench_service(unsigned connections, double seconds) {
    char folder[] = "/tmp/pare-bench-XXXXXX";
    struct err err = {0};
    struct jobs *jobs = NULL;
    struct app *app = NULL;
    struct server *server = NULL;
    pthread_t thread;
    struct jobs_opts jobs_opts = {.folder = mkdtemp(folder)};
    enum rc rc = jobs_open(&jobs_opts, &jobs, &err);
    struct app_opts app_opts = {.jobs = jobs, .loopback = true, .version = "bench"};
    rc = rc == RC_OK ? app_new(&app_opts, &app, &err) : rc;
    struct server_opts opts = {.app = app, .listen = "127.0.0.1:0"};
    rc = rc == RC_OK ? server_new(&opts, &server, &err) : rc;
    if (rc != RC_OK) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    pthread_create(&thread, NULL, run_service, server);
    run_load("service, GET /v2/health/live", server_port(server), "/v2/health/live", NULL, connections,
             seconds);
    run_load("service, GET /v1/prices", server_port(server), "/v1/prices", NULL, connections, seconds);
    server_stop(server);
    pthread_join(thread, NULL);
    jobs_close(jobs);
    server_free(server);
    app_free(app);
    if (file_remove_tree(folder, &err) != RC_OK) {
        fprintf(stderr, "%s\n", err.text);
    }
}

int main(int argc, char **argv) {
    double seconds = argc > 1 ? strtod(argv[1], NULL) : 3;
    unsigned connections = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 32;
    if (seconds <= 0 || connections < 1 || connections > CONNECTIONS_MAX || argc == 4 || argc > 6 ||
        sodium_init() < 0) {
        fprintf(stderr, "usage: %s [SECONDS [CONNECTIONS [PORT PATH [BODY]]]]\n", argv[0]);
        return 2;
    }
    log_set_level(LOG_ERROR);
    if (argc >= 5) {
        if (argc == 6) {
            bench_bare(connections, seconds);
        }
        run_load(argv[4], (int)strtol(argv[3], NULL, 10), argv[4], argv[5], connections, seconds);
        return 0;
    }
    bench_bare(connections, seconds);
    bench_service(connections, seconds);
    return 0;
}
