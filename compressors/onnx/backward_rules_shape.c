/* Rules of operators that move elements about: their derivatives move them back. Shapes are asked for when
 * the model runs, so that the batch is free. */
#include <stdlib.h>

#include "compressors/onnx/backward_rules.h"

void backward_same(struct backward *b, const struct graph_node *n, const char *gy) {
    backward_give(b, n, 0, gy);
}

void backward_reshape(struct backward *b, const struct graph_node *n, const char *gy) {
    backward_give(b, n, 0, emit_reshaped_like(&b->e, gy, backward_x(n, 0)));
}

void backward_transpose(struct backward *b, const struct graph_node *n, const char *gy) {
    int64_t back[GRAPH_MAX_RANK] = {0};
    size_t rank = 0, count;
    const int64_t *perm = graph_attr_ints(n, "perm", &count);
    if (!backward_dims_in(b, n, 0, &rank) || rank > GRAPH_MAX_RANK) {
        return;
    }
    for (size_t i = 0; i < rank; i++) {
        size_t from = perm && i < count ? (size_t)perm[i] : rank - 1 - i;
        if (from >= rank) {
            backward_refuse(b, n, "it has no such axis");
            return;
        }
        back[from] = (int64_t)i;
    }
    backward_give(b, n, 0, emit_transposed(&b->e, gy, back, rank));
}

void backward_expand(struct backward *b, const struct graph_node *n, const char *gy) {
    backward_give_broadcast(b, n, 0, gy);
}

/* Each axis is r times d elements: as two axes, the sum over the first. */
void backward_tile(struct backward *b, const struct graph_node *n, const char *gy) {
    struct graph_emitter *e = &b->e;
    const int64_t column[] = {-1, 1};
    int64_t axes[GRAPH_MAX_RANK];
    size_t rank = 0;
    if (!backward_dims_in(b, n, 0, &rank) || 2 * rank > GRAPH_MAX_RANK) {
        return;
    }
    for (size_t i = 0; i < rank; i++) {
        axes[i] = 2 * (int64_t)i;
    }
    const char *as_column = emit_ints(e, column, 2);
    const char *sides[] = {emit_two(e, "Reshape", backward_x(n, 1), as_column),
                           emit_two(e, "Reshape", emit_one(e, "Shape", backward_x(n, 0)), as_column)};
    struct graph_node *pairs = emit_node(e, "Concat", sides, 2);
    emit_attr_int(e, pairs, "axis", 1);
    const char *shape = emit_two(e, "Reshape", emit_output(pairs), emit_int(e, -1));
    const char *sum = emit_reduce(e, "ReduceSum", emit_two(e, "Reshape", gy, shape), axes, rank);
    backward_give(b, n, 0, emit_reshaped_like(e, sum, backward_x(n, 0)));
}

/* How long x is along an axis: a list of one. */
static const char *emit_length(struct graph_emitter *e, const char *x, int64_t axis) {
    return emit_entries(e, emit_one(e, "Shape", x), axis, axis + 1);
}

static const char *emit_range_of(struct graph_emitter *e, const char *x, const char *first, const char *end,
                                 int64_t axis) {
    const char *inputs[] = {x, first, end, emit_int(e, axis)};
    return emit_output(emit_node(e, "Slice", inputs, 4));
}

void backward_concat(struct backward *b, const struct graph_node *n, const char *gy) {
    struct graph_emitter *e = &b->e;
    size_t rank = 0;
    if (!backward_dims_out(b, n, &rank)) {
        return;
    }
    const int64_t axis = backward_axis(b, n, "axis", 0, rank);
    const char *first = emit_int(e, 0);
    for (size_t i = 0; i < n->proto->n_input; i++) {
        const char *end = emit_two(e, "Add", first, emit_length(e, backward_x(n, i), axis));
        if (backward_wants(b, n, i)) {
            backward_give(b, n, i, emit_range_of(e, gy, first, end, axis));
        }
        first = end;
    }
}

