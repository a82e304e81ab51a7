/* server_rate.c -- see server_rate.h. */
#include "profiler/worker/server_rate.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/stats/open_queue.h"
#include "core/stats/poisson.h"
#include "profiler/worker/open_loop.h"

enum { SCHEDULE_SEED = 1, WAITING_MOST = 8192 };
static const double RESOLUTION = 0.03;
static const double LEAST_RATIO = 0.02;
static const double MODEST_RATIO = 0.2;

struct server {
    const struct scenario_instance *instances;
    size_t count;
    const struct scenario_sample *filled;
    const struct server_rate_opts *opts;
    size_t queries; /* of a full probe */
    uint64_t end_ns;
    double *unit_s;    /* [queries] the schedule at one query a second */
    double *at_s;      /* [queries] the schedule of a probe */
    double *free_at_s; /* [count] of the simulated queue */
    struct server_rate_result r;
    struct open_loop_sample met, lowest; /* of the highest rate that was met last, and of the lowest tried */
    double met_per_s, lowest_per_s;
};

static void schedule(struct server *s, double rate_per_s) {
    for (size_t i = 0; i < s->queries; i++) {
        s->at_s[i] = s->unit_s[i] / rate_per_s;
    }
}

/* ---- the guess ---- */

/* Time of a whole run of the filled machine, in seconds. */
static double service_s(const struct server *s, size_t run) {
    size_t each = s->opts->samples_per_run;
    const float *us = s->filled->us + run * each;
    double sum = 0;
    for (size_t i = 0; i < each; i++) {
        sum += (double)us[i];
    }
    return sum / 1e6;
}

static enum rc simulated_probe(void *user, double rate_per_s, enum rate_watch_kind kind,
                               struct rate_probe *ret, struct err *err) {
    struct server *s = user;
    struct open_queue q = {s->free_at_s, s->count};
    struct rate_watch w;
    size_t runs = s->filled->n / s->opts->samples_per_run;
    (void)kind;
    (void)err;
    memset(s->free_at_s, 0, s->count * sizeof(double));
    rate_watch_init(&w, RATE_WATCH_FULL, s->opts->limits, s->opts->limit_count, s->opts->confidence,
                    s->queries);
    for (size_t i = 0; i < s->queries && !w.done; i++) {
        double latency_s = open_queue_latency_s(&q, s->unit_s[i] / rate_per_s, service_s(s, i % runs));
        rate_watch_add(&w, latency_s * 1e6 / (double)s->opts->samples_per_run);
    }
    *ret = (struct rate_probe){.verdict = w.verdict, .n = w.n};
    return RC_OK;
}

/* Whether runs that never wait break a limit already. */
static bool too_slow_alone(const struct server *s) {
    struct rate_watch w;
    size_t runs = s->filled->n / s->opts->samples_per_run;
    rate_watch_init(&w, RATE_WATCH_SHORT, s->opts->limits, s->opts->limit_count, s->opts->confidence, runs);
    for (size_t i = 0; i < runs; i++) {
        rate_watch_add(&w, service_s(s, i) * 1e6 / (double)s->opts->samples_per_run);
    }
    return w.verdict == BINOMIAL_BROKEN;
}

/* 0 where the queue is not so simple (batches) or the simulation meets no rate. */
static double guess(struct server *s, const struct rate_search_opts *opts) {
    struct rate_search_result r;
    struct err err;
    if (s->opts->batch > 1 || rate_search(opts, simulated_probe, s, &r, &err) != RC_OK) {
        return 0;
    }
    return r.met_per_s;
}

/* Where to begin, and how low to go. Where runs alone break a limit, one probe at a modest rate shows it, and
 * lower ones would only take longer. */
static struct rate_search_opts prepare(struct server *s) {
    struct rate_search_opts opts = {.most_per_s = s->filled->rate_per_s / (double)s->opts->samples_per_run *
                                                  (double)s->opts->batch,
                                    .least_ratio = LEAST_RATIO,
                                    .resolution = RESOLUTION};
    if (too_slow_alone(s)) {
        opts.least_ratio = MODEST_RATIO;
        opts.guess_per_s = MODEST_RATIO * opts.most_per_s;
    } else {
        opts.guess_per_s = guess(s, &opts);
    }
    return opts;
}

/* ---- a real probe ---- */

static void note(struct server *s, double rate_per_s, const struct rate_watch *w) {
    uint64_t over = 0;
    for (size_t i = 0; i < w->count; i++) {
        over = w->over[i] > over ? w->over[i] : over;
    }
    if (s->r.probe_count < SERVER_RATE_PROBES_MAX) {
        s->r.probes[s->r.probe_count++] =
            (struct server_rate_probe){rate_per_s, w->kind, w->n, over, w->verdict};
    }
}

