/* metrics_value.c -- targets that are numbers: mean squared and mean absolute error. */
#include <math.h>

#include "profiler/worker/metrics.h"

static void add_mse(const struct metrics *m, struct score_table *table, size_t example,
                    const struct logits *own, const struct logits *reference, size_t index) {
    (void)reference;
    const float *target = dataset_target(m->dataset, example);
    const float *answer = logits_row(own, index, 0);
    for (size_t i = 0; i < m->positions * m->classes; i++) {
        double error = (double)answer[i] - (double)target[i];
        score_table_add(table, example, 0, error * error, 1);
    }
}

static void add_mae(const struct metrics *m, struct score_table *table, size_t example,
                    const struct logits *own, const struct logits *reference, size_t index) {
    (void)reference;
    const float *target = dataset_target(m->dataset, example);
    const float *answer = logits_row(own, index, 0);
    for (size_t i = 0; i < m->positions * m->classes; i++) {
        score_table_add(table, example, 0, fabs((double)answer[i] - (double)target[i]), 1);
    }
}

enum rc metrics_value_init(struct metrics *m, struct err *err) {
    enum rc rc = score_table_init(&m->tables[0], "mse", dataset_count(m->dataset), 1, err);
    if (rc == RC_OK) {
        m->add[0] = add_mse;
        m->count = 1;
        rc = score_table_init(&m->tables[1], "mae", dataset_count(m->dataset), 1, err);
    }
    if (rc == RC_OK) {
        m->add[1] = add_mae;
        m->count = 2;
    }
    return rc;
}
