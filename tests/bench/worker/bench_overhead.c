/* bench_overhead.c -- does our way of measuring change what is measured? The median latency that `profile`
 * reports against that of a bare loop over the runtime's own C interface with the same settings and a real
 * image, pinned to the same cores. A replicate is a fresh process of each, in random order; replicates are
 * added until their ratio is shown to be within 2 %, or not, by bounds that stay valid while it grows. Beside
 * it what the profile itself costs: the share of its time that is not spent in the runtime. Prints one line
 * of JSON; exit 1 unless the ratio is within 2 % and the share under 1 %.
 *
 *   bench_overhead [MODEL [THREADS [REPLICATES_MAX]]]     input: images of Debian's dataset-fashion-mnist */
#include <fcntl.h>
#include <math.h>
#include <onnxruntime_c_api.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/stats/quantile.h"
#include "core/stats/rng.h"
#include "core/stats/sequential.h"
#include "profiler/worker/memory.h"
#include "profiler/worker/pooled_run.h"
#include "profiler/worker/profile.h"
#include "profiler/worker/worker_job.h"

enum { WARMUP = 300, RUNS = 1000, IMAGE = 28 * 28 };
static const double MARGIN = 0.02, OVERHEAD_LIMIT = 0.01, CONFIDENCE = 0.95;

#define FASHION "/usr/share/datasets/fashion-mnist/t10k-"

static void check(const OrtApi *api, OrtStatus *status) {
    if (status) {
        fprintf(stderr, "bench_overhead: %s\n", api->GetErrorMessage(status));
        exit(1);
    }
}

struct figures {
    double p50_us;
    double idle_share; /* of the measured time, outside of the runtime's call; profile only */
};

/* The job that `profile` gets, and whose first image the bare loop runs on. */
static void read_job(const char *model, int threads, struct job_spec *spec) {
    struct err err = {0};
    char text[4096];
    const char *name = strrchr(model, '/') ? strrchr(model, '/') + 1 : model;
    snprintf(
        text, sizeof(text),
        "{\"kind\": \"profile\", \"model\": {\"family\": \"onnx\", \"main\": \"%s\", \"files\": "
        "[{\"path\": \"%s\", \"local\": \"%s\"}]}, \"dataset\": {\"format\": \"idx\", \"input\": \"image\", "
        "\"files\": [{\"role\": \"images\", \"path\": \"i\", \"local\": \"" FASHION
        "images-idx3-ubyte.gz\"}, {\"role\": \"labels\", \"path\": \"l\", \"local\": \"" FASHION
        "labels-idx1-ubyte.gz\"}], \"preprocess\": {\"image\": {\"scale\": 0.00392156862745098, \"mean\": "
        "[0.286], "
        "\"std\": [0.353]}}}, \"runtime\": {\"instances\": 1, \"threads\": %d, \"batch\": 1}, "
        "\"time_limit_s\": 60, \"min_samples\": %d}",
        name, name, model, threads, RUNS);
    if (job_spec_read(text, strlen(text), spec, &err) != RC_OK) {
        fprintf(stderr, "bench_overhead: %s\n", err.text);
        exit(2);
    }
}

static void pin(int threads) {
    cpu_set_t allowed, mine;
    sched_getaffinity(0, sizeof(allowed), &allowed);
    profile_cores(&allowed, (uint32_t)threads, 0, &mine);
    sched_setaffinity(0, sizeof(mine), &mine);
}

static const float *first_image(const struct job_spec *spec) {
    static struct input_pool pool;
    struct err err;
    if (input_pool_open(&spec->model, spec->dataset, (uint64_t)1 << 32, 1, &pool, &err) != RC_OK) {
        fprintf(stderr, "bench_overhead: %s\n", err.text);
        exit(2);
    }
    return pool.batches[0].tensors[0].data;
}

/* The bare loop: one session, one input, one output in place. */
static struct figures bare(const char *model, int threads) {
    const OrtApi *api = OrtGetApiBase()->GetApi(ORT_API_VERSION);
    OrtEnv *env = NULL;
    OrtSessionOptions *options = NULL;
    OrtSession *session = NULL;
    OrtMemoryInfo *memory = NULL;
    OrtValue *in = NULL;
    OrtValue *out = NULL;
    static float image[IMAGE];
    static float logits[10];
    static double us[RUNS];
    const int64_t in_shape[] = {1, 1, 28, 28};
    const int64_t out_shape[] = {1, 10};
    const char *const in_names[] = {"image"};
    const char *const out_names[] = {"logits"};
    struct job_spec spec;
    read_job(model, threads, &spec);
    memcpy(image, first_image(&spec), sizeof(image));
    pin(threads);
    check(api, api->CreateEnv(ORT_LOGGING_LEVEL_ERROR, "bare", &env));
    check(api, api->DisableTelemetryEvents(env));
    check(api, api->CreateSessionOptions(&options));
    check(api, api->SetIntraOpNumThreads(options, threads));
    check(api, api->SetInterOpNumThreads(options, 1));
    check(api, api->CreateSession(env, model, options, &session));
    check(api, api->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory));
    check(api, api->CreateTensorWithDataAsOrtValue(memory, image, sizeof(image), in_shape, 4,
                                                   ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &in));
    check(api, api->CreateTensorWithDataAsOrtValue(memory, logits, sizeof(logits), out_shape, 2,
                                                   ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &out));
    const OrtValue *const inputs[] = {in};
    for (int i = -WARMUP; i < RUNS; i++) {
        uint64_t start = clock_mono_ns();
        check(api, api->Run(session, NULL, in_names, inputs, 1, out_names, 1, &out));
        if (i >= 0) {
            us[i] = (double)(clock_mono_ns() - start) / 1e3;
        }
    }
    return (struct figures){.p50_us = quantile_select(us, RUNS, RUNS / 2)};
}

