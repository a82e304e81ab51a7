#include "compressors/onnx/lowrank_svd.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/class_weights.h"
#include "compressors/onnx/layer_sensitivity.h"
#include "compressors/onnx/layer_stages.h"
#include "compressors/onnx/lowrank_emit.h"
#include "compressors/onnx/moments.h"
#include "compressors/onnx/paired_moments.h"
#include "compressors/onnx/parallel.h"
#include "compressors/onnx/passes.h"
#include "compressors/onnx/pivot_rows.h"
#include "compressors/onnx/rank_budget.h"
#include "compressors/onnx/weight_rows.h"
#include "compressors/onnx/whitened_svd.h"
#include "core/recipes/recipe.h"

enum { MOMENTS_AT_ONCE = 256 << 20, MAX_ROWS = 1 << 16, STAGES_MAX = 32, MIN_DIRECTIONS = 8 };

static const double svd_damp = 1e-6, fit_damp = 0.01;

struct layer {
    struct graph_node *node;
    struct weights weights;
    struct weight_rows rows; /* as stored */
    double *importance;      /* [rows]: what an error of each output counts, or NULL: all the same */
    double *energies;        /* [min(rows, columns)], of all groups together */
    double total;            /* their sum */
    float *probe;            /* [groups, rows, columns]: the weights at half the rank that would pay */
    double probe_lost;       /* energy lost then */
    double weight;           /* what a unit of lost energy costs */
    enum rank_form form;
    bool whole; /* stays one matrix, outside of the budget, and is only fitted to its new inputs */
    long rank;
    size_t stage;
    bool fitted;
    /* Of the stage that runs; NULL otherwise. */
    float *narrow, *wide; /* lowrank_emit.h; of a pivot: what is kept, and the rest */
    size_t *order;        /* [rows], NULL: as they are */
};

struct lowrank {
    struct compress_job *job;
    const struct recipe_step *step;
    struct layer *layers;
    size_t count, done;
    char *was;
    size_t was_size;
};

static size_t directions(const struct layer *l) {
    return l->rows.rows < l->rows.columns ? l->rows.rows : l->rows.columns;
}

/* --- finding --- */

static enum rc visit(struct lowrank *q, struct graph_node *n, struct err *err) {
    struct graph *g = q->job->graph;
    struct layer l = {.node = n, .weights = weights_of(g, n), .rank = RANK_FULL};
    struct layer_rows rows;
    if (!weights_op(n)) {
        return RC_OK;
    }
    const char *name = l.weights.value ? l.weights.value->name : graph_node_label(g, n);
    const char *why = lowrank_emit_obstacle(g, n, &l.weights);
    if (why || !layer_rows_of(g, n, &rows, &why)) {
        return record_left_alone(q->job->record, err, name, "%s", why);
    }
    enum rc rc = weight_rows_load(g, n, &l.weights, WEIGHT_ROWS_AS_STORED, &l.rows, err);
    if (rc != RC_OK) {
        return rc;
    }
    bool pivots = strcmp(recipe_choice(q->step, "form"), "pivot") == 0;
    l.form = pivots && lowrank_emit_can_pivot(&l.weights) ? RANK_PIVOT : RANK_PAIR;
    if (rank_budget_most(l.rows.rows, l.rows.columns, l.form) < MIN_DIRECTIONS) {
        weight_rows_release(&l.rows);
        return record_left_alone(q->job->record, err, name,
                                 "it is too narrow: two matrices of a useful rank would be more operations");
    }
    l.whole = strcmp(recipe_choice(q->step, "head"), "whole") == 0 && class_weights_is_last(g, n);
    rc = l.rows.groups == 1 ? class_weights(q->job, n, l.rows.rows, &l.importance, err) : RC_OK;
    q->layers[q->count++] = l;
    return rc;
}

static enum rc find(struct lowrank *q, struct err *err) {
    struct graph *g = q->job->graph;
    enum rc rc = pass_fold_constants(g, NULL, err);
    rc = rc != RC_OK ? rc : graph_sort(g, err);
    q->layers = calloc(graph_node_count(g) + 1, sizeof(*q->layers));
    rc = rc != RC_OK ? rc : q->layers ? RC_OK : err_memory(err);
    for (struct graph_node *n = graph_first(g); n && rc == RC_OK; n = n->next) {
        rc = visit(q, n, err);
    }
    if (q->count == 1) {
        q->layers[0].whole = false; /* it is all there is */
    }
    if (rc == RC_OK && q->count == 0) {
        rc = err_set(
            err, RC_UNSUPPORTED,
            "lowrank:svd found no Conv, MatMul or Gemm with float32 weights wide enough to become two "
            "thin ones");
    }
    return rc;
}

