#include "compressors/onnx/weight_only.h"

#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/awq.h"
#include "compressors/onnx/gptq.h"
#include "compressors/onnx/moments.h"
#include "compressors/onnx/nbits_emit.h"
#include "compressors/onnx/passes.h"
#include "compressors/onnx/weight_rows.h"
#include "core/recipes/recipe.h"

enum {
    EXAMPLES_MAX = 256,      /* that are observed: the paper takes 128 of 2,048 tokens */
    ROWS_MAX = 1 << 16,      /* of each layer */
    SLICE_BYTES = 256 << 20, /* of second moments at a time */
    SWEEPS = 3,              /* of coordinate descent: a fourth changes hardly a code */
    STORED_OPSET = 11        /* BitShift */
};

static const double observing_part = 0.6; /* of the time */

enum method { METHOD_NEAREST, METHOD_HQQ, METHOD_AWQ, METHOD_GPTQ };

static const struct {
    const char *name;
    unsigned bits;
    enum method method;
} steps[] = {
    {"int8:weights", 8, METHOD_NEAREST}, {"int8:gptq", 8, METHOD_GPTQ}, {"int4", 4, METHOD_NEAREST},
    {"int4:hqq", 4, METHOD_HQQ},         {"int4:awq", 4, METHOD_AWQ},   {"int4:gptq", 4, METHOD_GPTQ},
    {"int3", 3, METHOD_NEAREST},         {"int3:hqq", 3, METHOD_HQQ},   {"int3:awq", 3, METHOD_AWQ},
    {"int3:gptq", 3, METHOD_GPTQ},       {"int2", 2, METHOD_NEAREST},   {"int2:hqq", 2, METHOD_HQQ},
    {"int2:awq", 2, METHOD_AWQ},         {"int2:gptq", 2, METHOD_GPTQ},
};

/* Weights that are packed already: another node with the same gets the same. */
struct packed {
    const struct graph_value *value;
    bool rows_first;
    float factor;
    struct nbits_weights weights;
};

struct job {
    struct compress_job *job;
    struct graph *g;
    enum method method;
    struct group_format format;
    enum nbits_compute compute;
    double damp;
    struct graph_node **nodes; /* with weights that can be changed, in the graph's order */
    size_t node_count, node_done;
    float **scales;        /* [node_count] of AWQ: factors [columns] that its weights carry, or NULL */
    struct packed *packed; /* [node_count] */
    size_t packed_count;
    size_t fast, unpacked_each_run, stored, convolutions;
};

/* --- rounding one matrix --- */

/* What the Hessian was made for: layers that read the same rows come one after another. */
struct shared_hessian {
    const struct moments_layer *layer;
    size_t convolution_group, group;
    struct gptq_hessian *hessian;
};

static enum rc hessian_for(const struct job *q, const struct moments_layer *layer, size_t g, size_t group,
                           struct shared_hessian *shared, struct err *err) {
    size_t width = layer->rows.width;
    if (shared->layer == layer && shared->convolution_group == g && shared->group == group) {
        return RC_OK;
    }
    gptq_hessian_free(shared->hessian);
    *shared = (struct shared_hessian){layer, g, group, NULL};
    enum rc rc =
        gptq_hessian_new(layer->products + g * width * width, width, group, q->damp, &shared->hessian, err);
    shared->layer = rc == RC_OK ? layer : NULL;
    return rc;
}

/* Ranges by the mean squares of the inputs, which are those that were observed over `scales` (NULL: 1). */
static enum rc round_by_importance(const struct job *q, const float *w, const struct weight_rows *r, size_t g,
                                   const struct moments_layer *layer, const float *scales,
                                   const struct group_quant *to, struct err *err) {
    size_t width = layer->rows.width;
    float *importance = malloc((width + 1) * sizeof(*importance));
    if (!importance) {
        return err_memory(err);
    }
    for (size_t i = 0; i < width; i++) {
        double mean = layer->products[g * width * width + i * (width + 1)] / (double)(layer->count + 1);
        double s = scales ? (double)scales[i] : 1;
        importance[i] = (float)(mean / (s * s));
    }
    enum rc rc = group_round_rows(w, r->rows, GROUP_LEAST, importance, q->job->threads, to, g * r->rows, err);
    free(importance);
    return rc;
}

/* Scales of convolutions stay as the range has them: less error of the weights, but all of one sign, which
 * adds up over the positive inputs behind a Relu (fmnist-resnet-thin, 4 bits: 0.8807 by range, 0.8648 by
 * hqq). */
static enum group_choice choice_of(const struct job *q, const struct weights *w) {
    return q->method == METHOD_HQQ && w->kind != WEIGHTS_CONV ? GROUP_HALF_QUADRATIC : GROUP_RANGE;
}

