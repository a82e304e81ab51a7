/* llama_logits.c -- single-precision exponentials of differences to the largest logit, sums in double, as
 * llama-perplexity. */
#include "runtimes/llama_logits.h"

#include <math.h>

struct llama_logits_summary llama_logits_summarise(const float *logits, size_t n) {
    struct llama_logits_summary s = {.top = 0};
    for (size_t i = 1; i < n; i++) {
        if (logits[i] > logits[s.top]) {
            s.top = i;
        }
    }
    float max = logits[s.top];
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += (double)expf(logits[i] - max);
    }
    s.log_sum_exp = (double)max + log(sum);
    return s;
}

/* With e_v = exp(p_v - max p): sum_v p(v) (log p(v) - log q(v)) = sum_v e_v (p_v - q_v) / sum_v e_v - lse_p +
 * lse_q: one exponential a token, and exactly 0 where p equals q. */
double llama_logits_divergence(const float *p, const struct llama_logits_summary *p_summary, const float *q,
                               const struct llama_logits_summary *q_summary, size_t n) {
    float max = p[p_summary->top];
    double sum = 0, weighted = 0;
    for (size_t i = 0; i < n; i++) {
        double e = (double)expf(p[i] - max);
        if (e > 0) {
            sum += e;
            weighted += e * ((double)p[i] - (double)q[i]);
        }
    }
    double divergence = weighted / sum - p_summary->log_sum_exp + q_summary->log_sum_exp;
    return divergence < 0 ? 0 : divergence;
}
