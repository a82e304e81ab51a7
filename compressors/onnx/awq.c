#include "compressors/onnx/awq.h"

#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/channel_source.h"
#include "compressors/onnx/parallel.h"
#include "compressors/onnx/weight_rows.h"

enum { POWERS = 21, READERS_MAX = 64 };

/* --- the search --- */

struct search {
    const struct awq_layers *layers;
    const struct moments_layer *moments;
    const struct group_format *format;
    const float *products; /* [columns, columns] as floats, in units of their largest */
    double loss[POWERS];
};

/* mean |x| to the power, with largest times smallest 1, so that weights keep their size as a whole. */
static void factors(const struct moments_layer *m, size_t columns, double power, float *scales) {
    double least = INFINITY, most = 0;
    for (size_t i = 0; i < columns; i++) {
        double mean = m->count > 0 ? m->abs_sums[i] / (double)m->count : 0;
        double s = pow(mean > 1e-6 ? mean : 1e-6, power);
        least = s < least ? s : least;
        most = s > most ? s : most;
        scales[i] = (float)s;
    }
    float unit = (float)(1 / sqrt(least * most));
    for (size_t i = 0; i < columns; i++) {
        float s = scales[i] * unit;
        scales[i] = power == 0 ? 1 : s < 1e-4F ? 1e-4F : s > 1e4F ? 1e4F : s;
    }
}

/* sum of (w - v) H (w - v)^T, where v are the rounded weights without their factors. */
static enum rc loss_of(const struct search *s, size_t layer, const float *scales, double *loss,
                       struct err *err) {
    size_t rows = s->layers->rows[layer], columns = s->layers->columns, count = rows * columns;
    const float *w = s->layers->weights[layer];
    struct group_quant q = {0};
    float *scaled = malloc(2 * count * sizeof(*scaled)), *through = scaled ? scaled + count : NULL;
    if (!scaled) {
        return err_memory(err);
    }
    for (size_t i = 0; i < count; i++) {
        scaled[i] = w[i] * scales[i % columns];
    }
    enum rc rc = group_round(scaled, rows, columns, s->format, GROUP_RANGE, NULL, 1, &q, err);
    if (rc == RC_OK) {
        for (size_t i = 0; i < count; i++) {
            scaled[i] = w[i] - group_value(&q, i / columns, i % columns) / scales[i % columns];
        }
        cblas_ssymm(CblasRowMajor, CblasRight, CblasUpper, (int)rows, (int)columns, 1.0F, s->products,
                    (int)columns, scaled, (int)columns, 0.0F, through, (int)columns);
        for (size_t r = 0; r < rows; r++) {
            *loss += cblas_dsdot((int)columns, scaled + r * columns, 1, through + r * columns, 1);
        }
        group_quant_release(&q);
    }
    free(scaled);
    return rc;
}

static double power_of(size_t item) {
    return (double)item / (POWERS - 1);
}

static enum rc try_power(void *user, size_t item, size_t thread, struct err *err) {
    struct search *s = user;
    float *scales = malloc((s->layers->columns + 1) * sizeof(*scales));
    enum rc rc = scales ? RC_OK : err_memory(err);
    (void)thread;
    if (rc == RC_OK) {
        factors(s->moments, s->layers->columns, power_of(item), scales);
    }
    for (size_t i = 0; i < s->layers->count && rc == RC_OK; i++) {
        rc = loss_of(s, i, scales, &s->loss[item], err);
    }
    free(scales);
    return rc;
}

static float *unit_products(const struct moments_layer *m, size_t columns) {
    float *products = malloc((columns * columns + 1) * sizeof(*products));
    double most = 0;
    for (size_t i = 0; i < columns; i++) {
        most = fmax(most, m->products[i * (columns + 1)]);
    }
    for (size_t i = 0; products && i < columns * columns; i++) {
        products[i] = most > 0 ? (float)(m->products[i] / most) : 0;
    }
    return products;
}

enum rc awq_search(const struct awq_layers *layers, const struct moments_layer *moments,
                   const struct group_format *f, size_t threads, float *scales, double *power,
                   struct err *err) {
    float *products = unit_products(moments, layers->columns);
    struct search s = {.layers = layers, .moments = moments, .format = f, .products = products};
    size_t best = 0;
    parallel_keep_blas_single();
    enum rc rc = products ? parallel_for(threads, POWERS, try_power, &s, err) : err_memory(err);
    for (size_t i = 1; i < POWERS && rc == RC_OK; i++) {
        best = s.loss[i] < s.loss[best] ? i : best;
    }
    free(products);
    *power = power_of(best);
    factors(moments, layers->columns, *power, scales);
    return rc;
}

/* --- in the graph --- */

struct reader {
    size_t node; /* index among the nodes */
    bool by_row; /* channels are rows of the stored weights */
    struct weight_rows rows;
};

static size_t index_of(struct graph_node *const *nodes, size_t count, const struct graph_node *n) {
    size_t i = 0;
    while (i < count && nodes[i] != n) {
        i++;
    }
    return i;
}

