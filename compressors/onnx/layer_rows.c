#include "compressors/onnx/layer_rows.h"

#include <string.h>

/* --- describing --- */

static size_t attribute_at(const int64_t *values, size_t count, size_t i, size_t absent) {
    return i < count && values[i] >= 0 ? (size_t)values[i] : absent;
}

static enum layer_pad pad_of(const struct graph_node *n) {
    return graph_attr_is(n, "auto_pad", "SAME_UPPER")   ? LAYER_PAD_SAME_UPPER
           : graph_attr_is(n, "auto_pad", "SAME_LOWER") ? LAYER_PAD_SAME_LOWER
           : graph_attr_is(n, "auto_pad", "VALID")      ? LAYER_PAD_VALID
                                                        : LAYER_PAD_EXPLICIT;
}

static void describe_patches(const struct graph_node *n, const struct weights *w, struct layer_rows *r) {
    size_t strides_n = 0, dilations_n = 0, pads_n = 0;
    const int64_t *strides = graph_attr_ints(n, "strides", &strides_n);
    const int64_t *dilations = graph_attr_ints(n, "dilations", &dilations_n);
    const int64_t *pads = graph_attr_ints(n, "pads", &pads_n);
    bool transposed = w->kind == WEIGHTS_CONV_TRANSPOSE; /* each position by itself: a kernel of one */
    r->spatial = w->tensor->n_dims - 2;
    r->pad = transposed ? LAYER_PAD_VALID : pad_of(n);
    r->width = r->channels;
    for (size_t i = 0; i < r->spatial; i++) {
        r->kernel[i] = transposed ? 1 : (size_t)w->tensor->dims[2 + i];
        r->stride[i] = transposed ? 1 : attribute_at(strides, strides_n, i, 1);
        r->stride[i] = r->stride[i] ? r->stride[i] : 1;
        r->dilation[i] = transposed ? 1 : attribute_at(dilations, dilations_n, i, 1);
        bool explicit = r->pad == LAYER_PAD_EXPLICIT;
        r->pad_begin[i] = explicit ? attribute_at(pads, pads_n, i, 0) : 0;
        r->pad_end[i] = explicit ? attribute_at(pads, pads_n, r->spatial + i, 0) : 0;
        r->width *= r->kernel[i];
    }
}

static bool describe_conv(const struct graph_node *n, const struct weights *w, struct layer_rows *r,
                          const char **why) {
    int64_t group = graph_attr_int(n, "group", 1);
    if (w->tensor->n_dims < 3 || w->tensor->n_dims > 2 + LAYER_SPATIAL_MAX) {
        *why = "it has more than three spatial axes";
        return false;
    }
    bool transposed = w->kind == WEIGHTS_CONV_TRANSPOSE;
    if (group < 1 || w->tensor->dims[0] % group) {
        *why = "its groups do not divide its channels";
        return false;
    }
    r->kind = LAYER_ROWS_PATCHES;
    r->groups = (size_t)group;
    r->channels = (size_t)(transposed ? w->tensor->dims[0] / group : w->tensor->dims[1]);
    describe_patches(n, w, r);
    return true;
}

static bool describe_product(const struct graph_node *n, const struct weights *w, struct layer_rows *r,
                             const char **why) {
    if (w->tensor->n_dims != 2) {
        *why = "its weights are a stack of matrices";
        return false;
    }
    bool left = w->slot == 0; /* W X: what W multiplies are columns of X */
    bool gemm = w->kind == WEIGHTS_GEMM;
    bool trans_x = gemm && graph_attr_int(n, left ? "transB" : "transA", 0);
    bool trans_w = gemm && graph_attr_int(n, left ? "transA" : "transB", 0);
    r->kind = left != trans_x ? LAYER_ROWS_SECOND_LAST : LAYER_ROWS_LAST_AXIS;
    r->groups = 1;
    r->width = (size_t)w->tensor->dims[left != trans_w ? 1 : 0];
    return true;
}

