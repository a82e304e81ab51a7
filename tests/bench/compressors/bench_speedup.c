/* bench_speedup.c -- how many times faster than the model as submitted its variants are at batch 1, and what
 * accuracy they keep. All are open in one process on one shared pool of threads and take turns, ten runs at a
 * time, in random order; the ratio is that of the medians.
 *
 *   bench_speedup [MODEL [RECIPE...]]      default: fmnist-vgg prune:channels prune:channels+int8:static
 *   BENCH_EVAL=n evaluates the first n examples only, BENCH_THREADS=n (default 2), PARE_MODELS, FASHION_MNIST
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compressors/compressor.h"
#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/recipes/recipe.h"
#include "tests/support/onnx_accuracy.h"

enum { VARIANTS_MAX = 16, TURNS = 60, RUNS = 10, SAMPLES = TURNS * RUNS, PATH_SIZE = 1024 };

struct variant {
    const char *recipe;
    struct onnxruntime_session *session;
    struct onnxruntime_binding *binding;
    double seconds;
    uint64_t bytes;
    uint64_t times[SAMPLES];
    size_t count;
};

static uint32_t threads(void) {
    const char *text = getenv("BENCH_THREADS");
    return text ? (uint32_t)strtoul(text, NULL, 10) : 2;
}

/* The artifact of the recipe in `path`. */
static void compress(struct variant *v, const char *in, const char *folder, struct dataset *calibration,
                     char path[PATH_SIZE]) {
    struct err err;
    struct recipe recipe;
    struct compress_result result;
    const struct compress_file file = {"model.onnx", in};
    if (recipe_parse(v->recipe, FAMILY_ONNX, &recipe, &err)) {
        die(v->recipe, &err);
    }
    const struct compress_request request = {.recipe = &recipe,
                                             .files = &file,
                                             .file_count = 1,
                                             .main_path = "model.onnx",
                                             .out_folder = folder,
                                             .calibration = calibration,
                                             .threads = threads()};
    if (compressors_run(&request, &result, &err)) {
        die(v->recipe, &err);
    }
    v->seconds = result.seconds;
    v->bytes = result.bytes;
    compress_result_release(&result);
    snprintf(path, PATH_SIZE, "%.1000s/model.onnx", folder);
}

static void open_variant(struct variant *v, struct onnxruntime *r, const char *path, struct dataset *d,
                         struct feed *f) {
    const struct onnxruntime_session_opts opts = {.pool = ONNXRUNTIME_SHARED_POOL};
    const struct tensor_spec *inputs = NULL;
    struct err err;
    if (onnxruntime_open(r, path, &opts, &v->session, &err)) {
        die(path, &err);
    }
    f->count = onnxruntime_inputs(v->session, &inputs);
    if (!dataset_is_bound(d) && dataset_bind(d, inputs, f->count, &err)) {
        die("dataset", &err);
    }
    feed_fill(f, d, 0, 1);
    if (onnxruntime_binding_new(v->session, f->tensors, &v->binding, &err)) {
        die("binding", &err);
    }
}

static void take_turn(struct variant *v, size_t turn) {
    struct err err;
    for (int i = -2; i < RUNS; i++) { /* two to warm its caches */
        uint64_t start = clock_mono_ns();
        if (onnxruntime_binding_run(v->binding, &err)) {
            die(v->recipe, &err);
        }
        if (i >= 0 && turn > 0) {
            v->times[v->count++] = clock_mono_ns() - start;
        }
    }
}

static int by_time(const void *a, const void *b) {
    const uint64_t *x = a;
    const uint64_t *y = b;
    return *x < *y ? -1 : *x > *y;
}

static double median_ms(struct variant *v) {
    qsort(v->times, v->count, sizeof(v->times[0]), by_time);
    return (double)v->times[v->count / 2] / 1e6;
}

static void measure(struct variant *variants, size_t count) {
    uint32_t seed = 1;
    for (size_t turn = 0; turn < TURNS; turn++) {
        size_t first = (seed = seed * 1664525u + 1013904223u) >> 16;
        size_t step = (seed >> 8) % 2 ? 1 : count - 1;
        for (size_t i = 0; i < count; i++) {
            take_turn(&variants[(first + i * step) % count], turn);
        }
    }
}

int main(int argc, char **argv) {
    static struct variant variants[VARIANTS_MAX];
    static const char *const standard[] = {"prune:channels", "prune:channels+int8:static"};
    const char *model = argc > 1 ? argv[1] : "fmnist-vgg";
    const char *const *recipes = argc > 2 ? (const char *const *)&argv[2] : standard;
    size_t count = 1 + (argc > 2 ? (size_t)argc - 2 : 2);
    const char *stem = strncmp(model, "fmnist", 6) == 0 ? NULL : model;
    const struct onnxruntime_opts shared = {.shared_threads = threads()};
    struct dataset *d = open_data(stem, false), *calibration = open_data(stem, true);
    struct onnxruntime *r = NULL;
    struct feed f = {0};
    struct err err;
    char in[PATH_SIZE], path[PATH_SIZE], folder[] = "/tmp/bench-speedup-XXXXXX";
    if (count > VARIANTS_MAX || !mkdtemp(folder) || onnxruntime_new(&shared, &r, &err)) {
        fprintf(stderr, "bench_speedup: cannot start\n");
        return 1;
    }
    snprintf(in, sizeof(in), "%s/models/%s.onnx", models_folder(), model);
    for (size_t i = 0; i < count; i++) {
        variants[i].recipe = i ? recipes[i - 1] : "fp32";
        compress(&variants[i], in, folder, calibration, path);
        open_variant(&variants[i], r, path, d, &f);
    }
    measure(variants, count);
    double base = median_ms(&variants[0]);
    const char *limit = getenv("BENCH_EVAL");
    for (size_t i = 0; i < count; i++) {
        struct variant *v = &variants[i];
        onnxruntime_binding_free(v->binding);
        printf("%-40s %7.3f ms  %5.2f times as fast  %.4f  %9llu B  %6.1f s to make\n", v->recipe,
               median_ms(v), base / median_ms(v),
               accuracy(v->session, d, &f, limit ? strtoul(limit, NULL, 10) : 0),
               (unsigned long long)v->bytes, v->seconds);
        onnxruntime_close(v->session);
    }
    feed_release(&f);
    onnxruntime_free(r);
    dataset_free(calibration);
    dataset_free(d);
    return file_remove_tree(folder, &err) ? 1 : 0;
}