static enum rc round_rows_gptq(const struct job *q, const float *w, const struct weight_rows *r, size_t g,
                               const struct moments_layer *layer, struct shared_hessian *shared,
                               const struct group_quant *to, struct err *err) {
    const struct gptq_opts opts = {to->format, SWEEPS, q->job->threads};
    struct group_quant part;
    enum rc rc = hessian_for(q, layer, g, to->format.group, shared, err);
    rc = rc != RC_OK ? rc : gptq_round(w, r->rows, shared->hessian, &opts, &part, err);
    if (rc != RC_OK) {
        return rc;
    }
    size_t count = r->rows * r->columns, groups = r->rows * to->groups;
    memcpy(to->codes + g * count, part.codes, count);
    memcpy(to->scales + g * groups, part.scales, groups * sizeof(float));
    memcpy(to->zeros + g * groups, part.zeros, groups);
    group_quant_release(&part);
    return RC_OK;
}

/* Rounds the rows of one group of a convolution (or all) into `to`, which has room for all rows. */
static enum rc round_rows(const struct job *q, const struct weight_rows *r, size_t g,
                          enum group_choice choice, const struct moments_layer *layer,
                          struct shared_hessian *shared, const float *scales, const struct group_quant *to,
                          struct err *err) {
    const float *w = r->values + g * r->rows * r->columns;
    if (q->method == METHOD_GPTQ) {
        return round_rows_gptq(q, w, r, g, layer, shared, to, err);
    }
    if (q->method == METHOD_AWQ && layer->rows.kind != LAYER_ROWS_PATCHES) {
        /* products only: narrowed ranges of convolutions behind a Relu cut off what adds up */
        return round_by_importance(q, w, r, g, layer, scales, to, err);
    }
    return group_round_rows(w, r->rows, choice, NULL, q->job->threads, to, g * r->rows, err);
}

static enum rc round_matrix(const struct job *q, const struct weight_rows *r, const struct group_format *f,
                            enum group_choice choice, const struct moments_layer *layer,
                            struct shared_hessian *shared, const float *scales, struct group_quant *ret,
                            struct err *err) {
    enum rc rc = group_quant_init(ret, f, r->groups * r->rows, r->columns, err);
    if (rc != RC_OK) {
        return rc;
    }
    for (size_t g = 0; g < r->groups && rc == RC_OK; g++) {
        rc = round_rows(q, r, g, choice, layer, shared, scales, ret, err);
    }
    if (rc != RC_OK) {
        group_quant_release(ret);
    }
    return rc;
}

/* Kernels want groups of the size asked for. What is only stored may divide its rows evenly. */
static struct group_format format_of(const struct job *q, const struct weight_rows *r, bool stored) {
    struct group_format f = q->format;
    if (stored) {
        size_t groups = (r->columns + f.group - 1) / f.group;
        f.group = (r->columns + groups - 1) / groups;
    }
    return f;
}

/* --- into the graph --- */

static bool rows_first(const struct graph_node *n, const struct weights *w) {
    return w->kind == WEIGHTS_CONV || (w->kind == WEIGHTS_GEMM && graph_attr_int(n, "transB", 0));
}

static enum rc record_layer(struct job *q, const struct weights *w, const struct group_quant *r,
                            const char *stored, size_t bytes, struct err *err) {
    return record_changed(q->job->record, err, w->value->name,
                          "%u bits in groups of %zu, %s, [%zu, %zu], %.2f bits a weight%s%s", r->format.bits,
                          r->format.group,
                          r->format.zero == GROUP_SYMMETRIC ? "symmetric" : "with zero points", r->rows,
                          r->columns, 8.0 * (double)bytes / (double)(r->rows * r->columns),
                          stored ? ", unpacked when the model is loaded: " : "", stored ? stored : "");
}

static enum rc emit(struct job *q, struct graph_node *n, const struct weights *w, const struct group_quant *r,
                    const char *stored, struct err *err) {
    float factor = w->kind == WEIGHTS_GEMM ? graph_attr_float(n, "alpha", 1.0f) : 1.0f;
    if (stored) {
        q->stored++;
        return nbits_store(q->g, w, r, rows_first(n, w) ? NBITS_ROWS_FIRST : NBITS_ROWS_LAST, err);
    }
    struct packed *p = &q->packed[q->packed_count++];
    *p = (struct packed){.value = w->value, .rows_first = rows_first(n, w), .factor = factor};
    enum rc rc = nbits_add_weights(q->g, w->value->name, r, factor, &p->weights, err);
    *(nbits_is_fast(&r->format, q->compute) ? &q->fast : &q->unpacked_each_run) += 1;
    return rc != RC_OK ? rc : nbits_replace(q->g, n, &p->weights, q->compute, err);
}

