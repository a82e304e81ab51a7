/* Rules of operators that sum, average or pick over axes, and of normalisations. */
#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/backward_rules.h"
#include "compressors/onnx/backward_window.h"
#include "core/base/checked.h"

/* --- reductions --- */

/* The axes of a reduction, all where none are given; false and a refusal where they are no constants. */
static bool reduced_axes(struct backward *b, const struct graph_node *n, size_t rank,
                         int64_t axes[GRAPH_MAX_RANK], size_t *count) {
    const struct graph_value *v = graph_input(b->e.g, n, 1);
    const Onnx__TensorProto *t = v ? graph_constant(b->e.g, v) : NULL;
    const int64_t *list = graph_attr_ints(n, "axes", count);
    int64_t *owned = NULL;
    struct err ignored;
    if (v && (!t || graph_tensor_ints(b->e.g, t, &owned, count, &ignored) != RC_OK)) {
        backward_refuse(b, n, "its axes are not constant");
        return false;
    }
    list = owned ? owned : list;
    if (*count == 0 && graph_attr_int(n, "noop_with_empty_axes", 0) == 0) {
        for (*count = 0; *count < rank; (*count)++) {
            axes[*count] = (int64_t)*count;
        }
    } else if (*count <= rank) {
        memcpy(axes, list ? list : axes, *count * sizeof(*axes));
    }
    free(owned);
    if (*count > rank) {
        backward_refuse(b, n, "it has no such axes");
    }
    return *count <= rank;
}

/* gy, in the shape of x reduced by `kept`, spread over x again; of a mean, divided. */
static void give_spread(struct backward *b, const struct graph_node *n, const char *gy, const char *kept,
                        bool mean) {
    struct graph_emitter *e = &b->e;
    const char *x = backward_x(n, 0);
    const char *g = emit_expanded_like(e, emit_reshaped_like(e, gy, kept), x);
    if (mean) {
        const char *sizes[2] = {emit_one(e, "Size", kept), emit_one(e, "Size", x)};
        for (size_t i = 0; i < 2; i++) {
            struct graph_node *cast = emit_node(e, "Cast", &sizes[i], 1);
            emit_attr_int(e, cast, "to", GRAPH_FLOAT32);
            sizes[i] = emit_output(cast);
        }
        g = emit_two(e, "Mul", g, emit_two(e, "Div", sizes[0], sizes[1]));
    }
    backward_give(b, n, 0, g);
}

static void reduce(struct backward *b, const struct graph_node *n, const char *gy, bool mean) {
    int64_t axes[GRAPH_MAX_RANK];
    size_t rank = 0, count = 0;
    const int64_t *dims = backward_dims_in(b, n, 0, &rank);
    if (dims && rank <= GRAPH_MAX_RANK && reduced_axes(b, n, rank, axes, &count)) {
        const char *kept = emit_reduce(&b->e, "ReduceSum", backward_x(n, 0), axes, count);
        give_spread(b, n, gy, kept, mean);
    }
}

void backward_reduce_sum(struct backward *b, const struct graph_node *n, const char *gy) {
    reduce(b, n, gy, false);
}

void backward_reduce_mean(struct backward *b, const struct graph_node *n, const char *gy) {
    reduce(b, n, gy, true);
}

void backward_global_average_pool(struct backward *b, const struct graph_node *n, const char *gy) {
    give_spread(b, n, gy, backward_y(n), true);
}

/* --- pools --- */

/* One by the elements that the window in place `at` of axis i averages. */
static double share(const struct window *w, size_t i, int64_t at, bool with_pads) {
    int64_t first = at * w->stride[i] - w->pad[i], end = first + w->kernel[i];
    first = with_pads || first > 0 ? first : 0;
    end = with_pads || end < w->in[i] ? end : w->in[i];
    return end > first ? 1 / (double)(end - first) : 0;
}

