/* random_make.h -- a whole random graph: a start, steps by chance, outputs. */
#pragma once

#include "tests/unit/compressors_onnx/random_moves.h"
#include "tests/unit/compressors_onnx/random_steps.h"

struct random_step {
    const char *name;
    bool (*apply)(struct random_graph *r, const struct random_value *x);
    uint32_t weight; /* how often it is tried */
    bool refuses;    /* what it reads stays whole; of all others, channels must be seen to go through */
};

static const struct random_step random_steps[] = {
    {"conv", step_conv, 6, false},
    {"conv_grouped", step_conv_grouped, 3, false},
    {"conv_depthwise", step_conv_depthwise, 3, false},
    {"conv_transpose", step_conv_transpose, 6, false},
    {"matmul", step_matmul, 3, false},
    {"matmul_left", step_matmul_left, 5, false},
    {"matmul_computed", step_matmul_computed, 1, true},
    {"gemm", step_gemm, 4, false},
    {"gemm_trans_b", step_gemm_trans_b, 4, false},
    {"gemm_trans_a", step_gemm_trans_a, 3, false},
    {"gemm_left", step_gemm_left, 3, false},
    {"gemm_rows", step_gemm_rows, 4, false},
    {"matmul_stacked", step_matmul_stacked, 4, false},
    {"conv_scaled", step_conv_scaled, 2, false},
    {"gemm_tied", step_gemm_tied, 3, false},
    {"batch_norm", step_batch_norm, 3, false},
    {"instance_norm", step_instance_norm, 2, false},
    {"group_norm", step_group_norm, 4, false},
    {"layer_norm", step_layer_norm, 2, false},
    {"softmax", step_softmax, 1, false},
    {"activation", step_activation, 6, false},
    {"activation_of_no_zero", step_activation_of_no_zero, 1, false},
    {"prelu", step_prelu, 2, false},
    {"clip", step_clip, 1, false},
    {"cast", step_cast, 1, false},
    {"binary", step_binary, 8, false},
    {"where", step_where, 5, false},
    {"vector", step_vector, 2, false},
    {"vector_shared", step_vector_shared, 3, false},
    {"broadcast", step_broadcast, 2, false},
    {"residual", step_residual, 3, false},
    {"squeeze_excite", step_squeeze_excite, 2, false},
    {"gated", step_gated, 2, false},
    {"attention", step_attention, 3, false},
    {"attention_fused", step_attention_fused, 3, false},
    {"attention_grouped", step_attention_grouped, 3, false},
    {"pool", step_pool, 3, false},
    {"global_pool", step_global_pool, 4, false},
    {"reduce", step_reduce, 2, false},
    {"flatten", step_flatten, 2, false},
    {"merge_axes", step_merge_axes, 2, false},
    {"split_axis", step_split_axis, 4, false},
    {"refold", step_refold, 1, false},
    {"reshape_computed", step_reshape_computed, 2, false},
    {"squeeze", step_squeeze, 8, false},
    {"unsqueeze", step_unsqueeze, 3, false},
    {"transpose", step_transpose, 2, false},
    {"shuffle", step_shuffle, 4, false},
    {"concat", step_concat, 4, false},
    {"split", step_split, 4, false},
    {"chunk", step_chunk, 3, true},
    {"slice", step_slice, 3, false},
    {"gather", step_gather, 1, false},
    {"pad", step_pad, 4, false},
    {"tile", step_tile, 1, false},
    {"expand", step_expand, 8, false},
    {"resize", step_resize, 5, false},
    {"depth_to_space", step_depth_to_space, 8, false},
    {"space_to_depth", step_space_to_depth, 3, false},
};
enum { RANDOM_STEPS = sizeof(random_steps) / sizeof(random_steps[0]) };

static inline size_t random_pick_step(struct random_graph *r) {
    uint32_t total = 0, i = 0;
    for (size_t k = 0; k < RANDOM_STEPS; k++) {
        total += random_steps[k].weight;
    }
    for (uint32_t at = random_below(r, total); at >= random_steps[i].weight; at -= random_steps[i++].weight) {
    }
    return i;
}

/* The newest value is the likeliest, so that graphs grow deep. */
static inline const struct random_value *random_pick_value(struct random_graph *r) {
    size_t n = r->value_count;
    return &r->values[random_chance(r, 70) ? n - 1 : random_below(r, (uint32_t)n)];
}

