/* bench_compress.c -- how long each technique takes, with one thread and with all, in seconds and in GB/s of
 * float32 weights, beside the speed at which this machine copies memory.
 *
 *   bench_compress loops [NAME]            the second table alone, or its loops with NAME in their name
 *   bench_compress [MODEL [RECIPE...]]      models of PARE_MODELS (default ../shared); all of them by
 * default, and every step that has a descriptor with its default options. BENCH_THREADS=n (default: all
 * cores).
 *
 * Time is that of the recipe's steps alone: reading and writing the model is not counted, the calibration
 * data is in memory. The second table has the inner loops by themselves, on an array that no cache holds:
 * those that are bound by memory are to be compared with the copy, which is timed in turns with each. Pruning
 * works in place. prune:magnitude reads the weights once to find the threshold and once to cut. prune:wanda
 * reads and writes them once, but in between it looks at each score a dozen times to find the threshold of
 * its row, or compares it with three others: that is done in the cache and takes longer than the memory does.
 *
 * The third table has loops that are bound by computing: SparseGPT corrects all columns to the right of each
 * (columns / 2 multiplications a weight, after the inverse of the moments), and a singular value
 * decomposition takes several times that. */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compressors/compressor.h"
#include "compressors/onnx/graph.h"
#include "compressors/onnx/group_quant.h"
#include "compressors/onnx/halves.h"
#include "compressors/onnx/int8_weights.h"
#include "compressors/onnx/inverse_root.h"
#include "compressors/onnx/nbits_pack.h"
#include "compressors/onnx/parallel.h"
#include "compressors/onnx/prune_magnitude.h"
#include "compressors/onnx/prune_wanda.h"
#include "compressors/onnx/sparsegpt.h"
#include "compressors/onnx/whitened_svd.h"
#include "core/base/clock.h"
#include "core/recipes/recipe.h"
#include "core/recipes/record.h"
#include "tests/support/onnx_accuracy.h"

enum {
    PATH_SIZE = 1024,
    REPEATS = 3,
    LOOP_REPEATS = 5,
    THREADS_MAX = 64,
    ROWS = 4096,
    COLUMNS = 8192,
    TILE_ROWS = 16,
    SIDE = 768,
    SQUARE = SIDE * SIDE
};

static const double slow_seconds = 2; /* what takes longer is run once */

static uint32_t all_threads(void) {
    const char *text = getenv("BENCH_THREADS");
    long n = text ? strtol(text, NULL, 10) : sysconf(_SC_NPROCESSORS_ONLN);
    return (uint32_t)(n < 1 ? 1 : n > THREADS_MAX ? THREADS_MAX : n);
}

static double seconds_since(uint64_t start_ns) {
    return (double)(clock_mono_ns() - start_ns) / 1e9;
}

/* --- loops over a large array, each thread on its own rows --- */

struct slice {
    const float *w; /* [rows, COLUMNS] */
    size_t rows;
    void *out; /* room for as much as w */
};

/* The scalar argument is the whole work of one thread. */
typedef void loop_fn(const struct slice *s);

static void copy_loop(const struct slice *s) {
    memcpy(s->out, s->w, s->rows * COLUMNS * sizeof(float));
}

static void int8_loop(const struct slice *s) {
    struct int8_view view = {1, s->rows, COLUMNS};
    struct err err;
    float *scales = calloc(s->rows, sizeof(*scales));
    if (!scales || int8_weights_scales(s->w, view, scales, &err)) {
        die("int8", &err);
    }
    int8_weights_quantize(s->w, view, scales, s->out);
    free(scales);
}

/* Some rows at a time, so that their codes are still in a cache when they are packed. */
static void nearest(const struct slice *s, unsigned bits) {
    const struct group_format format = {bits, 32, GROUP_ASYMMETRIC};
    struct group_quant q;
    struct err err;
    uint8_t *out = s->out;
    if (group_quant_init(&q, &format, TILE_ROWS, COLUMNS, &err)) {
        die("int4", &err);
    }
    for (size_t row = 0; row < s->rows; row += TILE_ROWS) {
        size_t rows = s->rows - row < TILE_ROWS ? s->rows - row : TILE_ROWS;
        if (group_round_rows(s->w + row * COLUMNS, rows, GROUP_RANGE, NULL, 1, &q, 0, &err)) {
            die("int4", &err);
        }
        nbits_pack_matrix(&q, out);
        out += nbits_matrix_bytes(&q);
    }
    group_quant_release(&q);
}

