/* llama_score.c -- perplexity, KL divergence and equal top tokens of a text, from the sums of its chunks. */
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

#include "runtimes/llama_score_chunks.h"

enum { MIN_CONTEXT = 4 };

/* What is scored, once the text is tokens. */
struct request {
    struct llama_lm *lm, *reference; /* reference may be NULL */
    uint32_t context;
    int32_t *tokens;
    size_t count;
};

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

static void scores_set(struct llama_scores *s, size_t chunk, const struct llama_chunk_sums *sums) {
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

static void scores_finish(struct llama_scores *s, const struct llama_chunk_sums *total) {
    double scores = (double)total->scores;
    s->tokens = total->scores;
    s->mean_ppl = exp(total->nll / scores);
    if (s->kld) {
        s->mean_kld = total->kld / scores;
        s->mean_same_top = (double)total->same_top / scores;
        s->reference_ppl = exp(total->reference_nll / scores);
    }
}

/* The rows and their means, summed in the order of the chunks: the same whatever the number of threads. */
static void scores_fill(struct llama_scores *s, const struct llama_chunk_sums *sums) {
    struct llama_chunk_sums total = {0};
    for (size_t i = 0; i < s->chunks; i++) {
        scores_set(s, i, &sums[i]);
        total.nll += sums[i].nll;
        total.reference_nll += sums[i].reference_nll;
        total.kld += sums[i].kld;
        total.same_top += sums[i].same_top;
        total.scores += sums[i].scores;
    }
    scores_finish(s, &total);
}

/* The two models must read the text as the same tokens, of vocabularies of the same size. */
static enum rc check_reference(const struct request *r, const char *text, size_t size, struct err *err) {
    if (!r->reference) {
        return RC_OK;
    }
    if (r->reference->context < r->context) {
        return err_set(err, RC_USAGE, "the reference has a context of %u tokens, less than the %u of a chunk",
                       r->reference->context, r->context);
    }
    int32_t own = llama_vocab_n_tokens(r->lm->vocab), others = llama_vocab_n_tokens(r->reference->vocab);
    if (own != others) {
        return err_set(err, RC_INPUT, "the vocabularies differ: %d tokens, the reference has %d", own,
                       others);
    }
    int32_t *tokens = NULL;
    size_t count;
    enum rc rc = llama_lm_tokenize(r->reference, text, size, &tokens, &count, err);
    if (rc == RC_OK && (count != r->count || memcmp(tokens, r->tokens, count * sizeof *tokens) != 0)) {
        rc = err_set(err, RC_INPUT,
                     "the reference has another tokenizer: the models cannot be compared token by token");
    }
    free(tokens);
    return rc;
}

static enum rc choose_chunks(const struct request *r, uint64_t max_chunks, size_t *chunks, struct err *err) {
    *chunks = r->count / r->context;
    if (*chunks == 0) {
        return err_set(err, RC_INPUT,
                       "the text has %zu tokens; at least one chunk of %u is needed: use a longer text",
                       r->count, r->context);
    }
    if (max_chunks && *chunks > max_chunks) {
        *chunks = (size_t)max_chunks;
    }
    return RC_OK;
}

static enum rc score_chunks(const struct request *r, size_t chunks, const struct llama_score_opts *opts,
                            struct llama_scores *ret, struct err *err) {
    struct llama_scores scores = {0};
    struct llama_chunk_sums *sums = calloc(chunks, sizeof *sums);
    if (!sums) {
        return err_memory(err);
    }
    const struct llama_chunks all = {.tokens = r->tokens,
                                     .count = chunks,
                                     .context = r->context,
                                     .on_progress = opts ? opts->on_progress : NULL,
                                     .user = opts ? opts->user : NULL};
    enum rc rc = scores_new(chunks, r->reference != NULL, &scores, err);
    if (rc == RC_OK) {
        rc = llama_score_chunks(r->lm, r->reference, &all, sums, err);
    }
    if (rc == RC_OK) {
        scores_fill(&scores, sums);
        *ret = scores;
    } else {
        llama_scores_free(&scores);
    }
    free(sums);
    return rc;
}

enum rc llama_score_text(struct llama_lm *lm, struct llama_lm *reference, const char *text, size_t size,
                         const struct llama_score_opts *opts, struct llama_scores *ret, struct err *err) {
    struct request r = {.lm = lm, .reference = reference};
    r.context = opts && opts->context ? opts->context : lm->context;
    if (r.context < MIN_CONTEXT || r.context > lm->context) {
        return err_set(err, RC_USAGE, "chunks of %u tokens: %d to %u (the context of the model) are possible",
                       r.context, MIN_CONTEXT, lm->context);
    }
    size_t chunks = 0;
    enum rc rc = llama_lm_tokenize(lm, text, size, &r.tokens, &r.count, err);
    if (rc == RC_OK) {
        rc = check_reference(&r, text, size, err);
    }
    if (rc == RC_OK) {
        rc = choose_chunks(&r, opts ? opts->max_chunks : 0, &chunks, err);
    }
    if (rc == RC_OK) {
        rc = score_chunks(&r, chunks, opts, ret, err);
    }
    free(r.tokens);
    return rc;
}

#endif
