/* backward_rules.h -- what each operator adds to the derivatives by its inputs; between backward.c and the
 * files of rules. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compressors/onnx/graph_emit.h"
#include "compressors/onnx/graph_shapes.h"

struct backward {
    struct graph_emitter e;
    const struct graph_shapes *shapes;
    const char **gradients; /* by index of the value (graph_shapes_index): what is known of it so far */
    bool *needed;           /* by index: it depends on something wanted */
    size_t value_count;
};

/* Gives (backward_give) the inputs of `n` their part of the derivative; `gy` is that by its first output. */
typedef void backward_rule(struct backward *b, const struct graph_node *n, const char *gy);

/* The rule for n, or NULL. */
backward_rule *backward_rule_of(const struct graph_node *n);

/* Whether the derivative by input `slot` of n is needed. */
bool backward_wants(const struct backward *b, const struct graph_node *n, size_t slot);
/* Adds gx, in the shape of the input, to the derivative by it. */
void backward_give(struct backward *b, const struct graph_node *n, size_t slot, const char *gx);
/* The same for gx in a shape dims[rank] that the input was repeated to: it is summed over the repetitions. */
void backward_give_sum(struct backward *b, const struct graph_node *n, size_t slot, const char *gx,
                       const int64_t *dims, size_t rank);
/* The same for the shape of n's first output. */
void backward_give_broadcast(struct backward *b, const struct graph_node *n, size_t slot, const char *gx);

/* The derivative so far by output `slot` of n; NULL: none. */
const char *backward_gradient(const struct backward *b, const struct graph_node *n, size_t slot);

/* Ends it with RC_UNSUPPORTED: "node X: why". */
void backward_refuse(struct backward *b, const struct graph_node *n, const char *why);

/* Names of input `slot` of n, of its first output; their dims, or NULL and a refusal where they are not
 * known. */
const char *backward_x(const struct graph_node *n, size_t slot);
const char *backward_y(const struct graph_node *n);
const int64_t *backward_dims_in(struct backward *b, const struct graph_node *n, size_t slot, size_t *rank);
const int64_t *backward_dims_out(struct backward *b, const struct graph_node *n, size_t *rank);

/* Attribute `name`, an axis of a value of that rank, from 0; 0 and a refusal where there is no such axis. */
int64_t backward_axis(struct backward *b, const struct graph_node *n, const char *name, int64_t absent,
                      size_t rank);

/* zeros[places] += values along the axis, all of one rank: ScatterElements; refuses n in operator sets
 * without it. */
const char *backward_scatter(struct backward *b, const struct graph_node *n, const char *zeros,
                             const char *places, const char *values, int64_t axis);

/* backward_rules_math.c */
void backward_add(struct backward *b, const struct graph_node *n, const char *gy);
void backward_sub(struct backward *b, const struct graph_node *n, const char *gy);
void backward_mul(struct backward *b, const struct graph_node *n, const char *gy);
void backward_div(struct backward *b, const struct graph_node *n, const char *gy);
void backward_pow(struct backward *b, const struct graph_node *n, const char *gy);
void backward_where(struct backward *b, const struct graph_node *n, const char *gy);
void backward_extreme(struct backward *b, const struct graph_node *n, const char *gy);
void backward_neg(struct backward *b, const struct graph_node *n, const char *gy);
void backward_abs(struct backward *b, const struct graph_node *n, const char *gy);
void backward_exp(struct backward *b, const struct graph_node *n, const char *gy);
void backward_log(struct backward *b, const struct graph_node *n, const char *gy);
void backward_sqrt(struct backward *b, const struct graph_node *n, const char *gy);
void backward_reciprocal(struct backward *b, const struct graph_node *n, const char *gy);

/* backward_rules_activation.c */
void backward_relu(struct backward *b, const struct graph_node *n, const char *gy);
void backward_leaky_relu(struct backward *b, const struct graph_node *n, const char *gy);
void backward_prelu(struct backward *b, const struct graph_node *n, const char *gy);
void backward_elu(struct backward *b, const struct graph_node *n, const char *gy);
void backward_softplus(struct backward *b, const struct graph_node *n, const char *gy);
void backward_clip(struct backward *b, const struct graph_node *n, const char *gy);
void backward_sigmoid(struct backward *b, const struct graph_node *n, const char *gy);
void backward_hard_sigmoid(struct backward *b, const struct graph_node *n, const char *gy);
void backward_hard_swish(struct backward *b, const struct graph_node *n, const char *gy);
void backward_tanh(struct backward *b, const struct graph_node *n, const char *gy);
void backward_erf(struct backward *b, const struct graph_node *n, const char *gy);
void backward_gelu(struct backward *b, const struct graph_node *n, const char *gy);
void backward_softmax(struct backward *b, const struct graph_node *n, const char *gy);
void backward_log_softmax(struct backward *b, const struct graph_node *n, const char *gy);

/* backward_rules_product.c */
void backward_conv(struct backward *b, const struct graph_node *n, const char *gy);
void backward_conv_transpose(struct backward *b, const struct graph_node *n, const char *gy);
void backward_matmul(struct backward *b, const struct graph_node *n, const char *gy);
void backward_gemm(struct backward *b, const struct graph_node *n, const char *gy);

/* backward_rules_reduce.c */
void backward_reduce_sum(struct backward *b, const struct graph_node *n, const char *gy);
void backward_reduce_mean(struct backward *b, const struct graph_node *n, const char *gy);
void backward_global_average_pool(struct backward *b, const struct graph_node *n, const char *gy);
void backward_average_pool(struct backward *b, const struct graph_node *n, const char *gy);
void backward_max_pool(struct backward *b, const struct graph_node *n, const char *gy);
void backward_layer_norm(struct backward *b, const struct graph_node *n, const char *gy);
void backward_batch_norm(struct backward *b, const struct graph_node *n, const char *gy);

/* backward_rules_shape.c */
void backward_same(struct backward *b, const struct graph_node *n, const char *gy);
void backward_reshape(struct backward *b, const struct graph_node *n, const char *gy);
void backward_transpose(struct backward *b, const struct graph_node *n, const char *gy);
void backward_expand(struct backward *b, const struct graph_node *n, const char *gy);
void backward_tile(struct backward *b, const struct graph_node *n, const char *gy);
void backward_concat(struct backward *b, const struct graph_node *n, const char *gy);
void backward_split(struct backward *b, const struct graph_node *n, const char *gy);
void backward_slice(struct backward *b, const struct graph_node *n, const char *gy);
void backward_gather(struct backward *b, const struct graph_node *n, const char *gy);
void backward_pad(struct backward *b, const struct graph_node *n, const char *gy);
