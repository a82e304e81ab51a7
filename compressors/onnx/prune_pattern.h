/* prune_pattern.h -- which weights of a matrix become zero, given how much each one matters. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

enum prune_shape {
    PRUNE_ANYWHERE, /* weights one by one */
    PRUNE_N_OF_M,   /* of every m inputs in a row at most n keep a weight, such as 2:4 */
    PRUNE_BLOCKS,   /* tiles of block outputs by block inputs */
};

struct prune_pattern {
    enum prune_shape shape;
    double ratio; /* part that becomes zero, 0..1: weights or tiles; not for PRUNE_N_OF_M */
    size_t n, m;  /* PRUNE_N_OF_M */
    size_t block; /* PRUNE_BLOCKS */
};

enum { PRUNE_M_MAX = 32 };

/* True when a matrix of rows (outputs) by columns (inputs) can have the pattern: its columns are whole
 * groups, its sides whole tiles. */
bool prune_pattern_fits(const struct prune_pattern *p, size_t rows, size_t columns);

/* keep[i] = 0 for the floor(count * ratio) scores of least magnitude, else 1; of equal ones the first go.
 * RC_INPUT for scores that are not finite; RC_MEMORY. */
MUST_USE enum rc prune_pattern_least(const float *scores, size_t count, double ratio, uint8_t *keep,
                                     struct err *err);
/* The same over several arrays at once, as if they lay behind each other. */
struct prune_span {
    const float *scores;
    size_t count;
    uint8_t *keep;
};
MUST_USE enum rc prune_pattern_least_of(const struct prune_span *spans, size_t span_count, double ratio,
                                        struct err *err);

/* In every m (at most PRUNE_M_MAX) consecutive scores of a row, keeps the n of largest magnitude; of equal
 * ones the last stay. columns must be a multiple of m. NaN counts as least. */
void prune_pattern_n_of_m(const float *scores, size_t rows, size_t columns, size_t n, size_t m,
                          uint8_t *keep);

/* Removes the floor(tiles * ratio) tiles whose scores have the least sum of squares. Sides must be multiples
 * of block. RC_INPUT, RC_MEMORY as above. */
MUST_USE enum rc prune_pattern_tiles(const float *scores, size_t rows, size_t columns, size_t block,
                                     double ratio, uint8_t *keep, struct err *err);

/* By the shape; for PRUNE_ANYWHERE over the whole matrix. */
MUST_USE enum rc prune_pattern_mask(const struct prune_pattern *p, const float *scores, size_t rows,
                                    size_t columns, uint8_t *keep, struct err *err);
