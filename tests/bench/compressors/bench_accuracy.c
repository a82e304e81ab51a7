/* bench_accuracy.c -- what recipes make of the models in ../shared (or PARE_MODELS): accuracy, milliseconds
 * at batch 1, bytes and seconds to make, beside the figures of ONNX Runtime's own Python quantizers.
 *
 *   bench_accuracy [MODEL [RECIPE...]]      BENCH_EVAL=n evaluates the first n examples only, BENCH_THREADS=n
 * (default 2), FASHION_MNIST=folder, BENCH_OUT=folder for the artifacts, BENCH_VERBOSE=1 lists what was
 * changed, BENCH_OPTIMIZED=file keeps the graph as the runtime optimised it
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compressors/compressor.h"
#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/recipes/recipe.h"
#include "core/recipes/record.h"
#include "tests/support/onnx_accuracy.h"

enum { PATH_SIZE = 1024, TIMED_RUNS = 300, WARMUP_RUNS = 30 };

struct subject {
    const char *name;
    const char *data; /* stem of the npz files; NULL: Fashion-MNIST */
    const char *peer; /* accuracy, ms, bytes, seconds of fp32 | dynamic | static */
};

static const struct subject subjects[] = {
    {"fmnist-resnet", NULL,
     "fp32 0.9478 0.916 ms 2785205 B | dynamic 0.9479 9.371 ms 723346 B 0.02 s | static 0.9479 0.440 ms "
     "741107 B 0.95 s (entropy 4.25 s)"},
    {"fmnist-vgg", NULL,
     "fp32 0.9489 1.327 ms 16141194 B | dynamic 0.9490 11.8 ms 4063072 B 0.2 s | static 0.9490 0.653 ms "
     "4088477 B 1.83 s (entropy 4.22 s)"},
    {"fmnist-resnet-thin", NULL, "fp32 0.9056 | weights only, 8 bits 0.9052"},
    {"sst2-bert", "sst2-bert",
     "fp32 0.9228 4.703 ms 21065877 B | dynamic 0.9228 2.919 ms 5506040 B 0.89 s | static 0.8584 3.086 ms "
     "5499673 B 3.42 s (entropy 26.3 s)"},
    {"docs-lm", "docs-lm",
     "fp32 0.3896 17973124 B | dynamic 0.3826 4700402 B 1.06 s | static 0.1345 4707440 B 4.87 s (MatMul "
     "alone 0.3787 7861936 B)"},
};

static size_t setting(const char *name, size_t absent) {
    const char *text = getenv(name);
    return text ? (size_t)strtoull(text, NULL, 10) : absent;
}

/* --- measuring --- */

static int by_time(const void *a, const void *b) {
    const uint64_t *x = a;
    const uint64_t *y = b;
    return *x < *y ? -1 : *x > *y;
}

static double median_ms(struct onnxruntime_session *s, const struct dataset *d, struct feed *f) {
    static uint64_t times[TIMED_RUNS];
    struct onnxruntime_binding *b = NULL;
    struct err err;
    feed_fill(f, d, 0, 1);
    if (onnxruntime_binding_new(s, f->tensors, &b, &err)) {
        die("binding", &err);
    }
    for (int i = -WARMUP_RUNS; i < TIMED_RUNS; i++) {
        uint64_t start = clock_mono_ns();
        if (onnxruntime_binding_run(b, &err)) {
            die("run", &err);
        }
        if (i >= 0) {
            times[i] = clock_mono_ns() - start;
        }
    }
    onnxruntime_binding_free(b);
    qsort(times, TIMED_RUNS, sizeof(times[0]), by_time);
    return (double)times[TIMED_RUNS / 2] / 1e6;
}

static void measure(struct onnxruntime *r, const char *path, const char *recipe, double seconds,
                    struct dataset *d, bool *bound, const char *optimized) {
    struct onnxruntime_session_opts opts = {.threads = (uint32_t)setting("BENCH_THREADS", 2),
                                            .save_optimized = optimized};
    struct onnxruntime_session *s = NULL;
    struct feed f = {0};
    struct err err;
    uint64_t bytes = 0;
    const struct tensor_spec *inputs = NULL;
    if (onnxruntime_open(r, path, &opts, &s, &err) || file_size(path, &bytes, &err)) {
        die(path, &err);
    }
    f.count = onnxruntime_inputs(s, &inputs);
    if (!*bound && dataset_bind(d, inputs, f.count, &err)) {
        die("dataset", &err);
    }
    *bound = true;
    double ms = median_ms(s, d, &f);
    printf("  %-32s %.4f  %7.3f ms  %9llu B  %6.2f s\n", recipe, accuracy(s, d, &f, setting("BENCH_EVAL", 0)),
           ms, (unsigned long long)bytes, seconds);
    fflush(stdout);
    feed_release(&f);
    onnxruntime_close(s);
}

