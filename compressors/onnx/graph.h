/* graph.h -- an ONNX model in memory: read, look up, edit, write.
 *
 * The model is protobuf-c's own messages (onnx.pb-c.h, from Debian's onnx.proto). Fields that are newer than
 * that file stay in the messages' unknown fields and are written back. Around the main graph's nodes and
 * value names lie `struct graph_node` (a linked list, so that inserting and removing is cheap) and `struct
 * graph_value` (found by name in a hash table, always up to date).
 *
 * Memory: everything belongs to the graph and is released by graph_free. Strings and arrays passed in are
 * copied. What an edit replaces is released with the graph, not before. A graph belongs to one thread at a
 * time. Reading: proto fields may be read freely. Writing: only with the functions here, because of the
 * index; attributes too. Order: new nodes may be added anywhere; graph_sort, which graph_pack and graph_save
 * call, restores topological order and keeps the order of nodes that were already in order. Subgraphs (bodies
 * of If, Loop, Scan) are never edited. Names that they take from the main graph count as uses of the node
 * that owns the subgraph (slot GRAPH_CAPTURED): such uses are never redirected and keep initializers and
 * nodes alive. Functions of the model (FunctionProto) and training information are kept as they are. */
#pragma once

#include <onnx.pb-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compressors/compressor.h" /* struct compress_file */
#include "core/base/err.h"

struct graph;

/* Element types: the numbers of TensorProto.DataType, short. FLOAT8 and 4-bit types are newer than Debian's
 * file. */
enum graph_dtype {
    GRAPH_UNKNOWN = 0,
    GRAPH_FLOAT32 = 1,
    GRAPH_UINT8 = 2,
    GRAPH_INT8 = 3,
    GRAPH_UINT16 = 4,
    GRAPH_INT16 = 5,
    GRAPH_INT32 = 6,
    GRAPH_INT64 = 7,
    GRAPH_STRING = 8,
    GRAPH_BOOL = 9,
    GRAPH_FLOAT16 = 10,
    GRAPH_FLOAT64 = 11,
    GRAPH_UINT32 = 12,
    GRAPH_UINT64 = 13,
    GRAPH_BFLOAT16 = 16,
    GRAPH_UINT4 = 21,
    GRAPH_INT4 = 22,
};

enum { GRAPH_MAX_RANK = 16 };
#define GRAPH_CAPTURED SIZE_MAX /* slot of a use inside a node's subgraph */

struct graph_node {
    Onnx__NodeProto *proto; /* input and output names, attributes: read only */
    struct graph_node *prev, *next;
    uint64_t id;                   /* order of creation: unique in this graph, equal in every run */
    struct graph_value **captured; /* what its subgraphs read of the main graph */
    size_t captured_count;
    int mark; /* used by graph_sort and passes during one call */
};

/* One place where a value is read: input `slot` of `node`. */
struct graph_use {
    struct graph_node *node;
    size_t slot;
};

/* A name in the main graph. Lives as long as the graph, also when nothing refers to it any more. */
struct graph_value {
    const char *name;
    struct graph_node *producer; /* NULL: graph input, initializer, or nothing any more */
    size_t producer_slot;
    struct graph_use
        *uses; /* in no particular order: use graph_sole_use or count; NULL when use_count is 0 */
    size_t use_count;
    Onnx__TensorProto *initializer; /* NULL when it is none */
    Onnx__ValueInfoProto *info;     /* declared type and shape (graph input, output or value_info), or NULL */
    bool is_input, is_output;       /* of the graph; an initializer may be an input too */
    bool is_sparse;                 /* a sparse initializer: left alone */
    int32_t dtype;                  /* enum graph_dtype; GRAPH_UNKNOWN until graph_infer_types */
};

/* --- read and write --- */

enum { GRAPH_SAVED_NAME_SIZE = 32 };
struct graph_saved {
    char paths[2][GRAPH_SAVED_NAME_SIZE]; /* relative to the folder, main file first */
    size_t path_count;
    uint64_t bytes; /* of all files */
};

