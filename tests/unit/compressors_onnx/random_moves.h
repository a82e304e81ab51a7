/* random_moves.h -- the steps of a random graph that move, repeat, pick and put together elements. */
#pragma once

#include "tests/unit/compressors_onnx/random_graph.h"

/* --- pools and means --- */

static inline bool step_pool(struct random_graph *r, const struct random_value *x) {
    if (x->rank != 4 || x->dims[2] < 2 || x->dims[3] < 2) {
        return false;
    }
    bool halve = random_chance(r, 50) && x->dims[2] % 2 == 0 && x->dims[3] % 2 == 0;
    Onnx__NodeProto *n =
        random_node(r, random_chance(r, 50) ? "MaxPool" : "AveragePool", random_name(r), "%s", x->name);
    builder_attr_ints(&r->b, n, "kernel_shape", halve ? (int64_t[]){2, 2} : (int64_t[]){3, 3}, 2);
    struct random_value *y = random_offer(r, n->output[0], x);
    if (halve) {
        builder_attr_ints(&r->b, n, "strides", (int64_t[]){2, 2}, 2);
        y->dims[2] /= 2;
        y->dims[3] /= 2;
    } else {
        builder_attr_ints(&r->b, n, "pads", (int64_t[]){1, 1, 1, 1}, 4);
    }
    return true;
}

static inline bool step_global_pool(struct random_graph *r, const struct random_value *x) {
    if (x->rank != 4) {
        return false;
    }
    const char *op_type = random_chance(r, 70) ? "GlobalAveragePool" : "GlobalMaxPool";
    struct random_value *y = random_offer(r, RANDOM_OP(r, op_type, "%s", x->name), x);
    y->dims[2] = y->dims[3] = 1;
    return true;
}

/* Over some axes after the batch, never all of them. */
static inline bool step_reduce(struct random_graph *r, const struct random_value *x) {
    static const char *const ops[] = {"ReduceMean", "ReduceMax", "ReduceSum"};
    size_t op = random_below(r, 3), kept = 1 + random_below(r, (uint32_t)x->rank - 1), count = 0;
    int64_t axes[RANDOM_RANK];
    bool keep = random_chance(r, 50);
    for (size_t i = 1; i < x->rank; i++) {
        if (i != kept && (count == 0 || random_chance(r, 80))) {
            axes[count++] = (int64_t)i - (random_chance(r, 30) ? (int64_t)x->rank : 0);
        }
    }
    if (count == 0) {
        return false;
    }
    Onnx__NodeProto *n;
    const char *name = random_axes_op(r, ops[op], x->name, op == 2 ? 13 : 18, count, axes, &n);
    builder_attr_int(&r->b, n, "keepdims", keep);
    struct random_value *y = random_offer(r, name, x);
    size_t rank = 1;
    for (size_t i = 1; i < x->rank; i++) {
        bool gone = false;
        for (size_t k = 0; k < count; k++) {
            gone = gone || axes[k] == (int64_t)i || axes[k] + (int64_t)x->rank == (int64_t)i;
        }
        if (!gone || keep) {
            y->dims[rank++] = gone ? 1 : x->dims[i];
        }
    }
    y->rank = rank;
    y->channels = 0;
    return true;
}

/* --- reshapes --- */

static inline bool step_flatten(struct random_graph *r, const struct random_value *x) {
    if (x->rank < 3) {
        return false;
    }
    const int64_t n = (int64_t)random_elements(x);
    const char *y = random_chance(r, 50)   ? RANDOM_OP(r, "Flatten", "%s", x->name)
                    : random_chance(r, 50) ? random_reshape(r, x->name, 2, (int64_t[]){0, -1})
                                           : random_reshape(r, x->name, 2, (int64_t[]){-1, n});
    struct random_value *v = random_offer(r, y, x);
    v->rank = 2;
    v->dims[1] = n;
    return true;
}

