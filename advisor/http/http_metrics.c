#include "advisor/http/http_metrics.h"

#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "advisor/http/route.h"
#include "advisor/jobs/jobs.h"
#include "advisor/jobs/views.h"
#include "core/base/container.h"
#include "db/store.h"

/* Upper bounds of the duration histogram; the last bucket is +Inf. */
static const struct {
    uint64_t ns;
    const char *le;
} bounds[] = {{500000ull, "0.0005"}, {1000000ull, "0.001"},  {2500000ull, "0.0025"}, {5000000ull, "0.005"},
              {10000000ull, "0.01"}, {25000000ull, "0.025"}, {100000000ull, "0.1"},  {500000000ull, "0.5"},
              {1000000000ull, "1"},  {5000000000ull, "5"},   {30000000000ull, "30"}};

enum { ROUTES_MAX = 160, CLASSES = 6, BUCKETS = 12 };

struct route_metrics {
    const struct route *route;  /* NULL: no route was found */
    uint64_t by_class[CLASSES]; /* 2xx at 2 */
    uint64_t buckets[BUCKETS];
    uint64_t count, duration_ns;
};

struct http_metrics {
    pthread_mutex_t lock;
    struct route_metrics routes[ROUTES_MAX];
    size_t route_count;
    uint64_t body_bytes, answer_bytes;
    struct http_metrics_server server;
};

enum rc http_metrics_new(struct http_metrics **ret, struct err *err) {
    struct http_metrics *m = calloc(1, sizeof(*m));
    if (!m) {
        return err_memory(err);
    }
    pthread_mutex_init(&m->lock, NULL);
    *ret = m;
    return RC_OK;
}

void http_metrics_free(struct http_metrics *m) {
    if (m) {
        pthread_mutex_destroy(&m->lock);
        free(m);
    }
}

/* The figures of a route; there are never more routes than ROUTES_MAX - 1 (app.c), and one entry for "none".
 */
static struct route_metrics *figures_of(struct http_metrics *m, const struct route *route) {
    for (size_t i = 0; i < m->route_count; i++) {
        if (m->routes[i].route == route) {
            return &m->routes[i];
        }
    }
    if (m->route_count == ROUTES_MAX) {
        return NULL;
    }
    m->routes[m->route_count].route = route;
    return &m->routes[m->route_count++];
}

void http_metrics_request(struct http_metrics *m, const struct route *route, int status, uint64_t duration_ns,
                          uint64_t body_bytes, uint64_t answer_bytes) {
    size_t bucket = 0;
    while (bucket < ARRAY_SIZE(bounds) && duration_ns > bounds[bucket].ns) {
        bucket++;
    }
    pthread_mutex_lock(&m->lock);
    m->body_bytes += body_bytes;
    m->answer_bytes += answer_bytes;
    struct route_metrics *f = figures_of(m, route);
    if (f) {
        f->by_class[status >= 100 && status < 600 ? status / 100 : 0]++;
        f->buckets[bucket]++;
        f->count++;
        f->duration_ns += duration_ns;
    }
    pthread_mutex_unlock(&m->lock);
}

void http_metrics_set_server(struct http_metrics *m, const struct http_metrics_server *figures) {
    pthread_mutex_lock(&m->lock);
    m->server = *figures;
    pthread_mutex_unlock(&m->lock);
}

static const char *route_pattern(const struct route_metrics *f) {
    return f->route ? f->route->pattern : "none";
}

static const char *route_method(const struct route_metrics *f) {
    static const char *const names[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "OTHER"};
    return f->route ? names[f->route->method] : "any";
}

static enum rc write_counts(const struct http_metrics *m, struct buf *out, struct err *err) {
    enum rc rc = buf_add_text(
        out, "# HELP pare_http_requests_total Requests answered.\n# TYPE pare_http_requests_total counter\n",
        err);
    for (size_t i = 0; rc == RC_OK && i < m->route_count; i++) {
        const struct route_metrics *f = &m->routes[i];
        for (int c = 0; rc == RC_OK && c < CLASSES; c++) {
            if (f->by_class[c] > 0) {
                rc = buf_printf(out, err,
                                "pare_http_requests_total{method=\"%s\",route=\"%s\",status=\"%dxx\"} %llu\n",
                                route_method(f), route_pattern(f), c, (unsigned long long)f->by_class[c]);
            }
        }
    }
    return rc;
}