/* RANDOM_INPUT_IMAGE: one that noise_dataset() can fill. */
enum random_input { RANDOM_INPUT_ANY, RANDOM_INPUT_IMAGE };

/* The input and, mostly, a layer with weights that the rest starts from: the input's own axes stay. */
static inline void random_start(struct random_graph *r, enum random_input input) {
    struct random_value x = {.name = "x", .rank = 4, .dims = {-1, 3, 8, 8}, .channels = 1};
    r->step = "start";
    uint32_t kind = random_below(r, 10);
    if (input == RANDOM_INPUT_IMAGE) {
        x.dims[1] = 1;
        kind = 9;
    }
    if (kind == 0) { /* an embedding */
        const int64_t ids[] = {-1, 6}, table[] = {20, 8};
        builder_input(&r->b, "ids", GRAPH_INT64, ids, 2);
        x = (struct random_value){.rank = 3, .dims = {-1, 6, 8}, .channels = 2};
        random_offer(r, RANDOM_OP(r, "Gather", "%s ids", random_floats(r, 2, table, 0, 1)), &x);
        return;
    }
    if (kind <= 3) {
        x = (struct random_value){.name = "x", .rank = 3, .dims = {-1, 6, 10}, .channels = 2};
    } else if (kind == 4) {
        x = (struct random_value){.name = "x", .rank = 2, .dims = {-1, 12}};
    }
    builder_input(&r->b, "x", GRAPH_FLOAT32, x.dims, x.rank);
    if (random_chance(r, 85)) {
        assert_true(x.rank == 4 ? step_conv(r, &x) : step_matmul(r, &x));
    } else {
        random_offer(r, "x", &x);
    }
}

/* What is read by nothing goes through weights to an output, or is one itself. */
static inline void random_finish(struct random_graph *r) {
    const struct random_conv pixels = {1, 2, 1, 1};
    size_t count = r->value_count;
    r->step = "finish";
    for (size_t i = 0; i < count; i++) {
        struct random_value *x = &r->values[i];
        const char *y = x->name;
        if (x->is_read && (i == 0 || !random_chance(r, 2))) {
            continue;
        }
        if (!x->is_read && random_chance(r, 93)) {
            if (x->rank > 2 && random_suits(r, x, 1)) {
                random_convolve(r, x, &pixels);
            } else {
                random_offer(r, random_project(r, x, y, x->dims[x->rank - 1], 3), x)->dims[x->rank - 1] = 3;
            }
            /* What cancels to nothing must not be compared with the rounding that is left of it. */
            x = &r->values[r->value_count - 1];
            const char *one = random_floats(r, 1, (int64_t[]){1}, 1, 0);
            x = random_offer(r, RANDOM_OP(r, "Add", "%s %s", x->name, one), x);
        }
        builder_output(&r->b, x->name, GRAPH_FLOAT32, x->dims, x->rank);
    }
}

/* No room for the largest step and for the outputs of all that is not read. */
static inline bool random_is_full(const struct random_graph *r) {
    size_t needed = RANDOM_STEP_NODES;
    for (size_t i = 0; i < r->value_count; i++) {
        needed += r->values[i].is_read ? 0 : RANDOM_OUTPUT_NODES;
    }
    return r->b.graph.n_node + needed > BUILDER_MAX || r->b.graph.n_initializer + needed > BUILDER_MAX;
}

/* Owned by the caller: builder_free(&r->b). */
static inline void random_make(struct random_graph *r, uint32_t seed, enum random_input input) {
    static const int64_t opsets[] = {9, 11, 13, 17, 18, 21};
    memset(r, 0, sizeof(*r));
    r->state = seed * 2654435761U + 12345;
    r->opset = opsets[random_below(r, sizeof(opsets) / sizeof(opsets[0]))];
    r->neutral = true;
    builder_init(&r->b, r->opset);
    random_start(r, input);
    size_t wanted = 3 + random_below(r, 18);
    for (size_t tries = 0; wanted && tries < RANDOM_TRIES; tries++) {
        size_t step = random_pick_step(r);
        const struct random_value *x = random_pick_value(r);
        if (random_is_full(r)) {
            break;
        }
        if (random_elements(x) * 2 <= RANDOM_ELEMENTS_MAX) {
            r->step = random_steps[step].name;
            wanted -= random_steps[step].apply(r, x);
        }
    }
    random_finish(r);
}