/* Parts that nothing depends on are zero. */
void backward_split(struct backward *b, const struct graph_node *n, const char *gy) {
    struct graph_emitter *e = &b->e;
    size_t rank = 0, count = n->proto->n_output;
    const char **parts = calloc(count + 1, sizeof(*parts));
    (void)gy;
    if (!parts) {
        b->e.rc = err_memory(e->err);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const char *g = backward_gradient(b, n, i);
        parts[i] = g ? g : emit_zeros_like(e, n->proto->output[i]);
    }
    if (backward_dims_in(b, n, 0, &rank)) {
        struct graph_node *whole = emit_node(e, "Concat", parts, count);
        emit_attr_int(e, whole, "axis", backward_axis(b, n, "axis", 0, rank));
        backward_give(b, n, 0, emit_output(whole));
    }
    free(parts);
}

/* --- elements picked out --- */

const char *backward_scatter(struct backward *b, const struct graph_node *n, const char *zeros,
                             const char *places, const char *values, int64_t axis) {
    struct graph_emitter *e = &b->e;
    struct graph_node *scatter =
        emit_node(e, "ScatterElements", (const char *const[]){zeros, places, values}, 3);
    emit_attr_int(e, scatter, "axis", axis);
    if (graph_opset(e->g) < 16) {
        backward_refuse(b, n, "its derivative needs operator set 16, and the model cannot be raised to it");
    } else if (e->rc == RC_OK) {
        e->rc = graph_set_attr_string(e->g, scatter, "reduction", "add", e->err);
    }
    return emit_output(scatter);
}

/* gy is what `places` (a list) picked of x along `axis`: back to where it was, in zeros like x. */
static const char *put_back(struct backward *b, const struct graph_node *n, const char *x, const char *places,
                            const char *gy, int64_t axis, size_t rank) {
    struct graph_emitter *e = &b->e;
    int64_t across[GRAPH_MAX_RANK];
    for (size_t i = 0; i < rank; i++) {
        across[i] = (int64_t)i == axis ? -1 : 1;
    }
    const char *places_across = emit_two(e, "Reshape", places, emit_ints(e, across, rank));
    return backward_scatter(b, n, emit_zeros_like(e, x), emit_expanded_like(e, places_across, gy), gy, axis);
}

/* 0, 1 .. length - 1 */
static const char *emit_count(struct graph_emitter *e, const char *length) {
    const char *none = emit_ints(e, NULL, 0);
    const char *end = emit_two(e, "Reshape", length, none);
    struct graph_value *zero = NULL, *one = NULL;
    const int64_t numbers[] = {0, 1};
    if (e->rc == RC_OK) {
        e->rc = graph_add_initializer(e->g, "zero", GRAPH_INT64, NULL, 0, &numbers[0], sizeof(*numbers),
                                      &zero, e->err);
    }
    if (e->rc == RC_OK) {
        e->rc = graph_add_initializer(e->g, "one", GRAPH_INT64, NULL, 0, &numbers[1], sizeof(*numbers), &one,
                                      e->err);
    }
    return e->rc == RC_OK ? emit_three(e, "Range", zero->name, end, one->name) : "";
}

enum { SLICE_INPUTS = 5 }; /* x, starts, ends, axes, steps */

/* Entry k of the lists that a Slice reads, as inputs of a Slice of that axis alone. */
static void slice_entry(struct graph_emitter *e, const struct graph_node *n, int64_t k, int64_t axis,
                        const char *inputs[SLICE_INPUTS]) {
    for (size_t i = 1; i < SLICE_INPUTS; i++) {
        const char *list = backward_x(n, i);
        inputs[i] = *list ? emit_entries(e, list, k, k + 1) : emit_int(e, i == 3 ? axis : 1);
    }
}

/* Which axes a Slice works on: axes[count]. */
static bool sliced_axes(struct backward *b, const struct graph_node *n, size_t rank,
                        int64_t axes[GRAPH_MAX_RANK], size_t *count) {
    const struct graph_value *starts = graph_input(b->e.g, n, 1), *v = graph_input(b->e.g, n, 3);
    const Onnx__TensorProto *t = v ? graph_constant(b->e.g, v) : NULL;
    size_t starts_rank = 0;
    const int64_t *dims = starts ? graph_shapes_of(b->shapes, starts, &starts_rank) : NULL;
    int64_t *list = NULL;
    struct err ignored;
    bool fine = dims && starts_rank == 1 && dims[0] >= 0 && dims[0] <= (int64_t)rank && (!v || t);
    *count = fine ? (size_t)dims[0] : 0;
    if (fine && v) {
        size_t have = 0;
        fine = graph_tensor_ints(b->e.g, t, &list, &have, &ignored) == RC_OK && have == *count;
    }
    for (size_t i = 0; fine && i < *count; i++) {
        axes[i] = list ? list[i] + (list[i] < 0 ? (int64_t)rank : 0) : (int64_t)i;
        fine = axes[i] >= 0 && axes[i] < (int64_t)rank;
    }
    free(list);
    if (!fine) {
        backward_refuse(b, n, "its axes are not constant");
    }
    return fine;
}

