/* Any bytes as a worker's output, in pieces: what is taken is complete. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "profiler/agent/worker_lines.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct worker_lines lines;
    struct err err;
    worker_lines_init(&lines);
    enum rc rc = RC_OK;
    size_t piece = size > 0 ? data[0] % 7 + 1 : 1;
    for (size_t at = 0; rc == RC_OK && at < size; at += piece) {
        rc = worker_lines_add(&lines, (const char *)data + at, size - at < piece ? size - at : piece, &err);
    }
    if ((lines.result != NULL) != (lines.files != NULL) || (lines.result && !lines.answered) ||
        (lines.answered && !lines.result && lines.reason.rc == RC_OK)) {
        abort();
    }
    worker_lines_release(&lines);
    return 0;
}
