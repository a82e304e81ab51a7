#include "compressors/onnx/channel_refit.h"

#include <cblas.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/observe.h"
#include "compressors/onnx/parallel.h"
#include "compressors/onnx/product_layer.h"
#include "compressors/onnx/ridge_fit.h"
#include "compressors/onnx/twin_graph.h"
#include "core/data/dataset.h"

enum { ROWS_MAX = 65536, CHUNK_ROWS = 256, WEIGHTS_MAX = 1 << 26 };

/* Where the bias of a layer is, or could be. */
struct bias_place {
    struct graph_node *node; /* NULL: nowhere */
    size_t slot;
    struct graph_value *value; /* NULL: the node has none yet */
};

struct fit {
    const struct refit_job *r;
    struct product_layer layer;
    struct bias_place bias;
    uint32_t *outputs; /* [layer.outputs]: which of the original's outputs they are */
    size_t original_outputs;
    struct ridge_sums sums;
    size_t batches, total_examples;
    float *rows, *values, *scratch;
};

static void fit_release(struct fit *f) {
    ridge_sums_release(&f->sums);
    free(f->outputs);
    free(f->rows);
    free(f->values);
    free(f->scratch);
}

/* --- what is fitted --- */

static bool is_vector_of(const struct graph *g, const struct graph_value *v, size_t count) {
    const Onnx__TensorProto *t = v ? graph_constant(g, v) : NULL;
    size_t n;
    return t && t->data_type == GRAPH_FLOAT32 && t->n_dims == 1 && graph_tensor_count(t, &n, NULL) == RC_OK &&
           n == count;
}

static struct bias_place find_bias(struct graph *g, const struct product_layer *l) {
    struct bias_place b = {0};
    if (l->weights.kind != WEIGHTS_MATMUL) {
        struct graph_value *v = graph_input(g, l->node, 2);
        bool fits = v ? is_vector_of(g, v, l->outputs) : l->node->proto->n_input < 4;
        return fits ? (struct bias_place){l->node, 2, v} : b;
    }
    const struct graph_use *use = graph_sole_use(graph_output(g, l->node, 0));
    if (use && graph_is_op(use->node, "Add")) {
        struct graph_value *v = graph_input(g, use->node, 1 - use->slot);
        if (is_vector_of(g, v, l->outputs)) {
            return (struct bias_place){use->node, 1 - use->slot, v};
        }
    }
    return b;
}

/* Why the layer cannot be fitted, or NULL. */
static const char *obstacle(const struct graph *g, struct graph_node *n, struct product_layer *l) {
    const char *why = NULL;
    if (!product_layer_of(g, n, l, &why)) {
        return why;
    }
    if (l->weights.kind == WEIGHTS_CONV_TRANSPOSE || l->rows.groups != 1 || l->weights.slot != 1 ||
        l->rows.kind == LAYER_ROWS_SECOND_LAST) {
        return "its weights are in groups, or on the left: they were cut, not fitted";
    }
    if (l->weights.kind == WEIGHTS_GEMM &&
        (graph_attr_float(n, "alpha", 1) != 1 || graph_attr_float(n, "beta", 1) != 1)) {
        return "its product is scaled: it was cut, not fitted";
    }
    if (l->weights.tensor->data_type != GRAPH_FLOAT32) {
        return "its weights are not float32: they were cut, not fitted";
    }
    return graph_sole_use(l->weights.value) || !l->weights.value->initializer
               ? NULL
               : "others have the same weights: they were cut, not fitted";
}