/* --- how much each direction holds --- */

struct batch {
    struct lowrank *q;
    struct layer **layers;
    const struct moments *moments;
    const struct paired_moments *paired;
};

static double *doubles_of(const float *values, size_t count) {
    double *out = malloc((count + 1) * sizeof(*out));
    for (size_t i = 0; out && i < count; i++) {
        out[i] = values[i];
    }
    return out;
}

/* The decomposition of w with its outputs weighed: left * right is still w. `w` is overwritten. */
static enum rc decompose(const struct layer *l, double *w, const double *h, struct whitened_svd *s,
                         struct err *err) {
    size_t rows = l->rows.rows, columns = l->rows.columns;
    for (size_t i = 0; l->importance && i < rows * columns; i++) {
        w[i] *= l->importance[i / columns];
    }
    enum rc rc = whitened_svd_make(w, rows, columns, h, svd_damp, s, err);
    for (size_t i = 0; rc == RC_OK && l->importance && i < s->rank * rows; i++) {
        s->left[i] /= l->importance[i % rows];
    }
    return rc;
}

static size_t probe_rank(const struct layer *l) {
    return (rank_budget_most(l->rows.rows, l->rows.columns, l->form) + 1) / 2;
}

static void fill_probe(struct layer *l, size_t group, const struct whitened_svd *s) {
    size_t rows = l->rows.rows, columns = l->rows.columns;
    float *out = l->probe + group * rows * columns;
    for (size_t r = 0; r < rows; r++) {
        for (size_t c = 0; c < columns; c++) {
            double sum = 0;
            for (size_t i = 0; i < probe_rank(l); i++) {
                sum += s->left[i * rows + r] * s->right[i * columns + c];
            }
            out[r * columns + c] = (float)sum;
        }
    }
}

static enum rc measure_layer(void *user, size_t item, size_t thread, struct err *err) {
    const struct batch *b = user;
    struct layer *l = b->layers[item];
    const struct moments_layer *m = moments_at(b->moments, item);
    size_t square = l->rows.columns * l->rows.columns, each = l->rows.rows * l->rows.columns;
    double *w = doubles_of(l->rows.values, l->rows.groups * each);
    enum rc rc = w ? RC_OK : err_memory(err);
    (void)thread;
    l->energies = calloc(directions(l) + 1, sizeof(*l->energies));
    l->probe = malloc((l->rows.groups * each + 1) * sizeof(*l->probe));
    rc = rc != RC_OK ? rc : l->energies && l->probe ? RC_OK : err_memory(err);
    for (size_t g = 0; g < l->rows.groups && rc == RC_OK; g++) {
        struct whitened_svd s = {0};
        rc = decompose(l, w + g * each, m->products + g * square, &s, err);
        for (size_t i = 0; i < s.rank && rc == RC_OK; i++) {
            l->energies[i] += s.energies[i];
            l->total += s.energies[i];
            l->probe_lost += i >= probe_rank(l) ? s.energies[i] : 0;
        }
        if (rc == RC_OK) {
            fill_probe(l, g, &s);
        }
        whitened_svd_release(&s);
    }
    free(w);
    return rc == RC_OK ? rc : err_prefix(err, "weights \"%.160s\"", l->weights.value->name);
}

static enum rc measure(struct lowrank *q, struct layer **layers, const struct graph_node **nodes,
                       struct err *err) {
    enum rc rc = RC_OK;
    for (size_t first = 0, n; first < q->count && rc == RC_OK; first += n) {
        struct moments *m = NULL;
        n = moments_fit(q->job->graph, nodes + first, q->count - first, MOMENTS_AT_ONCE);
        const struct moments_opts opts = {.observe = {.from = 0.3 * (double)first / (double)q->count,
                                                      .to = 0.3 * (double)(first + n) / (double)q->count,
                                                      .text = "observing the inputs of layers"},
                                          .max_rows = MAX_ROWS};
        rc = moments_run(q->job, nodes + first, n, &opts, &m, err);
        struct batch b = {.q = q, .layers = layers + first, .moments = m};
        parallel_keep_blas_single();
        rc = rc != RC_OK ? rc : parallel_for(q->job->threads, n, measure_layer, &b, err);
        moments_free(m);
    }
    return rc;
}

/* What lost energy costs in each layer: the output's change when this layer alone loses some. Where the
 * output cannot be compared, every layer's own energy is the measure. */
