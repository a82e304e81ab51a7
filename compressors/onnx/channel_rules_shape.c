/* Rules of operators that move elements. */
#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/channel_rules.h"

/* --- Reshape, Flatten, Squeeze, Unsqueeze ---
 *
 * Both shapes are read as lists of boundaries: the products of the leading dimensions. Where a boundary of
 * one side is also one of the other, the axes before and after it do not mix. Between two such boundaries
 * lies a segment; with no boundary inside it is one axis on each side. Otherwise the boundaries cut it into
 * factors ([256] to [4, 64]: 4 and 64), each inside one axis of either side, and one factor is handed on. */

enum { BOUNDARIES_MAX = 2 * GRAPH_MAX_RANK + 1 };

struct side {
    const struct operand *operand;
    uint64_t ends[GRAPH_MAX_RANK]; /* product of the dimensions up to and with this axis */
};

struct reshaping {
    struct coupling *c;
    struct graph_node *n;
    struct side sides[2];
    uint64_t bounds[BOUNDARIES_MAX]; /* of both, ascending, from 1 */
    size_t bound_count;
};

/* False when an axis is empty. */
static bool read_side(struct side *s, const struct operand *o) {
    uint64_t product = 1;
    s->operand = o;
    for (size_t i = 0; i < o->rank; i++) {
        product *= o->axes[i].length;
        s->ends[i] = product;
    }
    return product > 0 && o->rank <= GRAPH_MAX_RANK;
}

static uint64_t start_of(const struct side *s, size_t axis) {
    return axis ? s->ends[axis - 1] : 1;
}

static bool is_bound(const struct side *s, uint64_t bound) {
    for (size_t i = 0; i < s->operand->rank; i++) {
        if (s->ends[i] == bound) {
            return true;
        }
    }
    return bound == 1;
}

static void add_bounds(struct reshaping *r) {
    size_t at[2] = {0, 0};
    r->bounds[r->bound_count++] = 1;
    for (;;) {
        uint64_t next = UINT64_MAX;
        for (int k = 0; k < 2; k++) {
            const struct side *s = &r->sides[k];
            while (at[k] < s->operand->rank && s->ends[at[k]] <= r->bounds[r->bound_count - 1]) {
                at[k]++;
            }
            next = at[k] < s->operand->rank && s->ends[at[k]] < next ? s->ends[at[k]] : next;
        }
        if (next == UINT64_MAX) {
            return;
        }
        r->bounds[r->bound_count++] = next;
    }
}

/* The axis of s that holds the factor from lo to hi, or SIZE_MAX. */
static size_t holder(const struct side *s, uint64_t lo, uint64_t hi) {
    for (size_t i = 0; i < s->operand->rank; i++) {
        if (start_of(s, i) <= lo && s->ends[i] >= hi) {
            return i;
        }
    }
    return SIZE_MAX;
}

/* Pins the axes of a segment but `keep` on each side. */
static void pin_segment(struct reshaping *r, uint64_t from, uint64_t to, const size_t keep[2]) {
    for (int k = 0; k < 2; k++) {
        const struct side *s = &r->sides[k];
        for (size_t i = 0; i < s->operand->rank; i++) {
            if (i != keep[k] && s->ends[i] > start_of(s, i) && start_of(s, i) >= from && s->ends[i] <= to) {
                coupling_pin(r->c, &s->operand->axes[i], r->n,
                             "folds this axis into another one, of which it hands on other parts");
            }
        }
    }
}

/* Joins what has coordinate t of the factor lo..hi, on both sides, for every t. */
static void hand_on(struct reshaping *r, uint64_t lo, uint64_t hi, const size_t axes[2]) {
    uint32_t size = (uint32_t)(hi / lo), first = 0;
    for (int k = 0; k < 2; k++) {
        const struct side *s = &r->sides[k];
        const struct channel_axis *a = &s->operand->axes[axes[k]];
        uint32_t inner = (uint32_t)(s->ends[axes[k]] / hi);
        uint32_t step = k == 0 ? inner : (uint32_t)(r->sides[0].ends[axes[0]] / hi);
        first = k == 0 ? a->first : first;
        for (uint32_t i = 0; i < a->length; i++) {
            coupling_join(r->c, a->first + i, first + i / inner % size * step);
        }
    }
}

