/* llama_score.h -- how well a language model predicts a text: perplexity and, beside a reference model, KL
 * divergence and equal top tokens. Defined as in llama.cpp's tools/perplexity (perplexity() and
 * kl_divergence()):
 *
 * The text is tokenized once and cut into chunks of `context` tokens; an incomplete last one is left out.
 * Every chunk is decoded on its own, its first token replaced by BOS where the model adds one. The
 * predictions at positions context/2 up to context - 2 are scored (each predicts the token after it): context
 * - 1 - context/2 scores a chunk.
 *
 *   ppl      = exp(sum of -log p(next token) / scores)
 *   kld      = sum over scores of sum_v p_ref(v) (log p_ref(v) - log p(v)) / scores
 *   same_top = scores where both models have the same most likely token / scores
 *
 * llama.cpp keeps the reference's log-probabilities as 16-bit integers and leaves out tokens below e^-16;
 * here they are exact (a model beside itself has kld 0): the difference is far below 0.5 %. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

struct llama_lm; /* runtimes/llama_lm.h */

struct llama_score_opts {
    uint32_t context;    /* tokens a chunk, at least 4; 0 = the context of the model */
    uint64_t max_chunks; /* 0 = all */
    void (*on_progress)(void *user, double fraction); /* on the calling thread, rising; NULL for none */
    void *user;
};

/* Each row is {numerator, denominator}: the score files of docs/protocol.md are these arrays as they are,
 * [chunks, 1, 2] float32. */
struct llama_scores {
    size_t chunks;
    uint64_t tokens;      /* scored, in all */
    float (*ppl)[2];      /* {sum of negative log likelihoods (nats), scores} */
    float (*kld)[2];      /* {sum of divergences (nats), scores}; NULL without a reference */
    float (*same_top)[2]; /* {equal top tokens, scores}; NULL without a reference */
    double mean_ppl, mean_kld,
        mean_same_top;    /* the figures above over all chunks, from double sums; 0 where not computed */
    double reference_ppl; /* of the reference over the same chunks; 0 without one */
};

/* Scores `text` (`size` bytes) on as many threads as `lm` was loaded for, a chunk a thread: the rows do not
 * depend on their number. `reference` may be NULL; it is decoded side by side over the same tokens and must
 * have the same tokenizer (RC_INPUT otherwise). RC_INPUT too when the text has less than one chunk of tokens,
 * and when a model gives logits that are not finite. On success *ret is filled; llama_scores_free. */
MUST_USE enum rc llama_score_text(struct llama_lm *lm, struct llama_lm *reference, const char *text,
                                  size_t size, const struct llama_score_opts *opts, struct llama_scores *ret,
                                  struct err *err);

void llama_scores_free(struct llama_scores *s); /* a zeroed one is fine */
