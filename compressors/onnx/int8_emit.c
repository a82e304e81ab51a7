#include "compressors/onnx/int8_emit.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/int8_weights.h"

enum { NAME_SIZE = 512, OPSET = 13 };

/* What the steps below share. */
struct emitting {
    struct graph *g;
    const struct int8_plan *plan;
    const struct int8_emit_opts *opts;
    struct record *record;
    const char *
        *quantized; /* [tensor_count]: name of the DequantizeLinear output that stands for the tensor */
};

/* --- activations --- */

static enum rc add_params(struct emitting *e, const char *name, const struct range_params *p,
                          const char *ret[2], struct err *err) {
    char hint[NAME_SIZE];
    struct graph_value *v = NULL;
    snprintf(hint, sizeof(hint), "%.480s_scale", name);
    enum rc rc = graph_add_float(e->g, hint, p->scale, &v, err);
    if (rc) {
        return rc;
    }
    ret[0] = v->name;
    int8_t zero = (int8_t)(uint8_t)(p->zero_point & 0xff);
    int32_t type = e->opts->act == RANGE_UINT8 ? GRAPH_UINT8 : GRAPH_INT8;
    snprintf(hint, sizeof(hint), "%.480s_zero_point", name);
    rc = graph_add_initializer(e->g, hint, type, NULL, 0, &zero, 1, &v, err);
    ret[1] = rc ? NULL : v->name;
    return rc;
}

static enum rc add_pair(struct emitting *e, const char *from, const char *to, const char *const params[2],
                        struct err *err) {
    char hint[NAME_SIZE];
    snprintf(hint, sizeof(hint), "%.480s_quantized", from);
    const char *middle = graph_unique_name(e->g, hint);
    if (!middle) {
        return err_memory(err);
    }
    const char *q_inputs[] = {from, params[0], params[1]};
    struct graph_node_spec q = {.op_type = "QuantizeLinear",
                                .inputs = q_inputs,
                                .input_count = 3,
                                .outputs = &middle,
                                .output_count = 1};
    struct graph_node *node = NULL;
    enum rc rc = graph_add_node(e->g, &q, NULL, &node, err);
    if (rc) {
        return rc;
    }
    const char *dq_inputs[] = {middle, params[0], params[1]};
    struct graph_node_spec dq = {.op_type = "DequantizeLinear",
                                 .inputs = dq_inputs,
                                 .input_count = 3,
                                 .outputs = &to,
                                 .output_count = 1};
    return graph_add_node(e->g, &dq, NULL, &node, err);
}

/* The producer writes a new name, and DequantizeLinear gives the old name to all that read it. */
static enum rc emit_everywhere(struct emitting *e, struct graph_value *v, const char *const params[2],
                               struct err *err) {
    char hint[NAME_SIZE];
    snprintf(hint, sizeof(hint), "%.480s_float", v->name);
    const char *raw = graph_unique_name(e->g, hint);
    if (!raw) {
        return err_memory(err);
    }
    enum rc rc = graph_set_output(e->g, v->producer, v->producer_slot, raw, err);
    return rc ? rc : add_pair(e, raw, v->name, params, err);
}

static enum rc emit_tensor(struct emitting *e, size_t i, struct err *err) {
    const struct int8_tensor *t = &e->plan->tensors[i];
    const char *params[2] = {NULL, NULL};
    enum rc rc = add_params(e, t->value->name, &e->opts->params[i], params, err);
    if (rc) {
        return rc;
    }
    if (t->everywhere && t->value->producer) {
        e->quantized[i] = t->value->name;
        return emit_everywhere(e, t->value, params, err);
    }
    char hint[NAME_SIZE];
    snprintf(hint, sizeof(hint), "%.480s_dequantized", t->value->name);
    e->quantized[i] = graph_unique_name(e->g, hint);
    return e->quantized[i] ? add_pair(e, t->value->name, e->quantized[i], params, err) : err_memory(err);
}

/* --- weights --- */

/* One op's weights and bias on their way into integers. */
struct weights {
    struct int8_quantized w;
    float *bias; /* [channels], NULL without one */
    size_t bias_count;
    int32_t *bias_q; /* [channels] */
};

