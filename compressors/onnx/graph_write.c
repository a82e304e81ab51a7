/* Order and output: the stable topological sort, the messages' lists brought up to date, one file or two. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compressors/onnx/graph_internal.h"
#include "core/base/file.h"

static const size_t PROTOBUF_MAX_BYTES = 0x7fffffff; /* what protobuf parsers accept */
static const char MAIN_NAME[] = "model.onnx", DATA_NAME[] = "model.onnx.data";

enum {
    EXTERNAL_MIN_BYTES = 1024,
    EXTERNAL_ALIGN_BYTES = 4096
}; /* aligned to pages, so that a runtime can map it */

/* --- sort --- */

enum { NEW, OPEN, DONE };

struct visit {
    struct graph_node *node;
    size_t next; /* dependency to look at: inputs first, then captured names */
};

/* The producer of the next dependency of the visited node that is not done, or NULL when all are. */
static struct graph_node *next_dependency(const struct graph *g, struct visit *v) {
    const struct graph_node *n = v->node;
    while (v->next < n->proto->n_input + n->captured_count) {
        size_t i = v->next++;
        const struct graph_value *value =
            i < n->proto->n_input ? graph_input(g, n, i) : n->captured[i - n->proto->n_input];
        if (value && value->producer && value->producer->mark != DONE) {
            return value->producer;
        }
    }
    return NULL;
}

/* Depth-first (Tarjan 1976), nodes taken in their present order: every node goes as late as it can, directly
 * before the first that needs it, and a list that is in order stays as it is. */
static enum rc order_nodes(struct graph *g, struct visit *stack, struct graph_node **order, struct err *err) {
    size_t done = 0;
    for (struct graph_node *n = g->first; n; n = n->next) {
        size_t depth = 0;
        if (n->mark == NEW) {
            stack[depth++] = (struct visit){n, 0};
            n->mark = OPEN;
        }
        while (depth) {
            struct graph_node *need = next_dependency(g, &stack[depth - 1]);
            if (need && need->mark == OPEN) {
                return err_set(err, RC_INPUT, "the graph has a cycle through %s", graph_node_label(g, need));
            }
            if (need) {
                need->mark = OPEN;
                stack[depth++] = (struct visit){need, 0};
            } else {
                stack[--depth].node->mark = DONE;
                order[done++] = stack[depth].node;
            }
        }
    }
    return RC_OK;
}

enum rc graph_sort(struct graph *g, struct err *err) {
    size_t count = g->node_count;
    struct visit *stack = calloc(count + 1, sizeof(*stack));
    struct graph_node **order = calloc(count + 1, sizeof(struct graph_node *));
    enum rc rc = stack && order ? RC_OK : err_memory(err);
    if (rc != RC_OK) {
        goto out;
    }
    for (struct graph_node *n = g->first; n; n = n->next) {
        n->mark = NEW;
    }
    rc = order_nodes(g, stack, order, err);
    if (rc != RC_OK) {
        goto out;
    }
    for (size_t i = 0; i < count; i++) {
        assert(order[i]); /* order_nodes visits every node once */
        order[i]->prev = i ? order[i - 1] : NULL;
        order[i]->next = order[i + 1]; /* the last one is NULL: one more was allocated */
    }
    g->first = order[0];
    g->last = count ? order[count - 1] : NULL;
    rc = graph_sync(g, err);
out:
    free(stack);
    free(order);
    return rc;
}

enum rc graph_sync(struct graph *g, struct err *err) {
    Onnx__GraphProto *p = g->model->graph;
    if (g->node_count > p->n_node) {
        p->node = arena_calloc(g->arena, g->node_count, sizeof(Onnx__NodeProto *));
        if (!p->node) {
            p->n_node = 0;
            return err_memory(err);
        }
    }
    p->n_node = 0;
    for (struct graph_node *n = g->first; n; n = n->next) {
        p->node[p->n_node++] = n->proto;
    }
    size_t kept = 0;
    for (size_t i = 0; i < p->n_initializer; i++) {
        const struct graph_value *v = graph_find(g, p->initializer[i]->name);
        if (v && v->initializer == p->initializer[i]) {
            p->initializer[kept++] = p->initializer[i];
        }
    }
    p->n_initializer = kept;
    kept = 0;
    for (size_t i = 0; i < p->n_value_info; i++) {
        const struct graph_value *v = graph_find(g, p->value_info[i]->name);
        if (!v || v->info) {
            p->value_info[kept++] = p->value_info[i];
        }
    }
    p->n_value_info = kept;
    return RC_OK;
}