/* [1, 1, out ..] */
static const char *emit_shares(struct backward *b, const struct window *w, bool with_pads) {
    int64_t dims[2 + WINDOW_AXES_MAX] = {1, 1};
    size_t count = 0;
    struct graph_value *v = NULL;
    memcpy(dims + 2, w->out, w->axes * sizeof(*dims));
    float *values = checked_product(dims, 2 + w->axes, &count) ? NULL : malloc((count + 1) * sizeof(*values));
    if (!values) {
        b->e.rc = err_memory(b->e.err);
        return "";
    }
    for (size_t k = 0; k < count; k++) {
        size_t rest = k;
        double value = 1;
        for (size_t i = w->axes; i-- > 0;) {
            value *= share(w, i, (int64_t)(rest % (size_t)w->out[i]), with_pads);
            rest /= (size_t)w->out[i];
        }
        values[k] = (float)value;
    }
    b->e.rc = graph_add_initializer(b->e.g, "shares", GRAPH_FLOAT32, dims, 2 + w->axes, values,
                                    count * sizeof(*values), &v, b->e.err);
    free(values);
    return b->e.rc == RC_OK ? v->name : "";
}

/* Weights of one, a channel by itself: [channels, 1, kernel ..]. */
static const char *emit_ones(struct backward *b, const struct window *w, int64_t channels) {
    int64_t dims[2 + WINDOW_AXES_MAX] = {channels, 1};
    memcpy(dims + 2, w->kernel, w->axes * sizeof(*dims));
    const char *shape = emit_ints(&b->e, dims, 2 + w->axes);
    return emit_two(&b->e, "Expand", emit_float(&b->e, 1), shape);
}

void backward_average_pool(struct backward *b, const struct graph_node *n, const char *gy) {
    struct window w;
    size_t rank = 0;
    const int64_t *dims = backward_dims_in(b, n, 0, &rank);
    const bool with_pads = graph_attr_int(n, "count_include_pad", 0) != 0;
    if (!dims || !backward_window(b, n, &w)) {
        return;
    }
    if (graph_attr(n, "dilations") || (with_pads && graph_attr_int(n, "ceil_mode", 0))) {
        backward_refuse(b, n, "there is no rule for its dilations or its ceil_mode with pads");
        return;
    }
    const char *parts = emit_two(&b->e, "Mul", gy, emit_shares(b, &w, with_pads));
    backward_give(b, n, 0, window_spread(&b->e, &w, parts, emit_ones(b, &w, dims[1]), dims[1]));
}

/* The node again with its second output: where in x each maximum came from. */
static const char *emit_indices(struct backward *b, const struct graph_node *n) {
    static const char *const ints[] = {"kernel_shape", "strides", "pads", "dilations"};
    static const char *const modes[] = {"SAME_UPPER", "SAME_LOWER", "VALID"};
    struct graph_emitter *e = &b->e;
    const char *x = backward_x(n, 0), *outputs[2] = {graph_unique_name(e->g, "maxima"), NULL};
    struct graph_node *pool = NULL;
    size_t count;
    outputs[1] = graph_unique_name(e->g, "places");
    const struct graph_node_spec spec = {
        .op_type = "MaxPool", .inputs = &x, .input_count = 1, .outputs = outputs, .output_count = 2};
    if (e->rc == RC_OK) {
        e->rc =
            outputs[0] && outputs[1] ? graph_add_node(e->g, &spec, NULL, &pool, e->err) : err_memory(e->err);
    }
    for (size_t i = 0; i < sizeof(ints) / sizeof(ints[0]); i++) {
        const int64_t *values = graph_attr_ints(n, ints[i], &count);
        if (values) {
            emit_attr_ints(e, pool, ints[i], values, count);
        }
    }
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]) && e->rc == RC_OK; i++) {
        if (graph_attr_is(n, "auto_pad", modes[i])) {
            e->rc = graph_set_attr_string(e->g, pool, "auto_pad", modes[i], e->err);
        }
    }
    emit_attr_int(e, pool, "ceil_mode", graph_attr_int(n, "ceil_mode", 0));
    return e->rc == RC_OK ? outputs[1] : "";
}

