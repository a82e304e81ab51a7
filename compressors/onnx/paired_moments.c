#include "compressors/onnx/paired_moments.h"

#include <cblas.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/graph_beside.h"
#include "compressors/onnx/inverse_root.h"
#include "compressors/onnx/parallel.h"
#include "core/base/checked.h"
#include "core/data/dataset.h"

enum { CHUNK_ROWS = 512, NAME_SIZE = 1024 };

struct shared_rows {
    struct paired_layer layer; /* its arrays are these */
    double *now, *cross;
    char names[2][NAME_SIZE]; /* of the input now and before */
};

struct paired_moments {
    struct shared_rows *all;
    size_t all_count, count;
    size_t *of; /* [count]: index into all */
};

struct stream {
    struct paired_moments *m;
    size_t max_rows, total_examples;
    float **rows; /* one for each thread: two chunks of rows and a product */
};

void paired_moments_free(struct paired_moments *m) {
    for (size_t i = 0; m && m->all && i < m->all_count; i++) {
        free(m->all[i].now);
        free(m->all[i].cross);
    }
    if (m) {
        free(m->all);
        free(m->of);
        free(m);
    }
}

const struct paired_layer *paired_moments_at(const struct paired_moments *m, size_t i) {
    return &m->all[m->of[i]].layer;
}

/* --- planning --- */

static enum rc name_inputs(struct shared_rows *s, const char *name, struct err *err) {
    const struct graph_value *input = s->layer.rows.input;
    const char *prefix = input->is_input ? "" : GRAPH_BESIDE_PREFIX;
    int a = snprintf(s->names[0], NAME_SIZE, "%s", name);
    int b = snprintf(s->names[1], NAME_SIZE, "%s%s", prefix, name);
    return a < NAME_SIZE && b < NAME_SIZE ? RC_OK
                                          : err_set(err, RC_UNSUPPORTED, "a tensor's name is too long");
}

static enum rc add_shared(struct paired_moments *m, const struct layer_rows *rows, struct err *err) {
    struct shared_rows *s = &m->all[m->all_count++];
    size_t square = 0, count = 0;
    if (checked_mul(rows->width, rows->width, &square) || checked_mul(square, rows->groups, &count)) {
        return err_set(err, RC_TOO_LARGE, "second moments of layers %zu inputs wide need too much memory",
                       rows->width);
    }
    s->now = calloc(count, sizeof(double));
    s->cross = calloc(count, sizeof(double));
    s->layer = (struct paired_layer){*rows, 0, s->now, s->cross};
    return s->now && s->cross ? name_inputs(s, rows->input->name, err) : err_memory(err);
}

static enum rc plan(struct paired_moments *m, const struct graph *g, const struct graph_node *const *nodes,
                    struct err *err) {
    enum rc rc = RC_OK;
    for (size_t i = 0; i < m->count && rc == RC_OK; i++) {
        struct layer_rows rows;
        const char *why;
        size_t k = 0;
        if (!layer_rows_of(g, nodes[i], &rows, &why)) {
            return err_set(err, RC_UNSUPPORTED, "node %.200s: %s", nodes[i]->proto->name, why);
        }
        while (k < m->all_count && !layer_rows_equal(&m->all[k].layer.rows, &rows)) {
            k++;
        }
        m->of[i] = k;
        rc = k < m->all_count ? RC_OK : add_shared(m, &rows, err);
    }
    return rc;
}

/* --- streaming --- */

static void add(double *sum, const float *a, const float *b, size_t count, size_t width, float *product) {
    int n = (int)width;
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, n, n, (int)count, 1.0F, a, n, b, n, 0.0F, product,
                n);
    for (size_t i = 0; i < width * width; i++) {
        sum[i] += (double)product[i];
    }
}

