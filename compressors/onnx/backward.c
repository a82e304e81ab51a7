#include "compressors/onnx/backward.h"

#include <stdlib.h>

#include "compressors/onnx/backward_rules.h"

/* The operator set with all that rules emit; the oldest that they can do with. */
enum { OPSET_WANTED = 16, OPSET_LEAST = 11 };

/* --- what rules call --- */

static size_t index_of(const struct backward *b, const struct graph_value *v) {
    size_t i = v ? graph_shapes_index(b->shapes, v) : SIZE_MAX;
    return i < b->value_count ? i : SIZE_MAX;
}

const char *backward_x(const struct graph_node *n, size_t slot) {
    return slot < n->proto->n_input ? n->proto->input[slot] : "";
}

const char *backward_y(const struct graph_node *n) {
    return n->proto->output[0];
}

bool backward_wants(const struct backward *b, const struct graph_node *n, size_t slot) {
    size_t i = index_of(b, graph_input(b->e.g, n, slot));
    return i != SIZE_MAX && b->needed[i];
}

const char *backward_gradient(const struct backward *b, const struct graph_node *n, size_t slot) {
    size_t i = index_of(b, graph_output(b->e.g, n, slot));
    return i != SIZE_MAX ? b->gradients[i] : NULL;
}

void backward_refuse(struct backward *b, const struct graph_node *n, const char *why) {
    if (b->e.rc == RC_OK) {
        b->e.rc = err_set(b->e.err, RC_UNSUPPORTED, "%s: %s", graph_node_label(b->e.g, n), why);
    }
}

static const int64_t *dims_of(struct backward *b, const struct graph_node *n, const struct graph_value *v,
                              size_t *rank) {
    const int64_t *dims = v ? graph_shapes_of(b->shapes, v, rank) : NULL;
    if (!dims) {
        backward_refuse(b, n, "the shapes of what it works on are not known");
    }
    return dims;
}

const int64_t *backward_dims_in(struct backward *b, const struct graph_node *n, size_t slot, size_t *rank) {
    return dims_of(b, n, graph_input(b->e.g, n, slot), rank);
}

const int64_t *backward_dims_out(struct backward *b, const struct graph_node *n, size_t *rank) {
    return dims_of(b, n, graph_output(b->e.g, n, 0), rank);
}

int64_t backward_axis(struct backward *b, const struct graph_node *n, const char *name, int64_t absent,
                      size_t rank) {
    int64_t axis = graph_attr_int(n, name, absent);
    axis = axis < 0 ? axis + (int64_t)rank : axis;
    if (axis < 0 || axis >= (int64_t)rank) {
        backward_refuse(b, n, "it has no such axis");
        return 0;
    }
    return axis;
}

void backward_give(struct backward *b, const struct graph_node *n, size_t slot, const char *gx) {
    size_t i = index_of(b, graph_input(b->e.g, n, slot));
    if (b->e.rc != RC_OK || i == SIZE_MAX || !b->needed[i]) {
        return;
    }
    b->gradients[i] = b->gradients[i] ? emit_two(&b->e, "Add", b->gradients[i], gx) : gx;
}

void backward_give_sum(struct backward *b, const struct graph_node *n, size_t slot, const char *gx,
                       const int64_t *dims, size_t rank) {
    int64_t axes[GRAPH_MAX_RANK];
    size_t own = 0, count = 0;
    const int64_t *to = backward_wants(b, n, slot) ? backward_dims_in(b, n, slot, &own) : NULL;
    if (!to || rank > GRAPH_MAX_RANK || own > rank) {
        return;
    }
    for (size_t i = 0; i < rank; i++) {
        if (i < rank - own || (to[i - (rank - own)] == 1 && dims[i] != 1)) {
            axes[count++] = (int64_t)i;
        }
    }
    const char *sum = emit_reduce(&b->e, "ReduceSum", gx, axes, count);
    backward_give(b, n, slot, own < rank ? emit_reshaped_like(&b->e, sum, backward_x(n, slot)) : sum);
}

void backward_give_broadcast(struct backward *b, const struct graph_node *n, size_t slot, const char *gx) {
    size_t rank = 0;
    const int64_t *dims = backward_wants(b, n, slot) ? backward_dims_out(b, n, &rank) : NULL;
    if (dims) {
        backward_give_sum(b, n, slot, gx, dims, rank);
    }
}

/* --- what depends on what --- */

static bool reads_needed(const struct backward *b, const struct graph_node *n) {
    bool any = false;
    for (size_t i = 0; i < n->proto->n_input && !any; i++) {
        any = backward_wants(b, n, i);
    }
    for (size_t i = 0; i < n->captured_count && !any; i++) {
        size_t at = index_of(b, n->captured[i]);
        any = at != SIZE_MAX && b->needed[at];
    }
    return any;
}