/* Which outputs the layer kept. */
static enum rc map_outputs(struct fit *f, struct err *err) {
    struct graph_value *out = graph_output(f->r->job->graph, f->layer.node, 0);
    size_t rank = 0, kept = 0;
    while (channel_groups_axis(f->r->groups, out, rank)) {
        rank++;
    }
    bool conv = f->layer.weights.kind == WEIGHTS_CONV;
    const struct channel_axis *a = rank ? channel_groups_axis(f->r->groups, out, conv ? 1 : rank - 1) : NULL;
    f->outputs = malloc((f->layer.outputs + 1) * sizeof(*f->outputs));
    if (!a || !f->outputs) {
        return err_memory(err);
    }
    for (uint32_t i = 0; i < a->length; i++) {
        uint32_t unit = f->r->groups->unit_of[a->first + i];
        bool gone = unit != CHANNEL_NO_UNIT && f->r->removed[unit];
        if (!gone && kept < f->layer.outputs) {
            f->outputs[kept] = i;
        }
        kept += !gone;
    }
    f->original_outputs = a->length;
    return kept == f->layer.outputs
               ? RC_OK
               : err_set(err, RC_INTERNAL, "%zu outputs are left of %zu expected", kept, f->layer.outputs);
}

/* --- sums over examples --- */

/* Outputs of the original for rows first, first + step, ..: values[count, outputs]. */
static void fill_values(const struct fit *f, const struct onnxruntime_tensor *y, size_t first, size_t step,
                        size_t count) {
    const float *data = y->data;
    bool conv = f->layer.weights.kind == WEIGHTS_CONV;
    size_t positions = 1;
    for (size_t i = 2; conv && i < y->rank; i++) {
        positions *= (size_t)y->dims[i];
    }
    for (size_t r = 0; r < count; r++) {
        size_t row = first + r * step;
        const float *at = data + row / positions * positions * f->original_outputs + row % positions;
        for (size_t o = 0; o < f->layer.outputs; o++) {
            f->values[r * f->layer.outputs + o] = at[f->outputs[o] * positions];
        }
    }
}

static void add_chunk(struct fit *f, struct ridge_fold *fold, size_t count) {
    size_t n = f->sums.rows, m = f->sums.outputs;
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)n, (int)n, (int)count, 1, f->rows, (int)n,
                f->rows, (int)n, 0, f->scratch, (int)n);
    for (size_t i = 0; i < n * n; i++) {
        fold->xx[i] += (double)f->scratch[i];
    }
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)n, (int)m, (int)count, 1, f->rows, (int)n,
                f->values, (int)m, 0, f->scratch, (int)m);
    for (size_t i = 0; i < n * m; i++) {
        fold->xy[i] += (double)f->scratch[i];
    }
    for (size_t i = 0; i < count * m; i++) {
        fold->yy += (double)f->values[i] * (double)f->values[i];
    }
    fold->count += count;
}

/* tensors: what the layer reads in the cut model, what it gives in the original. */
static enum rc take(void *user, size_t part, size_t thread, const struct onnxruntime_tensor *const *tensors,
                    struct err *err) {
    struct fit *f = user;
    const struct onnxruntime_tensor *x = tensors[0], *y = tensors[1];
    size_t total, width = f->layer.rows.width, n = f->sums.rows;
    struct ridge_fold *fold = &f->sums.folds[f->batches++ % RIDGE_FOLDS];
    (void)part;
    (void)thread;
    enum rc rc = layer_rows_count(&f->layer.rows, x, &total, err);
    if (rc != RC_OK) {
        return rc;
    }
    if (total * f->original_outputs * sizeof(float) != y->bytes) {
        return err_set(err, RC_INTERNAL, "the layer has %zu rows, but its outputs are %zu bytes", total,
                       y->bytes);
    }
    size_t examples = x->rank > 0 && x->dims[0] > 0 ? (size_t)x->dims[0] : 1;
    size_t step = (size_t)ceil((double)total / (double)examples * (double)f->total_examples / ROWS_MAX);
    step = step ? step : 1;
    size_t taken = (total + step - 1) / step;
    float *packed = f->scratch; /* rows without the column of ones */
    for (size_t first = 0; first < taken; first += CHUNK_ROWS) {
        size_t count = taken - first < CHUNK_ROWS ? taken - first : CHUNK_ROWS;
        layer_rows_fill(&f->layer.rows, x, 0, first * step, step, count, packed);
        for (size_t r = 0; r < count; r++) {
            memcpy(f->rows + r * n, packed + r * width, width * sizeof(float));
            if (n > width) {
                f->rows[r * n + width] = 1;
            }
        }
        fill_values(f, y, first * step, step, count);
        add_chunk(f, fold, count);
    }
    return RC_OK;
}

