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
#include "compressors/onnx/residual_partner.h"
#include "core/base/checked.h"
#include "core/data/dataset.h"

enum { CHUNK_ROWS = 512, NAME_SIZE = 1024 };

struct shared_rows {
    struct paired_layer layer; /* its arrays are these */
    double *now, *cross;
    char names[2][NAME_SIZE]; /* of the input now and before */
};

/* Of a layer whose output is added to something. */
struct owed {
    size_t node, rows; /* index of the node, of its rows in `all` */
    size_t outputs;    /* of a group */
    double *sum;       /* [groups, outputs, width] */
    char names[2][NAME_SIZE];
};

struct paired_moments {
    struct shared_rows *all;
    size_t all_count, count;
    size_t *of; /* [count]: index into all */
    struct owed *owed;
    size_t owed_count;
};

struct stream {
    struct paired_moments *m;
    size_t max_rows, total_examples;
    float **room; /* one for each thread: two chunks of rows and a product */
};

void paired_moments_free(struct paired_moments *m) {
    for (size_t i = 0; m && m->all && i < m->all_count; i++) {
        free(m->all[i].now);
        free(m->all[i].cross);
    }
    for (size_t i = 0; m && m->owed && i < m->owed_count; i++) {
        free(m->owed[i].sum);
    }
    if (m) {
        free(m->all);
        free(m->of);
        free(m->owed);
        free(m);
    }
}

const struct paired_layer *paired_moments_at(const struct paired_moments *m, size_t i) {
    return &m->all[m->of[i]].layer;
}

const double *paired_moments_owed(const struct paired_moments *m, size_t i) {
    for (size_t k = 0; k < m->owed_count; k++) {
        if (m->owed[k].node == i) {
            return m->owed[k].sum;
        }
    }
    return NULL;
}

/* --- planning --- */

static enum rc name_both(const struct graph_value *v, char names[2][NAME_SIZE], struct err *err) {
    const char *prefix = v->is_input ? "" : GRAPH_BESIDE_PREFIX;
    int a = snprintf(names[0], NAME_SIZE, "%s", v->name);
    int b = snprintf(names[1], NAME_SIZE, "%s%s", prefix, v->name);
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
    return s->now && s->cross ? name_both(rows->input, s->names, err) : err_memory(err);
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

/* Outputs of a group; 0 for products whose output is laid out in another way, or scaled, and for weights that
 * other nodes use too, which owe nothing. */
static size_t outputs_of(const struct graph *g, const struct graph_node *n, const struct layer_rows *rows) {
    struct weights w = weights_of(g, n);
    size_t count = 0;
    bool plain = rows->kind != LAYER_ROWS_SECOND_LAST && w.kind != WEIGHTS_CONV_TRANSPOSE &&
                 w.value->use_count == 1 && graph_attr_float(n, "alpha", 1) == 1.0F;
    bool counted = graph_tensor_count(w.tensor, &count, NULL) == RC_OK;
    return plain && counted ? count / rows->width / rows->groups : 0;
}

static enum rc plan_owed(struct paired_moments *m, const struct graph *g, const struct graph *both,
                         const struct graph_node *const *nodes, const struct paired_opts *opts,
                         struct err *err) {
    enum rc rc = RC_OK;
    for (size_t i = 0; i < m->count && opts->pending && rc == RC_OK; i++) {
        const struct layer_rows *rows = &m->all[m->of[i]].layer.rows;
        const struct graph_value *r = residual_partner(g, nodes[i], opts->pending, opts->pending_count);
        struct owed o = {.node = i, .rows = m->of[i], .outputs = r ? outputs_of(g, nodes[i], rows) : 0};
        if (o.outputs == 0 || name_both(r, o.names, NULL) != RC_OK || !graph_find(both, o.names[1])) {
            continue;
        }
        o.sum = calloc(rows->groups * o.outputs * rows->width, sizeof(double));
        rc = o.sum ? RC_OK : err_memory(err);
        m->owed[m->owed_count++] = o;
    }
    return rc;
}

/* --- streaming --- */

/* Adds a^T b: a [count, height], b [count, width]. */
static void add(double *sum, const float *a, size_t height, const float *b, size_t width, size_t count,
                float *product) {
    int m = (int)height, n = (int)width;
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, m, n, (int)count, 1.0F, a, m, b, n, 0.0F, product,
                n);
    for (size_t i = 0; i < height * width; i++) {
        sum[i] += (double)product[i];
    }
}

