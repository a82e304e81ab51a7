#include "compressors/onnx/int8_bias.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/observe.h"

enum { EXAMPLES = 64, NAME_SIZE = 512 };

/* --- mean inputs --- */

struct mean {
    char *name;
    bool of_image;   /* channels on axis 1, else on the last */
    size_t channels; /* 0: not seen yet */
    double *sums;    /* [channels] */
    double count;    /* values of each channel */
    bool unusable;   /* the number of channels changed, or too few axes */
};

struct int8_means {
    struct mean *list;
    size_t count;
};

static struct mean *find_mean(const struct int8_means *m, const char *name) {
    for (size_t i = 0; i < m->count; i++) {
        if (strcmp(m->list[i].name, name) == 0) {
            return &m->list[i];
        }
    }
    return NULL;
}

static enum rc list_inputs(struct int8_means *m, const struct int8_plan *plan, struct err *err) {
    m->list = calloc(plan->op_count + 1, sizeof(*m->list));
    if (!m->list) {
        return err_memory(err);
    }
    for (size_t i = 0; i < plan->op_count; i++) {
        const struct int8_op *op = &plan->ops[i];
        const char *name = op->kind == INT8_FLOW ? NULL : plan->tensors[op->input].value->name;
        if (!name || find_mean(m, name)) {
            continue;
        }
        struct mean *mean = &m->list[m->count];
        mean->name = strdup(name);
        if (!mean->name) {
            return err_memory(err);
        }
        mean->of_image = op->kind == INT8_CONV;
        m->count++;
    }
    return RC_OK;
}

/* [outer, channels, inner] of a tensor. */
static bool divide_axes(const struct mean *mean, const struct onnxruntime_tensor *t, size_t *channels,
                        size_t *inner) {
    if (t->rank < 2) {
        return false;
    }
    size_t axis = mean->of_image ? 1 : t->rank - 1;
    *channels = (size_t)t->dims[axis];
    *inner = 1;
    for (size_t d = axis + 1; d < t->rank; d++) {
        *inner *= (size_t)t->dims[d];
    }
    return *channels > 0 && *inner > 0;
}

static enum rc take(void *user, size_t part, size_t thread, const struct onnxruntime_tensor *const *tensors,
                    struct err *err) {
    struct mean *mean = &((struct int8_means *)user)->list[part];
    const struct onnxruntime_tensor *t = tensors[part];
    const float *values = t->data;
    size_t channels = 0, inner = 0, n = t->bytes / sizeof(float);
    (void)thread;
    if (!divide_axes(mean, t, &channels, &inner) || (mean->channels && mean->channels != channels)) {
        mean->unusable = true;
        return RC_OK;
    }
    if (!mean->sums) {
        mean->channels = channels;
        mean->sums = calloc(channels + 1, sizeof(*mean->sums));
        if (!mean->sums) {
            return err_memory(err);
        }
    }
    for (size_t i = 0; i < n; i++) {
        mean->sums[i / inner % channels] += (double)values[i];
    }
    mean->count += (double)n / (double)channels; /* whole: the tensor holds them all */
    return RC_OK;
}

enum rc int8_means_observe(const struct compress_job *job, const struct int8_plan *plan, double from,
                           double to, struct int8_means **ret, struct err *err) {
    const struct observe_opts opts = {
        .max_examples = EXAMPLES, .from = from, .to = to, .text = "observing mean inputs"};
    struct int8_means *m = calloc(1, sizeof(*m));
    if (!m) {
        return err_memory(err);
    }
    const char **names = calloc(plan->op_count + 1, sizeof(*names));
    enum rc rc = names ? list_inputs(m, plan, err) : err_memory(err);
    for (size_t i = 0; i < m->count && rc == RC_OK; i++) {
        names[i] = m->list[i].name;
    }
    const struct observe_sink sink = {.take = take, .user = m, .parts = m->count};
    if (rc == RC_OK && m->count > 0) {
        rc = observe_run(job, names, m->count, &opts, &sink, NULL, err);
    }
    free(names);
    if (rc != RC_OK) {
        int8_means_free(m);
        return rc;
    }
    *ret = m;
    return RC_OK;
}

void int8_means_free(struct int8_means *m) {
    for (size_t i = 0; m && i < m->count; i++) {
        free(m->list[i].name);
        free(m->list[i].sums);
    }
    if (m) {
        free(m->list);
        free(m);
    }
}

/* --- the shift of a layer --- */

void int8_bias_shift(const struct int8_quantized *w, double (*mean_of)(const void *user, size_t element),
                     const void *user, double *shift) {
    memset(shift, 0, w->view.channels * sizeof(*shift));
    for (size_t i = 0; i < w->count; i++) {
        size_t channel = i / w->view.inner % w->view.channels;
        double rounded = (double)w->scales[channel] * (double)w->q[i];
        shift[channel] += (rounded - (double)w->values[i]) * mean_of(user, i);
    }
}

/* Which input an element of a layer's weights is multiplied with. */
struct inputs {
    const struct mean *mean;
    bool is_conv, rows_are_outputs;
    size_t outputs, per_output; /* elements of one output channel */
    size_t groups, in_group;    /* convolutions */
};

static double mean_input(const void *user, size_t element) {
    const struct inputs *in = user;
    size_t channel;
    if (in->is_conv) {
        size_t output = element / in->per_output, inner = in->per_output / in->in_group;
        channel = output / (in->outputs / in->groups) * in->in_group + element / inner % in->in_group;
    } else {
        channel = in->rows_are_outputs ? element % in->per_output : element / in->outputs;
    }
    return in->mean->sums[channel] / in->mean->count;
}