static void int4_loop(const struct slice *s) {
    nearest(s, 4);
}

static void int8_weights_loop(const struct slice *s) {
    nearest(s, 8);
}

static void fp16_loop(const struct slice *s) {
    (void)halves_of_floats_finite(s->w, s->rows * COLUMNS, s->out);
}

static void prune_loop(const struct slice *s) {
    size_t zeros;
    struct err err;
    if (prune_magnitude_values(s->out, s->rows * COLUMNS, 0.5, &zeros, &err)) {
        die("prune", &err);
    }
}

static void wanda(const struct slice *s, const struct prune_pattern *pattern) {
    double norms[COLUMNS];
    struct err err;
    for (size_t c = 0; c < COLUMNS; c++) {
        norms[c] = 1 + (double)(c % 7);
    }
    if (prune_wanda_matrix(s->out, s->rows, COLUMNS, norms, pattern, &err)) {
        die("wanda", &err);
    }
}

static void wanda_loop(const struct slice *s) {
    const struct prune_pattern half = {.shape = PRUNE_ANYWHERE, .ratio = 0.5};
    wanda(s, &half);
}

static void two_of_four_loop(const struct slice *s) {
    const struct prune_pattern two_of_four = {.shape = PRUNE_N_OF_M, .n = 2, .m = 4};
    wanda(s, &two_of_four);
}

/* Other techniques add their inner loop here. */
static const struct {
    const char *name;
    loop_fn *run;
} loops[] = {
    {"memory copy", copy_loop},
    {"int8 scales and rounding", int8_loop},
    {"int4 rounding and packing", int4_loop},
    {"int8:weights rounding", int8_weights_loop},
    {"fp16 conversion", fp16_loop},
    {"prune:magnitude", prune_loop},
    {"prune:wanda", wanda_loop},
    {"prune:wanda,pattern=2:4", two_of_four_loop},
};

struct thread {
    pthread_t id;
    loop_fn *run;
    struct slice slice;
};

static void *on_thread(void *arg) {
    struct thread *t = arg;
    t->run(&t->slice);
    return NULL;
}

static double time_once(loop_fn *run, const float *w, float *out, uint32_t threads) {
    struct thread all[THREADS_MAX];
    uint64_t start = clock_mono_ns();
    for (uint32_t i = 0; i < threads; i++) {
        size_t first = (size_t)ROWS * i / threads, end = (size_t)ROWS * (i + 1) / threads;
        all[i].run = run;
        all[i].slice = (struct slice){w + first * COLUMNS, end - first, out + first * COLUMNS};
        if (pthread_create(&all[i].id, NULL, on_thread, &all[i]) != 0) {
            abort();
        }
    }
    for (uint32_t i = 0; i < threads; i++) {
        pthread_join(all[i].id, NULL);
    }
    return seconds_since(start);
}

/* The copy and the loop in turns, so that both see the same machine; of each the best time. Loops that change
 * weights in place have them copied by the turn before. */
static void bench_loop(loop_fn *run, const float *w, float *out, uint32_t threads) {
    double copy = INFINITY, loop = INFINITY, gb = (double)ROWS * COLUMNS * sizeof(float) / 1e9;
    for (int repeat = 0; repeat < LOOP_REPEATS; repeat++) {
        copy = fmin(copy, time_once(copy_loop, w, out, threads));
        loop = fmin(loop, time_once(run, w, out, threads));
    }
    printf("  %7.2f GB/s %.2f", gb / loop, copy / loop);
}

/* `only`: the loops with that in their name; NULL: all. */
static void bench_loops(const char *only) {
    size_t count = (size_t)ROWS * COLUMNS;
    float *w = malloc(count * sizeof(*w)), *out = malloc(count * sizeof(*out));
    uint32_t seed = 1;
    if (!w || !out) {
        abort();
    }
    for (size_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        w[i] = (float)(int32_t)seed / 2147483648.0F;
    }
    memset(out, 1, count * sizeof(*out));
    printf("%-28s %16s %18s   (part of the copy's speed)\n", "loop over 128 MiB of weights", "1 thread",
           "all threads");
    for (size_t i = 0; i < sizeof(loops) / sizeof(loops[0]); i++) {
        if (!only || strstr(loops[i].name, only)) {
            printf("%-28s", loops[i].name);
            bench_loop(loops[i].run, w, out, 1);
            bench_loop(loops[i].run, w, out, all_threads());
            printf("\n");
            fflush(stdout);
        }
    }
    free(w);
    free(out);
}

