/* From MatMul and Gemm to com.microsoft.MatMulNBits (ONNX Runtime's contrib operators, ContribOperators.md):
 *   inputs  A [.., K], B uint8 [N, ceil(K / block), block / 2], scales [N * ceil(K / block)], zero points
 * uint8 [N * ceil(groups / 2)] attributes K, N, bits = 4, block_size so Y = A * dequantised(B) transposed.
 * Gemm's alpha goes into the weights, its beta into a constant C. */
#include "compressors/onnx/int4.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/int4_pack.h"
#include "compressors/onnx/passes.h"
#include "compressors/onnx/weights.h"
#include "core/recipes/recipe.h"

struct int4 {
    struct compress_job *job;
    struct graph *g;
    size_t group;
    enum int4_zero zero;
    size_t converted;
};

/* Why this node cannot be converted, or NULL. */
static const char *obstacle(const struct int4 *q, const struct graph_node *n, const struct weights *w) {
    if (w->kind == WEIGHTS_NONE) {
        return "both operands are computed: it has no constant weights";
    }
    if (w->kind == WEIGHTS_CONV || w->kind == WEIGHTS_CONV_TRANSPOSE) {
        return "convolutions have no 4-bit kernel";
    }
    if (w->tensor->data_type != GRAPH_FLOAT32) {
        return "its weights are not float32";
    }
    if (w->slot != 1 || !graph_output(q->g, n, 0)) {
        return "the constant is not the right operand";
    }
    if (w->tensor->n_dims != 2) {
        return "its weights are a stack of matrices";
    }
    if (w->tensor->dims[0] == 0 || w->tensor->dims[1] == 0) {
        return "its weights are empty";
    }
    if (w->kind == WEIGHTS_GEMM && graph_attr_int(n, "transA", 0)) {
        return "its left operand is transposed";
    }
    const struct graph_value *c = w->kind == WEIGHTS_GEMM ? graph_input(q->g, n, 2) : NULL;
    const Onnx__TensorProto *bias = graph_constant(q->g, c);
    if (c && graph_attr_float(n, "beta", 1.0f) != 1.0f && (!bias || bias->data_type != GRAPH_FLOAT32)) {
        return "beta multiplies something that is not constant";
    }
    return NULL;
}

static struct int4_matrix matrix_of(const struct graph_node *n, const struct weights *w,
                                    const float *values) {
    size_t first = (size_t)w->tensor->dims[0], second = (size_t)w->tensor->dims[1];
    bool gemm = w->kind == WEIGHTS_GEMM;
    float factor = gemm ? graph_attr_float(n, "alpha", 1.0f) : 1.0f;
    if (gemm && graph_attr_int(n, "transB", 0)) {
        return (struct int4_matrix){values, first, second, second, 1, factor};
    }
    return (struct int4_matrix){values, second, first, 1, second, factor};
}

static size_t packed_bytes(const struct int4_packed *p) {
    return p->quant_bytes + p->scale_count * sizeof(float) + (p->zero_points ? p->zero_bytes : 0);
}

static enum rc add_part(struct int4 *q, const char *hint, const char *part, int32_t dtype,
                        const int64_t *dims, size_t rank, const void *data, size_t bytes, const char **name,
                        struct err *err) {
    char text[256];
    struct graph_value *v;
    (void)snprintf(text, sizeof(text), "%.200s_%s", hint, part);
    enum rc rc = graph_add_initializer(q->g, text, dtype, dims, rank, data, bytes, &v, err);
    if (rc == RC_OK) {
        *name = v->name;
    }
    return rc;
}

/* Initializers for the packed weights; names[3] are the inputs 1 to 3 of MatMulNBits ("" for none). */
static enum rc add_weights(struct int4 *q, const char *hint, const struct int4_matrix *m,
                           const struct int4_packed *p, const char *names[3], struct err *err) {
    int64_t dims[3] = {(int64_t)m->rows, (int64_t)p->groups, (int64_t)(q->group / 2)};
    int64_t scales = (int64_t)p->scale_count, zeros = (int64_t)p->zero_bytes;
    names[2] = "";
    enum rc rc = add_part(q, hint, "q4", GRAPH_UINT8, dims, 3, p->quants, p->quant_bytes, &names[0], err);
    rc = rc != RC_OK ? rc
                     : add_part(q, hint, "scales", GRAPH_FLOAT32, &scales, 1, p->scales,
                                p->scale_count * sizeof(float), &names[1], err);
    if (rc == RC_OK && p->zero_points) {
        rc =
            add_part(q, hint, "zeros", GRAPH_UINT8, &zeros, 1, p->zero_points, p->zero_bytes, &names[2], err);
    }
    return rc;
}

/* Gemm's C times beta, as a value to add; *ret is NULL when there is none. */
static enum rc bias_of(struct int4 *q, const struct graph_node *n, struct graph_value **ret,
                       struct err *err) {
    struct graph_value *c = graph_is_op(n, "Gemm") ? graph_input(q->g, n, 2) : NULL;
    float beta = graph_attr_float(n, "beta", 1.0f), *values;
    size_t count;
    *ret = c;
    if (!c || beta == 1.0f) {
        return RC_OK;
    }
    const Onnx__TensorProto *t = graph_constant(q->g, c);
    enum rc rc = graph_tensor_floats(q->g, t, &values, &count, err);
    if (rc != RC_OK) {
        return rc;
    }
    for (size_t i = 0; i < count; i++) {
        values[i] *= beta;
    }
    rc = graph_add_initializer(q->g, c->name, GRAPH_FLOAT32, t->dims, t->n_dims, values,
                               count * sizeof(*values), ret, err);
    free(values);
    return rc;
}

