/* From protobuf messages to the index: every name of the main graph, its producer, its uses, and what
 * subgraphs take from outside. A model that passes graph_index has op types and names wherever the other
 * files read them, no name defined twice, no input that nothing produces, and initializers whose data fit
 * their dims. */
#include <string.h>

#include "compressors/onnx/graph_internal.h"

/* --- subgraphs --- */

struct capture {
    struct graph *g;
    struct graph_node *owner;
    struct err *err;
};

static enum rc capture_name(struct capture *c, const char *name) {
    struct graph_value *v = graph_find(c->g, name);
    struct graph_node *n = c->owner;
    if (!v) {
        return RC_OK; /* defined inside the subgraph, or nowhere: the runtime will say so */
    }
    /* Captures are entered owner by owner after all other uses, so that an earlier one by n is v's last use.
     */
    const struct graph_use *last = v->use_count ? &v->uses[v->use_count - 1] : NULL;
    if (last && last->node == n && last->slot == GRAPH_CAPTURED) {
        return RC_OK;
    }
    if ((n->captured_count & (n->captured_count - 1)) == 0) { /* full at every power of two */
        struct graph_value **list = arena_calloc(c->g->arena, n->captured_count ? n->captured_count * 2 : 1,
                                                 sizeof(struct graph_value *));
        if (!list) {
            return err_memory(c->err);
        }
        if (n->captured_count) {
            memcpy(list, n->captured, n->captured_count * sizeof(struct graph_value *));
        }
        n->captured = list;
    }
    n->captured[n->captured_count++] = v;
    return graph_add_use(c->g, v, n, GRAPH_CAPTURED, c->err);
}

typedef enum rc visit_name(struct capture *c, const char *name);

static enum rc visit_subgraph(struct capture *c, const Onnx__GraphProto *sub, visit_name *used,
                              visit_name *defined);

static enum rc visit_attributes(struct capture *c, const Onnx__NodeProto *p, visit_name *used,
                                visit_name *defined) {
    enum rc rc = RC_OK;
    for (size_t i = 0; i < p->n_attribute && rc == RC_OK; i++) {
        const Onnx__AttributeProto *a = p->attribute[i];
        if (a->g) {
            rc = visit_subgraph(c, a->g, used, defined);
        }
        for (size_t j = 0; j < a->n_graphs && rc == RC_OK; j++) {
            rc = visit_subgraph(c, a->graphs[j], used, defined);
        }
    }
    return rc;
}

static enum rc visit_names(struct capture *c, char *const *names, size_t count, visit_name *visit) {
    enum rc rc = RC_OK;
    for (size_t i = 0; visit && i < count && rc == RC_OK; i++) {
        rc = visit(c, names[i]);
    }
    return rc;
}

/* Calls `used` for every name that nodes and outputs of the subgraph read, `defined` for every name that it
 * makes; either may be NULL. The depth is limited by graph_wire_check. */
static enum rc visit_subgraph(struct capture *c, const Onnx__GraphProto *sub, visit_name *used,
                              visit_name *defined) {
    enum rc rc = RC_OK;
    for (size_t i = 0; i < sub->n_node && rc == RC_OK; i++) {
        const Onnx__NodeProto *p = sub->node[i];
        rc = visit_names(c, p->input, p->n_input, used);
        rc = rc != RC_OK ? rc : visit_names(c, p->output, p->n_output, defined);
        rc = rc != RC_OK ? rc : visit_attributes(c, p, used, defined);
    }
    for (size_t i = 0; used && i < sub->n_output && rc == RC_OK; i++) {
        rc = used(c, sub->output[i]->name);
    }
    for (size_t i = 0; defined && i < sub->n_input && rc == RC_OK; i++) {
        rc = defined(c, sub->input[i]->name);
    }
    for (size_t i = 0; defined && i < sub->n_initializer && rc == RC_OK; i++) {
        rc = defined(c, sub->initializer[i]->name);
    }
    return rc;
}

static enum rc reserve_name(struct capture *c, const char *name) {
    return !name || !*name || graph_intern(c->g, name) ? RC_OK : err_memory(c->err);
}