static enum rc write_histogram(const struct route_metrics *f, struct buf *out, struct err *err) {
    const char *method = route_method(f), *pattern = route_pattern(f);
    unsigned long long sum = 0;
    enum rc rc = RC_OK;
    for (size_t b = 0; rc == RC_OK && b < BUCKETS; b++) {
        sum += f->buckets[b];
        rc = buf_printf(
            out, err,
            "pare_http_request_duration_seconds_bucket{method=\"%s\",route=\"%s\",le=\"%s\"} %llu\n", method,
            pattern, b < ARRAY_SIZE(bounds) ? bounds[b].le : "+Inf", sum);
    }
    if (rc == RC_OK) {
        rc = buf_printf(out, err,
                        "pare_http_request_duration_seconds_sum{method=\"%s\",route=\"%s\"} %.6f\n"
                        "pare_http_request_duration_seconds_count{method=\"%s\",route=\"%s\"} %llu\n",
                        method, pattern, (double)f->duration_ns / 1e9, method, pattern,
                        (unsigned long long)f->count);
    }
    return rc;
}

static enum rc write_figure(struct buf *out, const char *name, const char *type, const char *help,
                            uint64_t value, struct err *err) {
    return buf_printf(out, err, "# HELP %s %s\n# TYPE %s %s\n%s %llu\n", name, help, name, type, name,
                      (unsigned long long)value);
}

static enum rc write_server(const struct http_metrics *m, struct buf *out, struct err *err) {
    const struct {
        const char *name, *type, *help;
        uint64_t value;
    } figures[] = {
        {"pare_http_connections", "gauge", "Connections open.", m->server.connections},
        {"pare_http_connections_total", "counter", "Connections accepted.", m->server.connections_accepted},
        {"pare_http_connections_refused_total", "counter", "Connections refused: too many.",
         m->server.connections_refused},
        {"pare_http_waiting", "gauge", "Steps of requests waiting for a thread.", m->server.pool_waiting},
        {"pare_http_received_bytes_total", "counter", "Bytes of request bodies.", m->body_bytes},
        {"pare_http_sent_bytes_total", "counter", "Bytes of answers' bodies.", m->answer_bytes},
    };
    enum rc rc = RC_OK;
    for (size_t i = 0; rc == RC_OK && i < ARRAY_SIZE(figures); i++) {
        rc = write_figure(out, figures[i].name, figures[i].type, figures[i].help, figures[i].value, err);
    }
    return rc;
}

static enum rc write_http(struct http_metrics *m, struct buf *out, struct err *err) {
    pthread_mutex_lock(&m->lock);
    enum rc rc = write_server(m, out, err);
    if (rc == RC_OK) {
        rc = write_counts(m, out, err);
    }
    if (rc == RC_OK) {
        rc = buf_add_text(out,
                          "# HELP pare_http_request_duration_seconds From the end of a request's head to the "
                          "end of its answer.\n"
                          "# TYPE pare_http_request_duration_seconds histogram\n",
                          err);
    }
    for (size_t i = 0; rc == RC_OK && i < m->route_count; i++) {
        rc = write_histogram(&m->routes[i], out, err);
    }
    pthread_mutex_unlock(&m->lock);
    return rc;
}

/* {"jobs": {"queued": 3}} -> pare_jobs{state="queued"} 3;  {"models": 2} -> pare_models 2 */
static enum rc write_jobs(json_t *figures, struct buf *out, struct err *err) {
    const char *name, *state;
    json_t *value, *n;
    enum rc rc = RC_OK;
    json_object_foreach(figures, name, value) {
        if (rc == RC_OK) {
            rc = buf_printf(out, err, "# TYPE pare_%s gauge\n", name);
        }
        if (rc == RC_OK && json_is_integer(value)) {
            rc = buf_printf(out, err, "pare_%s %lld\n", name, (long long)json_integer_value(value));
        }
        if (!json_is_object(value)) {
            continue;
        }
        json_object_foreach(value, state, n) {
            if (rc == RC_OK) {
                rc = buf_printf(out, err, "pare_%s{state=\"%s\"} %lld\n", name, state,
                                (long long)json_integer_value(n));
            }
        }
    }
    return rc;
}

enum rc http_metrics_text(struct http_metrics *m, struct jobs *jobs, struct buf *out, struct err *err) {
    json_t *figures = NULL;
    enum rc rc = write_http(m, out, err);
    if (rc == RC_OK) {
        rc = write_figure(out, "pare_store_writes_waiting", "gauge", "Writes waiting for the disk.",
                          store_writes_waiting(jobs_store(jobs)), err);
    }
    if (rc == RC_OK) {
        rc = view_metrics(jobs, &figures, err);
    }
    if (rc == RC_OK) {
        rc = write_jobs(figures, out, err);
    }
    json_decref(figures);
    return rc;
}
