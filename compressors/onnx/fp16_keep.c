#include "compressors/onnx/fp16_keep.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const float HALF_MAX = 65504.0f, HALF_MIN_NORMAL = 6.103515625e-5f, STANDS_FOR_INFINITY = 1e30f;

/* Rounding to float16 overflows from here on: half a step above the largest number. */
static const float HALF_OVERFLOW = 65520.0f;

static const struct {
    const char *op_type, *why;
} kept[] = {
    {"Bernoulli", "random numbers"},
    {"Celu", "not defined for float16"},
    {"ConstantOfShape", "its value is float32"},
    {"CumSum", "a sum over many elements"},
    {"DequantizeLinear", "its scales are float32"},
    {"DynamicQuantizeLinear", "not defined for float16"},
    {"EyeLike", "its type is an attribute"},
    {"Exp", "its values grow beyond float16"},
    {"If", "its subgraphs stay as they are"},
    {"IsInf", "not defined for float16"},
    {"Log", "small values lose their precision"},
    {"Loop", "its subgraphs stay as they are"},
    {"MelWeightMatrix", "not defined for float16"},
    {"NonMaxSuppression", "not defined for float16"},
    {"Pow", "its values grow beyond float16"},
    {"QuantizeLinear", "its scales are float32"},
    {"RandomNormal", "random numbers"},
    {"RandomNormalLike", "random numbers"},
    {"RandomUniform", "random numbers"},
    {"RandomUniformLike", "random numbers"},
    {"Range", "not defined for float16"},
    {"ReduceL1", "a sum over many elements"},
    {"ReduceL2", "a sum of squares"},
    {"ReduceLogSum", "a sum over many elements"},
    {"ReduceLogSumExp", "a sum of exponentials"},
    {"ReduceProd", "its values grow beyond float16"},
    {"ReduceSum", "a sum over many elements"},
    {"ReduceSumSquare", "a sum of squares"},
    {"Resize", "its scales are float32"},
    {"RoiAlign", "coordinates need more than 11 bits"},
    {"Scan", "its subgraphs stay as they are"},
    {"SequenceAt", "sequences stay as they are"},
    {"SequenceConstruct", "sequences stay as they are"},
    {"SequenceEmpty", "sequences stay as they are"},
    {"SequenceErase", "sequences stay as they are"},
    {"SequenceInsert", "sequences stay as they are"},
    {"SplitToSequence", "sequences stay as they are"},
    {"ConcatFromSequence", "sequences stay as they are"},
    {"TfIdfVectorizer", "not defined for float16"},
    {"Upsample", "its scales are float32"},
};

enum fp16_fit fp16_fit_of(const float *values, size_t count) {
    enum fp16_fit fit = FP16_FITS;
    for (size_t i = 0; i < count; i++) {
        float m = fabsf(values[i]);
        if (isfinite(m) && m >= HALF_OVERFLOW && m < STANDS_FOR_INFINITY) {
            return FP16_TOO_LARGE;
        }
        if (isfinite(m) && m > HALF_MAX && m >= STANDS_FOR_INFINITY) {
            fit = FP16_SATURATES;
        }
    }
    bool small = count == 1 && values[0] != 0.0f && fabsf(values[0]) < HALF_MIN_NORMAL;
    return small ? FP16_TOO_SMALL : fit;
}

/* Mul of a value with itself. */
static bool is_square(const struct graph_node *n) {
    return graph_is_op(n, "Mul") && n->proto->n_input == 2 &&
           strcmp(n->proto->input[0], n->proto->input[1]) == 0;
}

/* A mean of squares, as in layer normalisation. */
static bool is_mean_of_squares(const struct graph *g, const struct graph_node *n) {
    const struct graph_value *x = graph_input(g, n, 0);
    return graph_is_op(n, "ReduceMean") && x && x->producer &&
           (is_square(x->producer) || graph_is_op(x->producer, "Pow"));
}

/* The square root of a mean of squares plus an epsilon. */
static bool is_root_of_mean(const struct graph *g, const struct graph_node *n) {
    const struct graph_value *x = graph_input(g, n, 0);
    const struct graph_node *sum = graph_is_op(n, "Sqrt") && x ? x->producer : NULL;
    for (size_t i = 0; sum && i < sum->proto->n_input; i++) {
        const struct graph_value *part = graph_input(g, sum, i);
        if (part && part->producer && is_mean_of_squares(g, part->producer)) {
            return true;
        }
    }
    return false;
}

static const char *constant_reason(const struct graph *g, const struct graph_node *n) {
    for (size_t i = 0; i < n->proto->n_input; i++) {
        const Onnx__TensorProto *t = graph_constant(g, graph_input(g, n, i));
        float *values;
        size_t count;
        if (!t || t->data_type != GRAPH_FLOAT32 ||
            graph_tensor_floats(g, t, &values, &count, NULL) != RC_OK) {
            continue;
        }
        enum fp16_fit fit = fp16_fit_of(values, count);
        free(values);
        if (fit == FP16_TOO_LARGE || fit == FP16_TOO_SMALL) {
            return fit == FP16_TOO_LARGE ? "a constant is above 65,504, float16's largest number"
                                         : "a constant is below 6.1e-5, float16's least normal number";
        }
    }
    return NULL;
}

const char *fp16_keep_reason(const struct graph *g, const struct graph_node *n) {
    if (!graph_is_op(n, n->proto->op_type)) {
        return "an operator outside ONNX's own set";
    }
    if (graph_has_subgraph(n)) {
        return "its subgraphs stay as they are";
    }
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
        if (graph_is_op(n, kept[i].op_type)) {
            return kept[i].why;
        }
    }
    if (is_square(n)) {
        return "a square";
    }
    if (is_mean_of_squares(g, n) || is_root_of_mean(g, n)) {
        return "part of the root of a mean of squares";
    }
    return constant_reason(g, n);
}
