#include "compressors/onnx/int8_smooth.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/calibration.h"
#include "compressors/onnx/channel_source.h"

enum { EXAMPLES = 32 }; /* the largest value of a channel is found quickly */

/* Strengths that a search tries. */
static const double strengths[] = {0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1};

/* Taken for (largest / root mean square)^2 of a channel; the choice among strengths hardly depends on it. */
static const double crest_squared = 16;

/* Rows of the weights of the first product that reads v; -1 when something else reads it too. */
static int64_t channels_of(const struct graph *g, const struct int8_plan *plan, const struct graph_value *v) {
    int64_t channels = -1;
    if (v->is_output || graph_is_captured(v)) {
        return -1;
    }
    for (size_t i = 0; i < v->use_count; i++) {
        const struct int8_op *op = int8_plan_op(plan, v->uses[i].node);
        if (!op || op->kind != INT8_MATMUL || v->uses[i].slot != 0) {
            return -1;
        }
        const Onnx__TensorProto *w = channel_constant(g, op->node, 1);
        if (!w || w->n_dims != 2 || (channels >= 0 && w->dims[0] != channels)) {
            return -1;
        }
        channels = w->dims[0];
    }
    return channels;
}

bool int8_smooth_applies(const struct graph *g, const struct int8_plan *plan, size_t tensor) {
    const struct int8_tensor *t = &plan->tensors[tensor];
    struct channel_source source;
    if (t->everywhere || t->same_as != SIZE_MAX) {
        return false;
    }
    int64_t channels = channels_of(g, plan, t->value);
    return channels > 0 && channel_source_find(g, t->value, channels, &source);
}

/* What is known of one tensor: the largest value a_j of each channel, and of the products that read it the
 * weights, the largest weight of each row and the sum of its squares. */
struct profile {
    size_t channels, matrix_count;
    const float *act; /* [channels] */
    float **matrices; /* [matrix_count] of [channels, columns] */
    size_t *columns;
    size_t columns_max;
    float *row_max;            /* [channels] */
    double *row_squares;       /* [channels] */
    float *column_max;         /* [columns_max], scratch */
    float *s, *best, *inverse; /* [channels] */
};

static void profile_release(struct profile *p) {
    for (size_t m = 0; p->matrices && m < p->matrix_count; m++) {
        free(p->matrices[m]);
    }
    free(p->matrices);
    free(p->columns);
    free(p->row_max);
    free(p->row_squares);
    free(p->column_max);
    free(p->s);
    free(p->best);
    free(p->inverse);
}

static void add_matrix(struct profile *p, const float *w, size_t columns) {
    for (size_t j = 0; j < p->channels; j++) {
        const float *row = w + j * columns;
        float max = p->row_max[j];
        double squares = 0;
        for (size_t n = 0; n < columns; n++) {
            float a = fabsf(row[n]);
            max = a > max ? a : max;
            squares += (double)row[n] * (double)row[n];
        }
        p->row_max[j] = max;
        p->row_squares[j] += squares;
    }
}

static enum rc profile_fill(struct profile *p, const struct graph *g, const struct graph_value *v,
                            const float *act, size_t channels, struct err *err) {
    p->channels = channels;
    p->act = act;
    p->matrix_count = v->use_count;
    p->matrices = calloc(v->use_count + 1, sizeof(*p->matrices));
    p->columns = calloc(v->use_count + 1, sizeof(*p->columns));
    p->row_max = calloc(channels + 1, sizeof(*p->row_max));
    p->row_squares = calloc(channels + 1, sizeof(*p->row_squares));
    p->s = calloc(channels + 1, sizeof(*p->s));
    p->best = calloc(channels + 1, sizeof(*p->best));
    p->inverse = calloc(channels + 1, sizeof(*p->inverse));
    if (!p->matrices || !p->columns || !p->row_max || !p->row_squares || !p->s || !p->best || !p->inverse) {
        return err_memory(err);
    }
    for (size_t i = 0; i < v->use_count; i++) {
        const Onnx__TensorProto *w = channel_constant(g, v->uses[i].node, 1);
        size_t count = 0;
        enum rc rc = graph_tensor_floats(g, w, &p->matrices[i], &count, err);
        if (rc) {
            return rc;
        }
        p->columns[i] = (size_t)channel_count(w);
        p->columns_max = p->columns[i] > p->columns_max ? p->columns[i] : p->columns_max;
        add_matrix(p, p->matrices[i], p->columns[i]);
    }
    p->column_max = calloc(p->columns_max + 1, sizeof(*p->column_max));
    return p->column_max ? RC_OK : err_memory(err);
}

/* Sum over the columns of (largest rescaled weight)^2: the squared steps of the weights. */
static double column_steps(struct profile *p, size_t m) {
    size_t columns = p->columns[m];
    memset(p->column_max, 0, columns * sizeof(*p->column_max));
    for (size_t j = 0; j < p->channels; j++) {
        const float *row = p->matrices[m] + j * columns;
        float s = p->s[j];
        for (size_t n = 0; n < columns; n++) {
            float a = fabsf(row[n]) * s;
            p->column_max[n] = a > p->column_max[n] ? a : p->column_max[n];
        }
    }
    double sum = 0;
    for (size_t n = 0; n < columns; n++) {
        sum += (double)p->column_max[n] * (double)p->column_max[n];
    }
    return sum;
}

/* Equation 4 with p->s as the result. A channel without values or weights stays as it is. */
static void factors_at(struct profile *p, double strength) {
    for (size_t j = 0; j < p->channels; j++) {
        double a = (double)p->act[j];
        double w = (double)p->row_max[j];
        double s = a > 0 && w > 0 ? pow(a, strength) / pow(w, 1 - strength) : 1;
        p->s[j] = (float)(s < 1e-4 ? 1e-4 : s > 1e4 ? 1e4 : s);
    }
}