/* Numbers that are not real (shapes, indices, comparisons) do not move with what they were made of. */
static bool is_real(const struct graph_value *v) {
    return v->dtype == GRAPH_FLOAT32 || v->dtype == GRAPH_UNKNOWN || v->dtype == GRAPH_FLOAT16 ||
           v->dtype == GRAPH_BFLOAT16 || v->dtype == GRAPH_FLOAT64;
}

static void mark_needed(struct backward *b, struct graph_value *const *wanted, size_t wanted_count) {
    graph_infer_types(b->e.g);
    for (size_t i = 0; i < wanted_count; i++) {
        size_t at = index_of(b, wanted[i]);
        if (at != SIZE_MAX) {
            b->needed[at] = true;
        }
    }
    for (const struct graph_node *n = graph_first(b->e.g); n; n = n->next) {
        bool needed = reads_needed(b, n);
        for (size_t i = 0; needed && i < n->proto->n_output; i++) {
            const struct graph_value *v = graph_output(b->e.g, n, i);
            size_t at = index_of(b, v);
            if (at != SIZE_MAX) {
                b->needed[at] = b->needed[at] || is_real(v);
            }
        }
    }
}

/* --- the pass --- */

/* Whether only float32 and types without derivatives lead into and out of n. */
static bool is_float32(const struct backward *b, const struct graph_node *n) {
    bool fine = true;
    for (size_t i = 0; i < n->proto->n_output && fine; i++) {
        const struct graph_value *v = graph_output(b->e.g, n, i);
        fine = !v || !is_real(v) || v->dtype == GRAPH_FLOAT32 || v->dtype == GRAPH_UNKNOWN;
    }
    for (size_t i = 0; i < n->proto->n_input && fine; i++) {
        const struct graph_value *v = graph_input(b->e.g, n, i);
        fine = !backward_wants(b, n, i) || v->dtype == GRAPH_FLOAT32 || v->dtype == GRAPH_UNKNOWN;
    }
    return fine;
}

static void derive(struct backward *b, const struct graph_node *n) {
    size_t first = SIZE_MAX, last = 0;
    for (size_t i = 0; i < n->proto->n_output; i++) {
        if (backward_gradient(b, n, i)) {
            first = first == SIZE_MAX ? i : first;
            last = i;
        }
    }
    if (first == SIZE_MAX || !reads_needed(b, n)) {
        return;
    }
    backward_rule *rule = backward_rule_of(n);
    if (!rule) {
        backward_refuse(b, n, "there is no rule for the derivative of this operator");
    } else if (!is_float32(b, n)) {
        backward_refuse(b, n, "derivatives are taken of float32 tensors only");
    } else if (last > 0 && !graph_is_op(n, "Split")) {
        backward_refuse(b, n, "there is no rule for the derivative of its further outputs");
    } else {
        rule(b, n, backward_gradient(b, n, 0));
    }
}

static void plant_seeds(struct backward *b, const struct backward_seed *seeds, size_t count) {
    for (size_t i = 0; i < count; i++) {
        size_t at = index_of(b, seeds[i].output);
        if (at != SIZE_MAX && b->needed[at]) {
            b->gradients[at] = seeds[i].gradient;
        }
    }
}

static enum rc raise_opset(struct graph *g, struct err *err) {
    struct err ignored;
    enum rc rc = graph_need_opset(g, OPSET_WANTED, &ignored);
    return rc == RC_UNSUPPORTED ? graph_need_opset(g, OPSET_LEAST, err) : rc;
}

enum rc backward_build(struct graph *g, const struct graph_shapes *shapes, const struct backward_seed *seeds,
                       size_t seed_count, struct graph_value *const *wanted, size_t wanted_count,
                       const char **gradients, struct err *err) {
    struct backward b = {.e = {.g = g, .err = err}, .shapes = shapes, .value_count = graph_value_count(g)};
    struct graph_node *n = graph_first(g);
    b.gradients = calloc(b.value_count + 1, sizeof(*b.gradients));
    b.needed = calloc(b.value_count + 1, sizeof(*b.needed));
    b.e.rc = b.gradients && b.needed ? raise_opset(g, err) : err_memory(err);
    if (b.e.rc == RC_OK) {
        mark_needed(&b, wanted, wanted_count);
        plant_seeds(&b, seeds, seed_count);
    }
    while (n && n->next) {
        n = n->next;
    }
    for (; n && b.e.rc == RC_OK; n = n->prev) { /* what is added comes after the last */
        derive(&b, n);
    }
    for (size_t i = 0; i < wanted_count && b.e.rc == RC_OK; i++) {
        size_t at = index_of(&b, wanted[i]);
        gradients[i] = at != SIZE_MAX ? b.gradients[at] : NULL;
    }
    free(b.gradients);
    free(b.needed);
    return b.e.rc;
}
