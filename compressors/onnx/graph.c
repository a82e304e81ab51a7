/* The graph's index and everything that edits nodes and values. The invariants, between any two calls of the
 * public functions:
 *  - every name in the main graph has one struct graph_value, found through `slots`;
 *  - value->uses holds exactly the (node, slot) pairs of listed nodes whose input at `slot` is that name, and
 * one entry with GRAPH_CAPTURED for each node and each name that its subgraphs take;
 *  - value->producer is the listed node with that name among its outputs.
 * The messages' own lists of nodes and initializers follow in graph_sync. */
#include "compressors/onnx/graph.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/graph_internal.h"

enum { FIRST_SLOTS = 256, MAX_UNIQUE_TRIES = 1000 * 1000 };

struct graph *graph_new(size_t max_bytes) {
    struct graph *g = calloc(1, sizeof(*g));
    if (!g) {
        return NULL;
    }
    g->arena = arena_new(max_bytes);
    g->slots = calloc(FIRST_SLOTS, sizeof(*g->slots));
    g->slot_count = FIRST_SLOTS;
    if (!g->arena || !g->slots) {
        graph_free(g);
        return NULL;
    }
    return g;
}

void graph_free(struct graph *g) {
    if (!g) {
        return;
    }
    graph_unmap(g);
    arena_free(g->arena);
    free(g->values);
    free(g->slots);
    free(g);
}

/* --- names --- */

/* FNV-1a (Fowler, Noll, Vo): short keys, no need to resist an attacker beyond the arena's cap on names. */
static size_t hash_name(const char *name) {
    uint64_t h = 14695981039346656037u;
    for (; *name; name++) {
        h = (h ^ (uint8_t)*name) * 1099511628211u;
    }
    return (size_t)(h ^ (h >> 32));
}

/* The slot that holds `name`, or the empty one where it belongs. */
static uint32_t *find_slot(const struct graph *g, const char *name) {
    size_t i = hash_name(name) & (g->slot_count - 1);
    while (g->slots[i] && strcmp(g->values[g->slots[i] - 1]->name, name) != 0) {
        i = (i + 1) & (g->slot_count - 1);
    }
    return &g->slots[i];
}

static bool grow_slots(struct graph *g) {
    uint32_t *old = g->slots;
    assert(g->slot_count > 0); /* from graph_new on */
    size_t count = g->slot_count * 2;
    uint32_t *slots = calloc(count, sizeof(*slots));
    if (!slots) {
        return false;
    }
    g->slots = slots;
    g->slot_count = count;
    for (size_t i = 0; i < g->value_count; i++) {
        *find_slot(g, g->values[i]->name) = (uint32_t)(i + 1);
    }
    free(old);
    return true;
}

static bool grow_values(struct graph *g) {
    size_t capacity = g->value_capacity ? g->value_capacity * 2 : FIRST_SLOTS;
    struct graph_value **values =
        capacity > UINT32_MAX / 2 ? NULL : realloc(g->values, capacity * sizeof(struct graph_value *));
    if (!values) {
        return false;
    }
    g->values = values;
    g->value_capacity = capacity;
    return true;
}

struct graph_value *graph_find(const struct graph *g, const char *name) {
    if (!name || !*name) {
        return NULL;
    }
    uint32_t at = *find_slot(g, name);
    return at ? g->values[at - 1] : NULL;
}

struct graph_value *graph_intern(struct graph *g, const char *name) {
    struct graph_value *v = graph_find(g, name);
    if (v) {
        return v;
    }
    if ((g->value_count == g->value_capacity && !grow_values(g)) ||
        (g->value_count * 2 >= g->slot_count && !grow_slots(g))) {
        return NULL;
    }
    v = arena_alloc(g->arena, sizeof(*v));
    char *copy = arena_strdup(g->arena, name);
    if (!v || !copy) {
        return NULL;
    }
    v->name = copy;
    uint32_t *slot = find_slot(g, name);
    g->values[g->value_count++] = v;
    *slot = (uint32_t)g->value_count;
    return v;
}

