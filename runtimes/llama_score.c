/* llama_score.c -- perplexity, KL divergence and equal top tokens over the chunks of a text. */
#include "runtimes/llama_score.h"

#include <stdlib.h>

#include "runtimes/llama_internal.h"

void llama_scores_free(struct llama_scores *s) {
    free(s->ppl);
    free(s->kld);
    free(s->same_top);
    *s = (struct llama_scores){0};
}

#ifdef PARE_HAVE_LLAMA

#include <math.h>
#include <string.h>

#include "runtimes/llama_logits.h"

enum { MIN_CONTEXT = 4 };

/* Sums over scored positions. */
struct sums {
    double nll, reference_nll, kld;
    uint64_t same_top, scores;
};

struct scorer {
    struct llama_lm *lm, *reference; /* reference may be NULL */
    size_t vocabulary;
    uint32_t context;
    int32_t *chunk; /* [context]: its tokens, the first replaced */
};

static enum rc score_position(const struct scorer *s, uint32_t begin, uint32_t position, struct sums *sums,
                              struct err *err) {
    int32_t next = s->chunk[position + 1];
    const float *logits = llama_lm_logits(s->lm, begin, position);
    struct llama_logits_summary own = llama_logits_summarise(logits, s->vocabulary);
    double nll = own.log_sum_exp - (double)logits[next];
    double reference_nll = 0, kld = 0;
    if (s->reference) {
        const float *expected = llama_lm_logits(s->reference, begin, position);
        struct llama_logits_summary other = llama_logits_summarise(expected, s->vocabulary);
        reference_nll = other.log_sum_exp - (double)expected[next];
        kld = llama_logits_divergence(expected, &other, logits, &own, s->vocabulary);
        sums->same_top += own.top == other.top;
    }
    if (!isfinite(nll) || !isfinite(reference_nll) || !isfinite(kld)) {
        return err_set(err, RC_INPUT,
                       "the model's output is not finite at token %u of a chunk: its weights are broken",
                       position);
    }
    sums->nll += nll;
    sums->reference_nll += reference_nll;
    sums->kld += kld;
    sums->scores++;
    return RC_OK;
}

static enum rc score_chunk(const struct scorer *s, struct sums *sums, struct err *err) {
    uint32_t first = s->context / 2;
    llama_lm_clear(s->lm);
    if (s->reference) {
        llama_lm_clear(s->reference);
    }
    for (uint32_t begin = 0, end; begin < s->context; begin = end) {
        end = llama_lm_piece_end(s->lm, begin, s->context, first);
        enum rc rc = llama_lm_decode(s->lm, s->chunk, begin, end, first, err);
        if (rc == RC_OK && s->reference) {
            rc = llama_lm_decode(s->reference, s->chunk, begin, end, first, err);
        }
        for (uint32_t p = begin > first ? begin : first; rc == RC_OK && p < end && p + 1 < s->context; p++) {
            rc = score_position(s, begin, p, sums, err);
        }
        if (rc) {
            return rc;
        }
    }
    return RC_OK;
}

static enum rc scores_new(size_t chunks, bool with_reference, struct llama_scores *ret, struct err *err) {
    *ret = (struct llama_scores){.chunks = chunks};
    ret->ppl = calloc(chunks, sizeof *ret->ppl);
    if (with_reference) {
        ret->kld = calloc(chunks, sizeof *ret->kld);
        ret->same_top = calloc(chunks, sizeof *ret->same_top);
    }
    if (!ret->ppl || (with_reference && (!ret->kld || !ret->same_top))) {
        llama_scores_free(ret);
        return err_memory(err);
    }
    return RC_OK;
}

static void scores_set(struct llama_scores *s, size_t chunk, const struct sums *sums) {
    float scores = (float)sums->scores;
    s->ppl[chunk][0] = (float)sums->nll;
    s->ppl[chunk][1] = scores;
    if (s->kld) {
        s->kld[chunk][0] = (float)sums->kld;
        s->kld[chunk][1] = scores;
        s->same_top[chunk][0] = (float)sums->same_top;
        s->same_top[chunk][1] = scores;
    }
}

static void scores_finish(struct llama_scores *s, const struct sums *total) {
    double scores = (double)total->scores;
    s->tokens = total->scores;
    s->mean_ppl = exp(total->nll / scores);
    if (s->kld) {
        s->mean_kld = total->kld / scores;
        s->mean_same_top = (double)total->same_top / scores;
        s->reference_ppl = exp(total->reference_nll / scores);
    }
}

