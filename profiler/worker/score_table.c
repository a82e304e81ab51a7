/* score_table.c -- see score_table.h. */
#include "profiler/worker/score_table.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/checked.h"
#include "core/base/file.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "score files are written as they lie in memory, which must be little endian"
#endif

enum rc score_table_init(struct score_table *t, const char *metric, size_t rows, size_t columns,
                         struct err *err) {
    *t = (struct score_table){.metric = metric, .rows = rows, .columns = columns};
    size_t cells;
    if (checked_mul(rows, columns, &cells) || cells > SCORE_TABLE_MAX_BYTES / (2 * sizeof(float))) {
        return err_set(err, RC_TOO_LARGE,
                       "the scores of %s for %zu examples and %zu columns are larger than %d MiB", metric,
                       rows, columns, SCORE_TABLE_MAX_BYTES >> 20);
    }
    t->data = calloc(cells > 0 ? cells : 1, 2 * sizeof(float));
    return t->data ? RC_OK : err_memory(err);
}

void score_table_release(struct score_table *t) {
    free(t->data);
    *t = (struct score_table){0};
}

double score_table_mean(const struct score_table *t) {
    double total = 0;
    size_t counted = 0;
    for (size_t column = 0; column < t->columns; column++) {
        double numerator = 0;
        double denominator = 0;
        for (size_t row = 0; row < t->rows; row++) {
            const float *cell = t->data + (row * t->columns + column) * 2;
            numerator += (double)cell[0];
            denominator += (double)cell[1];
        }
        if (denominator > 0) {
            total += numerator / denominator;
            counted++;
        }
    }
    return counted > 0 ? total / (double)counted : 0;
}

double score_table_weight(const struct score_table *t) {
    double weight = 0;
    for (size_t row = 0; row < t->rows; row++) {
        weight += (double)t->data[row * t->columns * 2 + 1];
    }
    return weight;
}

enum rc score_table_write(const struct score_table *t, json_t *scores, json_t *files, struct err *err) {
    char path[64];
    snprintf(path, sizeof(path), "scores-%s.bin", t->metric);
    enum rc rc = file_write(path, t->data, t->rows * t->columns * 2 * sizeof(float), 0600, err);
    if (rc != RC_OK) {
        return rc;
    }
    json_t *entry = json_pack("{s:s, s:s, s:I, s:I}", "metric", t->metric, "path", path, "rows",
                              (json_int_t)t->rows, "columns", (json_int_t)t->columns);
    json_t *file = json_pack("{s:s}", "path", path);
    if (json_array_append_new(scores, entry) != 0 || json_array_append_new(files, file) != 0) {
        return err_memory(err);
    }
    return RC_OK;
}
