#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/passes.h"

enum { SCALE, BETA, MEAN, VARIANCE, BIAS, PARAMS };

struct fold {
    struct graph *g;
    struct graph_node *conv, *norm;
    float *params[PARAMS]; /* [channels] each */
    float *weights;        /* [channels, per_channel] */
    size_t channels, per_channel;
};

static void fold_release(struct fold *f) {
    for (size_t i = 0; i < PARAMS; i++) {
        free(f->params[i]);
    }
    free(f->weights);
}

/* The Conv whose output only this inference BatchNormalization reads, or NULL. */
static struct graph_node *conv_before(const struct graph *g, const struct graph_node *norm) {
    const struct graph_value *x = graph_input(g, norm, 0);
    if (!graph_is_op(norm, "BatchNormalization") || graph_attr_int(norm, "training_mode", 0) != 0 || !x ||
        !x->producer || !graph_is_op(x->producer, "Conv") || !graph_sole_use(x)) {
        return NULL;
    }
    for (size_t i = 1; i < norm->proto->n_output; i++) {
        const struct graph_value *other = graph_output(g, norm, i);
        if (other && (other->use_count || other->is_output)) {
            return NULL;
        }
    }
    return x->producer;
}

/* float32 constant of `expected` elements (0: any number) as floats; false when it is not that. */
static bool read_constant(const struct graph *g, const struct graph_node *n, size_t slot, size_t expected,
                          float **values, size_t *count) {
    const Onnx__TensorProto *t = graph_constant(g, graph_input(g, n, slot));
    if (!t || t->data_type != GRAPH_FLOAT32 || graph_tensor_floats(g, t, values, count, NULL) != RC_OK) {
        return false;
    }
    return !expected || *count == expected;
}

static bool read_params(struct fold *f) {
    const Onnx__TensorProto *w = graph_constant(f->g, graph_input(f->g, f->conv, 1));
    size_t count;
    if (!w || w->n_dims < 3 || w->dims[0] <= 0 || !read_constant(f->g, f->conv, 1, 0, &f->weights, &count)) {
        return false;
    }
    f->channels = (size_t)w->dims[0];
    f->per_channel = count / f->channels;
    for (size_t i = 0; i < BIAS; i++) {
        if (!read_constant(f->g, f->norm, i + 1, f->channels, &f->params[i], &count)) {
            return false;
        }
    }
    if (graph_input(f->g, f->conv, 2)) {
        return read_constant(f->g, f->conv, 2, f->channels, &f->params[BIAS], &count);
    }
    f->params[BIAS] = calloc(f->channels, sizeof(float));
    return f->params[BIAS] != NULL;
}

static void scale_weights(struct fold *f) {
    double epsilon = (double)graph_attr_float(f->norm, "epsilon", 1e-5f);
    for (size_t c = 0; c < f->channels; c++) {
        double s = (double)f->params[SCALE][c] / sqrt((double)f->params[VARIANCE][c] + epsilon);
        for (size_t i = 0; i < f->per_channel; i++) {
            float *w = &f->weights[c * f->per_channel + i];
            *w = (float)((double)*w * s);
        }
        double bias = (double)f->params[BIAS][c] - (double)f->params[MEAN][c];
        f->params[BIAS][c] = (float)(bias * s + (double)f->params[BETA][c]);
    }
}

static enum rc rewire(struct fold *f, struct err *err) {
    struct graph *g = f->g;
    const struct graph_value *weight = graph_input(g, f->conv, 1);
    const struct graph_value *bias = graph_input(g, f->conv, 2);
    const Onnx__TensorProto *w = graph_constant(g, weight);
    int64_t channels = (int64_t)f->channels;
    struct graph_value *new_w, *new_b;
    enum rc rc = graph_add_initializer(g, weight->name, GRAPH_FLOAT32, w->dims, w->n_dims, f->weights,
                                       f->channels * f->per_channel * sizeof(float), &new_w, err);
    rc = rc != RC_OK ? rc
                     : graph_add_initializer(g, bias ? bias->name : "bias", GRAPH_FLOAT32, &channels, 1,
                                             f->params[BIAS], f->channels * sizeof(float), &new_b, err);
    rc = rc != RC_OK ? rc : graph_set_input(g, f->conv, 1, new_w->name, err);
    rc = rc != RC_OK ? rc : graph_set_input(g, f->conv, 2, new_b->name, err);
    return rc != RC_OK ? rc
                       : graph_take_over(g, graph_output(g, f->norm, 0), graph_output(g, f->conv, 0), err);
}

enum rc pass_fold_batchnorm(struct graph *g, size_t *count, struct err *err) {
    size_t folded = 0;
    enum rc rc = RC_OK;
    for (struct graph_node *n = graph_first(g), *next; n && rc == RC_OK; n = next) {
        next = n->next;
        struct fold f = {.g = g, .norm = n, .conv = conv_before(g, n)};
        if (f.conv && read_params(&f)) {
            scale_weights(&f);
            rc = rewire(&f, err);
            folded++;
        }
        fold_release(&f);
    }
    if (count) {
        *count = folded;
    }
    return rc != RC_OK || !folded ? rc : pass_remove_dead(g, NULL, err);
}