static enum rc take(void *user, size_t part, size_t thread, const struct onnxruntime_tensor *const *tensors,
                    struct err *err) {
    struct stream *s = user;
    struct shared_rows *shared = &s->m->all[part];
    const struct layer_rows *rows = &shared->layer.rows;
    const struct onnxruntime_tensor *now = tensors[2 * part], *was = tensors[2 * part + 1];
    size_t total, before, width = rows->width;
    enum rc rc = layer_rows_count(rows, now, &total, err);
    rc = rc != RC_OK ? rc : layer_rows_count(rows, was, &before, err);
    if (rc != RC_OK || total != before) {
        return rc != RC_OK ? rc : err_set(err, RC_INTERNAL, "the changed model has other shapes");
    }
    size_t examples = now->rank > 0 && now->dims[0] > 0 ? (size_t)now->dims[0] : 1;
    double expected = (double)total / (double)examples * (double)s->total_examples;
    size_t step = s->max_rows > 0 ? (size_t)ceil(expected / (double)s->max_rows) : 1;
    step = step > 0 ? step : 1;
    size_t taken = (total + step - 1) / step;
    float *x_now = s->rows[thread], *x_was = x_now + CHUNK_ROWS * width,
          *product = x_was + CHUNK_ROWS * width;
    for (size_t g = 0; g < rows->groups; g++) {
        for (size_t first = 0; first < taken; first += CHUNK_ROWS) {
            size_t n = taken - first < CHUNK_ROWS ? taken - first : CHUNK_ROWS;
            layer_rows_fill(rows, now, g, first * step, step, n, x_now);
            layer_rows_fill(rows, was, g, first * step, step, n, x_was);
            add(shared->now + g * width * width, x_now, x_now, n, width, product);
            add(shared->cross + g * width * width, x_was, x_now, n, width, product);
        }
    }
    shared->layer.count += taken;
    return RC_OK;
}

static enum rc stream_init(struct stream *s, size_t threads, struct err *err) {
    size_t widest = 1;
    for (size_t i = 0; i < s->m->all_count; i++) {
        size_t width = s->m->all[i].layer.rows.width;
        widest = width > widest ? width : widest;
    }
    s->rows = calloc(threads, sizeof(*s->rows));
    bool ok = s->rows != NULL;
    for (size_t i = 0; ok && i < threads; i++) {
        s->rows[i] = malloc(((size_t)2 * CHUNK_ROWS * widest + widest * widest) * sizeof(float));
        ok = s->rows[i] != NULL;
    }
    return ok ? RC_OK : err_memory(err);
}

static enum rc observe_both(struct paired_moments *m, const struct compress_job *job, struct graph *both,
                            const struct paired_opts *opts, struct err *err) {
    size_t threads = job->threads < 1                      ? 1
                     : job->threads < PARALLEL_THREADS_MAX ? job->threads
                                                           : PARALLEL_THREADS_MAX;
    struct compress_job copy = *job;
    struct stream s = {.m = m, .max_rows = opts->max_rows};
    const struct observe_sink sink = {take, &s, m->all_count};
    const char **names = calloc(2 * m->all_count + 1, sizeof(*names));
    copy.graph = both;
    enum rc rc = names ? stream_init(&s, threads, err) : err_memory(err);
    if (rc == RC_OK) {
        size_t have = job->calibration ? dataset_count(job->calibration) : 0,
               max = opts->observe.max_examples;
        s.total_examples = max > 0 && max < have ? max : have;
        for (size_t i = 0; i < m->all_count; i++) {
            names[2 * i] = m->all[i].names[0];
            names[2 * i + 1] = m->all[i].names[1];
        }
        parallel_keep_blas_single();
        rc = observe_run(&copy, names, 2 * m->all_count, &opts->observe, &sink, NULL, err);
    }
    for (size_t i = 0; s.rows && i < threads; i++) {
        free(s.rows[i]);
    }
    free(s.rows);
    free(names);
    return rc;
}