/* Which of `factors` is handed on here. */
static uint8_t choose(struct coupling *c, size_t factors, size_t *choice) {
    if (c->choice_count == c->choice_capacity) {
        size_t capacity = c->choice_capacity ? 2 * c->choice_capacity : 64;
        uint8_t *choices = realloc(c->choices, capacity);
        c->choices = choices ? choices : c->choices;
        uint8_t *sizes = realloc(c->choice_factors, capacity);
        c->choice_factors = sizes ? sizes : c->choice_factors;
        uint32_t *atoms = realloc(c->choice_atoms, capacity * sizeof(*atoms));
        c->choice_atoms = atoms ? atoms : c->choice_atoms;
        if (!choices || !sizes || !atoms) {
            c->failed = true;
            *choice = SIZE_MAX;
            return 0;
        }
        memset(c->choices + c->choice_capacity, 0, capacity - c->choice_capacity);
        c->choice_capacity = capacity;
    }
    *choice = c->choice_count++;
    c->choice_factors[*choice] = (uint8_t)factors;
    c->choice_atoms[*choice] = 0;
    return c->choices[*choice] < factors ? c->choices[*choice] : 0;
}

/* The segment between bounds[from] and bounds[to]. */
static void apply_segment(struct reshaping *r, size_t from, size_t to) {
    static const size_t none[2] = {SIZE_MAX, SIZE_MAX};
    size_t choice = SIZE_MAX, at = from;
    for (size_t i = from; i < to; i++) {
        if (r->bounds[i + 1] % r->bounds[i] != 0) {
            pin_segment(r, r->bounds[from], r->bounds[to], none);
            return;
        }
    }
    if (to - from > 1) {
        at += choose(r->c, to - from, &choice);
    }
    uint64_t lo = r->bounds[at], hi = r->bounds[at + 1];
    size_t axes[2] = {holder(&r->sides[0], lo, hi), holder(&r->sides[1], lo, hi)};
    if (axes[0] == SIZE_MAX || axes[1] == SIZE_MAX) {
        pin_segment(r, r->bounds[from], r->bounds[to], none);
        return;
    }
    if (choice != SIZE_MAX) {
        r->c->choice_atoms[choice] = r->sides[0].operand->axes[axes[0]].first;
    }
    hand_on(r, lo, hi, axes);
    pin_segment(r, r->bounds[from], r->bounds[to], axes);
}

void rule_reshape(struct coupling *c, struct graph_node *n) {
    struct operand in = operand_in(c, n, 0), out = operand_out(c, n, 0);
    struct reshaping r = {.c = c, .n = n};
    if (!read_side(&r.sides[0], &in) || !read_side(&r.sides[1], &out)) {
        coupling_pin_node(c, n, "has an empty axis");
        return;
    }
    if (graph_is_op(n, "Squeeze") && !graph_attr(n, "axes") && !graph_input(c->g, n, 1)) {
        coupling_pin_node(c, n, "removes whichever axes have one index");
        return;
    }
    add_bounds(&r);
    for (size_t from = 0, i = 1; i < r.bound_count; i++) {
        if (is_bound(&r.sides[0], r.bounds[i]) && is_bound(&r.sides[1], r.bounds[i])) {
            apply_segment(&r, from, i);
            from = i;
        }
    }
    if (graph_is_op(n, "Reshape")) {
        elements_target(c, n, 1, &out);
    }
}

/* --- Transpose, Concat, Split --- */

void rule_transpose(struct coupling *c, struct graph_node *n) {
    struct operand in = operand_in(c, n, 0), out = operand_out(c, n, 0);
    size_t count = 0;
    const int64_t *perm = graph_attr_ints(n, "perm", &count);
    for (size_t i = 0; i < out.rank; i++) {
        size_t from = perm ? i < count ? (size_t)perm[i] : SIZE_MAX : out.rank - 1 - i;
        if (from >= in.rank) {
            coupling_pin_node(c, n, "has a permutation that does not fit");
            return;
        }
        coupling_link(c, &in.axes[from], &out.axes[i], n);
    }
}