/* First all captures, then all inner names, so that an inner name is not taken for one of the main graph.
 * Names must be unique over a graph and its subgraphs (ONNX IR, "Names Within a Graph"); a model that shadows
 * an outer name only keeps that name alive. */
static enum rc index_subgraphs(struct graph *g, struct err *err) {
    struct capture c = {g, NULL, err};
    enum rc rc = RC_OK;
    for (struct graph_node *n = g->first; n && rc == RC_OK; n = n->next) {
        c.owner = n;
        rc = visit_attributes(&c, n->proto, capture_name, NULL);
    }
    for (struct graph_node *n = g->first; n && rc == RC_OK; n = n->next) {
        rc = visit_attributes(&c, n->proto, NULL, reserve_name);
    }
    return rc;
}

/* --- values of the main graph --- */

static enum rc declared(struct graph *g, Onnx__ValueInfoProto *info, const char *what,
                        struct graph_value **ret, struct err *err) {
    if (!info->name || !*info->name) {
        return err_set(err, RC_INPUT, "the model has %s without a name", what);
    }
    struct graph_value *v = graph_intern(g, info->name);
    if (!v) {
        return err_memory(err);
    }
    v->info = info;
    *ret = v;
    return RC_OK;
}

static enum rc index_inputs(struct graph *g, struct err *err) {
    Onnx__GraphProto *p = g->model->graph;
    struct graph_value *v = NULL;
    for (size_t i = 0; i < p->n_input; i++) {
        enum rc rc = declared(g, p->input[i], "an input", &v, err);
        if (rc != RC_OK) {
            return rc;
        }
        if (v->is_input) {
            return err_set(err, RC_INPUT, "input \"%.160s\" is listed twice", v->name);
        }
        v->is_input = true;
    }
    return RC_OK;
}

/* After nodes, so that an output's own declaration does not hide one of value_info. */
static enum rc index_declarations(struct graph *g, struct err *err) {
    Onnx__GraphProto *p = g->model->graph;
    struct graph_value *v = NULL;
    for (size_t i = 0; i < p->n_value_info; i++) {
        v = graph_find(g, p->value_info[i]->name);
        if (v && !v->info) {
            v->info = p->value_info[i];
        }
    }
    for (size_t i = 0; i < p->n_output; i++) {
        enum rc rc = declared(g, p->output[i], "an output", &v, err);
        if (rc != RC_OK) {
            return rc;
        }
        v->is_output = true;
        if (!v->producer && !v->initializer && !v->is_input && !v->is_sparse) {
            return err_set(err, RC_INPUT, "output \"%.160s\" is produced by no node", v->name);
        }
    }
    return RC_OK;
}

static enum rc index_initializer(struct graph *g, Onnx__TensorProto *t, struct err *err) {
    if (!t->name || !*t->name) {
        return err_set(err, RC_INPUT, "the model has an initializer without a name");
    }
    struct graph_value *v = graph_intern(g, t->name);
    if (!v) {
        return err_memory(err);
    }
    if (v->initializer || v->is_sparse) {
        return err_set(err, RC_INPUT, "initializer \"%.160s\" is defined twice", v->name);
    }
    v->initializer = t;
    return graph_tensor_check(t, err) != RC_OK ? err_prefix(err, "initializer \"%.160s\"", v->name) : RC_OK;
}

static enum rc index_sparse(struct graph *g, const Onnx__SparseTensorProto *s, struct err *err) {
    struct graph_value *v =
        s->values && s->values->name && *s->values->name ? graph_intern(g, s->values->name) : NULL;
    if (!v) {
        return err_set(err, RC_INPUT, "the model has a sparse initializer without a name");
    }
    if (v->initializer || v->is_sparse) {
        return err_set(err, RC_INPUT, "initializer \"%.160s\" is defined twice", v->name);
    }
    v->is_sparse = true;
    return RC_OK;
}

static enum rc index_tensors(struct graph *g, struct err *err) {
    Onnx__GraphProto *p = g->model->graph;
    enum rc rc = RC_OK;
    for (size_t i = 0; i < p->n_initializer && rc == RC_OK; i++) {
        rc = index_initializer(g, p->initializer[i], err);
    }
    for (size_t i = 0; i < p->n_sparse_initializer && rc == RC_OK; i++) {
        rc = index_sparse(g, p->sparse_initializer[i], err);
    }
    return rc;
}