/* Every how many rows one is taken, and how many that gives of the `total` in tensor t. */
static size_t taken_of(const struct stream *s, const struct onnxruntime_tensor *t, size_t total,
                       size_t *step) {
    size_t examples = t->rank > 0 && t->dims[0] > 0 ? (size_t)t->dims[0] : 1;
    double expected = (double)total / (double)examples * (double)s->total_examples;
    *step = s->max_rows > 0 ? (size_t)ceil(expected / (double)s->max_rows) : 1;
    *step = *step > 0 ? *step : 1;
    return (total + *step - 1) / *step;
}

static enum rc take_rows(struct stream *s, size_t part, size_t thread,
                         const struct onnxruntime_tensor *const *tensors, struct err *err) {
    struct shared_rows *shared = &s->m->all[part];
    const struct layer_rows *rows = &shared->layer.rows;
    const struct onnxruntime_tensor *now = tensors[2 * part], *was = tensors[2 * part + 1];
    size_t total, before, step, width = rows->width;
    enum rc rc = layer_rows_count(rows, now, &total, err);
    rc = rc != RC_OK ? rc : layer_rows_count(rows, was, &before, err);
    if (rc != RC_OK || total != before) {
        return rc != RC_OK ? rc : err_set(err, RC_INTERNAL, "the changed model has other shapes");
    }
    size_t taken = taken_of(s, now, total, &step);
    float *x_now = s->room[thread], *x_was = x_now + CHUNK_ROWS * width,
          *product = x_was + CHUNK_ROWS * width;
    for (size_t g = 0; g < rows->groups; g++) {
        for (size_t first = 0; first < taken; first += CHUNK_ROWS) {
            size_t n = taken - first < CHUNK_ROWS ? taken - first : CHUNK_ROWS;
            layer_rows_fill(rows, now, g, first * step, step, n, x_now);
            layer_rows_fill(rows, was, g, first * step, step, n, x_was);
            add(shared->now + g * width * width, x_now, width, x_now, width, n, product);
            add(shared->cross + g * width * width, x_was, width, x_now, width, n, product);
        }
    }
    shared->layer.count += taken;
    return RC_OK;
}

/* Row `row` of what is added to a layer's output: where it begins in t, and how far its elements are apart.
 */
static size_t place_of(const struct layer_rows *rows, size_t total, const struct onnxruntime_tensor *t,
                       size_t outputs, size_t group, size_t row, size_t *apart) {
    if (rows->kind == LAYER_ROWS_LAST_AXIS) {
        *apart = 1;
        return row * outputs;
    }
    *apart = total / (size_t)t->dims[0];
    return (row / *apart * rows->groups + group) * outputs * *apart + row % *apart;
}

static bool same_shape(const struct onnxruntime_tensor *a, const struct onnxruntime_tensor *b) {
    return a->rank == b->rank && memcmp(a->dims, b->dims, a->rank * sizeof(a->dims[0])) == 0;
}

/* True when t has the shape of the layer's output, x being its input and `total` its rows: t is not
 * broadcast, nor is the output. */
static bool is_like_output(const struct layer_rows *rows, const struct onnxruntime_tensor *x, size_t total,
                           const struct onnxruntime_tensor *t, size_t outputs) {
    if (t->rank != x->rank || t->rank < 2 || t->bytes != total * rows->groups * outputs * sizeof(float)) {
        return false;
    }
    size_t kept = rows->kind == LAYER_ROWS_LAST_AXIS ? t->rank - 1 : 1;
    return memcmp(t->dims, x->dims, kept * sizeof(t->dims[0])) == 0 && t->dims[0] > 0 &&
           t->dims[kept] == (int64_t)(rows->groups * outputs);
}

/* Nothing is owed to a value that is broadcast. */
static enum rc take_owed(struct stream *s, size_t part, size_t thread,
                         const struct onnxruntime_tensor *const *tensors, struct err *err) {
    struct owed *o = &s->m->owed[part];
    const struct layer_rows *rows = &s->m->all[o->rows].layer.rows;
    const struct onnxruntime_tensor *x = tensors[2 * o->rows];
    const struct onnxruntime_tensor *const *pair = tensors + 2 * (s->m->all_count + part);
    size_t total, step, width = rows->width, apart;
    enum rc rc = layer_rows_count(rows, x, &total, err);
    if (rc != RC_OK || total == 0 || !same_shape(pair[0], pair[1]) ||
        !is_like_output(rows, x, total, pair[0], o->outputs)) {
        return rc;
    }
    const float *now = pair[0]->data, *was = pair[1]->data;
    size_t taken = taken_of(s, x, total, &step);
    float *x_now = s->room[thread], *lost = x_now + CHUNK_ROWS * width,
          *product = lost + CHUNK_ROWS * o->outputs;
    for (size_t g = 0; g < rows->groups; g++) {
        for (size_t first = 0; first < taken; first += CHUNK_ROWS) {
            size_t n = taken - first < CHUNK_ROWS ? taken - first : CHUNK_ROWS;
            layer_rows_fill(rows, x, g, first * step, step, n, x_now);
            for (size_t k = 0; k < n; k++) {
                size_t at = place_of(rows, total, pair[0], o->outputs, g, (first + k) * step, &apart);
                for (size_t i = 0; i < o->outputs; i++) {
                    lost[k * o->outputs + i] = was[at + i * apart] - now[at + i * apart];
                }
            }
            add(o->sum + g * o->outputs * width, lost, o->outputs, x_now, width, n, product);
        }
    }
    return RC_OK;
}