/* Reads the file of `files` whose path is `main_path`, with its external data. A location of external data is
 * resolved against the main file's folder and must then be the path of one of `files`, and lie inside that
 * file: anything else (absolute, "..", not listed) is RC_INPUT. Owned by the caller. RC_INPUT: not an ONNX
 * model, truncated, nested too deep, a name defined twice, a cycle, sizes that do not fit their data (the
 * text says where). RC_TOO_LARGE, RC_MEMORY, RC_IO. */
MUST_USE enum rc graph_load(const struct compress_file *files, size_t file_count, const char *main_path,
                            struct graph **ret, struct err *err);
/* The same from memory, which may be released after the call. External data is RC_INPUT. */
MUST_USE enum rc graph_parse(const void *data, size_t size, struct graph **ret, struct err *err);
void graph_free(struct graph *g); /* NULL is fine */

/* Sorts, then serialises: free() *data. External data is put inside. RC_TOO_LARGE over protobuf's 2 GiB. */
MUST_USE enum rc graph_pack(struct graph *g, char **data, size_t *size, struct err *err);

/* Sorts, then writes `folder`/model.onnx; where that would pass `single_file_max` bytes (0: protobuf's limit
 * of 2 GiB), initializers of 1 KiB and more go to `folder`/model.onnx.data. The graph stays usable. */
MUST_USE enum rc graph_save(struct graph *g, const char *folder, size_t single_file_max,
                            struct graph_saved *saved, struct err *err);

/* Puts nodes into topological order. RC_INPUT: a cycle, naming one of its nodes. */
MUST_USE enum rc graph_sort(struct graph *g, struct err *err);

/* --- walk and look up --- */

const Onnx__ModelProto *
graph_model(const struct graph *g); /* for reading; node lists in it are only up to date after graph_sort */
struct graph_node *graph_first(const struct graph *g); /* for (n = graph_first(g); n; n = n->next) */
size_t graph_node_count(const struct graph *g);
/* All values in the order in which they were first seen; i < graph_value_count. Includes names nothing refers
 * to any more. */
size_t graph_value_count(const struct graph *g);
struct graph_value *graph_value_at(const struct graph *g, size_t i);
struct graph_value *graph_find(const struct graph *g,
                               const char *name); /* NULL when there is none, and for "" and NULL */

/* The value that input or output `slot` of n names; NULL when the slot is left out or past the end. */
struct graph_value *graph_input(const struct graph *g, const struct graph_node *n, size_t slot);
struct graph_value *graph_output(const struct graph *g, const struct graph_node *n, size_t slot);

bool graph_is_op(const struct graph_node *n,
                 const char *op_type); /* in the default domain ("" or "ai.onnx") */
bool graph_is_op_of(const struct graph_node *n, const char *domain, const char *op_type);
bool graph_has_subgraph(const struct graph_node *n);
/* "node Conv /layer1/conv" for error texts and records; borrowed from the graph. */
const char *graph_node_label(struct graph *g, const struct graph_node *n);

/* The constant tensor behind a value: its initializer, or the `value` of the Constant node that makes it.
 * NULL when not constant. */
Onnx__TensorProto *graph_constant(const struct graph *g, const struct graph_value *v);
/* The only use of v, or NULL when it has none, several, is captured by a subgraph or is an output of the
 * graph. */
const struct graph_use *graph_sole_use(const struct graph_value *v);
bool graph_is_captured(const struct graph_value *v); /* read inside a subgraph */

/* Declared type and shape. False when not declared (or not a tensor). dims[i] = -1 for a free dimension. */
bool graph_shape(const struct graph_value *v, int64_t dims[GRAPH_MAX_RANK], size_t *rank);
int32_t graph_declared_dtype(const struct graph_value *v); /* initializer or declared; GRAPH_UNKNOWN */

/* Forgets what value_info says of v, because an edit changed its type or shape. Inputs and outputs of the
 * graph keep theirs. */
void graph_forget_info(struct graph_value *v);

/* Fills dtype of every value by following the operators (no shapes), which must be in order (graph_sort).
 * Unknown operators: GRAPH_UNKNOWN unless declared. */
void graph_infer_types(struct graph *g);

/* --- tensors --- */

