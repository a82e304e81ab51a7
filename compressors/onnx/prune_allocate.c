#include "compressors/onnx/prune_allocate.h"

#include <cblas.h>
#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/layer_sensitivity.h"
#include "compressors/onnx/moments.h"
#include "compressors/onnx/paired_moments.h"
#include "compressors/onnx/parallel.h"
#include "compressors/onnx/prune_budget.h"

enum { MOMENTS_AT_ONCE = 256 << 20, MAX_ROWS = 1 << 14, MIDDLE = PRUNE_BUDGET_POINTS / 2 };

struct probe {
    struct prune_curve curve;
    double whole;   /* energy of the layer's outputs */
    float *changed; /* the weights at the middle ratio, as the layer's rows */
};

struct allocate {
    const struct recipe_step *step;
    const struct prune_pattern *pattern;
    prune_matrix_fn *fn;
    struct prune_layer *layers;
    struct probe *probes;
    const struct moments *moments;
    size_t first; /* layer of the moments' first */
};

/* trace(d h d^T) of the difference d of a and b; b NULL: of a. */
static enum rc error_of(const float *a, const float *b, size_t rows, size_t n, const double *h, double *sum,
                        struct err *err) {
    double *d = malloc((rows * n + 1) * sizeof(*d)), *dh = malloc((rows * n + 1) * sizeof(*dh));
    enum rc rc = d && dh ? RC_OK : err_memory(err);
    for (size_t i = 0; i < rows * n && rc == RC_OK; i++) {
        d[i] = (double)a[i] - (b ? (double)b[i] : 0);
    }
    if (rc == RC_OK) {
        cblas_dsymm(CblasRowMajor, CblasRight, CblasUpper, (int)rows, (int)n, 1, h, (int)n, d, (int)n, 0, dh,
                    (int)n);
        *sum += cblas_ddot((int)(rows * n), d, 1, dh, 1);
    }
    free(d);
    free(dh);
    return rc;
}

static enum rc probe_group(const struct allocate *a, const struct weight_rows *r, size_t group,
                           const double *h, struct probe *p, struct err *err) {
    size_t each = r->rows * r->columns;
    const float *w = r->values + group * each;
    float *pruned = malloc((each + 1) * sizeof(*pruned));
    enum rc rc = pruned ? error_of(w, NULL, r->rows, r->columns, h, &p->whole, err) : err_memory(err);
    for (size_t i = 0; i < PRUNE_BUDGET_POINTS && rc == RC_OK; i++) {
        struct prune_pattern pattern = *a->pattern;
        pattern.ratio = prune_budget_ratios[i];
        memcpy(pruned, w, each * sizeof(*pruned));
        const struct prune_matrix m = {pruned, r->rows, r->columns, h, h, NULL};
        rc = a->fn(a->step, &pattern, &m, err);
        rc = rc != RC_OK ? rc : error_of(w, pruned, r->rows, r->columns, h, &p->curve.losses[i], err);
        if (rc == RC_OK && i == MIDDLE) {
            memcpy(p->changed + group * each, pruned, each * sizeof(*pruned));
        }
    }
    free(pruned);
    return rc;
}

static enum rc probe_layer(void *user, size_t item, size_t thread, struct err *err) {
    const struct allocate *a = user;
    const struct weight_rows *r = &a->layers[a->first + item].rows;
    struct probe *p = &a->probes[a->first + item];
    const struct moments_layer *m = moments_at(a->moments, item);
    enum rc rc = RC_OK;
    (void)thread;
    p->curve.weights = r->groups * r->rows * r->columns;
    p->changed = malloc((p->curve.weights + 1) * sizeof(*p->changed));
    rc = p->changed ? RC_OK : err_memory(err);
    for (size_t group = 0; group < r->groups && rc == RC_OK; group++) {
        double *h = weight_rows_moments(r, WEIGHT_ROWS_CHANNELS_LAST, m->products, group);
        rc = h ? probe_group(a, r, group, h, p, err) : err_memory(err);
        free(h);
    }
    return rc;
}

