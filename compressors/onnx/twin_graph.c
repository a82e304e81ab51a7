#include "compressors/onnx/twin_graph.h"

#include <stdlib.h>
#include <string.h>

struct renaming {
    const Onnx__GraphProto *graph;
    bool failed; /* no memory */
};

static bool is_input(const Onnx__GraphProto *graph, const char *name) {
    for (size_t i = 0; i < graph->n_input; i++) {
        if (strcmp(graph->input[i]->name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* protobuf-c's own allocator is malloc: what it made may be freed and replaced. */
static void rename_value(struct renaming *r, char **name) {
    if (!*name || !**name || is_input(r->graph, *name)) {
        return;
    }
    size_t size = strlen(*name) + sizeof(TWIN_PREFIX);
    char *fresh = malloc(size);
    if (!fresh) {
        r->failed = true;
        return;
    }
    memcpy(fresh, TWIN_PREFIX, sizeof(TWIN_PREFIX) - 1);
    memcpy(fresh + sizeof(TWIN_PREFIX) - 1, *name, size - (sizeof(TWIN_PREFIX) - 1));
    free(*name);
    *name = fresh;
}

static enum rc rename_all(Onnx__GraphProto *graph, struct err *err) {
    struct renaming r = {.graph = graph};
    for (size_t i = 0; i < graph->n_node; i++) {
        Onnx__NodeProto *n = graph->node[i];
        for (size_t k = 0; k < n->n_attribute; k++) {
            if (n->attribute[k]->g || n->attribute[k]->n_graphs) {
                return err_set(err, RC_UNSUPPORTED, "the model has subgraphs");
            }
        }
        for (size_t k = 0; k < n->n_input; k++) {
            rename_value(&r, &n->input[k]);
        }
        for (size_t k = 0; k < n->n_output; k++) {
            rename_value(&r, &n->output[k]);
        }
        if (n->name && *n->name) {
            rename_value(&r, &n->name);
        }
    }
    for (size_t i = 0; i < graph->n_initializer; i++) {
        rename_value(&r, &graph->initializer[i]->name);
    }
    return r.failed ? err_memory(err) : RC_OK;
}

static enum rc check_names(const struct graph *g, struct err *err) {
    for (size_t i = 0; i < graph_value_count(g); i++) {
        if (strncmp(graph_value_at(g, i)->name, TWIN_PREFIX, sizeof(TWIN_PREFIX) - 1) == 0) {
            return err_set(err, RC_UNSUPPORTED, "the model has a value named \"%.160s\"",
                           graph_value_at(g, i)->name);
        }
    }
    return RC_OK;
}

/* Packs `into` with the nodes and initializers of `from` added to its own, and puts it back as it was. */
static enum rc pack_both(Onnx__ModelProto *into, const Onnx__GraphProto *from, char **data, size_t *size,
                         struct err *err) {
    Onnx__GraphProto *graph = into->graph, saved = *graph;
    graph->n_node += from->n_node;
    graph->n_initializer += from->n_initializer;
    graph->n_value_info = 0;
    graph->node = malloc((graph->n_node + 1) * sizeof(Onnx__NodeProto *));
    graph->initializer = malloc((graph->n_initializer + 1) * sizeof(Onnx__TensorProto *));
    if (graph->node && graph->initializer) {
        memcpy(graph->node, saved.node, saved.n_node * sizeof(Onnx__NodeProto *));
        memcpy(graph->node + saved.n_node, from->node, from->n_node * sizeof(Onnx__NodeProto *));
        memcpy(graph->initializer, saved.initializer, saved.n_initializer * sizeof(Onnx__TensorProto *));
        memcpy(graph->initializer + saved.n_initializer, from->initializer,
               from->n_initializer * sizeof(Onnx__TensorProto *));
        *size = onnx__model_proto__get_packed_size(into);
        *data = malloc(*size + 1);
    }
    if (*data) {
        onnx__model_proto__pack(into, (uint8_t *)*data);
    }
    free(graph->node);
    free(graph->initializer);
    *graph = saved;
    return *data ? RC_OK : err_memory(err);
}

enum rc twin_graph_make(const char *original, size_t original_size, struct graph *g, struct graph **ret,
                        struct err *err) {
    char *mine = NULL, *both = NULL;
    size_t mine_size = 0, both_size = 0;
    enum rc rc = check_names(g, err);
    rc = rc != RC_OK ? rc : graph_pack(g, &mine, &mine_size, err);
    if (rc != RC_OK) {
        return rc;
    }
    Onnx__ModelProto *a = onnx__model_proto__unpack(NULL, original_size, (const uint8_t *)original);
    Onnx__ModelProto *b = onnx__model_proto__unpack(NULL, mine_size, (const uint8_t *)mine);
    rc = a && b && a->graph && b->graph ? rename_all(a->graph, err) : err_memory(err);
    rc = rc != RC_OK ? rc : pack_both(b, a->graph, &both, &both_size, err);
    rc = rc != RC_OK ? rc : graph_parse(both, both_size, ret, err);
    onnx__model_proto__free_unpacked(a, NULL);
    onnx__model_proto__free_unpacked(b, NULL);
    free(mine);
    free(both);
    return rc;
}