static enum rc index_nodes(struct graph *g, struct err *err) {
    Onnx__GraphProto *p = g->model->graph;
    for (size_t i = 0; i < p->n_node; i++) {
        struct graph_node *n;
        if (!p->node[i]->op_type || !*p->node[i]->op_type) {
            return err_set(err, RC_INPUT, "node %zu has no operator", i);
        }
        enum rc rc = graph_link_node(g, p->node[i], NULL, &n, err);
        if (rc != RC_OK) {
            return rc;
        }
    }
    return RC_OK;
}

static enum rc check_sources(struct graph *g, struct err *err) {
    for (struct graph_node *n = g->first; n; n = n->next) {
        for (size_t i = 0; i < n->proto->n_input; i++) {
            const struct graph_value *v = graph_input(g, n, i);
            if (v && !v->producer && !v->initializer && !v->is_input && !v->is_sparse) {
                return err_set(err, RC_INPUT, "%s reads \"%.160s\", which nothing produces",
                               graph_node_label(g, n), v->name);
            }
        }
    }
    return RC_OK;
}

enum rc graph_index(struct graph *g, struct err *err) {
    if (!g->model->graph) {
        return err_set(err, RC_INPUT, "not an ONNX model: it has no graph");
    }
    enum rc rc = index_inputs(g, err);
    rc = rc != RC_OK ? rc : index_tensors(g, err);
    rc = rc != RC_OK ? rc : index_nodes(g, err);
    rc = rc != RC_OK ? rc : index_declarations(g, err);
    rc = rc != RC_OK ? rc : index_subgraphs(g, err);
    rc = rc != RC_OK ? rc : check_sources(g, err);
    return rc != RC_OK ? rc : graph_sort(g, err);
}

/* --- inputs and outputs --- */

size_t graph_close_initializers(struct graph *g) {
    Onnx__GraphProto *p = g->model->graph;
    size_t kept = 0, closed = 0;
    for (size_t i = 0; i < p->n_input; i++) {
        struct graph_value *v = graph_find(g, p->input[i]->name);
        if (v->initializer || v->is_sparse) {
            v->is_input = false;
            closed++;
        } else {
            p->input[kept++] = p->input[i];
        }
    }
    p->n_input = kept;
    if (closed && g->model->ir_version < 4) {
        g->model->has_ir_version = 1;
        g->model->ir_version = 4;
    }
    return closed;
}

/* The i-th input that is no initializer; *count gets how many there are when there are fewer. */
static struct graph_value *nth_feed(const struct graph *g, size_t i, size_t *count) {
    const Onnx__GraphProto *p = g->model->graph;
    *count = 0;
    for (size_t k = 0; k < p->n_input; k++) {
        struct graph_value *v = graph_find(g, p->input[k]->name);
        if (!v->initializer && !v->is_sparse && (*count)++ == i) {
            return v;
        }
    }
    return NULL;
}

size_t graph_feed_count(const struct graph *g) {
    size_t count;
    nth_feed(g, SIZE_MAX, &count);
    return count;
}

struct graph_value *graph_feed(const struct graph *g, size_t i) {
    size_t count;
    return nth_feed(g, i, &count);
}

size_t graph_result_count(const struct graph *g) {
    return g->model->graph->n_output;
}

struct graph_value *graph_result(const struct graph *g, size_t i) {
    const Onnx__GraphProto *p = g->model->graph;
    return i < p->n_output ? graph_find(g, p->output[i]->name) : NULL;
}

static Onnx__ValueInfoProto *new_tensor_info(struct graph *g, const char *name, int32_t dtype) {
    Onnx__ValueInfoProto *info = arena_alloc(g->arena, sizeof(*info));
    Onnx__TypeProto *type = arena_alloc(g->arena, sizeof(*type));
    Onnx__TypeProto__Tensor *tensor = arena_alloc(g->arena, sizeof(*tensor));
    char *copy = arena_strdup(g->arena, name);
    if (!info || !type || !tensor || !copy) {
        return NULL;
    }
    onnx__value_info_proto__init(info);
    onnx__type_proto__init(type);
    onnx__type_proto__tensor__init(tensor);
    tensor->has_elem_type = 1;
    tensor->elem_type = dtype;
    type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    type->tensor_type = tensor;
    info->name = copy;
    info->type = type;
    return info;
}

