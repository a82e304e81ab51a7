/* Where the lengths of axes go: Shape, then Gather, Slice and Concat, and at last the target of a Reshape.
 * What happens to a length inside this list of operators can be followed; anything else that reads it pins
 * the axis, because the number it computes would change. */
#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/channel_rules.h"
#include "compressors/onnx/graph_shapes.h"

bool constant_ints(const struct coupling *c, const struct graph_value *v, int64_t **values, size_t *count) {
    const Onnx__TensorProto *t = v ? graph_constant(c->g, v) : NULL;
    *values = NULL;
    *count = 0;
    return t && t->n_dims <= 1 && graph_tensor_ints(c->g, t, values, count, NULL) == RC_OK;
}

struct elements elements_of(struct coupling *c, const struct graph_value *v,
                            struct element buffer[ELEMENTS_MAX]) {
    int64_t *values = NULL;
    size_t count = 0;
    size_t index = v ? graph_shapes_index(c->groups->shapes, v) : SIZE_MAX;
    if (constant_ints(c, v, &values, &count) && count <= ELEMENTS_MAX) {
        for (size_t i = 0; i < count; i++) {
            buffer[i] = (struct element){.kind = ELEMENT_NUMBER, .number = values[i]};
        }
        free(values);
        return (struct elements){buffer, count};
    }
    free(values);
    return index == SIZE_MAX ? (struct elements){0} : c->elements[index];
}

void elements_pin(struct coupling *c, const struct graph_value *v, const struct graph_node *n,
                  const char *why) {
    size_t index = v ? graph_shapes_index(c->groups->shapes, v) : SIZE_MAX;
    for (size_t i = 0; index != SIZE_MAX && i < c->elements[index].count; i++) {
        if (c->elements[index].list[i].kind == ELEMENT_DIM) {
            coupling_pin(c, &c->groups->axes[c->elements[index].list[i].axis], n, why);
        }
    }
}

static bool tells_lengths(const struct coupling *c, const struct graph_value *v) {
    size_t index = v ? graph_shapes_index(c->groups->shapes, v) : SIZE_MAX;
    for (size_t i = 0; index != SIZE_MAX && i < c->elements[index].count; i++) {
        if (c->elements[index].list[i].kind == ELEMENT_DIM) {
            return true;
        }
    }
    return false;
}

/* --- the operators that are followed: each writes the output's entries, false where it cannot --- */

struct output {
    struct element list[ELEMENTS_MAX];
    size_t count;
};

static bool append(struct output *out, const struct element *e) {
    if (out->count == ELEMENTS_MAX) {
        return false;
    }
    out->list[out->count++] = *e;
    return true;
}

static bool follow_shape(struct coupling *c, const struct graph_node *n, struct output *out) {
    struct operand x = operand_in(c, n, 0);
    int64_t rank = (int64_t)x.rank;
    int64_t start = graph_attr_int(n, "start", 0), end = graph_attr_int(n, "end", rank);
    start += start < 0 ? rank : 0;
    end += end < 0 ? rank : 0;
    start = start < 0 ? 0 : start;
    end = end > rank ? rank : end;
    for (int64_t i = start; i < end; i++) {
        struct element e = {.kind = ELEMENT_DIM, .axis = (uint32_t)(x.axes + i - c->groups->axes)};
        if (!append(out, &e)) {
            return false;
        }
    }
    return true;
}

static bool follow_same(struct coupling *c, const struct graph_node *n, struct output *out) {
    struct element buffer[ELEMENTS_MAX];
    struct elements in = elements_of(c, graph_input(c->g, n, 0), buffer);
    for (size_t i = 0; i < in.count; i++) {
        if (!append(out, &in.list[i])) {
            return false;
        }
    }
    return true;
}

static bool follow_gather(struct coupling *c, const struct graph_node *n, struct output *out) {
    struct element buffer[ELEMENTS_MAX];
    struct elements in = elements_of(c, graph_input(c->g, n, 0), buffer);
    int64_t *indices = NULL;
    size_t count = 0;
    bool fine = constant_ints(c, graph_input(c->g, n, 1), &indices, &count);
    for (size_t i = 0; fine && i < count; i++) {
        int64_t at = indices[i] < 0 ? indices[i] + (int64_t)in.count : indices[i];
        fine = at >= 0 && at < (int64_t)in.count && append(out, &in.list[at]);
    }
    free(indices);
    return fine;
}

static bool one_int(const struct coupling *c, const struct graph_node *n, size_t slot, int64_t *value) {
    int64_t *values = NULL;
    size_t count = 0;
    bool fine = constant_ints(c, graph_input(c->g, n, slot), &values, &count) && count == 1;
    *value = fine ? values[0] : 0;
    free(values);
    return fine;
}

static int64_t clamp(int64_t at, int64_t count) {
    at += at < 0 ? count : 0;
    return at < 0 ? 0 : at > count ? count : at;
}

