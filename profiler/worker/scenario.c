/* scenario.c -- see scenario.h. */
#include "profiler/worker/scenario.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/checked.h"
#include "core/base/clock.h"
#include "core/stats/quantile.h"
#include "profiler/worker/conditions.h"

enum { WINDOW_RUNS = 8, STEADY_WINDOWS = 3, MAX_WINDOW = 4096 };
static const uint64_t WINDOW_NS = 20000000;
static const double STEADY_RATIO = 0.02;

struct stroke { /* one run that ended */
    uint64_t end_ns;
    size_t first; /* of its samples, among its instance's */
};

struct scene {
    const struct scenario_opts *opts;
    uint64_t start_ns; /* of the whole call */
    atomic_uint_fast64_t samples;
    atomic_bool stop, failed;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t all_warm;
    size_t expected, warm; /* threads; those that wait to begin */
    struct err err;
};

struct player {
    struct scene *scene;
    const struct scenario_instance *instance;
    pthread_t thread;
    float *us;
    struct stroke *strokes;
    size_t runs, capacity;
    uint64_t warmup_runs, begin_ns, waited_ns;
};

static void fail(struct scene *scene, const struct err *err) {
    pthread_mutex_lock(&scene->lock);
    if (!atomic_exchange(&scene->failed, true)) {
        scene->err = *err;
    }
    pthread_mutex_unlock(&scene->lock);
    atomic_store(&scene->stop, true);
}

/* Waits until every thread has come here. */
static void wait_for_all(struct scene *scene) {
    pthread_mutex_lock(&scene->lock);
    scene->warm++;
    while (scene->warm < scene->expected) {
        pthread_cond_wait(&scene->all_warm, &scene->lock);
    }
    pthread_cond_broadcast(&scene->all_warm);
    pthread_mutex_unlock(&scene->lock);
}

/* Median over one window of runs, of a run's total. */
static enum rc window_median(struct player *p, float *us, uint64_t deadline_ns, float *median,
                             struct err *err) {
    float totals[MAX_WINDOW];
    size_t runs = 0;
    uint64_t start = clock_mono_ns();
    uint64_t now = start;
    while (runs < MAX_WINDOW &&
           (runs == 0 || (now < deadline_ns && (runs < WINDOW_RUNS || now - start < WINDOW_NS)))) {
        enum rc rc = p->instance->run(p->instance->user, us, err);
        if (rc != RC_OK) {
            return rc;
        }
        float total = 0;
        for (size_t i = 0; i < p->scene->opts->samples_per_run; i++) {
            total += us[i];
        }
        totals[runs++] = total;
        now = clock_mono_ns();
    }
    quantile_sort(totals, runs);
    *median = quantile_of(totals, runs, 0.5);
    p->warmup_runs += runs;
    return RC_OK;
}

static enum rc warm_up(struct player *p, struct err *err) {
    const struct scenario_opts *opts = p->scene->opts;
    uint64_t deadline = p->scene->start_ns + opts->limit_ns / 5;
    float *us = calloc(opts->samples_per_run, sizeof(float));
    if (!us) {
        return err_memory(err);
    }
    enum rc rc = RC_OK;
    float last = 0;
    for (int steady = 1;
         rc == RC_OK && steady < STEADY_WINDOWS && (p->warmup_runs == 0 || clock_mono_ns() < deadline);) {
        float median = 0;
        rc = window_median(p, us, deadline, &median, err);
        steady = last > 0 && fabsf(median - last) <= (float)STEADY_RATIO * last ? steady + 1 : 1;
        last = median;
    }
    free(us);
    return rc;
}

/* Room for one more run. */
static enum rc make_room(struct player *p, struct err *err) {
    if (p->runs < p->capacity) {
        return RC_OK;
    }
    size_t capacity = p->capacity > 0 ? p->capacity * 2 : 4096;
    size_t bytes;
    if (checked_mul(capacity, p->scene->opts->samples_per_run * sizeof(float), &bytes)) {
        return err_set(err, RC_TOO_LARGE, "more runs than fit in memory");
    }
    float *us = realloc(p->us, bytes);
    if (us) {
        p->us = us;
    }
    struct stroke *strokes = realloc(p->strokes, capacity * sizeof(strokes[0]));
    if (strokes) {
        p->strokes = strokes;
    }
    if (!us || !strokes) {
        return err_memory(err);
    }
    p->capacity = capacity;
    return RC_OK;
}

static bool enough(const struct scene *scene, uint64_t samples, uint64_t measured_ns, uint64_t now_ns) {
    const struct scenario_opts *opts = scene->opts;
    return (samples >= opts->min_samples && measured_ns >= opts->min_ns) ||
           now_ns - scene->start_ns >= opts->limit_ns;
}