/* --- loops over one matrix, which the caches hold: each thread on a matrix of its own --- */

struct matrix {
    double *original, *w;   /* [SIDE, SIDE]; w is changed */
    double *moments, *root; /* [SIDE, SIDE] of the inputs; from inverse_root */
};

static void sparsegpt_loop(struct matrix *m) {
    const struct prune_pattern half = {.shape = PRUNE_ANYWHERE, .ratio = 0.5};
    struct err err;
    memcpy(m->w, m->original, SQUARE * sizeof(*m->w));
    if (inverse_root(m->moments, SIDE, 0.01, m->root, &err) ||
        sparsegpt_prune(m->w, SIDE, SIDE, m->root, &half, &err)) {
        die("sparsegpt", &err);
    }
}

static void svd_loop(struct matrix *m) {
    struct whitened_svd svd;
    struct err err;
    if (whitened_svd_make(m->original, SIDE, SIDE, m->moments, 0.01, &svd, &err)) {
        die("svd", &err);
    }
    whitened_svd_release(&svd);
}

static const struct {
    const char *name;
    void (*run)(struct matrix *m);
} matrix_loops[] = {{"prune:sparsegpt", sparsegpt_loop}, {"lowrank:svd", svd_loop}};

struct matrix_thread {
    pthread_t id;
    void (*run)(struct matrix *m);
    struct matrix matrix;
};

static void *on_matrix_thread(void *arg) {
    struct matrix_thread *t = arg;
    t->run(&t->matrix);
    return NULL;
}

/* Noise for weights; moments of inputs that depend on their neighbours. */
static struct matrix matrix_make(void) {
    const size_t bytes = SQUARE * sizeof(double);
    struct matrix m = {malloc(bytes), malloc(bytes), malloc(bytes), malloc(bytes)};
    uint32_t seed = 1;
    if (!m.original || !m.w || !m.moments || !m.root) {
        abort();
    }
    for (size_t i = 0; i < SQUARE; i++) {
        seed = seed * 1664525u + 1013904223u;
        m.original[i] = (double)(int32_t)seed / 2147483648.0;
        m.moments[i] = pow(0.5, abs((int)(i / SIDE) - (int)(i % SIDE)));
    }
    return m;
}

static double time_matrices(void (*run)(struct matrix *m), uint32_t threads) {
    struct matrix_thread all[THREADS_MAX];
    double best = INFINITY;
    for (uint32_t i = 0; i < threads; i++) {
        all[i] = (struct matrix_thread){.run = run, .matrix = matrix_make()};
    }
    for (int repeat = 0; repeat < REPEATS; repeat++) {
        uint64_t start = clock_mono_ns();
        for (uint32_t i = 0; i < threads; i++) {
            if (pthread_create(&all[i].id, NULL, on_matrix_thread, &all[i]) != 0) {
                abort();
            }
        }
        for (uint32_t i = 0; i < threads; i++) {
            pthread_join(all[i].id, NULL);
        }
        best = fmin(best, seconds_since(start));
    }
    for (uint32_t i = 0; i < threads; i++) {
        free(all[i].matrix.original);
        free(all[i].matrix.w);
        free(all[i].matrix.moments);
        free(all[i].matrix.root);
    }
    return best;
}

static void bench_matrices(const char *only) {
    uint32_t threads[2] = {1, all_threads()};
    parallel_keep_blas_single();
    printf("loop over a matrix of %d x %d weights for each thread: bound by computing\n", SIDE, SIDE);
    for (size_t i = 0; i < sizeof(matrix_loops) / sizeof(matrix_loops[0]); i++) {
        if (only && !strstr(matrix_loops[i].name, only)) {
            continue;
        }
        printf("%-28s", matrix_loops[i].name);
        for (int k = 0; k < 2; k++) {
            double seconds = time_matrices(matrix_loops[i].run, threads[k]);
            printf("  %7.3f s %8.4f GB/s", seconds,
                   (double)threads[k] * SQUARE * (double)sizeof(float) / seconds / 1e9);
        }
        printf("\n");
        fflush(stdout);
    }
}

/* --- whole steps on the reference models --- */

struct subject {
    const char *name, *data; /* data: stem of the npz files; NULL: Fashion-MNIST */
};

