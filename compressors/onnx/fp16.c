/* Float16. Every node is marked: it computes in float16, or it stays in float32 (fp16_keep.c). Then every
 * float32 value is given the type of its producer, and wherever a reader wants the other type it reads a
 * second value instead: for a constant a converted copy, for anything else a Cast, one for each value. The
 * graph's inputs and outputs and what subgraphs read keep name and type. */
#include "compressors/onnx/fp16.h"

#include <stdlib.h>

#include "compressors/onnx/fp16_keep.h"
#include "compressors/onnx/halves.h"
#include "compressors/onnx/passes.h"

enum mark { MARK_FLOAT, MARK_HALF }; /* graph_node.mark */

struct fp16 {
    struct compress_job *job;
    struct graph *g;
    size_t converted;
};

static bool touches_float(const struct graph *g, const struct graph_node *n) {
    for (size_t i = 0; i < n->proto->n_input; i++) {
        const struct graph_value *v = graph_input(g, n, i);
        if (v && v->dtype == GRAPH_FLOAT32) {
            return true;
        }
    }
    for (size_t i = 0; i < n->proto->n_output; i++) {
        const struct graph_value *v = graph_output(g, n, i);
        if (v && v->dtype == GRAPH_FLOAT32) {
            return true;
        }
    }
    return false;
}

/* A node with an output of unknown type might be hurt by other inputs. */
static bool knows_types(const struct graph *g, const struct graph_node *n) {
    for (size_t i = 0; i < n->proto->n_output; i++) {
        const struct graph_value *v = graph_output(g, n, i);
        if (v && v->dtype == GRAPH_UNKNOWN) {
            return false;
        }
    }
    return true;
}

static enum rc mark_nodes(struct fp16 *f, struct err *err) {
    enum rc rc = RC_OK;
    for (struct graph_node *n = graph_first(f->g); n && rc == RC_OK; n = n->next) {
        n->mark = MARK_FLOAT;
        if (!touches_float(f->g, n)) {
            continue;
        }
        const char *why =
            knows_types(f->g, n) ? fp16_keep_reason(f->g, n) : "the types of its outputs are not known";
        if (why) {
            rc = record_left_alone(f->job->record, err, graph_node_label(f->g, n), "stays float32: %s", why);
        } else {
            n->mark = MARK_HALF;
        }
    }
    return rc;
}

/* Cast names its output's type; the other operators that do stay float32 (fp16_keep.c). */
static enum rc set_output_attributes(struct fp16 *f, struct graph_node *n, struct err *err) {
    if (graph_is_op(n, "Cast") && graph_attr_int(n, "to", 0) == GRAPH_FLOAT32) {
        return graph_set_attr_int(f->g, n, "to", GRAPH_FLOAT16, err);
    }
    return RC_OK;
}

/* LayerNormalization's mean and inverse deviation stay float32 whatever the input is. */
static bool is_half_output(const struct graph_value *v) {
    return v->producer && v->producer->mark == MARK_HALF && v->dtype == GRAPH_FLOAT32 &&
           !(graph_is_op(v->producer, "LayerNormalization") && v->producer_slot > 0);
}

static enum rc add_cast(struct fp16 *f, const char *from, const char *to, int32_t dtype,
                        struct graph_node *before, struct err *err) {
    struct graph_node_spec spec = {"Cast", NULL, NULL, &from, 1, &to, 1};
    struct graph_node *cast;
    enum rc rc = graph_add_node(f->g, &spec, before, &cast, err);
    if (rc == RC_OK) {
        cast->mark = MARK_FLOAT;
        rc = graph_set_attr_int(f->g, cast, "to", dtype, err);
    }
    return rc;
}

/* --- constants --- */

/* A float16 copy of a constant. *saturated: how many stand-ins for infinity became 65,504. */
static enum rc half_constant(struct fp16 *f, struct graph_value *v, struct graph_value **ret,
                             size_t *saturated, struct err *err) {
    const Onnx__TensorProto *t = v->initializer;
    float *values;
    size_t count;
    enum rc rc = graph_tensor_floats(f->g, t, &values, &count, err);
    if (rc != RC_OK) {
        return err_prefix(err, "constant \"%.160s\"", v->name);
    }
    uint16_t *halves = malloc(count ? count * sizeof(*halves) : 1);
    *saturated = halves ? halves_of_floats_finite(values, count, halves) : 0;
    rc = halves ? graph_add_initializer(f->g, v->name, GRAPH_FLOAT16, t->dims, t->n_dims, halves,
                                        count * sizeof(*halves), ret, err)
                : err_memory(err);
    free(halves);
    free(values);
    return rc;
}

static bool wants_half(const struct graph_use *use) {
    return use->slot != GRAPH_CAPTURED && use->node->mark == MARK_HALF;
}

static size_t count_half_uses(const struct graph_value *v) {
    size_t count = 0;
    for (size_t i = 0; i < v->use_count; i++) {
        count += wants_half(&v->uses[i]);
    }
    return count;
}

