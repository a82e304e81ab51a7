/* graph_internal.h -- the inside of struct graph, shared by the files graph*.c and pass*.c and by nobody
 * else. */
#pragma once

#include "compressors/onnx/graph.h"
#include "core/base/arena.h"

struct graph_mapping; /* a file of external data, mapped for reading */

struct graph {
    struct arena *arena; /* holds everything but the arrays below */
    Onnx__ModelProto *model;
    struct graph_node *first, *last;
    size_t node_count;
    uint64_t next_id;
    struct graph_value **values; /* in the order of creation */
    size_t value_count, value_capacity;
    uint32_t
        *slots; /* open addressing by name: index into values plus 1, 0 = empty; a power of two of them */
    size_t slot_count;
    size_t initializer_capacity; /* of model->graph->initializer; 0 while it is still the reader's array */
    size_t output_capacity;      /* the same for model->graph->output */
    struct graph_mapping *mappings;
};

/* An empty graph whose arena may hold max_bytes. */
struct graph *graph_new(size_t max_bytes);

/* The value of that name, created when it is new. NULL: no memory. */
struct graph_value *graph_intern(struct graph *g, const char *name);
/* Adds a use. */
MUST_USE enum rc graph_add_use(struct graph *g, struct graph_value *v, struct graph_node *n, size_t slot,
                               struct err *err);
/* Appends a list node around `proto`, before `before` (NULL: at the end), and enters its names into the
 * index. RC_INPUT: an output name is taken. */
MUST_USE enum rc graph_link_node(struct graph *g, Onnx__NodeProto *proto, struct graph_node *before,
                                 struct graph_node **ret, struct err *err);

/* Enters the whole model into the index and checks it (graph_index.c). */
MUST_USE enum rc graph_index(struct graph *g, struct err *err);

/* External data of all tensors (graph_external.c): finds the bytes in `files` and lets raw_data point to
 * them. */
MUST_USE enum rc graph_resolve_external(struct graph *g, const struct compress_file *files, size_t file_count,
                                        const char *main_path, struct err *err);
void graph_unmap(struct graph *g);

/* RC_INPUT unless dims, type and data of t fit together. Types newer than enum graph_dtype are not looked at.
 */
MUST_USE enum rc graph_tensor_check(const Onnx__TensorProto *t, struct err *err);

/* RC_INPUT unless `data` is well-formed protobuf for a ModelProto, nested at most GRAPH_MAX_DEPTH deep
 * (graph_wire.c). protobuf-c recurses for every level, so this must come first. */
enum { GRAPH_MAX_DEPTH = 100 };
MUST_USE enum rc graph_wire_check(const uint8_t *data, size_t size, struct err *err);

/* Puts lists of nodes and initializers back into the messages. */
MUST_USE enum rc graph_sync(struct graph *g, struct err *err);
