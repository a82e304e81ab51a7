#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/graph_internal.h"
#include "compressors/onnx/passes.h"

struct entry {
    struct graph_value *value;
    const uint8_t *bytes;
    size_t size, order;
};

static int compare_numbers(size_t a, size_t b) {
    return a < b ? -1 : a > b;
}

static int compare_contents(const struct entry *a, const struct entry *b) {
    const Onnx__TensorProto *s = a->value->initializer, *t = b->value->initializer;
    int by = compare_numbers((size_t)s->data_type, (size_t)t->data_type);
    by = by ? by : compare_numbers(s->n_dims, t->n_dims);
    by = by ? by : compare_numbers(a->size, b->size);
    by = by || !s->n_dims ? by : memcmp(s->dims, t->dims, s->n_dims * sizeof(int64_t));
    return by || !a->size ? by : memcmp(a->bytes, b->bytes, a->size);
}

static int compare_entries(const void *a, const void *b) {
    const struct entry *x = a, *y = b;
    int by = compare_contents(x, y);
    return by ? by : compare_numbers(x->order, y->order);
}

enum rc pass_dedup_initializers(struct graph *g, size_t *count, struct err *err) {
    struct entry *entries = calloc(g->value_count + 1, sizeof(*entries));
    size_t n = 0, merged = 0;
    enum rc rc = entries ? RC_OK : err_memory(err);
    for (size_t i = 0; i < g->value_count && rc == RC_OK; i++) {
        struct entry e = {.value = g->values[i], .order = i};
        if (e.value->initializer && !e.value->is_input &&
            graph_tensor_bytes(g, e.value->initializer, &e.bytes, &e.size, NULL) == RC_OK) {
            entries[n++] = e; /* tensors without plain bytes (strings) stay as they are */
        }
    }
    if (n) {
        qsort(entries, n, sizeof(*entries), compare_entries);
    }
    for (size_t i = 1, first = 0; i < n && rc == RC_OK; i++) {
        struct graph_value *v = entries[i].value;
        if (compare_contents(&entries[first], &entries[i]) != 0) {
            first = i;
        } else if (v->use_count && !v->is_output && !graph_is_captured(v)) {
            rc = graph_redirect(g, v, entries[first].value, NULL, err);
            rc = rc != RC_OK ? rc : graph_remove_initializer(g, v, err);
            merged++;
        }
    }
    free(entries);
    if (count) {
        *count = merged;
    }
    return rc != RC_OK ? rc : graph_sync(g, err);
}
