/* Field numbers from onnx/onnx.proto: ModelProto.graph = 7; GraphProto.node = 1, initializer = 5;
 * NodeProto.input = 1, name = 3, op_type = 4; TensorProto.dims = 1, data_type = 2, name = 8. Initializers are
 * sorted by name first, so that looking one up takes a binary search. */
#include "core/formats/onnx_weights.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/checked.h"
#include "core/formats/dtype.h"
#include "core/formats/mapped_file.h"
#include "core/formats/wire.h"

enum { MODEL_GRAPH = 7, GRAPH_NODE = 1, GRAPH_INITIALIZER = 5 };
enum { MAX_ITEMS = 1 << 20, MAX_RANK = 32, MAX_TEXT = 4096, ONNX_UINT4 = 21, ONNX_INT4 = 22 };
static const size_t MAX_ARENA_BYTES = (size_t)512 << 20;

struct initializer {
    struct wire name;
    uint64_t bytes, elements, first_dim;
};

struct onnx_weights {
    struct arena *arena;
    struct initializer *initializers; /* sorted by name */
    struct onnx_node_weights *nodes;  /* sorted by name */
    size_t n_initializers, n_nodes;
    uint64_t bytes;
};

static enum rc broken(const char *what, struct err *err) {
    return err_set(err, RC_INPUT, "the ONNX model is broken: %s cannot be read", what);
}

static size_t wire_size(struct wire w) {
    return (size_t)(w.end - w.p);
}

static int compare_wires(struct wire a, struct wire b) {
    size_t na = wire_size(a), nb = wire_size(b), n = na < nb ? na : nb;
    int order = n ? memcmp(a.p, b.p, n) : 0;
    return order ? order : (na > nb) - (na < nb);
}

static int compare_initializers(const void *a, const void *b) {
    return compare_wires(((const struct initializer *)a)->name, ((const struct initializer *)b)->name);
}

static int compare_nodes(const void *a, const void *b) {
    return strcmp(((const struct onnx_node_weights *)a)->node, ((const struct onnx_node_weights *)b)->node);
}

/* ---- initializers ---- */

struct shape {
    int64_t dims[MAX_RANK];
    size_t rank;
};

static bool add_dim(struct shape *s, uint64_t value) {
    if (s->rank == MAX_RANK || value > INT64_MAX) {
        return false;
    }
    s->dims[s->rank++] = (int64_t)value;
    return true;
}

/* Repeated numbers come one by one or packed. */
static bool add_dims(struct shape *s, struct wire_field *f) {
    uint64_t value;
    if (f->type == WIRE_VARINT) {
        return add_dim(s, f->value);
    }
    while (f->type == WIRE_BYTES && f->bytes.p < f->bytes.end) {
        if (!wire_varint(&f->bytes, &value) || !add_dim(s, value)) {
            return false;
        }
    }
    return f->type == WIRE_BYTES;
}

static bool measure(struct initializer *t, const struct shape *s, int64_t type) {
    size_t elements, bytes;
    if (checked_product(s->dims, s->rank, &elements)) {
        return false;
    }
    bool half_bytes = type == ONNX_UINT4 || type == ONNX_INT4;
    if (checked_mul(elements, half_bytes ? 1 : dtype_bytes(dtype_from_onnx(type)), &bytes)) {
        return false;
    }
    t->elements = elements;
    t->bytes = half_bytes ? bytes / 2 + bytes % 2 : bytes;
    t->first_dim = s->rank > 0 ? (uint64_t)s->dims[0] : 1;
    return true;
}

static enum rc read_initializer(struct onnx_weights *w, struct wire message, struct err *err) {
    struct wire_field f;
    enum wire_step step;
    struct shape shape = {0};
    int64_t type = 0;
    struct initializer t = {.name = {message.p, message.p}};
    while ((step = wire_next(&message, &f)) == WIRE_FIELD) {
        if (f.number == 1 && !add_dims(&shape, &f)) {
            return broken("the shape of an initializer", err);
        }
        if (f.number == 2 && f.type == WIRE_VARINT) {
            type = (int64_t)f.value;
        } else if (f.number == 8 && f.type == WIRE_BYTES) {
            t.name = f.bytes;
        }
    }
    if (step != WIRE_END || !measure(&t, &shape, type) ||
        __builtin_add_overflow(w->bytes, t.bytes, &w->bytes)) {
        return broken("an initializer", err);
    }
    w->initializers[w->n_initializers++] = t;
    return RC_OK;
}

/* ---- nodes ---- */

static const char *copy_text(struct onnx_weights *w, struct wire text) {
    size_t size = wire_size(text);
    bool plain = size > 0 && size <= MAX_TEXT && !memchr(text.p, '\0', size);
    return plain ? arena_strndup(w->arena, (const char *)text.p, size) : NULL;
}

static bool add_input(const struct onnx_weights *w, struct wire name, struct onnx_node_weights *n) {
    const struct initializer key = {.name = name};
    const struct initializer *t =
        bsearch(&key, w->initializers, w->n_initializers, sizeof(key), compare_initializers);
    if (!t || wire_size(name) == 0) {
        return true;
    }
    if (t->elements > n->elements) {
        n->elements = t->elements;
        n->first_dim = t->first_dim;
    }
    return !__builtin_add_overflow(n->bytes, t->bytes, &n->bytes);
}

