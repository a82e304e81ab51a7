/* llama_speed.h -- timing primitives for profiles: reading a prompt, and generating token by token.
 * The tests of llama.cpp's llama-bench (pp and tg), except that generation takes the most likely token each
 * time, so that choosing it is part of the time. The first call on a model warms it up: leave it out of the
 * figures. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

struct llama_lm; /* runtimes/llama_lm.h */

enum { LLAMA_SPEED_PROMPT = 256, LLAMA_SPEED_GENERATED = 64 }; /* tokens: the sizes of the tables in use */

/* Reads a prompt of `tokens` tokens (fixed pseudo-random ones) into an empty context in one go; *ns is the
 * wall time. tokens / (*ns / 1e9) is the rate. RC_INPUT when the context is smaller. */
MUST_USE enum rc llama_speed_prompt(struct llama_lm *lm, size_t tokens, uint64_t *ns, struct err *err);

/* Generates `tokens` tokens from an empty context; token_us[i] is the wall time of the i-th in microseconds.
 * RC_INPUT when the context is smaller. */
MUST_USE enum rc llama_speed_generate(struct llama_lm *lm, size_t tokens, float *token_us, struct err *err);
