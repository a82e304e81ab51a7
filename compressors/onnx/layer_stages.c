#include "compressors/onnx/layer_stages.h"

static int later(int a, const struct graph_value *v) {
    int b = v && v->producer ? v->producer->mark : 0;
    return a > b ? a : b;
}

/* mark: how many layers in a row lie before the node's outputs, itself included. */
static int depth_before(const struct graph *g, const struct graph_node *n) {
    int depth = 0;
    for (size_t i = 0; i < n->proto->n_input; i++) {
        depth = later(depth, graph_input(g, n, i));
    }
    for (size_t i = 0; i < n->captured_count; i++) {
        depth = later(depth, n->captured[i]);
    }
    return depth;
}

size_t layer_stages(const struct graph *g, struct graph_node *const *nodes, size_t count, size_t max_stages,
                    size_t *stage) {
    size_t next = 0, deepest = 0;
    for (struct graph_node *n = graph_first(g); n; n = n->next) {
        n->mark = depth_before(g, n);
        if (next < count && nodes[next] == n) {
            stage[next] = (size_t)n->mark;
            deepest = stage[next] > deepest ? stage[next] : deepest;
            n->mark++;
            next++;
        }
    }
    size_t stages = count ? deepest + 1 : 0;
    for (size_t i = 0; i < count && stages > max_stages; i++) {
        stage[i] = stage[i] * max_stages / stages;
    }
    return stages < max_stages ? stages : max_stages;
}
