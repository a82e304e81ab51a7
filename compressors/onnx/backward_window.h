/* backward_window.h -- windows that slide over the spatial axes of an input, and what they give back to it.
 */
#pragma once

#include "compressors/onnx/backward_rules.h"

enum { WINDOW_AXES_MAX = 3 };

/* Of each spatial axis: lengths of input and output, and how the window slides. */
struct window {
    size_t axes;
    int64_t in[WINDOW_AXES_MAX], out[WINDOW_AXES_MAX], kernel[WINDOW_AXES_MAX];
    int64_t stride[WINDOW_AXES_MAX], dilation[WINDOW_AXES_MAX];
    int64_t pad[WINDOW_AXES_MAX]; /* before the first element; after the last it is what is needed */
};

/* The windows of n, a Conv or a pool from [batch, channels, ..] to [batch, channels, ..]. False and a refusal
 * where it has none of 1 to 3 axes. */
bool backward_window(struct backward *b, const struct graph_node *n, struct window *ret);

/* Gives each element of the input what the windows it lies in have: a ConvTranspose of x, in the shape of the
 * output, with `weights` [channels of x, channels of the input / group, kernel ..]. */
const char *window_spread(struct graph_emitter *e, const struct window *w, const char *x, const char *weights,
                          int64_t group);
