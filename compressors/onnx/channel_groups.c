/* Atoms, joined by the rules of channel_rules*.c, become units and families.
 *
 * A Reshape from [.., 256] to [.., 4, 64] can hand on either factor: whole heads, or the same feature of all
 * heads; never both. The first factor is tried first; where it leads to nothing that can be pruned (the 3 of
 * [3, heads, features]) the others are tried, one Reshape after another. */
#include "compressors/onnx/channel_groups.h"

#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/channel_rules.h"
#include "compressors/onnx/graph_shapes.h"
#include "compressors/onnx/weights.h"
#include "core/base/checked.h"

enum { ATOMS_MAX = 1 << 28, TRIALS_MAX = 256, RANK_MAX = 8 };

/* --- axes --- */

static enum rc add_axes(struct channel_groups *c, struct graph_value *v, size_t value, size_t *capacity,
                        struct err *err) {
    size_t rank = 0;
    const int64_t *dims = graph_shapes_of(c->shapes, v, &rank);
    c->first_axis[value] = dims ? (uint32_t)c->axis_count : UINT32_MAX;
    if (c->axis_count + RANK_MAX > *capacity) {
        size_t grown = *capacity ? 2 * *capacity : 256;
        struct channel_axis *axes = realloc(c->axes, grown * sizeof(*axes));
        if (!axes) {
            return err_memory(err);
        }
        c->axes = axes;
        *capacity = grown;
    }
    for (size_t i = 0; dims && i < rank; i++) {
        if (dims[i] < 0 || dims[i] > (int64_t)ATOMS_MAX || c->atom_count + (size_t)dims[i] > ATOMS_MAX) {
            return err_set(err, RC_TOO_LARGE, "the shapes of the model have over 2^28 indices in all");
        }
        c->axes[c->axis_count++] =
            (struct channel_axis){v, (uint32_t)i, (uint32_t)c->atom_count, (uint32_t)dims[i]};
        c->atom_count += (size_t)dims[i];
    }
    return RC_OK;
}

static enum rc make_axes(struct channel_groups *c, const struct graph *g, struct err *err) {
    size_t values = graph_value_count(g), capacity = 0;
    c->first_axis = malloc((values + 1) * sizeof(*c->first_axis));
    enum rc rc = c->first_axis ? RC_OK : err_memory(err);
    for (size_t i = 0; i < values && rc == RC_OK; i++) {
        rc = add_axes(c, graph_value_at(g, i), i, &capacity, err);
    }
    return rc;
}

const struct channel_axis *channel_groups_axis(const struct channel_groups *c, const struct graph_value *v,
                                               size_t axis) {
    size_t i = v ? graph_shapes_index(c->shapes, v) : SIZE_MAX, rank = 0;
    if (i == SIZE_MAX || c->first_axis[i] == UINT32_MAX || !graph_shapes_of(c->shapes, v, &rank) ||
        axis >= rank) {
        return NULL;
    }
    return &c->axes[c->first_axis[i] + axis];
}

/* --- joining and pinning --- */

struct operand operand_of(const struct coupling *c, struct graph_value *v) {
    struct operand o = {.value = v};
    if (v && graph_shapes_of(c->groups->shapes, v, &o.rank)) {
        o.known = true;
        o.axes = c->groups->axes + c->groups->first_axis[graph_shapes_index(c->groups->shapes, v)];
    }
    return o;
}

struct operand operand_in(const struct coupling *c, const struct graph_node *n, size_t slot) {
    return operand_of(c, graph_input(c->g, n, slot));
}

struct operand operand_out(const struct coupling *c, const struct graph_node *n, size_t slot) {
    return operand_of(c, graph_output(c->g, n, slot));
}

static uint32_t root_of(const struct coupling *c, uint32_t atom) {
    while (c->parent[atom] != atom) {
        c->parent[atom] = c->parent[c->parent[atom]];
        atom = c->parent[atom];
    }
    return atom;
}

void coupling_join(struct coupling *c, uint32_t a, uint32_t b) {
    a = root_of(c, a);
    b = root_of(c, b);
    if (a == b) {
        return;
    }
    uint32_t low = a < b ? a : b, high = a < b ? b : a;
    c->parent[high] = low;
    if (!c->pinned[low] || (c->pinned[high] && c->pinned[high] < c->pinned[low])) {
        c->pinned[low] = c->pinned[high] ? c->pinned[high] : c->pinned[low];
    }
}

