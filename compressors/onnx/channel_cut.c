#include "compressors/onnx/channel_cut.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/passes.h"

struct cut {
    struct graph *g;
    const struct channel_groups *groups;
    bool *removed;  /* by atom */
    uint32_t *kept; /* by atom: kept ones before it, over all axes; one more at the end */
};

static uint32_t kept_between(const struct cut *c, uint32_t from, uint32_t to) {
    return c->kept[to] - c->kept[from];
}

static uint32_t new_length(const struct cut *c, const struct channel_axis *a) {
    return kept_between(c, a->first, a->first + a->length);
}

static const struct channel_axis *axis_of(const struct cut *c, const struct graph_value *v, size_t axis) {
    return channel_groups_axis(c->groups, v, axis);
}

static bool is_cut(const struct cut *c, const struct channel_axis *a) {
    return a && new_length(c, a) != a->length;
}

static enum rc cut_init(struct cut *c, const bool *remove, struct err *err) {
    const struct channel_groups *groups = c->groups;
    c->removed = calloc(groups->atom_count + 1, sizeof(*c->removed));
    c->kept = malloc((groups->atom_count + 1) * sizeof(*c->kept));
    if (!c->removed || !c->kept) {
        return err_memory(err);
    }
    uint32_t kept = 0;
    for (size_t i = 0; i < groups->atom_count; i++) {
        uint32_t unit = groups->unit_of[i];
        c->removed[i] = unit != CHANNEL_NO_UNIT && remove[unit];
        c->kept[i] = kept;
        kept += !c->removed[i];
    }
    c->kept[groups->atom_count] = kept;
    return RC_OK;
}

static void cut_release(struct cut *c) {
    free(c->removed);
    free(c->kept);
}

/* --- tensors --- */

/* Copies the kept elements below one index of axis `axis`; returns where to go on writing. */
static uint8_t *copy_kept(const struct cut *c, const struct channel_axis *axes, size_t rank, size_t axis,
                          const uint8_t **in, uint8_t *out, size_t width, size_t below) {
    const struct channel_axis *a = &axes[axis];
    for (uint32_t i = 0; i < a->length; i++) {
        if (c->removed[a->first + i]) {
            *in += below;
        } else if (axis + 1 == rank) {
            memcpy(out, *in, width);
            *in += width;
            out += width;
        } else {
            out = copy_kept(c, axes, rank, axis + 1, in, out, width, below / (axes[axis + 1].length));
        }
    }
    return out;
}

static enum rc cut_tensor(struct cut *c, const struct graph_value *v, Onnx__TensorProto *t, struct err *err) {
    const struct channel_axis *axes = axis_of(c, v, 0);
    size_t width = graph_dtype_bytes(t->data_type, 1), size, kept = width, rank = t->n_dims;
    const uint8_t *bytes;
    int64_t dims[GRAPH_MAX_RANK];
    if (width == 0 || graph_dtype_bytes(t->data_type, 2) != 2 * width || rank > GRAPH_MAX_RANK) {
        return err_set(err, RC_UNSUPPORTED, "tensor \"%.160s\" of type %s cannot be cut", v->name,
                       graph_dtype_name(t->data_type));
    }
    enum rc rc = graph_tensor_bytes(c->g, t, &bytes, &size, err);
    if (rc != RC_OK) {
        return rc;
    }
    for (size_t i = 0; i < rank; i++) {
        dims[i] = new_length(c, &axes[i]);
        kept *= (size_t)dims[i];
    }
    uint8_t *copy = malloc(kept + 1);
    if (!copy) {
        return err_memory(err);
    }
    (void)copy_kept(c, axes, rank, 0, &bytes, copy, width, size / axes[0].length);
    rc = graph_set_tensor(c->g, t, t->data_type, dims, rank, copy, kept, err);
    free(copy);
    return rc;
}

