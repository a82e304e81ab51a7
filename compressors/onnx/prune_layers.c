#include "compressors/onnx/prune_layers.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/passes.h"
#include "core/recipes/recipe.h"

struct prune_pattern prune_layers_pattern(const struct recipe_step *step) {
    const char *text = recipe_choice(step, "pattern");
    struct prune_pattern p = {.shape = PRUNE_N_OF_M};
    if (strcmp(text, "any") != 0) {
        int found = sscanf(text, "%zu:%zu", &p.n, &p.m);
        assert(found == 2 && p.n < p.m && p.m <= PRUNE_M_MAX);
        (void)found;
        return p;
    }
    p.ratio = recipe_number(step, "ratio");
    p.block = (size_t)recipe_int(step, "block");
    p.shape = p.block > 1 ? PRUNE_BLOCKS : PRUNE_ANYWHERE;
    return p;
}

/* --- finding --- */

/* True when something else than Conv, MatMul and the like reads v: a shared embedding. */
static bool has_other_readers(const struct graph *g, const struct graph_value *v) {
    for (size_t i = 0; i < v->use_count; i++) {
        struct weights w = weights_of(g, v->uses[i].node);
        if (w.kind == WEIGHTS_NONE || w.value != v) {
            return true;
        }
    }
    return v->is_output;
}

/* Why these weights stay as they are, or NULL. */
static const char *obstacle(const struct graph *g, const struct prune_layer *l, enum prune_inputs inputs) {
    const struct weights *w = &l->weights;
    size_t count = 0;
    const char *why = NULL;
    if (w->tensor->data_type == GRAPH_FLOAT64) {
        return "its weights are float64";
    }
    if (graph_tensor_count(w->tensor, &count, NULL) == RC_OK && count < PRUNE_MIN_WEIGHTS) {
        return "it has fewer than 512 weights: little to gain, much to lose";
    }
    if (!l->flat && !weight_rows_possible(l->node, w, &why)) {
        return why;
    }
    struct layer_rows rows;
    if (inputs != PRUNE_INPUTS_UNKNOWN && !layer_rows_of(g, l->node, &rows, &why)) {
        return why;
    }
    return has_other_readers(g, w->value) ? "other operators read it too" : NULL;
}

/* The tensor as one row, whatever the node makes of it. */
static enum rc read_flat(const struct graph *g, struct prune_layer *l, struct err *err) {
    struct weight_rows *r = &l->rows;
    enum rc rc = graph_tensor_floats(g, l->weights.tensor, &r->values, &r->columns, err);
    r->groups = r->rows = 1;
    r->run = r->columns;
    return rc == RC_OK ? rc : err_prefix(err, "weights \"%.160s\"", l->weights.value->name);
}

static enum rc misfit(struct compress_job *job, const struct prune_pattern *p, const struct prune_layer *l,
                      struct err *err) {
    const char *name = l->weights.value->name;
    if (p->shape == PRUNE_N_OF_M) {
        return record_left_alone(job->record, err, name, "its %zu inputs are no multiple of %zu", l->rows.run,
                                 p->m);
    }
    return record_left_alone(job->record, err, name,
                             "its %zu outputs by %zu inputs are no whole tiles of %zu", l->rows.rows,
                             l->rows.run, p->block);
}

/* Adds the layer of one node, unless it has none, or an earlier node has the same weights. */
static enum rc visit(struct compress_job *job, struct graph_node *n, const struct prune_pattern *p,
                     enum prune_inputs inputs, struct prune_layers *all, struct err *err) {
    struct prune_layer l = {.node = n, .weights = weights_of(job->graph, n)};
    l.flat = inputs == PRUNE_INPUTS_UNKNOWN && p->shape == PRUNE_ANYWHERE;
    if (l.weights.kind == WEIGHTS_NONE) {
        return weights_op(n) ? record_left_alone(job->record, err, graph_node_label(job->graph, n),
                                                 "its weights are not constant")
                             : RC_OK;
    }
    if (!weights_is_first(job->graph, n, &l.weights)) {
        return RC_OK;
    }
    const char *why = obstacle(job->graph, &l, inputs);
    if (why) {
        return record_left_alone(job->record, err, l.weights.value->name, "%s", why);
    }
    enum rc rc = l.flat
                     ? read_flat(job->graph, &l, err)
                     : weight_rows_load(job->graph, n, &l.weights, WEIGHT_ROWS_CHANNELS_LAST, &l.rows, err);
    if (rc == RC_OK && !prune_pattern_fits(p, l.rows.rows, l.rows.run)) {
        rc = misfit(job, p, &l, err);
        weight_rows_release(&l.rows);
        return rc;
    }
    if (rc == RC_OK) {
        all->items[all->count++] = l;
    }
    return rc;
}

