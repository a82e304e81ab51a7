/* channel_fixture.h -- proofs that a cut is exact: on any graph, with random channels. */
#pragma once

#include <math.h>

#include "compressors/onnx/channel_cut.h"
#include "compressors/onnx/channel_groups.h"
#include "compressors/onnx/graph_shapes.h"
#include "compressors/onnx/model_compare.h"
#include "compressors/onnx/passes.h"
#include "tests/unit/compressors_onnx/int8_fixture.h"

/* Sums in another order: the largest seen is 2e-6 of the largest output. */
static const double rounding = 2e-5;

struct channel_scene {
    struct graph *g;
    struct graph_shapes *shapes;
    struct channel_groups *groups;
    bool *remove;
};

static inline void scene_open_for(struct channel_scene *s, struct graph *g, enum channel_use use) {
    struct err err = {0};
    memset(s, 0, sizeof(*s));
    s->g = g;
    if (pass_fold_constants(g, NULL, &err) || pass_remove_dead(g, NULL, &err) || graph_sort(g, &err) ||
        graph_shapes_observe(g, NULL, &s->shapes, &err) ||
        channel_groups_find(g, s->shapes, use, &s->groups, &err)) {
        fail_msg("%s", err.text);
    }
    s->remove = calloc(s->groups->unit_count + 1, sizeof(*s->remove));
}

static inline void scene_open(struct channel_scene *s, struct graph *g) {
    scene_open_for(s, g, CHANNEL_TO_REMOVE);
}

static inline void scene_close(struct channel_scene *s) {
    channel_groups_free(s->groups);
    graph_shapes_free(s->shapes);
    graph_free(s->g);
    free(s->remove);
}

/* About half of each family's units, never all. */
static inline void scene_choose(struct channel_scene *s, uint32_t seed) {
    for (size_t i = 0; i < s->groups->family_count; i++) {
        const struct channel_family *f = &s->groups->families[i];
        uint32_t keep = noise_next(&seed) % f->count;
        for (uint32_t u = 0; u < f->count; u++) {
            s->remove[f->first + u] = u != keep && noise_next(&seed) % 2;
        }
    }
}

static inline struct model_bytes scene_pack(struct channel_scene *s) {
    struct err err = {0};
    char *data = NULL;
    size_t size = 0;
    if (graph_pack(s->g, &data, &size, &err)) {
        fail_msg("%s", err.text);
    }
    return (struct model_bytes){data, size};
}

static inline bool is_contracted_axis(const struct channel_groups *c, size_t axis) {
    for (size_t i = 0; i < c->contraction_count; i++) {
        if (c->contractions[i].axis == axis) {
            return true;
        }
    }
    return false;
}

/* Sets to zero all that makes the chosen units: rows of weights, biases, scales. */
static inline void zero_makers(struct channel_scene *s) {
    const struct channel_groups *c = s->groups;
    struct err err = {0};
    for (size_t i = 0; i < c->axis_count; i++) {
        const struct channel_axis *a = &c->axes[i];
        Onnx__TensorProto *t = graph_constant(s->g, a->value);
        if (!t || t->data_type != GRAPH_FLOAT32 || is_contracted_axis(c, i)) {
            continue;
        }
        float *values;
        size_t count, inner = 1;
        assert_int_equal(graph_tensor_floats(s->g, t, &values, &count, &err), RC_OK);
        for (size_t k = a->index + 1; k < t->n_dims; k++) {
            inner *= (size_t)t->dims[k];
        }
        for (size_t k = 0; k < count; k++) {
            uint32_t unit = c->unit_of[a->first + k / inner % a->length];
            values[k] = unit != CHANNEL_NO_UNIT && s->remove[unit] ? 0 : values[k];
        }
        assert_int_equal(graph_set_tensor(s->g, t, GRAPH_FLOAT32, t->dims, t->n_dims, values,
                                          count * sizeof(*values), &err),
                         RC_OK);
        free(values);
    }
}

/* How far the model with the chosen units at zero (`by_makers`: where they are made, else where they are
 * read) is from the model without them, as a part of its largest output. Fails, naming `name`, where that is
 * more than rounding. Uses the scene up. */
static inline double scene_difference(struct channel_scene *s, bool by_makers, const char *name) {
    struct err err = {0};
    double error = INFINITY;
    if (by_makers) {
        zero_makers(s);
    } else if (channel_mask(s->g, s->groups, s->remove, &err)) {
        fail_msg("%s: %s", name, err.text);
    }
    struct model_bytes whole = scene_pack(s);
    if (channel_cut(s->g, s->groups, s->remove, &err)) {
        fail_msg("%s: %s", name, err.text);
    }
    struct model_bytes small = scene_pack(s);
    if (model_compare(&whole, &small, NULL, 6, &error, &err)) {
        fail_msg("%s: %s", name, err.text);
    }
    free((void *)whole.data);
    free((void *)small.data);
    return error;
}

/* The same; fails, naming `name`, where it is more than `most`. */
static inline double scene_prove(struct channel_scene *s, bool by_makers, double most, const char *name) {
    double error = scene_difference(s, by_makers, name);
    if (!(error <= most)) {
        fail_msg("%s: the cut model differs by %g from the one with zeros where channels are %s", name, error,
                 by_makers ? "made" : "read");
    }
    return error;
}

/* Both proofs, several times, on graphs that `make` gives anew. */
static inline void prove_exact(struct graph *(*make)(const void *user), const void *user, const char *name,
                               int times, bool neutral) {
    for (int k = 0; k < 2 * times; k++) {
        struct channel_scene s;
        scene_open(&s, make(user));
        scene_choose(&s, (uint32_t)k * 77 + 5);
        if (k % 2 == 0 || neutral) {
            (void)scene_prove(&s, k % 2 != 0, rounding, name);
        }
        scene_close(&s);
    }
}

static inline bool scene_refuses(const struct channel_scene *s, const char *label, const char *node,
                                 const char *why) {
    for (size_t i = 0; i < s->groups->refusal_count; i++) {
        const struct channel_refusal *r = &s->groups->refusals[i];
        if (strstr(r->label, label) && (!node || (r->node && strstr(r->node, node))) && strstr(r->why, why)) {
            return true;
        }
    }
    return false;
}
