/* Field numbers from onnx/onnx.proto. Nodes are counted, not read; weights are measured, not copied. */
#include "core/formats/onnx_header.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/checked.h"
#include "core/base/container.h"
#include "core/formats/format_detect.h"
#include "core/formats/mapped_file.h"
#include "core/formats/wire.h"

enum {
    MAX_VALUES = 4096, /* inputs, outputs */
    MAX_INITIALIZERS = 1 << 20,
    MAX_EXTERNALS = 1 << 12,
    MAX_TEXT = 4096,
    MAX_TENSOR_RANK = 32,
    LAST_PLAUSIBLE_IR = 1000,
};
static const size_t MAX_ARENA_BYTES = (size_t)256 << 20;

enum { MODEL_IR = 1, MODEL_PRODUCER = 2, MODEL_PRODUCER_VERSION = 3, MODEL_GRAPH = 7, MODEL_OPSET = 8 };
enum { GRAPH_NODE = 1, GRAPH_INITIALIZER = 5, GRAPH_INPUT = 11, GRAPH_OUTPUT = 12 };
enum {
    TENSOR_DIMS = 1,
    TENSOR_TYPE = 2,
    TENSOR_NAME = 8,
    TENSOR_RAW = 9,
    TENSOR_EXTERNAL = 13,
    TENSOR_LOCATION = 14
};

struct reader {
    struct arena *arena;
    struct onnx_header *h;
    struct tensor_spec *inputs, *outputs;
    struct onnx_external *externals;
    struct wire *names; /* of initializers */
    size_t n_names;
};

struct onnx_file {
    struct onnx_header header; /* first: what callers hold */
    struct arena *arena;
};

/* What is read of one TensorProto. */
struct tensor {
    struct wire name, location;
    int64_t dims[MAX_TENSOR_RANK];
    size_t rank;
    int64_t type;
    bool external, has_raw;
    uint64_t raw_bytes, offset, length;
};

static enum rc broken(const char *where, struct err *err) {
    return err_set(err, RC_INPUT, "the ONNX model is broken: %s cannot be read", where);
}

static size_t wire_size(struct wire w) {
    return (size_t)(w.end - w.p);
}

static bool wire_is(struct wire w, const char *text) {
    return wire_size(w) == strlen(text) && memcmp(w.p, text, wire_size(w)) == 0;
}

static enum rc copy_text(struct reader *r, struct wire w, const char **ret, struct err *err) {
    if (wire_size(w) > MAX_TEXT || memchr(w.p, '\0', wire_size(w))) {
        return broken("a name", err);
    }
    *ret = arena_strndup(r->arena, (const char *)w.p, wire_size(w));
    return *ret ? RC_OK : err_memory(err);
}

/* ---- inputs and outputs ---- */

/* TensorShapeProto.Dimension: dim_value = 1, dim_param = 2; neither = unknown. */
static bool read_dim(struct wire w, int64_t *ret) {
    struct wire_field f;
    enum wire_step step;
    *ret = -1;
    while ((step = wire_next(&w, &f)) == WIRE_FIELD) {
        if (f.number == 1 && f.type == WIRE_VARINT) {
            *ret = (int64_t)f.value > 0 ? (int64_t)f.value : -1;
        }
    }
    return step == WIRE_END;
}

static bool read_shape(struct wire w, struct tensor_spec *s) {
    struct wire_field f;
    enum wire_step step;
    while ((step = wire_next(&w, &f)) == WIRE_FIELD) {
        if (f.number != 1 || f.type != WIRE_BYTES) {
            continue;
        }
        if (s->rank == TENSOR_MAX_RANK || !read_dim(f.bytes, &s->dims[s->rank])) {
            return false;
        }
        s->rank++;
    }
    return step == WIRE_END;
}

/* TypeProto: tensor_type = 1 {elem_type = 1, shape = 2}; sequences and maps stay DTYPE_OTHER. */
static bool read_type(struct wire w, struct tensor_spec *s) {
    struct wire_field f, g;
    enum wire_step step, inner = WIRE_END;
    while ((step = wire_next(&w, &f)) == WIRE_FIELD) {
        if (f.number != 1 || f.type != WIRE_BYTES) {
            continue;
        }
        while ((inner = wire_next(&f.bytes, &g)) == WIRE_FIELD) {
            if (g.number == 1 && g.type == WIRE_VARINT) {
                s->dtype = dtype_from_onnx((int64_t)g.value);
            } else if (g.number == 2 && g.type == WIRE_BYTES && !read_shape(g.bytes, s)) {
                return false;
            }
        }
        if (inner == WIRE_BROKEN) {
            return false;
        }
    }
    return step == WIRE_END;
}

