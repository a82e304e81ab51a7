/* Labels: from any integer type to int64, from any float type to float; and checks of values. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/data/dataset_internal.h"
#include "core/data/element.h"

size_t dataset_example_elements(const struct data_array *a) {
    return a->example_bytes / dtype_bytes(a->spec.dtype);
}

enum rc dataset_check_finite(const struct data_array *a, size_t n, struct err *err) {
    if (!dtype_is_float(a->spec.dtype)) {
        return RC_OK;
    }
    size_t elements = dataset_example_elements(a);
    for (size_t i = 0; i < n * elements; i++) {
        double value = element_float(a->data, a->spec.dtype, i);
        if (!isfinite(value)) {
            return err_set(err, RC_INPUT, "array \"%.64s\": %s at example %zu; every number must be finite",
                           a->name, isnan(value) ? "NaN" : "infinity", i / elements);
        }
    }
    return RC_OK;
}

static enum rc take_integers(struct dataset *d, const struct data_array *a, struct err *err) {
    size_t n = d->n_all * d->label_width;
    d->label_values = calloc(n ? n : 1, sizeof(*d->label_values));
    if (!d->label_values) {
        return err_memory(err);
    }
    for (size_t i = 0; i < n; i++) {
        if (!element_int(a->data, a->spec.dtype, i, &d->label_values[i])) {
            return err_set(err, RC_INPUT, "labels: the number at example %zu is too large",
                           i / d->label_width);
        }
    }
    return RC_OK;
}

static enum rc take_targets(struct dataset *d, const struct data_array *a, struct err *err) {
    size_t n = d->n_all * d->label_width;
    d->target_values = calloc(n ? n : 1, sizeof(*d->target_values));
    if (!d->target_values) {
        return err_memory(err);
    }
    for (size_t i = 0; i < n; i++) {
        d->target_values[i] = (float)element_float(a->data, a->spec.dtype, i);
    }
    return RC_OK;
}

enum rc dataset_take_labels(struct dataset *d, struct data_array *array, struct err *err) {
    const struct tensor_spec *s = &array->spec;
    bool targets = dtype_is_float(s->dtype);
    if ((!targets && s->rank > 2) || array->example_bytes == 0) {
        char shape[SHAPE_TEXT_SIZE];
        dtype_shape_text(s->dims, s->rank, shape);
        return err_set(err, RC_INPUT,
                       "labels: the shape is %s; it must be [examples] or [examples, positions]", shape);
    }
    d->label_width = dataset_example_elements(array);
    d->labels = targets ? LABELS_TARGET : d->label_width > 1 ? LABELS_POSITION : LABELS_EXAMPLE;
    return targets ? take_targets(d, array, err) : take_integers(d, array, err);
}

static enum rc bad_label(const struct dataset *d, size_t example, size_t position, int64_t classes,
                         struct err *err) {
    char at[48] = "";
    int64_t label = dataset_label(d, example)[position];
    if (d->labels == LABELS_POSITION) {
        snprintf(at, sizeof(at), ", position %zu", position);
    }
    return err_set(err, RC_INPUT, "labels: %lld at example %zu%s; the model has %lld classes (0 to %lld)",
                   (long long)label, d->order[example], at, (long long)classes, (long long)classes - 1);
}

enum rc dataset_check_labels(const struct dataset *d, int64_t classes, struct err *err) {
    if (!d->label_values) {
        return RC_OK;
    }
    for (size_t i = 0; i < d->count; i++) {
        const int64_t *labels = dataset_label(d, i);
        for (size_t p = 0; p < d->label_width; p++) {
            bool ignored = d->labels == LABELS_POSITION && dataset_ignored(labels[p]);
            if (!ignored && (labels[p] < 0 || labels[p] >= classes)) {
                return bad_label(d, i, p, classes, err);
            }
        }
    }
    return RC_OK;
}
