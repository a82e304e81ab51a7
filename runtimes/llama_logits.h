/* llama_logits.h -- what a row of logits says about the next token: likelihood, most likely token,
 * divergence. Pure. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct llama_logits_summary {
    double log_sum_exp; /* log of the sum of exp(logit): log p(v) = logit[v] - log_sum_exp. Not finite for
                           unusable logits */
    size_t top;         /* index of the largest logit, the first where several are equal */
};

/* logits [n], n at least 1. */
struct llama_logits_summary llama_logits_summarise(const float *logits, size_t n);

/* KL divergence of q from p in nats, sum_v p(v) (log p(v) - log q(v)), never below 0; `p` and `q` are logits
 * [n] with their summaries. Infinite where q excludes what p allows. */
double llama_logits_divergence(const float *p, const struct llama_logits_summary *p_summary, const float *q,
                               const struct llama_logits_summary *q_summary, size_t n);
