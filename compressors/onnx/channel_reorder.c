#include "compressors/onnx/channel_reorder.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct reordering {
    struct graph *g;
    const struct channel_groups *groups;
    uint32_t *from; /* by atom: the atom that comes in its place */
};

/* Atoms of the units of a family correspond one by one: those of a unit are ascending, on the same axes. (Not
 * where a graph rotates channels against each other within one unit: the caller compares the outputs.) */
static void place_atoms(struct reordering *r, const uint32_t *order) {
    const struct channel_groups *c = r->groups;
    for (size_t i = 0; i < c->atom_count; i++) {
        r->from[i] = (uint32_t)i;
    }
    for (size_t u = 0; u < c->unit_count; u++) {
        const struct channel_unit *to = &c->units[u], *from = &c->units[order[u]];
        for (uint32_t k = 0; k < to->count; k++) {
            r->from[c->atoms[to->first + k]] = c->atoms[from->first + k];
        }
    }
}

/* Copies all elements below axis `axis`, each index from where it comes. */
static void copy_ordered(const struct reordering *r, const struct channel_axis *axes, size_t rank,
                         size_t axis, const uint8_t *in, uint8_t *out, size_t bytes) {
    const struct channel_axis *a = &axes[axis];
    size_t each = a->length ? bytes / a->length : 0;
    for (uint32_t i = 0; i < a->length; i++) {
        const uint8_t *source = in + (r->from[a->first + i] - a->first) * each;
        if (axis + 1 == rank) {
            memcpy(out + i * each, source, each);
        } else {
            copy_ordered(r, axes, rank, axis + 1, source, out + i * each, each);
        }
    }
}

static enum rc order_tensor(const struct reordering *r, const struct graph_value *v, Onnx__TensorProto *t,
                            struct err *err) {
    size_t width = graph_dtype_bytes(t->data_type, 1), size;
    const uint8_t *bytes;
    if (width == 0 || graph_dtype_bytes(t->data_type, 2) != 2 * width || t->n_dims > GRAPH_MAX_RANK) {
        return err_set(err, RC_UNSUPPORTED, "tensor \"%.160s\" of type %s cannot be put into another order",
                       v->name, graph_dtype_name(t->data_type));
    }
    enum rc rc = graph_tensor_bytes(r->g, t, &bytes, &size, err);
    uint8_t *copy = rc == RC_OK ? malloc(size + 1) : NULL;
    if (!copy) {
        return rc != RC_OK ? rc : err_memory(err);
    }
    copy_ordered(r, channel_groups_axis(r->groups, v, 0), t->n_dims, 0, bytes, copy, size);
    rc = graph_set_tensor(r->g, t, t->data_type, t->dims, t->n_dims, copy, size, err);
    free(copy);
    return rc;
}

static enum rc order_value(const struct reordering *r, const struct graph_value *v, struct err *err) {
    Onnx__TensorProto *t = graph_constant(r->g, v);
    const struct channel_axis *a;
    bool changed = false;
    for (size_t i = 0; t && (a = channel_groups_axis(r->groups, v, i)) != NULL; i++) {
        for (uint32_t k = 0; k < a->length; k++) {
            changed = changed || r->from[a->first + k] != a->first + k;
        }
    }
    return changed ? order_tensor(r, v, t, err) : RC_OK;
}

enum rc channel_reorder(struct graph *g, const struct channel_groups *groups, const uint32_t *order,
                        struct err *err) {
    struct reordering r = {.g = g, .groups = groups};
    r.from = malloc((groups->atom_count + 1) * sizeof(*r.from));
    if (!r.from) {
        return err_memory(err);
    }
    place_atoms(&r, order);
    enum rc rc = RC_OK;
    for (size_t i = 0; i < graph_value_count(g) && rc == RC_OK; i++) {
        rc = order_value(&r, graph_value_at(g, i), err);
    }
    free(r.from);
    return rc;
}
