/* Runs a technique of pruning over the layers of a model: see prune_layers_run. */
#include <assert.h>
#include <stdlib.h>

#include "compressors/onnx/class_weights.h"
#include "compressors/onnx/layer_stages.h"
#include "compressors/onnx/paired_moments.h"
#include "compressors/onnx/parallel.h"
#include "compressors/onnx/prune_allocate.h"
#include "compressors/onnx/prune_layers.h"

/* Memory for second moments at one time; what does not fit waits for another run of the examples. */
enum { MOMENTS_AT_ONCE = 256 << 20, MAX_ROWS = 1 << 16, STAGES_MAX = 32 };

struct batch {
    const struct recipe_step *step;
    const struct prune_pattern *pattern;
    prune_matrix_fn *fn;
    struct prune_layer **layers;
    const struct moments *moments;       /* NULL: none */
    const struct paired_moments *paired; /* NULL: none */
};

/* owed [groups, rows, columns as stored] of one group, columns in this order; free() it. NULL: no memory. */
static double *owed_of(const struct weight_rows *r, const double *owed, size_t group) {
    double *out = malloc(r->rows * r->columns * sizeof(*out));
    owed += group * r->rows * r->columns;
    for (size_t i = 0; out && i < r->rows * r->columns; i++) {
        size_t stored = weight_rows_stored_column(r, WEIGHT_ROWS_CHANNELS_LAST, i % r->columns);
        out[i] = owed[i / r->columns * r->columns + stored];
    }
    return out;
}

struct observed {
    const double *products, *cross, *owed; /* of all groups, columns as stored; NULL: not asked for */
};

static enum rc prune_group(const struct batch *b, const struct prune_layer *l, size_t group,
                           const struct observed *o, struct err *err) {
    const struct weight_rows *r = &l->rows;
    struct prune_pattern pattern = *b->pattern;
    pattern.ratio = l->dense ? 0 : l->ratio;
    pattern.shape = l->dense ? PRUNE_ANYWHERE : pattern.shape;
    double *h = o->products ? weight_rows_moments(r, WEIGHT_ROWS_CHANNELS_LAST, o->products, group) : NULL,
           *c = o->cross ? weight_rows_moments(r, WEIGHT_ROWS_CHANNELS_LAST, o->cross, group) : NULL,
           *owed = o->owed ? owed_of(r, o->owed, group) : NULL;
    enum rc rc = (o->products && !h) || (o->cross && !c) || (o->owed && !owed) ? err_memory(err) : RC_OK;
    const struct prune_matrix m = {r->values + group * r->rows * r->columns, r->rows, r->columns, h, c, owed};
    rc = rc != RC_OK ? rc : b->fn(b->step, &pattern, &m, err);
    free(h);
    free(c);
    free(owed);
    return rc;
}

static enum rc prune_item(void *user, size_t item, size_t thread, struct err *err) {
    const struct batch *b = user;
    struct prune_layer *l = b->layers[item];
    struct observed o = {0};
    if (b->moments) {
        o.products = moments_at(b->moments, item)->products;
    } else if (b->paired) {
        o.products = paired_moments_at(b->paired, item)->now;
        o.cross = paired_moments_at(b->paired, item)->cross;
        o.owed = l->importance ? NULL : paired_moments_owed(b->paired, item);
    }
    enum rc rc = RC_OK;
    (void)thread;
    for (size_t group = 0; group < l->rows.groups && rc == RC_OK; group++) {
        rc = prune_group(b, l, group, &o, err);
    }
    return rc == RC_OK ? rc : err_prefix(err, "weights \"%.160s\"", l->weights.value->name);
}

/* What is common to the batches of a run. */
struct course {
    struct compress_job *job;
    enum prune_inputs inputs;
    prune_matrix_fn *probe; /* NULL: every layer has the pattern's ratio */
    struct batch batch;
    const struct prune_layers *all;
    const struct graph_node **pending; /* [all->count]: room for those that are not stored yet */
    size_t done, total;                /* layers, for progress */
    char *was;                         /* the model before any change, packed; NULL: not wanted */
    size_t was_size;
};

static size_t not_stored(const struct course *c) {
    size_t count = 0;
    for (size_t i = 0; i < c->all->count; i++) {
        if (!c->all->items[i].stored) {
            c->pending[count++] = c->all->items[i].node;
        }
    }
    return count;
}

static enum rc look(struct course *c, const struct graph_node *const *nodes, size_t count,
                    struct moments **moments, struct paired_moments **paired, struct err *err) {
    struct observe_opts observe = {.from = 0.95 * (double)c->done / (double)c->total,
                                   .to = 0.95 * (double)(c->done + count) / (double)c->total,
                                   .text = "observing the inputs of layers"};
    if (c->inputs == PRUNE_INPUTS_PAIRED) {
        enum rc rc = paired_moments_examples(c->job, nodes, count, &observe.max_examples, err);
        if (rc != RC_OK) {
            return rc;
        }
    }
    const struct moments_opts plain = {.observe = observe, .max_rows = MAX_ROWS};
    const struct paired_opts both = {
        .observe = observe, .max_rows = MAX_ROWS, .pending = c->pending, .pending_count = not_stored(c)};
    return c->inputs == PRUNE_INPUTS_OBSERVED ? moments_run(c->job, nodes, count, &plain, moments, err)
           : c->inputs == PRUNE_INPUTS_PAIRED
               ? paired_moments_run(c->job, c->was, c->was_size, nodes, count, &both, paired, err)
               : RC_OK;
}