const char *graph_unique_name(struct graph *g, const char *hint) {
    hint = hint && *hint ? hint : "value";
    const char *name = hint;
    for (unsigned i = 2; graph_find(g, name); i++) {
        name = i > MAX_UNIQUE_TRIES ? NULL : arena_printf(g->arena, "%s_%u", hint, i);
        if (!name) {
            return NULL;
        }
    }
    struct graph_value *v = graph_intern(g, name);
    return v ? v->name : NULL;
}

size_t graph_value_count(const struct graph *g) {
    return g->value_count;
}

struct graph_value *graph_value_at(const struct graph *g, size_t i) {
    return i < g->value_count ? g->values[i] : NULL;
}

/* --- uses --- */

enum rc graph_add_use(struct graph *g, struct graph_value *v, struct graph_node *n, size_t slot,
                      struct err *err) {
    size_t count = v->use_count;
    if ((count & (count - 1)) == 0) { /* full at every power of two */
        size_t capacity = count ? count * 2 : 1;
        struct graph_use *uses = arena_calloc(g->arena, capacity, sizeof(*uses));
        if (!uses) {
            return err_memory(err);
        }
        if (count) {
            memcpy(uses, v->uses, count * sizeof(*uses));
        }
        v->uses = uses;
    }
    v->uses[v->use_count++] = (struct graph_use){n, slot};
    return RC_OK;
}

static void remove_use(struct graph_value *v, const struct graph_node *n, size_t slot) {
    for (size_t i = 0; v && i < v->use_count; i++) {
        if (v->uses[i].node == n && v->uses[i].slot == slot) {
            v->uses[i] = v->uses[--v->use_count];
            return;
        }
    }
}

const struct graph_use *graph_sole_use(const struct graph_value *v) {
    bool sole = v->use_count == 1 && !v->is_output && v->uses[0].slot != GRAPH_CAPTURED;
    return sole ? &v->uses[0] : NULL;
}

bool graph_is_captured(const struct graph_value *v) {
    for (size_t i = 0; i < v->use_count; i++) {
        if (v->uses[i].slot == GRAPH_CAPTURED) {
            return true;
        }
    }
    return false;
}

/* --- nodes: look up --- */

struct graph_node *graph_first(const struct graph *g) {
    return g->first;
}

size_t graph_node_count(const struct graph *g) {
    return g->node_count;
}

struct graph_value *graph_input(const struct graph *g, const struct graph_node *n, size_t slot) {
    return slot < n->proto->n_input ? graph_find(g, n->proto->input[slot]) : NULL;
}

struct graph_value *graph_output(const struct graph *g, const struct graph_node *n, size_t slot) {
    return slot < n->proto->n_output ? graph_find(g, n->proto->output[slot]) : NULL;
}

static bool same_domain(const char *a, const char *b) {
    a = a && strcmp(a, "ai.onnx") != 0 ? a : "";
    b = b && strcmp(b, "ai.onnx") != 0 ? b : "";
    return strcmp(a, b) == 0;
}

bool graph_is_op_of(const struct graph_node *n, const char *domain, const char *op_type) {
    return strcmp(n->proto->op_type, op_type) == 0 && same_domain(n->proto->domain, domain);
}

bool graph_is_op(const struct graph_node *n, const char *op_type) {
    return graph_is_op_of(n, NULL, op_type);
}

bool graph_has_subgraph(const struct graph_node *n) {
    for (size_t i = 0; i < n->proto->n_attribute; i++) {
        if (n->proto->attribute[i]->g || n->proto->attribute[i]->n_graphs) {
            return true;
        }
    }
    return false;
}

const char *graph_node_label(struct graph *g, const struct graph_node *n) {
    const char *name = n->proto->name && *n->proto->name ? n->proto->name
                       : n->proto->n_output              ? n->proto->output[0]
                                                         : "without a name";
    const char *label = arena_printf(g->arena, "node %.80s %.160s", n->proto->op_type, name);
    return label ? label : n->proto->op_type;
}

Onnx__TensorProto *graph_constant(const struct graph *g, const struct graph_value *v) {
    (void)g;
    if (!v || v->is_sparse) {
        return NULL;
    }
    if (v->initializer) {
        return v->initializer;
    }
    if (v->producer && graph_is_op(v->producer, "Constant")) {
        const Onnx__AttributeProto *a = graph_attr(v->producer, "value");
        return a ? a->t : NULL;
    }
    return NULL;
}

