/* Any bytes as an ONNX model, and what they look like. */
#include <stddef.h>
#include <stdint.h>

#include "core/formats/format_detect.h"
#include "core/formats/onnx_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct onnx_header *h = NULL;
    struct err err;
    if (onnx_header_parse(data, size, &h, &err) == RC_OK) {
        onnx_header_free(h);
    }
    (void)format_guess(data, size);
    return 0;
}
