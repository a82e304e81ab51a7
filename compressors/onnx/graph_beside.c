#include "compressors/onnx/graph_beside.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/checked.h"

static bool is_input(const Onnx__GraphProto *main, const char *name) {
    for (size_t i = 0; i < main->n_input; i++) {
        if (strcmp(main->input[i]->name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* Puts the prefix before *name, which protobuf-c allocated; names of inputs and names left out stay. */
static bool rename_one(const Onnx__GraphProto *main, char **name) {
    if (!*name || !**name || is_input(main, *name)) {
        return true;
    }
    size_t prefix = sizeof(GRAPH_BESIDE_PREFIX) - 1, length = strlen(*name);
    char *longer = malloc(prefix + length + 1);
    if (!longer) {
        return false;
    }
    memcpy(longer, GRAPH_BESIDE_PREFIX, prefix);
    memcpy(longer + prefix, *name, length + 1);
    free(*name);
    *name = longer;
    return true;
}

static bool rename_names(const Onnx__GraphProto *main, char **names, size_t count) {
    bool ok = true;
    for (size_t i = 0; i < count && ok; i++) {
        ok = rename_one(main, &names[i]);
    }
    return ok;
}

static bool rename_infos(const Onnx__GraphProto *main, Onnx__ValueInfoProto **infos, size_t count) {
    bool ok = true;
    for (size_t i = 0; i < count && ok; i++) {
        ok = rename_one(main, &infos[i]->name);
    }
    return ok;
}

static bool rename_graph(const Onnx__GraphProto *main, Onnx__GraphProto *g);

/* Nesting is as deep as graph_parse lets it be. */
static bool rename_node(const Onnx__GraphProto *main, Onnx__NodeProto *n) {
    bool ok = rename_names(main, n->input, n->n_input) && rename_names(main, n->output, n->n_output) &&
              rename_one(main, &n->name);
    for (size_t i = 0; i < n->n_attribute && ok; i++) {
        Onnx__AttributeProto *a = n->attribute[i];
        ok = !a->g || rename_graph(main, a->g);
        for (size_t k = 0; k < a->n_graphs && ok; k++) {
            ok = rename_graph(main, a->graphs[k]);
        }
    }
    return ok;
}

/* Everything that a graph names; the main graph's own inputs keep their names. */
static bool rename_graph(const Onnx__GraphProto *main, Onnx__GraphProto *g) {
    bool ok =
        rename_infos(main, g->value_info, g->n_value_info) && rename_infos(main, g->output, g->n_output);
    ok = ok && (g == main || rename_infos(main, g->input, g->n_input));
    for (size_t i = 0; i < g->n_initializer && ok; i++) {
        ok = rename_one(main, &g->initializer[i]->name);
    }
    for (size_t i = 0; i < g->n_sparse_initializer && ok; i++) {
        Onnx__TensorProto *values = g->sparse_initializer[i]->values;
        ok = !values || rename_one(main, &values->name);
    }
    for (size_t i = 0; i < g->n_node && ok; i++) {
        ok = rename_node(main, g->node[i]);
    }
    return ok;
}

/* Moves the messages of *from behind those of *to. */
static bool move(void ***to, size_t *to_count, void **from, size_t *from_count) {
    void **all = realloc(*to, (*to_count + *from_count + 1) * sizeof(*all));
    if (!all) {
        return false;
    }
    if (*from_count) {
        memcpy(all + *to_count, from, *from_count * sizeof(*all));
    }
    *to = all;
    *to_count += *from_count;
    *from_count = 0;
    return true;
}

static bool join(Onnx__GraphProto *a, Onnx__GraphProto *b) {
    return move((void ***)&a->node, &a->n_node, (void **)b->node, &b->n_node) &&
           move((void ***)&a->initializer, &a->n_initializer, (void **)b->initializer, &b->n_initializer) &&
           move((void ***)&a->sparse_initializer, &a->n_sparse_initializer, (void **)b->sparse_initializer,
                &b->n_sparse_initializer);
}

static enum rc parse_joined(const Onnx__ModelProto *m, struct graph **ret, struct err *err) {
    size_t size = onnx__model_proto__get_packed_size(m);
    uint8_t *data = size <= INT32_MAX ? malloc(size + 1) : NULL;
    if (!data) {
        return size <= INT32_MAX ? err_memory(err)
                                 : err_set(err, RC_TOO_LARGE, "the model twice is more than 2 GiB");
    }
    onnx__model_proto__pack(m, data);
    enum rc rc = graph_parse(data, size, ret, err);
    free(data);
    return rc;
}

static enum rc check_names(const struct graph *g, struct err *err) {
    for (size_t i = 0; i < graph_value_count(g); i++) {
        const char *name = graph_value_at(g, i)->name;
        if (strncmp(name, GRAPH_BESIDE_PREFIX, sizeof(GRAPH_BESIDE_PREFIX) - 1) == 0) {
            return err_set(err, RC_UNSUPPORTED, "the model has a value named \"%.160s\"", name);
        }
    }
    return RC_OK;
}

enum rc graph_beside(struct graph *now, const char *was, size_t was_size, struct graph **ret,
                     struct err *err) {
    char *data = NULL;
    size_t size = 0;
    enum rc rc = check_names(now, err);
    rc = rc != RC_OK ? rc : graph_pack(now, &data, &size, err);
    if (rc != RC_OK) {
        return rc;
    }
    Onnx__ModelProto *a = onnx__model_proto__unpack(NULL, size, (const uint8_t *)data);
    Onnx__ModelProto *b = onnx__model_proto__unpack(NULL, was_size, (const uint8_t *)was);
    free(data);
    bool ok = a && b && a->graph && b->graph && rename_graph(b->graph, b->graph) && join(a->graph, b->graph);
    rc = ok ? parse_joined(a, ret, err) : err_memory(err);
    if (a) {
        onnx__model_proto__free_unpacked(a, NULL);
    }
    if (b) {
        onnx__model_proto__free_unpacked(b, NULL);
    }
    return rc;
}
