#include <string.h>

#include "compressors/onnx/graph_internal.h"
#include "compressors/onnx/passes.h"

static bool is_read(const struct graph_value *v) {
    return v && (v->use_count || v->is_output);
}

static bool is_dead(const struct graph *g, const struct graph_node *n) {
    for (size_t i = 0; i < n->proto->n_output; i++) {
        if (is_read(graph_output(g, n, i))) {
            return false;
        }
    }
    return true;
}

static void drop_declarations(struct graph *g) {
    Onnx__GraphProto *p = g->model->graph;
    size_t kept = 0;
    for (size_t i = 0; i < p->n_value_info; i++) {
        const struct graph_value *v = graph_find(g, p->value_info[i]->name);
        if (v && (v->producer || v->initializer || v->is_input)) {
            p->value_info[kept++] = p->value_info[i];
        }
    }
    p->n_value_info = kept;
}

enum rc pass_remove_dead(struct graph *g, size_t *count, struct err *err) {
    size_t removed = 0;
    enum rc rc = graph_sort(g, err);
    if (rc != RC_OK) {
        return rc;
    }
    /* Backwards over a sorted list: what only a dead node reads is met after that node. */
    for (struct graph_node *n = g->last, *prev; n; n = prev) {
        prev = n->prev;
        if (is_dead(g, n)) {
            graph_remove_node(g, n);
            removed++;
        }
    }
    for (size_t i = 0; i < g->value_count && rc == RC_OK; i++) {
        struct graph_value *v = g->values[i];
        if (v->initializer && !v->is_input && !is_read(v)) {
            rc = graph_remove_initializer(g, v, err);
            removed++;
        }
    }
    drop_declarations(g);
    if (count) {
        *count = removed;
    }
    return rc != RC_OK ? rc : graph_sync(g, err);
}