enum rc graph_add_output(struct graph *g, struct graph_value *v, int32_t dtype, struct err *err) {
    Onnx__GraphProto *p = g->model->graph;
    if (v->is_output) {
        return RC_OK;
    }
    if (p->n_output >= g->output_capacity) {
        size_t capacity = p->n_output * 2 + 16;
        Onnx__ValueInfoProto **list = arena_calloc(g->arena, capacity, sizeof(Onnx__ValueInfoProto *));
        if (!list) {
            return err_memory(err);
        }
        if (p->n_output) {
            memcpy(list, p->output, p->n_output * sizeof(Onnx__ValueInfoProto *));
        }
        p->output = list;
        g->output_capacity = capacity;
    }
    Onnx__ValueInfoProto *info = new_tensor_info(g, v->name, dtype);
    if (!info) {
        return err_memory(err);
    }
    p->output[p->n_output++] = info;
    v->is_output = true;
    return RC_OK;
}

enum rc graph_add_input(struct graph *g, const char *hint, int32_t dtype, struct graph_value **ret,
                        struct err *err) {
    Onnx__GraphProto *p = g->model->graph;
    const char *name = graph_unique_name(g, hint);
    struct graph_value *v = name ? graph_intern(g, name) : NULL;
    Onnx__ValueInfoProto *info = v ? new_tensor_info(g, v->name, dtype) : NULL;
    Onnx__ValueInfoProto **list = arena_calloc(g->arena, p->n_input + 1, sizeof(Onnx__ValueInfoProto *));
    if (!info || !list) {
        return err_memory(err);
    }
    if (p->n_input) {
        memcpy(list, p->input, p->n_input * sizeof(Onnx__ValueInfoProto *));
    }
    list[p->n_input++] = info;
    p->input = list;
    v->info = info;
    v->is_input = true;
    v->dtype = dtype;
    *ret = v;
    return RC_OK;
}

void graph_drop_outputs(struct graph *g) {
    for (size_t i = 0; i < graph_result_count(g); i++) {
        struct graph_value *v = graph_result(g, i);
        if (v) {
            v->is_output = false;
        }
    }
    g->model->graph->n_output = 0;
}

/* --- declared types --- */

void graph_forget_info(struct graph_value *v) {
    if (!v->is_input && !v->is_output) {
        v->info = NULL; /* graph_sync drops the entry */
    }
}

static const Onnx__TypeProto__Tensor *tensor_type(const struct graph_value *v) {
    const Onnx__TypeProto *t = v->info ? v->info->type : NULL;
    return t && t->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE ? t->tensor_type : NULL;
}

int32_t graph_declared_dtype(const struct graph_value *v) {
    const Onnx__TypeProto__Tensor *t = tensor_type(v);
    return v->initializer ? v->initializer->data_type : t && t->has_elem_type ? t->elem_type : GRAPH_UNKNOWN;
}

bool graph_shape(const struct graph_value *v, int64_t dims[GRAPH_MAX_RANK], size_t *rank) {
    if (v->initializer && v->initializer->n_dims <= GRAPH_MAX_RANK) {
        *rank = v->initializer->n_dims;
        for (size_t i = 0; i < *rank; i++) {
            dims[i] = v->initializer->dims[i];
        }
        return true;
    }
    const Onnx__TypeProto__Tensor *t = tensor_type(v);
    if (!t || !t->shape || t->shape->n_dim > GRAPH_MAX_RANK) {
        return false;
    }
    *rank = t->shape->n_dim;
    for (size_t i = 0; i < *rank; i++) {
        const Onnx__TensorShapeProto__Dimension *d = t->shape->dim[i];
        bool fixed =
            d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE && d->dim_value >= 0;
        dims[i] = fixed ? d->dim_value : -1;
    }
    return true;
}
