/* bench_server.c -- the search for a server's rate against an exhaustive sweep, on the real model: the rate
 * that each finds, and the queries that each takes. Both use the same schedule and limits in one process, in
 * turn, over several rounds: a machine's speed drifts between two of them by more than what is looked for.
 * Prints one line of JSON: the median of the rounds' ratios of rates should lie within 5 % of 1, that of the
 * queries below 0.25.
 *
 * The latency limit is a multiple of the median of runs that do not wait, so that a slow machine has one as
 * well.
 *
 *   bench_server [MODEL [TIMES [PERCENTILE [STEP_PERCENT [ROUNDS]]]]]     input: one image of noise; one
 * thread
 *
 * Defaults: p90 within 4 times the median (p99 of 1,500 queries hangs on a handful of the machine's stalls:
 * there both answers move by up to 9 % between rounds); rates 2.5 % of the offline throughput apart; 5 rounds
 * of about 85 s. Exit 1 when the search misses. */
#include <math.h>
#include <onnxruntime_c_api.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/stats/poisson.h"
#include "core/stats/quantile.h"
#include "profiler/worker/open_loop.h"
#include "profiler/worker/server_rate.h"

enum {
    THREADS = 1,
    IMAGE = 28 * 28,
    MIN_QUERIES = 1500,
    SCHEDULE_SEED = 1,
    WAITING_MOST = 8192,
    ROUNDS_MAX = 99
};
static const uint64_t SECOND_NS = 1000000000;
static const double LOWEST_SHARE =
    0.3; /* of the offline throughput: the sweep begins there, to spend less time */
static const double RATES_APART = 1.05, QUERIES_SHARE = 0.25;

struct model {
    const OrtApi *api;
    OrtSession *session;
    OrtValue *in, *out;
};

static void check(const OrtApi *api, OrtStatus *status) {
    if (status) {
        fprintf(stderr, "bench_server: %s\n", api->GetErrorMessage(status));
        exit(1);
    }
}

static void fine(enum rc rc, const struct err *err) {
    if (rc != RC_OK) {
        fprintf(stderr, "bench_server: %s\n", err->text);
        exit(1);
    }
}

static void open_model(const char *path, struct model *m) {
    static float image[IMAGE], logits[10];
    const int64_t in_shape[] = {1, 1, 28, 28}, out_shape[] = {1, 10};
    OrtEnv *env;
    OrtSessionOptions *options;
    OrtMemoryInfo *memory;
    const OrtApi *api = m->api = OrtGetApiBase()->GetApi(ORT_API_VERSION);
    for (int i = 0; i < IMAGE; i++) {
        image[i] = (float)(i * 37 % 256) / 255.0F;
    }
    check(api, api->CreateEnv(ORT_LOGGING_LEVEL_ERROR, "bench", &env));
    check(api, api->DisableTelemetryEvents(env));
    check(api, api->CreateSessionOptions(&options));
    check(api, api->SetIntraOpNumThreads(options, THREADS));
    check(api, api->CreateSession(env, path, options, &m->session));
    check(api, api->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory));
    check(api, api->CreateTensorWithDataAsOrtValue(memory, image, sizeof(image), in_shape, 4,
                                                   ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &m->in));
    check(api, api->CreateTensorWithDataAsOrtValue(memory, logits, sizeof(logits), out_shape, 2,
                                                   ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &m->out));
}

static enum rc run(void *user, float *us, struct err *err) {
    static const char *const in_names[] = {"image"}, *const out_names[] = {"logits"};
    struct model *m = user;
    const OrtValue *const inputs[] = {m->in};
    uint64_t start = clock_mono_ns();
    (void)err;
    check(m->api, m->api->Run(m->session, NULL, in_names, inputs, 1, out_names, 1, &m->out));
    us[0] = (float)((double)(clock_mono_ns() - start) / 1e3);
    return RC_OK;
}

/* Every rate of the grid, each in full, from low to high; the highest that was met. */
static double sweep(const struct scenario_instance *instance, const struct rate_limit *limit,
                    double most_per_s, double step, size_t full, uint64_t *queries) {
    double *unit_s = calloc(full, sizeof(*unit_s)), *at_s = calloc(full, sizeof(*at_s)), best = 0;
    if (!unit_s || !at_s) {
        exit(1);
    }
    poisson_schedule(SCHEDULE_SEED, 1, unit_s, full);
    for (double share = LOWEST_SHARE; share < 1 + step / 2; share += step) {
        struct open_loop_sample sample;
        struct rate_watch w;
        struct err err;
        const struct open_loop_opts opts = {.clock = &OPEN_LOOP_CLOCK,
                                            .at_s = at_s,
                                            .queries = full,
                                            .batch = 1,
                                            .samples_per_run = 1,
                                            .waiting_most = WAITING_MOST,
                                            .end_ns = UINT64_MAX};
        for (size_t i = 0; i < full; i++) {
            at_s[i] = unit_s[i] / (share * most_per_s);
        }
        rate_watch_init(&w, RATE_WATCH_FULL, limit, 1, 0.95, full);
        fine(open_loop_run(instance, 1, &opts, &w, &sample, &err), &err);
        open_loop_sample_release(&sample);
        *queries += full; /* it would not stop early */
        best = w.verdict == BINOMIAL_MET ? share * most_per_s : best;
    }
    free(unit_s);
    free(at_s);
    return best;
}