/* Asks for y's shape in one of the ways that exporters write it. */
static inline void random_reshape_to(struct random_graph *r, const struct random_value *x,
                                     const struct random_value *shape) {
    int64_t asked[RANDOM_RANK];
    memcpy(asked, shape->dims, sizeof(asked));
    size_t rest = random_chance(r, 40) ? 1 + random_below(r, (uint32_t)shape->rank - 1) : 0;
    asked[0] = 0;
    for (size_t i = 1; i < shape->rank; i++) {
        bool same = i < x->rank && x->dims[i] == shape->dims[i];
        asked[i] = i == rest ? -1 : same && random_chance(r, 40) ? 0 : shape->dims[i];
    }
    if (!rest && random_chance(r, 50)) {
        asked[0] = -1;
    }
    random_offer(r, random_reshape(r, x->name, shape->rank, asked), shape)->channels = 0;
}

static inline bool step_merge_axes(struct random_graph *r, const struct random_value *x) {
    if (x->rank < 3) {
        return false;
    }
    struct random_value y = *x;
    size_t at = 1 + random_below(r, (uint32_t)x->rank - 2);
    y.rank--;
    for (size_t i = at; i < y.rank; i++) {
        y.dims[i] = i == at ? x->dims[i] * x->dims[i + 1] : x->dims[i + 1];
    }
    random_reshape_to(r, x, &y);
    return true;
}

static inline bool step_split_axis(struct random_graph *r, const struct random_value *x) {
    size_t at = 1 + random_below(r, (uint32_t)x->rank - 1);
    int64_t part = random_divisor(r, x->dims[at], x->dims[at] - 1);
    if (x->rank == RANDOM_RANK || part == 1) {
        return false;
    }
    struct random_value y = *x;
    y.rank++;
    for (size_t i = y.rank - 1; i > at; i--) {
        y.dims[i] = x->dims[i - 1];
    }
    y.dims[at] = part;
    y.dims[at + 1] = x->dims[at] / part;
    random_reshape_to(r, x, &y);
    return true;
}

/* Any other shape of as many elements: axes may overlap each other by parts. */
static inline bool step_refold(struct random_graph *r, const struct random_value *x) {
    struct random_value y = *x;
    int64_t left = (int64_t)random_elements(x);
    y.rank = 3;
    y.dims[1] = random_divisor(r, left, left - 1);
    y.dims[2] = left / y.dims[1];
    random_reshape_to(r, x, &y);
    return true;
}

/* The shape is computed where the model runs: x.view(x.size(0), x.size(1), -1). */
static inline bool step_reshape_computed(struct random_graph *r, const struct random_value *x) {
    if (x->rank != 4) {
        return false;
    }
    Onnx__NodeProto *n;
    const char *shape = RANDOM_OP(r, "Shape", "%s", x->name), *sizes[2];
    for (int64_t i = 0; i < 2; i++) {
        const char *size = RANDOM_OP(r, "Gather", "%s %s", shape, random_scalar(r, i));
        sizes[i] = random_axes_op(r, "Unsqueeze", size, 13, 1, (int64_t[]){0}, &n);
    }
    if (random_chance(r, 30)) {
        sizes[1] = random_ints(r, 1, &x->dims[1]); /* a constant in a shape that is computed */
    }
    const char *rest = random_ints(r, 1, (int64_t[]){-1});
    n = random_node(r, "Concat", random_name(r), "%s %s %s", sizes[0], sizes[1], rest);
    builder_attr_int(&r->b, n, "axis", 0);
    struct random_value *y = random_offer(r, RANDOM_OP(r, "Reshape", "%s %s", x->name, n->output[0]), x);
    y->rank = 3;
    y->dims[2] = x->dims[2] * x->dims[3];
    return true;
}

static inline bool step_squeeze(struct random_graph *r, const struct random_value *x) {
    for (size_t i = 1; i < x->rank && x->rank > 2; i++) {
        if (x->dims[i] == 1) {
            Onnx__NodeProto *n;
            int64_t axis = (int64_t)i;
            const char *name = random_axes_op(r, "Squeeze", x->name, 13, 1, &axis, &n);
            struct random_value *y = random_offer(r, name, x);
            y->rank--;
            y->channels = 0;
            memmove(y->dims + i, x->dims + i + 1, (y->rank - i) * sizeof(*y->dims));
            return true;
        }
    }
    return false;
}

