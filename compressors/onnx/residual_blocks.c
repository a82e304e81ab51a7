#include "compressors/onnx/residual_blocks.h"

#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/graph_shapes.h"
#include "compressors/onnx/passes.h"
#include "compressors/onnx/weights.h"

static bool same_shape(const struct graph_shapes *s, const struct graph_value *a,
                       const struct graph_value *b) {
    size_t rank_a, rank_b;
    const int64_t *x = graph_shapes_of(s, a, &rank_a), *y = graph_shapes_of(s, b, &rank_b);
    return x && y && rank_a == rank_b && memcmp(x, y, rank_a * sizeof(*x)) == 0;
}

/* Nodes are numbered by position (mark); these are sets of them. */
struct search {
    struct graph *g;
    bool *below; /* depends on x */
    bool *above; /* `end` depends on it */
};

static bool reads(const struct graph *g, const struct graph_node *n, const struct graph_value *x,
                  const bool *below) {
    for (size_t i = 0; i < n->proto->n_input; i++) {
        const struct graph_value *v = graph_input(g, n, i);
        if (v && (v == x || (v->producer && below[v->producer->mark]))) {
            return true;
        }
    }
    return false;
}

/* True when there are weights on the ways from x to the output of `end`, and there are such ways. */
static bool has_weights_between(struct search *s, const struct graph_value *x, const struct graph_node *end) {
    size_t count = graph_node_count(s->g);
    memset(s->below, 0, count * sizeof(*s->below));
    memset(s->above, 0, count * sizeof(*s->above));
    for (struct graph_node *n = graph_first(s->g); n; n = n->next) {
        s->below[n->mark] = reads(s->g, n, x, s->below);
    }
    s->above[end->mark] = true;
    for (const struct graph_node *n = end; n; n = n->prev) {
        if (!s->above[n->mark] || !s->below[n->mark]) {
            continue;
        }
        if (weights_of(s->g, n).kind != WEIGHTS_NONE) {
            return true;
        }
        for (size_t i = 0; i < n->proto->n_input; i++) {
            const struct graph_value *v = graph_input(s->g, n, i);
            if (v && v->producer) {
                s->above[v->producer->mark] = true;
            }
        }
    }
    return false;
}

/* The input of an Add that goes on without the other one, or SIZE_MAX. */
static size_t find_skip(struct search *s, const struct graph_shapes *shapes, struct graph_node *add) {
    struct graph_value *y = graph_output(s->g, add, 0);
    for (size_t i = 0; i < 2; i++) {
        struct graph_value *x = graph_input(s->g, add, i), *f = graph_input(s->g, add, 1 - i);
        if (x && f && x != f && f->producer && !graph_constant(s->g, x) && same_shape(shapes, x, y) &&
            same_shape(shapes, f, y) && has_weights_between(s, x, f->producer)) {
            return i;
        }
    }
    return SIZE_MAX;
}

static enum rc add_block(struct residual_blocks *b, struct graph *g, struct graph_node *add, size_t skip,
                         struct err *err) {
    struct residual_block *list = realloc(b->list, (b->count + 1) * sizeof(*list));
    if (!list) {
        return err_memory(err);
    }
    b->list = list;
    list[b->count++] = (struct residual_block){graph_node_label(g, add), graph_output(g, add, 0)->name, skip};
    return RC_OK;
}

enum rc residual_blocks_find(struct graph *g, const struct graph_shapes *shapes, struct residual_blocks *ret,
                             struct err *err) {
    size_t count = graph_node_count(g);
    struct search s = {g, calloc(count + 1, sizeof(bool)), calloc(count + 1, sizeof(bool))};
    enum rc rc = s.below && s.above ? RC_OK : err_memory(err);
    int position = 0;
    *ret = (struct residual_blocks){0};
    for (struct graph_node *n = graph_first(g); n; n = n->next) {
        n->mark = position++;
    }
    for (struct graph_node *n = graph_first(g); n && rc == RC_OK; n = n->next) {
        const struct graph_value *y = graph_is_op(n, "Add") ? graph_output(g, n, 0) : NULL;
        if (!y || y->is_output || graph_is_captured(y)) {
            continue;
        }
        size_t skip = find_skip(&s, shapes, n);
        rc = skip != SIZE_MAX ? add_block(ret, g, n, skip, err) : RC_OK;
    }
    free(s.below);
    free(s.above);
    if (rc != RC_OK) {
        residual_blocks_release(ret);
    }
    return rc;
}

void residual_blocks_release(struct residual_blocks *b) {
    free(b->list);
    *b = (struct residual_blocks){0};
}

enum rc residual_block_drop(struct graph *g, const struct residual_block *b, bool *dropped, struct err *err) {
    struct graph_value *y = graph_find(g, b->sum);
    struct graph_value *x = y && y->producer ? graph_input(g, y->producer, b->skip) : NULL;
    *dropped = x && graph_is_op(y->producer, "Add");
    if (!*dropped) {
        return RC_OK;
    }
    enum rc rc = graph_redirect(g, y, x, NULL, err);
    return rc != RC_OK ? rc : pass_remove_dead(g, NULL, err);
}
