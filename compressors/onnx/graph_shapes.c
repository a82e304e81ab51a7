#include "compressors/onnx/graph_shapes.h"

#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/model_feed.h"
#include "runtimes/onnxruntime.h"

struct shape {
    bool seen;
    size_t rank;
    int64_t dims[TENSOR_MAX_RANK];
};

struct graph_shapes {
    size_t value_count;
    struct shape *shapes; /* by index of the value */
    size_t slot_count;    /* a power of two */
    struct {
        const struct graph_value *value;
        size_t index;
    } * slots; /* open addressing by address */
};

/* --- values by address --- */

static size_t slot_of(const struct graph_shapes *s, const struct graph_value *v) {
    size_t at = (size_t)((uintptr_t)v >> 4) * 0x9E3779B97F4A7C15u & (s->slot_count - 1);
    while (s->slots[at].value && s->slots[at].value != v) {
        at = (at + 1) & (s->slot_count - 1);
    }
    return at;
}

static enum rc make_index(struct graph_shapes *s, const struct graph *g, struct err *err) {
    s->value_count = graph_value_count(g);
    s->slot_count = 16;
    while (s->slot_count < 2 * s->value_count) {
        s->slot_count *= 2;
    }
    s->slots = calloc(s->slot_count, sizeof(*s->slots));
    s->shapes = calloc(s->value_count + 1, sizeof(*s->shapes));
    if (!s->slots || !s->shapes) {
        return err_memory(err);
    }
    for (size_t i = 0; i < s->value_count; i++) {
        const struct graph_value *v = graph_value_at(g, i);
        size_t at = slot_of(s, v);
        s->slots[at].value = v;
        s->slots[at].index = i;
    }
    return RC_OK;
}

size_t graph_shapes_index(const struct graph_shapes *s, const struct graph_value *v) {
    size_t at = slot_of(s, v);
    return s->slots[at].value ? s->slots[at].index : SIZE_MAX;
}

const int64_t *graph_shapes_of(const struct graph_shapes *s, const struct graph_value *v, size_t *rank) {
    size_t i = graph_shapes_index(s, v);
    if (i == SIZE_MAX || !s->shapes[i].seen) {
        return NULL;
    }
    *rank = s->shapes[i].rank;
    return s->shapes[i].dims;
}

static void keep(struct graph_shapes *s, const struct graph_value *v, const int64_t *dims, size_t rank) {
    size_t i = v ? graph_shapes_index(s, v) : SIZE_MAX;
    if (i == SIZE_MAX || rank > TENSOR_MAX_RANK) {
        return;
    }
    s->shapes[i].seen = true;
    s->shapes[i].rank = rank;
    if (rank) {
        memcpy(s->shapes[i].dims, dims, rank * sizeof(*dims));
    }
}

static void keep_initializers(struct graph_shapes *s, const struct graph *g) {
    for (size_t i = 0; i < s->value_count; i++) {
        const struct graph_value *v = graph_value_at(g, i);
        const Onnx__TensorProto *t = v->initializer;
        if (t) {
            keep(s, v, t->dims, t->n_dims);
        }
    }
}

/* --- running --- */

/* A copy of the graph all of whose values of known type are outputs, packed. */
static enum rc pack_observed(struct graph *g, char **data, size_t *size, struct err *err) {
    struct graph *copy = NULL;
    char *plain = NULL;
    size_t plain_size = 0;
    enum rc rc = graph_pack(g, &plain, &plain_size, err);
    rc = rc != RC_OK ? rc : graph_parse(plain, plain_size, &copy, err);
    free(plain);
    if (rc == RC_OK) {
        graph_infer_types(copy);
    }
    for (struct graph_node *n = rc == RC_OK ? graph_first(copy) : NULL; n && rc == RC_OK; n = n->next) {
        for (size_t i = 0; i < n->proto->n_output && rc == RC_OK; i++) {
            struct graph_value *v = graph_output(copy, n, i);
            if (v && v->dtype != GRAPH_UNKNOWN) {
                rc = graph_add_output(copy, v, v->dtype, err);
            }
        }
    }
    rc = rc != RC_OK ? rc : graph_pack(copy, data, size, err);
    graph_free(copy);
    return rc;
}

static void keep_outputs(struct graph_shapes *s, const struct graph *g,
                         const struct onnxruntime_session *session, const struct onnxruntime_result *result) {
    const struct tensor_spec *outputs = NULL;
    size_t count = onnxruntime_outputs(session, &outputs);
    for (size_t i = 0; i < count; i++) {
        const struct onnxruntime_tensor *t = onnxruntime_result_output(result, i);
        if (t->dtype != DTYPE_OTHER) {
            keep(s, graph_find(g, outputs[i].name), t->dims, t->rank);
        }
    }
}

static enum rc run(struct graph_shapes *s, struct graph *g, struct onnxruntime_session *session,
                   struct dataset *data, struct err *err) {
    struct model_feed feed;
    struct onnxruntime_result *result = NULL;
    const struct tensor_spec *inputs = NULL;
    enum rc rc = model_feed_init(&feed, session, data, SHAPES_BATCH, err);
    if (rc != RC_OK) {
        return rc;
    }
    model_feed_fill(&feed, data, 0, 1);
    (void)onnxruntime_inputs(session, &inputs);
    for (size_t i = 0; i < feed.count; i++) { /* the same example again fills the batch */
        struct onnxruntime_tensor *t = &feed.tensors[i];
        for (size_t r = 1; !feed.fixed[i] && r < SHAPES_BATCH; r++) {
            memcpy((char *)t->data + r * feed.row_bytes[i], t->data, feed.row_bytes[i]);
        }
        if (!feed.fixed[i]) {
            t->dims[0] = SHAPES_BATCH;
            t->bytes = SHAPES_BATCH * feed.row_bytes[i];
        }
        keep(s, graph_find(g, inputs[i].name), t->dims, t->rank);
    }
    rc = onnxruntime_run(session, feed.tensors, &result, err);
    if (rc == RC_OK) {
        keep_outputs(s, g, session, result);
    }
    onnxruntime_result_free(result);
    model_feed_release(&feed);
    return rc;
}

enum rc graph_shapes_observe(struct graph *g, struct dataset *calibration, struct graph_shapes **ret,
                             struct err *err) {
    struct onnxruntime *runtime = NULL;
    struct onnxruntime_session *session = NULL;
    struct onnxruntime_session_opts opts = {.threads = 1, .optimize = ONNXRUNTIME_OPTIMIZE_NONE};
    char *data = NULL;
    size_t size = 0;
    struct graph_shapes *s = calloc(1, sizeof(*s));
    enum rc rc = s ? make_index(s, g, err) : err_memory(err);
    rc = rc != RC_OK ? rc : pack_observed(g, &data, &size, err);
    rc = rc != RC_OK ? rc : onnxruntime_new(NULL, &runtime, err);
    rc = rc != RC_OK ? rc : onnxruntime_open_bytes(runtime, data, size, &opts, &session, err);
    free(data);
    if (rc == RC_OK) {
        keep_initializers(s, g);
        rc = run(s, g, session, calibration, err);
    }
    onnxruntime_close(session);
    onnxruntime_free(runtime);
    if (rc != RC_OK) {
        graph_shapes_free(s);
        return rc;
    }
    *ret = s;
    return RC_OK;
}

void graph_shapes_free(struct graph_shapes *s) {
    if (s) {
        free(s->slots);
        free(s->shapes);
        free(s);
    }
}