/* Keeps the sample where it may be the answer. */
static void keep(struct server *s, double rate_per_s, bool met, struct open_loop_sample *sample) {
    bool first = s->lowest.n == 0 || rate_per_s < s->lowest_per_s;
    if (met) {
        open_loop_sample_release(&s->met);
        s->met = *sample;
        s->met_per_s = rate_per_s;
    } else if (first && sample->n > 0) {
        open_loop_sample_release(&s->lowest);
        s->lowest = *sample;
        s->lowest_per_s = rate_per_s;
    } else {
        open_loop_sample_release(sample);
    }
}

static enum rc probe(void *user, double rate_per_s, enum rate_watch_kind kind, struct rate_probe *ret,
                     struct err *err) {
    struct server *s = user;
    struct open_loop_sample sample;
    struct rate_watch w;
    const struct open_loop_opts opts = {.clock = &OPEN_LOOP_CLOCK,
                                        .at_s = s->at_s,
                                        .queries = s->queries,
                                        .batch = s->opts->batch,
                                        .samples_per_run = s->opts->samples_per_run,
                                        .waiting_most = WAITING_MOST,
                                        .end_ns = s->end_ns};
    schedule(s, rate_per_s);
    rate_watch_init(&w, kind, s->opts->limits, s->opts->limit_count, s->opts->confidence,
                    rate_watch_most(kind, s->queries));
    enum rc rc = open_loop_run(s->instances, s->count, &opts, &w, &sample, err);
    if (rc != RC_OK) {
        return rc;
    }
    rate_watch_end(&w);
    if (sample.overflowed) { /* however short the waits were until then */
        w.verdict = BINOMIAL_BROKEN;
    }
    *ret = (struct rate_probe){.verdict = w.verdict, .n = sample.n, .out_of_time = sample.out_of_time};
    s->r.waited_ns += sample.waited_ns;
    note(s, rate_per_s, &w);
    keep(s, rate_per_s, w.verdict == BINOMIAL_MET, &sample);
    return RC_OK;
}

/* ---- the search ---- */

static enum rc make_room(struct server *s, struct err *err) {
    s->unit_s = calloc(s->queries, sizeof(double));
    s->at_s = calloc(s->queries, sizeof(double));
    s->free_at_s = calloc(s->count, sizeof(double));
    if (!s->unit_s || !s->at_s || !s->free_at_s) {
        return err_memory(err);
    }
    poisson_schedule(SCHEDULE_SEED, 1, s->unit_s, s->queries);
    return RC_OK;
}

/* The sample of the rate that is answered becomes the result's. */
static enum rc take_sample(struct server *s, struct err *err) {
    bool met = s->r.search.met_per_s > 0;
    struct open_loop_sample *from = met ? &s->met : &s->lowest;
    if (from->n == 0) {
        return err_set(err, RC_TIMEOUT, "not one query was answered within the time limit: give more time");
    }
    s->r.rate_per_s = met ? s->met_per_s : s->lowest_per_s;
    s->r.us = from->us;
    s->r.n = from->n;
    *from = (struct open_loop_sample){0};
    return RC_OK;
}

enum rc server_rate_run(const struct scenario_instance *instances, size_t count,
                        const struct scenario_sample *filled, const struct server_rate_opts *opts,
                        struct server_rate_result *ret, struct err *err) {
    struct server s = {.instances = instances, .count = count, .filled = filled, .opts = opts};
    s.queries = rate_watch_samples(opts->limits, opts->limit_count, opts->confidence, opts->min_queries);
    enum rc rc = make_room(&s, err);
    if (rc == RC_OK) {
        struct rate_search_opts search = prepare(&s);
        s.end_ns = clock_mono_ns() + opts->limit_ns;
        rc = rate_search(&search, probe, &s, &s.r.search, err);
    }
    if (rc == RC_OK) {
        rc = take_sample(&s, err);
    }
    if (rc == RC_OK) {
        *ret = s.r;
    }
    open_loop_sample_release(&s.met);
    open_loop_sample_release(&s.lowest);
    free(s.unit_s);
    free(s.at_s);
    free(s.free_at_s);
    return rc;
}

void server_rate_release(struct server_rate_result *r) {
    free(r->us);
    *r = (struct server_rate_result){0};
}

json_t *server_rate_probes_json(const struct server_rate_result *r) {
    static const char *const verdicts[] = {
        [BINOMIAL_MET] = "met", [BINOMIAL_BROKEN] = "broken", [BINOMIAL_UNDECIDED] = "undecided"};
    json_t *list = json_array();
    for (size_t i = 0; i < r->probe_count; i++) {
        const struct server_rate_probe *p = &r->probes[i];
        json_array_append_new(list,
                              json_pack("{s:f, s:b, s:I, s:I, s:s}", "rate_per_s", p->rate_per_s, "full",
                                        (int)(p->kind == RATE_WATCH_FULL), "n", (json_int_t)p->n, "over",
                                        (json_int_t)p->over, "verdict", verdicts[p->verdict]));
    }
    return list;
}
