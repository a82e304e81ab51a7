/* int8_plan.h -- which nodes of a graph int8:static computes with 8 bits, and which activations get a range
 * for that.
 *
 * A quantized node reads 8-bit activations. Convolutions, pools and sums of them also write 8 bits: between
 * them activations stay in 8 bits ("islands"), because the runtime has no convolution from 8 bits to float.
 * Matrix products write float32: in transformers the operators around them (norms, softmax, gates) are the
 * ones that 8 bits hurt, and cost little. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "compressors/onnx/graph.h"
#include "core/base/err.h"
#include "core/recipes/record.h"

enum int8_kind {
    INT8_CONV,   /* Conv: weights [out, in / groups, ...], scales on axis 0 */
    INT8_GEMM,   /* Gemm with a constant second factor */
    INT8_MATMUL, /* MatMul with a constant second factor [in, out], scales on axis 1 */
    INT8_FLOW,   /* no weights: Add, pools, Concat; all float inputs and the output are 8 bits */
};

struct int8_op {
    struct graph_node *node;
    enum int8_kind kind;
    size_t input;                /* index of the tensor it reads; not used for INT8_FLOW */
    size_t weight_axis;          /* of the weights: the axis of output channels; 0 for INT8_FLOW */
    struct graph_value *weights; /* NULL for INT8_FLOW */
    struct graph_value *bias;    /* constant; NULL when there is none */
};

/* An activation that is quantized. */
struct int8_tensor {
    struct graph_value *value;
    bool everywhere; /* all that read it get the 8-bit value: its producer writes 8 bits. Otherwise only
                        quantized nodes do. */
    size_t same_as; /* index of the tensor whose values these are (reshaped, pooled by maximum); SIZE_MAX: its
                       own range */
};

struct int8_plan {
    struct int8_op *ops; /* in the order of the graph */
    size_t op_count;
    struct int8_tensor *tensors; /* in the order in which the ops need them */
    size_t tensor_count;
};

/* Values and nodes that must stay as they are, found on the way. */
struct int8_ban {
    const struct graph_value **values;
    size_t count, capacity;
};
MUST_USE enum rc int8_ban_add(struct int8_ban *b, const struct graph_value *v, struct err *err);
bool int8_ban_has(const struct int8_ban *b, const struct graph_value *v);
void int8_ban_release(struct int8_ban *b);

/* Makes a graph ready for planning: constants and batch normalizations folded, nodes in order, types
 * inferred.
 */
MUST_USE enum rc int8_plan_prepare(struct graph *g, struct err *err);

/* Fills an empty plan for a sorted graph whose types are inferred. A node that reads or writes a banned value
 * through 8 bits is left out; a node whose weights are banned too. `record` (may be NULL) is told which nodes
 * with weights are left alone and why. The caller releases the plan, also after a failure. */
MUST_USE enum rc int8_plan_make(struct graph *g, const struct int8_ban *ban, struct record *record,
                                struct int8_plan *plan, struct err *err);
void int8_plan_release(struct int8_plan *plan);

/* Index of the tensor of that value, SIZE_MAX when it is not quantized. */
size_t int8_plan_find(const struct int8_plan *plan, const struct graph_value *v);
/* The op of that node, or NULL. */
const struct int8_op *int8_plan_op(const struct int8_plan *plan, const struct graph_node *n);
