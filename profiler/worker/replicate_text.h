/* replicate_text.h -- two language models (GGUF) in one process, ready to be timed in turns. A run generates
 * REPLICATE_TOKENS tokens from an empty context, the first of each block left out as ever: generation is what
 * is compared, not the reading of prompts. Both are used by one thread, so that no pool of the one idles
 * beside the other. */
#pragma once

#include "core/base/err.h"
#include "profiler/worker/interleave.h"
#include "profiler/worker/job_spec.h"

enum { REPLICATE_TOKENS = 8 };

struct llama_lm; /* runtimes/llama_lm.h */

struct replicate_text {
    struct llama_lm *lms[INTERLEAVE_SIDES];
};

/* Loads both, `first` before the other, and makes their sides. `ret` must stay where it is; release with
 * replicate_text_close, also after a failure. */
MUST_USE enum rc replicate_text_open(const struct job_spec *spec, const uint32_t threads[INTERLEAVE_SIDES],
                                     int first, struct replicate_text *ret,
                                     struct interleave_side sides[INTERLEAVE_SIDES], struct err *err);
void replicate_text_close(struct replicate_text *t); /* a zeroed one is fine */
