/* metrics_class.c -- right or wrong: top1, f1, agreement and kld. Ignored positions count nowhere. */
#include <stdint.h>
#include <string.h>

#include "profiler/worker/metrics.h"

/* False for a position that its label marks as ignored. */
static bool counts(const struct metrics *m, size_t example, size_t position) {
    return dataset_labels(m->dataset) != LABELS_POSITION ||
           !dataset_ignored(dataset_label(m->dataset, example)[position]);
}

/* numerator = right, denominator = positions. */
static void add_top1(const struct metrics *m, struct score_table *table, size_t example,
                     const struct logits *own, const struct logits *reference, size_t index) {
    (void)reference;
    const int64_t *labels = dataset_label(m->dataset, example);
    for (size_t p = 0; p < m->positions; p++) {
        if (counts(m, example, p)) {
            size_t answer = logits_argmax(logits_row(own, index, p), m->classes);
            score_table_add(table, example, 0, (int64_t)answer == labels[p], 1);
        }
    }
}

/* A column a class (of class 1 alone where there are two): 2tp / (2tp + fp + fn). */
static void add_f1(const struct metrics *m, struct score_table *table, size_t example,
                   const struct logits *own, const struct logits *reference, size_t index) {
    (void)reference;
    const int64_t *labels = dataset_label(m->dataset, example);
    size_t skipped = m->classes == 2 ? 1 : 0; /* class 0 has no column then */
    for (size_t p = 0; p < m->positions; p++) {
        if (!counts(m, example, p)) {
            continue;
        }
        size_t answer = logits_argmax(logits_row(own, index, p), m->classes);
        size_t label = (size_t)labels[p];
        if (answer == label) {
            if (label >= skipped) {
                score_table_add(table, example, label - skipped, 2, 2);
            }
            continue;
        }
        if (answer >= skipped) {
            score_table_add(table, example, answer - skipped, 0, 1);
        }
        if (label >= skipped) {
            score_table_add(table, example, label - skipped, 0, 1);
        }
    }
}

/* numerator = positions where both models answer the same. */
static void add_agreement(const struct metrics *m, struct score_table *table, size_t example,
                          const struct logits *own, const struct logits *reference, size_t index) {
    for (size_t p = 0; p < m->positions; p++) {
        if (counts(m, example, p)) {
            size_t a = logits_argmax(logits_row(own, index, p), m->classes);
            size_t b = logits_argmax(logits_row(reference, index, p), m->classes);
            score_table_add(table, example, 0, a == b, 1);
        }
    }
}

static void add_kld(const struct metrics *m, struct score_table *table, size_t example,
                    const struct logits *own, const struct logits *reference, size_t index) {
    for (size_t p = 0; p < m->positions; p++) {
        if (counts(m, example, p)) {
            double kld = logits_divergence(logits_row(reference, index, p), logits_row(own, index, p),
                                           m->classes, m->probabilities);
            score_table_add(table, example, 0, kld, 1);
        }
    }
}

enum rc metrics_class_init(struct metrics *m, struct err *err) {
    const char *names[METRICS_MAX + 1];
    metrics_names(dataset_labels(m->dataset), m->classes, m->reference, names);
    for (size_t i = 0; names[i]; i++) {
        bool f1 = strcmp(names[i], "f1") == 0;
        size_t columns = f1 && m->classes > 2 ? m->classes : 1;
        enum rc rc = score_table_init(&m->tables[i], names[i], dataset_count(m->dataset), columns, err);
        if (rc != RC_OK) {
            return rc;
        }
        m->add[i] = f1                                   ? add_f1
                    : strcmp(names[i], "agreement") == 0 ? add_agreement
                    : strcmp(names[i], "kld") == 0       ? add_kld
                                                         : add_top1;
        m->count++;
    }
    return RC_OK;
}