static enum rc score_chunks(struct scorer *s, const int32_t *tokens, const struct llama_score_opts *opts,
                            struct llama_scores *ret, struct err *err) {
    struct sums total = {0};
    for (size_t i = 0; i < ret->chunks; i++) {
        memcpy(s->chunk, tokens + i * s->context, s->context * sizeof *s->chunk);
        s->chunk[0] = llama_lm_first_token(s->lm, s->chunk[0]);
        struct sums sums = {0};
        enum rc rc = score_chunk(s, &sums, err);
        if (rc) {
            return rc;
        }
        scores_set(ret, i, &sums);
        total.nll += sums.nll;
        total.reference_nll += sums.reference_nll;
        total.kld += sums.kld;
        total.same_top += sums.same_top;
        total.scores += sums.scores;
        if (opts && opts->on_progress) {
            opts->on_progress(opts->user, (double)(i + 1) / (double)ret->chunks);
        }
    }
    scores_finish(ret, &total);
    return RC_OK;
}

/* The two models must read the text as the same tokens, of vocabularies of the same size. */
static enum rc check_reference(const struct scorer *s, const char *text, size_t size, const int32_t *tokens,
                               size_t count, struct err *err) {
    if (!s->reference) {
        return RC_OK;
    }
    if (s->reference->context < s->context) {
        return err_set(err, RC_USAGE, "the reference has a context of %u tokens, less than the %u of a chunk",
                       s->reference->context, s->context);
    }
    size_t vocabulary = (size_t)llama_vocab_n_tokens(s->reference->vocab);
    if (vocabulary != s->vocabulary) {
        return err_set(err, RC_INPUT, "the vocabularies differ: %zu tokens, the reference has %zu",
                       s->vocabulary, vocabulary);
    }
    int32_t *other = NULL;
    size_t other_count;
    enum rc rc = llama_lm_tokenize(s->reference, text, size, &other, &other_count, err);
    if (rc == RC_OK && (other_count != count || memcmp(other, tokens, count * sizeof *tokens) != 0)) {
        rc = err_set(err, RC_INPUT,
                     "the reference has another tokenizer: the models cannot be compared token by token");
    }
    free(other);
    return rc;
}

static enum rc choose_chunks(size_t tokens, uint32_t context, uint64_t max_chunks, size_t *chunks,
                             struct err *err) {
    *chunks = tokens / context;
    if (*chunks == 0) {
        return err_set(err, RC_INPUT,
                       "the text has %zu tokens; at least one chunk of %u is needed: use a longer text",
                       tokens, context);
    }
    if (max_chunks && *chunks > max_chunks) {
        *chunks = (size_t)max_chunks;
    }
    return RC_OK;
}

enum rc llama_score_text(struct llama_lm *lm, struct llama_lm *reference, const char *text, size_t size,
                         const struct llama_score_opts *opts, struct llama_scores *ret, struct err *err) {
    struct scorer s = {
        .lm = lm, .reference = reference, .vocabulary = (size_t)llama_vocab_n_tokens(lm->vocab)};
    s.context = opts && opts->context ? opts->context : lm->context;
    if (s.context < MIN_CONTEXT || s.context > lm->context) {
        return err_set(err, RC_USAGE, "chunks of %u tokens: %d to %u (the context of the model) are possible",
                       s.context, MIN_CONTEXT, lm->context);
    }
    struct llama_scores scores = {0};
    int32_t *tokens = NULL;
    size_t count, chunks;
    enum rc rc = llama_lm_tokenize(lm, text, size, &tokens, &count, err);
    if (rc == RC_OK) {
        rc = check_reference(&s, text, size, tokens, count, err);
    }
    if (rc == RC_OK) {
        rc = choose_chunks(count, s.context, opts ? opts->max_chunks : 0, &chunks, err);
    }
    if (rc == RC_OK) {
        rc = scores_new(chunks, reference != NULL, &scores, err);
    }
    if (rc) {
        goto out;
    }
    s.chunk = malloc(s.context * sizeof *s.chunk);
    if (!s.chunk) {
        rc = err_memory(err);
        goto out;
    }
    if (reference) {
        llama_threads_borrow(reference, lm);
    }
    rc = score_chunks(&s, tokens, opts, &scores, err);
    if (reference) {
        llama_threads_own(reference);
    }
    if (rc == RC_OK) {
        *ret = scores;
        scores = (struct llama_scores){0};
    }
out:
    llama_scores_free(&scores);
    free(s.chunk);
    free(tokens);
    return rc;
}

#endif
