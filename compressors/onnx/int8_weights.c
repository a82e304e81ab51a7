#include "compressors/onnx/int8_weights.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/vector.h"
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

static inline uint32_t magnitude(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof(bits));
    return bits & 0x7fffffff;
}

/* Largest absolute value; infinity when one is NaN or infinite. */
VECTOR_LOOPS static float largest(const float *w, size_t n) {
    uint32_t most[VECTOR_LANES] = {0}; /* magnitudes as integers: they order alike, NaN above all */
    size_t i = 0;
    for (; i + VECTOR_LANES <= n; i += VECTOR_LANES) {
        for (size_t k = 0; k < VECTOR_LANES; k++) {
            uint32_t m = magnitude(w[i + k]);
            most[k] = m > most[k] ? m : most[k];
        }
    }
    for (; i < n; i++) {
        uint32_t m = magnitude(w[i]);
        most[0] = m > most[0] ? m : most[0];
    }
    for (size_t k = 1; k < VECTOR_LANES; k++) {
        most[0] = most[k] > most[0] ? most[k] : most[0];
    }
    float m;
    memcpy(&m, most, sizeof(m));
    return isfinite(m) ? m : INFINITY;
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

/* `most` is QMAX, handed in: of a constant the compiler makes jumps instead of vector code. */
static inline int8_t nearest(float x, float most) {
    x = x < -most ? -most : x;
    x = x > most ? most : x;
    /* Adding 1.5 * 2^23 leaves the integer nearest (ties to even) in the low bits: rintf as vector code. */
    float shifted = x + 12582912.0F;
    return (int8_t)(int32_t)(shifted - 12582912.0F);
}

VECTOR_LOOPS static void quantize_by_column(const float *w, const float *scales, size_t n, float most,
                                            int8_t *q) {
    for (size_t i = 0; i < n; i++) {
        q[i] = nearest(w[i] / scales[i], most);
    }
}

VECTOR_LOOPS static void quantize_run(const float *w, float scale, size_t n, float most, int8_t *q) {
    for (size_t i = 0; i < n; i++) {
        q[i] = nearest(w[i] / scale, most);
    }
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
