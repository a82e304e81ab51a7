#include "compressors/onnx/residual_partner.h"

#include <stdbool.h>
#include <stdlib.h>

#include "compressors/onnx/weights.h"

static struct graph_value *added_to(const struct graph *g, const struct graph_node *n) {
    const struct graph_value *out = graph_output(g, n, 0);
    while (out && out->use_count == 1 && !out->is_output && graph_is_op(out->uses[0].node, "Add") &&
           out->uses[0].slot < 2) {
        struct graph_value *other = graph_input(g, out->uses[0].node, 1 - out->uses[0].slot);
        if (!other || other == out) {
            return NULL;
        }
        if (!graph_constant(g, other)) {
            return other;
        }
        out = graph_output(g, out->uses[0].node, 0);
    }
    return NULL;
}

enum { NEW, PENDING, SEEN };

static bool push(struct graph_node **stack, size_t *count, const struct graph_value *v) {
    struct graph_node *from = v ? v->producer : NULL;
    if (from && from->mark == PENDING) {
        return false;
    }
    if (from && from->mark == NEW) {
        from->mark = SEEN;
        stack[(*count)++] = from;
    }
    return true;
}

/* False where v depends on a node that is marked PENDING. */
static bool is_settled(const struct graph *g, const struct graph_value *v, struct graph_node **stack) {
    size_t count = 0;
    bool fine = push(stack, &count, v);
    while (fine && count > 0) {
        const struct graph_node *n = stack[--count];
        for (size_t i = 0; i < n->proto->n_input && fine; i++) {
            fine = push(stack, &count, graph_input(g, n, i));
        }
        for (size_t i = 0; i < n->captured_count && fine; i++) {
            fine = push(stack, &count, n->captured[i]);
        }
    }
    return fine;
}

/* And all that use the same weights. */
static void mark_pending(const struct graph *g, struct graph_node *n) {
    struct weights w = weights_of(g, n);
    n->mark = PENDING;
    for (size_t i = 0; w.kind != WEIGHTS_NONE && i < w.value->use_count; i++) {
        w.value->uses[i].node->mark = PENDING;
    }
}

struct graph_value *residual_partner(const struct graph *g, const struct graph_node *n,
                                     const struct graph_node *const *pending, size_t pending_count) {
    struct graph_value *v = added_to(g, n);
    struct graph_node **stack = v ? calloc(graph_node_count(g) + 1, sizeof(struct graph_node *)) : NULL;
    if (!stack) {
        return NULL;
    }
    for (struct graph_node *each = graph_first(g); each; each = each->next) {
        each->mark = NEW;
    }
    for (size_t i = 0; i < pending_count; i++) {
        mark_pending(g, (struct graph_node *)pending[i]);
    }
    bool settled = is_settled(g, v, stack);
    free(stack);
    return settled ? v : NULL;
}