static enum rc change(struct job *q, struct graph_node *n, const struct weights *w, const char *stored,
                      const struct moments_layer *layer, struct shared_hessian *shared, const float *scales,
                      struct err *err) {
    struct weight_rows rows = {0};
    struct group_quant r = {0};
    enum rc rc = weight_rows_load(q->g, n, w, WEIGHT_ROWS_AS_STORED, &rows, err);
    if (rc != RC_OK) {
        return rc;
    }
    struct group_format f = format_of(q, &rows, stored != NULL);
    rc = round_matrix(q, &rows, &f, choice_of(q, w), layer, shared, scales, &r, err);
    weight_rows_release(&rows);
    if (rc != RC_OK) {
        return err_prefix(err, "weights \"%.160s\"", w->value->name);
    }
    size_t before = r.rows * r.columns * sizeof(float);
    size_t after = stored ? nbits_stored_bytes(&r) : nbits_weight_bytes(&r);
    if (after >= before) {
        rc = record_left_alone(
            q->job->record, err, w->value->name,
            "it is too narrow for groups of %zu: %u bits would take %zu bytes, float32 takes %zu", f.group,
            f.bits, after, before);
    } else {
        q->convolutions += w->kind == WEIGHTS_CONV;
        rc = record_layer(q, w, &r, stored, after, err);
        rc = rc != RC_OK ? rc : emit(q, n, w, &r, stored, err);
    }
    group_quant_release(&r);
    return rc;
}

static const struct packed *packed_before(const struct job *q, const struct graph_node *n,
                                          const struct weights *w) {
    float factor = w->kind == WEIGHTS_GEMM ? graph_attr_float(n, "alpha", 1.0f) : 1.0f;
    for (size_t i = 0; i < q->packed_count; i++) {
        const struct packed *p = &q->packed[i];
        if (p->value == w->value && p->rows_first == rows_first(n, w) && p->factor == factor) {
            return p;
        }
    }
    return NULL;
}

static enum rc visit(struct job *q, struct graph_node *n, const struct moments_layer *layer,
                     struct shared_hessian *shared, const float *scales, struct err *err) {
    struct weights w = weights_of(q->g, n);
    if (w.kind == WEIGHTS_NONE) {
        return RC_OK; /* shared with a layer before: it reads the unpacked weights already */
    }
    const char *stored = nbits_obstacle(q->g, n, &w, q->format.bits);
    const struct packed *p = stored ? NULL : packed_before(q, n, &w);
    return p ? nbits_replace(q->g, n, &p->weights, q->compute, err)
             : change(q, n, &w, stored, layer, shared, scales, err);
}

/* --- the step --- */

/* Why the weights of this node stay, or NULL. */
static const char *obstacle(const struct graph_node *n, const struct weights *w) {
    const char *why = NULL;
    if (!weight_rows_possible(n, w, &why)) {
        return why;
    }
    if (w->tensor->data_type != GRAPH_FLOAT32) {
        return "its weights are not float32";
    }
    for (size_t i = 0; i < w->tensor->n_dims; i++) {
        if (w->tensor->dims[i] == 0) {
            return "its weights are empty";
        }
    }
    return NULL;
}

static enum rc look_at(struct job *q, struct graph_node *n, struct err *err) {
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
    const char *why =
        w.kind == WEIGHTS_NONE ? "both operands are computed: it has no constant weights" : obstacle(n, &w);
    if (why) {
        return record_left_alone(q->job->record, err, w.value ? w.value->name : graph_node_label(q->g, n),
                                 "%s", why);
    }
    q->nodes[q->node_count++] = n;
    return RC_OK;
}

static enum rc find_nodes(struct job *q, struct err *err) {
    size_t count = graph_node_count(q->g);
    q->nodes = calloc(count + 1, sizeof(struct graph_node *));
    q->packed = calloc(count + 1, sizeof(*q->packed));
    q->scales = calloc(count + 1, sizeof(float *));
    enum rc rc = q->nodes && q->packed && q->scales ? RC_OK : err_memory(err);
    for (struct graph_node *n = graph_first(q->g); n && rc == RC_OK; n = n->next) {
        rc = look_at(q, n, err);
    }
    if (rc == RC_OK && q->node_count == 0) {
        rc = err_set(err, RC_UNSUPPORTED, "no MatMul, Gemm or Conv has constant float32 weights");
    }
    return rc;
}