static inline bool step_unsqueeze(struct random_graph *r, const struct random_value *x) {
    if (x->rank == RANDOM_RANK) {
        return false;
    }
    Onnx__NodeProto *n;
    int64_t axis = 1 + random_below(r, (uint32_t)x->rank);
    struct random_value y = *x;
    memmove(y.dims + axis + 1, x->dims + axis, (x->rank - (size_t)axis) * sizeof(*y.dims));
    y.dims[axis] = 1;
    y.rank++;
    random_offer(r, random_axes_op(r, "Unsqueeze", x->name, 13, 1, &axis, &n), &y)->channels = 0;
    return true;
}

/* Any order of the axes after the batch. */
static inline bool step_transpose(struct random_graph *r, const struct random_value *x) {
    if (x->rank < 3) {
        return false;
    }
    int64_t perm[RANDOM_RANK] = {0, 1, 2, 3};
    struct random_value y = *x;
    for (size_t i = x->rank - 1; i > 1; i--) {
        size_t k = 1 + random_below(r, (uint32_t)i);
        int64_t was = perm[i];
        perm[i] = perm[k];
        perm[k] = was;
    }
    for (size_t i = 1; i < x->rank; i++) {
        y.dims[i] = x->dims[perm[i]];
    }
    random_offer(r, random_transpose(r, x->name, x->rank, perm), &y)->channels = 0;
    return true;
}

static inline bool step_shuffle(struct random_graph *r, const struct random_value *x) {
    int64_t groups = x->rank == 4 ? random_divisor(r, x->dims[1], x->dims[1] - 1) : 1;
    if (groups == 1) {
        return false;
    }
    const char *y =
        random_reshape(r, x->name, 5, (int64_t[]){0, groups, x->dims[1] / groups, x->dims[2], x->dims[3]});
    y = random_transpose(r, y, 5, (int64_t[]){0, 2, 1, 3, 4});
    random_offer(r, random_reshape(r, y, 4, (int64_t[]){0, x->dims[1], x->dims[2], x->dims[3]}), x);
    return true;
}

/* --- together and apart --- */

static inline bool step_concat(struct random_graph *r, const struct random_value *x) {
    size_t axis = random_chance(r, 60) ? 1 : 1 + random_below(r, (uint32_t)x->rank - 1);
    const struct random_value *other = random_peer(r, x, axis);
    other = other && random_chance(r, 85) ? other : x;
    Onnx__NodeProto *n = random_node(r, "Concat", random_name(r), "%s %s", x->name, other->name);
    builder_attr_int(&r->b, n, "axis", (int64_t)axis - (random_chance(r, 30) ? (int64_t)x->rank : 0));
    struct random_value *y = random_offer(r, n->output[0], x);
    y->dims[axis] += other->dims[axis];
    y->channels = random_channels_of_both(x->channels, other->channels);
    return true;
}

static inline bool step_split(struct random_graph *r, const struct random_value *x) {
    size_t axis = random_chance(r, 60) ? 1 : 1 + random_below(r, (uint32_t)x->rank - 1);
    int64_t length = x->dims[axis], parts[3], count = 2 + random_below(r, 2);
    /* ONNX Runtime 1.30 takes two Splits of a value for the same where only the number of outputs differs. */
    bool equal = length % count == 0 && !x->is_read && random_chance(r, 50);
    if (length < 2 * count) {
        return false;
    }
    for (int64_t i = 0, left = length; i < count; left -= parts[i++]) {
        int64_t most = left - (count - 1 - i);
        parts[i] = equal ? length / count : i + 1 == count ? left : 1 + random_below(r, (uint32_t)most);
    }
    const char *names[] = {random_name(r), random_name(r), random_name(r)};
    const char *all =
        arena_printf(r->b.arena, count == 2 ? "%s %s" : "%s %s %s", names[0], names[1], names[2]);
    bool told = r->opset >= 13 && !equal;
    Onnx__NodeProto *n =
        told ? random_node(r, "Split", all, "%s %s", x->name, random_ints(r, (size_t)count, parts))
             : random_node(r, "Split", all, "%s", x->name);
    builder_attr_int(&r->b, n, "axis", (int64_t)axis);
    if (r->opset < 13 && !equal) {
        builder_attr_ints(&r->b, n, "split", parts, (size_t)count);
    } else if (r->opset >= 18 && equal) {
        builder_attr_int(&r->b, n, "num_outputs", count);
    }
    bool all_read = random_chance(r, 85); /* or nothing reads the last */
    for (int64_t i = 0; i < count - !all_read; i++) {
        random_offer(r, names[i], x)->dims[axis] = parts[i];
    }
    return true;
}

