#include "compressors/onnx/backward_window.h"

#include <string.h>

static bool read_list(const struct graph_node *n, const char *name, size_t count, int64_t absent,
                      int64_t *ret) {
    size_t have;
    const int64_t *list = graph_attr_ints(n, name, &have);
    for (size_t i = 0; i < count; i++) {
        ret[i] = list && i < have ? list[i] : absent;
    }
    return !list || have >= count;
}

/* Elements from the first to the last that a window covers in all its places. */
static int64_t covered(const struct window *w, size_t i) {
    return w->stride[i] * (w->out[i] - 1) + (w->kernel[i] - 1) * w->dilation[i] + 1;
}

static bool read_pads(const struct graph_node *n, struct window *w) {
    const bool upper = graph_attr_is(n, "auto_pad", "SAME_UPPER");
    if (!upper && !graph_attr_is(n, "auto_pad", "SAME_LOWER")) {
        bool none = graph_attr_is(n, "auto_pad", "VALID");
        return read_list(n, none ? "" : "pads", w->axes, 0, w->pad);
    }
    for (size_t i = 0; i < w->axes; i++) {
        int64_t total = covered(w, i) > w->in[i] ? covered(w, i) - w->in[i] : 0;
        w->pad[i] = upper ? total / 2 : total - total / 2;
    }
    return true;
}

/* Against overflow: what the runtime could run is far below. */
static bool is_sane(const struct window *w) {
    enum { MOST = 1 << 20 };
    bool sane = true;
    for (size_t i = 0; i < w->axes; i++) {
        sane = sane && w->in[i] > 0 && w->in[i] < MOST && w->out[i] > 0 && w->out[i] < MOST;
        sane = sane && w->kernel[i] > 0 && w->kernel[i] < MOST && w->stride[i] > 0 && w->stride[i] < MOST;
        sane = sane && w->dilation[i] > 0 && w->dilation[i] < MOST && w->pad[i] >= 0 && w->pad[i] < MOST;
    }
    return sane;
}

bool backward_window(struct backward *b, const struct graph_node *n, struct window *ret) {
    size_t rank = 0, out_rank = 0, weights_rank = 0;
    const int64_t *in = backward_dims_in(b, n, 0, &rank), *out = backward_dims_out(b, n, &out_rank);
    const int64_t *weights = NULL;
    memset(ret, 0, sizeof(*ret));
    if (!in || !out) {
        return false;
    }
    if (!graph_attr(n, "kernel_shape")) {
        weights = backward_dims_in(b, n, 1, &weights_rank);
    }
    if (rank < 3 || rank > 2 + WINDOW_AXES_MAX || out_rank != rank || (weights && weights_rank != rank)) {
        backward_refuse(b, n, "there is no rule for so few or many axes");
        return false;
    }
    ret->axes = rank - 2;
    memcpy(ret->in, in + 2, ret->axes * sizeof(*in));
    memcpy(ret->out, out + 2, ret->axes * sizeof(*out));
    bool fine = read_list(n, "strides", ret->axes, 1, ret->stride) &&
                read_list(n, "dilations", ret->axes, 1, ret->dilation) &&
                read_list(n, "kernel_shape", ret->axes, 1, ret->kernel);
    if (weights) {
        memcpy(ret->kernel, weights + 2, ret->axes * sizeof(*weights));
    }
    fine = fine && read_pads(n, ret) && is_sane(ret);
    if (!fine) {
        backward_refuse(b, n, "there is no rule for such windows");
    }
    return fine;
}

const char *window_spread(struct graph_emitter *e, const struct window *w, const char *x, const char *weights,
                          int64_t group) {
    int64_t pads[2 * WINDOW_AXES_MAX], more[WINDOW_AXES_MAX];
    struct graph_node *n = emit_node(e, "ConvTranspose", (const char *const[]){x, weights}, 2);
    for (size_t i = 0; i < w->axes; i++) {
        int64_t beyond = covered(w, i) - w->pad[i] - w->in[i];
        pads[i] = w->pad[i];
        pads[w->axes + i] = beyond > 0 ? beyond : 0;
        more[i] = beyond < 0 ? -beyond : 0; /* elements that no window reaches */
    }
    emit_attr_ints(e, n, "kernel_shape", w->kernel, w->axes);
    emit_attr_ints(e, n, "strides", w->stride, w->axes);
    emit_attr_ints(e, n, "dilations", w->dilation, w->axes);
    emit_attr_ints(e, n, "pads", pads, 2 * w->axes);
    emit_attr_ints(e, n, "output_padding", more, w->axes);
    emit_attr_int(e, n, "group", group);
    return emit_output(n);
}
