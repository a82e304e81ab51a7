/* llama_lm.h -- a language model (GGUF) loaded by libllama, with one context to run it in.
 * Worker only. libllama may abort() on a hostile file: the header is checked first (core/formats/gguf.h), the
 * process is expendable all the same. The names avoid llama_model_*, which belong to the library.
 *
 * In a build without libllama (PARE_HAVE_LLAMA undefined) the functions of runtimes/llama_*.h answer
 * RC_UNSUPPORTED "this build has no libllama: GGUF models cannot be run; see README".
 *
 * Threads: loading, quantizing and llama_lm_open_libraries are called from one thread at a time; afterwards
 * every struct llama_lm may be used by a thread of its own. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

struct llama_lm; /* opaque */

struct llama_lm_opts {
    uint32_t context; /* tokens; 0 = 512. More than the model was trained on is RC_INPUT */
    uint32_t threads; /* 0 = 1 */
};

struct llama_lm_info {
    char architecture[64]; /* "llama" */
    char description[128]; /* libllama's words: "llama 27M F16" */
    uint64_t parameters;
    uint64_t tensor_bytes; /* all tensors */
    uint32_t vocabulary;   /* tokens */
    uint32_t trained_context;
    uint32_t layers;
    uint32_t context; /* of this instance */
    bool adds_bos;
};

/* True in a build with libllama. */
bool llama_lm_available(void);

/* "libllama 0.5.0-dev", valid as long as the calling thread; NULL in a build without. */
const char *llama_lm_version(void);

/* Loads the backend libraries that lie beside libggml (the one for this CPU is chosen by ggml). Loading a
 * model does it by itself; a worker that confines itself calls this before. Repeating it does nothing. RC_IO
 * when there is none for this CPU. */
MUST_USE enum rc llama_lm_open_libraries(struct err *err);

/* Loads the model at `path` (mapped, not copied) and makes its context. The caller owns *ret.
 * RC_INPUT: not a GGUF file, truncated, not a text model, or refused by libllama (its last words are in
 * *err). RC_MEMORY. */
MUST_USE enum rc llama_lm_load(const char *path, const struct llama_lm_opts *opts, struct llama_lm **ret,
                               struct err *err);

/* Another context on the weights of `base`, which must outlive it: one more instance that serves beside it.
 */
MUST_USE enum rc llama_lm_instance(const struct llama_lm *base, const struct llama_lm_opts *opts,
                                   struct llama_lm **ret, struct err *err);

void llama_lm_free(struct llama_lm *lm); /* NULL is fine */

void llama_lm_describe(const struct llama_lm *lm, struct llama_lm_info *ret);

/* The tokens of `text` (any bytes; what is not UTF-8 is replaced by U+FFFD first) with the model's own
 * leading BOS, special tokens in the text not recognised, as llama.cpp's tools do. The caller free()s
 * *tokens. */
MUST_USE enum rc llama_lm_tokenize(const struct llama_lm *lm, const char *text, size_t size, int32_t **tokens,
                                   size_t *count, struct err *err);