static enum rc read_node(struct onnx_weights *w, struct wire message, struct err *err) {
    struct wire_field f;
    enum wire_step step;
    struct wire name = {message.p, message.p}, op = name;
    struct onnx_node_weights n = {.first_dim = 1};
    while ((step = wire_next(&message, &f)) == WIRE_FIELD) {
        if (f.type != WIRE_BYTES) {
            continue;
        }
        if (f.number == 1 && !add_input(w, f.bytes, &n)) {
            return broken("a node", err);
        }
        name = f.number == 3 ? f.bytes : name;
        op = f.number == 4 ? f.bytes : op;
    }
    if (step != WIRE_END) {
        return broken("a node", err);
    }
    n.node = copy_text(w, name);
    n.op = copy_text(w, op);
    if (n.node && n.op) {
        w->nodes[w->n_nodes++] = n;
    }
    return RC_OK;
}

/* ---- the file ---- */

static enum rc find_graph(struct wire model, struct wire *ret, struct err *err) {
    struct wire_field f;
    enum wire_step step;
    bool found = false;
    while ((step = wire_next(&model, &f)) == WIRE_FIELD) {
        if (f.number == MODEL_GRAPH && f.type == WIRE_BYTES) {
            *ret = f.bytes;
            found = true;
        }
    }
    return step == WIRE_END && found ? RC_OK : broken("its graph", err);
}

static enum rc count_items(struct wire graph, size_t *nodes, size_t *initializers, struct err *err) {
    struct wire_field f;
    enum wire_step step;
    *nodes = *initializers = 0;
    while ((step = wire_next(&graph, &f)) == WIRE_FIELD) {
        bool item = f.number == GRAPH_NODE || f.number == GRAPH_INITIALIZER;
        if (item && f.type != WIRE_BYTES) {
            return broken("its graph", err);
        }
        *nodes += f.number == GRAPH_NODE;
        *initializers += f.number == GRAPH_INITIALIZER;
    }
    if (*nodes > MAX_ITEMS || *initializers > MAX_ITEMS) {
        return err_set(err, RC_TOO_LARGE, "the ONNX model has more than %d nodes or initializers",
                       (int)MAX_ITEMS);
    }
    return step == WIRE_END ? RC_OK : broken("its graph", err);
}

typedef enum rc read_item(struct onnx_weights *w, struct wire message, struct err *err);

static enum rc read_all(struct onnx_weights *w, struct wire graph, uint32_t number, read_item *read,
                        struct err *err) {
    struct wire_field f;
    enum rc rc = RC_OK;
    while (rc == RC_OK && wire_next(&graph, &f) == WIRE_FIELD) {
        rc = f.number == number ? read(w, f.bytes, err) : RC_OK;
    }
    return rc;
}

static enum rc read_graph(struct onnx_weights *w, struct wire graph, struct err *err) {
    size_t nodes, initializers;
    enum rc rc = count_items(graph, &nodes, &initializers, err);
    if (rc != RC_OK) {
        return rc;
    }
    w->arena = arena_new(MAX_ARENA_BYTES);
    w->initializers = calloc(initializers + 1, sizeof(*w->initializers));
    w->nodes = calloc(nodes + 1, sizeof(*w->nodes));
    if (!w->arena || !w->initializers || !w->nodes) {
        return err_memory(err);
    }
    rc = read_all(w, graph, GRAPH_INITIALIZER, read_initializer, err);
    qsort(w->initializers, w->n_initializers, sizeof(*w->initializers), compare_initializers);
    if (rc == RC_OK) {
        rc = read_all(w, graph, GRAPH_NODE, read_node, err);
    }
    qsort(w->nodes, w->n_nodes, sizeof(*w->nodes), compare_nodes);
    return rc;
}

enum rc onnx_weights_parse(const void *data, size_t size, struct onnx_weights **ret, struct err *err) {
    struct wire model = {data, (const uint8_t *)data + size}, graph = {0};
    struct onnx_weights *w = calloc(1, sizeof(*w));
    enum rc rc = w ? find_graph(model, &graph, err) : err_memory(err);
    if (rc == RC_OK) {
        rc = read_graph(w, graph, err);
    }
    if (rc != RC_OK) {
        onnx_weights_free(w);
        return rc;
    }
    free(w->initializers); /* they point into `data` */
    w->initializers = NULL;
    *ret = w;
    return RC_OK;
}

enum rc onnx_weights_read(const char *path, struct onnx_weights **ret, struct err *err) {
    struct mapped_file file;
    enum rc rc = mapped_file_open(path, &file, err);
    if (rc == RC_OK) {
        rc = onnx_weights_parse(file.data, file.size, ret, err);
        mapped_file_close(&file);
    }
    return rc;
}

void onnx_weights_free(struct onnx_weights *w) {
    if (w) {
        arena_free(w->arena);
        free(w->initializers);
        free(w->nodes);
        free(w);
    }
}

const struct onnx_node_weights *onnx_weights_find(const struct onnx_weights *w, const char *node) {
    const struct onnx_node_weights key = {.node = node};
    return bsearch(&key, w->nodes, w->n_nodes, sizeof(key), compare_nodes);
}

uint64_t onnx_weights_bytes(const struct onnx_weights *w) {
    return w->bytes;
}
