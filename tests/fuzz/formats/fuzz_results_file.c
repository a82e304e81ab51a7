/* Any bytes as a results file: what is accepted lies inside them, whole and in order. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "core/formats/results_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds) {
    if (!holds) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint8_t key[RESULTS_FILE_PUBLIC_KEY] = {1};
    struct results_file r;
    struct err err;
    if (results_file_read(data, size, &r, &err) != RC_OK) {
        return 0;
    }
    const uint8_t *at = r.content_count > 0 ? r.contents[0].data : data + r.size;
    for (size_t i = 0; i < r.content_count; i++) {
        must(r.contents[i].data == at && r.contents[i].size <= (size_t)(data + r.size - at));
        at += r.contents[i].size;
    }
    must(at == data + r.size);
    must(results_file_verify(&r, key, &err) != RC_OK); /* nobody can sign for this key */
    results_file_release(&r);
    return 0;
}