/* Elements of t: the checked product of its dims. RC_INPUT for negative or overflowing dims. */
MUST_USE enum rc graph_tensor_count(const Onnx__TensorProto *t, size_t *count, struct err *err);
/* All values as float32, from float32, float16, bfloat16 or float64, wherever the tensor keeps them. free()
 * *values (never NULL on success). RC_UNSUPPORTED for other types. */
MUST_USE enum rc graph_tensor_floats(const struct graph *g, const Onnx__TensorProto *t, float **values,
                                     size_t *count, struct err *err);
/* The same as int64 for all integer types and bool (uint64 above INT64_MAX: RC_UNSUPPORTED). */
MUST_USE enum rc graph_tensor_ints(const struct graph *g, const Onnx__TensorProto *t, int64_t **values,
                                   size_t *count, struct err *err);
/* The tensor's bytes, little-endian, packed as raw_data is defined; borrowed from the graph. RC_UNSUPPORTED
 * for strings. */
MUST_USE enum rc graph_tensor_bytes(struct graph *g, Onnx__TensorProto *t, const uint8_t **bytes,
                                    size_t *size, struct err *err);
/* Bytes of `count` elements (4-bit types: two a byte); 0 for strings and unknown types. */
size_t graph_dtype_bytes(int32_t dtype, size_t count);
const char *graph_dtype_name(int32_t dtype); /* "float32" */

/* --- edit: initializers --- */

/* Takes initializers out of the list of the graph's inputs, where a caller could override them (and must be
 * listed before IR version 4, which is raised to 4), so that they are constants. Returns how many there were.
 * compressors_run does this before any step. */
size_t graph_close_initializers(struct graph *g);

/* Adds an initializer of a new name made from `hint` ("conv1.weight_q" may become "conv1.weight_q_2"). `data`
 * holds raw little-endian elements in row-major order and is copied. */
MUST_USE enum rc graph_add_initializer(struct graph *g, const char *hint, int32_t dtype, const int64_t *dims,
                                       size_t rank, const void *data, size_t bytes, struct graph_value **ret,
                                       struct err *err);
/* Shorthands: float32 or int64 scalar (rank 0). */
MUST_USE enum rc graph_add_float(struct graph *g, const char *hint, float value, struct graph_value **ret,
                                 struct err *err);
MUST_USE enum rc graph_add_ints(struct graph *g, const char *hint, const int64_t *values, size_t count,
                                struct graph_value **ret, struct err *err); /* rank 1 */

/* Gives tensor t (an initializer, or a Constant's value) new contents; its name stays. */
MUST_USE enum rc graph_set_tensor(struct graph *g, Onnx__TensorProto *t, int32_t dtype, const int64_t *dims,
                                  size_t rank, const void *data, size_t bytes, struct err *err);
/* Removes v's initializer (and the graph input of that name). Uses must be gone: RC_INTERNAL otherwise. */
MUST_USE enum rc graph_remove_initializer(struct graph *g, struct graph_value *v, struct err *err);

/* --- edit: nodes --- */

/* A node to add. Input and output names are value names ("" or NULL = left out); outputs that do not exist
 * yet become values. */
struct graph_node_spec {
    const char *op_type;
    const char
        *domain;      /* NULL = default; must be in opset_import by the time of saving (graph_need_domain) */
    const char *name; /* NULL: made from the first output's name and op_type */
    const char *const *inputs;
    size_t input_count;
    const char *const *outputs;
    size_t output_count;
};

/* Adds a node before `before` (NULL: at the end). RC_INTERNAL when an output already has a producer or
 * initializer. */
MUST_USE enum rc graph_add_node(struct graph *g, const struct graph_node_spec *spec,
                                struct graph_node *before, struct graph_node **ret, struct err *err);
/* Removes a node; its outputs lose their producer (graph_redirect their uses first). n must not be used after
 * the call. */
void graph_remove_node(struct graph *g, struct graph_node *n);

/* Makes input `slot` of n read `name` (slot == n_input appends). "" leaves the input out. */
MUST_USE enum rc graph_set_input(struct graph *g, struct graph_node *n, size_t slot, const char *name,
                                 struct err *err);
/* Cuts the node's inputs to the first `count`. */
void graph_trim_inputs(struct graph *g, struct graph_node *n, size_t count);
/* Renames output `slot` of n: the old value loses its producer, `name` gains it. */
MUST_USE enum rc graph_set_output(struct graph *g, struct graph_node *n, size_t slot, const char *name,
                                  struct err *err);