static enum rc take(void *user, size_t part, size_t thread, const struct onnxruntime_tensor *const *tensors,
                    struct err *err) {
    struct stream *s = user;
    return part < s->m->all_count ? take_rows(s, part, thread, tensors, err)
                                  : take_owed(s, part - s->m->all_count, thread, tensors, err);
}

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

/* Floats that one thread needs: two chunks of rows and a product of them. */
static size_t room_of(const struct paired_moments *m) {
    size_t widest = 1, product = 1;
    for (size_t i = 0; i < m->all_count; i++) {
        size_t width = m->all[i].layer.rows.width;
        widest = larger(widest, width);
        product = larger(product, width * width);
    }
    size_t second = widest;
    for (size_t i = 0; i < m->owed_count; i++) {
        const struct owed *o = &m->owed[i];
        second = larger(second, o->outputs);
        product = larger(product, o->outputs * m->all[o->rows].layer.rows.width);
    }
    return CHUNK_ROWS * (widest + second) + product;
}

static enum rc stream_init(struct stream *s, size_t threads, struct err *err) {
    s->room = calloc(threads, sizeof(*s->room));
    bool ok = s->room != NULL;
    for (size_t i = 0; ok && i < threads; i++) {
        s->room[i] = malloc(room_of(s->m) * sizeof(float));
        ok = s->room[i] != NULL;
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
    size_t parts = m->all_count + m->owed_count;
    const struct observe_sink sink = {take, &s, parts};
    const char **names = calloc(2 * parts + 1, sizeof(*names));
    copy.graph = both;
    enum rc rc = names ? stream_init(&s, threads, err) : err_memory(err);
    if (rc == RC_OK) {
        size_t have = job->calibration ? dataset_count(job->calibration) : 0,
               max = opts->observe.max_examples;
        s.total_examples = max > 0 && max < have ? max : have;
        for (size_t i = 0; i < parts; i++) {
            bool is_rows = i < m->all_count;
            char(*both_names)[NAME_SIZE] = is_rows ? m->all[i].names : m->owed[i - m->all_count].names;
            names[2 * i] = both_names[0];
            names[2 * i + 1] = both_names[1];
        }
        parallel_keep_blas_single();
        rc = observe_run(&copy, names, 2 * parts, &opts->observe, &sink, NULL, err);
    }
    for (size_t i = 0; s.room && i < threads; i++) {
        free(s.room[i]);
    }
    free(s.room);
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
        m->owed = calloc(count + 1, sizeof(*m->owed));
        rc = m->all && m->of && m->owed ? plan(m, job->graph, nodes, err) : err_memory(err);
        rc = rc != RC_OK ? rc : plan_owed(m, job->graph, both, nodes, opts, err);
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

enum { ROWS_A_WIDTH = 128, MIN_EXAMPLES = 64 };

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
                              const double *cross, const double *owed, double damp, double *out,
                              struct err *err) {
    size_t square = columns * columns;
    double *root = malloc((square + 1) * sizeof(*root)), *change = malloc((square + 1) * sizeof(*change));
    double *room = malloc((rows * columns + 1) * sizeof(*room));
    enum rc rc = root && change && room ? inverse_root(now, columns, damp, root, err) : err_memory(err);
    if (rc == RC_OK && rows && columns) {
        int r = (int)rows, n = (int)columns;
        for (size_t i = 0; i < square; i++) {
            change[i] = cross[i] - now[i];
        }
        /* w + (w (cross - now) + owed) root^T root */
        for (size_t i = 0; i < rows * columns; i++) {
            room[i] = owed ? owed[i] : 0;
        }
        cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, r, n, n, 1, w, n, change, n, 1, room, n);
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
