/* Any bytes as an .npz: every array that is accepted is also read. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "core/formats/npz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const struct npz_limits limits = {.max_bytes = 1 << 20};
    struct npz *z = NULL;
    struct err err;
    if (npz_open_memory(data, size, &limits, &z, &err) != RC_OK) {
        return 0;
    }
    for (size_t i = 0; i < npz_count(z); i++) {
        void *array = NULL;
        if (npz_read(z, npz_at(z, i), &array, &err) == RC_OK) {
            free(array);
        }
    }
    npz_close(z);
    return 0;
}
