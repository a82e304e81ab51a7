/* Any bytes as a GGUF file: tensors of an accepted header lie inside the file. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "core/formats/gguf_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct gguf_header *h = NULL;
    struct err err;
    if (gguf_header_parse(data, size, size, &h, &err) != RC_OK) {
        return 0;
    }
    for (size_t i = 0; i < gguf_header_tensor_count(h); i++) {
        const struct gguf_tensor *t = gguf_header_tensor(h, i);
        if (t->offset > size || t->bytes > size - t->offset) {
            abort();
        }
    }
    gguf_header_free(h);
    return 0;
}