bool layer_rows_of(const struct graph *g, const struct graph_node *n, struct layer_rows *ret,
                   const char **why) {
    struct weights w = weights_of(g, n);
    memset(ret, 0, sizeof(*ret));
    if (w.kind == WEIGHTS_NONE) {
        *why = "it has no constant weights";
        return false;
    }
    bool conv = w.kind == WEIGHTS_CONV || w.kind == WEIGHTS_CONV_TRANSPOSE;
    ret->input = graph_input(g, n, conv ? 0 : 1 - w.slot);
    if (!ret->input || (conv && w.slot != 1)) {
        *why = "it has no input";
        return false;
    }
    if (!(conv ? describe_conv : describe_product)(n, &w, ret, why)) {
        return false;
    }
    *why = "its weights are empty";
    return ret->width > 0;
}

bool layer_rows_equal(const struct layer_rows *a, const struct layer_rows *b) {
    bool same = a->kind == b->kind && a->input == b->input && a->groups == b->groups &&
                a->width == b->width && a->channels == b->channels && a->spatial == b->spatial &&
                a->pad == b->pad;
    for (size_t i = 0; same && i < a->spatial; i++) {
        same = a->kernel[i] == b->kernel[i] && a->stride[i] == b->stride[i] &&
               a->dilation[i] == b->dilation[i] && a->pad_begin[i] == b->pad_begin[i] &&
               a->pad_end[i] == b->pad_end[i];
    }
    return same;
}

/* --- rows of a tensor --- */

/* Along one spatial axis: how many positions, and how far the first one begins before the input. */
static size_t positions(const struct layer_rows *r, size_t axis, size_t size, size_t *before) {
    size_t reach = (r->kernel[axis] - 1) * r->dilation[axis] + 1, stride = r->stride[axis];
    *before = r->pad_begin[axis];
    if (r->pad == LAYER_PAD_SAME_UPPER || r->pad == LAYER_PAD_SAME_LOWER) {
        size_t out = (size + stride - 1) / stride;
        size_t need = out > 0 ? (out - 1) * stride + reach : 0, pad = need > size ? need - size : 0;
        *before = r->pad == LAYER_PAD_SAME_UPPER ? pad / 2 : pad - pad / 2;
        return out;
    }
    size_t padded = size + r->pad_begin[axis] + r->pad_end[axis];
    return padded < reach ? 0 : (padded - reach) / stride + 1;
}

enum rc layer_rows_count(const struct layer_rows *r, const struct onnxruntime_tensor *t, size_t *count,
                         struct err *err) {
    size_t values = t->bytes / sizeof(float), last = t->rank > 0 ? (size_t)t->dims[t->rank - 1] : 0;
    size_t before;
    bool fits = true;
    if (r->width == 0) { /* layer_rows_of gives none such */
        return err_set(err, RC_INTERNAL, "a layer has rows of width 0");
    }
    switch (r->kind) {
    case LAYER_ROWS_LAST_AXIS:
        fits = last == r->width;
        *count = values / r->width;
        break;
    case LAYER_ROWS_SECOND_LAST: /* [.., width, columns]; a vector is one column */
        fits = t->rank == 1 ? last == r->width : t->rank > 1 && (size_t)t->dims[t->rank - 2] == r->width;
        *count = values / r->width;
        break;
    case LAYER_ROWS_PATCHES:
        fits = t->rank == 2 + r->spatial && (size_t)t->dims[1] == r->groups * r->channels;
        *count = fits ? (size_t)t->dims[0] : 0;
        for (size_t i = 0; fits && i < r->spatial; i++) {
            *count *= positions(r, i, (size_t)t->dims[2 + i], &before);
        }
        break;
    }
    return fits ? RC_OK
                : err_set(err, RC_INPUT, "the input of a layer does not fit its weights of width %zu",
                          r->width);
}

