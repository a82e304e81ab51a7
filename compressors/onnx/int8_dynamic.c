/* int8_dynamic.c -- 8-bit weights; activations are quantized at every run with the range they then have.
 *
 *   x -> DynamicQuantizeLinear -> MatMulInteger -> Cast -> Mul(scale of x * scales of w) [-> Add(bias)]
 *
 * and the same with ConvInteger. ONNX Runtime fuses the chain behind a product into one kernel; there is no
 * such kernel behind ConvInteger, which is also slow by itself, so that convolutions usually become several
 * times slower. They are quantized all the same, because that is what the technique is, and the note says so.
 */
#include "compressors/onnx/int8_dynamic.h"

#include <stdio.h>
#include <stdlib.h>

#include "compressors/onnx/graph.h"
#include "compressors/onnx/int8_embed.h"
#include "compressors/onnx/int8_plan.h"
#include "compressors/onnx/int8_weights.h"
#include "compressors/onnx/passes.h"

enum { NAME_SIZE = 512, OPSET = 11, MAX_DIMS = 8 };

/* The three outputs of DynamicQuantizeLinear. */
struct quantized_input {
    const char *values, *scale, *zero_point;
};

struct dynamic {
    struct graph *g;
    struct record *record;
    const struct int8_plan *plan;
    struct quantized_input *inputs; /* [tensor_count], made at the first use */
};

/* "stem_suffix" as a name that is free; borrowed from the graph. */
static const char *fresh(struct dynamic *d, const char *stem, const char *suffix) {
    char hint[NAME_SIZE];
    snprintf(hint, sizeof(hint), "%.480s_%s", stem, suffix);
    return graph_unique_name(d->g, hint);
}

static enum rc add_op(struct dynamic *d, const char *op, const char *a, const char *b, const char *out,
                      struct graph_node **ret, struct err *err) {
    const char *inputs[] = {a, b};
    struct graph_node_spec spec = {
        .op_type = op, .inputs = inputs, .input_count = b ? 2 : 1, .outputs = &out, .output_count = 1};
    struct graph_node *n = NULL;
    enum rc rc = out ? graph_add_node(d->g, &spec, NULL, &n, err) : err_memory(err);
    if (ret) {
        *ret = n;
    }
    return rc;
}

static enum rc need_input(struct dynamic *d, size_t i, struct err *err) {
    struct quantized_input *in = &d->inputs[i];
    const char *name = d->plan->tensors[i].value->name;
    if (in->values) {
        return RC_OK;
    }
    in->values = fresh(d, name, "quantized");
    in->scale = fresh(d, name, "scale");
    in->zero_point = fresh(d, name, "zero_point");
    if (!in->values || !in->scale || !in->zero_point) {
        return err_memory(err);
    }
    const char *outputs[] = {in->values, in->scale, in->zero_point};
    struct graph_node_spec spec = {.op_type = "DynamicQuantizeLinear",
                                   .inputs = &name,
                                   .input_count = 1,
                                   .outputs = outputs,
                                   .output_count = 3};
    struct graph_node *n = NULL;
    return graph_add_node(d->g, &spec, NULL, &n, err);
}

/* --- weights --- */

/* Rows become columns: Gemm with transB holds [n, k], MatMulInteger wants [k, n]. */
static void transpose(int8_t *q, size_t rows, size_t columns, int8_t *out) {
    for (size_t r = 0; r < rows; r++) {
        for (size_t c = 0; c < columns; c++) {
            out[c * rows + r] = q[r * columns + c];
        }
    }
}

static enum rc add_transposed(struct dynamic *d, const char *hint, struct int8_quantized *w,
                              struct graph_value **ret, struct err *err) {
    int64_t dims[] = {(int64_t)w->view.inner, (int64_t)w->view.channels};
    int8_t *turned = malloc(w->count + 1);
    if (!turned) {
        return err_memory(err);
    }
    transpose(w->q, w->view.channels, w->view.inner, turned);
    enum rc rc = graph_add_initializer(d->g, hint, GRAPH_INT8, dims, 2, turned, w->count, ret, err);
    free(turned);
    return rc;
}

