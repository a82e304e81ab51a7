/* llama_speed.c -- how fast a prompt is read and tokens are generated. */
#include "runtimes/llama_speed.h"

#include "runtimes/llama_internal.h"

#ifdef PARE_HAVE_LLAMA

#include <stdlib.h>

#include "core/base/clock.h"

static enum rc check_length(const struct llama_lm *lm, size_t tokens, struct err *err) {
    if (tokens == 0 || tokens > lm->context) {
        return err_set(err, RC_INPUT, "%zu tokens do not fit a context of %u", tokens, lm->context);
    }
    return RC_OK;
}

/* Tokens as of a linear congruential generator (Knuth's MMIX constants): the content has no influence on the
 * time. */
static void fill_tokens(const struct llama_lm *lm, int32_t *tokens, size_t count) {
    uint64_t state = 1;
    uint64_t vocabulary = (uint64_t)llama_vocab_n_tokens(lm->vocab);
    for (size_t i = 0; i < count; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        tokens[i] = (int32_t)((state >> 33) % vocabulary);
    }
    tokens[0] = llama_lm_first_token(lm, tokens[0]);
}

enum rc llama_speed_prompt(struct llama_lm *lm, size_t tokens, uint64_t *ns, struct err *err) {
    enum rc rc = check_length(lm, tokens, err);
    if (rc) {
        return rc;
    }
    int32_t *prompt = malloc(tokens * sizeof *prompt);
    if (!prompt) {
        return err_memory(err);
    }
    fill_tokens(lm, prompt, tokens);
    llama_lm_clear(lm);
    uint32_t count = (uint32_t)tokens;
    uint64_t begin = clock_mono_ns();
    rc = llama_lm_decode(lm, prompt, 0, count, count - 1, err);
    llama_synchronize(lm->ctx);
    *ns = clock_mono_ns() - begin;
    free(prompt);
    return rc;
}

static int32_t most_likely(const float *logits, int32_t vocabulary) {
    int32_t top = 0;
    for (int32_t i = 1; i < vocabulary; i++) {
        if (logits[i] > logits[top]) {
            top = i;
        }
    }
    return top;
}

enum rc llama_speed_generate(struct llama_lm *lm, size_t tokens, float *token_us, struct err *err) {
    enum rc rc = check_length(lm, tokens, err);
    if (rc) {
        return rc;
    }
    int32_t *text = malloc((tokens + 1) * sizeof *text);
    if (!text) {
        return err_memory(err);
    }
    int32_t vocabulary = llama_vocab_n_tokens(lm->vocab);
    llama_lm_clear(lm);
    text[0] = llama_lm_first_token(lm, 0);
    for (uint32_t i = 0; rc == RC_OK && i < tokens; i++) {
        uint64_t begin = clock_mono_ns();
        rc = llama_lm_decode(lm, text, i, i + 1, i, err);
        if (rc == RC_OK) {
            text[i + 1] = most_likely(llama_lm_logits(lm, i, i), vocabulary);
        }
        token_us[i] = (float)(clock_mono_ns() - begin) / 1000.0f;
    }
    free(text);
    return rc;
}

#endif