/* The next layers, as many as their second moments fit into memory. */
static enum rc change_slice(struct job *q, struct err *err) {
    const struct graph_node *const *nodes = (const struct graph_node *const *)q->nodes + q->node_done;
    size_t count = q->node_count - q->node_done;
    struct moments *m = NULL;
    struct shared_hessian shared = {0};
    double total = (double)q->node_count;
    enum rc rc = RC_OK;
    if (q->method == METHOD_GPTQ || q->method == METHOD_AWQ) {
        count = moments_fit(q->g, nodes, count, SLICE_BYTES);
        double from = (double)q->node_done / total, to = (double)(q->node_done + count) / total;
        const struct moments_opts opts = {
            .observe = {EXAMPLES_MAX, from, from + (to - from) * observing_part, "observing layers"},
            .max_rows = ROWS_MAX};
        rc = moments_run(q->job, nodes, count, &opts, &m, err);
    }
    if (rc == RC_OK && q->method == METHOD_AWQ) {
        rc =
            awq_rescale(q->job, q->nodes + q->node_done, count, m, &q->format, q->scales + q->node_done, err);
    }
    for (size_t i = 0; i < count && rc == RC_OK; i++) {
        rc = visit(q, q->nodes[q->node_done + i], m ? moments_at(m, i) : NULL, &shared,
                   q->scales[q->node_done + i], err);
        compress_progress(q->job, (double)(q->node_done + i + 1) / total, "rounding weights");
    }
    q->node_done += count;
    gptq_hessian_free(shared.hessian);
    moments_free(m);
    return rc;
}

static enum rc record_whole(struct job *q, struct err *err) {
    struct record *r = q->job->record;
    enum rc rc = RC_OK;
    if (q->fast + q->unpacked_each_run + q->stored == 0) {
        return err_set(err, RC_UNSUPPORTED,
                       "every layer is too narrow for groups: nothing would get smaller");
    }
    if (q->stored > 0) {
        rc = record_note(
            r, err,
            "%zu layers are stored in fewer bits and unpacked when the model is loaded: they take "
            "less space on disk and run as fast as before",
            q->stored);
    }
    if (rc == RC_OK && q->method == METHOD_HQQ && q->convolutions > 0) {
        rc = record_note(r, err,
                         "%zu convolutions are rounded to nearest: half-quadratic scales make their errors "
                         "add up; gptq is for them",
                         q->convolutions);
    }
    if (rc == RC_OK && q->unpacked_each_run > 0) {
        rc = record_slow(r, err,
                         "the runtime has no kernel for %zu products of %u bits with %s: it unpacks their "
                         "weights at every run; compute=int8 and groups of 32 or more avoid that",
                         q->unpacked_each_run, q->format.bits,
                         q->compute == NBITS_FLOAT ? "float activations" : "such groups");
    }
    r->storage_only = r->storage_only || q->fast == 0;
    return rc;
}

static struct job read_options(struct compress_job *job, const struct recipe_step *step) {
    struct job q = {.job = job, .g = job->graph};
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        if (strcmp(steps[i].name, step->descriptor->name) == 0) {
            q.method = steps[i].method;
            q.format.bits = steps[i].bits;
        }
    }
    q.format.group = (size_t)recipe_int(step, "group");
    q.format.zero = recipe_flag(step, "symmetric") ? GROUP_SYMMETRIC : GROUP_ASYMMETRIC;
    q.compute = strcmp(recipe_choice(step, "compute"), "int8") == 0 ? NBITS_INT8 : NBITS_FLOAT;
    q.damp = q.method == METHOD_GPTQ ? recipe_number(step, "damp") : 0;
    return q;
}

static enum rc finish(struct job *q, struct err *err) {
    enum rc rc = record_whole(q, err);
    if (rc == RC_OK && q->packed_count > 0) {
        rc = graph_need_domain(q->g, "com.microsoft", 1, err);
    }
    if (rc == RC_OK && q->stored > 0) {
        rc = graph_need_opset(q->g, STORED_OPSET, err);
    }
    rc = rc != RC_OK ? rc : pass_remove_dead(q->g, NULL, err);
    return rc != RC_OK ? rc : pass_dedup_initializers(q->g, NULL, err);
}

enum rc weight_only_compress(struct compress_job *job, const struct recipe_step *step, struct err *err) {
    struct job q = read_options(job, step);
    enum rc rc = pass_fold_constants(q.g, NULL, err);
    rc = rc != RC_OK ? rc : find_nodes(&q, err);
    while (rc == RC_OK && q.node_done < q.node_count) {
        rc = change_slice(&q, err);
    }
    rc = rc != RC_OK ? rc : finish(&q, err);
    for (size_t i = 0; q.scales && i < q.node_count; i++) {
        free(q.scales[i]);
    }
    free(q.scales);
    free(q.nodes);
    free(q.packed);
    return rc;
}
