#include "compressors/onnx/int8_weights.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/round_loops.h"
#include "core/base/checked.h"

enum { QMAX = 127 };

enum rc int8_weights_view(const int64_t *dims, size_t rank, size_t axis, struct int8_view *view,
                          struct err *err) {
    if (axis >= rank || checked_product(dims, axis, &view->outer) ||
        checked_product(dims + axis, 1, &view->channels) ||
        checked_product(dims + axis + 1, rank - axis - 1, &view->inner)) {
        return err_set(err, RC_INPUT, "a weight tensor's shape does not fit its use");
    }
    return RC_OK;
}

/* Largest absolute value; infinity when one is NaN or infinite. */
VECTOR_LOOPS static float largest(const float *w, size_t n) {
    int32_t most = vector_largest(w, n);
    return most < FLOAT_INFINITY ? vector_float(most) : INFINITY;
}

/* With one value a channel and row (inner = 1) the rows are walked, so that memory is read in order. */
static void largest_by_column(const float *w, size_t rows, size_t columns, float *ret) {
    for (size_t r = 0; r < rows; r++) {
        const float *row = w + r * columns;
        for (size_t c = 0; c < columns; c++) {
            float a = fabsf(row[c]);
            ret[c] = a > ret[c] || isnan(a) ? a : ret[c];
        }
    }
}

enum rc int8_weights_scales(const float *w, struct int8_view view, float *scales, struct err *err) {
    memset(scales, 0, view.channels * sizeof(*scales));
    if (view.inner == 1) {
        largest_by_column(w, view.outer, view.channels, scales);
    } else {
        for (size_t o = 0; o < view.outer; o++) {
            for (size_t c = 0; c < view.channels; c++) {
                float m = largest(w + (o * view.channels + c) * view.inner, view.inner);
                scales[c] = m > scales[c] ? m : scales[c];
            }
        }
    }
    for (size_t c = 0; c < view.channels; c++) {
        if (!isfinite(scales[c])) {
            return err_set(err, RC_INPUT, "the weights hold NaN or infinity in channel %zu", c);
        }
        scales[c] /= QMAX;
    }
    return RC_OK;
}

void int8_weights_share_scale(float *scales, size_t channels) {
    float m = 0;
    for (size_t c = 0; c < channels; c++) {
        m = scales[c] > m ? scales[c] : m;
    }
    for (size_t c = 0; c < channels; c++) {
        scales[c] = m;
    }
}

void int8_weights_fill_scales(float *scales, size_t channels) {
    float m = 0;
    for (size_t c = 0; c < channels; c++) {
        m = scales[c] > m ? scales[c] : m;
    }
    m = m > 0 ? m : 1;
    for (size_t c = 0; c < channels; c++) {
        scales[c] = scales[c] > 0 ? scales[c] : m;
    }
}

VECTOR_LOOPS static void quantize_by_column(const float *w, const float *scales, size_t n, float most,
                                            int8_t *q) {
    round_int8_columns(w, scales, n, most, q);
}

VECTOR_LOOPS static void quantize_run(const float *w, float scale, size_t n, float most, int8_t *q) {
    round_int8_run(w, scale, n, most, q);
}

void int8_weights_quantize(const float *w, struct int8_view view, const float *scales, int8_t *q) {
    for (size_t o = 0; o < view.outer; o++) {
        if (view.inner == 1) {
            quantize_by_column(w + o * view.channels, scales, view.channels, QMAX, q + o * view.channels);
            continue;
        }
        for (size_t c = 0; c < view.channels; c++) {
            size_t at = (o * view.channels + c) * view.inner;
            quantize_run(w + at, scales[c], view.inner, QMAX, q + at);
        }
    }
}

enum rc int8_weights_read(const struct graph *g, const Onnx__TensorProto *t, size_t axis,
                          enum int8_scales scales, struct int8_quantized *ret, struct err *err) {
    *ret = (struct int8_quantized){0};
    enum rc rc = graph_tensor_floats(g, t, &ret->values, &ret->count, err);
    if (!rc) {
        rc = int8_weights_view(t->dims, t->n_dims, axis, &ret->view, err);
    }
    if (rc) {
        return rc;
    }
    ret->scales = calloc(ret->view.channels + 1, sizeof(*ret->scales));
    ret->q = malloc(ret->count + 1);
    if (!ret->scales || !ret->q) {
        return err_memory(err);
    }
    rc = int8_weights_scales(ret->values, ret->view, ret->scales, err);
    if (rc) {
        return err_prefix(err, "\"%s\"", t->name ? t->name : "");
    }
    if (scales == INT8_PER_TENSOR) {
        int8_weights_share_scale(ret->scales, ret->view.channels);
    }
    int8_weights_fill_scales(ret->scales, ret->view.channels);
    return RC_OK;
}

void int8_weights_release(struct int8_quantized *w) {
    free(w->values);
    free(w->scales);
    free(w->q);
    *w = (struct int8_quantized){0};
}