static enum rc cut_value(struct cut *c, struct graph_value *v, struct err *err) {
    bool changed = false;
    const struct channel_axis *a;
    for (size_t i = 0; (a = axis_of(c, v, i)) != NULL; i++) {
        assert(a->length == 0 || new_length(c, a) > 0);
        changed = changed || is_cut(c, a);
    }
    if (!changed) {
        return RC_OK;
    }
    graph_forget_info(v);
    Onnx__TensorProto *t = graph_constant(c->g, v);
    return t ? cut_tensor(c, v, t, err) : RC_OK;
}

/* --- what nodes say about sizes --- */

/* Makes input `slot` of n a new list of integers of the old one's type. */
static enum rc set_ints(struct cut *c, struct graph_node *n, size_t slot, const int64_t *values, size_t count,
                        struct err *err) {
    const struct graph_value *old = graph_input(c->g, n, slot);
    const Onnx__TensorProto *t = old ? graph_constant(c->g, old) : NULL;
    const char *hint = old ? old->name : n->proto->name && *n->proto->name ? n->proto->name : "sizes";
    struct graph_value *fresh;
    enum rc rc;
    if (t && t->data_type == GRAPH_INT32) {
        int32_t narrow[GRAPH_MAX_RANK];
        int64_t dim = (int64_t)count;
        for (size_t i = 0; i < count; i++) {
            narrow[i] = values[i] > INT32_MAX ? INT32_MAX : (int32_t)values[i];
        }
        rc = graph_add_initializer(c->g, hint, GRAPH_INT32, &dim, 1, narrow, count * sizeof(*narrow), &fresh,
                                   err);
    } else {
        rc = graph_add_ints(c->g, hint, values, count, &fresh, err);
    }
    return rc != RC_OK ? rc : graph_set_input(c->g, n, slot, fresh->name, err);
}

/* A target that is computed gets the differences added. */
static enum rc add_to_input(struct cut *c, struct graph_node *n, size_t slot, const int64_t *deltas,
                            size_t count, struct err *err) {
    const struct graph_value *old = graph_input(c->g, n, slot);
    struct graph_value *fresh;
    enum rc rc = graph_add_ints(c->g, old->name, deltas, count, &fresh, err);
    const char *sum = rc == RC_OK ? graph_unique_name(c->g, old->name) : NULL;
    if (!sum) {
        return rc != RC_OK ? rc : err_memory(err);
    }
    const char *inputs[] = {old->name, fresh->name};
    struct graph_node_spec spec = {
        .op_type = "Add", .inputs = inputs, .input_count = 2, .outputs = &sum, .output_count = 1};
    struct graph_node *add;
    rc = graph_add_node(c->g, &spec, n, &add, err);
    return rc != RC_OK ? rc : graph_set_input(c->g, n, slot, sum, err);
}

static enum rc adapt_target(struct cut *c, const struct channel_target *t, struct err *err) {
    const struct graph_value *out = graph_output(c->g, t->node, 0);
    int64_t deltas[GRAPH_MAX_RANK] = {0};
    const struct channel_axis *a;
    size_t rank = 0;
    bool changed = false;
    for (; (a = axis_of(c, out, rank)) != NULL; rank++) {
        if (t->numbers >> rank & 1 && is_cut(c, a)) {
            deltas[rank] = (int64_t)new_length(c, a) - (int64_t)a->length;
            changed = true;
        }
    }
    const Onnx__TensorProto *constant = graph_constant(c->g, graph_input(c->g, t->node, t->slot));
    if (!changed) {
        return RC_OK;
    }
    if (!constant) {
        return add_to_input(c, t->node, t->slot, deltas, rank, err);
    }
    int64_t *values;
    size_t count;
    enum rc rc = graph_tensor_ints(c->g, constant, &values, &count, err);
    for (size_t i = 0; rc == RC_OK && i < count && i < rank; i++) {
        deltas[i] += values[i];
    }
    if (rc == RC_OK) {
        free(values);
        rc = set_ints(c, t->node, t->slot, deltas, rank, err);
    }
    return rc;
}

/* A depthwise convolution has as many groups as channels. */
static enum rc adapt_conv(struct cut *c, struct graph_node *n, struct err *err) {
    const struct channel_axis *x = axis_of(c, graph_input(c->g, n, 0), 1);
    bool depthwise = x && graph_attr_int(n, "group", 1) == (int64_t)x->length && x->length > 1;
    return depthwise && is_cut(c, x) ? graph_set_attr_int(c->g, n, "group", new_length(c, x), err) : RC_OK;
}