static enum rc read_value(struct reader *r, struct wire w, struct tensor_spec *s, struct err *err) {
    struct wire_field f;
    enum wire_step step;
    *s = (struct tensor_spec){.name = "", .dtype = DTYPE_OTHER};
    while ((step = wire_next(&w, &f)) == WIRE_FIELD) {
        enum rc rc = RC_OK;
        if (f.number == 1 && f.type == WIRE_BYTES) {
            rc = copy_text(r, f.bytes, &s->name, err);
        } else if (f.number == 2 && f.type == WIRE_BYTES && !read_type(f.bytes, s)) {
            rc = broken("the type of an input or output", err);
        }
        if (rc != RC_OK) {
            return rc;
        }
    }
    return step == WIRE_END ? RC_OK : broken("an input or output", err);
}

/* ---- initializers ---- */

static bool add_dim(struct tensor *t, uint64_t value) {
    if (t->rank == MAX_TENSOR_RANK || value > INT64_MAX) {
        return false;
    }
    t->dims[t->rank++] = (int64_t)value;
    return true;
}

/* Repeated numbers come one by one or packed. */
static bool read_dims(struct tensor *t, struct wire_field *f) {
    uint64_t value;
    if (f->type == WIRE_VARINT) {
        return add_dim(t, f->value);
    }
    while (f->type == WIRE_BYTES && f->bytes.p < f->bytes.end) {
        if (!wire_varint(&f->bytes, &value) || !add_dim(t, value)) {
            return false;
        }
    }
    return f->type == WIRE_BYTES;
}

static bool read_decimal(struct wire w, uint64_t *ret) {
    uint64_t value = 0;
    for (; w.p < w.end; w.p++) {
        if (*w.p < '0' || *w.p > '9' || __builtin_mul_overflow(value, (uint64_t)10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*w.p - '0'), &value)) {
            return false;
        }
    }
    *ret = value;
    return true;
}

/* StringStringEntryProto: key = 1, value = 2. */
static bool read_external(struct wire w, struct tensor *t) {
    struct wire_field f;
    enum wire_step step;
    struct wire key = {0}, value = {0};
    while ((step = wire_next(&w, &f)) == WIRE_FIELD) {
        if (f.type == WIRE_BYTES && f.number == 1) {
            key = f.bytes;
        } else if (f.type == WIRE_BYTES && f.number == 2) {
            value = f.bytes;
        }
    }
    if (step != WIRE_END || !key.p || !value.p) {
        return false;
    }
    if (wire_is(key, "location")) {
        t->location = value;
    }
    return wire_is(key, "offset")   ? read_decimal(value, &t->offset)
           : wire_is(key, "length") ? read_decimal(value, &t->length)
                                    : true;
}

static bool read_tensor_field(struct tensor *t, struct wire_field *f) {
    if (f->number == TENSOR_DIMS) {
        return read_dims(t, f);
    }
    if (f->number == TENSOR_TYPE && f->type == WIRE_VARINT) {
        t->type = (int64_t)f->value;
    } else if (f->number == TENSOR_LOCATION && f->type == WIRE_VARINT) {
        t->external = f->value == 1;
    } else if (f->number == TENSOR_NAME && f->type == WIRE_BYTES) {
        t->name = f->bytes;
    } else if (f->number == TENSOR_RAW && f->type == WIRE_BYTES) {
        t->has_raw = true;
        t->raw_bytes = wire_size(f->bytes);
    } else if (f->number == TENSOR_EXTERNAL && f->type == WIRE_BYTES) {
        return read_external(f->bytes, t);
    }
    return true;
}

/* Bytes of so many elements; 4-bit types are packed two a byte; strings and the like have no fixed size: 0.
 */