static uint32_t reason_of(struct coupling *c, const struct graph_node *n, const char *why) {
    if (c->reason_count && c->reasons[c->reason_count - 1].node == n &&
        c->reasons[c->reason_count - 1].why == why) {
        return (uint32_t)c->reason_count;
    }
    if (c->reason_count == c->reason_capacity) {
        size_t capacity = c->reason_capacity ? 2 * c->reason_capacity : 256;
        struct pin_reason *reasons = realloc(c->reasons, capacity * sizeof(*reasons));
        if (!reasons) {
            c->failed = true;
            return 1;
        }
        c->reasons = reasons;
        c->reason_capacity = capacity;
    }
    c->reasons[c->reason_count++] = (struct pin_reason){n, why};
    return (uint32_t)c->reason_count;
}

void coupling_pin(struct coupling *c, const struct channel_axis *a, const struct graph_node *n,
                  const char *why) {
    uint32_t reason = reason_of(c, n, why);
    for (uint32_t i = 0; i < a->length; i++) {
        uint32_t root = root_of(c, a->first + i);
        c->pinned[root] = c->pinned[root] ? c->pinned[root] : reason;
    }
}

void coupling_pin_number(struct coupling *c, const struct channel_axis *a, const struct graph_node *n,
                         const char *why) {
    if (c->use == CHANNEL_TO_REMOVE) {
        coupling_pin(c, a, n, why);
    }
}

void coupling_pin_operand(struct coupling *c, const struct operand *o, const struct graph_node *n,
                          const char *why) {
    for (size_t i = 0; i < o->rank; i++) {
        coupling_pin(c, &o->axes[i], n, why);
    }
}

void coupling_pin_node(struct coupling *c, const struct graph_node *n, const char *why) {
    for (size_t i = 0; i < n->proto->n_input; i++) {
        struct operand o = operand_in(c, n, i);
        coupling_pin_operand(c, &o, n, why);
        elements_pin(c, o.value, n, why);
    }
    for (size_t i = 0; i < n->proto->n_output; i++) {
        struct operand o = operand_out(c, n, i);
        coupling_pin_operand(c, &o, n, why);
    }
}

void coupling_link(struct coupling *c, const struct channel_axis *a, const struct channel_axis *b,
                   const struct graph_node *n) {
    if (a->length != b->length) {
        coupling_pin(c, a, n, "relates axes of different lengths");
        coupling_pin(c, b, n, "relates axes of different lengths");
        return;
    }
    for (uint32_t i = 0; i < a->length; i++) {
        coupling_join(c, a->first + i, b->first + i);
    }
}

void coupling_contract(struct coupling *c, struct graph_node *n, size_t slot,
                       const struct channel_axis *axis) {
    struct channel_groups *groups = c->groups;
    if (!graph_constant(c->g, axis->value)) {
        coupling_pin(c, axis, n, "sums over this axis of two computed values");
        return;
    }
    struct channel_contraction *list =
        realloc(groups->contractions, (groups->contraction_count + 1) * sizeof(*list));
    if (!list) {
        c->failed = true;
        return;
    }
    groups->contractions = list;
    list[groups->contraction_count++] =
        (struct channel_contraction){n, slot, (uint32_t)(axis - groups->axes)};
}

/* --- applying every rule --- */

static void pin_borders(struct coupling *c) {
    for (size_t i = 0; i < graph_value_count(c->g); i++) {
        struct graph_value *v = graph_value_at(c->g, i);
        struct operand o = operand_of(c, v);
        if (v->is_output) {
            coupling_pin_operand(c, &o, NULL, "it is an output of the model");
        }
        if (v->is_input) {
            coupling_pin_operand(c, &o, NULL, "it is an input of the model");
        }
        if (graph_is_captured(v)) {
            coupling_pin_operand(c, &o, NULL, "a subgraph reads it");
        }
    }
}

