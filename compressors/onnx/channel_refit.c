#include "compressors/onnx/channel_refit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/fit_samples.h"
#include "compressors/onnx/graph_beside.h"
#include "compressors/onnx/observe.h"
#include "compressors/onnx/parallel.h"
#include "compressors/onnx/product_layer.h"
#include "compressors/onnx/ridge_fit.h"
#include "core/data/dataset.h"

enum { CHUNK_ROWS = 256, WIDTH_MAX = 6144, WEIGHTS_MAX = 1 << 25, RELU_STEPS = 10 };

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
    bool rectified; /* only a Relu reads its outputs */
    struct fit_samples samples;
    struct ridge_sums sums;
    size_t batches, total_examples;
    float *packed; /* [CHUNK_ROWS, layer.rows.width] */
};

static void fit_release(struct fit *f) {
    ridge_sums_release(&f->sums);
    fit_samples_release(&f->samples);
    free(f->outputs);
    free(f->packed);
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

static bool is_removed(const struct refit_job *r, uint32_t atom) {
    uint32_t unit = r->groups->unit_of[atom];
    return unit != CHANNEL_NO_UNIT && r->removed[unit];
}

/* True when an axis of the layer's output other than that of its outputs lost indices (a layer over features
 * where positions went too): then its rows are not those of the original. */
static bool lost_rows(const struct refit_job *r, const struct product_layer *l) {
    const struct graph_value *out = graph_output(r->job->graph, l->node, 0);
    size_t rank = 0;
    while (channel_groups_axis(r->groups, out, rank)) {
        rank++;
    }
    size_t outputs = l->weights.kind == WEIGHTS_CONV ? 1 : rank - 1;
    for (size_t i = 0; i < rank; i++) {
        const struct channel_axis *a = channel_groups_axis(r->groups, out, i);
        for (uint32_t k = 0; i != outputs && k < a->length; k++) {
            if (is_removed(r, a->first + k)) {
                return true;
            }
        }
    }
    return false;
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
        bool gone = is_removed(f->r, a->first + i);
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
                        size_t count, float *values) {
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
            values[r * f->layer.outputs + o] = at[f->outputs[o] * positions];
        }
    }
}

/* tensors: what the layer reads in the cut model, what it gives in the original. */
static enum rc take(void *user, size_t part, size_t thread, const struct onnxruntime_tensor *const *tensors,
                    struct err *err) {
    struct fit *f = user;
    const struct onnxruntime_tensor *x = tensors[0], *y = tensors[1];
    struct fit_samples *s = &f->samples;
    size_t total, width = f->layer.rows.width, fold = f->batches++ % RIDGE_FOLDS;
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
    double expected = (double)total / (double)examples * (double)f->total_examples;
    size_t step = (size_t)ceil(expected / (double)fit_samples_capacity(s->width, s->outputs));
    step = step ? step : 1;
    size_t left = (total + step - 1) / step, room = s->capacity - s->count[fold];
    left = left < room ? left : room;
    for (size_t first = 0; left > 0;) {
        size_t count = left < CHUNK_ROWS ? left : CHUNK_ROWS;
        float *rows = s->rows[fold] + s->count[fold] * s->width;
        layer_rows_fill(&f->layer.rows, x, 0, first * step, step, count, f->packed);
        for (size_t r = 0; r < count; r++) {
            memcpy(rows + r * s->width, f->packed + r * width, width * sizeof(float));
            if (s->width > width) {
                rows[r * s->width + width] = 1;
            }
        }
        fill_values(f, y, first * step, step, count, s->values[fold] + s->count[fold] * s->outputs);
        s->count[fold] += count;
        first += count;
        left -= count;
    }
    return RC_OK;
}

