/* metrics.h -- from outputs and labels to scores an example. Which metrics apply follows from the labels, the
 * classes and whether there is a reference model. Right and wrong are in metrics_class.c, targets that are
 * numbers in metrics_value.c. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "core/base/err.h"
#include "core/data/dataset.h"
#include "profiler/worker/logits.h"
#include "profiler/worker/score_table.h"

enum { METRICS_MAX = 4, METRICS_MAX_F1_CLASSES = 256 };

/* `top1`, `f1`; `mse`, `mae`; `agreement`, `kld`: those that apply, the primary one first. */
struct metrics {
    const struct dataset *dataset; /* borrowed */
    size_t positions, classes;     /* of one example's output */
    bool reference;
    bool probabilities; /* both models' rows are distributions already */
    size_t count;
    struct score_table tables[METRICS_MAX];
    void (*add[METRICS_MAX])(const struct metrics *m, struct score_table *table, size_t example,
                             const struct logits *own, const struct logits *reference, size_t index);
};

/* Names of the metrics, NULL-terminated, without making tables: what `inspect` tells. */
void metrics_names(enum dataset_labels labels, size_t classes, bool reference,
                   const char *names[METRICS_MAX + 1]);

/* Checks labels against the output's shape (RC_INPUT with both) and makes a table for each metric. RC_INPUT
 * when nothing can be measured (no labels and no reference). Release with metrics_release. */
MUST_USE enum rc metrics_init(struct metrics *m, const struct dataset *dataset, size_t positions,
                              size_t classes, bool reference, struct err *err);
void metrics_release(struct metrics *m);

/* Scores examples first .. first + count - 1, whose outputs are entries 0 .. count - 1 of `own` and, with a
 * reference model, `reference`. Threads may score different examples at once. RC_INPUT: an output is not a
 * finite number. */
MUST_USE enum rc metrics_score(struct metrics *m, size_t first, size_t count, const struct logits *own,
                               const struct logits *reference, struct err *err);

/* --- the families --- */

enum rc metrics_class_init(struct metrics *m, struct err *err);
enum rc metrics_value_init(struct metrics *m, struct err *err);