/* Halves as exporters write chunk(): the middle is computed from the length of the axis. */
static inline bool step_chunk(struct random_graph *r, const struct random_value *x) {
    const int64_t axis = 1, two = 2;
    if (x->dims[1] % 2 != 0 || r->opset < 11) {
        return false;
    }
    const char *shape = RANDOM_OP(r, "Shape", "%s", x->name), *at = random_ints(r, 1, &axis);
    const char *length = RANDOM_OP(r, "Gather", "%s %s", shape, at);
    const char *middle = RANDOM_OP(r, "Div", "%s %s", length, random_ints(r, 1, &two));
    const char *zero = random_ints(r, 1, (int64_t[]){0}), *axes = random_ints(r, 1, &axis);
    const char *first = RANDOM_OP(r, "Slice", "%s %s %s %s", x->name, zero, middle, axes);
    const char *second = RANDOM_OP(r, "Slice", "%s %s %s %s", x->name, middle, length, axes);
    random_offer(r, first, x)->dims[1] /= 2;
    random_offer(r, second, x)->dims[1] /= 2;
    return true;
}

static inline bool step_slice(struct random_graph *r, const struct random_value *x) {
    int64_t axis = random_chance(r, 60) ? 1 : 1 + random_below(r, (uint32_t)x->rank - 1);
    int64_t length = x->dims[axis], step = random_chance(r, 10) ? 2 : 1;
    if (length < 4 || (step > 1 && r->opset < 11)) {
        return false;
    }
    int64_t from = random_below(r, (uint32_t)length / 2), to = length - random_below(r, (uint32_t)length / 2);
    int64_t start = random_chance(r, 30) ? from - length : from;
    int64_t end = to == length && random_chance(r, 50)  ? INT64_MAX
                  : random_chance(r, 30) && to < length ? to - length
                                                        : to;
    const char *name = random_name(r);
    if (r->opset < 10) {
        Onnx__NodeProto *n = random_node(r, "Slice", name, "%s", x->name);
        builder_attr_ints(&r->b, n, "starts", &start, 1);
        builder_attr_ints(&r->b, n, "ends", &end, 1);
        builder_attr_ints(&r->b, n, "axes", &axis, 1);
    } else {
        const char *starts = random_ints(r, 1, &start), *ends = random_ints(r, 1, &end);
        const char *axes = random_ints(r, 1, &axis), *steps = random_ints(r, 1, &step);
        random_node(r, "Slice", name, step > 1 ? "%s %s %s %s %s" : "%s %s %s %s", x->name, starts, ends,
                    axes, steps);
    }
    random_offer(r, name, x)->dims[axis] = (to - from + step - 1) / step;
    return true;
}

/* Some indices of an axis in any order, or one of them without its axis. */
static inline bool step_gather(struct random_graph *r, const struct random_value *x) {
    size_t axis = 1 + random_below(r, (uint32_t)x->rank - 1);
    int64_t picked[8], count = 2 + random_below(r, 6);
    bool one = x->rank > 2 && random_chance(r, 30);
    for (int64_t i = 0; i < count; i++) {
        picked[i] = random_below(r, (uint32_t)x->dims[axis]);
    }
    const char *indices = one ? random_scalar(r, picked[0]) : random_ints(r, (size_t)count, picked);
    Onnx__NodeProto *n = random_node(r, "Gather", random_name(r), "%s %s", x->name, indices);
    builder_attr_int(&r->b, n, "axis", (int64_t)axis);
    struct random_value *y = random_offer(r, n->output[0], x);
    y->dims[axis] = count;
    if (one) {
        y->rank--;
        memmove(y->dims + axis, x->dims + axis + 1, (y->rank - axis) * sizeof(*y->dims));
    }
    r->neutral = false; /* what is picked may go where what it is picked from stays */
    return true;
}

/* --- more elements --- */

