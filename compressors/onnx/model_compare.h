/* model_compare.h -- do two models give the same outputs? For techniques that check their own surgery. */
#pragma once

#include <stddef.h>

#include "core/base/err.h"

struct dataset;

/* A model packed by graph_pack. */
struct model_bytes {
    const char *data;
    size_t size;
};

/* Runs both on the same `examples` examples of `data` (NULL: made-up values, model_feed.h) and gives in
 * *error the largest distance between two floating point elements, as a part of the largest magnitude in that
 * output of `a` (at least 1e-6). Infinity where one has a NaN or another shape, or where integers differ.
 * RC_UNSUPPORTED: other outputs than tensors of numbers, or other names. RC_INPUT: one of them does not run.
 */
MUST_USE enum rc model_compare(const struct model_bytes *a, const struct model_bytes *b, struct dataset *data,
                               size_t examples, double *error, struct err *err);
