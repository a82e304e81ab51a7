#include "compressors/onnx/moments.h"

#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/parallel.h"
#include "core/base/checked.h"
#include "core/data/dataset.h"

enum { CHUNK_ROWS = 512 };

/* Sums of one kind of rows, which one or several nodes read. */
struct shared_rows {
    struct moments_layer layer; /* its arrays are these */
    double *products, *sums, *abs_sums;
    size_t target; /* index among the observed values */
};

struct moments {
    struct shared_rows *all;
    size_t all_count, count, examples;
    size_t *of; /* [count]: index into all */
};

/* While examples stream by. */
struct stream {
    struct moments *m;
    size_t max_rows, total_examples;
    float **rows, **scratch; /* one for each thread */
};

/* --- the kernel --- */

void moments_add_rows(const float *rows, size_t count, size_t width, float *scratch, double *products,
                      double *sums, double *abs_sums) {
    int n = (int)width;
    cblas_ssyrk(CblasRowMajor, CblasUpper, CblasTrans, n, (int)count, 1.0f, rows, n, 0.0f, scratch, n);
    for (size_t i = 0; i < width; i++) {
        for (size_t j = i; j < width; j++) {
            products[i * width + j] += (double)scratch[i * width + j];
        }
    }
    for (size_t r = 0; r < count; r++) {
        const float *row = rows + r * width;
        for (size_t i = 0; i < width; i++) {
            sums[i] += (double)row[i];
            abs_sums[i] += (double)fabsf(row[i]);
        }
    }
}

static void mirror(double *products, size_t width) {
    for (size_t i = 0; i < width; i++) {
        for (size_t j = 0; j < i; j++) {
            products[i * width + j] = products[j * width + i];
        }
    }
}

/* --- memory --- */

static bool bytes_of(const struct layer_rows *r, size_t *bytes) {
    size_t square = 0, all = 0;
    return !checked_mul(r->width, r->width, &square) && !checked_mul(square, r->groups, &all) &&
           !checked_mul(all, sizeof(double), bytes);
}

size_t moments_bytes(const struct graph *g, const struct graph_node *n) {
    struct layer_rows r;
    const char *why;
    size_t bytes = 0;
    if (!layer_rows_of(g, n, &r, &why)) {
        return 0;
    }
    return bytes_of(&r, &bytes) ? bytes : SIZE_MAX;
}

size_t moments_fit(const struct graph *g, const struct graph_node *const *nodes, size_t count,
                   size_t max_bytes) {
    size_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        if (checked_add(sum, moments_bytes(g, nodes[i]), &sum) || sum > max_bytes) {
            return i > 0 ? i : 1;
        }
    }
    return count;
}

void moments_free(struct moments *m) {
    for (size_t i = 0; m && m->all && i < m->all_count; i++) {
        free(m->all[i].products);
        free(m->all[i].sums);
        free(m->all[i].abs_sums);
    }
    if (m) {
        free(m->all);
        free(m->of);
        free(m);
    }
}

static enum rc add_shared(struct moments *m, const struct layer_rows *rows, struct err *err) {
    struct shared_rows *s = &m->all[m->all_count++];
    size_t n = rows->groups * rows->width, bytes = 0;
    (void)bytes_of(rows, &bytes); /* was checked */
    s->products = calloc(1, bytes + 1);
    s->sums = calloc(n + 1, sizeof(double));
    s->abs_sums = calloc(n + 1, sizeof(double));
    s->layer = (struct moments_layer){*rows, 0, s->products, s->sums, s->abs_sums};
    return s->products && s->sums && s->abs_sums ? RC_OK : err_memory(err);
}

/* Which rows each node reads; equal ones once. */
static enum rc plan(struct moments *m, const struct graph *g, const struct graph_node *const *nodes,
                    struct err *err) {
    size_t sum = 0, bytes = 0;
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
        if (k < m->all_count) {
            continue;
        }
        if (!bytes_of(&rows, &bytes) || checked_add(sum, bytes, &sum) || sum > MOMENTS_BYTES_MAX) {
            return err_set(err, RC_TOO_LARGE, "second moments of layers %zu inputs wide need too much memory",
                           rows.width);
        }
        rc = add_shared(m, &rows, err);
    }
    return rc;
}

/* --- streaming --- */

static enum rc take(void *user, size_t part, size_t thread, const struct onnxruntime_tensor *const *tensors,
                    struct err *err) {
    struct stream *s = user;
    struct shared_rows *shared = &s->m->all[part];
    const struct layer_rows *rows = &shared->layer.rows;
    const struct onnxruntime_tensor *t = tensors[shared->target];
    size_t total, width = rows->width, examples = t->rank > 0 && t->dims[0] > 0 ? (size_t)t->dims[0] : 1;
    enum rc rc = layer_rows_count(rows, t, &total, err);
    if (rc != RC_OK) {
        return rc;
    }
    /* Over all examples about max_rows: a step that depends on the shapes alone. */
    double expected = (double)total / (double)examples * (double)s->total_examples;
    size_t step = s->max_rows > 0 ? (size_t)ceil(expected / (double)s->max_rows) : 1;
    step = step > 0 ? step : 1;
    size_t taken = (total + step - 1) / step;
    for (size_t g = 0; g < rows->groups; g++) {
        for (size_t first = 0; first < taken; first += CHUNK_ROWS) {
            size_t n = taken - first < CHUNK_ROWS ? taken - first : CHUNK_ROWS;
            layer_rows_fill(rows, t, g, first * step, step, n, s->rows[thread]);
            moments_add_rows(s->rows[thread], n, width, s->scratch[thread],
                             shared->products + g * width * width, shared->sums + g * width,
                             shared->abs_sums + g * width);
        }
    }
    shared->layer.count += taken;
    return RC_OK;
}