static enum rc weigh(struct lowrank *q, struct err *err) {
    enum rc rc = graph_pack(q->job->graph, &q->was, &q->was_size, err);
    bool comparable = true;
    for (size_t i = 0; i < q->count && rc == RC_OK; i++) {
        struct layer *l = &q->layers[i];
        double change = 0;
        l->weight = l->total > 0 ? 1 / l->total : 1;
        if (comparable && l->probe_lost > 0) {
            rc = layer_sensitivity(q->job, q->was, q->was_size, l->node, &l->weights, WEIGHT_ROWS_AS_STORED,
                                   &l->rows, l->probe, &change, err);
            comparable = rc != RC_UNSUPPORTED;
            rc = comparable ? rc : RC_OK;
            l->weight = comparable && change > 0 ? change / l->probe_lost : l->weight;
        }
        free(l->probe);
        l->probe = NULL;
        compress_progress(q->job, 0.3 + 0.2 * (double)(i + 1) / (double)q->count,
                          "measuring what layers matter");
    }
    return rc;
}

/* --- ranks --- */

/* `shapes` are those of the layers that are not left whole. */
static enum rc choose_by_budget(struct lowrank *q, const struct rank_layer *shapes, size_t count,
                                struct err *err) {
    long *ranks = calloc(count + 1, sizeof(*ranks));
    enum rc rc = ranks ? rank_budget_choose(shapes, count, recipe_number(q->step, "ratio"), ranks, err)
                       : err_memory(err);
    for (size_t i = 0, k = 0; i < q->count && rc == RC_OK; i++) {
        q->layers[i].rank = q->layers[i].whole ? RANK_FULL : ranks[k++];
    }
    free(ranks);
    return rc;
}

static enum rc choose_ranks(struct lowrank *q, struct err *err) {
    const char *how = recipe_choice(q->step, "rank");
    size_t n = 0;
    struct rank_layer *all = calloc(q->count + 1, sizeof(*all));
    enum rc rc = all ? RC_OK : err_memory(err);
    for (size_t i = 0; i < q->count && rc == RC_OK; i++) {
        struct layer *l = &q->layers[i];
        if (l->whole) {
            continue;
        }
        all[n] = (struct rank_layer){l->rows.rows, l->rows.columns, l->rows.groups,
                                     l->energies,  l->weight,       l->form};
        l->rank = strcmp(how, "energy") == 0
                      ? rank_budget_by_energy(&all[n], recipe_number(q->step, "energy"))
                      : rank_budget_by_ratio(&all[n], recipe_number(q->step, "ratio"));
        n++;
    }
    if (rc == RC_OK && strcmp(how, "budget") == 0) {
        rc = choose_by_budget(q, all, n, err);
    }
    free(all);
    bool any = false;
    for (size_t i = 0; i < q->count; i++) {
        any = any || q->layers[i].rank != RANK_FULL;
    }
    return rc != RC_OK || any
               ? rc
               : err_set(err, RC_UNSUPPORTED, "lowrank:svd: no layer has fewer operations as two matrices");
}

/* --- two matrices --- */

/* Row `row` of the product of the first l->rank pairs. */
static void fill_row(const struct layer *l, const struct whitened_svd *s, size_t row, float *out) {
    for (size_t c = 0; c < l->rows.columns; c++) {
        double sum = 0;
        for (size_t i = 0; i < (size_t)l->rank; i++) {
            sum += s->left[i * l->rows.rows + row] * s->right[i * l->rows.columns + c];
        }
        out[c] = (float)sum;
    }
}

static enum rc fill_pivot(struct layer *l, const struct whitened_svd *s, struct err *err) {
    size_t rows = l->rows.rows, rank = (size_t)l->rank, others = (rows - rank) * rank;
    double *rest = malloc((others + 1) * sizeof(*rest));
    bool ordered = false;
    l->order = malloc((rows + 1) * sizeof(*l->order));
    enum rc rc = rest && l->order ? pivot_rows_choose(s->left, rows, rank, l->order, rest, &ordered, err)
                                  : err_memory(err);
    for (size_t i = 0; i < rank && rc == RC_OK; i++) {
        fill_row(l, s, l->order[i], l->narrow + i * l->rows.columns);
    }
    for (size_t i = 0; i < others && rc == RC_OK; i++) {
        l->wide[i] = (float)rest[i];
    }
    free(rest);
    if (ordered) {
        free(l->order);
        l->order = NULL;
    }
    return rc;
}

