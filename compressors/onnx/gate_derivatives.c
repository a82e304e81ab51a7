#include "compressors/onnx/gate_derivatives.h"

#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/backward.h"
#include "compressors/onnx/graph_emit.h"
#include "compressors/onnx/graph_shapes.h"
#include "core/base/checked.h"

/* What a product reads, by a name of its own. */
struct reader {
    const struct channel_axis *axis; /* in the original's groups */
    size_t rank;
    struct graph_value *value; /* in the copy */
};

struct making {
    struct graph *original, *copy;
    const struct channel_groups *groups;
    struct graph_shapes *shapes; /* of the copy */
    struct reader *readers;
    size_t reader_count;
    struct graph_value **results; /* the copy's outputs, before it gets others */
    size_t result_count, sign_count;
    struct backward_seed *seeds;
    size_t seed_count;
};

/* --- readers --- */

static bool shares_unit(const struct channel_groups *c, const struct channel_axis *a, const bool *units) {
    for (uint32_t i = 0; i < a->length; i++) {
        uint32_t unit = c->unit_of[a->first + i];
        if (unit != CHANNEL_NO_UNIT && units[unit]) {
            return true;
        }
    }
    return false;
}

static void mark_units(const struct channel_groups *c, const struct channel_axis *a, bool value,
                       bool *units) {
    for (uint32_t i = 0; i < a->length; i++) {
        uint32_t unit = c->unit_of[a->first + i];
        if (unit != CHANNEL_NO_UNIT) {
            units[unit] = value;
        }
    }
}

/* The axis of x along which contraction `i` reads units, or NULL; the rank of x in *rank. */
static const struct channel_axis *axis_read(const struct channel_groups *c, size_t i,
                                            const struct graph_value *x, bool *units, size_t *rank) {
    const struct channel_axis *read = &c->axes[c->contractions[i].axis], *found = NULL, *a;
    mark_units(c, read, true, units);
    for (*rank = 0; (a = channel_groups_axis(c, x, *rank)) != NULL; (*rank)++) {
        found = !found && shares_unit(c, a, units) ? a : found;
    }
    mark_units(c, read, false, units);
    return found;
}

/* Puts Identity in front of input `slot` of n. */
static enum rc add_reader(struct graph *copy, struct graph_node *n, size_t slot, struct reader *r,
                          struct err *err) {
    const char *x = n->proto->input[slot], *name = graph_unique_name(copy, "read");
    struct graph_node *same;
    if (!name) {
        return err_memory(err);
    }
    const struct graph_node_spec spec = {
        .op_type = "Identity", .inputs = &x, .input_count = 1, .outputs = &name, .output_count = 1};
    enum rc rc = graph_add_node(copy, &spec, n, &same, err);
    rc = rc != RC_OK ? rc : graph_set_input(copy, n, slot, name, err);
    r->value = rc == RC_OK ? graph_output(copy, same, 0) : NULL;
    return rc;
}

static enum rc add_readers(struct making *m, struct err *err) {
    const struct channel_groups *c = m->groups;
    enum rc rc = RC_OK;
    bool *units = calloc(c->unit_count + 1, sizeof(*units));
    m->readers = calloc(c->contraction_count + 1, sizeof(*m->readers));
    if (!units || !m->readers) {
        free(units);
        return err_memory(err);
    }
    for (size_t i = 0; i < c->contraction_count && rc == RC_OK; i++) {
        const struct graph_node *n = c->contractions[i].node;
        size_t slot = 1 - c->contractions[i].slot;
        const struct graph_value *x = graph_input(m->original, n, slot), *y = graph_output(m->original, n, 0);
        const struct graph_value *there = y ? graph_find(m->copy, y->name) : NULL;
        struct reader *r = &m->readers[m->reader_count];
        r->axis = x ? axis_read(c, i, x, units, &r->rank) : NULL;
        if (r->axis && there && there->producer) {
            rc = add_reader(m->copy, there->producer, slot, r, err);
            m->reader_count++;
        }
    }
    free(units);
    return rc;
}

/* --- the loss --- */

/* Signs first .. first + (elements of y) - 1 in the shape of y, less their mean by row. */
static const char *emit_seed(struct graph_emitter *e, const char *signs, size_t first, const char *y,
                             const int64_t *dims, size_t rank) {
    const char *begin = emit_int(e, (int64_t)first);
    const char *size = emit_two(e, "Reshape", emit_one(e, "Size", y), emit_int(e, 1));
    const char *part = emit_three(e, "Slice", signs, begin, emit_two(e, "Add", begin, size));
    const char *seed = emit_reshaped_like(e, part, y);
    const int64_t last[] = {-1};
    return rank > 0 && dims[rank - 1] > 1
               ? emit_two(e, "Sub", seed, emit_reduce(e, "ReduceMean", seed, last, 1))
               : seed;
}