static enum rc probe_all(struct compress_job *job, struct allocate *a, size_t count, struct err *err) {
    const struct graph_node **nodes = malloc((count + 1) * sizeof(*nodes));
    enum rc rc = nodes ? RC_OK : err_memory(err);
    for (size_t i = 0; i < count && rc == RC_OK; i++) {
        nodes[i] = a->layers[i].node;
    }
    for (size_t n; a->first < count && rc == RC_OK; a->first += n) {
        struct moments *m = NULL;
        const struct graph_node *const *rest = nodes + a->first;
        n = moments_fit(job->graph, rest, count - a->first, MOMENTS_AT_ONCE);
        struct moments_opts opts = {.observe = {.text = "trying ratios"}, .max_rows = MAX_ROWS};
        struct compress_job quiet = *job;
        quiet.on_progress = NULL;
        rc = paired_moments_examples(&quiet, rest, n, &opts.observe.max_examples, err);
        rc = rc != RC_OK ? rc : moments_run(&quiet, rest, n, &opts, &m, err);
        a->moments = m;
        parallel_keep_blas_single();
        rc = rc != RC_OK ? rc : parallel_for(job->threads, n, probe_layer, a, err);
        moments_free(m);
    }
    free(nodes);
    return rc;
}

/* The values in the layer's own scale. */
static void unscale(const struct prune_layer *l, const float *from, float *to, size_t count) {
    for (size_t i = 0; i < count; i++) {
        to[i] = l->importance ? (float)(from[i] / l->importance[i / l->rows.columns]) : from[i];
    }
}

static enum rc weigh(struct compress_job *job, const struct prune_layer *l, struct probe *p, const char *was,
                     size_t was_size, bool *comparable, struct err *err) {
    double change = 0;
    struct weight_rows original = l->rows;
    size_t count = p->curve.weights;
    p->curve.weight = p->whole > 0 ? 1 / p->whole : 1;
    if (!*comparable || !(p->curve.losses[MIDDLE] > 0)) {
        return RC_OK;
    }
    original.values = malloc((count + 1) * sizeof(*original.values));
    if (!original.values) {
        return err_memory(err);
    }
    unscale(l, l->rows.values, original.values, count);
    unscale(l, p->changed, p->changed, count);
    enum rc rc = layer_sensitivity(job, was, was_size, l->node, &l->weights, WEIGHT_ROWS_CHANNELS_LAST,
                                   &original, p->changed, &change, err);
    *comparable = rc != RC_UNSUPPORTED;
    if (rc == RC_OK && change > 0) {
        p->curve.weight = change / p->curve.losses[MIDDLE];
    }
    free(original.values);
    return *comparable ? rc : RC_OK;
}

enum rc prune_allocate(struct compress_job *job, const struct recipe_step *step,
                       const struct prune_pattern *pattern, prune_matrix_fn *probe,
                       struct prune_layers *layers, const char *was, size_t was_size, struct err *err) {
    size_t count = layers->count;
    struct allocate a = {.step = step, .pattern = pattern, .fn = probe, .layers = layers->items};
    struct prune_curve *curves = calloc(count + 1, sizeof(*curves));
    double *ratios = calloc(count + 1, sizeof(*ratios));
    a.probes = calloc(count + 1, sizeof(*a.probes));
    bool comparable = true;
    enum rc rc = curves && ratios && a.probes ? probe_all(job, &a, count, err) : err_memory(err);
    for (size_t i = 0; i < count && rc == RC_OK; i++) {
        rc = weigh(job, &layers->items[i], &a.probes[i], was, was_size, &comparable, err);
        curves[i] = a.probes[i].curve;
        curves[i].weights = layers->items[i].dense ? 0 : curves[i].weights; /* no part of the budget */
        compress_progress(job, 0.3 * (double)(i + 1) / (double)count, "measuring what layers matter");
    }
    if (rc == RC_OK) {
        prune_budget_choose(curves, count, pattern->ratio, ratios);
    }
    for (size_t i = 0; i < count; i++) {
        layers->items[i].ratio = rc == RC_OK ? ratios[i] : pattern->ratio;
        free(a.probes ? a.probes[i].changed : NULL);
    }
    free(a.probes);
    free(curves);
    free(ratios);
    return rc;
}