/* --- nodes: edit --- */

static void list_insert(struct graph *g, struct graph_node *n, struct graph_node *before) {
    n->next = before;
    n->prev = before ? before->prev : g->last;
    *(n->prev ? &n->prev->next : &g->first) = n;
    *(before ? &before->prev : &g->last) = n;
    g->node_count++;
}

static enum rc link_input(struct graph *g, struct graph_node *n, size_t slot, struct err *err) {
    const char *name = n->proto->input[slot];
    if (!name || !*name) {
        return RC_OK;
    }
    struct graph_value *v = graph_intern(g, name);
    if (!v) {
        return err_memory(err);
    }
    return graph_add_use(g, v, n, slot, err);
}

static enum rc link_output(struct graph *g, struct graph_node *n, size_t slot, struct err *err) {
    const char *name = n->proto->output[slot];
    if (!name || !*name) {
        return RC_OK;
    }
    struct graph_value *v = graph_intern(g, name);
    if (!v) {
        return err_memory(err);
    }
    if (v->producer || v->initializer || v->is_input || v->is_sparse) {
        return err_set(err, RC_INPUT, "%s defines \"%.160s\", which is defined already",
                       graph_node_label(g, n), v->name);
    }
    v->producer = n;
    v->producer_slot = slot;
    return RC_OK;
}

enum rc graph_link_node(struct graph *g, Onnx__NodeProto *proto, struct graph_node *before,
                        struct graph_node **ret, struct err *err) {
    struct graph_node *n = arena_alloc(g->arena, sizeof(*n));
    if (!n) {
        return err_memory(err);
    }
    n->proto = proto;
    n->id = g->next_id++;
    enum rc rc = RC_OK;
    for (size_t i = 0; i < proto->n_output && rc == RC_OK; i++) {
        rc = link_output(g, n, i, err);
    }
    for (size_t i = 0; i < proto->n_input && rc == RC_OK; i++) {
        rc = link_input(g, n, i, err);
    }
    if (rc == RC_OK) {
        list_insert(g, n, before);
        *ret = n;
    }
    return rc;
}

static char **copy_names(struct graph *g, const char *const *names, size_t count) {
    char **copy = arena_calloc(g->arena, count + 1, sizeof(char *));
    for (size_t i = 0; copy && i < count; i++) {
        copy[i] = arena_strdup(g->arena, names[i] ? names[i] : "");
        copy = copy[i] ? copy : NULL;
    }
    return copy;
}

enum rc graph_add_node(struct graph *g, const struct graph_node_spec *spec, struct graph_node *before,
                       struct graph_node **ret, struct err *err) {
    Onnx__NodeProto *p = arena_alloc(g->arena, sizeof(*p));
    if (!p) {
        return err_memory(err);
    }
    onnx__node_proto__init(p);
    p->op_type = arena_strdup(g->arena, spec->op_type);
    p->domain = spec->domain && *spec->domain ? arena_strdup(g->arena, spec->domain) : NULL;
    p->name = spec->name ? arena_strdup(g->arena, spec->name)
                         : arena_printf(g->arena, "%s/%s", spec->output_count ? spec->outputs[0] : "",
                                        spec->op_type);
    p->input = copy_names(g, spec->inputs, spec->input_count);
    p->output = copy_names(g, spec->outputs, spec->output_count);
    if (!p->op_type || !p->name || !p->input || !p->output || (spec->domain && *spec->domain && !p->domain)) {
        return err_memory(err);
    }
    p->n_input = spec->input_count;
    p->n_output = spec->output_count;
    struct graph_node *n;
    enum rc rc = graph_link_node(g, p, before, &n, err);
    if (rc == RC_OK && ret) {
        *ret = n;
    }
    return rc == RC_INPUT
               ? err_set(err, RC_INTERNAL, "adding a %s node: an output's name is taken", spec->op_type)
               : rc;
}

static void unlink_output(struct graph *g, struct graph_node *n, size_t slot) {
    struct graph_value *v = graph_output(g, n, slot);
    if (v && v->producer == n) {
        v->producer = NULL;
        v->producer_slot = 0;
    }
}