static enum rc add_integers(struct dynamic *d, const struct int8_op *op, struct int8_quantized *w,
                            const char *ret[2], struct err *err) {
    char hint[NAME_SIZE];
    const Onnx__TensorProto *t = graph_constant(d->g, op->weights);
    struct graph_value *v = NULL;
    snprintf(hint, sizeof(hint), "%.480s_quantized", op->weights->name);
    enum rc rc;
    if (op->kind == INT8_GEMM && op->weight_axis == 0) {
        rc = add_transposed(d, hint, w, &v, err);
    } else {
        rc = graph_add_initializer(d->g, hint, GRAPH_INT8, t->dims, t->n_dims, w->q, w->count, &v, err);
    }
    if (rc != RC_OK || !v) {
        return rc;
    }
    ret[0] = v->name;
    const int8_t zero = 0;
    snprintf(hint, sizeof(hint), "%.480s_zero_point", op->weights->name);
    rc = graph_add_initializer(d->g, hint, GRAPH_INT8, NULL, 0, &zero, 1, &v, err);
    ret[1] = rc ? NULL : v->name;
    return rc;
}

/* [channels] for products, [channels, 1, 1] for the channels of an image. */
static enum rc add_floats(struct dynamic *d, const struct int8_op *op, const char *stem, const char *suffix,
                          const float *values, size_t count, const char **ret, struct err *err) {
    char hint[NAME_SIZE];
    struct graph_value *v = NULL;
    int64_t dims[MAX_DIMS] = {(int64_t)count, 1, 1, 1, 1, 1, 1, 1};
    size_t spatial = op->kind == INT8_CONV ? graph_constant(d->g, op->weights)->n_dims - 2 : 0;
    snprintf(hint, sizeof(hint), "%.480s_%s", stem, suffix);
    enum rc rc = graph_add_initializer(d->g, hint, GRAPH_FLOAT32, dims, 1 + spatial, values,
                                       count * sizeof(float), &v, err);
    *ret = rc ? NULL : v->name;
    return rc;
}

/* --- nodes --- */

/* Behind the integer product: Cast, Mul by both scales, Add of the bias. The last one gives `out`. */
static enum rc add_tail(struct dynamic *d, const struct int8_op *op, const struct int8_quantized *w,
                        const char *product, const char *out, struct err *err) {
    const char *scales = NULL;
    const char *both = fresh(d, out, "scales");
    const char *cast = fresh(d, out, "cast");
    const char *scaled = op->bias ? fresh(d, out, "scaled") : out;
    struct graph_node *n = NULL;
    enum rc rc = add_floats(d, op, op->weights->name, "scale", w->scales, w->view.channels, &scales, err);
    if (!rc) {
        rc = add_op(d, "Mul", d->inputs[op->input].scale, scales, both, NULL, err);
    }
    if (!rc) {
        rc = add_op(d, "Cast", product, NULL, cast, &n, err);
    }
    if (!rc) {
        rc = graph_set_attr_int(d->g, n, "to", GRAPH_FLOAT32, err);
    }
    if (!rc) {
        rc = add_op(d, "Mul", cast, both, scaled, NULL, err);
    }
    if (rc || !op->bias) {
        return rc;
    }
    float *bias = NULL;
    size_t count = 0;
    const char *name = NULL;
    rc = graph_tensor_floats(d->g, graph_constant(d->g, op->bias), &bias, &count, err);
    if (!rc && count != w->view.channels) {
        rc = err_set(err, RC_INPUT, "the bias \"%s\" does not fit its weights", op->bias->name);
    }
    if (!rc) {
        rc = add_floats(d, op, op->bias->name, "added", bias, count, &name, err);
    }
    free(bias);
    return rc ? rc : add_op(d, "Add", scaled, name, out, NULL, err);
}

