/* bench_overhead.c -- does our way of measuring change what is measured? The median latency that `profile`
 * reports against that of a bare loop over the runtime's own C interface with the same settings, each in
 * fresh processes, in turn. Prints one line of JSON: the ratio should lie within 2 % of 1 on a quiet machine.
 *
 *   bench_overhead [MODEL [THREADS [ROUNDS]]]     input: images of Debian's dataset-fashion-mnist */
#include <fcntl.h>
#include <onnxruntime_c_api.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/stats/quantile.h"
#include "profiler/worker/memory.h"
#include "profiler/worker/worker_job.h"

enum { WARMUP = 300, RUNS = 2000, MAX_ROUNDS = 50, IMAGE = 28 * 28 };

#define FASHION "/usr/share/datasets/fashion-mnist/t10k-"

static void check(const OrtApi *api, OrtStatus *status) {
    if (status) {
        fprintf(stderr, "bench_overhead: %s\n", api->GetErrorMessage(status));
        exit(1);
    }
}

/* The bare loop: one session, one input, one output in place. */
static double bare_us(const char *model, int threads) {
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
    for (int i = 0; i < IMAGE; i++) {
        image[i] = (float)(i * 37 % 256) / 255.0F;
    }
    check(api, api->CreateEnv(ORT_LOGGING_LEVEL_ERROR, "bare", &env));
    check(api, api->DisableTelemetryEvents(env));
    check(api, api->CreateSessionOptions(&options));
    check(api, api->SetIntraOpNumThreads(options, threads));
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
    return quantile_select(us, RUNS, RUNS / 2);
}

/* What a profile job reports. */
static double profile_us(const char *model, int threads) {
    struct job_spec spec;
    struct err err = {0};
    char text[4096];
    const char *name = strrchr(model, '/') ? strrchr(model, '/') + 1 : model;
    char *full = realpath(model, NULL);
    snprintf(text, sizeof(text),
             "{\"kind\": \"profile\", \"model\": {\"family\": \"onnx\", \"main\": \"%s\", \"files\": "
             "[{\"path\": \"%s\", \"local\": "
             "\"%s\"}]}, \"dataset\": {\"format\": \"idx\", \"input\": \"image\", \"files\": [{\"role\": "
             "\"images\", \"path\": \"i\", "
             "\"local\": \"" FASHION
             "images-idx3-ubyte.gz\"}, {\"role\": \"labels\", \"path\": \"l\", \"local\": \"" FASHION
             "labels-idx1-ubyte.gz\"}], \"preprocess\": {\"image\": {\"scale\": 0.00392156862745098, "
             "\"mean\": [0.286], \"std\": "
             "[0.353]}}}, \"runtime\": {\"instances\": 1, \"threads\": %d, \"batch\": 1}, \"time_limit_s\": "
             "60, \"min_samples\": %d}",
             name, name, full ? full : model, threads, RUNS);
    free(full);
    if (job_spec_read(text, strlen(text), &spec, &err) != RC_OK) {
        fprintf(stderr, "bench_overhead: %s\n", err.text);
        exit(1);
    }
    struct lines lines = {.fd = open("/dev/null", O_WRONLY | O_CLOEXEC)};
    pthread_mutex_init(&lines.lock, NULL);
    struct worker_job job = {.spec = &spec,
                             .lines = &lines,
                             .clear_refs_fd = memory_open_reset(),
                             .result = json_object(),
                             .files = json_array()};
    if (profile_run(&job, &err) != RC_OK) {
        fprintf(stderr, "bench_overhead: %s\n", err.text);
        exit(1);
    }
    json_t *scenario = json_object_get(json_object_get(job.result, "scenarios"), "single-stream");
    return json_number_value(json_object_get(json_object_get(scenario, "latency_us"), "p50"));
}

/* Runs one of the two in a process of its own. */
static double in_child(double (*measure)(const char *, int), const char *model, int threads) {
    int ends[2];
    double us = 0;
    if (pipe(ends) != 0) {
        return 0;
    }
    pid_t pid = fork();
    if (pid == 0) {
        us = measure(model, threads);
        _exit(write(ends[1], &us, sizeof(us)) == (ssize_t)sizeof(us) ? 0 : 1);
    }
    close(ends[1]);
    bool fine = pid > 0 && read(ends[0], &us, sizeof(us)) == (ssize_t)sizeof(us);
    close(ends[0]);
    waitpid(pid, NULL, 0);
    if (!fine) {
        exit(1);
    }
    return us;
}

int main(int argc, char **argv) {
    char folder[] = "/tmp/pare-bench-overhead-XXXXXX";
    char *model = realpath(argc > 1 ? argv[1] : "examples/fashion-mnist/fmnist-resnet.onnx", NULL);
    int threads = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 2;
    int rounds = argc > 3 ? (int)strtol(argv[3], NULL, 10) : 5;
    double bare[MAX_ROUNDS];
    double ours[MAX_ROUNDS];
    rounds = rounds > MAX_ROUNDS ? MAX_ROUNDS : rounds < 1 ? 1 : rounds;
    if (!model || !mkdtemp(folder) || chdir(folder) != 0) {
        fprintf(stderr, "bench_overhead: there is no model (run it in the root of the repository)\n");
        return 1;
    }
    for (int i = 0; i < rounds; i++) {
        for (int k = 0; k < 2; k++) { /* whoever is first in one round is second in the next */
            bool first = (i + k) % 2 == 0;
            *(first ? &bare[i] : &ours[i]) = in_child(first ? bare_us : profile_us, model, threads);
        }
    }
    double bare_median = quantile_select(bare, (size_t)rounds, ((size_t)rounds + 1) / 2);
    double ours_median = quantile_select(ours, (size_t)rounds, ((size_t)rounds + 1) / 2);
    printf("{\"bench\": \"overhead\", \"rounds\": %d, \"threads\": %d, \"bare_p50_us\": %.1f, "
           "\"profile_p50_us\": %.1f, \"ratio\": "
           "%.4f}\n",
           rounds, threads, bare_median, ours_median, ours_median / bare_median);
    unlink("single-stream.bin");
    rmdir(folder);
    free(model);
    return 0;
}