static enum rc gather(struct fit *f, double from, double to, struct err *err) {
    const struct refit_job *r = f->r;
    const char *out = graph_output(r->job->graph, f->layer.node, 0)->name;
    size_t size = strlen(out) + sizeof(GRAPH_BESIDE_PREFIX);
    struct compress_job job = *r->job;
    char *name = malloc(size);
    enum rc rc = name ? RC_OK : err_memory(err);
    if (rc == RC_OK) {
        (void)snprintf(name, size, "%s%s", GRAPH_BESIDE_PREFIX, out);
        rc = graph_beside(r->job->graph, r->original, r->original_size, &job.graph, err);
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
    for (size_t o = 0; rc == RC_OK && bias && o < f->layer.outputs; o++) {
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

/* Behind a Relu: steps to targets that ask for less, each begun a little further on than the last one led
 * (Nesterov 1983, as in Beck & Teboulle 2009), which gets there in a third of the steps. Keeps the best of
 * the weights tried; *after: its error. */
static enum rc fit_rectified(struct fit *f, const struct ridge_result *linear, const double *start, double *w,
                             double *after, struct err *err) {
    size_t count = f->sums.rows * f->sums.outputs;
    double *xy = malloc((count + 1) * sizeof(*xy)), *best = malloc((count + 1) * sizeof(*best));
    double *last = malloc((count + 1) * sizeof(*last)), *ahead = malloc((count + 1) * sizeof(*ahead));
    enum rc rc = xy && best && last && ahead ? RC_OK : err_memory(err);
    *after = INFINITY;
    for (size_t k = 0; k < count && rc == RC_OK; k++) {
        last[k] = ahead[k] = w[k];
    }
    for (int i = 0; i <= RELU_STEPS && rc == RC_OK; i++) {
        double error = INFINITY, further = (double)i / (i + 3);
        rc = fit_samples_rectified(&f->samples, f->r->job->threads, ahead, xy, &error, err);
        if (rc == RC_OK && error < *after) {
            *after = error;
            memcpy(best, ahead, count * sizeof(*best));
        }
        if (rc == RC_OK && i < RELU_STEPS) {
            rc = ridge_fit_again(&f->sums, xy, linear->lambda, start, w, err);
        }
        for (size_t k = 0; k < count; k++) {
            ahead[k] = w[k] + further * (w[k] - last[k]);
            last[k] = w[k];
        }
    }
    if (rc == RC_OK) {
        memcpy(w, best, count * sizeof(*best));
    }
    free(xy);
    free(best);
    free(last);
    free(ahead);
    return rc;
}

static enum rc solve(struct fit *f, struct err *err) {
    struct ridge_result result = {0};
    size_t count = f->sums.rows * f->sums.outputs;
    double *w = malloc((count + 1) * sizeof(*w)), *start = malloc((count + 1) * sizeof(*start)),
           rectified = 0;
    enum rc rc = w && start ? read_weights(f, start, err) : err_memory(err);
    parallel_keep_blas_single();
    if (rc == RC_OK) {
        memcpy(w, start, count * sizeof(*w));
        rc = ridge_fit(&f->sums, w, &result, err);
    }
    bool again = f->rectified && result.lambda > 0;
    if (rc == RC_OK && again) {
        rc = fit_rectified(f, &result, start, w, &rectified, err);
    }
    rc = rc != RC_OK || result.lambda == 0 ? rc : write_weights(f, w, err);
    free(w);
    free(start);
    const char *label = rc == RC_OK ? graph_node_label(f->r->job->graph, f->layer.node) : NULL;
    char behind[64] = "";
    if (again) {
        (void)snprintf(behind, sizeof(behind), "; behind its Relu %.2f %%", 100 * rectified);
    }
    return rc != RC_OK
               ? rc
               : record_changed(f->r->job->record, err, label,
                                "weights fitted to the original's outputs: error %.2f %% of them, was "
                                "%.2f %% (on examples not fitted)%s",
                                100 * result.after, 100 * result.before, behind);
}

/* True when all that reads the layer's outputs is one Relu. */
static bool is_rectified(const struct fit *f) {
    const struct graph *g = f->r->job->graph;
    const struct graph_node *last =
        f->layer.weights.kind == WEIGHTS_MATMUL && f->bias.node ? f->bias.node : f->layer.node;
    const struct graph_use *use = graph_sole_use(graph_output(g, last, 0));
    return last == f->layer.node && use && graph_is_op(use->node, "Relu");
}

static enum rc fit_layer(const struct refit_job *r, struct graph_node *n, double from, double to,
                         struct err *err) {
    struct graph *g = r->job->graph;
    struct fit f = {.r = r, .total_examples = dataset_count(r->job->calibration)};
    const char *why = obstacle(g, n, &f.layer);
    if (!why && (f.layer.rows.width > WIDTH_MAX || f.layer.rows.width * f.layer.outputs > WEIGHTS_MAX)) {
        why = "its weights are too many: they were cut, not fitted";
    }
    if (!why && lost_rows(r, &f.layer)) {
        why = "another axis of what it reads lost channels too: its weights were cut, not fitted";
    }
    if (why) {
        return record_left_alone(r->job->record, err, graph_node_label(g, n), "%s", why);
    }
    f.bias = find_bias(g, &f.layer);
    bool constant = f.bias.node != NULL;
    size_t width = f.layer.rows.width + constant;
    f.rectified = is_rectified(&f);
    f.packed = malloc(CHUNK_ROWS * (f.layer.rows.width + 1) * sizeof(float));
    enum rc rc = f.packed ? RC_OK : err_memory(err);
    rc = rc != RC_OK ? rc : ridge_sums_init(&f.sums, width, f.layer.outputs, constant, err);
    rc = rc != RC_OK ? rc : fit_samples_init(&f.samples, width, f.layer.outputs, err);
    rc = rc != RC_OK ? rc : map_outputs(&f, err);
    rc = rc != RC_OK ? rc : gather(&f, from, to, err);
    rc = rc != RC_OK ? rc : fit_samples_sums(&f.samples, r->job->threads, &f.sums, err);
    rc = rc != RC_OK ? rc : solve(&f, err);
    fit_release(&f);
    return rc;
}

/* --- all of them --- */

static bool lost_inputs(const struct refit_job *r, const struct graph_node *n) {
    for (size_t i = 0; i < r->groups->contraction_count; i++) {
        const struct channel_axis *a = &r->groups->axes[r->groups->contractions[i].axis];
        for (uint32_t k = 0; r->groups->contractions[i].node == n && k < a->length; k++) {
            if (is_removed(r, a->first + k)) {
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
