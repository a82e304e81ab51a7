/* llama_none.c -- the functions of runtimes/llama_*.h in a build without libllama: each says so. */
#ifndef PARE_HAVE_LLAMA

#include "runtimes/llama_lm.h"
#include "runtimes/llama_observe.h"
#include "runtimes/llama_quantizer.h"
#include "runtimes/llama_score.h"
#include "runtimes/llama_speed.h"

static enum rc refuse(struct err *err) {
    return err_set(err, RC_UNSUPPORTED, "this build has no libllama: GGUF models cannot be run; see README");
}

bool llama_lm_available(void) {
    return false;
}

const char *llama_lm_version(void) {
    return NULL;
}

enum rc llama_lm_open_libraries(struct err *err) {
    return refuse(err);
}

enum rc llama_lm_load(const char *path, const struct llama_lm_opts *opts, struct llama_lm **ret,
                      struct err *err) {
    (void)path, (void)opts, (void)ret;
    return refuse(err);
}

enum rc llama_lm_instance(const struct llama_lm *base, const struct llama_lm_opts *opts,
                          struct llama_lm **ret, struct err *err) {
    (void)base, (void)opts, (void)ret;
    return refuse(err);
}

void llama_lm_free(struct llama_lm *lm) {
    (void)lm; /* always NULL: none can be made */
}

void llama_lm_describe(const struct llama_lm *lm, struct llama_lm_info *ret) {
    (void)lm;
    *ret = (struct llama_lm_info){0};
}

enum rc llama_lm_tokenize(const struct llama_lm *lm, const char *text, size_t size, int32_t **tokens,
                          size_t *count, struct err *err) {
    (void)lm, (void)text, (void)size, (void)tokens, (void)count;
    return refuse(err);
}

enum rc llama_score_text(struct llama_lm *lm, struct llama_lm *reference, const char *text, size_t size,
                         const struct llama_score_opts *opts, struct llama_scores *ret, struct err *err) {
    (void)lm, (void)reference, (void)text, (void)size, (void)opts, (void)ret;
    return refuse(err);
}

enum rc llama_speed_prompt(struct llama_lm *lm, size_t tokens, uint64_t *ns, struct err *err) {
    (void)lm, (void)tokens, (void)ns;
    return refuse(err);
}

enum rc llama_speed_generate(struct llama_lm *lm, size_t tokens, float *token_us, struct err *err) {
    (void)lm, (void)tokens, (void)token_us;
    return refuse(err);
}

enum rc llama_observe_text(const char *path, const char *text, size_t size,
                           const struct llama_observe_opts *opts, uint64_t *chunks, struct err *err) {
    (void)path, (void)text, (void)size, (void)opts, (void)chunks;
    return refuse(err);
}

enum rc llama_quantizer_run(const char *input, const char *output, const struct llama_quantizer_opts *opts,
                            struct err *err) {
    (void)input, (void)output, (void)opts;
    return refuse(err);
}

#endif