static enum rc apply_all(struct coupling *c, struct err *err) {
    c->groups->contraction_count = c->groups->target_count = c->reason_count = c->choice_count = 0;
    for (size_t i = 0; i < c->groups->atom_count; i++) {
        c->parent[i] = (uint32_t)i;
    }
    memset(c->pinned, 0, (c->groups->atom_count + 1) * sizeof(*c->pinned));
    for (size_t i = 0; i < graph_value_count(c->g); i++) {
        free(c->elements[i].list);
        c->elements[i] = (struct elements){0};
    }
    pin_borders(c);
    int position = 0;
    for (struct graph_node *n = graph_first(c->g); n; n = n->next) {
        n->mark = position++;
        channel_rules_apply(c, n);
    }
    for (size_t i = 0; i < graph_value_count(c->g); i++) {
        const struct graph_value *v = graph_value_at(c->g, i);
        if (v->is_output || graph_is_captured(v)) {
            elements_pin(c, v, NULL, "its length is an output of the model, or read in a subgraph");
        }
    }
    return c->failed ? err_memory(err) : RC_OK;
}

/* --- units and families --- */

struct sorting {
    uint64_t signature;
    uint32_t first, count; /* in atoms */
};

static int by_signature(const void *a, const void *b) {
    const struct sorting *x = a;
    const struct sorting *y = b;
    if (x->signature != y->signature) {
        return x->signature < y->signature ? -1 : 1;
    }
    return x->first < y->first ? -1 : x->first > y->first;
}

/* Puts the atoms of all free classes into c->atoms, class by class; `start` is scratch by atom. */
static size_t sort_atoms(const struct coupling *k, uint32_t *start, struct sorting *classes) {
    struct channel_groups *c = k->groups;
    size_t total = 0, count = 0;
    memset(start, 0, (c->atom_count + 1) * sizeof(*start));
    for (uint32_t i = 0; i < c->atom_count; i++) {
        uint32_t root = root_of(k, i);
        start[root] += !k->pinned[root];
    }
    for (uint32_t i = 0; i < c->atom_count; i++) {
        if (start[i]) {
            classes[count++] = (struct sorting){0, (uint32_t)total, start[i]};
            total += start[i];
            start[i] = (uint32_t)(total - start[i]);
        }
    }
    for (uint32_t i = 0; i < c->atom_count; i++) {
        uint32_t root = root_of(k, i);
        if (!k->pinned[root]) {
            c->atoms[start[root]++] = i;
        }
    }
    return count;
}

/* The axis of atoms[i], found going on from the axis *at. */
static uint32_t axis_at(const struct channel_groups *c, uint32_t atom, uint32_t from) {
    while (atom >= c->axes[from].first + c->axes[from].length) {
        from++;
    }
    return from;
}

static uint32_t axis_of(const struct channel_groups *c, uint32_t atom) {
    size_t low = 0, high = c->axis_count;
    while (high - low > 1) {
        size_t mid = low + (high - low) / 2;
        *(c->axes[mid].first <= atom ? &low : &high) = mid;
    }
    return axis_at(c, atom, (uint32_t)low);
}

/* Equal for classes with as many atoms on the same axes (64-bit FNV-1a over the list of axes). */
static uint64_t signature_of(const struct channel_groups *c, const struct sorting *s) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    uint32_t axis = axis_of(c, c->atoms[s->first]);
    for (uint32_t i = 0; i < s->count; i++) {
        axis = axis_at(c, c->atoms[s->first + i], axis);
        hash = (hash ^ axis) * UINT64_C(0x100000001b3);
    }
    return hash;
}

/* What the families are told from: which axes are summed over, scratch of the search. */
static bool is_contracted(const struct channel_groups *c, const struct sorting *s, const bool *contracted) {
    uint32_t axis = axis_of(c, c->atoms[s->first]);
    for (uint32_t i = 0; i < s->count; i++) {
        axis = axis_at(c, c->atoms[s->first + i], axis);
        if (contracted[axis]) {
            return true;
        }
    }
    return false;
}

static uint32_t stride_of(const struct channel_groups *c, const struct channel_unit *u) {
    uint32_t least = UINT32_MAX, run = 0, axis = axis_of(c, c->atoms[u->first]);
    for (uint32_t i = 0; i < u->count; i++) {
        uint32_t next = axis_at(c, c->atoms[u->first + i], axis);
        run = next == axis ? run + 1 : 1;
        axis = next;
        bool last =
            i + 1 == u->count || c->atoms[u->first + i + 1] >= c->axes[axis].first + c->axes[axis].length;
        const Onnx__TensorProto *t = c->axes[axis].value->initializer;
        if (last && t && t->n_dims >= 2 && run < least) {
            least = run;
        }
    }
    return least == UINT32_MAX ? 1 : least;
}