/* The products that read v, when nothing else does and all are among the nodes; else 0. */
static size_t find_readers(const struct graph *g, const struct graph_value *v,
                           struct graph_node *const *nodes, size_t count, struct reader *readers) {
    if (v->is_output || graph_is_captured(v) || v->use_count > READERS_MAX) {
        return 0;
    }
    for (size_t i = 0; i < v->use_count; i++) {
        const struct graph_node *n = v->uses[i].node;
        size_t at = index_of(nodes, count, n);
        const Onnx__TensorProto *w = channel_constant(g, n, 1);
        bool gemm = graph_is_op(n, "Gemm");
        if (at == count || v->uses[i].slot != 0 || !w || w->n_dims != 2 ||
            !(gemm ? !graph_attr_int(n, "transA", 0) : graph_is_op(n, "MatMul"))) {
            return 0;
        }
        readers[i] = (struct reader){.node = at, .by_row = !(gemm && graph_attr_int(n, "transB", 0))};
    }
    return v->use_count;
}

static enum rc search_readers(const struct compress_job *job, struct graph_node *const *nodes,
                              struct reader *readers, size_t count, const struct moments *m,
                              const struct group_format *f, float *scales, double *power, struct err *err) {
    const float *weights[READERS_MAX];
    size_t rows[READERS_MAX];
    struct awq_layers layers = {weights, rows, count, moments_at(m, readers[0].node)->rows.width};
    enum rc rc = RC_OK;
    for (size_t i = 0; i < count && rc == RC_OK; i++) {
        const struct graph_node *n = nodes[readers[i].node];
        struct weights w = weights_of(job->graph, n);
        rc = weight_rows_load(job->graph, n, &w, WEIGHT_ROWS_AS_STORED, &readers[i].rows, err);
        weights[i] = readers[i].rows.values;
        rows[i] = readers[i].rows.rows;
    }
    rc = rc != RC_OK
             ? rc
             : awq_search(&layers, moments_at(m, readers[0].node), f, job->threads, scales, power, err);
    for (size_t i = 0; i < count; i++) {
        weight_rows_release(&readers[i].rows);
    }
    return rc;
}

static enum rc apply(const struct compress_job *job, struct graph_node *const *nodes,
                     const struct channel_source *source, const struct reader *readers, size_t count,
                     const float *scales, size_t columns, float **kept, struct err *err) {
    float *inverse = malloc((columns + 1) * sizeof(*inverse));
    enum rc rc = inverse ? RC_OK : err_memory(err);
    for (size_t i = 0; inverse && i < columns; i++) {
        inverse[i] = 1 / scales[i];
    }
    for (size_t i = 0; i < source->count && rc == RC_OK; i++) {
        rc = channel_rescale(job->graph, source->constants[i].node, source->constants[i].slot, NULL, inverse,
                             err);
    }
    for (size_t i = 0; i < count && rc == RC_OK; i++) {
        const struct reader *r = &readers[i];
        rc = channel_rescale(job->graph, nodes[r->node], 1, r->by_row ? scales : NULL,
                             r->by_row ? NULL : scales, err);
        kept[r->node] = malloc((columns + 1) * sizeof(float));
        rc = rc == RC_OK && !kept[r->node] ? err_memory(err) : rc;
        if (rc == RC_OK) {
            memcpy(kept[r->node], scales, columns * sizeof(float));
        }
    }
    free(inverse);
    return rc;
}

static enum rc rescale_value(const struct compress_job *job, struct graph_value *v,
                             struct graph_node *const *nodes, size_t count, const struct moments *m,
                             const struct group_format *f, float **kept, struct err *err) {
    struct reader readers[READERS_MAX];
    struct channel_source source;
    size_t n = find_readers(job->graph, v, nodes, count, readers);
    size_t columns = n > 0 ? moments_at(m, readers[0].node)->rows.width : 0;
    double power = 0;
    if (n == 0 || !channel_source_find(job->graph, v, (int64_t)columns, &source)) {
        return RC_OK;
    }
    float *scales = malloc((columns + 1) * sizeof(*scales));
    enum rc rc = scales ? search_readers(job, nodes, readers, n, m, f, scales, &power, err) : err_memory(err);
    if (rc == RC_OK && power > 0) {
        rc = record_changed(job->record, err, v->name,
                            "divided by channel, the weights that read it multiplied (AWQ, power %.2f)",
                            power);
        rc = rc != RC_OK ? rc : apply(job, nodes, &source, readers, n, scales, columns, kept, err);
    }
    free(scales);
    return rc;
}

enum rc awq_rescale(const struct compress_job *job, struct graph_node *const *nodes, size_t count,
                    const struct moments *m, const struct group_format *f, float **scales, struct err *err) {
    enum rc rc = RC_OK;
    for (size_t i = 0; i < count && rc == RC_OK; i++) {
        struct graph_value *v = moments_at(m, i)->rows.input;
        bool product = graph_is_op(nodes[i], "MatMul") || graph_is_op(nodes[i], "Gemm");
        /* the first of those that read v stands for all */
        size_t first = 0;
        while (moments_at(m, first)->rows.input != v) {
            first++;
        }
        if (product && first == i && moments_at(m, i)->rows.kind == LAYER_ROWS_LAST_AXIS) {
            rc = rescale_value(job, v, nodes, count, m, f, scales, err);
        }
    }
    return rc;
}
