#include "compressors/onnx/mixed_four.h"

#include <string.h>

#include "compressors/onnx/nbits_emit.h"
#include "compressors/onnx/weight_only.h"
#include "compressors/onnx/weights.h"
#include "core/recipes/recipe.h"

enum { BITS = 4, USES_MAX = 64 };

/* Activations as floats inside the products: what is measured here does not depend on the machine's kernels.
 */
static const char recipe_text[] = "int4:gptq,compute=float";

/* Convolutions could only be stored in 4 bits, and transposed products have no kernel. */
static bool has_kernel(const void *user, const char *weights) {
    const struct graph *g = user;
    const struct graph_value *v = graph_find(g, weights);
    if (!v || v->use_count == 0 || v->use_count > USES_MAX) {
        return false;
    }
    for (size_t i = 0; i < v->use_count; i++) {
        struct weights w = weights_of(g, v->uses[i].node);
        if (w.value != v || nbits_obstacle(g, v->uses[i].node, &w, BITS)) {
            return false;
        }
    }
    return true;
}

enum rc mixed_four_open(struct mixed_model *m, struct record *record, struct err *err) {
    struct compress_job job = *m->job;
    struct recipe recipe;
    enum rc rc = graph_parse(m->plain, m->plain_size, &m->four, err);
    job.graph = m->four;
    job.record = record;
    job.on_progress = NULL;
    job.wanted = has_kernel;
    job.wanted_user = m->job->graph;
    rc = rc != RC_OK ? rc : recipe_parse(recipe_text, FAMILY_ONNX, &recipe, err);
    rc = rc != RC_OK ? rc : weight_only_compress(&job, &recipe.steps[0], err);
    if (rc == RC_UNSUPPORTED) { /* nothing to round */
        graph_free(m->four);
        m->four = NULL;
        return RC_OK;
    }
    return rc;
}

/* The MatMulNBits that gives `output` in the graph of 4 bits, perhaps through the Add of a bias. */
static const struct graph_node *find_rounded(const struct graph *four, const char *output) {
    const struct graph_value *v = graph_find(four, output);
    const struct graph_node *n = v ? v->producer : NULL;
    if (n && graph_is_op(n, "Add")) {
        v = graph_input(four, n, 0);
        n = v ? v->producer : NULL;
    }
    return n && graph_is_op_of(n, "com.microsoft", "MatMulNBits") ? n : NULL;
}

/* Input `slot` of a rounded node as an initializer of g; "" where it has none. */
static enum rc take_input(const struct mixed_model *m, const struct graph_node *from, size_t slot,
                          struct graph *g, const char **ret, struct err *err) {
    const struct graph_value *v = graph_input(m->four, from, slot);
    const uint8_t *bytes = NULL;
    struct graph_value *made = NULL;
    size_t size = 0;
    *ret = "";
    if (!v) {
        return RC_OK;
    }
    Onnx__TensorProto *t = graph_constant(m->four, v);
    if (!t) {
        return err_set(err, RC_INTERNAL, "mixed: \"%.100s\" is not constant", v->name);
    }
    enum rc rc = graph_tensor_bytes(m->four, t, &bytes, &size, err);
    rc = rc != RC_OK
             ? rc
             : graph_add_initializer(g, v->name, t->data_type, t->dims, t->n_dims, bytes, size, &made, err);
    if (rc == RC_OK) {
        *ret = made->name;
    }
    return rc;
}

static enum rc take_weights(const struct mixed_model *m, const struct graph_node *from, struct graph *g,
                            struct nbits_weights *ret, struct err *err) {
    *ret = (struct nbits_weights){
        .columns = (size_t)graph_attr_int(from, "K", 0),
        .rows = (size_t)graph_attr_int(from, "N", 0),
        .format = {.bits = BITS, .group = (size_t)graph_attr_int(from, "block_size", 0)}};
    enum rc rc = take_input(m, from, 1, g, &ret->matrix, err);
    rc = rc != RC_OK ? rc : take_input(m, from, 2, g, &ret->scales, err);
    rc = rc != RC_OK ? rc : take_input(m, from, 3, g, &ret->zeros, err);
    ret->format.zero = rc == RC_OK && *ret->zeros ? GROUP_ASYMMETRIC : GROUP_SYMMETRIC;
    return rc;
}

/* All nodes that read the layer's weights share what the first of them brings. */
static enum rc write_layer(const struct mixed_model *m, struct graph *g, const struct mixed_layer *layer,
                           struct err *err) {
    const struct graph_value *v = graph_find(g, layer->weights);
    struct graph_node *nodes[USES_MAX];
    struct nbits_weights w = {0};
    size_t count = 0;
    for (size_t i = 0; i < v->use_count && count < USES_MAX; i++) {
        nodes[count++] = v->uses[i].node;
    }
    enum rc rc = RC_OK;
    for (size_t i = 0; i < count && rc == RC_OK; i++) {
        const struct graph_node *from = find_rounded(m->four, graph_output(g, nodes[i], 0)->name);
        if (!from) {
            return err_set(err, RC_INTERNAL, "mixed: \"%.100s\" was not rounded", layer->weights);
        }
        rc = w.matrix ? rc : take_weights(m, from, g, &w, err);
        rc = rc != RC_OK ? rc : nbits_replace(g, nodes[i], &w, NBITS_FLOAT, err);
    }
    return rc;
}

enum rc mixed_four_write(const struct mixed_model *m, const enum mixed_width *widths, struct graph *g,
                         struct record *record, struct err *err) {
    enum rc rc = graph_need_domain(g, "com.microsoft", 1, err);
    for (size_t i = 0; i < m->count && rc == RC_OK; i++) {
        if (widths[i] == MIXED_INT4) {
            rc = write_layer(m, g, &m->layers[i], err);
            rc = rc != RC_OK ? rc
                             : record_changed(record, err, m->layers[i].weights,
                                              "4 bits in groups of 32, rounded by GPTQ");
        }
    }
    return rc;
}