/* Expected squared error of the products with the factors p->s, rounding errors taken as uniform and
 * independent: those of the activation pass through the weights, those of the weights through the activation.
 */
static double expected_error(struct profile *p) {
    double largest = 0;
    double act_through_weights = 0;
    double act_squares = 0;
    for (size_t j = 0; j < p->channels; j++) {
        double s = (double)p->s[j];
        double a = (double)p->act[j] / s;
        largest = a > largest ? a : largest;
        act_through_weights += s * s * p->row_squares[j];
        act_squares += a * a / crest_squared;
    }
    double act_step = 2 * largest / 255;
    double error = act_step * act_step * act_through_weights;
    for (size_t m = 0; m < p->matrix_count; m++) {
        error += column_steps(p, m) / (127.0 * 127.0) * act_squares;
    }
    return error / 12;
}

/* Leaves the factors in p->best and 1 / them in p->inverse; returns the strength. */
static double choose_factors(struct profile *p, const struct int8_smoothing *how) {
    double least = INFINITY, chosen = how->strength;
    size_t tried = how->search ? sizeof(strengths) / sizeof(strengths[0]) : 1;
    for (size_t i = 0; i < tried; i++) {
        double strength = how->search ? strengths[i] : how->strength;
        factors_at(p, strength);
        double error = how->search ? expected_error(p) : 0;
        if (error < least || i == 0) {
            least = error;
            chosen = strength;
            memcpy(p->best, p->s, p->channels * sizeof(*p->best));
        }
    }
    for (size_t j = 0; j < p->channels; j++) {
        p->inverse[j] = 1 / p->best[j];
    }
    return chosen;
}

/* One activation that can be rescaled. */
struct activation {
    struct graph_value *value;
    struct channel_source source;
    const float *largest; /* [channels] */
    size_t channels;
};

static enum rc smooth_tensor(struct graph *g, const struct activation *a, const struct int8_smoothing *how,
                             double *strength, struct err *err) {
    struct profile p = {0};
    enum rc rc = profile_fill(&p, g, a->value, a->largest, a->channels, err);
    if (!rc) {
        *strength = choose_factors(&p, how);
    }
    for (size_t i = 0; i < a->source.count && !rc; i++) {
        rc = channel_rescale(g, a->source.constants[i].node, a->source.constants[i].slot, NULL, p.inverse,
                             err);
    }
    for (size_t i = 0; i < a->value->use_count && !rc; i++) {
        rc = channel_rescale(g, a->value->uses[i].node, 1, p.best, NULL, err);
    }
    profile_release(&p);
    return rc;
}

static bool all_finite(const float *values, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(values[i])) {
            return false;
        }
    }
    return true;
}

static bool find_activation(const struct graph *g, const struct int8_plan *plan, const struct calibration *c,
                            size_t i, struct activation *ret) {
    ret->value = plan->tensors[i].value;
    ret->largest = calibration_channels(c, i, &ret->channels);
    return ret->largest && int8_smooth_applies(g, plan, i) &&
           channels_of(g, plan, ret->value) == (int64_t)ret->channels &&
           channel_source_find(g, ret->value, (int64_t)ret->channels, &ret->source) &&
           all_finite(ret->largest, ret->channels); /* others will not be quantized either */
}

static enum rc smooth_all(struct graph *g, const struct int8_plan *plan, const struct calibration *c,
                          const struct int8_smoothing *how, struct record *each, size_t *count,
                          struct err *err) {
    enum rc rc = RC_OK;
    for (size_t i = 0; i < plan->tensor_count && !rc; i++) {
        struct activation a;
        double strength = 0;
        if (!find_activation(g, plan, c, i, &a)) {
            continue;
        }
        rc = smooth_tensor(g, &a, how, &strength, err);
        (*count)++;
        if (!rc && each) {
            rc = record_changed(each, err, a.value->name,
                                "divided by channel, its weights multiplied (SmoothQuant, alpha %.3g)",
                                strength);
        }
    }
    return rc;
}

/* Watches the tensors of the plan that can be rescaled; *ret is NULL when there are none. */
static enum rc observe(struct compress_job *job, const struct int8_plan *plan,
                       const struct int8_smoothing *how, struct calibration **ret, struct err *err) {
    const struct calibration_opts opts = {.max_examples = EXAMPLES, .from = how->from, .to = how->to};
    struct calibration_target *targets = calloc(plan->tensor_count + 1, sizeof(*targets));
    bool any = false;
    if (!targets) {
        return err_memory(err);
    }
    for (size_t i = 0; i < plan->tensor_count; i++) {
        bool wanted = int8_smooth_applies(job->graph, plan, i);
        any = any || wanted;
        targets[i].name = plan->tensors[i].value->name;
        targets[i].watch = wanted ? CALIBRATION_CHANNELS : CALIBRATION_RANGE;
    }
    enum rc rc = any ? calibration_run(job, targets, plan->tensor_count, &opts, ret, err) : RC_OK;
    free(targets);
    return rc;
}

enum rc int8_smooth(struct compress_job *job, const struct int8_plan *plan, const struct int8_smoothing *how,
                    struct record *each, size_t *count, struct err *err) {
    struct calibration *c = NULL;
    *count = 0;
    enum rc rc = observe(job, plan, how, &c, err);
    if (!rc && c) {
        rc = smooth_all(job->graph, plan, c, how, each, count, err);
    }
    if (!rc && *count > 0) {
        graph_infer_types(job->graph);
    }
    calibration_free(c);
    return rc;
}