static int64_t axis_attr(const struct graph_node *n, int64_t absent, size_t rank) {
    int64_t axis = graph_attr_int(n, "axis", absent);
    return axis < 0 ? axis + (int64_t)rank : axis;
}

/* Joins indices offset .. of `whole` with all of `part`; other axes one by one. False when they do not fit.
 */
static bool link_part(struct coupling *c, struct graph_node *n, const struct operand *whole,
                      const struct operand *part, int64_t axis, uint32_t *offset) {
    if (part->rank != whole->rank || axis < 0 || axis >= (int64_t)whole->rank ||
        *offset + part->axes[axis].length > whole->axes[axis].length) {
        coupling_pin_node(c, n, "has shapes that are not understood");
        return false;
    }
    for (size_t i = 0; i < whole->rank; i++) {
        if ((int64_t)i != axis) {
            coupling_link(c, &part->axes[i], &whole->axes[i], n);
        }
    }
    for (uint32_t i = 0; i < part->axes[axis].length; i++) {
        coupling_join(c, part->axes[axis].first + i, whole->axes[axis].first + *offset + i);
    }
    *offset += part->axes[axis].length;
    return true;
}

void rule_concat(struct coupling *c, struct graph_node *n) {
    struct operand out = operand_out(c, n, 0);
    uint32_t offset = 0;
    for (size_t i = 0; i < n->proto->n_input; i++) {
        struct operand in = operand_in(c, n, i);
        if (!link_part(c, n, &out, &in, axis_attr(n, 1, out.rank), &offset)) {
            return;
        }
    }
}

void rule_split(struct coupling *c, struct graph_node *n) {
    struct operand in = operand_in(c, n, 0);
    int64_t axis = axis_attr(n, 0, in.rank);
    uint32_t offset = 0;
    for (size_t i = 0; i < n->proto->n_output; i++) {
        struct operand out = operand_out(c, n, i);
        if (!out.known) { /* nothing reads it, but its indices lie between the others */
            coupling_pin_node(c, n, "has an output that is left out");
            return;
        }
        if (!link_part(c, n, &in, &out, axis, &offset)) {
            return;
        }
    }
    const struct graph_value *sizes = graph_input(c->g, n, 1);
    if (sizes && !graph_constant(c->g, sizes)) {
        coupling_pin(c, &in.axes[axis], n, "splits by sizes that are computed");
    }
}

/* --- Slice and Gather --- */

static bool slice_list(const struct coupling *c, const struct graph_node *n, size_t slot, const char *attr,
                       int64_t **values, size_t *count) {
    const int64_t *list = graph_attr_ints(n, attr, count);
    if (!list) {
        return constant_ints(c, graph_input(c->g, n, slot), values, count);
    }
    *values = malloc((*count + 1) * sizeof(**values));
    if (*values) {
        memcpy(*values, list, *count * sizeof(**values));
    }
    return *values != NULL;
}

static void slice_axis(struct coupling *c, struct graph_node *n, const struct channel_axis *in,
                       const struct channel_axis *out, int64_t start, int64_t step) {
    int64_t length = in->length;
    start += start < 0 ? length : 0;
    start = start < 0 ? 0 : start > length ? length : start;
    if (step != 1 || start + (int64_t)out->length > length) {
        coupling_pin(c, in, n, "takes every so many indices of this axis");
        coupling_pin(c, out, n, "takes every so many indices of this axis");
        return;
    }
    for (uint32_t i = 0; i < out->length; i++) {
        coupling_join(c, in->first + (uint32_t)start + i, out->first + i);
    }
}