enum rc paired_moments_run(const struct compress_job *job, const char *was, size_t was_size,
                           const struct graph_node *const *nodes, size_t count,
                           const struct paired_opts *opts, struct paired_moments **ret, struct err *err) {
    struct paired_moments *m = calloc(1, sizeof(*m));
    struct graph *both = NULL;
    enum rc rc = m ? graph_beside(job->graph, was, was_size, &both, err) : err_memory(err);
    if (rc == RC_OK) {
        m->count = count;
        m->all = calloc(count + 1, sizeof(*m->all));
        m->of = calloc(count + 1, sizeof(*m->of));
        rc = m->all && m->of ? plan(m, job->graph, nodes, err) : err_memory(err);
    }
    rc = rc != RC_OK || count == 0 ? rc : observe_both(m, job, both, opts, err);
    graph_free(both);
    if (rc != RC_OK) {
        paired_moments_free(m);
        return rc;
    }
    *ret = m;
    return RC_OK;
}

/* --- how many examples --- */

enum { ROWS_A_WIDTH = 32, MIN_EXAMPLES = 64 };

struct probe {
    const struct layer_rows *rows;
    double most;
};

static enum rc count_rows(void *user, size_t part, size_t thread,
                          const struct onnxruntime_tensor *const *tensors, struct err *err) {
    struct probe *p = user;
    size_t count = 0;
    (void)thread;
    (void)part;
    enum rc rc = layer_rows_count(p->rows, tensors[0], &count, err);
    double examples = tensors[0]->rank > 0 && tensors[0]->dims[0] > 0 ? (double)tensors[0]->dims[0] : 1;
    double each = (double)(count > 0 ? count : 1) / examples;
    p->most = fmax(p->most, ceil(ROWS_A_WIDTH * (double)p->rows->width / each));
    return rc;
}

enum rc paired_moments_examples(const struct compress_job *job, const struct graph_node *const *nodes,
                                size_t count, size_t *examples, struct err *err) {
    const struct observe_opts opts = {.max_examples = 1, .text = "looking at the inputs of layers"};
    enum rc rc = RC_OK;
    struct probe p = {.most = MIN_EXAMPLES};
    const struct observe_sink sink = {count_rows, &p, 1};
    const struct graph_value *last = NULL;
    struct compress_job quiet = *job;
    quiet.on_progress = NULL;
    for (size_t i = 0; i < count && rc == RC_OK; i++) {
        struct layer_rows rows;
        const char *why;
        if (!layer_rows_of(job->graph, nodes[i], &rows, &why) || rows.input == last) {
            continue;
        }
        last = rows.input;
        p.rows = &rows;
        rc = observe_run(&quiet, &last->name, 1, &opts, &sink, NULL, err);
    }
    size_t have = job->calibration ? dataset_count(job->calibration) : 0;
    *examples = p.most < (double)have ? (size_t)p.most : 0;
    return rc;
}

/* --- what a layer should do now --- */

enum rc paired_moments_target(const double *w, size_t rows, size_t columns, const double *now,
                              const double *cross, double damp, double *out, struct err *err) {
    size_t square = columns * columns;
    double *root = malloc((square + 1) * sizeof(*root)), *change = malloc((square + 1) * sizeof(*change));
    double *room = malloc((rows * columns + 1) * sizeof(*room));
    enum rc rc = root && change && room ? inverse_root(now, columns, damp, root, err) : err_memory(err);
    if (rc == RC_OK && rows && columns) {
        int r = (int)rows, n = (int)columns;
        for (size_t i = 0; i < square; i++) {
            change[i] = cross[i] - now[i];
        }
        /* w + w (cross - now) root^T root */
        cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, r, n, n, 1, w, n, change, n, 0, room, n);
        cblas_dtrmm(CblasRowMajor, CblasRight, CblasUpper, CblasTrans, CblasNonUnit, r, n, 1, root, n, room,
                    n);
        cblas_dtrmm(CblasRowMajor, CblasRight, CblasUpper, CblasNoTrans, CblasNonUnit, r, n, 1, root, n, room,
                    n);
        for (size_t i = 0; i < rows * columns; i++) {
            out[i] = w[i] + room[i];
        }
    }
    free(root);
    free(change);
    free(room);
    return rc;
}
