/* External data: tensors whose bytes lie in other files of the model. The files are mapped read-only and
 * raw_data points into the mapping, so that a large model costs address space, not memory. A location is a
 * name to look up in the list of the model's own files, never a path to open. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "compressors/onnx/graph_internal.h"
#include "core/base/file.h"

struct graph_mapping {
    struct graph_mapping *next;
    const char *path; /* as in compress_file */
    uint8_t *data;
    size_t size;
};

struct resolver {
    struct graph *g;
    const struct compress_file *files;
    size_t file_count;
    const char *main_path;
    struct err *err;
};

void graph_unmap(struct graph *g) {
    while (g->mappings) {
        struct graph_mapping *m = g->mappings;
        g->mappings = m->next;
        if (m->size) {
            munmap(m->data, m->size);
        }
        free(m);
    }
}

static enum rc map_file(struct resolver *r, const struct compress_file *file, struct graph_mapping **ret) {
    for (struct graph_mapping *m = r->g->mappings; m; m = m->next) {
        if (strcmp(m->path, file->path) == 0) {
            *ret = m;
            return RC_OK;
        }
    }
    struct graph_mapping *m = calloc(1, sizeof(*m));
    struct stat st;
    int fd = m ? open(file->local, O_RDONLY | O_CLOEXEC) : -1;
    enum rc rc = RC_OK;
    if (!m) {
        return err_memory(r->err);
    }
    if (fd < 0 || fstat(fd, &st) != 0) {
        rc = file_error(file->path, r->err);
        goto out;
    }
    m->size = (size_t)st.st_size;
    m->data = m->size ? mmap(NULL, m->size, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
    if (m->data == MAP_FAILED) {
        m->size = 0;
        rc = file_error(file->path, r->err);
        goto out;
    }
    m->path = file->path;
    m->next = r->g->mappings;
    r->g->mappings = m;
    *ret = m;
    m = NULL;
out:
    if (fd >= 0) {
        close(fd);
    }
    free(m);
    return rc;
}

static const char *entry(const Onnx__TensorProto *t, const char *key) {
    for (size_t i = 0; i < t->n_external_data; i++) {
        const Onnx__StringStringEntryProto *e = t->external_data[i];
        if (e->key && e->value && strcmp(e->key, key) == 0) {
            return e->value;
        }
    }
    return NULL;
}

/* A decimal number; absent counts as `absent`. */
static bool entry_number(const Onnx__TensorProto *t, const char *key, size_t absent, size_t *ret) {
    const char *text = entry(t, key);
    char *end;
    if (!text) {
        *ret = absent;
        return true;
    }
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    *ret = (size_t)value;
    return *text >= '0' && *text <= '9' && *end == '\0' && errno == 0;
}

/* True when `path` is `location` seen from the folder of main_path. Both are plain relative names: no "..",
 * no leading '/'. */
static bool is_at(const char *path, const char *main_path, const char *location) {
    const char *slash = strrchr(main_path, '/');
    size_t folder = slash ? (size_t)(slash - main_path) + 1 : 0;
    return strncmp(path, main_path, folder) == 0 && strcmp(path + folder, location) == 0;
}

static bool has_dotdot(const char *path) {
    for (const char *p = path; p; p = strchr(p, '/')) {
        p += *p == '/';
        if (strncmp(p, "..", 2) == 0 && (p[2] == '/' || p[2] == '\0')) {
            return true;
        }
    }
    return false;
}

static enum rc find_file(struct resolver *r, const char *location, const struct compress_file **ret) {
    if (*location == '/' || has_dotdot(location)) {
        return err_set(
            r->err, RC_INPUT,
            "external data at \"%.200s\": only files of the model itself are read, by relative names",
            location);
    }
    while (strncmp(location, "./", 2) == 0) {
        location += 2;
    }
    for (size_t i = 0; i < r->file_count; i++) {
        if (is_at(r->files[i].path, r->main_path, location)) {
            *ret = &r->files[i];
            return RC_OK;
        }
    }
    return err_set(
        r->err, RC_INPUT,
        "external data at \"%.200s\": there is no such file in the model; submit it together with %.100s",
        location, r->main_path);
}

static enum rc resolve_tensor(struct resolver *r, Onnx__TensorProto *t) {
    if (!t || !t->has_data_location || t->data_location != ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL) {
        return RC_OK;
    }
    const char *location = entry(t, "location");
    const struct compress_file *file = NULL;
    struct graph_mapping *m = NULL;
    size_t offset, length, count;
    if (!location) {
        return err_set(r->err, RC_INPUT, "tensor \"%.160s\" has external data without a location",
                       t->name ? t->name : "");
    }
    enum rc rc = find_file(r, location, &file);
    assert(rc != RC_OK || file);
    rc = rc != RC_OK ? rc : map_file(r, file, &m);
    assert(rc != RC_OK || m);
    rc = rc != RC_OK ? rc : graph_tensor_count(t, &count, r->err);
    if (rc != RC_OK) {
        return err_prefix(r->err, "tensor \"%.160s\"", t->name ? t->name : "");
    }
    size_t expected = graph_dtype_bytes(t->data_type, count);
    bool ok = entry_number(t, "offset", 0, &offset) && offset <= m->size &&
              entry_number(t, "length", expected ? expected : m->size - offset, &length) &&
              length <= m->size - offset;
    if (!ok || (expected && length != expected)) {
        return err_set(r->err, RC_INPUT,
                       "tensor \"%.160s\": its external data do not lie inside \"%.100s\" (%zu bytes)",
                       t->name ? t->name : "", file->path, m->size);
    }
    t->has_raw_data = 1;
    t->raw_data.data = length ? m->data + offset : NULL;
    t->raw_data.len = length;
    t->has_data_location = 0;
    t->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__DEFAULT;
    t->n_external_data = 0;
    return RC_OK;
}

static enum rc resolve_graph(struct resolver *r, const Onnx__GraphProto *graph);

static enum rc resolve_sparse(struct resolver *r, const Onnx__SparseTensorProto *s) {
    enum rc rc = s ? resolve_tensor(r, s->values) : RC_OK;
    return rc == RC_OK && s ? resolve_tensor(r, s->indices) : rc;
}

static enum rc resolve_attribute(struct resolver *r, const Onnx__AttributeProto *a) {
    enum rc rc = resolve_tensor(r, a->t);
    rc = rc == RC_OK && a->g ? resolve_graph(r, a->g) : rc;
    rc = rc == RC_OK ? resolve_sparse(r, a->sparse_tensor) : rc;
    for (size_t i = 0; i < a->n_tensors && rc == RC_OK; i++) {
        rc = resolve_tensor(r, a->tensors[i]);
    }
    for (size_t i = 0; i < a->n_graphs && rc == RC_OK; i++) {
        rc = resolve_graph(r, a->graphs[i]);
    }
    for (size_t i = 0; i < a->n_sparse_tensors && rc == RC_OK; i++) {
        rc = resolve_sparse(r, a->sparse_tensors[i]);
    }
    return rc;
}

static enum rc resolve_nodes(struct resolver *r, Onnx__NodeProto *const *nodes, size_t count) {
    enum rc rc = RC_OK;
    for (size_t i = 0; i < count && rc == RC_OK; i++) {
        for (size_t j = 0; j < nodes[i]->n_attribute && rc == RC_OK; j++) {
            rc = resolve_attribute(r, nodes[i]->attribute[j]);
        }
    }
    return rc;
}

/* Recursion through subgraphs; the depth is limited by graph_wire_check. */
static enum rc resolve_graph(struct resolver *r, const Onnx__GraphProto *graph) {
    enum rc rc = resolve_nodes(r, graph->node, graph->n_node);
    for (size_t i = 0; i < graph->n_initializer && rc == RC_OK; i++) {
        rc = resolve_tensor(r, graph->initializer[i]);
    }
    for (size_t i = 0; i < graph->n_sparse_initializer && rc == RC_OK; i++) {
        rc = resolve_sparse(r, graph->sparse_initializer[i]);
    }
    return rc;
}

enum rc graph_resolve_external(struct graph *g, const struct compress_file *files, size_t file_count,
                               const char *main_path, struct err *err) {
    struct resolver r = {g, files, file_count, main_path, err};
    const Onnx__ModelProto *m = g->model;
    enum rc rc = m->graph ? resolve_graph(&r, m->graph) : RC_OK;
    for (size_t i = 0; i < m->n_functions && rc == RC_OK; i++) {
        rc = resolve_nodes(&r, m->functions[i]->node, m->functions[i]->n_node);
    }
    for (size_t i = 0; i < m->n_training_info && rc == RC_OK; i++) {
        const Onnx__TrainingInfoProto *t = m->training_info[i];
        rc = t->initialization ? resolve_graph(&r, t->initialization) : RC_OK;
        rc = rc == RC_OK && t->algorithm ? resolve_graph(&r, t->algorithm) : rc;
    }
    return rc;
}
