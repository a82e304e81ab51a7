/* llama_internal.h -- what the files runtimes/llama_*.c share; only they include it. Empty in a build without
 * libllama. */
#pragma once

#ifdef PARE_HAVE_LLAMA

#include <ggml-backend.h>
#include <llama.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/err.h"
#include "runtimes/llama_lm.h"

struct llama_lm {
    struct llama_model *model;
    bool owns_model; /* false in an instance: the weights are another's */
    struct llama_context *ctx;
    const struct llama_vocab *vocab;
    struct ggml_threadpool *pool; /* NULL for one thread */
    struct llama_batch batch;     /* room for `context` tokens */
    uint32_t context;             /* tokens */
    uint32_t threads;
    uint32_t max_outputs; /* positions whose logits one decode may give */
};

/* --- llama_lm.c --- */

/* llama_lm_load whose context calls on_node for every node of the graph (ggml-backend.h); NULL for none. */
MUST_USE enum rc llama_lm_load_observed(const char *path, const struct llama_lm_opts *opts,
                                        ggml_backend_sched_eval_callback on_node, void *user,
                                        struct llama_lm **ret, struct err *err);

/* Empties the context. */
void llama_lm_clear(struct llama_lm *lm);

/* Decodes tokens[begin .. end) of a chunk after those before `begin`; logits are kept for positions from
 * `first_output` on, at most max_outputs of them. */
MUST_USE enum rc llama_lm_decode(struct llama_lm *lm, const int32_t *tokens, uint32_t begin, uint32_t end,
                                 uint32_t first_output, struct err *err);

/* Where a decode that begins at `begin` has to end so that it keeps no more than max_outputs logits; at most
 * `count`. */
uint32_t llama_lm_piece_end(const struct llama_lm *lm, uint32_t begin, uint32_t count, uint32_t first_output);

/* Logits [vocabulary] of a position of the last decode, which began at `begin`. Valid until the next decode.
 */
const float *llama_lm_logits(struct llama_lm *lm, uint32_t begin, uint32_t position);

/* The token that a chunk begins with instead of its own first one: BOS where the model adds one. */
int32_t llama_lm_first_token(const struct llama_lm *lm, int32_t token);

/* --- llama_threads.c --- */

/* Gives the context a pool of `threads` threads, which inherit the processors of the calling one. Without a
 * pool libllama starts and ends its threads for every token. Nothing for one thread. */
MUST_USE enum rc llama_threads_start(struct llama_lm *lm, uint32_t threads, struct err *err);
void llama_threads_stop(struct llama_lm *lm);

/* --- llama_words.c --- */

/* libllama reports reasons only through its log. From begin to end the first error line of this process is
 * kept (loading and quantizing are done by one thread at a time); outside, its log is silent. */
struct llama_words {
    char text[320];
    bool complete; /* the first line has ended */
};
void llama_words_begin(struct llama_words *w);
void llama_words_end(void);
/* The reason without the name of the function that gave it; "no reason given" when there was none. */
const char *llama_words_reason(const struct llama_words *w);

#endif