static void weights_release(struct weights *w) {
    int8_weights_release(&w->w);
    free(w->bias);
    free(w->bias_q);
}

static enum rc bias_read(struct emitting *e, const struct int8_op *op, struct weights *w, struct err *err) {
    if (!op->bias) {
        return RC_OK;
    }
    enum rc rc = graph_tensor_floats(e->g, graph_constant(e->g, op->bias), &w->bias, &w->bias_count, err);
    if (rc) {
        return rc;
    }
    if (w->bias_count != w->w.view.channels) {
        return err_set(err, RC_INPUT, "the bias \"%s\" does not fit its weights", op->bias->name);
    }
    w->bias_q = calloc(w->bias_count + 1, sizeof(*w->bias_q));
    return w->bias_q ? RC_OK : err_memory(err);
}

/* A bias is stored in steps of (activation scale * weight scale). Where tiny weights would make it overflow
 * 32 bits, their scale is raised until it fits. */
static void make_bias_fit(struct weights *w, float act_scale) {
    for (size_t c = 0; c < w->bias_count; c++) {
        double least = fabs((double)w->bias[c]) / ((double)act_scale * 2e9);
        if ((double)w->w.scales[c] < least) {
            w->w.scales[c] = (float)least;
        }
    }
}

/* Turns the bias into integers, and w->bias into their scales. */
static void quantize_bias(struct weights *w, float act_scale) {
    for (size_t c = 0; c < w->bias_count; c++) {
        float scale = act_scale * w->w.scales[c];
        double steps = nearbyint((double)w->bias[c] / (double)scale);
        w->bias_q[c] = steps > INT32_MAX ? INT32_MAX : steps < INT32_MIN ? INT32_MIN : (int32_t)steps;
        w->bias[c] = scale;
    }
}

/* Integers that take the place of a float initializer. */
struct int8_integers {
    const char *name; /* of what they replace */
    int32_t type;
    const int64_t *dims;
    size_t rank, axis; /* of the scales */
    const void *data;
    size_t bytes;
};

/* Scales and zero points (all 0; the runtime fuses Gemm only when they are written down). */
static enum rc add_scales(struct emitting *e, const struct int8_integers *q, const float *scales,
                          size_t count, const char *ret[2], struct err *err) {
    char hint[NAME_SIZE];
    struct graph_value *v = NULL;
    bool one = e->opts->weights == INT8_PER_TENSOR;
    int64_t n = one ? 1 : (int64_t)count;
    size_t rank = one ? 0 : 1;
    snprintf(hint, sizeof(hint), "%.480s_scale", q->name);
    enum rc rc = graph_add_initializer(e->g, hint, GRAPH_FLOAT32, &n, rank, scales, (size_t)n * sizeof(float),
                                       &v, err);
    if (rc) {
        return rc;
    }
    ret[0] = v->name;
    size_t bytes = graph_dtype_bytes(q->type, (size_t)n);
    void *zeros = calloc(bytes, 1);
    if (!zeros) {
        return err_memory(err);
    }
    snprintf(hint, sizeof(hint), "%.480s_zero_point", q->name);
    rc = graph_add_initializer(e->g, hint, q->type, &n, rank, zeros, bytes, &v, err);
    free(zeros);
    ret[1] = rc ? NULL : v->name;
    return rc;
}

/* The integers with their scales, read through DequantizeLinear. *ret names its output. */
static enum rc add_dequantized(struct emitting *e, const struct int8_integers *q, const float *scales,
                               size_t scale_count, const char **ret, struct err *err) {
    char hint[NAME_SIZE];
    struct graph_value *v = NULL;
    const char *inputs[3] = {NULL, NULL, NULL};
    snprintf(hint, sizeof(hint), "%.480s_quantized", q->name);
    enum rc rc = graph_add_initializer(e->g, hint, q->type, q->dims, q->rank, q->data, q->bytes, &v, err);
    if (!rc) {
        inputs[0] = v->name;
        rc = add_scales(e, q, scales, scale_count, &inputs[1], err);
    }
    if (rc) {
        return rc;
    }
    snprintf(hint, sizeof(hint), "%.480s_dequantized", q->name);
    *ret = graph_unique_name(e->g, hint);
    if (!*ret) {
        return err_memory(err);
    }
    struct graph_node_spec spec = {
        .op_type = "DequantizeLinear", .inputs = inputs, .input_count = 3, .outputs = ret, .output_count = 1};
    struct graph_node *node = NULL;
    rc = graph_add_node(e->g, &spec, NULL, &node, err);
    if (!rc && e->opts->weights == INT8_PER_CHANNEL) {
        rc = graph_set_attr_int(e->g, node, "axis", (int64_t)q->axis, err);
    }
    return rc;
}