/* --- compressing --- */

static void print_record(const struct record *r) {
    if (!getenv("BENCH_VERBOSE")) {
        return;
    }
    for (size_t i = 0; i < r->changed.count; i++) {
        printf("    changed %s: %s\n", r->changed.entries[i].tensor, r->changed.entries[i].text);
    }
    for (size_t i = 0; i < r->left_alone.count; i++) {
        printf("    left alone %s: %s\n", r->left_alone.entries[i].tensor, r->left_alone.entries[i].text);
    }
    for (size_t i = 0; i < r->notes.count; i++) {
        printf("    note: %s\n", r->notes.entries[i].text);
    }
}

/* Returns seconds, reading and writing the model included; the calibration data is in memory before, as it
 * was for the peer. The artifact is `folder`/model.onnx. */
static double compress(const char *in, const char *folder, const char *text, struct dataset *calibration) {
    struct err err;
    struct recipe recipe;
    struct compress_result result;
    const struct compress_file file = {"model.onnx", in};
    if (recipe_parse(text, FAMILY_ONNX, &recipe, &err)) {
        die(text, &err);
    }
    const struct compress_request request = {.recipe = &recipe,
                                             .files = &file,
                                             .file_count = 1,
                                             .main_path = "model.onnx",
                                             .out_folder = folder,
                                             .calibration = calibration,
                                             .threads = (uint32_t)setting("BENCH_THREADS", 2)};
    if (compressors_run(&request, &result, &err)) {
        printf("  %-32s refused: %s\n", text, err.text);
        return -1;
    }
    print_record(&result.record);
    double seconds = result.seconds;
    compress_result_release(&result);
    return seconds;
}

static void bench(struct onnxruntime *r, const struct subject *s, const char *const *recipes, size_t count) {
    char path[PATH_SIZE];
    char out[PATH_SIZE];
    const char *root = getenv("BENCH_OUT");
    char folder[PATH_SIZE];
    snprintf(path, sizeof(path), "%s/models/%s.onnx", models_folder(), s->name);
    snprintf(folder, sizeof(folder), "%s/bench-accuracy-XXXXXX", root ? root : "/tmp");
    if (!mkdtemp(folder)) {
        perror(folder);
        exit(1);
    }
    snprintf(out, sizeof(out), "%.900s/model.onnx", folder);
    struct dataset *d = open_data(s->data, false), *calibration = open_data(s->data, true);
    bool bound = false;
    printf("%s\n  peer (1.30, 2 threads of a Xeon): %s\n", s->name, s->peer);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(recipes[i], "fp32") == 0) {
            measure(r, path, recipes[i], 0, d, &bound, getenv("BENCH_OPTIMIZED"));
            continue;
        }
        double seconds = compress(path, folder, recipes[i], calibration);
        if (seconds >= 0) {
            measure(r, out, recipes[i], seconds, d, &bound, getenv("BENCH_OPTIMIZED"));
        }
    }
    dataset_free(calibration);
    dataset_free(d);
    if (!root) {
        struct err err;
        if (file_remove_tree(folder, &err)) {
            die(folder, &err);
        }
    }
}

int main(int argc, char **argv) {
    static const char *const all[] = {"fp32", "int8:dynamic", "int8:static"};
    const char *const *recipes = argc > 2 ? (const char *const *)&argv[2] : all;
    size_t count = argc > 2 ? (size_t)argc - 2 : sizeof(all) / sizeof(all[0]);
    struct onnxruntime *r = NULL;
    struct err err;
    if (onnxruntime_new(NULL, &r, &err)) {
        die("ONNX Runtime", &err);
    }
    for (size_t i = 0; i < sizeof(subjects) / sizeof(subjects[0]); i++) {
        if (argc < 2 || strcmp(argv[1], "all") == 0 || strcmp(argv[1], subjects[i].name) == 0) {
            bench(r, &subjects[i], recipes, count);
        }
    }
    onnxruntime_free(r);
    return 0;
}