void rule_slice(struct coupling *c, struct graph_node *n) {
    struct operand in = operand_in(c, n, 0), out = operand_out(c, n, 0);
    int64_t *starts = NULL, *axes = NULL, *steps = NULL;
    size_t start_count = 0, axis_count = 0, step_count = 0;
    bool fine = slice_list(c, n, 1, "starts", &starts, &start_count) && in.rank == out.rank;
    bool has_axes = graph_attr(n, "axes") || graph_input(c->g, n, 3);
    fine =
        fine && (!has_axes || (slice_list(c, n, 3, "axes", &axes, &axis_count) && axis_count == start_count));
    fine = fine &&
           (!graph_input(c->g, n, 4) ||
            (constant_ints(c, graph_input(c->g, n, 4), &steps, &step_count) && step_count == start_count));
    fine = fine && start_count <= in.rank;
    bool sliced[GRAPH_MAX_RANK] = {false};
    for (size_t i = 0; fine && i < start_count; i++) {
        int64_t axis = axes ? axes[i] + (axes[i] < 0 ? (int64_t)in.rank : 0) : (int64_t)i;
        fine = axis >= 0 && axis < (int64_t)in.rank && !sliced[axis];
        if (fine) {
            sliced[axis] = true;
            slice_axis(c, n, &in.axes[axis], &out.axes[axis], starts[i], steps ? steps[i] : 1);
        }
    }
    for (size_t i = 0; fine && i < in.rank; i++) {
        if (!sliced[i]) {
            coupling_link(c, &in.axes[i], &out.axes[i], n);
        }
    }
    if (!fine) {
        coupling_pin_node(c, n, "takes a range that is computed");
    }
    free(starts);
    free(axes);
    free(steps);
}

void rule_gather(struct coupling *c, struct graph_node *n) {
    struct operand data = operand_in(c, n, 0), indices = operand_in(c, n, 1), out = operand_out(c, n, 0);
    int64_t axis = axis_attr(n, 0, data.rank);
    if (axis < 0 || axis >= (int64_t)data.rank || out.rank + 1 != data.rank + indices.rank) {
        coupling_pin_node(c, n, "has shapes that are not understood");
        return;
    }
    for (size_t i = 0; i < data.rank; i++) {
        if ((int64_t)i < axis) {
            coupling_link(c, &data.axes[i], &out.axes[i], n);
        } else if ((int64_t)i > axis) {
            coupling_link(c, &data.axes[i], &out.axes[i + indices.rank - 1], n);
        }
    }
    coupling_pin(c, &data.axes[axis], n, "picks by index along this axis");
    for (size_t i = 0; i < indices.rank; i++) {
        coupling_link(c, &indices.axes[i], &out.axes[(size_t)axis + i], n);
    }
}

/* --- repeating and padding --- */

void rule_expand(struct coupling *c, struct graph_node *n) {
    struct operand in = operand_in(c, n, 0), out = operand_out(c, n, 0);
    for (size_t i = 0; i < in.rank && in.rank <= out.rank; i++) {
        const struct channel_axis *to = &out.axes[out.rank - in.rank + i];
        if (in.axes[i].length != 1 || to->length == 1) {
            coupling_link(c, &in.axes[i], to, n);
        }
    }
    elements_target(c, n, 1, &out);
}

void rule_constant_of_shape(struct coupling *c, struct graph_node *n) {
    struct operand out = operand_out(c, n, 0);
    elements_target(c, n, 0, &out);
}

void rule_tile(struct coupling *c, struct graph_node *n) {
    struct operand in = operand_in(c, n, 0), out = operand_out(c, n, 0);
    int64_t *repeats = NULL;
    size_t count = 0;
    if (!constant_ints(c, graph_input(c->g, n, 1), &repeats, &count) || count != in.rank ||
        out.rank != in.rank) {
        coupling_pin_node(c, n, "repeats a number of times that is computed");
    } else {
        for (size_t i = 0; i < in.rank; i++) {
            const struct channel_axis *a = &in.axes[i];
            for (uint32_t k = 0; a->length > 0 && k < out.axes[i].length; k++) {
                coupling_join(c, a->first + k % a->length, out.axes[i].first + k);
            }
            if (a->length == 1 && out.axes[i].length > 1) {
                coupling_pin(c, &out.axes[i], n, "repeats one index to this axis");
            }
        }
    }
    free(repeats);
}

/* Links the axes that `same` holds and pins the others. */
static void link_or_pin(struct coupling *c, struct graph_node *n, const bool *same, const char *why) {
    struct operand in = operand_in(c, n, 0), out = operand_out(c, n, 0);
    for (size_t i = 0; i < in.rank && i < out.rank; i++) {
        if (same[i]) {
            coupling_link(c, &in.axes[i], &out.axes[i], n);
        } else {
            coupling_pin(c, &in.axes[i], n, why);
            coupling_pin(c, &out.axes[i], n, why);
        }
    }
}