static inline bool step_pad(struct random_graph *r, const struct random_value *x) {
    if (x->rank != 4) {
        return false;
    }
    int64_t pads[8] = {0, 0, 1, 0, 0, 0, 0, 1};
    if (random_chance(r, 15)) {
        pads[1] = 1;
    }
    const char *name = random_name(r);
    if (r->opset < 11) {
        builder_attr_ints(&r->b, random_node(r, "Pad", name, "%s", x->name), "pads", pads, 8);
    } else {
        random_node(r, "Pad", name, "%s %s", x->name, random_ints(r, 8, pads));
    }
    struct random_value *y = random_offer(r, name, x);
    for (size_t i = 1; i < 4; i++) {
        y->dims[i] += pads[i] + pads[4 + i];
    }
    return true;
}

static inline bool step_tile(struct random_graph *r, const struct random_value *x) {
    int64_t repeats[RANDOM_RANK] = {1, 1, 1, 1};
    size_t axis = 1 + random_below(r, (uint32_t)x->rank - 1);
    if (x->dims[axis] > 12) {
        return false;
    }
    repeats[axis] = 2;
    const char *y = RANDOM_OP(r, "Tile", "%s %s", x->name, random_ints(r, x->rank, repeats));
    random_offer(r, y, x)->dims[axis] *= 2;
    return true;
}

/* An axis of one index becomes one of three. */
static inline bool step_expand(struct random_graph *r, const struct random_value *x) {
    int64_t shape[RANDOM_RANK];
    size_t at = 0;
    for (size_t i = 1; i < x->rank; i++) {
        shape[i] = random_chance(r, 50) ? 1 : x->dims[i];
        at = x->dims[i] == 1 ? i : at;
    }
    if (!at) {
        return false;
    }
    shape[0] = 1;
    shape[at] = 3;
    const char *y = RANDOM_OP(r, "Expand", "%s %s", x->name, random_ints(r, x->rank, shape));
    random_offer(r, y, x)->dims[at] = 3;
    r->neutral = false; /* nothing makes the copies one by one */
    return true;
}

static inline bool step_resize(struct random_graph *r, const struct random_value *x) {
    const float scales[] = {1, 1, 2, 2};
    const int64_t four = 4;
    if (x->rank != 4 || r->opset < 11 || random_elements(x) > RANDOM_ELEMENTS_MAX / 4) {
        return false;
    }
    const char *s = random_name(r), *roi = random_name(r);
    builder_floats(&r->b, s, &four, 1, scales);
    builder_floats(&r->b, roi, (int64_t[]){0}, 1, scales);
    struct random_value *y = random_offer(r, RANDOM_OP(r, "Resize", "%s %s %s", x->name, roi, s), x);
    y->dims[2] *= 2;
    y->dims[3] *= 2;
    return true;
}

static inline bool step_depth_to_space(struct random_graph *r, const struct random_value *x) {
    if (x->rank != 4 || x->dims[1] % 4 != 0) {
        return false;
    }
    Onnx__NodeProto *n = random_node(r, "DepthToSpace", random_name(r), "%s", x->name);
    builder_attr_int(&r->b, n, "blocksize", 2);
    if (r->opset >= 11 && random_chance(r, 50)) {
        Onnx__AttributeProto *a =
            builder_attr(&r->b, n, "mode", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING);
        a->has_s = 1;
        a->s.data = (uint8_t *)arena_strdup(r->b.arena, "CRD");
        a->s.len = 3;
    }
    struct random_value *y = random_offer(r, n->output[0], x);
    y->dims[1] /= 4;
    y->dims[2] *= 2;
    y->dims[3] *= 2;
    return true;
}

static inline bool step_space_to_depth(struct random_graph *r, const struct random_value *x) {
    if (x->rank != 4 || x->dims[2] % 2 != 0 || x->dims[3] % 2 != 0 || x->dims[1] > 8) {
        return false;
    }
    Onnx__NodeProto *n = random_node(r, "SpaceToDepth", random_name(r), "%s", x->name);
    builder_attr_int(&r->b, n, "blocksize", 2);
    struct random_value *y = random_offer(r, n->output[0], x);
    y->dims[1] *= 4;
    y->dims[2] /= 2;
    y->dims[3] /= 2;
    return true;
}
