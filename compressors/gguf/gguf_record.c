/* gguf_record.c -- the types of each tensor before and after. */
#include "compressors/gguf/gguf_record.h"

#include <stdbool.h>
#include <string.h>

#include "core/formats/gguf_header.h"
#include "core/recipes/record.h"
#include "runtimes/llama_quantizer.h"

enum { K_BLOCK = 256 }; /* weights in a block of the K types */

static bool ends_with(const char *text, const char *end) {
    size_t size = strlen(text), end_size = strlen(end);
    return size >= end_size && strcmp(text + size - end_size, end) == 0;
}

static const struct gguf_tensor *find_tensor(const struct gguf_header *h, const char *name, size_t guess) {
    size_t count = gguf_header_tensor_count(h);
    for (size_t step = 0; step < count; step++) {
        const struct gguf_tensor *t = gguf_header_tensor(h, (guess + step) % count);
        if (strcmp(t->name, name) == 0) {
            return t;
        }
    }
    return NULL;
}

static const char *reason_left_alone(const struct gguf_tensor *t) {
    if (strstr(t->name, "_norm")) {
        return "norms stay as they are: they are small and sensitive";
    }
    if (t->rank < 2) {
        return "vectors stay as they are: they are small";
    }
    if (ends_with(t->name, ".bias")) {
        return "biases stay as they are: they are small";
    }
    return "llama.cpp keeps tensors of this kind as they are";
}

/* Other levels are made of blocks of 32, which every row fills. */
static bool has_large_blocks(const char *level) {
    return strstr(level, "_K") || (strncmp(level, "IQ", 2) == 0 && strcmp(level, "IQ4_NL") != 0);
}

/* The type was named in the recipe. */
static bool is_asked_for(const struct gguf_tensor *t, const struct llama_quantizer_opts *how) {
    return (how->embed && strcmp(how->embed, t->type_name) == 0) ||
           (how->output && strcmp(how->output, t->type_name) == 0);
}

static enum rc record_tensor(struct record *record, const struct gguf_tensor *before,
                             const struct gguf_tensor *after, const struct llama_quantizer_opts *how,
                             struct err *err) {
    if (before->type == after->type) {
        return record_left_alone(record, err, after->name, "%s: %s", after->type_name,
                                 reason_left_alone(after));
    }
    enum rc rc = record_changed(record, err, after->name, "%s to %s", before->type_name, after->type_name);
    if (rc || !has_large_blocks(how->level) || after->dims[0] % K_BLOCK == 0 || is_asked_for(after, how)) {
        return rc;
    }
    return record_note(
        record, err,
        "rows of %llu weights do not fill the blocks of %d that %s is made of: matrices of that width became "
        "%s, which is larger",
        (unsigned long long)after->dims[0], K_BLOCK, how->level, after->type_name);
}

enum rc gguf_record_changes(struct record *record, const struct gguf_header *before,
                            const struct gguf_header *after, const struct llama_quantizer_opts *how,
                            struct err *err) {
    enum rc rc = RC_OK;
    for (size_t i = 0; rc == RC_OK && i < gguf_header_tensor_count(after); i++) {
        const struct gguf_tensor *t = gguf_header_tensor(after, i);
        const struct gguf_tensor *old = find_tensor(before, t->name, i);
        rc = old ? record_tensor(record, old, t, how, err)
                 : err_set(err, RC_INTERNAL, "the written file has a tensor %s that the model has not",
                           t->name);
    }
    return rc;
}
