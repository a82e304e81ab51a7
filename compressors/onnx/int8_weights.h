/* int8_weights.h -- symmetric 8-bit weights: w = scale * q, q in -127..127, one scale for each index of an
 * axis or one for all. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "compressors/onnx/graph.h"
#include "core/base/err.h"

enum int8_scales { INT8_PER_CHANNEL, INT8_PER_TENSOR };

/* A weight tensor seen as [outer, channels, inner]: `channels` is the axis that gets a scale for each index.
 */
struct int8_view {
    size_t outer, channels, inner;
};

/* The view of `dims` with channels on `axis` (counted from the front). RC_INPUT when the sizes overflow. */
MUST_USE enum rc int8_weights_view(const int64_t *dims, size_t rank, size_t axis, struct int8_view *view,
                                   struct err *err);

/* scales[channels] = largest absolute value of the channel / 127; 0 for a channel of zeros. RC_INPUT for NaN
 * or infinity. */
MUST_USE enum rc int8_weights_scales(const float *w, struct int8_view view, float *scales, struct err *err);

/* One scale for the whole tensor in every channel. */
void int8_weights_share_scale(float *scales, size_t channels);

/* Replaces scales of 0 (channels without weights) by the largest other one, or by 1: any value represents
 * zeros, a scale must be positive. */
void int8_weights_fill_scales(float *scales, size_t channels);

/* q = nearest integer to w / scale, ties to even, clamped to -127..127. */
void int8_weights_quantize(const float *w, struct int8_view view, const float *scales, int8_t *q);

/* A constant of the graph in 8 bits. */
struct int8_quantized {
    struct int8_view view;
    size_t count;
    float *values; /* [count] as they were */
    float *scales; /* [view.channels]; all equal for INT8_PER_TENSOR */
    int8_t *q;     /* [count] */
};

/* Reads tensor t and chooses its scales for channels on `axis`; q is allocated and not yet filled, so that
 * the caller may still raise scales. Release *ret in any case. */
MUST_USE enum rc int8_weights_read(const struct graph *g, const Onnx__TensorProto *t, size_t axis,
                                   enum int8_scales scales, struct int8_quantized *ret, struct err *err);
void int8_weights_release(struct int8_quantized *w);
