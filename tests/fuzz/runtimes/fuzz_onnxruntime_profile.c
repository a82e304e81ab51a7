/* Any text as the profile of a session. */
#include <stddef.h>
#include <stdint.h>

#include "runtimes/onnxruntime_profile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct onnxruntime_profile p;
    struct err err;
    if (onnxruntime_profile_parse((const char *)data, size, size % 3, &p, &err) == RC_OK) {
        onnxruntime_profile_release(&p);
    }
    return 0;
}
