/* operator_work.c -- see operator_work.h. A product of A [.., m, k] by B [.., k, n] has m n outputs of k
 * products each, and A has m k elements: so k = A n / output, whether or not a matrix lies transposed. A
 * convolution's output elements take all weights of their channel: weights / channels products each (groups
 * need no care, as the weights hold only the inputs of their group). */
#include "profiler/worker/operator_work.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "core/base/container.h"

enum form { FORM_PRODUCT, FORM_CONVOLUTION, FORM_TRANSPOSED_CONVOLUTION, FORM_LOOKUP, FORM_NOT_KNOWN };

static const struct {
    const char *op;
    enum form form;
} forms[] = {
    {"MatMul", FORM_PRODUCT},
    {"Gemm", FORM_PRODUCT},
    {"FusedMatMul", FORM_PRODUCT},
    {"FusedGemm", FORM_PRODUCT},
    {"FusedMatMulActivation", FORM_PRODUCT},
    {"MatMulInteger", FORM_PRODUCT},
    {"MatMulIntegerToFloat", FORM_PRODUCT},
    {"DynamicQuantizeMatMul", FORM_PRODUCT},
    {"QLinearMatMul", FORM_PRODUCT},
    {"QGemm", FORM_PRODUCT},
    {"MatMulNBits", FORM_PRODUCT},
    {"MatMulBnb4", FORM_PRODUCT},
    {"MatMulFpQ4", FORM_PRODUCT},
    {"Conv", FORM_CONVOLUTION},
    {"FusedConv", FORM_CONVOLUTION},
    {"NhwcFusedConv", FORM_CONVOLUTION},
    {"NhwcConv", FORM_CONVOLUTION},
    {"QLinearConv", FORM_CONVOLUTION},
    {"ConvInteger", FORM_CONVOLUTION},
    {"ConvTranspose", FORM_TRANSPOSED_CONVOLUTION},
    {"Gather", FORM_LOOKUP},
    {"GatherElements", FORM_LOOKUP},
    {"GatherND", FORM_LOOKUP},
    {"GatherBlockQuantized", FORM_LOOKUP},
    {"Attention", FORM_NOT_KNOWN},
    {"QAttention", FORM_NOT_KNOWN},
    {"MultiHeadAttention", FORM_NOT_KNOWN},
    {"GroupQueryAttention", FORM_NOT_KNOWN},
    {"Einsum", FORM_NOT_KNOWN},
    {"LSTM", FORM_NOT_KNOWN},
    {"GRU", FORM_NOT_KNOWN},
    {"RNN", FORM_NOT_KNOWN},
    {"DynamicQuantizeLSTM", FORM_NOT_KNOWN},
};

static const enum form *form_of(const char *op) {
    for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
        if (strcmp(forms[i].op, op) == 0) {
            return &forms[i].form;
        }
    }
    return NULL;
}

double operator_work_macs(const struct operator_shape *s) {
    const enum form *form = form_of(s->op);
    bool weighted = s->weights > 0 && s->weights_first_dim > 0;
    if (!form || *form == FORM_LOOKUP) {
        return 0;
    }
    switch (*form) {
    case FORM_PRODUCT:
        return s->first_output > 0 && s->first_input > 0
                   ? s->first_output * (s->first_input * s->last_dim / s->first_output)
                   : NAN;
    case FORM_CONVOLUTION:
        return weighted && s->first_output > 0 ? s->first_output * s->weights / s->weights_first_dim : NAN;
    case FORM_TRANSPOSED_CONVOLUTION:
        return weighted && s->first_input > 0 ? s->first_input * s->weights / s->weights_first_dim : NAN;
    default:
        return NAN;
    }
}

bool operator_work_is_product(const char *op) {
    const enum form *form = form_of(op);
    return form && *form != FORM_LOOKUP;
}

bool operator_work_is_lookup(const char *op) {
    const enum form *form = form_of(op);
    return form && *form == FORM_LOOKUP;
}
