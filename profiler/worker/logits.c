/* logits.c -- see logits.h. */
#include "profiler/worker/logits.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum rc logits_choose(const struct tensor_spec *outputs, size_t count, size_t *ret, struct err *err) {
    for (size_t i = 0; i < count; i++) {
        if (dtype_is_float(outputs[i].dtype) && outputs[i].rank >= 1) {
            *ret = i;
            return RC_OK;
        }
    }
    return err_set(
        err, RC_UNSUPPORTED,
        "the model has no floating-point output to compare with labels (its first output is %s: %s)",
        count > 0 ? outputs[0].name : "missing", count > 0 ? dtype_name(outputs[0].dtype) : "none");
}

static float element(const struct onnxruntime_tensor *tensor, size_t i) {
    switch (tensor->dtype) {
    case DTYPE_FLOAT16:
        return dtype_float_of_half(((const uint16_t *)tensor->data)[i]);
    case DTYPE_BFLOAT16:
        return dtype_float_of_bfloat16(((const uint16_t *)tensor->data)[i]);
    case DTYPE_FLOAT64:
        return (float)((const double *)tensor->data)[i];
    default:
        return 0;
    }
}

static enum rc convert(const struct onnxruntime_tensor *tensor, size_t count, float **room, size_t *room_size,
                       struct err *err) {
    if (count > *room_size) {
        float *grown = realloc(*room, count * sizeof(float));
        if (!grown) {
            return err_memory(err);
        }
        *room = grown;
        *room_size = count;
    }
    for (size_t i = 0; i < count; i++) {
        (*room)[i] = element(tensor, i);
    }
    return RC_OK;
}

enum rc logits_view(const struct onnxruntime_tensor *tensor, size_t batch, float **room, size_t *room_size,
                    struct logits *ret, struct err *err) {
    size_t width = dtype_bytes(tensor->dtype);
    size_t count = width > 0 ? tensor->bytes / width : 0;
    if (tensor->rank < 1 || tensor->dims[0] != (int64_t)batch || count == 0) {
        char shape[SHAPE_TEXT_SIZE];
        dtype_shape_text(tensor->dims, tensor->rank, shape);
        return err_set(
            err, RC_INPUT,
            "the model answers a batch of %zu with an output of shape %s: its first axis is not the batch",
            batch, shape);
    }
    struct logits l = {.examples = batch, .positions = 1, .classes = 1};
    if (tensor->rank >= 2) {
        l.classes = (size_t)tensor->dims[tensor->rank - 1];
        l.positions = count / batch / l.classes;
    }
    l.data = tensor->data;
    if (tensor->dtype != DTYPE_FLOAT32) {
        enum rc rc = convert(tensor, count, room, room_size, err);
        if (rc != RC_OK) {
            return rc;
        }
        l.data = *room;
    }
    *ret = l;
    return RC_OK;
}

size_t logits_argmax(const float *row, size_t classes) {
    size_t best = 0;
    for (size_t i = 1; i < classes; i++) {
        if (row[i] > row[best] || (isnan(row[best]) && !isnan(row[i]))) {
            best = i;
        }
    }
    return best;
}

int logits_are_probabilities(const struct logits *l) {
    for (size_t row = 0; row < l->examples * l->positions; row++) {
        const float *values = l->data + row * l->classes;
        double sum = 0;
        for (size_t i = 0; i < l->classes; i++) {
            if (!(values[i] >= 0 && values[i] <= 1)) {
                return 0;
            }
            sum += (double)values[i];
        }
        if (fabs(sum - 1) > 1e-3) {
            return 0;
        }
    }
    return 1;
}

/* log of the sum of exponentials. */
static double log_sum(const float *row, size_t classes) {
    double top = (double)row[logits_argmax(row, classes)];
    double sum = 0;
    for (size_t i = 0; i < classes; i++) {
        sum += exp((double)row[i] - top);
    }
    return top + log(sum);
}

double logits_divergence(const float *reference, const float *row, size_t classes, int probabilities) {
    double total = 0;
    if (probabilities) {
        for (size_t i = 0; i < classes; i++) {
            if (reference[i] > 0) {
                total +=
                    (double)reference[i] * (log((double)reference[i]) - log(fmax((double)row[i], 1e-12)));
            }
        }
        return fmax(total, 0);
    }
    double norm_reference = log_sum(reference, classes);
    double norm = log_sum(row, classes);
    for (size_t i = 0; i < classes; i++) {
        double log_p = (double)reference[i] - norm_reference;
        total += exp(log_p) * (log_p - ((double)row[i] - norm));
    }
    return fmax(total, 0);
}
