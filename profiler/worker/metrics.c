/* metrics.c -- see metrics.h. */
#include "profiler/worker/metrics.h"

#include <math.h>

#include "core/base/container.h"

void metrics_names(enum dataset_labels labels, size_t classes, bool reference,
                   const char *names[METRICS_MAX + 1]) {
    size_t count = 0;
    if (labels == LABELS_TARGET) {
        names[count++] = "mse";
        names[count++] = "mae";
    } else {
        if (labels != LABELS_NONE) {
            names[count++] = "top1";
            if (classes >= 2 && classes <= METRICS_MAX_F1_CLASSES) {
                names[count++] = "f1";
            }
        }
        if (reference) {
            names[count++] = "agreement";
            names[count++] = "kld";
        }
    }
    names[count] = NULL;
}

static enum rc check_shape(const struct metrics *m, struct err *err) {
    size_t width = dataset_label_width(m->dataset);
    switch (dataset_labels(m->dataset)) {
    case LABELS_NONE:
        return m->reference
                   ? RC_OK
                   : err_set(err, RC_INPUT,
                             "the dataset has no labels: accuracy can only be measured as agreement with a "
                             "reference model, and there is none");
    case LABELS_EXAMPLE:
        if (m->positions != 1) {
            return err_set(
                err, RC_INPUT,
                "labels: one an example, but the model answers with %zu positions an example; give "
                "labels of shape [N, %zu]",
                m->positions, m->positions);
        }
        return dataset_check_labels(m->dataset, (int64_t)m->classes, err);
    case LABELS_POSITION:
        if (m->positions != width) {
            return err_set(err, RC_INPUT, "labels: %zu positions an example, but the model answers with %zu",
                           width, m->positions);
        }
        return dataset_check_labels(m->dataset, (int64_t)m->classes, err);
    case LABELS_TARGET:
        if (m->positions * m->classes != width) {
            return err_set(err, RC_INPUT,
                           "labels: %zu target values an example, but the model answers with %zu", width,
                           m->positions * m->classes);
        }
        return RC_OK;
    }
    return RC_OK;
}

enum rc metrics_init(struct metrics *m, const struct dataset *dataset, size_t positions, size_t classes,
                     bool reference, struct err *err) {
    *m = (struct metrics){
        .dataset = dataset, .positions = positions, .classes = classes, .reference = reference};
    enum rc rc = check_shape(m, err);
    if (rc != RC_OK) {
        return rc;
    }
    rc = dataset_labels(dataset) == LABELS_TARGET ? metrics_value_init(m, err) : metrics_class_init(m, err);
    if (rc != RC_OK) {
        metrics_release(m);
    }
    return rc;
}

void metrics_release(struct metrics *m) {
    for (size_t i = 0; i < ARRAY_SIZE(m->tables); i++) {
        score_table_release(&m->tables[i]);
    }
    m->count = 0;
}

static enum rc check_finite(const struct logits *l, size_t first, size_t count, const char *whose,
                            struct err *err) {
    size_t each = l->positions * l->classes;
    for (size_t i = 0; i < count * each; i++) {
        if (!isfinite(l->data[i])) {
            return err_set(err, RC_INPUT, "%s answers example %zu with %s: its figures would mean nothing",
                           whose, first + i / each, isnan(l->data[i]) ? "NaN" : "infinity");
        }
    }
    return RC_OK;
}

enum rc metrics_score(struct metrics *m, size_t first, size_t count, const struct logits *own,
                      const struct logits *reference, struct err *err) {
    enum rc rc = check_finite(own, first, count, "the model", err);
    if (rc == RC_OK && m->reference) {
        rc = check_finite(reference, first, count, "the reference model", err);
    }
    if (rc != RC_OK) {
        return rc;
    }
    for (size_t k = 0; k < m->count; k++) {
        for (size_t i = 0; i < count; i++) {
            m->add[k](m, &m->tables[k], first + i, own, reference, i);
        }
    }
    return RC_OK;
}
