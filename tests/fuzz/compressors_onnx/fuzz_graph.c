/* Any bytes as an ONNX model: reading, every lookup, the passes and writing must neither crash nor read past
 * the end, and what was written must be read again. */
#include <stdint.h>
#include <stdlib.h>

#include "compressors/onnx/graph.h"
#include "compressors/onnx/passes.h"
#include "compressors/onnx/weights.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look(struct graph *g) {
    graph_infer_types(g);
    for (size_t i = 0; i < graph_value_count(g); i++) {
        const struct graph_value *v = graph_value_at(g, i);
        int64_t dims[GRAPH_MAX_RANK];
        size_t rank, count;
        float *floats;
        int64_t *ints;
        (void)graph_shape(v, dims, &rank);
        const Onnx__TensorProto *t = graph_constant(g, v);
        if (t && graph_tensor_floats(g, t, &floats, &count, NULL) == RC_OK) {
            free(floats);
        }
        if (t && graph_tensor_ints(g, t, &ints, &count, NULL) == RC_OK) {
            free(ints);
        }
    }
    for (const struct graph_node *n = graph_first(g); n; n = n->next) {
        (void)weights_of(g, n);
    }
}

static enum rc rewrite(struct graph *g) {
    graph_close_initializers(g);
    enum rc rc = pass_fold_constants(g, NULL, NULL);
    rc = rc != RC_OK ? rc : pass_fold_batchnorm(g, NULL, NULL);
    rc = rc != RC_OK ? rc : pass_dedup_initializers(g, NULL, NULL);
    return rc != RC_OK ? rc : pass_remove_dead(g, NULL, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct graph *g, *again;
    char *packed;
    size_t packed_size;
    if (graph_parse(data, size, &g, NULL) != RC_OK) {
        return 0;
    }
    look(g);
    if (rewrite(g) == RC_OK && graph_pack(g, &packed, &packed_size, NULL) == RC_OK) {
        if (packed_size && graph_parse(packed, packed_size, &again, NULL) != RC_OK) {
            abort();
        }
        if (packed_size) {
            graph_free(again);
        }
        free(packed);
    }
    graph_free(g);
    return 0;
}