/* The first operator that makes one of the unit's values. */
static const char *label_of(struct graph *g, const struct channel_groups *c, const struct channel_unit *u) {
    const struct graph_node *first = NULL;
    uint32_t axis = axis_of(c, c->atoms[u->first]);
    for (uint32_t i = 0; i < u->count; i++) {
        axis = axis_at(c, c->atoms[u->first + i], axis);
        const struct graph_node *n = c->axes[axis].value->producer;
        first = n && (!first || n->mark < first->mark) ? n : first;
    }
    return first ? graph_node_label(g, first) : c->axes[axis].value->name;
}

static enum rc make_families(struct coupling *k, const struct sorting *classes, size_t count,
                             const bool *contracted, struct err *err) {
    struct channel_groups *c = k->groups;
    c->unit_count = c->family_count = 0;
    for (size_t i = 0, end; i < count; i = end) {
        for (end = i + 1; end < count && classes[end].signature == classes[i].signature &&
                          classes[end].count == classes[i].count;
             end++) {
        }
        if (end - i < 2 || !is_contracted(c, &classes[i], contracted)) {
            continue;
        }
        struct channel_family *list = realloc(c->families, (c->family_count + 1) * sizeof(*list));
        if (!list) {
            return err_memory(err);
        }
        c->families = list;
        list[c->family_count] =
            (struct channel_family){.first = (uint32_t)c->unit_count, .count = (uint32_t)(end - i)};
        for (size_t j = i; j < end; j++) {
            for (uint32_t a = 0; a < classes[j].count; a++) {
                c->unit_of[c->atoms[classes[j].first + a]] = (uint32_t)c->unit_count;
            }
            c->units[c->unit_count++] =
                (struct channel_unit){classes[j].first, classes[j].count, (uint32_t)c->family_count};
        }
        c->family_count++;
    }
    return RC_OK;
}

static enum rc rank_classes(struct coupling *k, uint32_t *start, struct sorting *classes, bool *contracted,
                            struct err *err) {
    struct channel_groups *c = k->groups;
    size_t count = sort_atoms(k, start, classes);
    for (size_t i = 0; i < count; i++) {
        classes[i].signature = signature_of(c, &classes[i]);
    }
    qsort(classes, count, sizeof(*classes), by_signature);
    memset(c->unit_of, 0xff, (c->atom_count + 1) * sizeof(*c->unit_of));
    for (size_t i = 0; i < c->contraction_count; i++) {
        contracted[c->contractions[i].axis] = true;
    }
    return make_families(k, classes, count, contracted, err);
}

static enum rc find_units(struct coupling *k, struct err *err) {
    size_t atoms = k->groups->atom_count + 1;
    uint32_t *start = malloc(atoms * sizeof(*start));
    struct sorting *classes = malloc(atoms * sizeof(*classes));
    bool *contracted = calloc(k->groups->axis_count + 1, sizeof(*contracted));
    bool fine = start && classes && contracted;
    enum rc rc = fine ? rank_classes(k, start, classes, contracted, err) : err_memory(err);
    free(start);
    free(classes);
    free(contracted);
    return rc;
}

/* --- which factor of a Reshape is handed on --- */

static enum rc rebuild(struct coupling *c, size_t *atoms, struct err *err) {
    enum rc rc = apply_all(c, err);
    rc = rc != RC_OK ? rc : find_units(c, err);
    *atoms = 0;
    for (size_t i = 0; rc == RC_OK && i < c->groups->unit_count; i++) {
        *atoms += c->groups->units[i].count;
    }
    return rc;
}

/* Tries the other factors of choice `i`; keeps one that lets more be pruned. */
static enum rc try_factors(struct coupling *c, size_t i, size_t *atoms, size_t *trials, struct err *err) {
    uint8_t best = c->choices[i];
    uint8_t factors = c->choice_factors[i];
    size_t most = *atoms;
    for (uint8_t f = 0; f < factors && *trials < TRIALS_MAX; f++) {
        if (f != best) {
            c->choices[i] = f;
            (*trials)++;
            enum rc rc = rebuild(c, atoms, err);
            if (rc != RC_OK) {
                return rc;
            }
            if (*atoms > most) {
                return RC_OK;
            }
        }
    }
    c->choices[i] = best;
    return rebuild(c, atoms, err);
}