static enum rc store(struct course *c, struct prune_layer *const *layers, size_t count, struct err *err) {
    enum rc rc = RC_OK;
    for (size_t i = 0; i < count && rc == RC_OK; i++) {
        struct prune_layer *l = layers[i];
        for (size_t k = 0; l->importance && k < l->rows.rows * l->rows.columns; k++) {
            l->rows.values[k] = (float)(l->rows.values[k] / l->importance[k / l->rows.columns]);
        }
        rc = weight_rows_store(c->job->graph, l->node, &l->weights, WEIGHT_ROWS_CHANNELS_LAST, &l->rows, err);
        l->stored = true;
    }
    return rc;
}

/* Prunes `count` layers at once. */
static enum rc run_batch(struct course *c, struct prune_layer **layers, const struct graph_node *const *nodes,
                         size_t count, struct err *err) {
    struct moments *moments = NULL;
    struct paired_moments *paired = NULL;
    enum rc rc = look(c, nodes, count, &moments, &paired, err);
    if (rc == RC_OK) {
        c->batch.layers = layers;
        c->batch.moments = moments;
        c->batch.paired = paired;
        parallel_keep_blas_single();
        rc = parallel_for(c->job->threads, count, prune_item, &c->batch, err);
    }
    if (rc == RC_OK && c->inputs == PRUNE_INPUTS_PAIRED) {
        rc = store(c, layers, count, err);
    }
    moments_free(moments);
    paired_moments_free(paired);
    c->done += count;
    compress_progress(c->job, 0.95 * (double)c->done / (double)c->total, "pruning");
    return rc;
}

/* Prunes with the rows of a classifier's last layer in proportion to how much they matter. */
static enum rc weigh(struct course *c, struct prune_layer *l, struct err *err) {
    enum rc rc = RC_OK;
    if (c->inputs == PRUNE_INPUTS_PAIRED && l->rows.groups == 1) {
        rc = class_weights(c->job, l->node, l->rows.rows, &l->importance, err);
    }
    for (size_t i = 0; rc == RC_OK && l->importance && i < l->rows.rows * l->rows.columns; i++) {
        l->rows.values[i] = (float)(l->rows.values[i] * l->importance[i / l->rows.columns]);
    }
    return rc;
}

/* Layers that do not depend on each other, as many at a time as memory allows. */
static enum rc run_stage(struct course *c, struct prune_layer **layers, const struct graph_node **nodes,
                         size_t count, struct err *err) {
    enum rc rc = RC_OK;
    for (size_t first = 0, n; first < count && rc == RC_OK; first += n) {
        const struct graph_node *const *rest = nodes + first;
        n = c->inputs == PRUNE_INPUTS_UNKNOWN
                ? count
                : moments_fit(c->job->graph, rest, count - first, MOMENTS_AT_ONCE);
        rc = run_batch(c, layers + first, rest, n, err);
    }
    return rc;
}

static enum rc run_all(struct course *c, struct prune_layers *all, struct err *err) {
    size_t count = all->count, stages = 1;
    struct graph_node **nodes = calloc(count + 1, sizeof(*nodes));
    const struct graph_node **some = calloc(count + 1, sizeof(*some));
    struct prune_layer **layers = calloc(count + 1, sizeof(*layers));
    size_t *stage = calloc(count + 1, sizeof(*stage));
    c->all = all;
    c->pending = calloc(count + 1, sizeof(struct graph_node *));
    enum rc rc = nodes && some && layers && stage && c->pending ? RC_OK : err_memory(err);
    for (size_t i = 0; i < count && rc == RC_OK; i++) {
        nodes[i] = all->items[i].node;
    }
    if (rc == RC_OK && c->inputs == PRUNE_INPUTS_PAIRED) {
        stages = layer_stages(c->job->graph, nodes, count, STAGES_MAX, stage);
        rc = graph_pack(c->job->graph, &c->was, &c->was_size, err);
    }
    for (size_t i = 0; i < count && rc == RC_OK; i++) {
        all->items[i].ratio = c->batch.pattern->ratio;
        rc = weigh(c, &all->items[i], err);
    }
    if (rc == RC_OK && c->probe) {
        rc = prune_allocate(c->job, c->batch.step, c->batch.pattern, c->probe, all, c->was, c->was_size, err);
    }
    for (size_t s = 0; s < stages && rc == RC_OK; s++) {
        size_t n = 0;
        for (size_t i = 0; i < count; i++) {
            if (stage[i] == s) {
                some[n] = nodes[i];
                layers[n++] = &all->items[i];
            }
        }
        rc = run_stage(c, layers, some, n, err);
    }
    free(nodes);
    free(some);
    free(layers);
    free(stage);
    free(c->pending);
    return rc;
}

enum rc prune_layers_run(struct compress_job *job, const struct recipe_step *step,
                         const struct prune_pattern *pattern, enum prune_inputs inputs, prune_matrix_fn *fn,
                         prune_matrix_fn *probe, struct prune_layers *layers, struct err *err) {
    struct course c = {.job = job,
                       .inputs = inputs,
                       .probe = probe,
                       .batch = {.step = step, .pattern = pattern, .fn = fn},
                       .total = layers->count};
    enum rc rc = run_all(&c, layers, err);
    free(c.was);
    return rc;
}