void graph_remove_node(struct graph *g, struct graph_node *n) {
    for (size_t i = 0; i < n->proto->n_input; i++) {
        remove_use(graph_input(g, n, i), n, i);
    }
    for (size_t i = 0; i < n->captured_count; i++) {
        remove_use(n->captured[i], n, GRAPH_CAPTURED);
    }
    for (size_t i = 0; i < n->proto->n_output; i++) {
        unlink_output(g, n, i);
    }
    *(n->prev ? &n->prev->next : &g->first) = n->next;
    *(n->next ? &n->next->prev : &g->last) = n->prev;
    g->node_count--;
}

enum rc graph_set_input(struct graph *g, struct graph_node *n, size_t slot, const char *name,
                        struct err *err) {
    Onnx__NodeProto *p = n->proto;
    if (slot > p->n_input) {
        return err_set(err, RC_INTERNAL, "%s has no input %zu", graph_node_label(g, n), slot);
    }
    char *copy = arena_strdup(g->arena, name);
    if (!copy) {
        return err_memory(err);
    }
    if (slot == p->n_input) {
        char **inputs = arena_calloc(g->arena, slot + 1, sizeof(*inputs));
        if (!inputs) {
            return err_memory(err);
        }
        if (slot) {
            memcpy(inputs, p->input, slot * sizeof(*inputs));
        }
        p->input = inputs;
        p->n_input++;
    } else {
        remove_use(graph_input(g, n, slot), n, slot);
    }
    p->input[slot] = copy;
    return link_input(g, n, slot, err);
}

void graph_trim_inputs(struct graph *g, struct graph_node *n, size_t count) {
    for (size_t i = count; i < n->proto->n_input; i++) {
        remove_use(graph_input(g, n, i), n, i);
    }
    n->proto->n_input = count < n->proto->n_input ? count : n->proto->n_input;
}

enum rc graph_set_output(struct graph *g, struct graph_node *n, size_t slot, const char *name,
                         struct err *err) {
    if (slot >= n->proto->n_output) {
        return err_set(err, RC_INTERNAL, "%s has no output %zu", graph_node_label(g, n), slot);
    }
    char *copy = arena_strdup(g->arena, name);
    if (!copy) {
        return err_memory(err);
    }
    unlink_output(g, n, slot);
    n->proto->output[slot] = copy;
    enum rc rc = link_output(g, n, slot, err);
    return rc == RC_INPUT ? err_set(err, RC_INTERNAL, "the name \"%.160s\" is taken", name) : rc;
}

enum rc graph_redirect(struct graph *g, struct graph_value *from, struct graph_value *to,
                       const struct graph_node *except, struct err *err) {
    size_t i = 0;
    while (i < from->use_count && from != to) {
        struct graph_use use = from->uses[i];
        if (use.slot == GRAPH_CAPTURED || use.node == except) {
            i++;
            continue;
        }
        enum rc rc =
            graph_set_input(g, use.node, use.slot, to->name, err); /* puts another use into place i */
        if (rc != RC_OK) {
            return rc;
        }
    }
    return RC_OK;
}

enum rc graph_take_over(struct graph *g, struct graph_value *v, struct graph_value *by, struct err *err) {
    if (!v->producer || !by->producer || by->is_output || graph_is_captured(by) ||
        v->producer == by->producer) {
        return err_set(err, RC_INTERNAL, "\"%.160s\" cannot take over from \"%.160s\"", by->name, v->name);
    }
    struct graph_node *node = by->producer;
    size_t slot = by->producer_slot;
    graph_remove_node(g, v->producer);
    enum rc rc = graph_set_output(g, node, slot, v->name, err);
    return rc != RC_OK ? rc : graph_redirect(g, by, v, NULL, err);
}

enum rc graph_set_op(struct graph *g, struct graph_node *n, const char *domain, const char *op_type,
                     struct err *err) {
    char *op = arena_strdup(g->arena, op_type);
    char *dom = domain && *domain ? arena_strdup(g->arena, domain) : NULL;
    if (!op || (domain && *domain && !dom)) {
        return err_memory(err);
    }
    n->proto->op_type = op;
    n->proto->domain = dom;
    return RC_OK;
}