/* The patch at output position `at` of example `example`. */
static void fill_patch(const struct layer_rows *r, const struct onnxruntime_tensor *t, size_t group,
                       size_t example, const size_t at[LAYER_SPATIAL_MAX],
                       const size_t before[LAYER_SPATIAL_MAX], float *out) {
    size_t size[LAYER_SPATIAL_MAX] = {1, 1, 1}, kernel[LAYER_SPATIAL_MAX] = {1, 1, 1};
    ptrdiff_t base[LAYER_SPATIAL_MAX] = {0}, step[LAYER_SPATIAL_MAX] = {1, 1, 1};
    size_t skip = LAYER_SPATIAL_MAX - r->spatial, area = 1;
    for (size_t i = 0; i < r->spatial; i++) {
        size[skip + i] = (size_t)t->dims[2 + i];
        kernel[skip + i] = r->kernel[i];
        base[skip + i] = (ptrdiff_t)(at[i] * r->stride[i]) - (ptrdiff_t)before[i];
        step[skip + i] = (ptrdiff_t)r->dilation[i];
        area *= size[skip + i];
    }
    const float *plane =
        (const float *)t->data + (example * r->groups * r->channels + group * r->channels) * area;
    for (size_t c = 0; c < r->channels; c++, plane += area) {
        for (size_t a = 0; a < kernel[0]; a++) {
            ptrdiff_t z = base[0] + (ptrdiff_t)a * step[0];
            for (size_t b = 0; b < kernel[1]; b++) {
                ptrdiff_t y = base[1] + (ptrdiff_t)b * step[1];
                bool in = z >= 0 && z < (ptrdiff_t)size[0] && y >= 0 && y < (ptrdiff_t)size[1];
                for (size_t d = 0; d < kernel[2]; d++) {
                    ptrdiff_t x = base[2] + (ptrdiff_t)d * step[2];
                    *out++ = in && x >= 0 && x < (ptrdiff_t)size[2]
                                 ? plane[((size_t)z * size[1] + (size_t)y) * size[2] + (size_t)x]
                                 : 0.0f;
                }
            }
        }
    }
}

static void fill_patches(const struct layer_rows *r, const struct onnxruntime_tensor *t, size_t group,
                         size_t first, size_t step, size_t count, float *out) {
    size_t places[LAYER_SPATIAL_MAX] = {1, 1, 1}, before[LAYER_SPATIAL_MAX] = {0}, at[LAYER_SPATIAL_MAX];
    size_t each = 1;
    for (size_t i = 0; i < r->spatial; i++) {
        places[i] = positions(r, i, (size_t)t->dims[2 + i], &before[i]);
        each *= places[i];
    }
    for (size_t k = 0; k < (each > 0 ? count : 0); k++) {
        size_t row = first + k * step, rest = row % each;
        for (size_t i = r->spatial; i-- > 0;) {
            at[i] = rest % places[i];
            rest /= places[i];
        }
        fill_patch(r, t, group, row / each, at, before, out + k * r->width);
    }
}

void layer_rows_fill(const struct layer_rows *r, const struct onnxruntime_tensor *t, size_t group,
                     size_t first, size_t step, size_t count, float *out) {
    const float *values = t->data;
    size_t width = r->width;
    if (r->kind == LAYER_ROWS_PATCHES) {
        fill_patches(r, t, group, first, step, count, out);
        return;
    }
    if (r->kind == LAYER_ROWS_LAST_AXIS) {
        for (size_t k = 0; k < count; k++) {
            memcpy(out + k * width, values + (first + k * step) * width, width * sizeof(float));
        }
        return;
    }
    size_t columns = t->rank > 1 ? (size_t)t->dims[t->rank - 1] : 1;
    for (size_t k = 0; k < count; k++) {
        size_t row = first + k * step;
        const float *stack = values + row / columns * width * columns + row % columns;
        for (size_t i = 0; i < width; i++) {
            out[k * width + i] = stack[i * columns];
        }
    }
}