static enum rc measure(struct player *p, struct err *err) {
    struct scene *scene = p->scene;
    size_t each = scene->opts->samples_per_run;
    p->begin_ns = clock_mono_ns();
    while (!atomic_load_explicit(&scene->stop, memory_order_relaxed)) {
        enum rc rc = make_room(p, err);
        if (rc == RC_OK) {
            rc = p->instance->run(p->instance->user, p->us + p->runs * each, err);
        }
        if (rc != RC_OK) {
            return rc;
        }
        uint64_t now = clock_mono_ns();
        p->strokes[p->runs] = (struct stroke){now, p->runs * each};
        p->runs++;
        uint64_t samples = atomic_fetch_add(&scene->samples, each) + each;
        if (enough(scene, samples, now - p->begin_ns, now)) {
            atomic_store(&scene->stop, true);
        }
    }
    return RC_OK;
}

static void *on_thread(void *user) {
    struct player *p = user;
    struct err err = {0};
    enum rc rc = RC_OK;
    if (sched_setaffinity(0, sizeof(p->instance->cpus), &p->instance->cpus) != 0) {
        rc = err_set(&err, RC_INTERNAL, "an instance cannot be pinned to its cores");
    }
    if (rc == RC_OK) {
        rc = warm_up(p, &err);
    }
    if (rc != RC_OK) {
        fail(p->scene, &err);
    }
    wait_for_all(p->scene); /* everybody comes here, whatever happened */
    if (rc == RC_OK && (rc = measure(p, &err)) != RC_OK) {
        fail(p->scene, &err);
    }
    p->waited_ns = conditions_thread_waited_ns();
    return NULL;
}

/* Merges the players' runs by the time at which they ended. */
static enum rc collect(struct player *players, size_t count, size_t each, struct scenario_sample *ret,
                       struct err *err) {
    size_t runs = 0;
    *ret = (struct scenario_sample){0};
    for (size_t i = 0; i < count; i++) {
        const struct player *p = &players[i];
        runs += p->runs;
        ret->warmup_runs += p->warmup_runs;
        ret->waited_ns += p->waited_ns;
        if (p->runs > 0) {
            double seconds = (double)(p->strokes[p->runs - 1].end_ns - p->begin_ns) / 1e9;
            ret->rate_per_s += (double)(p->runs * each) / seconds;
        }
    }
    if (runs == 0) {
        return err_set(err, RC_TIMEOUT, "not one run was complete within the time limit: give more time");
    }
    ret->us = malloc(runs * each * sizeof(float));
    size_t *next = calloc(count, sizeof(next[0]));
    if (!ret->us || !next) {
        free(ret->us);
        free(next);
        return err_memory(err);
    }
    for (size_t k = 0; k < runs; k++) {
        size_t best = count;
        for (size_t i = 0; i < count; i++) {
            if (next[i] < players[i].runs &&
                (best == count ||
                 players[i].strokes[next[i]].end_ns < players[best].strokes[next[best]].end_ns)) {
                best = i;
            }
        }
        memcpy(ret->us + k * each, players[best].us + players[best].strokes[next[best]].first,
               each * sizeof(float));
        next[best]++;
    }
    free(next);
    ret->n = runs * each;
    return RC_OK;
}

/* Starts the players and waits for them. One that cannot be started ends the others. */
static void play(struct scene *scene, struct player *players, size_t count) {
    size_t started = 0;
    while (started < count &&
           pthread_create(&players[started].thread, NULL, on_thread, &players[started]) == 0) {
        started++;
    }
    if (started < count) {
        struct err err;
        err_set(&err, RC_MEMORY, "thread %zu of %zu cannot be started", started + 1, count);
        fail(scene, &err);
        pthread_mutex_lock(&scene->lock);
        scene->expected = started;
        pthread_cond_broadcast(&scene->all_warm);
        pthread_mutex_unlock(&scene->lock);
    }
    for (size_t i = 0; i < started; i++) {
        pthread_join(players[i].thread, NULL);
    }
}

enum rc scenario_run(const struct scenario_instance *instances, size_t count,
                     const struct scenario_opts *opts, struct scenario_sample *ret, struct err *err) {
    struct scene scene = {.opts = opts, .start_ns = clock_mono_ns(), .expected = count};
    struct player *players = calloc(count, sizeof(players[0]));
    if (!players) {
        return err_memory(err);
    }
    pthread_mutex_init(&scene.lock, NULL);
    pthread_cond_init(&scene.all_warm, NULL);
    for (size_t i = 0; i < count; i++) {
        players[i] = (struct player){.scene = &scene, .instance = &instances[i]};
    }
    play(&scene, players, count);
    enum rc rc = RC_OK;
    if (atomic_load(&scene.failed)) {
        *err = scene.err;
        rc = err->rc;
    } else {
        rc = collect(players, count, opts->samples_per_run, ret, err);
    }
    for (size_t i = 0; i < count; i++) {
        free(players[i].us);
        free(players[i].strokes);
    }
    free(players);
    pthread_cond_destroy(&scene.all_warm);
    pthread_mutex_destroy(&scene.lock);
    return rc;
}

void scenario_sample_release(struct scenario_sample *s) {
    free(s->us);
    *s = (struct scenario_sample){0};
}