static bool tensor_bytes(int64_t type, size_t elements, uint64_t *ret) {
    enum { ONNX_UINT4 = 21, ONNX_INT4 = 22, ONNX_FLOAT4 = 23, ONNX_FP8_FIRST = 17, ONNX_FP8_LAST = 20 };
    if (type == ONNX_UINT4 || type == ONNX_INT4 || type == ONNX_FLOAT4) {
        *ret = elements / 2 + elements % 2;
        return true;
    }
    size_t size = type >= ONNX_FP8_FIRST && type <= ONNX_FP8_LAST ? 1 : dtype_bytes(dtype_from_onnx(type));
    size_t bytes;
    if (checked_mul(elements, size, &bytes)) {
        return false;
    }
    *ret = bytes;
    return true;
}

static enum rc note_external(struct reader *r, const struct tensor *t, uint64_t bytes, struct err *err) {
    struct onnx_header *h = r->h;
    const char *location;
    uint64_t end;
    if (wire_size(t->location) == 0) {
        return err_set(err, RC_INPUT, "the ONNX model is broken: an external initializer names no file");
    }
    enum rc rc = copy_text(r, t->location, &location, err);
    if (rc != RC_OK) {
        return rc;
    }
    if (__builtin_add_overflow(t->offset, t->length ? t->length : bytes, &end)) {
        return broken("the place of an external initializer", err);
    }
    size_t i = 0;
    while (i < h->n_externals && strcmp(r->externals[i].location, location) != 0) {
        i++;
    }
    if (i == MAX_EXTERNALS) {
        return err_set(err, RC_TOO_LARGE, "the ONNX model names more than %d external files", MAX_EXTERNALS);
    }
    if (i == h->n_externals) {
        r->externals[h->n_externals++] = (struct onnx_external){.location = location};
    }
    if (end > r->externals[i].end) {
        r->externals[i].end = end;
    }
    return RC_OK;
}

static enum rc count_tensor(struct reader *r, const struct tensor *t, struct err *err) {
    size_t elements;
    uint64_t bytes = 0;
    int name = (int)(wire_size(t->name) > 64 ? 64 : wire_size(t->name));
    if (checked_product(t->dims, t->rank, &elements) || !tensor_bytes(t->type, elements, &bytes) ||
        __builtin_add_overflow(r->h->initializer_bytes, bytes, &r->h->initializer_bytes) ||
        __builtin_add_overflow(r->h->parameters, elements, &r->h->parameters)) {
        return err_set(err, RC_INPUT, "the ONNX model is broken: the shape of initializer \"%.*s\" is absurd",
                       name, (const char *)t->name.p);
    }
    if (!t->external && t->has_raw && bytes != t->raw_bytes && bytes != 0) {
        return err_set(
            err, RC_INPUT,
            "the ONNX model is broken: initializer \"%.*s\" takes %llu bytes by its shape, but holds %llu",
            name, (const char *)t->name.p, (unsigned long long)bytes, (unsigned long long)t->raw_bytes);
    }
    r->h->float32_bytes += dtype_from_onnx(t->type) == DTYPE_FLOAT32 ? bytes : 0;
    return t->external ? note_external(r, t, bytes, err) : RC_OK;
}

static enum rc read_initializer(struct reader *r, struct wire w, struct err *err) {
    struct tensor t = {.name = {w.p, w.p}};
    struct wire_field f;
    enum wire_step step;
    while ((step = wire_next(&w, &f)) == WIRE_FIELD) {
        if (!read_tensor_field(&t, &f)) {
            return broken("an initializer", err);
        }
    }
    if (step == WIRE_BROKEN) {
        return broken("an initializer", err);
    }
    r->names[r->n_names++] = t.name;
    return count_tensor(r, &t, err);
}

/* ---- graph ---- */

static enum rc count_fields(struct reader *r, struct wire w, struct err *err) {
    struct onnx_header *h = r->h;
    struct wire_field f;
    enum wire_step step;
    while ((step = wire_next(&w, &f)) == WIRE_FIELD) {
        h->n_nodes += f.number == GRAPH_NODE;
        h->n_initializers += f.number == GRAPH_INITIALIZER;
        h->n_inputs += f.number == GRAPH_INPUT;
        h->n_outputs += f.number == GRAPH_OUTPUT;
        bool message = f.number == GRAPH_NODE || f.number == GRAPH_INITIALIZER || f.number == GRAPH_INPUT ||
                       f.number == GRAPH_OUTPUT;
        if (message && f.type != WIRE_BYTES) {
            return broken("its graph", err);
        }
    }
    if (step == WIRE_BROKEN) {
        return broken("its graph", err);
    }
    if (h->n_initializers > MAX_INITIALIZERS || h->n_outputs > MAX_VALUES ||
        h->n_inputs > MAX_VALUES + h->n_initializers) {
        return err_set(err, RC_TOO_LARGE,
                       "the ONNX model has %zu initializers, %zu inputs and %zu outputs: too many",
                       h->n_initializers, h->n_inputs, h->n_outputs);
    }
    return RC_OK;
}