/* Makes the float16 nodes among the readers of `from` read `to`. */
static enum rc redirect_half_uses(struct fp16 *f, struct graph_value *from, const struct graph_value *to,
                                  struct err *err) {
    size_t i = 0;
    while (i < from->use_count) {
        struct graph_use use = from->uses[i];
        if (!wants_half(&use)) {
            i++;
            continue;
        }
        enum rc rc =
            graph_set_input(f->g, use.node, use.slot, to->name, err); /* puts another use into place i */
        if (rc != RC_OK) {
            return rc;
        }
    }
    return RC_OK;
}

static enum rc convert_constant(struct fp16 *f, struct graph_value *v, struct err *err) {
    struct graph_value *half;
    size_t saturated = 0;
    if (!count_half_uses(v)) {
        return RC_OK;
    }
    enum rc rc = half_constant(f, v, &half, &saturated, err);
    rc = rc != RC_OK ? rc : redirect_half_uses(f, v, half, err);
    if (rc != RC_OK) {
        return rc;
    }
    f->converted++;
    return saturated ? record_changed(f->job->record, err, v->name,
                                      "float16; %zu values that stand for infinity became 65504", saturated)
                     : record_changed(f->job->record, err, v->name, "float16");
}

/* --- values --- */

/* A float32 value that float16 nodes read: they read a Cast of it. */
static enum rc feed_halves(struct fp16 *f, struct graph_value *v, struct err *err) {
    if (!count_half_uses(v)) {
        return RC_OK;
    }
    const char *name = graph_unique_name(f->g, v->name);
    if (!name) {
        return err_memory(err);
    }
    struct graph_value *half = graph_find(f->g, name);
    enum rc rc = redirect_half_uses(f, v, half, err);
    return rc != RC_OK ? rc
                       : add_cast(f, v->name, name, GRAPH_FLOAT16,
                                  v->producer ? v->producer->next : graph_first(f->g), err);
}

/* True when something reads v as float32: a float32 node, a subgraph, the caller. */
static bool has_float_uses(const struct graph_value *v) {
    return v->is_output || count_half_uses(v) < v->use_count;
}

/* A value that is computed in float16 from now on. Where float32 is needed, v keeps its name and is cast from
 * a new value. */
static enum rc split_half(struct fp16 *f, struct graph_value *v, struct err *err) {
    f->converted++;
    if (!has_float_uses(v)) {
        graph_forget_info(v);
        return RC_OK;
    }
    struct graph_node *producer = v->producer;
    const char *name = graph_unique_name(f->g, v->name);
    if (!name) {
        return err_memory(err);
    }
    enum rc rc = graph_set_output(f->g, producer, v->producer_slot, name, err);
    rc = rc != RC_OK ? rc : redirect_half_uses(f, v, graph_find(f->g, name), err);
    return rc != RC_OK ? rc : add_cast(f, name, v->name, GRAPH_FLOAT32, producer->next, err);
}

static enum rc convert_values(struct fp16 *f, struct err *err) {
    enum rc rc = RC_OK;
    size_t count = graph_value_count(f->g); /* those added meanwhile have their type already */
    for (size_t i = 0; i < count && rc == RC_OK; i++) {
        struct graph_value *v = graph_value_at(f->g, i);
        if (v->dtype != GRAPH_FLOAT32) {
            continue;
        }
        if (v->initializer) {
            rc = convert_constant(f, v, err);
        } else if (is_half_output(v)) {
            rc = split_half(f, v, err);
        } else {
            rc = feed_halves(f, v, err);
        }
        compress_progress(f->job, (double)(i + 1) / (double)count, "converting to float16");
    }
    return rc;
}

enum rc fp16_compress(struct compress_job *job, const struct recipe_step *step, struct err *err) {
    struct fp16 f = {.job = job, .g = job->graph};
    (void)step;
    enum rc rc = pass_fold_constants(f.g, NULL, err);
    rc = rc != RC_OK ? rc : graph_sort(f.g, err);
    if (rc != RC_OK) {
        return rc;
    }
    graph_infer_types(f.g);
    rc = mark_nodes(&f, err);
    for (struct graph_node *n = graph_first(f.g); n && rc == RC_OK; n = n->next) {
        rc = n->mark == MARK_HALF ? set_output_attributes(&f, n, err) : RC_OK;
    }
    rc = rc != RC_OK ? rc : convert_values(&f, err);
    if (rc == RC_OK && !f.converted) {
        rc = err_set(err, RC_UNSUPPORTED, "fp16 found nothing that is computed in float32");
    }
    rc = rc != RC_OK ? rc : pass_remove_dead(f.g, NULL, err);
    if (rc != RC_OK) {
        return rc;
    }
    job->record->storage_only = true;
    return record_slow(
        job->record, err,
        "the file has half the size, but most CPUs have no float16 kernels: ONNX Runtime then computes in "
        "float32 and converts in between, which is no faster and often slower");
}
