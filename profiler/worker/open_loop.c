/* open_loop.c -- see open_loop.h. */
#include "profiler/worker/open_loop.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/checked.h"
#include "core/base/clock.h"
#include "profiler/worker/conditions.h"

enum { BATCH_MOST = 65536 };
static const uint64_t SPIN_NS = 100000; /* a sleeping thread wakes up by so much late */

/* ---- the clock ---- */

static uint64_t real_now(void *user) {
    (void)user;
    return clock_mono_ns();
}

static void real_wait(void *user, uint64_t at_ns) {
    (void)user;
    uint64_t now = clock_mono_ns();
    if (at_ns > now + SPIN_NS) {
        uint64_t wake = at_ns - SPIN_NS;
        const struct timespec t = {.tv_sec = (time_t)(wake / 1000000000),
                                   .tv_nsec = (long)(wake % 1000000000)};
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR) {
        }
    }
    while (clock_mono_ns() < at_ns) {
    }
}

const struct open_loop_clock OPEN_LOOP_CLOCK = {.now_ns = real_now, .wait_until = real_wait};

/* ---- the queue ---- */

struct loop {
    const struct open_loop_opts *opts;
    uint64_t start_ns;
    pthread_mutex_t lock; /* guards what follows */
    size_t next;          /* query of the schedule that nobody has taken */
    bool stop;
    struct rate_watch *watch;
    struct open_loop_sample sample;
    bool failed;
    struct err err;
};

struct player {
    struct loop *loop;
    const struct scenario_instance *instance;
    pthread_t thread;
    float *us;     /* [samples_per_run] */
    size_t *taken; /* [batch] queries of this run */
    uint64_t waited_ns;
};

static uint64_t now_ns(const struct loop *l) {
    return l->opts->clock->now_ns(l->opts->clock->user);
}

static uint64_t due_ns(const struct loop *l, size_t query) {
    return l->start_ns + (uint64_t)(l->opts->at_s[query] * 1e9);
}

/* Queries that have arrived and were not taken, counted up to the bound. The lock is held. */
static bool overflows(const struct loop *l, uint64_t now) {
    size_t last = l->next + l->opts->waiting_most;
    return last < l->opts->queries && due_ns(l, last) <= now;
}

/* Takes one query, which may not have arrived yet. False: there is none, or the loop ends. */
static bool take_one(struct player *p) {
    struct loop *l = p->loop;
    uint64_t now = now_ns(l);
    pthread_mutex_lock(&l->lock);
    if (!l->stop && now >= l->opts->end_ns) {
        l->sample.out_of_time = true;
        l->stop = true;
    }
    if (!l->stop && overflows(l, now)) {
        l->sample.overflowed = true;
        l->stop = true;
    }
    bool taken = !l->stop && l->next < l->opts->queries;
    if (taken) {
        p->taken[0] = l->next++;
    }
    pthread_mutex_unlock(&l->lock);
    return taken;
}

/* Adds what has arrived meanwhile. Returns how many the run has. */
static size_t take_more(struct player *p) {
    struct loop *l = p->loop;
    size_t n = 1;
    if (l->opts->batch == 1) {
        return n;
    }
    uint64_t now = now_ns(l);
    pthread_mutex_lock(&l->lock);
    while (n < l->opts->batch && l->next < l->opts->queries && due_ns(l, l->next) <= now) {
        p->taken[n++] = l->next++;
    }
    pthread_mutex_unlock(&l->lock);
    return n;
}

static void finish(struct player *p, size_t n) {
    struct loop *l = p->loop;
    uint64_t end = now_ns(l);
    pthread_mutex_lock(&l->lock);
    for (size_t i = 0; i < n && !l->watch->done; i++) {
        double us = (double)(end - due_ns(l, p->taken[i])) / 1e3 / (double)l->opts->samples_per_run;
        l->sample.us[l->sample.n++] = (float)us;
        l->stop = rate_watch_add(l->watch, us) || l->stop;
    }
    pthread_mutex_unlock(&l->lock);
}