static int compare_wires(const void *a, const void *b) {
    const struct wire *x = a, *y = b;
    size_t n = wire_size(*x), m = wire_size(*y);
    int order = memcmp(x->p, y->p, n < m ? n : m);
    return order ? order : (n > m) - (n < m);
}

/* Models of IR 3 list initializers among the inputs: those are not fed. */
static void drop_initializers(struct reader *r) {
    size_t kept = 0;
    qsort(r->names, r->n_names, sizeof(*r->names), compare_wires);
    for (size_t i = 0; i < r->h->n_inputs; i++) {
        const uint8_t *name = (const uint8_t *)r->inputs[i].name;
        struct wire key = {name, name + strlen(r->inputs[i].name)};
        if (!bsearch(&key, r->names, r->n_names, sizeof(*r->names), compare_wires)) {
            r->inputs[kept++] = r->inputs[i];
        }
    }
    r->h->n_inputs = kept;
}

static enum rc read_graph(struct reader *r, struct wire w, struct err *err) {
    struct onnx_header *h = r->h;
    struct wire_field f;
    size_t inputs = 0, outputs = 0;
    enum rc rc = count_fields(r, w, err);
    if (rc != RC_OK) {
        return rc;
    }
    r->inputs = arena_calloc(r->arena, h->n_inputs, sizeof(*r->inputs));
    r->outputs = arena_calloc(r->arena, h->n_outputs, sizeof(*r->outputs));
    r->names = arena_calloc(r->arena, h->n_initializers, sizeof(*r->names));
    r->externals = arena_calloc(r->arena, MAX_EXTERNALS, sizeof(*r->externals));
    if (!r->inputs || !r->outputs || !r->names || !r->externals) {
        return err_memory(err);
    }
    while (rc == RC_OK && wire_next(&w, &f) == WIRE_FIELD) {
        if (f.number == GRAPH_INITIALIZER) {
            rc = read_initializer(r, f.bytes, err);
        } else if (f.number == GRAPH_INPUT) {
            rc = read_value(r, f.bytes, &r->inputs[inputs++], err);
        } else if (f.number == GRAPH_OUTPUT) {
            rc = read_value(r, f.bytes, &r->outputs[outputs++], err);
        }
    }
    if (rc != RC_OK) {
        return rc;
    }
    drop_initializers(r);
    h->inputs = r->inputs;
    h->outputs = r->outputs;
    h->externals = r->externals;
    return RC_OK;
}

/* ---- model ---- */

/* OperatorSetIdProto: domain = 1, version = 2. */
static enum rc read_opset(struct reader *r, struct wire w, struct err *err) {
    struct wire_field f;
    enum wire_step step;
    struct wire domain = {0};
    int64_t version = 0;
    while ((step = wire_next(&w, &f)) == WIRE_FIELD) {
        if (f.number == 1 && f.type == WIRE_BYTES) {
            domain = f.bytes;
        } else if (f.number == 2 && f.type == WIRE_VARINT) {
            version = (int64_t)f.value;
        }
    }
    if (wire_size(domain) == 0 || wire_is(domain, "ai.onnx")) {
        r->h->opset = version;
    }
    return step == WIRE_END ? RC_OK : broken("an opset", err);
}

/* The top level of a ModelProto, which a file must have to count as ONNX. */
struct top {
    struct wire graph, producer, producer_version;
    bool has_graph, twice;
    uint64_t ir_version;
    enum wire_step end;
    struct wire_field last; /* what broke it */
};

