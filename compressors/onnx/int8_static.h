/* int8_static.h -- the technique int8:static: 8-bit weights and activations, ranges fixed by calibration. */
#pragma once

#include "compressors/compressor.h"
#include "compressors/onnx/int8_bias.h"
#include "compressors/onnx/int8_plan.h"
#include "compressors/onnx/int8_ranges.h"
#include "compressors/onnx/int8_weights.h"
#include "core/base/err.h"

/* compress_fn of "int8:static". Options: act=u8|s8, calib=minmax|percentile|entropy|mse, percentile=P,
 * biascorrect, smooth=auto|none, weights=channel|tensor. RC_UNSUPPORTED when nothing in the model can be
 * quantized; RC_INPUT without calibration examples. */
MUST_USE enum rc int8_static_compress(struct compress_job *job, const struct recipe_step *step,
                                      struct err *err);

struct int8_static_opts {
    struct int8_range_opts range;
    enum int8_scales weights;
    const struct int8_means *means; /* biases are corrected with them (int8_bias.h); NULL: they stay */
};

/* The last part of it, for a graph that is prepared (int8_plan_prepare) and whose ranges are known: writes 8
 * bits for all that `ban` and the ranges allow, embedding tables included. The record is told what was
 * changed and, where `left_alone` is not NULL, that one what was not and why. *count: nodes that compute with
 * 8 bits; with 0 only tables were changed, or nothing. */
MUST_USE enum rc int8_static_write(struct graph *g, const struct int8_ranges *ranges,
                                   const struct int8_static_opts *o, struct int8_ban *ban,
                                   struct record *record, struct record *left_alone, size_t *count,
                                   struct err *err);
