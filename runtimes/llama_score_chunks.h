/* llama_score_chunks.h -- the sums of every chunk of a text; only runtimes/llama_score.c includes it. */
#pragma once

#ifdef PARE_HAVE_LLAMA

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

struct llama_lm; /* runtimes/llama_lm.h */

/* Sums over the scored positions of a chunk. */
struct llama_chunk_sums {
    double nll, reference_nll, kld; /* nats */
    uint64_t same_top, scores;
};

struct llama_chunks {
    const int32_t *tokens; /* [count, context] */
    size_t count;
    uint32_t context;
    void (*on_progress)(void *user, double fraction); /* on the calling thread; NULL for none */
    void *user;
};

/* Scores all chunks into sums [count] as runtimes/llama_score.h says, on as many threads as `lm` has.
 * `reference` may be NULL. */
MUST_USE enum rc llama_score_chunks(struct llama_lm *lm, struct llama_lm *reference,
                                    const struct llama_chunks *chunks, struct llama_chunk_sums *sums,
                                    struct err *err);

#endif