/* --- write --- */

enum rc graph_pack(struct graph *g, char **data, size_t *size, struct err *err) {
    enum rc rc = graph_sort(g, err);
    if (rc != RC_OK) {
        return rc;
    }
    size_t bytes = onnx__model_proto__get_packed_size(g->model);
    if (bytes > PROTOBUF_MAX_BYTES) {
        return err_set(err, RC_TOO_LARGE, "the model has %zu bytes; one ONNX file holds at most 2 GiB",
                       bytes);
    }
    char *out = malloc(bytes ? bytes : 1);
    if (!out) {
        return err_memory(err);
    }
    *size = onnx__model_proto__pack(g->model, (uint8_t *)out);
    *data = out;
    return RC_OK;
}

struct data_file {
    FILE *f;
    uint64_t bytes;
};

static enum rc write_padded(struct data_file *d, const uint8_t *bytes, size_t size, uint64_t *offset) {
    static const uint8_t zeros[EXTERNAL_ALIGN_BYTES];
    size_t padding = (size_t)(-d->bytes % EXTERNAL_ALIGN_BYTES);
    if (fwrite(zeros, 1, padding, d->f) != padding || fwrite(bytes, 1, size, d->f) != size) {
        return RC_IO;
    }
    *offset = d->bytes + padding;
    d->bytes += padding + size;
    return RC_OK;
}

static Onnx__StringStringEntryProto *new_entry(struct graph *g, const char *key, const char *value) {
    Onnx__StringStringEntryProto *e = arena_alloc(g->arena, sizeof(*e));
    if (e) {
        onnx__string_string_entry_proto__init(e);
        e->key = arena_strdup(g->arena, key);
        e->value = arena_strdup(g->arena, value);
    }
    return e && e->key && e->value ? e : NULL;
}

/* A tensor without data that says where in the data file they are. NULL: no memory. */
static Onnx__TensorProto *stub_of(struct graph *g, const Onnx__TensorProto *t, uint64_t offset, size_t size) {
    enum { ENTRIES = 3 };
    char text[2][24];
    (void)snprintf(text[0], sizeof(text[0]), "%llu", (unsigned long long)offset);
    (void)snprintf(text[1], sizeof(text[1]), "%zu", size);
    Onnx__TensorProto *stub = arena_alloc(g->arena, sizeof(*stub));
    Onnx__StringStringEntryProto **entries =
        arena_calloc(g->arena, ENTRIES, sizeof(Onnx__StringStringEntryProto *));
    if (!stub || !entries) {
        return NULL;
    }
    entries[0] = new_entry(g, "location", DATA_NAME);
    entries[1] = new_entry(g, "offset", text[0]);
    entries[2] = new_entry(g, "length", text[1]);
    if (!entries[0] || !entries[1] || !entries[2]) {
        return NULL;
    }
    onnx__tensor_proto__init(stub);
    stub->name = t->name;
    stub->doc_string = t->doc_string;
    stub->n_dims = t->n_dims;
    stub->dims = t->dims;
    stub->has_data_type = 1;
    stub->data_type = t->data_type;
    stub->n_external_data = ENTRIES;
    stub->external_data = entries;
    stub->has_data_location = 1;
    stub->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
    return stub;
}

/* Writes the large initializers' bytes and puts stubs into `stubs` for them, the tensors themselves for the
 * others. */