static struct top read_top(struct wire w) {
    struct top t = {0};
    struct wire_field f;
    while ((t.end = wire_next(&w, &f)) == WIRE_FIELD) {
        if (f.number == MODEL_IR && f.type == WIRE_VARINT) {
            t.ir_version = f.value;
        } else if (f.number == MODEL_GRAPH && f.type == WIRE_BYTES) {
            t.twice = t.has_graph;
            t.has_graph = true;
            t.graph = f.bytes;
        } else if (f.number == MODEL_PRODUCER && f.type == WIRE_BYTES) {
            t.producer = f.bytes;
        } else if (f.number == MODEL_PRODUCER_VERSION && f.type == WIRE_BYTES) {
            t.producer_version = f.bytes;
        }
    }
    t.last = f;
    return t;
}

static enum rc check_top(const struct top *t, const void *data, size_t size, struct err *err) {
    bool plausible = t->ir_version >= 1 && t->ir_version <= LAST_PLAUSIBLE_IR;
    if (size == 0) {
        return err_set(err, RC_INPUT, "the file is empty: it must be an ONNX model");
    }
    if (t->end == WIRE_BROKEN && plausible && t->last.number == MODEL_GRAPH && t->last.value > 0) {
        return err_set(err, RC_INPUT,
                       "the ONNX model is truncated: its graph has %llu bytes, the file %zu; fetch it again",
                       (unsigned long long)t->last.value, size);
    }
    if (t->end == WIRE_BROKEN && plausible && t->has_graph) {
        return err_set(err, RC_INPUT,
                       "the ONNX model is truncated or broken after its graph; fetch it again");
    }
    if (t->end == WIRE_BROKEN || !plausible || !t->has_graph) {
        const char *guess = format_guess(data, size);
        return err_set(err, RC_INPUT, "this is %s, not an ONNX model", guess ? guess : "something else");
    }
    return t->twice ? broken("its graph, which is there twice,", err) : RC_OK;
}

static enum rc read_producer(struct reader *r, const struct top *t, struct err *err) {
    if (wire_size(t->producer) > 256 || wire_size(t->producer_version) > 256) {
        return broken("the producer's name", err);
    }
    const char *name = "", *version = "";
    enum rc rc = wire_size(t->producer) ? copy_text(r, t->producer, &name, err) : RC_OK;
    if (rc == RC_OK && wire_size(t->producer_version)) {
        rc = copy_text(r, t->producer_version, &version, err);
    }
    if (rc == RC_OK) {
        r->h->producer = arena_printf(r->arena, *version ? "%s %s" : "%s%s", name, version);
        rc = r->h->producer ? RC_OK : err_memory(err);
    }
    return rc;
}

static enum rc parse(struct reader *r, const void *data, size_t size, struct err *err) {
    struct wire w = {data, (const uint8_t *)data + size};
    struct wire_field f;
    struct top t = read_top(w);
    enum rc rc = check_top(&t, data, size, err);
    if (rc != RC_OK) {
        return rc;
    }
    r->h->ir_version = (int64_t)t.ir_version;
    r->h->file_bytes = size;
    rc = read_producer(r, &t, err);
    while (rc == RC_OK && wire_next(&w, &f) == WIRE_FIELD) {
        if (f.number == MODEL_OPSET && f.type == WIRE_BYTES) {
            rc = read_opset(r, f.bytes, err);
        }
    }
    return rc == RC_OK ? read_graph(r, t.graph, err) : rc;
}

enum rc onnx_header_parse(const void *data, size_t size, struct onnx_header **ret, struct err *err) {
    struct onnx_file *file = calloc(1, sizeof(*file));
    if (!file || !(file->arena = arena_new(MAX_ARENA_BYTES))) {
        free(file);
        return err_memory(err);
    }
    struct reader r = {.arena = file->arena, .h = &file->header};
    enum rc rc = parse(&r, data, size, err);
    if (rc == RC_OK) {
        *ret = &file->header;
    } else {
        onnx_header_free(&file->header);
    }
    return rc;
}

enum rc onnx_header_read(const char *path, struct onnx_header **ret, struct err *err) {
    struct mapped_file m;
    enum rc rc = mapped_file_open(path, &m, err);
    if (rc == RC_OK) {
        rc = onnx_header_parse(m.data, m.size, ret, err);
        mapped_file_close(&m);
    }
    return rc;
}

void onnx_header_free(struct onnx_header *h) {
    if (h) {
        struct onnx_file *file = CONTAINER_OF(h, struct onnx_file, header);
        arena_free(file->arena);
        free(file);
    }
}
