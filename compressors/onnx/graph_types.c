/* Element types of values, from the operators' definitions (docs/Operators.md of ONNX, opsets 1 to 23). Most
 * operators give their first input's type; the table below holds the others. No shapes: those are the
 * runtime's business. */
#include <string.h>

#include "compressors/onnx/graph_internal.h"

enum rule {
    INPUT_0, /* the default */
    INPUT_1,
    INPUT_2,
    INPUT_7,
    FIXED,       /* types[slot], the last one repeated */
    ATTRIBUTE,   /* the int attribute `attr`, or types[0] (GRAPH_UNKNOWN: input 0) */
    CONSTANT,    /* Constant */
    FILL,        /* ConstantOfShape */
    QUANTIZE,    /* QuantizeLinear: zero point, output_dtype, uint8 */
    INPUT_0_AND, /* slot 0 as input 0, the others types[slot] */
    DECLARED,    /* only what the model says */
};

static const struct op_rule {
    const char *op_type;
    enum rule rule;
    const char *attr;
    int32_t types[3];
} rules[] = {
    {"And", FIXED, NULL, {GRAPH_BOOL}},
    {"ArgMax", FIXED, NULL, {GRAPH_INT64}},
    {"ArgMin", FIXED, NULL, {GRAPH_INT64}},
    {"Bernoulli", ATTRIBUTE, "dtype", {GRAPH_UNKNOWN}},
    {"BlackmanWindow", ATTRIBUTE, "output_datatype", {GRAPH_FLOAT32}},
    {"Cast", ATTRIBUTE, "to", {GRAPH_UNKNOWN}},
    {"CastLike", INPUT_1, NULL, {0}},
    {"ConcatFromSequence", DECLARED, NULL, {0}},
    {"Constant", CONSTANT, NULL, {0}},
    {"ConstantOfShape", FILL, NULL, {0}},
    {"ConvInteger", FIXED, NULL, {GRAPH_INT32}},
    {"DequantizeLinear", INPUT_1, NULL, {0}},
    {"Dropout", INPUT_0_AND, NULL, {0, GRAPH_BOOL}},
    {"DynamicQuantizeLinear", FIXED, NULL, {GRAPH_UINT8, GRAPH_FLOAT32, GRAPH_UINT8}},
    {"Equal", FIXED, NULL, {GRAPH_BOOL}},
    {"EyeLike", ATTRIBUTE, "dtype", {GRAPH_UNKNOWN}},
    {"Greater", FIXED, NULL, {GRAPH_BOOL}},
    {"GreaterOrEqual", FIXED, NULL, {GRAPH_BOOL}},
    {"HammingWindow", ATTRIBUTE, "output_datatype", {GRAPH_FLOAT32}},
    {"HannWindow", ATTRIBUTE, "output_datatype", {GRAPH_FLOAT32}},
    {"If", DECLARED, NULL, {0}},
    {"ImageDecoder", FIXED, NULL, {GRAPH_UINT8}},
    {"IsInf", FIXED, NULL, {GRAPH_BOOL}},
    {"IsNaN", FIXED, NULL, {GRAPH_BOOL}},
    {"LayerNormalization", INPUT_0_AND, NULL, {0, GRAPH_FLOAT32, GRAPH_FLOAT32}},
    {"Less", FIXED, NULL, {GRAPH_BOOL}},
    {"LessOrEqual", FIXED, NULL, {GRAPH_BOOL}},
    {"Loop", DECLARED, NULL, {0}},
    {"MatMulInteger", FIXED, NULL, {GRAPH_INT32}},
    {"MaxPool", INPUT_0_AND, NULL, {0, GRAPH_INT64}},
    {"MelWeightMatrix", ATTRIBUTE, "output_datatype", {GRAPH_FLOAT32}},
    {"Multinomial", ATTRIBUTE, "dtype", {GRAPH_INT32}},
    {"NonMaxSuppression", FIXED, NULL, {GRAPH_INT64}},
    {"NonZero", FIXED, NULL, {GRAPH_INT64}},
    {"Not", FIXED, NULL, {GRAPH_BOOL}},
    {"OneHot", INPUT_2, NULL, {0}},
    {"Optional", DECLARED, NULL, {0}},
    {"OptionalGetElement", DECLARED, NULL, {0}},
    {"OptionalHasElement", FIXED, NULL, {GRAPH_BOOL}},
    {"Or", FIXED, NULL, {GRAPH_BOOL}},
    {"QLinearConv", INPUT_7, NULL, {0}},
    {"QLinearMatMul", INPUT_7, NULL, {0}},
    {"QuantizeLinear", QUANTIZE, NULL, {0}},
    {"RandomNormal", ATTRIBUTE, "dtype", {GRAPH_FLOAT32}},
    {"RandomNormalLike", ATTRIBUTE, "dtype", {GRAPH_UNKNOWN}},
    {"RandomUniform", ATTRIBUTE, "dtype", {GRAPH_FLOAT32}},
    {"RandomUniformLike", ATTRIBUTE, "dtype", {GRAPH_UNKNOWN}},
    {"RegexFullMatch", FIXED, NULL, {GRAPH_BOOL}},
    {"Scan", DECLARED, NULL, {0}},
    {"SequenceAt", DECLARED, NULL, {0}},
    {"SequenceConstruct", DECLARED, NULL, {0}},
    {"SequenceEmpty", DECLARED, NULL, {0}},
    {"SequenceErase", DECLARED, NULL, {0}},
    {"SequenceInsert", DECLARED, NULL, {0}},
    {"SequenceLength", FIXED, NULL, {GRAPH_INT64}},
    {"SequenceMap", DECLARED, NULL, {0}},
    {"Shape", FIXED, NULL, {GRAPH_INT64}},
    {"Size", FIXED, NULL, {GRAPH_INT64}},
    {"SplitToSequence", DECLARED, NULL, {0}},
    {"StringSplit", FIXED, NULL, {GRAPH_STRING, GRAPH_INT64}},
    {"TfIdfVectorizer", FIXED, NULL, {GRAPH_FLOAT32}},
    {"TopK", INPUT_0_AND, NULL, {0, GRAPH_INT64}},
    {"Unique", INPUT_0_AND, NULL, {0, GRAPH_INT64, GRAPH_INT64}},
    {"Where", INPUT_1, NULL, {0}},
    {"Xor", FIXED, NULL, {GRAPH_BOOL}},
};