/* Each maximum's derivative goes where it came from; windows may share it. */
void backward_max_pool(struct backward *b, const struct graph_node *n, const char *gy) {
    struct graph_emitter *e = &b->e;
    const char *x = backward_x(n, 0), *flat = emit_int(e, -1), *places = emit_indices(b, n);
    const char *zeros = emit_one(e, "ConstantOfShape", emit_two(e, "Reshape", emit_one(e, "Size", x), flat));
    const char *sums = backward_scatter(b, n, zeros, emit_two(e, "Reshape", places, flat),
                                        emit_two(e, "Reshape", gy, flat), 0);
    backward_give(b, n, 0, emit_reshaped_like(e, sums, x));
}

/* --- normalisations --- */

static const char *mean_of(struct backward *b, const char *x, const int64_t *axes, size_t count) {
    return emit_reduce(&b->e, "ReduceMean", x, axes, count);
}

/* y = scale u + bias with u = (x - mean) / deviation: with g = gy scale,
 * (g - mean of g - u mean of g u) / deviation (Ba, Kiros and Hinton 2016). */
void backward_layer_norm(struct backward *b, const struct graph_node *n, const char *gy) {
    struct graph_emitter *e = &b->e;
    int64_t axes[GRAPH_MAX_RANK];
    size_t rank = 0, count = 0;
    const char *x = backward_x(n, 0);
    if (backward_wants(b, n, 1) || backward_wants(b, n, 2)) {
        backward_refuse(b, n, "its scale or bias is not constant");
        return;
    }
    if (!backward_dims_in(b, n, 0, &rank) || rank > GRAPH_MAX_RANK) {
        return;
    }
    for (int64_t i = backward_axis(b, n, "axis", -1, rank); i < (int64_t)rank; i++) {
        axes[count++] = i;
    }
    const char *centred = emit_two(e, "Sub", x, mean_of(b, x, axes, count));
    const char *variance = mean_of(b, emit_two(e, "Mul", centred, centred), axes, count);
    const char *deviation =
        emit_one(e, "Sqrt", emit_linear(e, variance, 1, graph_attr_float(n, "epsilon", 1e-5F)));
    const char *u = emit_two(e, "Div", centred, deviation), *g = emit_two(e, "Mul", gy, backward_x(n, 1));
    const char *along = emit_two(e, "Mul", u, mean_of(b, emit_two(e, "Mul", g, u), axes, count));
    const char *rest = emit_two(e, "Sub", emit_two(e, "Sub", g, mean_of(b, g, axes, count)), along);
    backward_give(b, n, 0, emit_two(e, "Div", rest, deviation));
}

/* With the stored mean and variance it is a factor for each channel. */
void backward_batch_norm(struct backward *b, const struct graph_node *n, const char *gy) {
    struct graph_emitter *e = &b->e;
    int64_t shape[GRAPH_MAX_RANK];
    size_t rank = 0;
    bool constant = graph_attr_int(n, "training_mode", 0) == 0;
    for (size_t i = 1; i < n->proto->n_input; i++) {
        constant = constant && !backward_wants(b, n, i);
    }
    if (!constant) {
        backward_refuse(b, n, "its parameters are not constant");
        return;
    }
    if (!backward_dims_in(b, n, 0, &rank) || rank < 2 || rank > GRAPH_MAX_RANK) {
        return;
    }
    for (size_t i = 0; i < rank; i++) {
        shape[i] = i == 1 ? -1 : 1;
    }
    const char *variance = emit_linear(e, backward_x(n, 4), 1, graph_attr_float(n, "epsilon", 1e-5F));
    const char *factor = emit_two(e, "Div", backward_x(n, 1), emit_one(e, "Sqrt", variance));
    backward_give(b, n, 0, emit_two(e, "Mul", gy, emit_two(e, "Reshape", factor, emit_ints(e, shape, rank))));
}
