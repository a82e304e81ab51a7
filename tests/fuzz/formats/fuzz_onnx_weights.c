/* Any bytes as an ONNX model whose weights are looked up. */
#include <stddef.h>
#include <stdint.h>

#include "core/formats/onnx_weights.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct onnx_weights *w = NULL;
    struct err err;
    if (onnx_weights_parse(data, size, &w, &err) == RC_OK) {
        (void)onnx_weights_find(w, "n");
        (void)onnx_weights_bytes(w);
        onnx_weights_free(w);
    }
    return 0;
}
