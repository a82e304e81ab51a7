/* bench_server.c -- the search for a server's rate against an exhaustive sweep, on the real model: the rate
 * that each finds, and the queries that each takes. Both use the same schedule and limits in one process, in
 * turn. Prints one line of JSON: the ratio of the rates should lie within 5 % of 1, that of the queries below
 * 0.25.
 *
 *   bench_server [MODEL [LIMIT_US [STEP_PERCENT]]]     input: one image of noise; one thread */
#include <math.h>
#include <onnxruntime_c_api.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/stats/poisson.h"
#include "profiler/worker/open_loop.h"
#include "profiler/worker/server_rate.h"

enum { THREADS = 1, IMAGE = 28 * 28, MIN_QUERIES = 1500, SCHEDULE_SEED = 1, WAITING_MOST = 8192 };
static const uint64_t SECOND_NS = 1000000000;
static const double LOWEST_SHARE =
    0.2; /* of the offline throughput: the sweep begins there, to spend less time */

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

int main(int argc, char **argv) {
    const char *path = argc > 1 ? argv[1] : "examples/fashion-mnist/fmnist-resnet.onnx";
    const struct rate_limit limit = {0.99, argc > 2 ? strtod(argv[2], NULL) : 5000};
    double step = (argc > 3 ? strtod(argv[3], NULL) : 5) / 100;
    struct model model;
    struct scenario_sample filled;
    struct server_rate_result r;
    struct err err;
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
    fine(server_rate_run(&instance, 1, &filled, &opts, &r, &err), &err);
    uint64_t queries = 0, full = rate_watch_samples(&limit, 1, 0.95, MIN_QUERIES);
    double best = sweep(&instance, &limit, filled.rate_per_s, step, (size_t)full, &queries);
    printf("{\"bench\": \"server\", \"offline_per_s\": %.0f, \"search_per_s\": %.1f, \"complete\": %s, "
           "\"sweep_per_s\": %.1f, \"rate_ratio\": %.4f, \"search_queries\": %llu, \"sweep_queries\": %llu, "
           "\"query_ratio\": %.4f}\n",
           filled.rate_per_s, r.search.met_per_s, r.search.complete ? "true" : "false", best,
           best > 0 ? r.search.met_per_s / best : NAN, (unsigned long long)r.search.queries,
           (unsigned long long)queries, (double)r.search.queries / (double)queries);
    server_rate_release(&r);
    scenario_sample_release(&filled);
    return 0;
}
