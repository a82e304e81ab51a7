#include "compressors/onnx/backward_rules.h"

#include "core/base/container.h"

static const struct {
    const char *op;
    backward_rule *rule;
} rules[] = {
    {"Abs", backward_abs},
    {"Add", backward_add},
    {"AveragePool", backward_average_pool},
    {"BatchNormalization", backward_batch_norm},
    {"Cast", backward_same}, /* between float32 and float32: others are not derived */
    {"Clip", backward_clip},
    {"Concat", backward_concat},
    {"Conv", backward_conv},
    {"ConvTranspose", backward_conv_transpose},
    {"Div", backward_div},
    {"Dropout", backward_same},
    {"Elu", backward_elu},
    {"Erf", backward_erf},
    {"Exp", backward_exp},
    {"Expand", backward_expand},
    {"Flatten", backward_reshape},
    {"Gather", backward_gather},
    {"Gelu", backward_gelu},
    {"Gemm", backward_gemm},
    {"GlobalAveragePool", backward_global_average_pool},
    {"HardSigmoid", backward_hard_sigmoid},
    {"HardSwish", backward_hard_swish},
    {"Identity", backward_same},
    {"LayerNormalization", backward_layer_norm},
    {"LeakyRelu", backward_leaky_relu},
    {"Log", backward_log},
    {"LogSoftmax", backward_log_softmax},
    {"MatMul", backward_matmul},
    {"Max", backward_extreme},
    {"MaxPool", backward_max_pool},
    {"Min", backward_extreme},
    {"Mul", backward_mul},
    {"Neg", backward_neg},
    {"PRelu", backward_prelu},
    {"Pad", backward_pad},
    {"Pow", backward_pow},
    {"Reciprocal", backward_reciprocal},
    {"ReduceMean", backward_reduce_mean},
    {"ReduceSum", backward_reduce_sum},
    {"Relu", backward_relu},
    {"Reshape", backward_reshape},
    {"Sigmoid", backward_sigmoid},
    {"Slice", backward_slice},
    {"Softmax", backward_softmax},
    {"Softplus", backward_softplus},
    {"Split", backward_split},
    {"Sqrt", backward_sqrt},
    {"Squeeze", backward_reshape},
    {"Sub", backward_sub},
    {"Sum", backward_add},
    {"Tanh", backward_tanh},
    {"Tile", backward_tile},
    {"Transpose", backward_transpose},
    {"Unsqueeze", backward_reshape},
    {"Where", backward_where},
};

backward_rule *backward_rule_of(const struct graph_node *n) {
    for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
        if (graph_is_op(n, rules[i].op)) {
            return rules[i].rule;
        }
    }
    return NULL;
}
