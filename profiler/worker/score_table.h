/* score_table.h -- the score of every example under one metric: numerator and denominator for each example
 * and column (docs/protocol.md, "evaluate"). */
#pragma once

#include <jansson.h>
#include <stddef.h>

#include "core/base/err.h"

struct score_table {
    const char *metric; /* "top1"; static */
    size_t rows, columns;
    float *data; /* [rows, columns, 2], little endian, zeroed at first */
};

enum { SCORE_TABLE_MAX_BYTES = 256 << 20 };

/* RC_TOO_LARGE above SCORE_TABLE_MAX_BYTES. Release with score_table_release. */
MUST_USE enum rc score_table_init(struct score_table *t, const char *metric, size_t rows, size_t columns,
                                  struct err *err);
void score_table_release(struct score_table *t);

/* Adds to the score of one example; rows are written by one thread each. */
static inline void score_table_add(struct score_table *t, size_t row, size_t column, double numerator,
                                   double denominator) {
    float *cell = t->data + (row * t->columns + column) * 2;
    cell[0] += (float)numerator;
    cell[1] += (float)denominator;
}

/* Mean over columns of (sum of numerators / sum of denominators). A column whose denominators sum to 0 (a
 * class that neither occurs nor is predicted) is left out; 0 when that is all of them. */
double score_table_mean(const struct score_table *t);

/* Sum of the denominators of the first column. */
double score_table_weight(const struct score_table *t);

/* Writes scores-METRIC.bin into the working directory and appends its entry to `scores` and to `files`. */
MUST_USE enum rc score_table_write(const struct score_table *t, json_t *scores, json_t *files,
                                   struct err *err);
