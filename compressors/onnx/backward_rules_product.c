/* Rules of products with weights, and of products of activations. */
#include "compressors/onnx/backward_rules.h"
#include "compressors/onnx/backward_window.h"

void backward_conv(struct backward *b, const struct graph_node *n, const char *gy) {
    struct window w;
    if (backward_wants(b, n, 1) || backward_wants(b, n, 2)) {
        backward_refuse(b, n, "its weights are not constant");
    } else if (backward_window(b, n, &w)) {
        backward_give(b, n, 0, window_spread(&b->e, &w, gy, backward_x(n, 1), graph_attr_int(n, "group", 1)));
    }
}

/* The other way round, a Conv with the same weights, which are [inputs, outputs / group, ..] here. */
void backward_conv_transpose(struct backward *b, const struct graph_node *n, const char *gy) {
    static const char *const attrs[] = {"strides", "pads", "dilations", "kernel_shape"};
    struct graph_emitter *e = &b->e;
    if (backward_wants(b, n, 1) || backward_wants(b, n, 2)) {
        backward_refuse(b, n, "its weights are not constant");
        return;
    }
    if (graph_attr(n, "output_shape") ||
        (graph_attr(n, "auto_pad") && !graph_attr_is(n, "auto_pad", "NOTSET"))) {
        backward_refuse(b, n, "there is no rule for it without explicit pads");
        return;
    }
    struct graph_node *conv = emit_node(e, "Conv", (const char *const[]){gy, backward_x(n, 1)}, 2);
    for (size_t i = 0; i < sizeof(attrs) / sizeof(attrs[0]); i++) {
        size_t count;
        const int64_t *values = graph_attr_ints(n, attrs[i], &count);
        if (values) {
            emit_attr_ints(e, conv, attrs[i], values, count);
        }
    }
    emit_attr_int(e, conv, "group", graph_attr_int(n, "group", 1));
    backward_give(b, n, 0, emit_output(conv));
}

/* The last two axes change places. */
static const char *turned(struct backward *b, const char *x, size_t rank) {
    int64_t perm[GRAPH_MAX_RANK];
    for (size_t i = 0; i < rank; i++) {
        perm[i] = (int64_t)i;
    }
    perm[rank - 2] = (int64_t)rank - 1;
    perm[rank - 1] = (int64_t)rank - 2;
    return emit_transposed(&b->e, x, perm, rank);
}

/* y = a c: by a, g c'; by c, a' g; summed over the batches that a side was repeated for. */
void backward_matmul(struct backward *b, const struct graph_node *n, const char *gy) {
    int64_t dims[GRAPH_MAX_RANK];
    size_t rank = 0, ranks[2] = {0, 0};
    const int64_t *out = backward_dims_out(b, n, &rank);
    const int64_t *in[2] = {backward_dims_in(b, n, 0, &ranks[0]), backward_dims_in(b, n, 1, &ranks[1])};
    if (!out || !in[0] || !in[1]) {
        return;
    }
    if (ranks[0] < 2 || ranks[1] < 2 || rank > GRAPH_MAX_RANK) {
        backward_refuse(b, n, "there is no rule for products with vectors");
        return;
    }
    for (size_t i = 0; i < 2; i++) {
        if (!backward_wants(b, n, i)) {
            continue;
        }
        const char *other = turned(b, backward_x(n, 1 - i), ranks[1 - i]);
        const char *gx = i == 0 ? emit_two(&b->e, "MatMul", gy, other) : emit_two(&b->e, "MatMul", other, gy);
        for (size_t k = 0; k < rank; k++) {
            dims[k] = k + 2 < rank ? out[k] : in[i][ranks[i] + k - rank];
        }
        backward_give_sum(b, n, i, gx, dims, rank);
    }
}

/* y = alpha A C + beta D, where A and C may be stored turned. */
void backward_gemm(struct backward *b, const struct graph_node *n, const char *gy) {
    struct graph_emitter *e = &b->e;
    const float alpha = graph_attr_float(n, "alpha", 1), beta = graph_attr_float(n, "beta", 1);
    const bool turn[2] = {graph_attr_int(n, "transA", 0) != 0, graph_attr_int(n, "transB", 0) != 0};
    for (size_t i = 0; i < 2; i++) {
        if (!backward_wants(b, n, i)) {
            continue;
        }
        const char *other = backward_x(n, 1 - i);
        other = turn[1 - i] ? other : turned(b, other, 2); /* as the product needs it */
        const char *gx = i == 0 ? emit_two(e, "MatMul", gy, other) : emit_two(e, "MatMul", other, gy);
        backward_give(b, n, i, emit_linear(e, turn[i] ? turned(b, gx, 2) : gx, alpha, 0));
    }
    if (backward_wants(b, n, 2)) {
        backward_give_broadcast(b, n, 2, emit_linear(e, gy, beta, 0));
    }
}
