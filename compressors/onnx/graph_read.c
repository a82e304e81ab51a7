/* From bytes to a graph: check the encoding, let protobuf-c unpack into the arena, find external data, index.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/graph_internal.h"
#include "core/base/checked.h"
#include "core/base/file.h"

/* Unpacking needs a few hundred bytes for a node of some dozens, and edits add about as much again. A file
 * that needs more than this is made to exhaust memory. */
enum { ARENA_FACTOR = 16, ARENA_BASE_BYTES = 64 * 1024 * 1024 };
static const size_t MAX_MAIN_BYTES = 0x7fffffff;

static void *alloc_in_arena(void *arena, size_t size) {
    return arena_alloc(arena, size);
}

/* The arena frees everything at once. */
static void free_in_arena(void *arena, void *p) {
    (void)arena;
    (void)p;
}

static enum rc unpack(struct graph *g, const void *data, size_t size, struct err *err) {
    if (size == 0) {
        return err_set(err, RC_INPUT, "the file is empty; an ONNX model is needed");
    }
    enum rc rc = graph_wire_check(data, size, err);
    if (rc != RC_OK) {
        return rc;
    }
    ProtobufCAllocator allocator = {alloc_in_arena, free_in_arena, g->arena};
    g->model = onnx__model_proto__unpack(&allocator, size, data);
    return g->model ? RC_OK
                    : err_set(err, RC_INPUT,
                              "not an ONNX model: its fields do not have the types that ONNX defines, "
                              "or it needs far more memory than a model of its size");
}

static enum rc arena_limit(const struct compress_file *files, size_t file_count, size_t *ret,
                           struct err *err) {
    size_t total = 0, limit;
    for (size_t i = 0; i < file_count; i++) {
        uint64_t bytes;
        enum rc rc = file_size(files[i].local, &bytes, err);
        if (rc != RC_OK) {
            return rc;
        }
        if (checked_add(total, (size_t)bytes, &total)) {
            return err_set(err, RC_TOO_LARGE, "the model's files are too large");
        }
    }
    if (checked_mul(total, ARENA_FACTOR, &limit) || checked_add(limit, ARENA_BASE_BYTES, &limit)) {
        return err_set(err, RC_TOO_LARGE, "the model's files are too large");
    }
    *ret = limit;
    return RC_OK;
}

static enum rc build(const void *data, size_t size, size_t limit, const struct compress_file *files,
                     size_t file_count, const char *main_path, struct graph **ret, struct err *err) {
    struct graph *g = graph_new(limit);
    if (!g) {
        return err_memory(err);
    }
    enum rc rc = unpack(g, data, size, err);
    rc = rc != RC_OK ? rc : graph_resolve_external(g, files, file_count, main_path, err);
    rc = rc != RC_OK ? rc : graph_index(g, err);
    if (rc != RC_OK) {
        graph_free(g);
        return rc;
    }
    *ret = g;
    return RC_OK;
}

enum rc graph_parse(const void *data, size_t size, struct graph **ret, struct err *err) {
    size_t limit;
    if (checked_mul(size, ARENA_FACTOR, &limit) || checked_add(limit, ARENA_BASE_BYTES, &limit)) {
        return err_set(err, RC_TOO_LARGE, "the model is too large");
    }
    return build(data, size, limit, NULL, 0, "model.onnx", ret, err);
}

enum rc graph_load(const struct compress_file *files, size_t file_count, const char *main_path,
                   struct graph **ret, struct err *err) {
    const char *local = NULL;
    for (size_t i = 0; i < file_count; i++) {
        if (strcmp(files[i].path, main_path) == 0) {
            local = files[i].local;
        }
    }
    if (!local) {
        return err_set(err, RC_INPUT, "the model's main file \"%.200s\" is not among its files", main_path);
    }
    size_t limit = 0, size;
    char *data;
    enum rc rc = arena_limit(files, file_count, &limit, err);
    rc = rc != RC_OK ? rc : file_read(local, MAX_MAIN_BYTES, &data, &size, err);
    if (rc != RC_OK) {
        return rc;
    }
    rc = build(data, size, limit, files, file_count, main_path, ret, err);
    free(data);
    return rc;
}

const Onnx__ModelProto *graph_model(const struct graph *g) {
    return g->model;
}