static void fail(struct loop *l, const struct err *err) {
    pthread_mutex_lock(&l->lock);
    if (!l->failed) {
        l->failed = true;
        l->err = *err;
    }
    l->stop = true;
    pthread_mutex_unlock(&l->lock);
}

static void *on_thread(void *user) {
    struct player *p = user;
    const struct open_loop_clock *clock = p->loop->opts->clock;
    struct err err = {0};
    if (sched_setaffinity(0, sizeof(p->instance->cpus), &p->instance->cpus) != 0) {
        err_set(&err, RC_INTERNAL, "an instance cannot be pinned to its cores");
        fail(p->loop, &err);
        return NULL;
    }
    while (take_one(p)) {
        clock->wait_until(clock->user, due_ns(p->loop, p->taken[0]));
        size_t n = take_more(p);
        if (p->instance->run(p->instance->user, p->us, &err) != RC_OK) {
            fail(p->loop, &err);
            return NULL;
        }
        finish(p, n);
    }
    p->waited_ns = conditions_thread_waited_ns();
    return NULL;
}

/* ---- all instances ---- */

static void play(struct loop *l, struct player *players, size_t count) {
    size_t started = 0;
    l->start_ns = now_ns(l);
    while (started < count &&
           pthread_create(&players[started].thread, NULL, on_thread, &players[started]) == 0) {
        started++;
    }
    if (started < count) {
        struct err err;
        err_set(&err, RC_MEMORY, "thread %zu of %zu cannot be started", started + 1, count);
        fail(l, &err);
    }
    for (size_t i = 0; i < started; i++) {
        pthread_join(players[i].thread, NULL);
        l->sample.waited_ns += players[i].waited_ns;
    }
}

static enum rc make_players(struct loop *l, const struct scenario_instance *instances, size_t count,
                            struct player **ret, struct err *err) {
    size_t batch = l->opts->batch < BATCH_MOST ? l->opts->batch : BATCH_MOST;
    struct player *players = calloc(count, sizeof(players[0]));
    bool fine = players != NULL;
    for (size_t i = 0; fine && i < count; i++) {
        players[i] = (struct player){.loop = l,
                                     .instance = &instances[i],
                                     .us = calloc(l->opts->samples_per_run, sizeof(float)),
                                     .taken = calloc(batch, sizeof(size_t))};
        fine = players[i].us && players[i].taken;
    }
    *ret = players;
    return fine ? RC_OK : err_memory(err);
}

static void free_players(struct player *players, size_t count) {
    for (size_t i = 0; players && i < count; i++) {
        free(players[i].us);
        free(players[i].taken);
    }
    free(players);
}

enum rc open_loop_run(const struct scenario_instance *instances, size_t count,
                      const struct open_loop_opts *opts, struct rate_watch *watch,
                      struct open_loop_sample *ret, struct err *err) {
    struct loop l = {.opts = opts, .watch = watch};
    struct player *players = NULL;
    size_t bytes;
    if (checked_mul(opts->queries, sizeof(float), &bytes)) {
        return err_set(err, RC_TOO_LARGE, "%zu queries do not fit in memory", opts->queries);
    }
    l.sample.us = malloc(bytes > 0 ? bytes : 1);
    enum rc rc = l.sample.us ? make_players(&l, instances, count, &players, err) : err_memory(err);
    if (rc == RC_OK) {
        pthread_mutex_init(&l.lock, NULL);
        play(&l, players, count);
        pthread_mutex_destroy(&l.lock);
        if (l.failed) {
            *err = l.err;
            rc = err->rc;
        }
    }
    free_players(players, count);
    if (rc != RC_OK) {
        free(l.sample.us);
        return rc;
    }
    *ret = l.sample;
    return RC_OK;
}

void open_loop_sample_release(struct open_loop_sample *s) {
    free(s->us);
    *s = (struct open_loop_sample){0};
}