enum rc prune_layers_find(struct compress_job *job, const struct recipe_step *step,
                          const struct prune_pattern *pattern, enum prune_inputs inputs,
                          struct prune_layers *ret, struct err *err) {
    struct prune_layers all = {0};
    enum rc rc = pass_fold_constants(job->graph, NULL, err);
    rc = rc != RC_OK ? rc : graph_sort(job->graph, err);
    all.items = calloc(graph_node_count(job->graph) + 1, sizeof(*all.items));
    rc = rc != RC_OK ? rc : all.items ? RC_OK : err_memory(err);
    for (struct graph_node *n = graph_first(job->graph); n && rc == RC_OK; n = n->next) {
        rc = visit(job, n, pattern, inputs, &all, err);
    }
    if (rc == RC_OK && all.count == 0) {
        rc = err_set(err, RC_UNSUPPORTED,
                     "%s found no Conv, MatMul or Gemm with 512 or more constant weights of its own%s",
                     step->descriptor->name,
                     pattern->shape == PRUNE_ANYWHERE ? "" : " whose sides fit the pattern");
    }
    if (rc != RC_OK) {
        prune_layers_release(&all);
        return rc;
    }
    *ret = all;
    return RC_OK;
}

void prune_layers_release(struct prune_layers *l) {
    for (size_t i = 0; i < l->count; i++) {
        weight_rows_release(&l->items[i].rows);
        free(l->items[i].importance);
    }
    free(l->items);
    *l = (struct prune_layers){0};
}

/* --- writing back --- */

static size_t zeros_of(const struct weight_rows *r, size_t *count) {
    size_t zeros = 0;
    *count = r->groups * r->rows * r->columns;
    for (size_t i = 0; i < *count; i++) {
        zeros += r->values[i] == 0.0f;
    }
    return zeros;
}

static enum rc store_layer(struct compress_job *job, const struct prune_layer *l, size_t *zeros,
                           size_t *count, struct err *err) {
    *zeros = zeros_of(&l->rows, count);
    *count = l->dense ? 0 : *count;
    enum rc rc =
        l->stored ? RC_OK
        : l->flat
            ? weight_rows_set_floats(job->graph, l->weights.tensor, l->rows.values, *count, err)
            : weight_rows_store(job->graph, l->node, &l->weights, WEIGHT_ROWS_CHANNELS_LAST, &l->rows, err);
    if (rc != RC_OK || l->dense) {
        *zeros = 0;
        return rc != RC_OK
                   ? rc
                   : record_changed(job->record, err, l->weights.value->name,
                                    "gives the model's output: stays dense, fitted to its new inputs");
    }
    return rc != RC_OK ? rc
                       : record_changed(job->record, err, l->weights.value->name,
                                        "%zu of %zu weights are zero (%.1f %%)", *zeros, *count,
                                        *count ? 100.0 * (double)*zeros / (double)*count : 0.0);
}

/* What a format that stores a bit for each weight and the weights that are left would take. */
static enum rc note_size(struct compress_job *job, size_t zeros, size_t count, size_t bytes, size_t packed,
                         struct err *err) {
    return record_note(
        job->record, err,
        "%zu of %zu weights in %zu bytes are zero: a map of bits and the weights left would take "
        "%zu bytes (%.0f %%)",
        zeros, count, bytes, packed, bytes ? 100.0 * (double)packed / (double)bytes : 0.0);
}

static enum rc note_speed(struct compress_job *job, const struct prune_pattern *p, struct err *err) {
    job->record->storage_only = true;
    if (p->shape == PRUNE_N_OF_M) {
        return record_note(job->record, err,
                           "the pattern %zu:%zu is for hardware with sparse matrix units: ONNX Runtime's own "
                           "kernels multiply zeros too, and the file keeps its size",
                           p->n, p->m);
    }
    return record_note(
        job->record, err,
        "zeros stay in place: dense kernels run no faster and the file keeps its size; only a compressing "
        "transport or file system gains");
}

enum rc prune_layers_store(struct compress_job *job, const struct prune_pattern *pattern,
                           const struct prune_layers *layers, struct err *err) {
    size_t all_zeros = 0, all = 0, bytes = 0, packed = 0;
    enum rc rc = RC_OK;
    for (size_t i = 0; i < layers->count && rc == RC_OK; i++) {
        const struct prune_layer *l = &layers->items[i];
        size_t zeros = 0, count = 0;
        rc = store_layer(job, l, &zeros, &count, err);
        all_zeros += zeros;
        all += count;
        bytes += graph_dtype_bytes(l->weights.tensor->data_type, count);
        packed += (count + 7) / 8 + graph_dtype_bytes(l->weights.tensor->data_type, count - zeros);
    }
    rc = rc != RC_OK ? rc : note_speed(job, pattern, err);
    return rc != RC_OK ? rc : note_size(job, all_zeros, all, bytes, packed, err);
}