static enum rc gather(struct fit *f, double from, double to, struct err *err) {
    const struct refit_job *r = f->r;
    const char *out = graph_output(r->job->graph, f->layer.node, 0)->name;
    size_t size = strlen(out) + sizeof(TWIN_PREFIX);
    struct compress_job job = *r->job;
    char *name = malloc(size);
    enum rc rc = name ? RC_OK : err_memory(err);
    if (rc == RC_OK) {
        (void)snprintf(name, size, "%s%s", TWIN_PREFIX, out);
        rc = twin_graph_make(r->original, r->original_size, r->job->graph, &job.graph, err);
    }
    if (rc == RC_OK) {
        const char *names[] = {f->layer.rows.input->name, name};
        const struct observe_opts opts = {.from = from, .to = to, .text = "fitting the layers that are left"};
        const struct observe_sink sink = {take, f, 1};
        rc = observe_run(&job, names, 2, &opts, &sink, NULL, err);
        graph_free(job.graph);
    }
    free(name);
    return rc;
}

/* --- weights in and out --- */

static enum rc read_weights(const struct fit *f, double *w, struct err *err) {
    const struct graph *g = f->r->job->graph;
    const struct product_layer *l = &f->layer;
    float *values, *bias = NULL;
    size_t count;
    enum rc rc = graph_tensor_floats(g, l->weights.tensor, &values, &count, err);
    if (rc != RC_OK) {
        return rc;
    }
    for (size_t k = 0; k < l->rows.width; k++) {
        for (size_t o = 0; o < l->outputs; o++) {
            w[k * l->outputs + o] = (double)values[product_layer_at(l, 0, o, k)];
        }
    }
    free(values);
    if (f->bias.value && l->weights.kind != WEIGHTS_MATMUL) { /* after a MatMul it is no part of Y */
        rc = graph_tensor_floats(g, graph_constant(g, f->bias.value), &bias, &count, err);
    }
    for (size_t o = 0; f->bias.node && o < l->outputs && rc == RC_OK; o++) {
        w[l->rows.width * l->outputs + o] = bias ? (double)bias[o] : 0;
    }
    free(bias);
    return rc;
}

static enum rc write_bias(const struct fit *f, const double *row, struct err *err) {
    struct graph *g = f->r->job->graph;
    int64_t count = (int64_t)f->layer.outputs;
    size_t n = 0;
    float *bias = NULL;
    struct graph_value *fresh;
    enum rc rc = RC_OK;
    if (f->bias.value && f->layer.weights.kind == WEIGHTS_MATMUL) {
        rc = graph_tensor_floats(g, graph_constant(g, f->bias.value), &bias, &n, err);
    } else {
        bias = calloc(f->layer.outputs + 1, sizeof(*bias));
        rc = bias ? RC_OK : err_memory(err);
    }
    for (size_t o = 0; rc == RC_OK && o < f->layer.outputs; o++) {
        bias[o] = (float)((double)bias[o] + row[o]);
    }
    rc = rc != RC_OK ? rc
                     : graph_add_initializer(g, f->bias.value ? f->bias.value->name : "bias", GRAPH_FLOAT32,
                                             &count, 1, bias, f->layer.outputs * sizeof(*bias), &fresh, err);
    rc = rc != RC_OK ? rc : graph_set_input(g, f->bias.node, f->bias.slot, fresh->name, err);
    free(bias);
    return rc;
}

static enum rc write_weights(const struct fit *f, const double *w, struct err *err) {
    const struct product_layer *l = &f->layer;
    size_t count = l->outputs * l->rows.width;
    float *values = malloc((count + 1) * sizeof(*values));
    if (!values) {
        return err_memory(err);
    }
    for (size_t k = 0; k < l->rows.width; k++) {
        for (size_t o = 0; o < l->outputs; o++) {
            values[product_layer_at(l, 0, o, k)] = (float)w[k * l->outputs + o];
        }
    }
    Onnx__TensorProto *t = l->weights.tensor;
    enum rc rc = graph_set_tensor(f->r->job->graph, t, GRAPH_FLOAT32, t->dims, t->n_dims, values,
                                  count * sizeof(*values), err);
    free(values);
    return rc != RC_OK || !f->bias.node ? rc : write_bias(f, w + l->rows.width * l->outputs, err);
}