/* One axis after another was sliced; the last is put back first. */
void backward_slice(struct backward *b, const struct graph_node *n, const char *gy) {
    struct graph_emitter *e = &b->e;
    const char *before[GRAPH_MAX_RANK], *places[GRAPH_MAX_RANK], *x = backward_x(n, 0);
    int64_t axes[GRAPH_MAX_RANK];
    size_t rank = 0, count = 0;
    if (!backward_dims_in(b, n, 0, &rank) || rank > GRAPH_MAX_RANK ||
        !sliced_axes(b, n, rank, axes, &count)) {
        return;
    }
    for (size_t k = 0; k < count; k++) {
        const char *inputs[SLICE_INPUTS];
        slice_entry(e, n, (int64_t)k, axes[k], inputs);
        before[k] = x;
        inputs[0] = x;
        x = emit_output(emit_node(e, "Slice", inputs, SLICE_INPUTS));
        inputs[0] = emit_count(e, emit_length(e, before[k], axes[k]));
        inputs[3] = emit_int(e, 0);
        places[k] = emit_output(emit_node(e, "Slice", inputs, SLICE_INPUTS));
    }
    for (size_t k = count; k-- > 0;) {
        gy = put_back(b, n, before[k], places[k], gy, axes[k], rank);
    }
    backward_give(b, n, 0, gy);
}

/* The axes of the indices stand in gy where the axis was: as one axis again, and put back. */
void backward_gather(struct backward *b, const struct graph_node *n, const char *gy) {
    struct graph_emitter *e = &b->e;
    const char *x = backward_x(n, 0), *one = emit_int(e, -1);
    size_t rank = 0;
    if (!backward_dims_in(b, n, 0, &rank) || rank > GRAPH_MAX_RANK) {
        return;
    }
    const int64_t axis = backward_axis(b, n, "axis", 0, rank);
    const char *shape = emit_one(e, "Shape", x);
    const char *const sides[] = {emit_entries(e, shape, 0, axis), one,
                                 emit_entries(e, shape, axis + 1, (int64_t)rank)};
    const char *rows = emit_two(e, "Reshape", gy, emit_joined(e, sides, 3));
    const char *places = emit_two(e, "Reshape", backward_x(n, 1), one);
    backward_give(b, n, 0, put_back(b, n, x, places, rows, axis, rank));
}

static bool is_plain_pad(const struct graph *g, const struct graph_node *n, size_t rank) {
    const Onnx__TensorProto *t = graph_constant(g, graph_input(g, n, 1));
    int64_t *pads = NULL;
    struct err ignored;
    size_t count = 0;
    bool plain = (!graph_attr(n, "mode") || graph_attr_is(n, "mode", "constant")) && !graph_input(g, n, 3) &&
                 t && graph_tensor_ints(g, t, &pads, &count, &ignored) == RC_OK && count == 2 * rank;
    for (size_t i = 0; plain && i < count; i++) {
        plain = pads[i] >= 0;
    }
    free(pads);
    return plain;
}

/* What lies between the pads. */
void backward_pad(struct backward *b, const struct graph_node *n, const char *gy) {
    struct graph_emitter *e = &b->e;
    size_t rank = 0;
    if (!backward_dims_in(b, n, 0, &rank)) {
        return;
    }
    if (!is_plain_pad(e->g, n, rank)) {
        backward_refuse(b, n, "there is a rule for constant pads of all axes only");
        return;
    }
    const char *first = emit_entries(e, backward_x(n, 1), 0, (int64_t)rank);
    const char *end = emit_two(e, "Add", first, emit_one(e, "Shape", backward_x(n, 0)));
    backward_give(b, n, 0, emit_three(e, "Slice", gy, first, end));
}
