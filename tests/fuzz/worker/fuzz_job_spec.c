/* Any bytes as a job: an accepted one names a main file that is among its inputs. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "profiler/worker/job_spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int is_input(const struct job_spec *spec, const char *local) {
    for (size_t i = 0; i < spec->input_count; i++) {
        if (strcmp(spec->inputs[i], local) == 0) {
            return 1;
        }
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct job_spec spec;
    struct err err;
    if (job_spec_read((const char *)data, size, &spec, &err) != RC_OK) {
        return 0;
    }
    if (!is_input(&spec, spec.model.main_local) ||
        (spec.has_reference && !is_input(&spec, spec.reference.main_local))) {
        abort();
    }
    job_spec_release(&spec);
    return 0;
}