/* --- one layer --- */

static enum rc solve(struct fit *f, struct err *err) {
    struct ridge_result result;
    double *w = malloc((f->sums.rows * f->sums.outputs + 1) * sizeof(*w));
    enum rc rc = w ? read_weights(f, w, err) : err_memory(err);
    parallel_keep_blas_single();
    rc = rc != RC_OK ? rc : ridge_fit(&f->sums, w, &result, err);
    rc = rc != RC_OK || result.lambda == 0 ? rc : write_weights(f, w, err);
    free(w);
    return rc != RC_OK
               ? rc
               : record_changed(f->r->job->record, err, graph_node_label(f->r->job->graph, f->layer.node),
                                "weights fitted to the original's outputs: error %.2f %% of them, was "
                                "%.2f %% (on examples not fitted)",
                                100 * result.after, 100 * result.before);
}

static enum rc fit_layer(const struct refit_job *r, struct graph_node *n, double from, double to,
                         struct err *err) {
    struct graph *g = r->job->graph;
    struct fit f = {.r = r, .total_examples = dataset_count(r->job->calibration)};
    const char *why = obstacle(g, n, &f.layer);
    if (!why && f.layer.rows.width * f.layer.outputs > WEIGHTS_MAX) {
        why = "its weights are too many: they were cut, not fitted";
    }
    if (why) {
        return record_left_alone(r->job->record, err, graph_node_label(g, n), "%s", why);
    }
    f.bias = find_bias(g, &f.layer);
    bool constant = f.bias.node != NULL;
    size_t rows = f.layer.rows.width + constant, outputs = f.layer.outputs;
    enum rc rc = ridge_sums_init(&f.sums, rows, outputs, constant, err);
    size_t widest = rows > outputs ? rows : outputs;
    f.rows = malloc(CHUNK_ROWS * rows * sizeof(float));
    f.values = malloc(CHUNK_ROWS * outputs * sizeof(float));
    f.scratch = malloc((widest > CHUNK_ROWS ? widest : CHUNK_ROWS) * rows * sizeof(float));
    if (rc == RC_OK && (!f.rows || !f.values || !f.scratch)) {
        rc = err_memory(err);
    }
    rc = rc != RC_OK ? rc : map_outputs(&f, err);
    rc = rc != RC_OK ? rc : gather(&f, from, to, err);
    rc = rc != RC_OK ? rc : solve(&f, err);
    fit_release(&f);
    return rc;
}

/* --- all of them --- */

static bool lost_inputs(const struct refit_job *r, const struct graph_node *n) {
    for (size_t i = 0; i < r->groups->contraction_count; i++) {
        const struct channel_axis *a = &r->groups->axes[r->groups->contractions[i].axis];
        for (uint32_t k = 0; r->groups->contractions[i].node == n && k < a->length; k++) {
            uint32_t unit = r->groups->unit_of[a->first + k];
            if (unit != CHANNEL_NO_UNIT && r->removed[unit]) {
                return true;
            }
        }
    }
    return false;
}

enum rc channel_refit(const struct refit_job *r, struct err *err) {
    size_t total = 0, done = 0;
    enum rc rc = graph_sort(r->job->graph, err);
    for (struct graph_node *n = graph_first(r->job->graph); n; n = n->next) {
        total += lost_inputs(r, n);
    }
    for (struct graph_node *n = graph_first(r->job->graph); n && rc == RC_OK; n = n->next) {
        if (lost_inputs(r, n)) {
            double span = (r->to - r->from) / (double)total;
            rc = fit_layer(r, n, r->from + span * (double)done, r->from + span * (double)(done + 1), err);
            done++;
        }
    }
    return rc;
}
