/* Any bytes as the header of an .npy array. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "core/formats/npy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct npy_header header;
    struct err err;
    if (npy_parse(data, size, &header, &err) == RC_OK && header.header_bytes > size) {
        abort();
    }
    return 0;
}
