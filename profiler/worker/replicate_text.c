/* replicate_text.c -- see replicate_text.h. */
#include "profiler/worker/replicate_text.h"

#include "runtimes/llama_lm.h"
#include "runtimes/llama_speed.h"

static enum rc generate_once(void *user, float *us, struct err *err) {
    float token_us[REPLICATE_TOKENS];
    enum rc rc = llama_speed_generate(user, REPLICATE_TOKENS, token_us, err);
    *us = 0;
    for (int i = 0; rc == RC_OK && i < REPLICATE_TOKENS; i++) {
        *us += token_us[i];
    }
    return rc;
}

enum rc replicate_text_open(const struct job_spec *spec, const uint32_t threads[INTERLEAVE_SIDES], int first,
                            struct replicate_text *ret, struct interleave_side sides[INTERLEAVE_SIDES],
                            struct err *err) {
    enum rc rc = llama_lm_open_libraries(err);
    for (int k = 0; rc == RC_OK && k < INTERLEAVE_SIDES; k++) {
        int who = (first + k) % INTERLEAVE_SIDES;
        const struct job_model *m = who == INTERLEAVE_MODEL ? &spec->model : &spec->reference;
        const struct llama_lm_opts opts = {.context = LLAMA_SPEED_GENERATED, .threads = threads[who]};
        rc = llama_lm_load(m->main_local, &opts, &ret->lms[who], err);
        sides[who] = (struct interleave_side){generate_once, ret->lms[who]};
        if (rc != RC_OK) {
            err_prefix(err, who == INTERLEAVE_MODEL ? "model" : "reference");
        }
    }
    return rc;
}

void replicate_text_close(struct replicate_text *t) {
    for (int who = 0; who < INTERLEAVE_SIDES; who++) {
        llama_lm_free(t->lms[who]);
    }
    *t = (struct replicate_text){0};
}