static void fill_pair(struct layer *l, size_t group, const struct whitened_svd *s) {
    size_t rows = l->rows.rows, columns = l->rows.columns, rank = (size_t)l->rank;
    for (size_t i = 0; i < rank; i++) {
        for (size_t c = 0; c < columns; c++) {
            l->narrow[(group * rank + i) * columns + c] = (float)s->right[i * columns + c];
        }
        for (size_t r = 0; r < rows; r++) {
            l->wide[(group * rows + r) * rank + i] = (float)s->left[i * rows + r];
        }
    }
}

static enum rc factorise(struct layer *l, size_t group, double *target, const double *now, struct err *err) {
    struct whitened_svd s = {0};
    enum rc rc = decompose(l, target, now, &s, err);
    if (rc == RC_OK && l->form == RANK_PIVOT) {
        rc = fill_pivot(l, &s, err);
    } else if (rc == RC_OK) {
        fill_pair(l, group, &s);
    }
    whitened_svd_release(&s);
    return rc;
}

static enum rc fit_group(struct layer *l, size_t group, const struct paired_layer *m, const double *owed,
                         struct err *err) {
    size_t each = l->rows.rows * l->rows.columns, square = l->rows.columns * l->rows.columns;
    float *values = l->rows.values + group * each;
    double *w = doubles_of(values, each);
    enum rc rc = w ? RC_OK : err_memory(err);
    rc = rc != RC_OK ? rc
                     : paired_moments_target(w, l->rows.rows, l->rows.columns, m->now + group * square,
                                             m->cross + group * square, owed ? owed + group * each : NULL,
                                             fit_damp, w, err);
    if (rc == RC_OK && l->rank != RANK_FULL) {
        rc = factorise(l, group, w, m->now + group * square, err);
    }
    for (size_t i = 0; i < each && rc == RC_OK && l->rank == RANK_FULL; i++) {
        values[i] = (float)w[i];
    }
    free(w);
    return rc;
}

static enum rc fit_layer(void *user, size_t item, size_t thread, struct err *err) {
    const struct batch *b = user;
    struct layer *l = b->layers[item];
    const struct paired_layer *m = paired_moments_at(b->paired, item);
    enum rc rc = RC_OK;
    (void)thread;
    if (l->rank != RANK_FULL) {
        size_t rank = (size_t)l->rank;
        l->narrow = malloc(l->rows.groups * rank * l->rows.columns * sizeof(float));
        l->wide = malloc(l->rows.groups * l->rows.rows * rank * sizeof(float));
        rc = l->narrow && l->wide ? RC_OK : err_memory(err);
    }
    for (size_t g = 0; g < l->rows.groups && rc == RC_OK; g++) {
        rc = fit_group(l, g, m, paired_moments_owed(b->paired, item), err);
    }
    return rc == RC_OK ? rc : err_prefix(err, "weights \"%.160s\"", l->weights.value->name);
}

static enum rc emit(struct lowrank *q, struct layer *l, struct err *err) {
    struct record *record = q->job->record;
    const char *name = l->weights.value->name;
    size_t rows = l->rows.rows, columns = l->rows.columns;
    if (l->rank == RANK_FULL) {
        enum rc rc =
            record_left_alone(record, err, name,
                              l->whole ? "it gives the model's output: only fitted to its new inputs"
                                       : "two matrices that hold enough of it would be more operations");
        return rc != RC_OK ? rc
                           : weight_rows_store(q->job->graph, l->node, &l->weights, WEIGHT_ROWS_AS_STORED,
                                               &l->rows, err);
    }
    double kept = 0;
    for (size_t i = 0; i < (size_t)l->rank; i++) {
        kept += l->energies[i];
    }
    const struct rank_layer shape = {.rows = rows, .columns = columns, .copies = 1, .form = l->form};
    enum rc rc = record_changed(
        record, err, name,
        "[%zu, %zu] became [%zu, %ld] and [%ld, %zu]: %.1f %% of its operations, %.2f %% of its outputs' "
        "energy",
        rows, columns, l->form == RANK_PIVOT ? rows - (size_t)l->rank : rows, l->rank, l->rank, columns,
        100 * rank_budget_parameters(&shape, l->rank) / rank_budget_parameters(&shape, RANK_FULL),
        l->total > 0 ? 100 * kept / l->total : 100);
    if (rc != RC_OK) {
        return rc;
    }
    return l->form == RANK_PIVOT ? lowrank_emit_pivot(q->job->graph, l->node, &l->weights, &l->rows,
                                                      (size_t)l->rank, l->narrow, l->wide, l->order, err)
                                 : lowrank_emit(q->job->graph, l->node, &l->weights, &l->rows,
                                                (size_t)l->rank, l->narrow, l->wide, err);
}