static double median_us(const struct scenario_sample *s) {
    float *sorted = calloc(s->n, sizeof(*sorted));
    if (!sorted) {
        exit(1);
    }
    memcpy(sorted, s->us, s->n * sizeof(*sorted));
    quantile_sort(sorted, s->n);
    double median = (double)quantile_of(sorted, s->n, 0.5);
    free(sorted);
    return median;
}

struct rates {
    double search[ROUNDS_MAX], sweep[ROUNDS_MAX], ratio[ROUNDS_MAX];
    uint64_t search_queries, sweep_queries;
    bool complete;
};

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median_of(const double *values, int count) {
    double sorted[ROUNDS_MAX];
    memcpy(sorted, values, (size_t)count * sizeof(*values));
    qsort(sorted, (size_t)count, sizeof(*sorted), by_value);
    return (sorted[(count - 1) / 2] + sorted[count / 2]) / 2;
}

static void search_once(const struct scenario_instance *instance, const struct scenario_sample *filled,
                        const struct server_rate_opts *opts, struct rates *r, int round) {
    struct server_rate_result found;
    struct err err;
    fine(server_rate_run(instance, 1, filled, opts, &found, &err), &err);
    r->search[round] = found.search.met_per_s;
    r->search_queries += found.search.queries;
    r->complete = r->complete && found.search.complete;
    server_rate_release(&found);
}

int main(int argc, char **argv) {
    const char *path = argc > 1 ? argv[1] : "examples/fashion-mnist/fmnist-resnet.onnx";
    double times = argc > 2 ? strtod(argv[2], NULL) : 4;
    double percentile = argc > 3 ? strtod(argv[3], NULL) / 100 : 0.9;
    double step = (argc > 4 ? strtod(argv[4], NULL) : 2.5) / 100;
    int rounds = argc > 5 ? atoi(argv[5]) : 5;
    struct rate_limit limit = {percentile, 0};
    struct model model;
    struct scenario_sample filled;
    struct rates r = {.complete = true};
    struct err err;
    rounds = rounds < 1 ? 1 : rounds < ROUNDS_MAX ? rounds : ROUNDS_MAX;
    open_model(path, &model);
    struct scenario_instance instance = {.run = run, .user = &model};
    CPU_ZERO(&instance.cpus);
    CPU_SET(1, &instance.cpus);
    const struct scenario_opts closed = {
        .samples_per_run = 1, .min_samples = 2000, .min_ns = SECOND_NS, .limit_ns = 20 * SECOND_NS};
    const struct server_rate_opts opts = {.limits = &limit,
                                          .limit_count = 1,
                                          .confidence = 0.95,
                                          .min_queries = MIN_QUERIES,
                                          .limit_ns = 120 * SECOND_NS,
                                          .batch = 1,
                                          .samples_per_run = 1};
    fine(scenario_run(&instance, 1, &closed, &filled, &err), &err);
    limit.limit_us = times * median_us(&filled);
    size_t full = (size_t)rate_watch_samples(&limit, 1, 0.95, MIN_QUERIES);
    for (int i = 0; i < rounds; i++) {
        if (i % 2 == 0) {
            search_once(&instance, &filled, &opts, &r, i);
        }
        r.sweep[i] = sweep(&instance, &limit, filled.rate_per_s, step, full, &r.sweep_queries);
        if (i % 2 == 1) {
            search_once(&instance, &filled, &opts, &r, i);
        }
        r.ratio[i] = r.search[i] / r.sweep[i];
        fprintf(stderr, "round %d: search %.1f, sweep %.1f a second\n", i + 1, r.search[i], r.sweep[i]);
    }
    double apart = median_of(r.ratio, rounds), share = (double)r.search_queries / (double)r.sweep_queries;
    printf("{\"bench\": \"server\", \"rounds\": %d, \"limit_us\": %.0f, \"offline_per_s\": %.0f, "
           "\"search_per_s\": %.1f, \"complete\": %s, \"sweep_per_s\": %.1f, \"rate_ratio\": %.4f, "
           "\"search_queries\": %llu, \"sweep_queries\": %llu, \"query_ratio\": %.4f}\n",
           rounds, limit.limit_us, filled.rate_per_s, median_of(r.search, rounds),
           r.complete ? "true" : "false", median_of(r.sweep, rounds), apart,
           (unsigned long long)r.search_queries, (unsigned long long)r.sweep_queries, share);
    scenario_sample_release(&filled);
    bool found = apart < RATES_APART && apart > 1 / RATES_APART && share < QUERIES_SHARE;
    return found ? 0 : 1;
}
