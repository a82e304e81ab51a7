#include "compressors/onnx/product_layer.h"

#include <string.h>

bool product_layer_of(const struct graph *g, struct graph_node *n, struct product_layer *ret,
                      const char **why) {
    struct product_layer l = {.node = n, .weights = weights_of(g, n), .rows_per_channel = 1};
    size_t count = 0;
    if (!layer_rows_of(g, n, &l.rows, why)) {
        return false;
    }
    if (graph_tensor_count(l.weights.tensor, &count, NULL) != RC_OK || count == 0 || l.rows.width == 0) {
        *why = "it has no weights";
        return false;
    }
    l.outputs = count / l.rows.groups / l.rows.width;
    l.group_stride = l.outputs * l.rows.width;
    bool gemm = l.weights.kind == WEIGHTS_GEMM;
    bool transposed = gemm && graph_attr_int(n, l.weights.slot == 0 ? "transA" : "transB", 0) != 0;
    /* Conv has [outputs, rows]; MatMul and Gemm [rows, outputs] unless transposed or on the left. */
    bool outputs_first = l.weights.kind == WEIGHTS_CONV ||
                         (l.weights.kind != WEIGHTS_CONV_TRANSPOSE && (l.weights.slot == 0) != transposed);
    l.out_stride = outputs_first ? l.rows.width : 1;
    l.row_stride = outputs_first ? 1 : l.outputs;
    if (l.weights.kind == WEIGHTS_CONV) {
        l.rows_per_channel = l.rows.width / l.rows.channels;
    }
    *ret = l;
    return true;
}