/* Those whose nodes are still as they were. Returns how many. */
static size_t not_fitted(const struct lowrank *q, const struct graph_node **pending) {
    size_t count = 0;
    for (size_t i = 0; i < q->count; i++) {
        if (!q->layers[i].fitted) {
            pending[count++] = q->layers[i].node;
        }
    }
    return count;
}

static enum rc run_batch(struct lowrank *q, struct layer **layers, const struct graph_node *const *nodes,
                         size_t count, struct err *err) {
    struct paired_moments *paired = NULL;
    const struct graph_node **pending = calloc(q->count, sizeof(struct graph_node *));
    double all = (double)q->count;
    size_t examples = 0;
    enum rc rc = pending ? paired_moments_examples(q->job, nodes, count, &examples, err) : err_memory(err);
    const struct paired_opts opts = {.observe = {.max_examples = examples,
                                                 .from = 0.5 + 0.5 * (double)q->done / all,
                                                 .to = 0.5 + 0.5 * (double)(q->done + count) / all,
                                                 .text = "fitting layers"},
                                     .max_rows = MAX_ROWS,
                                     .pending = pending,
                                     .pending_count = pending ? not_fitted(q, pending) : 0};
    rc =
        rc != RC_OK ? rc : paired_moments_run(q->job, q->was, q->was_size, nodes, count, &opts, &paired, err);
    struct batch b = {.q = q, .layers = layers, .paired = paired};
    parallel_keep_blas_single();
    rc = rc != RC_OK ? rc : parallel_for(q->job->threads, count, fit_layer, &b, err);
    for (size_t i = 0; i < count; i++) {
        rc = rc != RC_OK ? rc : emit(q, layers[i], err);
        layers[i]->fitted = true;
        free(layers[i]->narrow);
        free(layers[i]->wide);
        free(layers[i]->order);
        layers[i]->narrow = layers[i]->wide = NULL;
        layers[i]->order = NULL;
    }
    paired_moments_free(paired);
    free(pending);
    q->done += count;
    return rc;
}

static enum rc run_stages(struct lowrank *q, size_t stages, struct layer **layers,
                          const struct graph_node **nodes, struct err *err) {
    enum rc rc = RC_OK;
    for (size_t s = 0; s < stages && rc == RC_OK; s++) {
        size_t count = 0;
        for (size_t i = 0; i < q->count; i++) {
            if (q->layers[i].stage == s) {
                nodes[count] = q->layers[i].node;
                layers[count++] = &q->layers[i];
            }
        }
        for (size_t first = 0, n; first < count && rc == RC_OK; first += n) {
            n = moments_fit(q->job->graph, nodes + first, count - first, MOMENTS_AT_ONCE);
            rc = run_batch(q, layers + first, nodes + first, n, err);
        }
    }
    return rc;
}

static enum rc compress(struct lowrank *q, struct err *err) {
    enum rc rc = find(q, err);
    if (rc != RC_OK) {
        return rc;
    }
    const struct graph_node **nodes = calloc(q->count, sizeof(*nodes));
    struct graph_node **in_order = calloc(q->count, sizeof(*in_order));
    struct layer **layers = calloc(q->count, sizeof(*layers));
    size_t *stage = calloc(q->count, sizeof(*stage));
    rc = nodes && in_order && layers && stage ? RC_OK : err_memory(err);
    for (size_t i = 0; i < q->count && rc == RC_OK; i++) {
        nodes[i] = in_order[i] = q->layers[i].node;
        layers[i] = &q->layers[i];
    }
    rc = rc != RC_OK ? rc : measure(q, layers, nodes, err);
    rc = rc != RC_OK ? rc : weigh(q, err);
    rc = rc != RC_OK ? rc : choose_ranks(q, err);
    if (rc == RC_OK) {
        size_t stages = layer_stages(q->job->graph, in_order, q->count, STAGES_MAX, stage);
        for (size_t i = 0; i < q->count; i++) {
            q->layers[i].stage = stage[i];
        }
        rc = run_stages(q, stages, layers, nodes, err);
    }
    free(nodes);
    free(in_order);
    free(layers);
    free(stage);
    return rc;
}

enum rc lowrank_svd_compress(struct compress_job *job, const struct recipe_step *step, struct err *err) {
    struct lowrank q = {.job = job, .step = step};
    enum rc rc = compress(&q, err);
    for (size_t i = 0; i < q.count; i++) {
        weight_rows_release(&q.layers[i].rows);
        free(q.layers[i].energies);
        free(q.layers[i].importance);
        free(q.layers[i].probe);
    }
    free(q.layers);
    free(q.was);
    return rc != RC_OK ? rc : pass_remove_dead(job->graph, NULL, err);
}