/* com.microsoft's operators that keep their first input's type. */
static const char *const microsoft_input_0[] = {
    "Attention",
    "BiasGelu",
    "DynamicQuantizeMatMul",
    "FastGelu",
    "FusedConv",
    "FusedGemm",
    "FusedMatMul",
    "Gelu",
    "GroupQueryAttention",
    "MatMulNBits",
    "QuickGelu",
    "RotaryEmbedding",
    "SkipLayerNormalization",
    "SkipSimplifiedLayerNormalization",
};

static const struct op_rule *find_rule(const char *op_type) {
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        if (strcmp(rules[i].op_type, op_type) == 0) {
            return &rules[i];
        }
    }
    return NULL;
}

static int32_t input_type(const struct graph *g, const struct graph_node *n, size_t slot) {
    const struct graph_value *v = graph_input(g, n, slot);
    return v ? v->dtype : GRAPH_UNKNOWN;
}

static int32_t constant_type(const struct graph_node *n) {
    const Onnx__AttributeProto *a = graph_attr(n, "value");
    if (a && a->t) {
        return a->t->data_type;
    }
    if (graph_attr(n, "value_float") || graph_attr(n, "value_floats")) {
        return GRAPH_FLOAT32;
    }
    if (graph_attr(n, "value_int") || graph_attr(n, "value_ints")) {
        return GRAPH_INT64;
    }
    return graph_attr(n, "value_string") || graph_attr(n, "value_strings") ? GRAPH_STRING : GRAPH_UNKNOWN;
}

static int32_t attribute_type(const struct graph *g, const struct graph_node *n, const struct op_rule *r) {
    int64_t type = graph_attr_int(n, r->attr, r->types[0]);
    if (type > 0 && type < INT32_MAX) {
        return (int32_t)type;
    }
    return input_type(g, n, 0);
}

static int32_t quantize_type(const struct graph *g, const struct graph_node *n) {
    int64_t type = graph_attr_int(n, "output_dtype", 0);
    if (graph_input(g, n, 2)) {
        return input_type(g, n, 2);
    }
    return type > 0 && type < INT32_MAX ? (int32_t)type : GRAPH_UINT8;
}

static int32_t fixed_type(const struct op_rule *r, size_t slot) {
    while (slot > 0 && (slot > 2 || r->types[slot] == 0)) {
        slot--;
    }
    return r->types[slot];
}

static int32_t by_rule(const struct graph *g, const struct graph_node *n, const struct op_rule *r,
                       size_t slot) {
    switch (r->rule) {
    case INPUT_1:
        return input_type(g, n, 1);
    case INPUT_2:
        return input_type(g, n, 2);
    case INPUT_7:
        return input_type(g, n, 7);
    case FIXED:
        return fixed_type(r, slot);
    case ATTRIBUTE:
        return attribute_type(g, n, r);
    case CONSTANT:
        return constant_type(n);
    case FILL:
        return graph_attr(n, "value") ? constant_type(n) : GRAPH_FLOAT32;
    case QUANTIZE:
        return quantize_type(g, n);
    case INPUT_0_AND:
        return slot == 0 ? input_type(g, n, 0) : fixed_type(r, slot);
    case DECLARED:
        return GRAPH_UNKNOWN;
    case INPUT_0:
        break;
    }
    return input_type(g, n, 0);
}

static int32_t output_type(const struct graph *g, const struct graph_node *n, size_t slot) {
    const char *op = n->proto->op_type;
    if (graph_is_op(n, op)) {
        const struct op_rule *r = find_rule(op);
        return r ? by_rule(g, n, r, slot) : input_type(g, n, 0);
    }
    for (size_t i = 0; i < sizeof(microsoft_input_0) / sizeof(microsoft_input_0[0]); i++) {
        if (graph_is_op_of(n, "com.microsoft", microsoft_input_0[i])) {
            return input_type(g, n, 0);
        }
    }
    return GRAPH_UNKNOWN;
}

void graph_infer_types(struct graph *g) {
    for (size_t i = 0; i < g->value_count; i++) {
        g->values[i]->dtype = graph_declared_dtype(g->values[i]);
    }
    for (struct graph_node *n = g->first; n; n = n->next) {
        for (size_t slot = 0; slot < n->proto->n_output; slot++) {
            struct graph_value *v = graph_output(g, n, slot);
            int32_t type = v ? output_type(g, n, slot) : GRAPH_UNKNOWN;
            if (type != GRAPH_UNKNOWN) {
                v->dtype = type;
            }
        }
    }
}