static enum rc adapt_groupnorm(struct cut *c, struct graph_node *n, struct err *err) {
    const struct channel_axis *x = axis_of(c, graph_input(c->g, n, 0), 1);
    int64_t groups = graph_attr_int(n, "num_groups", 1);
    if (!is_cut(c, x)) {
        return RC_OK;
    }
    int64_t part = (int64_t)x->length / groups;
    return graph_set_attr_int(c->g, n, "num_groups", new_length(c, x) / part, err);
}

static enum rc adapt_split(struct cut *c, struct graph_node *n, struct err *err) {
    size_t rank = 0, count = n->proto->n_output;
    const struct graph_value *in = graph_input(c->g, n, 0);
    while (axis_of(c, in, rank)) {
        rank++;
    }
    int64_t axis = graph_attr_int(n, "axis", 0);
    axis += axis < 0 ? (int64_t)rank : 0;
    if (!is_cut(c, axis_of(c, in, (size_t)axis))) {
        return RC_OK;
    }
    int64_t *sizes = calloc(count + 1, sizeof(*sizes));
    if (!sizes) {
        return err_memory(err);
    }
    for (size_t i = 0; i < count; i++) {
        sizes[i] = new_length(c, axis_of(c, graph_output(c->g, n, i), (size_t)axis));
    }
    enum rc rc;
    if (graph_opset(c->g) < 13) {
        rc = graph_set_attr_ints(c->g, n, "split", sizes, count, err);
    } else {
        graph_remove_attr(n, "num_outputs");
        struct graph_value *fresh;
        rc = graph_add_ints(c->g, "split_sizes", sizes, count, &fresh, err);
        rc = rc != RC_OK ? rc : graph_set_input(c->g, n, 1, fresh->name, err);
    }
    free(sizes);
    return rc;
}

/* The list of a Slice from its input or its attribute, copied; free(). NULL when it has none. */
static enum rc slice_list(struct cut *c, const struct graph_node *n, size_t slot, const char *attr,
                          int64_t **values, size_t *count, struct err *err) {
    const int64_t *list = graph_attr_ints(n, attr, count);
    const Onnx__TensorProto *t = list ? NULL : graph_constant(c->g, graph_input(c->g, n, slot));
    *values = NULL;
    if (t) {
        return graph_tensor_ints(c->g, t, values, count, err);
    }
    if (!list) {
        *count = 0;
        return RC_OK;
    }
    *values = malloc((*count + 1) * sizeof(**values));
    if (!*values) {
        return err_memory(err);
    }
    memcpy(*values, list, *count * sizeof(**values));
    return RC_OK;
}

static int64_t clamp(int64_t at, int64_t length) {
    at += at < 0 ? length : 0;
    return at < 0 ? 0 : at > length ? length : at;
}

static enum rc write_slice(struct cut *c, struct graph_node *n, const int64_t *starts, const int64_t *ends,
                           size_t count, struct err *err) {
    if (graph_attr(n, "starts")) {
        enum rc rc = graph_set_attr_ints(c->g, n, "starts", starts, count, err);
        return rc != RC_OK ? rc : graph_set_attr_ints(c->g, n, "ends", ends, count, err);
    }
    enum rc rc = set_ints(c, n, 1, starts, count, err);
    return rc != RC_OK ? rc : set_ints(c, n, 2, ends, count, err);
}

