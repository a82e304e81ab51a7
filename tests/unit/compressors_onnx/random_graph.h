/* random_graph.h -- valid ONNX graphs from a seed: what steps (random_steps.h) build on.
 *
 * A graph grows value by value. Axis 0 of each is the batch. Every step takes a value that is there, adds
 * nodes and offers what they make; at the end layers with weights read whatever nothing reads yet, and give
 * the outputs. Nodes are named after the step that made them. */
#pragma once

#include <math.h>
#include <stdarg.h>

#include "tests/unit/compressors_onnx/int8_fixture.h"

enum {
    RANDOM_VALUES_MAX = 96,
    RANDOM_WEIGHTS_MAX = 96,
    RANDOM_RANK = 4,
    RANDOM_ELEMENTS_MAX = 2048, /* of a value, without the batch */
    RANDOM_STEP_NODES = 48,
    RANDOM_OUTPUT_NODES = 4,
    RANDOM_TRIES = 400,
};

struct random_value {
    const char *name;
    size_t rank; /* 2 to RANDOM_RANK */
    int64_t dims[RANDOM_RANK];
    bool is_read;
    size_t channels; /* the only axis that weights make; 0: any may be */
};

/* A weight that a later node may share. */
struct random_weight {
    const char *name;
    size_t rank, summed; /* `summed`: the axis that products sum over */
    int64_t dims[RANDOM_RANK];
};

struct random_graph {
    struct builder b;
    uint32_t state;
    int64_t opset;
    const char *step; /* whose nodes are being made */
    size_t names;
    struct random_value values[RANDOM_VALUES_MAX];
    size_t value_count;
    struct random_weight weights[RANDOM_WEIGHTS_MAX];
    size_t weight_count;
    bool neutral; /* channels of zero weights stay zero until a product reads them */
};

/* --- chance --- */

static inline uint32_t random_below(struct random_graph *r, uint32_t n) {
    return noise_next(&r->state) % n;
}

static inline bool random_chance(struct random_graph *r, uint32_t percent) {
    return random_below(r, 100) < percent;
}

/* A divisor of n from 2 to most, or 1 where there is none. */
static inline int64_t random_divisor(struct random_graph *r, int64_t n, int64_t most) {
    int64_t found = 1;
    uint32_t seen = 0;
    for (int64_t d = 2; d <= most && d <= n; d++) {
        if (n % d == 0 && random_below(r, ++seen) == 0) {
            found = d;
        }
    }
    return found;
}

/* How many channels a layer makes: mostly numbers with divisors, which splits, groups and heads need. */
static inline int64_t random_width(struct random_graph *r) {
    static const uint8_t widths[] = {4, 6, 8, 12, 12, 16, 3, 7};
    return widths[random_below(r, sizeof(widths))];
}

/* --- values --- */

static inline const char *random_name(struct random_graph *r) {
    return arena_printf(r->b.arena, "v%zu", r->names++);
}

static inline size_t random_elements(const struct random_value *x) {
    size_t n = 1;
    for (size_t i = 1; i < x->rank; i++) {
        n *= (size_t)x->dims[i];
    }
    return n;
}

/* True when nothing but axis `axis` of x can have channels: what is added along it is not added to others. */
static inline bool random_only_channels(const struct random_value *x, size_t axis) {
    return x->rank == 2 || x->channels == axis;
}

/* False, mostly, where a layer that sums over `axis` would do something else to the axis with the channels.
 */
static inline bool random_suits(struct random_graph *r, const struct random_value *x, size_t axis) {
    return x->rank == 2 || x->channels == axis || random_chance(r, x->channels ? 8 : 60);
}

/* Where a value made of one with channels on axis a and one with channels on axis b can have them. */
static inline size_t random_channels_of_both(size_t a, size_t b) {
    return a == b ? a : 0;
}

/* Offers `name`, of x's shape, to the steps that follow; returns it so that its shape can be changed. */
static inline struct random_value *random_offer(struct random_graph *r, const char *name,
                                                const struct random_value *x) {
    assert_true(r->value_count < RANDOM_VALUES_MAX);
    struct random_value *v = &r->values[r->value_count++];
    *v = *x;
    v->name = name;
    v->is_read = false;
    return v;
}

/* Another value of x's rank whose axes are as long, but for `except` (0: all). NULL when there is none. */
static inline struct random_value *random_peer(struct random_graph *r, const struct random_value *x,
                                               size_t except) {
    struct random_value *found = NULL;
    uint32_t seen = 0;
    for (size_t i = 0; i < r->value_count; i++) {
        struct random_value *v = &r->values[i];
        bool fits = v != x && v->rank == x->rank;
        for (size_t k = 1; k < x->rank; k++) {
            fits = fits && (k == except || v->dims[k] == x->dims[k]);
        }
        if (fits && random_below(r, ++seen) == 0) {
            found = v;
        }
    }
    return found;
}

/* --- nodes --- */