static enum rc write_data(struct graph *g, const char *path, Onnx__TensorProto **stubs, uint64_t *bytes,
                          struct err *err) {
    const Onnx__GraphProto *p = g->model->graph;
    struct data_file d = {fopen(path, "wb"), 0};
    if (!d.f) {
        return file_error(path, err);
    }
    enum rc rc = RC_OK;
    for (size_t i = 0; i < p->n_initializer && rc == RC_OK; i++) {
        Onnx__TensorProto *t = p->initializer[i];
        const uint8_t *data;
        size_t size;
        uint64_t offset = 0;
        stubs[i] = t;
        if (graph_tensor_bytes(g, t, &data, &size, NULL) != RC_OK || size < EXTERNAL_MIN_BYTES) {
            continue; /* strings and rare types stay inside */
        }
        rc = write_padded(&d, data, size, &offset) == RC_OK ? RC_OK : file_error(path, err);
        stubs[i] = stub_of(g, t, offset, size);
        rc = rc == RC_OK && !stubs[i] ? err_memory(err) : rc;
    }
    if (rc == RC_OK && (fflush(d.f) != 0 || fsync(fileno(d.f)) != 0)) {
        rc = file_error(path, err);
    }
    if (fclose(d.f) != 0 && rc == RC_OK) {
        rc = file_error(path, err);
    }
    *bytes = d.bytes;
    return rc;
}

static enum rc save_two(struct graph *g, const char *folder, struct graph_saved *saved, struct err *err) {
    Onnx__GraphProto *p = g->model->graph;
    Onnx__TensorProto **tensors = p->initializer;
    Onnx__TensorProto **stubs = calloc(p->n_initializer + 1, sizeof(Onnx__TensorProto *));
    char path[COMPRESS_PATH_SIZE], *data = NULL;
    size_t size = 0;
    uint64_t data_bytes = 0;
    if (!stubs) {
        return err_memory(err);
    }
    (void)snprintf(path, sizeof(path), "%s/%s", folder, DATA_NAME);
    enum rc rc = write_data(g, path, stubs, &data_bytes, err);
    if (rc != RC_OK) {
        goto out;
    }
    p->initializer = stubs;
    size = onnx__model_proto__get_packed_size(g->model);
    data = size <= PROTOBUF_MAX_BYTES ? malloc(size) : NULL;
    if (data) {
        onnx__model_proto__pack(g->model, (uint8_t *)data);
    }
    p->initializer = tensors;
    if (!data) {
        rc = size > PROTOBUF_MAX_BYTES
                 ? err_set(err, RC_TOO_LARGE, "the graph alone has %zu bytes, over 2 GiB", size)
                 : err_memory(err);
        goto out;
    }
    (void)snprintf(path, sizeof(path), "%s/%s", folder, MAIN_NAME);
    rc = file_write(path, data, size, 0644, err);
    (void)snprintf(saved->paths[1], sizeof(saved->paths[1]), "%s", DATA_NAME);
    saved->path_count = 2;
    saved->bytes = size + data_bytes;
out:
    free(data);
    free(stubs);
    return rc;
}

enum rc graph_save(struct graph *g, const char *folder, size_t single_file_max, struct graph_saved *saved,
                   struct err *err) {
    size_t max =
        single_file_max && single_file_max < PROTOBUF_MAX_BYTES ? single_file_max : PROTOBUF_MAX_BYTES;
    memset(saved, 0, sizeof(*saved));
    (void)snprintf(saved->paths[0], sizeof(saved->paths[0]), "%s", MAIN_NAME);
    if (strlen(folder) + sizeof(DATA_NAME) >= COMPRESS_PATH_SIZE) {
        return err_set(err, RC_INPUT, "the name of the folder is too long");
    }
    enum rc rc = graph_sort(g, err);
    if (rc != RC_OK) {
        return rc;
    }
    if (onnx__model_proto__get_packed_size(g->model) > max) {
        return save_two(g, folder, saved, err);
    }
    char path[COMPRESS_PATH_SIZE], *data;
    size_t size;
    rc = graph_pack(g, &data, &size, err);
    if (rc != RC_OK) {
        return rc;
    }
    (void)snprintf(path, sizeof(path), "%s/%s", folder, MAIN_NAME);
    rc = file_write(path, data, size, 0644, err);
    free(data);
    saved->path_count = 1;
    saved->bytes = size;
    return rc;
}