/* Keeps the outputs that are float32 tensors of known shape, and counts the signs that they take. */
static enum rc list_results(struct making *m, struct err *err) {
    size_t count = graph_result_count(m->copy);
    m->results = calloc(count + 1, sizeof(*m->results));
    m->seeds = calloc(count + 1, sizeof(*m->seeds));
    if (!m->results || !m->seeds) {
        return err_memory(err);
    }
    graph_infer_types(m->copy);
    for (size_t i = 0; i < count; i++) {
        struct graph_value *v = graph_result(m->copy, i);
        size_t rank, elements = 0;
        const int64_t *dims = v && v->producer ? graph_shapes_of(m->shapes, v, &rank) : NULL;
        if (!v || !dims || v->dtype != GRAPH_FLOAT32) {
            continue;
        }
        if (checked_product(dims, rank, &elements) || checked_add(m->sign_count, elements, &m->sign_count)) {
            return err_set(err, RC_TOO_LARGE, "output \"%.160s\" is too large", v->name);
        }
        m->results[m->result_count++] = v;
    }
    return RC_OK;
}

static void plant_seeds(struct making *m, struct graph_emitter *e) {
    struct graph_value *signs = NULL;
    size_t first = 0;
    e->rc = graph_add_input(e->g, "signs", GRAPH_FLOAT32, &signs, e->err);
    for (size_t i = 0; signs && i < m->result_count && e->rc == RC_OK; i++) {
        const struct graph_value *v = m->results[i];
        size_t rank = 0, elements = 0;
        const int64_t *dims = v ? graph_shapes_of(m->shapes, v, &rank) : NULL;
        if (!dims || checked_product(dims, rank, &elements)) {
            continue; /* never: list_results kept those that have them */
        }
        m->seeds[m->seed_count++] = (struct backward_seed){
            .output = v, .gradient = emit_seed(e, signs->name, first, v->name, dims, rank)};
        first += elements;
    }
}

/* --- what comes out --- */

/* x times its derivative, summed over all axes but the channels'. */
static void add_derivative(struct graph_emitter *e, const struct reader *r, const char *gradient) {
    int64_t axes[GRAPH_MAX_RANK];
    size_t count = 0;
    for (size_t i = 0; i < r->rank && i < GRAPH_MAX_RANK; i++) {
        if (i != r->axis->index) {
            axes[count++] = (int64_t)i;
        }
    }
    const char *product = emit_two(e, "Mul", r->value->name, gradient);
    const char *sum = emit_reduce(e, "ReduceSum", product, axes, count);
    struct graph_value *v = e->rc == RC_OK ? graph_find(e->g, sum) : NULL;
    if (v) {
        e->rc = graph_add_output(e->g, v, GRAPH_FLOAT32, e->err);
    }
}

static enum rc add_derivatives(struct making *m, struct gate_derivatives *ret, struct err *err) {
    struct graph_emitter e = {.g = m->copy, .err = err};
    struct graph_value **wanted = calloc(m->reader_count + 1, sizeof(*wanted));
    const char **gradients = calloc(m->reader_count + 1, sizeof(*gradients));
    ret->axes = calloc(m->reader_count + 1, sizeof(*ret->axes));
    e.rc = wanted && gradients && ret->axes ? list_results(m, err) : err_memory(err);
    for (size_t i = 0; e.rc == RC_OK && i < m->reader_count; i++) {
        wanted[i] = m->readers[i].value;
    }
    /* The seeds' nodes and the signs are newer than the shapes, and so no part of what is derived. */
    if (e.rc == RC_OK) {
        plant_seeds(m, &e);
    }
    e.rc = e.rc != RC_OK ? e.rc
                         : backward_build(m->copy, m->shapes, m->seeds, m->seed_count, wanted,
                                          m->reader_count, gradients, err);
    graph_drop_outputs(m->copy);
    for (size_t i = 0; i < m->reader_count && e.rc == RC_OK; i++) {
        if (gradients[i]) {
            add_derivative(&e, &m->readers[i], gradients[i]);
            ret->axes[ret->count++] = m->readers[i].axis;
        }
    }
    ret->sign_count = m->sign_count;
    free(wanted);
    free(gradients);
    return e.rc;
}

static enum rc open_copy(struct making *m, struct err *err) {
    char *plain = NULL;
    size_t size = 0;
    enum rc rc = graph_pack(m->original, &plain, &size, err);
    rc = rc != RC_OK ? rc : graph_parse(plain, size, &m->copy, err);
    free(plain);
    return rc;
}

enum rc gate_derivatives_pack(struct graph *g, const struct channel_groups *groups,
                              struct dataset *calibration, struct gate_derivatives *ret, char **data,
                              size_t *size, struct err *err) {
    struct making m = {.original = g, .groups = groups};
    *ret = (struct gate_derivatives){0};
    *data = NULL;
    enum rc rc = open_copy(&m, err);
    rc = rc != RC_OK ? rc : add_readers(&m, err);
    rc = rc != RC_OK ? rc : graph_sort(m.copy, err);
    rc = rc != RC_OK ? rc : graph_shapes_observe(m.copy, calibration, &m.shapes, err);
    rc = rc != RC_OK ? rc : add_derivatives(&m, ret, err);
    if (rc == RC_OK && ret->count > 0) {
        rc = graph_pack(m.copy, data, size, err);
    }
    graph_shapes_free(m.shapes);
    graph_free(m.copy);
    free(m.readers);
    free(m.results);
    free(m.seeds);
    if (rc != RC_OK) {
        gate_derivatives_release(ret);
    }
    return rc;
}

void gate_derivatives_release(struct gate_derivatives *d) {
    free(d->axes);
    *d = (struct gate_derivatives){0};
}
