#include "compressors/onnx/equalize_absorb.h"

#include <math.h>
#include <stdlib.h>

static const double deviations = 3;

/* --- statistics --- */

static bool read_vector(const struct graph *g, const struct graph_node *n, size_t slot, float **values,
                        size_t *count) {
    const Onnx__TensorProto *t = graph_constant(g, graph_input(g, n, slot));
    return t && t->data_type == GRAPH_FLOAT32 && graph_tensor_floats(g, t, values, count, NULL) == RC_OK;
}

/* False when n is not a normalization right behind a Conv. */
static bool read_norm(const struct graph *g, const struct graph_node *n, struct equalize_norm *ret) {
    const struct graph_value *x = graph_input(g, n, 0);
    size_t count = 0;
    if (!graph_is_op(n, "BatchNormalization") || !x || !x->producer || !graph_is_op(x->producer, "Conv") ||
        !graph_sole_use(x)) {
        return false;
    }
    *ret = (struct equalize_norm){.conv = x->producer};
    if (read_vector(g, n, 1, &ret->deviation, &ret->channels) && read_vector(g, n, 2, &ret->mean, &count) &&
        count == ret->channels) {
        for (size_t c = 0; c < count; c++) {
            ret->deviation[c] = fabsf(ret->deviation[c]);
        }
        return true;
    }
    free(ret->deviation);
    free(ret->mean);
    return false;
}

enum rc equalize_norms_read(const struct graph *g, struct equalize_norms *ret, struct err *err) {
    ret->count = 0;
    ret->list = calloc(graph_node_count(g) + 1, sizeof(*ret->list));
    if (!ret->list) {
        return err_memory(err);
    }
    for (const struct graph_node *n = graph_first(g); n; n = n->next) {
        ret->count += read_norm(g, n, &ret->list[ret->count]);
    }
    return RC_OK;
}

void equalize_norms_release(struct equalize_norms *n) {
    for (size_t i = 0; i < n->count; i++) {
        free(n->list[i].mean);
        free(n->list[i].deviation);
    }
    free(n->list);
    *n = (struct equalize_norms){0};
}

static const struct equalize_norm *norm_of(const struct equalize_norms *norms,
                                           const struct equalize_layer *l) {
    for (size_t i = 0; i < norms->count; i++) {
        if (norms->list[i].conv == l->node && norms->list[i].channels == l->outputs) {
            return &norms->list[i];
        }
    }
    return NULL;
}

/* --- moving --- */

static bool pads(const struct graph_node *n) {
    const Onnx__AttributeProto *automatic = graph_attr(n, "auto_pad");
    size_t count = 0;
    const int64_t *amounts = graph_attr_ints(n, "pads", &count);
    for (size_t i = 0; i < count; i++) {
        if (amounts[i] != 0) {
            return true;
        }
    }
    return automatic && !graph_attr_is(n, "auto_pad", "NOTSET") && !graph_attr_is(n, "auto_pad", "VALID");
}

static bool can_take(const struct equalize_layer *l) {
    return l->bias && !(l->weights.kind == WEIGHTS_CONV && pads(l->node));
}

/* bias += W c for one channel. */
static void take(struct equalize_layer *to, size_t channel, size_t channels, double c) {
    for (size_t i = 0; i < to->count; i++) {
        if (equalize_input_of(to, i, channels) == channel) {
            float *bias = &to->bias[equalize_output_of(to, i)];
            *bias = (float)((double)*bias + (double)to->w[i] * c);
        }
    }
}

size_t equalize_absorb(struct equalize_pairs *p, size_t at, const double *scales,
                       const struct equalize_norms *norms) {
    const struct equalize_pair *pair = &p->pairs[at];
    struct equalize_layer *from = &p->layers[pair->from];
    const struct equalize_norm *norm = norm_of(norms, from);
    size_t moved = 0;
    if (!norm || !pair->only_relu || !from->bias) {
        return 0;
    }
    for (size_t k = 0; k < pair->to_count; k++) {
        if (!can_take(&p->layers[pair->to[k]])) {
            return 0;
        }
    }
    for (size_t i = 0; i < from->outputs; i++) {
        double c = ((double)norm->mean[i] - deviations * (double)norm->deviation[i]) / scales[i];
        if (!(c > 0)) {
            continue;
        }
        from->bias[i] = (float)((double)from->bias[i] - c);
        for (size_t k = 0; k < pair->to_count; k++) {
            take(&p->layers[pair->to[k]], i, from->outputs, c);
        }
        moved++;
    }
    return moved;
}