/* What a profile job reports. */
static struct figures profile(const char *model, int threads) {
    struct job_spec spec;
    struct err err = {0};
    read_job(model, threads, &spec);
    struct lines lines = {.fd = open("/dev/null", O_WRONLY | O_CLOEXEC)};
    pthread_mutex_init(&lines.lock, NULL);
    struct worker_job job = {.spec = &spec,
                             .lines = &lines,
                             .clear_refs_fd = memory_open_reset(),
                             .result = json_object(),
                             .files = json_array()};
    if (profile_run(&job, &err) != RC_OK) {
        fprintf(stderr, "bench_overhead: %s\n", err.text);
        exit(2);
    }
    json_t *scenario = json_object_get(json_object_get(job.result, "scenarios"), "single-stream");
    json_t *latency = json_object_get(scenario, "latency_us");
    double mean_us = json_number_value(json_object_get(latency, "mean"));
    double per_s = json_number_value(json_object_get(scenario, "throughput_per_s"));
    return (struct figures){.p50_us = json_number_value(json_object_get(latency, "p50")),
                            .idle_share = 1 - mean_us * 1e-6 * per_s};
}

/* Runs one of the two in a process of its own. */
static struct figures in_child(struct figures (*measure)(const char *, int), const char *model, int threads) {
    int ends[2];
    struct figures f = {0};
    if (pipe(ends) != 0) {
        exit(2);
    }
    pid_t pid = fork();
    if (pid == 0) {
        f = measure(model, threads);
        _exit(write(ends[1], &f, sizeof(f)) == (ssize_t)sizeof(f) ? 0 : 2);
    }
    close(ends[1]);
    bool fine = pid > 0 && read(ends[0], &f, sizeof(f)) == (ssize_t)sizeof(f);
    close(ends[0]);
    waitpid(pid, NULL, 0);
    if (!fine) {
        exit(2);
    }
    return f;
}

struct result {
    struct sequential_bounds bounds;
    enum sequential_verdict verdict;
    double bare_us, profile_us, idle_share; /* medians */
};

static double median(double *values, size_t n) {
    return quantile_select(values, n, quantile_rank(n, 0.5));
}

static struct result replicate(const char *model, int threads, size_t most) {
    double bare_us[SEQUENTIAL_LAST], profile_us[SEQUENTIAL_LAST], idle[SEQUENTIAL_LAST],
        logs[SEQUENTIAL_LAST];
    struct result r = {0};
    struct rng rng;
    size_t n = 0;
    rng_seed(&rng, 1);
    while (n < most && r.verdict == SEQUENTIAL_UNDECIDED) {
        uint32_t first = rng_below(&rng, 2);
        for (uint32_t k = 0; k < 2; k++) {
            bool plain = (first + k) % 2 == 0;
            struct figures f = in_child(plain ? bare : profile, model, threads);
            *(plain ? &bare_us[n] : &profile_us[n]) = f.p50_us;
            idle[n] = plain ? idle[n] : f.idle_share;
        }
        logs[n] = log(profile_us[n] / bare_us[n]);
        n++;
        sequential_bounds_of(logs, n, CONFIDENCE, &r.bounds);
        r.verdict = sequential_judge(&r.bounds, log1p(MARGIN));
    }
    r.bare_us = median(bare_us, n);
    r.profile_us = median(profile_us, n);
    r.idle_share = median(idle, n);
    return r;
}

int main(int argc, char **argv) {
    static const char *const verdicts[] = {"undecided", "within", "above", "below"};
    char folder[] = "/tmp/pare-bench-overhead-XXXXXX";
    char *model = realpath(argc > 1 ? argv[1] : "examples/fashion-mnist/fmnist-resnet.onnx", NULL);
    int threads = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 1;
    long most = argc > 3 ? strtol(argv[3], NULL, 10) : SEQUENTIAL_LAST;
    most = most > SEQUENTIAL_LAST ? SEQUENTIAL_LAST : most < SEQUENTIAL_FIRST ? SEQUENTIAL_FIRST : most;
    if (!model || threads < 1 || !mkdtemp(folder) || chdir(folder) != 0) {
        fprintf(stderr, "bench_overhead: there is no model (run it in the root of the repository)\n");
        return 2;
    }
    struct result r = replicate(model, threads, (size_t)most);
    printf("{\"bench\": \"overhead\", \"threads\": %d, \"replicates\": %zu, \"bare_p50_us\": %.1f, "
           "\"profile_p50_us\": %.1f, \"ratio\": %.4f, \"low\": %.4f, \"high\": %.4f, \"verdict\": \"%s\", "
           "\"overhead_share\": %.5f}\n",
           threads, r.bounds.n, r.bare_us, r.profile_us, exp(r.bounds.mean), exp(r.bounds.low),
           exp(r.bounds.high), verdicts[r.verdict], r.idle_share);
    unlink("single-stream.bin");
    rmdir(folder);
    free(model);
    return r.verdict == SEQUENTIAL_WITHIN && r.idle_share < OVERHEAD_LIMIT ? 0 : 1;
}