/* Makes all nodes that read `from` read `to`, except node `except` (may be NULL) and uses inside subgraphs.
 * An output of the graph keeps its name: see graph_take_over. */
MUST_USE enum rc graph_redirect(struct graph *g, struct graph_value *from, struct graph_value *to,
                                const struct graph_node *except, struct err *err);
/* Removes the producer of `v`, and makes the producer of `by` (a node's output, not itself an output of the
 * graph and not captured) produce the name of v instead: everything that reads v, subgraphs and the graph's
 * outputs included, now reads it. Uses of `by` follow. */
MUST_USE enum rc graph_take_over(struct graph *g, struct graph_value *v, struct graph_value *by,
                                 struct err *err);

/* A value name not used anywhere in the model (subgraphs included), made from `hint`; borrowed from the
 * graph. NULL: no memory. */
const char *graph_unique_name(struct graph *g, const char *hint);
/* Replaces op_type and domain (NULL = default) of a node. Attributes stay. */
MUST_USE enum rc graph_set_op(struct graph *g, struct graph_node *n, const char *domain, const char *op_type,
                              struct err *err);

/* --- attributes --- */

const Onnx__AttributeProto *graph_attr(const struct graph_node *n, const char *name); /* NULL when absent */
int64_t graph_attr_int(const struct graph_node *n, const char *name, int64_t absent);
float graph_attr_float(const struct graph_node *n, const char *name, float absent);
/* The list (borrowed) and its length; NULL and 0 when absent or of another type. */
const int64_t *graph_attr_ints(const struct graph_node *n, const char *name, size_t *count);
/* True when the attribute is a string equal to `text`. */
bool graph_attr_is(const struct graph_node *n, const char *name, const char *text);
MUST_USE enum rc graph_set_attr_int(struct graph *g, struct graph_node *n, const char *name, int64_t value,
                                    struct err *err);
MUST_USE enum rc graph_set_attr_float(struct graph *g, struct graph_node *n, const char *name, float value,
                                      struct err *err);
MUST_USE enum rc graph_set_attr_ints(struct graph *g, struct graph_node *n, const char *name,
                                     const int64_t *values, size_t count, struct err *err);
MUST_USE enum rc graph_set_attr_string(struct graph *g, struct graph_node *n, const char *name,
                                       const char *value, struct err *err);
void graph_remove_attr(struct graph_node *n, const char *name);

/* --- inputs, outputs, versions --- */

/* Inputs of the graph that a caller must feed (initializers are left out) and outputs, in the model's order;
 * i < count. */
size_t graph_feed_count(const struct graph *g);
struct graph_value *graph_feed(const struct graph *g, size_t i);
size_t graph_result_count(const struct graph *g);
struct graph_value *graph_result(const struct graph *g, size_t i);
/* Adds an input of a new name made from `hint`, the last that must be fed, whose shape is left undeclared. */
MUST_USE enum rc graph_add_input(struct graph *g, const char *hint, int32_t dtype, struct graph_value **ret,
                                 struct err *err);
/* Makes `v` an output of the graph too (for observing activations); nothing happens when it is one already.
 * `dtype` is its element type. Its shape is left undeclared. */
MUST_USE enum rc graph_add_output(struct graph *g, struct graph_value *v, int32_t dtype, struct err *err);
/* Leaves the graph without outputs, before others are added: what nothing reads then is not computed. */
void graph_drop_outputs(struct graph *g);

/* Version of the default domain's operator set. */
int64_t graph_opset(const struct graph *g);
/* Raises it to at least `version`, where every node of the model keeps its meaning: RC_UNSUPPORTED names the
 * first operator whose definition changed in between (there is no converter here). Versions up to 21. Tables
 * in graph_opset.c. */
MUST_USE enum rc graph_need_opset(struct graph *g, int64_t version, struct err *err);
/* Adds another domain's operator set ("com.microsoft", 1) if it is missing. */
MUST_USE enum rc graph_need_domain(struct graph *g, const char *domain, int64_t version, struct err *err);