static enum rc add_bias(struct emitting *e, const struct int8_op *op, struct weights *w, float act_scale,
                        struct err *err) {
    int64_t channels = (int64_t)w->bias_count;
    const char *name = NULL;
    quantize_bias(w, act_scale);
    struct int8_integers bias = {
        op->bias->name, GRAPH_INT32, &channels, 1, 0, w->bias_q, w->bias_count * sizeof(*w->bias_q)};
    enum rc rc = add_dequantized(e, &bias, w->bias, w->bias_count, &name, err);
    return rc ? rc : graph_set_input(e->g, op->node, 2, name, err);
}

static enum rc emit_weights(struct emitting *e, const struct int8_op *op, struct weights *w, float act_scale,
                            struct err *err) {
    const Onnx__TensorProto *t = graph_constant(e->g, op->weights);
    enum rc rc = int8_weights_read(e->g, t, op->weight_axis, e->opts->weights, &w->w, err);
    if (!rc) {
        rc = bias_read(e, op, w, err);
    }
    if (rc) {
        return rc;
    }
    make_bias_fit(w, act_scale);
    if (e->opts->weights == INT8_PER_TENSOR) {
        int8_weights_share_scale(w->w.scales, w->w.view.channels);
    }
    int8_weights_quantize(w->w.values, w->w.view, w->w.scales, w->w.q);
    struct int8_integers integers = {op->weights->name, GRAPH_INT8, t->dims,   t->n_dims,
                                     op->weight_axis,   w->w.q,     w->w.count};
    const char *name = NULL;
    rc = add_dequantized(e, &integers, w->w.scales, w->w.view.channels, &name, err);
    if (!rc) {
        rc = graph_set_input(e->g, op->node, 1, name, err);
    }
    return rc || !op->bias ? rc : add_bias(e, op, w, act_scale, err);
}

static enum rc emit_op(struct emitting *e, const struct int8_op *op, struct err *err) {
    if (op->kind ==
        INT8_FLOW) { /* it reads tensors that are 8 bits everywhere: their names already mean that */
        return RC_OK;
    }
    struct weights w = {0};
    const struct range_params *act = &e->opts->params[op->input];
    enum rc rc = graph_set_input(e->g, op->node, 0, e->quantized[op->input], err);
    if (!rc) {
        rc = emit_weights(e, op, &w, act->scale, err);
    }
    weights_release(&w);
    if (rc) {
        return rc;
    }
    return record_changed(e->record, err, op->weights->name, "int8 %s, activations %s (scale %.4g)",
                          e->opts->weights == INT8_PER_CHANNEL ? "per channel" : "per tensor",
                          e->opts->act == RANGE_UINT8 ? "uint8" : "int8", (double)act->scale);
}

enum rc int8_emit(struct graph *g, const struct int8_plan *plan, const struct int8_emit_opts *opts,
                  struct record *record, struct err *err) {
    struct emitting e = {.g = g, .plan = plan, .opts = opts, .record = record};
    enum rc rc = graph_need_opset(g, OPSET, err);
    if (rc) {
        return rc;
    }
    e.quantized = calloc(plan->tensor_count + 1, sizeof(*e.quantized));
    if (!e.quantized) {
        return err_memory(err);
    }
    for (size_t i = 0; i < plan->tensor_count && !rc; i++) {
        rc = emit_tensor(&e, i, err);
    }
    for (size_t i = 0; i < plan->op_count && !rc; i++) {
        rc = emit_op(&e, &plan->ops[i], err);
    }
    free(e.quantized);
    return rc;
}
