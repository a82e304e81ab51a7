/* Any bytes as an IDX file, plain or gzip. */
#include <stddef.h>
#include <stdint.h>

#include "core/formats/idx.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct idx x = {0};
    struct err err;
    if (idx_read_memory(data, size, 1 << 20, &x, &err) == RC_OK) {
        idx_release(&x);
    }
    return 0;
}