void rule_pad(struct coupling *c, struct graph_node *n) {
    struct operand in = operand_in(c, n, 0), axes = operand_in(c, n, 3);
    int64_t *pads = NULL;
    size_t count = 0;
    bool same[GRAPH_MAX_RANK] = {false};
    bool fine = slice_list(c, n, 1, "pads", &pads, &count) && count == 2 * in.rank && !axes.value &&
                in.rank <= GRAPH_MAX_RANK;
    for (size_t i = 0; fine && i < in.rank; i++) {
        same[i] = pads[i] == 0 && pads[in.rank + i] == 0;
    }
    free(pads);
    if (fine) {
        link_or_pin(c, n, same, "pads this axis");
    } else {
        coupling_pin_node(c, n, "pads by sizes that are not understood");
    }
}

void rule_resize(struct coupling *c, struct graph_node *n) {
    struct operand in = operand_in(c, n, 0), scales = operand_in(c, n, 2), sizes = operand_in(c, n, 3);
    struct operand out = operand_out(c, n, 0);
    bool same[GRAPH_MAX_RANK] = {false};
    bool by_sizes = sizes.value != NULL;
    const Onnx__TensorProto *t = scales.value ? graph_constant(c->g, scales.value) : NULL;
    float *factors = NULL;
    size_t count = 0;
    bool fine = graph_opset(c->g) >= 11 && !graph_attr(n, "axes") && in.rank == out.rank &&
                in.rank <= GRAPH_MAX_RANK &&
                !graph_attr_is(n, "coordinate_transformation_mode", "tf_crop_and_resize") &&
                (!graph_attr(n, "keep_aspect_ratio_policy") ||
                 graph_attr_is(n, "keep_aspect_ratio_policy", "stretch"));
    fine = fine && (by_sizes ||
                    (t && graph_tensor_floats(c->g, t, &factors, &count, NULL) == RC_OK && count == in.rank));
    for (size_t i = 0; fine && i < in.rank; i++) {
        same[i] = in.axes[i].length == out.axes[i].length && (by_sizes || factors[i] == 1.0f);
    }
    free(factors);
    if (!fine) {
        coupling_pin_node(c, n, "resizes in a way that is not understood");
        return;
    }
    link_or_pin(c, n, same, "resizes this axis");
    if (by_sizes) {
        elements_target(c, n, 3, &out);
    }
}

/* --- blocks of pixels as channels --- */

/* Joins channel k of `few` with the b * b channels of `many` that it becomes. */
static void link_blocks(struct coupling *c, struct graph_node *n, const struct operand *few,
                        const struct operand *many, bool channel_first) {
    if (few->rank != 4 || many->rank != 4 || few->axes[1].length == 0 ||
        many->axes[1].length % few->axes[1].length != 0) {
        coupling_pin_node(c, n, "has shapes that are not understood");
        return;
    }
    uint32_t channels = few->axes[1].length, blocks = many->axes[1].length / channels;
    coupling_link(c, &few->axes[0], &many->axes[0], n);
    for (uint32_t i = 0; i < many->axes[1].length; i++) {
        uint32_t k = channel_first ? i / blocks : i % channels;
        coupling_join(c, many->axes[1].first + i, few->axes[1].first + k);
    }
    for (size_t i = 2; i < 4; i++) {
        coupling_pin(c, &few->axes[i], n, "moves pixels of this axis into channels");
        coupling_pin(c, &many->axes[i], n, "moves pixels of this axis into channels");
    }
}

void rule_depth_to_space(struct coupling *c, struct graph_node *n) {
    struct operand in = operand_in(c, n, 0), out = operand_out(c, n, 0);
    link_blocks(c, n, &out, &in, graph_attr_is(n, "mode", "CRD"));
}

void rule_space_to_depth(struct coupling *c, struct graph_node *n) {
    struct operand in = operand_in(c, n, 0), out = operand_out(c, n, 0);
    link_blocks(c, n, &in, &out, false);
}