static void stream_release(struct stream *s, size_t threads) {
    for (size_t i = 0; i < threads; i++) {
        free(s->rows ? s->rows[i] : NULL);
        free(s->scratch ? s->scratch[i] : NULL);
    }
    free(s->rows);
    free(s->scratch);
}

static enum rc stream_init(struct stream *s, size_t threads, struct err *err) {
    size_t widest = 1;
    for (size_t i = 0; i < s->m->all_count; i++) {
        size_t width = s->m->all[i].layer.rows.width;
        widest = width > widest ? width : widest;
    }
    s->rows = calloc(threads, sizeof(float *));
    s->scratch = calloc(threads, sizeof(float *));
    bool ok = s->rows && s->scratch;
    for (size_t i = 0; ok && i < threads; i++) {
        s->rows[i] = malloc(CHUNK_ROWS * widest * sizeof(float));
        s->scratch[i] = calloc(widest * widest, sizeof(float));
        ok = s->rows[i] && s->scratch[i];
    }
    return ok ? RC_OK : err_memory(err);
}

static enum rc check_finite(const struct moments *m, struct err *err) {
    for (size_t i = 0; i < m->all_count; i++) {
        const struct moments_layer *l = &m->all[i].layer;
        for (size_t k = 0; k < l->rows.groups * l->rows.width; k++) {
            size_t width = l->rows.width;
            double square = l->products[k / width * width * width + k % width * (width + 1)];
            if (!isfinite(square)) {
                return err_set(err, RC_INPUT,
                               "\"%.200s\" is not finite on the calibration examples: the model or they are "
                               "broken",
                               l->rows.input->name);
            }
        }
    }
    return RC_OK;
}

/* The distinct values that are read, as targets. */
static size_t choose_targets(struct moments *m, const char **names) {
    size_t count = 0;
    for (size_t i = 0; i < m->all_count; i++) {
        const char *name = m->all[i].layer.rows.input->name;
        size_t k = 0;
        while (k < count && strcmp(names[k], name) != 0) {
            k++;
        }
        count += k == count;
        names[k] = name;
        m->all[i].target = k;
    }
    return count;
}

static enum rc observe_all(struct moments *m, const struct compress_job *job, const struct moments_opts *opts,
                           struct err *err) {
    size_t threads = job->threads < 1                      ? 1
                     : job->threads < PARALLEL_THREADS_MAX ? job->threads
                                                           : PARALLEL_THREADS_MAX;
    struct stream s = {.m = m, .max_rows = opts->max_rows};
    const struct observe_sink sink = {take, &s, m->all_count};
    const char **names = calloc(m->all_count + 1, sizeof(*names));
    enum rc rc = names ? stream_init(&s, threads, err) : err_memory(err);
    if (rc == RC_OK) {
        size_t have = job->calibration ? dataset_count(job->calibration) : 0,
               max = opts->observe.max_examples;
        s.total_examples = max > 0 && max < have ? max : have;
        parallel_keep_blas_single();
        rc = observe_run(job, names, choose_targets(m, names), &opts->observe, &sink, &m->examples, err);
    }
    stream_release(&s, threads);
    free(names);
    return rc;
}

enum rc moments_run(const struct compress_job *job, const struct graph_node *const *nodes, size_t count,
                    const struct moments_opts *opts, struct moments **ret, struct err *err) {
    struct moments *m = calloc(1, sizeof(*m));
    enum rc rc = m ? RC_OK : err_memory(err);
    if (m) {
        m->count = count;
        m->all = calloc(count + 1, sizeof(*m->all));
        m->of = calloc(count + 1, sizeof(*m->of));
        rc = m->all && m->of ? plan(m, job->graph, nodes, err) : err_memory(err);
    }
    rc = rc != RC_OK || count == 0 ? rc : observe_all(m, job, opts, err);
    rc = rc != RC_OK ? rc : check_finite(m, err);
    if (rc != RC_OK) {
        moments_free(m);
        return rc;
    }
    for (size_t i = 0; i < m->all_count; i++) {
        const struct layer_rows *r = &m->all[i].layer.rows;
        for (size_t g = 0; g < r->groups; g++) {
            mirror(m->all[i].products + g * r->width * r->width, r->width);
        }
    }
    *ret = m;
    return RC_OK;
}

const struct moments_layer *moments_at(const struct moments *m, size_t i) {
    return &m->all[m->of[i]].layer;
}

size_t moments_examples(const struct moments *m) {
    return m->examples;
}