/* False when the means do not fit the weights. */
static bool inputs_of(const struct int8_op *op, const Onnx__TensorProto *t, size_t count,
                      const struct mean *mean, struct inputs *ret) {
    *ret = (struct inputs){.mean = mean, .is_conv = op->kind == INT8_CONV};
    if (!mean || mean->unusable || !mean->sums || !(mean->count > 0) || mean->of_image != ret->is_conv) {
        return false;
    }
    ret->rows_are_outputs = op->weight_axis == 0;
    ret->outputs = (size_t)t->dims[op->weight_axis];
    ret->per_output = count / ret->outputs;
    int64_t groups = ret->is_conv ? graph_attr_int(op->node, "group", 1) : 1;
    if (groups < 1 || ret->outputs % (size_t)groups) {
        return false;
    }
    ret->groups = (size_t)groups;
    ret->in_group = ret->is_conv ? (size_t)t->dims[1] : ret->per_output;
    return ret->groups * ret->in_group == mean->channels;
}

/* --- biases --- */

/* The Add that adds one constant a column to a MatMul's output, which nothing else reads. */
static struct graph_node *bias_add(const struct graph *g, const struct graph_node *product, size_t outputs,
                                   size_t *slot) {
    const struct graph_value *out = graph_output(g, product, 0);
    const struct graph_use *use = out ? graph_sole_use(out) : NULL;
    if (!use || !graph_is_op(use->node, "Add")) {
        return NULL;
    }
    *slot = 1 - use->slot;
    const struct graph_value *v = graph_input(g, use->node, *slot);
    const Onnx__TensorProto *t = v && !v->is_input ? graph_constant(g, v) : NULL;
    size_t count = 0;
    bool fits = t && t->data_type == GRAPH_FLOAT32 && t->n_dims > 0 &&
                t->dims[t->n_dims - 1] == (int64_t)outputs && graph_tensor_count(t, &count, NULL) == RC_OK &&
                count == outputs;
    return fits ? use->node : NULL;
}

/* Input `slot` of n, which may be missing, becomes a new constant: itself less the shift. */
static enum rc write_bias(struct graph *g, struct graph_node *n, size_t slot, const double *shift,
                          size_t outputs, struct graph_value **ret, struct err *err) {
    const struct graph_value *old = graph_input(g, n, slot);
    const Onnx__TensorProto *t = graph_constant(g, old);
    const int64_t length = (int64_t)outputs;
    float *bias = NULL;
    size_t count = outputs;
    char hint[NAME_SIZE];
    enum rc rc = RC_OK;
    if (t) {
        rc = graph_tensor_floats(g, t, &bias, &count, err);
    } else {
        bias = calloc(outputs + 1, sizeof(*bias));
    }
    if (rc != RC_OK || !bias || count != outputs) {
        free(bias);
        return rc != RC_OK ? rc
               : bias      ? err_set(err, RC_INPUT, "the bias \"%s\" does not fit its weights", old->name)
                           : err_memory(err);
    }
    for (size_t c = 0; c < outputs; c++) {
        bias[c] = isfinite(shift[c]) ? (float)((double)bias[c] - shift[c]) : bias[c];
    }
    (void)snprintf(hint, sizeof(hint), "%.480s_corrected", old ? old->name : graph_output(g, n, 0)->name);
    rc = graph_add_initializer(g, hint, GRAPH_FLOAT32, t ? t->dims : &length, t ? t->n_dims : 1, bias,
                               outputs * sizeof(*bias), ret, err);
    free(bias);
    return rc != RC_OK ? rc : graph_set_input(g, n, slot, (*ret)->name, err);
}

static enum rc correct(struct graph *g, struct int8_op *op, const struct int8_quantized *w,
                       const struct inputs *in, size_t *count, struct err *err) {
    double *shift = calloc(w->view.channels + 1, sizeof(*shift));
    struct graph_value *bias = NULL;
    size_t slot = 2;
    struct graph_node *n = op->kind == INT8_MATMUL ? bias_add(g, op->node, in->outputs, &slot) : op->node;
    enum rc rc = shift ? RC_OK : err_memory(err);
    if (rc == RC_OK && n) {
        int8_bias_shift(w, mean_input, in, shift);
        rc = write_bias(g, n, slot, shift, in->outputs, &bias, err);
        op->bias = n == op->node ? bias : op->bias;
        (*count)++;
    }
    free(shift);
    return rc;
}

enum rc int8_bias_correct(struct graph *g, struct int8_plan *plan, const struct int8_means *means,
                          enum int8_scales scales, size_t *count, struct err *err) {
    enum rc rc = RC_OK;
    *count = 0;
    for (size_t i = 0; i < plan->op_count && rc == RC_OK; i++) {
        struct int8_op *op = &plan->ops[i];
        struct int8_quantized w = {0};
        struct inputs in;
        if (op->kind == INT8_FLOW) {
            continue;
        }
        const Onnx__TensorProto *t = graph_constant(g, op->weights);
        const struct mean *mean = find_mean(means, plan->tensors[op->input].value->name);
        rc = int8_weights_read(g, t, op->weight_axis, scales, &w, err);
        if (rc == RC_OK && inputs_of(op, t, w.count, mean, &in)) {
            int8_weights_quantize(w.values, w.view, w.scales, w.q);
            rc = correct(g, op, &w, &in, count, err);
        }
        int8_weights_release(&w);
    }
    return rc;
}