static bool follow_slice(struct coupling *c, const struct graph_node *n, struct output *out) {
    struct element buffer[ELEMENTS_MAX];
    struct elements in = elements_of(c, graph_input(c->g, n, 0), buffer);
    int64_t start, end, step = 1, count = (int64_t)in.count;
    if (!one_int(c, n, 1, &start) || !one_int(c, n, 2, &end) ||
        (graph_input(c->g, n, 4) && (!one_int(c, n, 4, &step) || step < 1))) {
        return false;
    }
    for (int64_t i = clamp(start, count); i < clamp(end, count); i += step) {
        if (!append(out, &in.list[i])) {
            return false;
        }
    }
    return true;
}

static bool follow_concat(struct coupling *c, const struct graph_node *n, struct output *out) {
    static const struct element unknown = {0};
    for (size_t slot = 0; slot < n->proto->n_input; slot++) {
        struct element buffer[ELEMENTS_MAX];
        struct operand o = operand_in(c, n, slot);
        struct elements in = elements_of(c, o.value, buffer);
        for (uint32_t i = 0; o.rank == 1 && i < o.axes[0].length; i++) {
            if (!append(out, i < in.count ? &in.list[i] : &unknown)) {
                return false;
            }
        }
    }
    return true;
}

/* Input `slot` of n is a shape that its rule has tied to the output (elements_target). */
static bool is_target(const struct graph_node *n, size_t slot) {
    return (slot == 1 && (graph_is_op(n, "Reshape") || graph_is_op(n, "Expand"))) ||
           (slot == 0 && graph_is_op(n, "ConstantOfShape")) || (slot == 3 && graph_is_op(n, "Resize"));
}

static bool follow_op(struct coupling *c, const struct graph_node *n, struct output *out) {
    if (graph_is_op(n, "Gather")) {
        return follow_gather(c, n, out);
    }
    if (graph_is_op(n, "Slice")) {
        return follow_slice(c, n, out);
    }
    if (graph_is_op(n, "Concat")) {
        return follow_concat(c, n, out);
    }
    return (graph_is_op(n, "Identity") || graph_is_op(n, "Cast") || graph_is_op(n, "Squeeze") ||
            graph_is_op(n, "Unsqueeze") || graph_is_op(n, "Reshape")) &&
           follow_same(c, n, out);
}

bool elements_follow(struct coupling *c, struct graph_node *n) {
    struct output out = {.count = 0};
    bool reads = graph_is_op(n, "Shape");
    for (size_t i = 0; i < n->proto->n_input && !reads; i++) {
        reads = !is_target(n, i) && tells_lengths(c, graph_input(c->g, n, i));
    }
    if (!reads) {
        return true;
    }
    const struct graph_value *v = graph_output(c->g, n, 0);
    size_t index = v ? graph_shapes_index(c->groups->shapes, v) : SIZE_MAX;
    bool fine =
        index != SIZE_MAX && (graph_is_op(n, "Shape") ? follow_shape(c, n, &out) : follow_op(c, n, &out));
    if (!fine || out.count == 0) {
        return fine;
    }
    c->elements[index].list = malloc(out.count * sizeof(*out.list));
    if (!c->elements[index].list) {
        c->failed = true;
        return false;
    }
    memcpy(c->elements[index].list, out.list, out.count * sizeof(*out.list));
    c->elements[index].count = out.count;
    return true;
}

/* --- shapes that are asked for --- */

static void note_target(struct coupling *c, struct graph_node *n, size_t slot, uint32_t numbers) {
    struct channel_groups *g = c->groups;
    struct channel_target *list = realloc(g->targets, (g->target_count + 1) * sizeof(*list));
    if (!list) {
        c->failed = true;
        return;
    }
    g->targets = list;
    list[g->target_count++] = (struct channel_target){n, slot, numbers};
}

/* Ties axis i of the output to entry `asked`; true when that is a number to be changed with the axis. */
static bool tie_entry(struct coupling *c, struct graph_node *n, const struct channel_axis *a,
                      const struct element *asked, size_t i) {
    struct operand in = operand_in(c, n, 0);
    bool reshape = graph_is_op(n, "Reshape");
    if (!asked || asked->kind == ELEMENT_UNKNOWN) {
        coupling_pin(c, a, n, "gets a shape that is computed");
        return false;
    }
    if (asked->kind == ELEMENT_DIM) {
        coupling_link(c, &c->groups->axes[asked->axis], a, n);
        return false;
    }
    if (asked->number == (int64_t)a->length) {
        return true;
    }
    if (reshape && asked->number == 0 && graph_attr_int(n, "allowzero", 0) == 0 && i < in.rank) {
        coupling_link(c, &in.axes[i], a, n);
    } else if (!(reshape && asked->number == -1) && !(graph_is_op(n, "Expand") && asked->number == 1)) {
        coupling_pin(c, a, n, "gets a shape that does not fit");
    }
    return false;
}

void elements_target(struct coupling *c, struct graph_node *n, size_t slot, const struct operand *out) {
    struct element buffer[ELEMENTS_MAX];
    struct elements e = elements_of(c, graph_input(c->g, n, slot), buffer);
    uint32_t numbers = 0;
    for (size_t i = 0; i < out->rank; i++) {
        const struct element *asked = e.count == out->rank ? &e.list[i] : NULL;
        numbers |= (uint32_t)tie_entry(c, n, &out->axes[i], asked, i) << i;
    }
    note_target(c, n, slot, numbers);
}