/* Ranges that are cut have step 1 (rule_slice pins others): what is kept of them is a range again. */
static enum rc adapt_slice(struct cut *c, struct graph_node *n, struct err *err) {
    int64_t *starts = NULL, *ends = NULL, *axes = NULL;
    size_t count = 0, end_count = 0, axis_count = 0, rank = 0;
    const struct graph_value *in = graph_input(c->g, n, 0);
    bool changed = false;
    while (axis_of(c, in, rank)) {
        rank++;
    }
    enum rc rc = slice_list(c, n, 1, "starts", &starts, &count, err);
    rc = rc != RC_OK ? rc : slice_list(c, n, 2, "ends", &ends, &end_count, err);
    rc = rc != RC_OK ? rc : slice_list(c, n, 3, "axes", &axes, &axis_count, err);
    for (size_t i = 0; rc == RC_OK && i < count && i < end_count; i++) {
        int64_t axis = axes && i < axis_count ? axes[i] + (axes[i] < 0 ? (int64_t)rank : 0) : (int64_t)i;
        const struct channel_axis *a = axis_of(c, in, (size_t)axis);
        if (is_cut(c, a)) {
            uint32_t start = (uint32_t)clamp(starts[i], a->length), end = (uint32_t)clamp(ends[i], a->length);
            starts[i] = kept_between(c, a->first, a->first + start);
            ends[i] = kept_between(c, a->first, a->first + end);
            changed = true;
        }
    }
    if (rc == RC_OK && changed) {
        rc = write_slice(c, n, starts, ends, count, err);
    }
    free(starts);
    free(ends);
    free(axes);
    return rc;
}

static enum rc adapt_node(struct cut *c, struct graph_node *n, struct err *err) {
    if (graph_is_op(n, "Conv") || graph_is_op(n, "ConvTranspose")) {
        return adapt_conv(c, n, err);
    }
    if (graph_is_op(n, "GroupNormalization")) {
        return adapt_groupnorm(c, n, err);
    }
    if (graph_is_op(n, "Split")) {
        return adapt_split(c, n, err);
    }
    return graph_is_op(n, "Slice") ? adapt_slice(c, n, err) : RC_OK;
}

enum rc channel_cut(struct graph *g, const struct channel_groups *groups, const bool *remove,
                    struct err *err) {
    struct cut c = {.g = g, .groups = groups};
    size_t values = graph_value_count(g); /* new ones are of the right size */
    enum rc rc = cut_init(&c, remove, err);
    for (struct graph_node *n = graph_first(g); n && rc == RC_OK; n = n->next) {
        rc = adapt_node(&c, n, err);
    }
    for (size_t i = 0; i < groups->target_count && rc == RC_OK; i++) {
        rc = adapt_target(&c, &groups->targets[i], err);
    }
    for (size_t i = 0; i < values && rc == RC_OK; i++) {
        rc = cut_value(&c, graph_value_at(g, i), err);
    }
    cut_release(&c);
    return rc != RC_OK ? rc : pass_remove_dead(g, NULL, err);
}

/* --- the same by zeros --- */

static enum rc mask_axis(struct cut *c, const struct channel_axis *a, struct err *err) {
    Onnx__TensorProto *t = graph_constant(c->g, a->value);
    const uint8_t *bytes;
    size_t size, width = graph_dtype_bytes(t->data_type, 1), inner = width;
    for (size_t i = a->index + 1; i < t->n_dims; i++) {
        inner *= (size_t)t->dims[i];
    }
    enum rc rc = graph_tensor_bytes(c->g, t, &bytes, &size, err);
    if (rc != RC_OK || size == 0) {
        return rc;
    }
    uint8_t *copy = malloc(size);
    if (!copy) {
        return err_memory(err);
    }
    memcpy(copy, bytes, size);
    for (size_t at = 0; at < size; at += inner) {
        if (c->removed[a->first + at / inner % a->length]) {
            memset(copy + at, 0, inner);
        }
    }
    rc = graph_set_tensor(c->g, t, t->data_type, t->dims, t->n_dims, copy, size, err);
    free(copy);
    return rc;
}

enum rc channel_mask(struct graph *g, const struct channel_groups *groups, const bool *remove,
                     struct err *err) {
    struct cut c = {.g = g, .groups = groups};
    enum rc rc = cut_init(&c, remove, err);
    for (size_t i = 0; i < groups->contraction_count && rc == RC_OK; i++) {
        const struct channel_axis *a = &groups->axes[groups->contractions[i].axis];
        if (is_cut(&c, a)) {
            rc = mask_axis(&c, a, err);
        }
    }
    cut_release(&c);
    return rc;
}
