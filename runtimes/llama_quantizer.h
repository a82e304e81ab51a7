/* llama_quantizer.h -- libllama's own quantization of a GGUF file, by the name of its level. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

/* Importance of the columns of one tensor: mean squared input, `count` = columns * matrices values, all
 * finite. */
struct llama_importance {
    const char *tensor;
    const float *values;
    size_t count;
};

struct llama_quantizer_opts {
    const char *level;          /* "Q4_K_M" */
    const char *embed, *output; /* "Q6_K", "Q8_0", "F16": types of the token embeddings and of the layer that
                                   gives the logits; NULL: as the level has them */
    const struct llama_importance *importance; /* NULL: all columns count the same */
    size_t importances;
    uint64_t chunks;  /* of text behind the importance; recorded in the file */
    uint32_t threads; /* 0 = 1 */
};

/* The levels that llama_quantizer_run knows, NULL-terminated, about from the largest file to the smallest.
 * Also in a build without libllama. */
const char *const *llama_quantizer_levels(void);

/* Writes the GGUF file `input` with its matrices at that level to `output` (replaced if it exists; removed on
 * failure). The same arguments give the same bytes. RC_USAGE for an unknown level or type; RC_INPUT with
 * libllama's reason, also for a model that is quantized already. */
MUST_USE enum rc llama_quantizer_run(const char *input, const char *output,
                                     const struct llama_quantizer_opts *opts, struct err *err);
