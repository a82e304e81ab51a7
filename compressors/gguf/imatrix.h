/* imatrix.h -- importance matrix: how much each input column of each weight matrix matters.
 * Importance of column c = mean over all input rows of the squared activation, a_c = sum_r x[r][c]^2 / rows,
 * as llama.cpp's tools/imatrix computes it (I. Kawrakow, 2024, ggml-org/llama.cpp pull request 4861):
 * quantization then minimises sum_c a_c (w_c - q_c)^2. A matrix stacked in a tensor (an expert) that saw no
 * row gets ones. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "runtimes/llama_quantizer.h" /* struct llama_importance */

struct llama_observation; /* runtimes/llama_observe.h */
struct imatrix;

struct imatrix *imatrix_new(void);    /* NULL when out of memory */
void imatrix_free(struct imatrix *m); /* NULL is fine */

/* Adds the rows of one multiplication. RC_INPUT for activations that are not finite, or when a tensor changes
 * its shape. */
MUST_USE enum rc imatrix_add(struct imatrix *m, const struct llama_observation *o, struct err *err);

struct imatrix_opts {
    uint32_t context;    /* tokens a chunk; 0 = as runtimes/llama_observe.h */
    uint64_t max_chunks; /* 0 = all */
    uint32_t threads;
    void (*on_progress)(void *user, double fraction);
    void *user;
};

/* Reads `text` through the model at `path` and adds what it sees. *chunks: how many chunks were read. */
MUST_USE enum rc imatrix_collect(struct imatrix *m, const char *path, const char *text, size_t size,
                                 const struct imatrix_opts *opts, uint64_t *chunks, struct err *err);

/* The importance of every tensor seen, sorted by name; owned by `m`, valid until it changes. */
MUST_USE enum rc imatrix_importance(struct imatrix *m, const struct llama_importance **ret, size_t *count,
                                    struct err *err);
