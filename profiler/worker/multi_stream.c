/* multi_stream.c -- see multi_stream.h. Whoever answers the last sample of a query sends the next one. The
 * others look for it without sleeping: their cores are theirs, and waking up would be counted as the query's
 * time. */
#include "profiler/worker/multi_stream.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "core/base/checked.h"
#include "core/base/clock.h"
#include "profiler/worker/conditions.h"

struct stream {
    const struct multi_stream_opts *opts;
    size_t runs_per_query;
    uint64_t start_ns; /* of the whole call */
    atomic_uint_fast64_t
        next_run; /* runs taken, over all queries: run i belongs to query i / runs_per_query */
    atomic_uint_fast64_t open_until; /* runs that may be taken: the queries sent so far */
    atomic_size_t answered;          /* runs of the current query */
    atomic_bool stop, failed;
    /* of the current query, or of all so far; only who answered the last run touches them */
    uint64_t sent_ns, measured_from_ns;
    bool warm;
    struct scenario_sample sample;
    size_t capacity;
    pthread_mutex_t lock; /* guards err */
    struct err err;
};

struct player {
    struct stream *stream;
    const struct scenario_instance *instance;
    pthread_t thread;
    uint64_t waited_ns;
};

static void fail(struct stream *s, const struct err *err) {
    pthread_mutex_lock(&s->lock);
    if (!atomic_exchange(&s->failed, true)) {
        s->err = *err;
    }
    pthread_mutex_unlock(&s->lock);
    atomic_store(&s->stop, true);
}

static enum rc record(struct stream *s, uint64_t us_ns, struct err *err) {
    if (s->sample.n == s->capacity) {
        size_t capacity = s->capacity > 0 ? 2 * s->capacity : 1024, bytes;
        float *us = checked_mul(capacity, sizeof(float), &bytes) ? NULL : realloc(s->sample.us, bytes);
        if (!us) {
            return err_memory(err);
        }
        s->sample.us = us;
        s->capacity = capacity;
    }
    s->sample.us[s->sample.n++] = (float)((double)us_ns / 1e3);
    return RC_OK;
}

/* The last run of a query was answered: counts it, and sends the next one or ends. */
static enum rc next_query(struct stream *s, struct err *err) {
    const struct multi_stream_opts *o = s->opts;
    uint64_t now = clock_mono_ns();
    uint64_t warm_ns = (o->limit_ns < o->min_ns ? o->limit_ns : o->min_ns) / 5;
    enum rc rc = RC_OK;
    if (s->warm) {
        rc = record(s, now - s->sent_ns, err);
    } else {
        s->sample.warmup_runs += s->runs_per_query;
        s->warm = now - s->start_ns >= warm_ns;
        s->measured_from_ns = now;
    }
    bool enough = s->sample.n >= o->min_queries && now - s->measured_from_ns >= o->min_ns;
    bool late = now - s->start_ns >= o->limit_ns && s->sample.n > 0;
    if (rc != RC_OK || (s->warm && enough) || late) {
        s->sample.rate_per_s =
            (double)(s->sample.n * o->samples_per_query) / ((double)(now - s->measured_from_ns) / 1e9);
        atomic_store(&s->stop, true);
        return rc;
    }
    s->warm = s->warm || now - s->start_ns >= o->limit_ns; /* one that counts, however late */
    atomic_store(&s->answered, 0);
    s->sent_ns = clock_mono_ns();
    atomic_fetch_add(&s->open_until, s->runs_per_query);
    return RC_OK;
}

/* Takes a run of a query that was sent. False when all ends. */
static bool take(struct stream *s) {
    uint64_t mine = atomic_fetch_add(&s->next_run, 1);
    while (!atomic_load_explicit(&s->stop, memory_order_relaxed)) {
        if (mine < atomic_load_explicit(&s->open_until, memory_order_acquire)) {
            return true;
        }
        sched_yield();
    }
    return false;
}

static void *on_thread(void *user) {
    struct player *p = user;
    struct stream *s = p->stream;
    struct err err = {0};
    float us = 0;
    enum rc rc = RC_OK;
    if (sched_setaffinity(0, sizeof(p->instance->cpus), &p->instance->cpus) != 0) {
        rc = err_set(&err, RC_INTERNAL, "an instance cannot be pinned to its cores");
    }
    while (rc == RC_OK && take(s)) {
        rc = p->instance->run(p->instance->user, &us, &err);
        if (rc == RC_OK && atomic_fetch_add(&s->answered, 1) + 1 == s->runs_per_query) {
            rc = next_query(s, &err);
        }
    }
    if (rc != RC_OK) {
        fail(s, &err);
    }
    p->waited_ns = conditions_thread_waited_ns();
    return NULL;
}

static void play(struct stream *s, struct player *players, size_t count) {
    size_t started = 0;
    s->start_ns = s->sent_ns = s->measured_from_ns = clock_mono_ns();
    atomic_store(&s->open_until, s->runs_per_query);
    while (started < count &&
           pthread_create(&players[started].thread, NULL, on_thread, &players[started]) == 0) {
        started++;
    }
    if (started < count) {
        struct err err;
        err_set(&err, RC_MEMORY, "thread %zu of %zu cannot be started", started + 1, count);
        fail(s, &err);
    }
    for (size_t i = 0; i < started; i++) {
        pthread_join(players[i].thread, NULL);
        s->sample.waited_ns += players[i].waited_ns;
    }
}

enum rc multi_stream_run(const struct scenario_instance *instances, size_t count,
                         const struct multi_stream_opts *opts, struct scenario_sample *ret, struct err *err) {
    struct stream s = {.opts = opts,
                       .runs_per_query = (opts->samples_per_query + opts->batch - 1) / opts->batch};
    struct player *players = calloc(count, sizeof(players[0]));
    if (!players) {
        return err_memory(err);
    }
    for (size_t i = 0; i < count; i++) {
        players[i] = (struct player){.stream = &s, .instance = &instances[i]};
    }
    pthread_mutex_init(&s.lock, NULL);
    play(&s, players, count);
    pthread_mutex_destroy(&s.lock);
    free(players);
    if (atomic_load(&s.failed)) {
        *err = s.err;
        free(s.sample.us);
        return err->rc;
    }
    *ret = s.sample;
    return RC_OK;
}