static enum rc set_attributes(struct int4 *q, struct graph_node *n, const struct int4_matrix *m,
                              struct err *err) {
    enum rc rc = graph_set_attr_int(q->g, n, "K", (int64_t)m->columns, err);
    rc = rc != RC_OK ? rc : graph_set_attr_int(q->g, n, "N", (int64_t)m->rows, err);
    rc = rc != RC_OK ? rc : graph_set_attr_int(q->g, n, "bits", 4, err);
    return rc != RC_OK ? rc : graph_set_attr_int(q->g, n, "block_size", (int64_t)q->group, err);
}

/* Puts MatMulNBits (and Add for a bias) in place of n, which is gone afterwards. */
static enum rc replace_node(struct int4 *q, struct graph_node *n, const struct int4_matrix *m,
                            const char *const names[3], struct err *err) {
    struct graph *g = q->g;
    struct graph_value *out = graph_output(g, n, 0), *bias;
    enum rc rc = bias_of(q, n, &bias, err);
    if (rc != RC_OK) {
        return rc;
    }
    const char *product = bias ? graph_unique_name(g, "product") : out->name;
    const char *inputs[4] = {n->proto->input[0], names[0], names[1], names[2]};
    const char *terms[2] = {product, bias ? bias->name : NULL};
    const char *result[1] = {out->name};
    struct graph_node_spec nbits = {
        "MatMulNBits", "com.microsoft", n->proto->name, inputs, *names[2] ? 4 : 3, &product, 1};
    struct graph_node_spec add = {"Add", NULL, NULL, terms, 2, result, 1};
    struct graph_node *after = n->next, *made;
    if (!product) {
        return err_memory(err);
    }
    graph_remove_node(g, n);
    rc = graph_add_node(g, &nbits, after, &made, err);
    rc = rc != RC_OK ? rc : set_attributes(q, made, m, err);
    return rc != RC_OK || !bias ? rc : graph_add_node(g, &add, after, NULL, err);
}

static enum rc convert(struct int4 *q, struct graph_node *n, const struct weights *w, struct err *err) {
    struct int4_packed p = {0};
    const char *names[3];
    float *values;
    size_t count;
    enum rc rc = graph_tensor_floats(q->g, w->tensor, &values, &count, err);
    if (rc != RC_OK) {
        return err_prefix(err, "weights \"%.160s\"", w->value->name);
    }
    struct int4_matrix m = matrix_of(n, w, values);
    rc = int4_pack(&m, q->group, q->zero, &p, err);
    if (rc != RC_OK) {
        err_prefix(err, "weights \"%.160s\"", w->value->name);
        goto out;
    }
    size_t before = count * sizeof(float), after = packed_bytes(&p);
    if (after >= before) {
        rc = record_left_alone(
            q->job->record, err, w->value->name,
            "it is too narrow for groups of %zu: 4 bits would take %zu bytes, float32 takes %zu", q->group,
            after, before);
        goto out;
    }
    rc = record_changed(q->job->record, err, w->value->name,
                        "4 bits in groups of %zu, %s, [%zu, %zu], %.2f bits a weight", q->group,
                        q->zero == INT4_SYMMETRIC ? "symmetric" : "with zero points", m.rows, m.columns,
                        8.0 * (double)after / (double)count);
    rc = rc != RC_OK ? rc : add_weights(q, w->value->name, &m, &p, names, err);
    rc = rc != RC_OK ? rc : replace_node(q, n, &m, names, err);
    q->converted += rc == RC_OK;
out:
    int4_release(&p);
    free(values);
    return rc;
}

static enum rc visit(struct int4 *q, struct graph_node *n, struct err *err) {
    struct weights w = weights_of(q->g, n);
    const struct graph_value *table = graph_is_op(n, "Gather") ? graph_input(q->g, n, 0) : NULL;
    const Onnx__TensorProto *t = graph_constant(q->g, table);
    const struct graph_value *weights = table ? table : w.value;
    if (!compress_wants(q->job, weights ? weights->name : "")) {
        return RC_OK;
    }
    if (table && t && t->data_type == GRAPH_FLOAT32 && t->n_dims == 2) {
        return record_left_alone(q->job->record, err, table->name,
                                 "a table that rows are taken from, not multiplied");
    }
    if (!weights_op(n)) {
        return RC_OK;
    }
    const char *why = obstacle(q, n, &w);
    if (why) {
        return record_left_alone(q->job->record, err, w.value ? w.value->name : graph_node_label(q->g, n),
                                 "%s", why);
    }
    return convert(q, n, &w, err);
}

enum rc int4_compress(struct compress_job *job, const struct recipe_step *step, struct err *err) {
    struct int4 q = {.job = job,
                     .g = job->graph,
                     .group = (size_t)recipe_int(step, "group"),
                     .zero = recipe_flag(step, "symmetric") ? INT4_SYMMETRIC : INT4_ASYMMETRIC};
    enum rc rc = pass_fold_constants(q.g, NULL, err);
    size_t done = 0, total = graph_node_count(q.g);
    for (struct graph_node *n = graph_first(q.g), *next; n && rc == RC_OK; n = next) {
        next = n->next;
        rc = visit(&q, n, err);
        compress_progress(job, (double)++done / (double)total, "packing weights into 4 bits");
    }
    if (rc == RC_OK && !q.converted) {
        rc = err_set(err, RC_UNSUPPORTED,
                     "int4 found no MatMul or Gemm with constant weights large enough; convolutions have no "
                     "4-bit kernel");
    }
    rc = rc != RC_OK ? rc : graph_need_domain(q.g, "com.microsoft", 1, err);
    rc = rc != RC_OK ? rc : pass_remove_dead(q.g, NULL, err);
    return rc != RC_OK ? rc : pass_dedup_initializers(q.g, NULL, err);
}