static enum rc choose_factors(struct coupling *c, struct err *err) {
    size_t atoms = 0, trials = 0;
    enum rc rc = rebuild(c, &atoms, err);
    for (size_t i = 0; i < c->choice_count && rc == RC_OK && trials < TRIALS_MAX; i++) {
        if (c->groups->unit_of[c->choice_atoms[i]] == CHANNEL_NO_UNIT) {
            rc = try_factors(c, i, &atoms, &trials, err);
        }
    }
    return rc;
}

/* --- what is refused --- */

/* The axis of the node's output that its weights make, or NULL. */
static const struct channel_axis *made_axis(const struct coupling *c, const struct graph_node *n) {
    struct weights w = weights_of(c->g, n);
    struct operand out = operand_out(c, n, 0);
    if (w.kind == WEIGHTS_NONE || out.rank < 2) {
        return NULL;
    }
    bool conv = w.kind == WEIGHTS_CONV || w.kind == WEIGHTS_CONV_TRANSPOSE;
    return &out.axes[conv ? 1 : w.slot == 0 ? out.rank - 2 : out.rank - 1];
}

static enum rc find_refusals(struct coupling *c, struct err *err) {
    struct channel_groups *groups = c->groups;
    for (struct graph_node *n = graph_first(c->g); n; n = n->next) {
        const struct channel_axis *a = made_axis(c, n);
        if (!a || !a->length || groups->unit_of[a->first] != CHANNEL_NO_UNIT) {
            continue;
        }
        struct channel_refusal *list = realloc(groups->refusals, (groups->refusal_count + 1) * sizeof(*list));
        if (!list) {
            return err_memory(err);
        }
        uint32_t pinned = c->pinned[root_of(c, a->first)];
        const struct pin_reason *reason = pinned ? &c->reasons[pinned - 1] : NULL;
        groups->refusals = list;
        list[groups->refusal_count++] = (struct channel_refusal){
            .label = graph_node_label(c->g, n),
            .node = reason && reason->node ? graph_node_label(c->g, reason->node) : NULL,
            .why = reason ? reason->why : "no constant weights sum over these channels, or there is only one",
            .length = a->length};
    }
    return RC_OK;
}

/* --- all --- */

static enum rc find(struct coupling *c, struct err *err) {
    struct channel_groups *groups = c->groups;
    enum rc rc = make_axes(groups, c->g, err);
    if (rc != RC_OK) {
        return rc;
    }
    size_t atoms = groups->atom_count + 1;
    c->parent = malloc(atoms * sizeof(*c->parent));
    c->pinned = malloc(atoms * sizeof(*c->pinned));
    c->elements = calloc(graph_value_count(c->g) + 1, sizeof(*c->elements));
    groups->atoms = malloc(atoms * sizeof(*groups->atoms));
    groups->unit_of = malloc(atoms * sizeof(*groups->unit_of));
    groups->units = malloc(atoms * sizeof(*groups->units));
    if (!c->parent || !c->pinned || !c->elements || !groups->atoms || !groups->unit_of || !groups->units) {
        return err_memory(err);
    }
    rc = choose_factors(c, err);
    for (size_t i = 0; rc == RC_OK && i < groups->family_count; i++) {
        const struct channel_unit *u = &groups->units[groups->families[i].first];
        groups->families[i].stride = stride_of(groups, u);
        groups->families[i].label = label_of(c->g, groups, u);
    }
    return rc != RC_OK ? rc : find_refusals(c, err);
}

enum rc channel_groups_find(struct graph *g, const struct graph_shapes *shapes, enum channel_use use,
                            struct channel_groups **ret, struct err *err) {
    struct coupling c = {.g = g, .groups = calloc(1, sizeof(*c.groups)), .use = use};
    if (!c.groups) {
        return err_memory(err);
    }
    c.groups->shapes = shapes;
    enum rc rc = find(&c, err);
    for (size_t i = 0; c.elements && i < graph_value_count(g); i++) {
        free(c.elements[i].list);
    }
    free(c.elements);
    free(c.parent);
    free(c.pinned);
    free(c.reasons);
    free(c.choices);
    free(c.choice_atoms);
    free(c.choice_factors);
    if (rc != RC_OK) {
        channel_groups_free(c.groups);
        return rc;
    }
    *ret = c.groups;
    return RC_OK;
}

void channel_groups_free(struct channel_groups *c) {
    if (c) {
        free(c->axes);
        free(c->first_axis);
        free(c->atoms);
        free(c->unit_of);
        free(c->units);
        free(c->families);
        free(c->contractions);
        free(c->targets);
        free(c->refusals);
        free(c);
    }
}