/* Adds a node; `inputs`, a format, names what it reads, "-" for what is left out. Returns it. */
__attribute__((format(printf, 4, 5))) static inline Onnx__NodeProto *
random_node(struct random_graph *r, const char *op_type, const char *output, const char *inputs, ...) {
    char text[512];
    va_list args;
    va_start(args, inputs);
    vsnprintf(text, sizeof(text), inputs, args);
    va_end(args);
    Onnx__NodeProto *n = builder_node(&r->b, op_type, text, output);
    n->name = arena_printf(r->b.arena, "%s.%zu", r->step, r->b.graph.n_node);
    for (size_t i = 0; i < r->value_count; i++) {
        for (size_t k = 0; k < n->n_input; k++) {
            r->values[i].is_read |= strcmp(n->input[k], r->values[i].name) == 0;
        }
    }
    return n;
}

/* The same with a name made for the only output, which is returned. */
#define RANDOM_OP(r, op_type, ...) random_op_name(random_node(r, op_type, random_name(r), __VA_ARGS__))
static inline const char *random_op_name(const Onnx__NodeProto *n) {
    return n->output[0];
}

static inline const char *random_ints(struct random_graph *r, size_t count, const int64_t *values) {
    const int64_t n = (int64_t)count;
    const char *name = random_name(r);
    builder_tensor(&r->b, name, GRAPH_INT64, &n, 1, values, count * sizeof(*values));
    return name;
}

static inline const char *random_scalar(struct random_graph *r, int64_t value) {
    const char *name = random_name(r);
    builder_tensor(&r->b, name, GRAPH_INT64, NULL, 0, &value, sizeof(value));
    return name;
}

/* Uniform in middle +- spread. */
static inline const char *random_floats(struct random_graph *r, size_t rank, const int64_t *dims,
                                        float middle, float spread) {
    static float values[1 << 16];
    size_t count = 1;
    for (size_t i = 0; i < rank; i++) {
        count *= (size_t)dims[i];
    }
    assert_true(count <= sizeof(values) / sizeof(values[0]));
    for (size_t i = 0; i < count; i++) {
        values[i] = middle + spread * noise(&r->state);
    }
    const char *name = random_name(r);
    builder_floats(&r->b, name, dims, rank, values);
    return name;
}

/* Weights that a product sums over axis `summed` of and over all but axis `made`; sometimes those that
 * another node has. */
static inline const char *random_weights(struct random_graph *r, size_t rank, const int64_t *dims,
                                         size_t summed, size_t made) {
    size_t summands = 1;
    for (size_t i = 0; i < r->weight_count; i++) {
        const struct random_weight *w = &r->weights[i];
        if (w->rank == rank && memcmp(w->dims, dims, rank * sizeof(*dims)) == 0 && random_chance(r, 40)) {
            r->neutral = r->neutral && w->summed == summed;
            return w->name;
        }
    }
    for (size_t i = 0; i < rank; i++) {
        summands *= i == made ? 1 : (size_t)dims[i];
    }
    const char *name = random_floats(r, rank, dims, 0, 1.7F / sqrtf((float)summands));
    if (r->weight_count < RANDOM_WEIGHTS_MAX) {
        struct random_weight *w = &r->weights[r->weight_count++];
        *w = (struct random_weight){.name = name, .rank = rank, .summed = summed};
        memcpy(w->dims, dims, rank * sizeof(*dims));
    }
    return name;
}

/* Axes as the opset wants them: an attribute before opset `since`, then an input. */
static inline const char *random_axes_op(struct random_graph *r, const char *op_type, const char *x,
                                         int64_t since, size_t count, const int64_t *axes,
                                         Onnx__NodeProto **node) {
    const char *name = random_name(r);
    if (r->opset < since) {
        *node = random_node(r, op_type, name, "%s", x);
        builder_attr_ints(&r->b, *node, "axes", axes, count);
    } else {
        *node = random_node(r, op_type, name, "%s %s", x, random_ints(r, count, axes));
    }
    return name;
}

static inline const char *random_reshape(struct random_graph *r, const char *x, size_t rank,
                                         const int64_t *dims) {
    return RANDOM_OP(r, "Reshape", "%s %s", x, random_ints(r, rank, dims));
}

static inline const char *random_transpose(struct random_graph *r, const char *x, size_t rank,
                                           const int64_t *perm) {
    Onnx__NodeProto *n = random_node(r, "Transpose", random_name(r), "%s", x);
    builder_attr_ints(&r->b, n, "perm", perm, rank);
    return n->output[0];
}

/* A constant with one number an index of axis `axis` of x, shaped so that it is broadcast to x. */
static inline const char *random_vector(struct random_graph *r, const struct random_value *x, size_t axis,
                                        float middle, float spread) {
    int64_t dims[RANDOM_RANK] = {1, 1, 1, 1};
    size_t from = random_chance(r, 50) ? axis : 0; /* leading ones may be left out */
    dims[axis - from] = x->dims[axis];
    return random_floats(r, x->rank - from, dims, middle, spread);
}