/* Turns the node itself into the integer product: the attributes of a convolution stay. */
static enum rc turn_node(struct dynamic *d, const struct int8_op *op, const char *const weights[2],
                         const char *product, struct err *err) {
    static const char *const gemm_attrs[] = {"alpha", "beta", "transA", "transB"};
    const struct quantized_input *in = &d->inputs[op->input];
    const char *inputs[] = {in->values, weights[0], in->zero_point, weights[1]};
    enum rc rc =
        graph_set_op(d->g, op->node, NULL, op->kind == INT8_CONV ? "ConvInteger" : "MatMulInteger", err);
    for (size_t i = 0; i < 4 && op->kind == INT8_GEMM; i++) {
        graph_remove_attr(op->node, gemm_attrs[i]);
    }
    graph_trim_inputs(d->g, op->node, 2);
    for (size_t i = 0; i < 4 && !rc; i++) {
        rc = graph_set_input(d->g, op->node, i, inputs[i], err);
    }
    return rc ? rc : graph_set_output(d->g, op->node, 0, product, err);
}

static enum rc quantize_op(struct dynamic *d, const struct int8_op *op, struct err *err) {
    const char *out = graph_output(d->g, op->node, 0)->name;
    const char *product = fresh(d, out, "product");
    const char *weights[2] = {NULL, NULL};
    struct int8_quantized w;
    enum rc rc = int8_weights_read(d->g, graph_constant(d->g, op->weights), op->weight_axis, INT8_PER_CHANNEL,
                                   &w, err);
    if (!rc) {
        int8_weights_quantize(w.values, w.view, w.scales, w.q);
        rc = product ? need_input(d, op->input, err) : err_memory(err);
    }
    if (!rc) {
        rc = add_integers(d, op, &w, weights, err);
    }
    if (!rc) {
        rc = turn_node(d, op, weights, product, err);
    }
    if (!rc) {
        rc = add_tail(d, op, &w, product, out, err);
    }
    if (!rc) {
        rc = record_changed(d->record, err, op->weights->name,
                            "int8 per channel, activations quantized at run time");
    }
    int8_weights_release(&w);
    return rc;
}

static enum rc quantize_all(struct dynamic *d, struct err *err) {
    enum rc rc = RC_OK;
    bool has_conv = false;
    for (size_t i = 0; i < d->plan->op_count && !rc; i++) {
        if (d->plan->ops[i].kind != INT8_FLOW) {
            has_conv = has_conv || d->plan->ops[i].kind == INT8_CONV;
            rc = quantize_op(d, &d->plan->ops[i], err);
        }
    }
    if (!rc && has_conv) {
        rc = record_slow(
            d->record, err,
            "Conv became ConvInteger, which ONNX Runtime runs slowly on CPUs: expect it to be slower than "
            "fp32, and look at int8:static");
    }
    return rc;
}

enum rc int8_dynamic_compress(struct compress_job *job, const struct recipe_step *step, struct err *err) {
    struct int8_ban ban = {0};
    struct int8_plan plan = {0};
    struct dynamic d = {.g = job->graph, .record = job->record, .plan = &plan};
    (void)step; /* it has no options */
    enum rc rc = int8_plan_prepare(job->graph, err);
    if (!rc) {
        rc = int8_plan_make(job->graph, &ban, job->record, &plan, err);
    }
    if (!rc && plan.op_count == 0) {
        rc = err_set(err, RC_UNSUPPORTED,
                     "int8:dynamic: the model has no Conv, Gemm or MatMul with constant float32 weights");
    }
    if (!rc) {
        rc = graph_need_opset(job->graph, OPSET, err);
    }
    d.inputs = calloc(plan.tensor_count + 1, sizeof(*d.inputs));
    if (!rc) {
        rc = d.inputs ? quantize_all(&d, err) : err_memory(err);
    }
    if (!rc) {
        rc = int8_embed_quantize(job->graph, &ban, job->record, err);
    }
    if (!rc) {
        rc = pass_remove_dead(job->graph, NULL, err);
    }
    compress_progress(job, 1, "quantized");
    free(d.inputs);
    int8_plan_release(&plan);
    return rc;
}