static const struct subject subjects[] = {
    {"fmnist-resnet-thin", NULL}, {"fmnist-vgg", NULL},   {"fmnist-resnet", NULL},
    {"sst2-bert", "sst2-bert"},   {"docs-lm", "docs-lm"},
};

static uint64_t weight_bytes(const struct graph *g) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < graph_value_count(g); i++) {
        const struct graph_value *v = graph_value_at(g, i);
        size_t count;
        struct err err;
        if (v->initializer && v->initializer->data_type == GRAPH_FLOAT32 &&
            graph_tensor_count(v->initializer, &count, &err) == RC_OK) {
            bytes += count * sizeof(float);
        }
    }
    return bytes;
}

/* Seconds of all steps on a fresh graph; negative when the recipe is refused: the reason is in *err. */
static double run_steps(const char *path, const struct recipe *recipe, struct dataset *calibration,
                        uint32_t threads, uint64_t *bytes, struct err *err) {
    const struct compress_file file = {"model.onnx", path};
    struct record record;
    struct compress_job job = {.calibration = calibration, .threads = threads, .record = &record};
    record_init(&record);
    if (graph_load(&file, 1, "model.onnx", &job.graph, err)) {
        die(path, err);
    }
    (void)graph_close_initializers(job.graph);
    *bytes = weight_bytes(job.graph);
    enum rc rc = RC_OK;
    uint64_t start = clock_mono_ns();
    for (size_t i = 0; i < recipe->n_steps && rc == RC_OK; i++) {
        rc = compressors_find(recipe->steps[i].descriptor->name)(&job, &recipe->steps[i], err);
    }
    double seconds = rc == RC_OK ? seconds_since(start) : -1;
    graph_free(job.graph);
    record_release(&record);
    return seconds;
}

static void bench_recipe(const char *path, const char *text, struct dataset *calibration) {
    struct recipe recipe;
    struct err err;
    uint64_t bytes = 0;
    uint32_t threads[2] = {1, all_threads()};
    if (recipe_parse(text, FAMILY_ONNX, &recipe, &err)) {
        die(text, &err);
    }
    printf("  %-34s", text);
    for (int k = 0; k < 2; k++) {
        double best = INFINITY;
        for (int repeat = 0; repeat < REPEATS && (repeat == 0 || best < slow_seconds); repeat++) {
            double seconds = run_steps(path, &recipe, calibration, threads[k], &bytes, &err);
            if (seconds < 0) {
                printf(" refused: %s\n", err.text);
                return;
            }
            best = fmin(best, seconds);
        }
        printf(" %8.3f s %7.3f GB/s", best, (double)bytes / best / 1e9);
    }
    printf("\n");
    fflush(stdout);
}

/* Every step by itself; one that only prepares for another, with that. */
static void bench_every_step(const char *path, struct dataset *calibration) {
    size_t count;
    const struct compressor_desc *all = recipe_descriptors(&count);
    for (size_t i = 0; i < count; i++) {
        char text[RECIPE_TEXT_SIZE];
        if (!(all[i].families & FAMILY_ONNX) || all[i].place == PLACE_ALONE) {
            continue;
        }
        snprintf(text, sizeof(text), "%s%s%s", all[i].name, all[i].leads_to ? "+" : "",
                 all[i].leads_to ? all[i].leads_to[0] : "");
        bench_recipe(path, text, calibration);
    }
}

static void bench_model(const struct subject *s, char **recipes, int count) {
    char path[PATH_SIZE];
    snprintf(path, sizeof(path), "%s/models/%s.onnx", models_folder(), s->name);
    if (access(path, R_OK) != 0) {
        printf("skipped: %s is not here\n", path);
        return;
    }
    struct dataset *calibration = open_data(s->data, true);
    printf("%s  (1 thread, then %u)\n", s->name, all_threads());
    if (count == 0) {
        bench_every_step(path, calibration);
    }
    for (int i = 0; i < count; i++) {
        bench_recipe(path, recipes[i], calibration);
    }
    dataset_free(calibration);
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "loops") == 0) {
        bench_loops(argv[2]);
        bench_matrices(argv[2]);
        return 0;
    }
    for (size_t i = 0; i < sizeof(subjects) / sizeof(subjects[0]); i++) {
        if (argc < 2 || strcmp(argv[1], "all") == 0 || strcmp(argv[1], subjects[i].name) == 0) {
            bench_model(&subjects[i], argv + 2, argc > 2 ? argc - 2 : 0);
        }
    }
    bench_loops(NULL);
    bench_matrices(NULL);
    return 0;
}
