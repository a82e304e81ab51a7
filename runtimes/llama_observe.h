/* llama_observe.h -- what goes into each weight matrix while a text is read: the raw material of an
 * importance matrix. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

/* Input rows of one multiplication by a weight matrix. Valid during the call only. */
struct llama_observation {
    const char *tensor; /* "blk.0.attn_k.weight" */
    size_t matrix;      /* which of `matrices` stacked in the tensor (experts); 0 where there is one */
    size_t matrices;
    size_t columns; /* elements a row: the width of the matrix */
    size_t rows;
    size_t stride;     /* elements from one row to the next */
    const float *data; /* row r, column c: data[r * stride + c] */
};

struct llama_observe_opts {
    uint32_t context;    /* tokens a chunk; 0 = 512, or what the model was trained on where that is less */
    uint64_t max_chunks; /* 0 = all */
    uint32_t threads;    /* 0 = 1 */
    void (*on_progress)(void *user, double fraction); /* after every chunk; NULL for none */
    void *progress_user;
    /* Every multiplication of at least 16 rows by a weight of a layer ("blk."), as llama-imatrix takes them.
     * A code other than RC_OK ends the reading with that code. */
    enum rc (*on_rows)(void *user, const struct llama_observation *o, struct err *err);
    void *rows_user;
};

/* Loads the model at `path` and reads `text` (`size` bytes) in chunks as in runtimes/llama_score.h. *chunks
 * (may be NULL) is how many were read. Errors as llama_lm_load; RC_INPUT when the text has less than one
 * chunk of tokens. */
MUST_USE enum rc llama_observe_text(const char *path, const char *text, size_t size,
                                    const struct llama_observe_opts *opts, uint64_t *chunks, struct err *err);
