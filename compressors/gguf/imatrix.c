/* imatrix.c -- sums of squared activations by tensor and column. */
#include "compressors/gguf/imatrix.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/checked.h"
#include "runtimes/llama_observe.h"

/* Sums of one tensor: `matrices` stacked matrices of `columns` columns. */
struct entry {
    char *tensor;
    size_t columns, matrices;
    double *sums;   /* [matrices, columns] */
    uint64_t *rows; /* [matrices] */
    float *values;  /* [matrices, columns], made by imatrix_importance */
};

struct imatrix {
    struct entry *entries;
    size_t count, capacity;
    size_t last; /* where the last observation went: the next one of a chunk is often the same or the one
                    after */
    struct llama_importance *importance;
};

struct imatrix *imatrix_new(void) {
    return calloc(1, sizeof(struct imatrix));
}

static void entry_release(struct entry *e) {
    free(e->tensor);
    free(e->sums);
    free(e->rows);
    free(e->values);
}

void imatrix_free(struct imatrix *m) {
    if (!m) {
        return;
    }
    for (size_t i = 0; i < m->count; i++) {
        entry_release(&m->entries[i]);
    }
    free(m->entries);
    free(m->importance);
    free(m);
}

static struct entry *find(struct imatrix *m, const char *tensor) {
    for (size_t step = 0; step < m->count; step++) {
        size_t i = (m->last + step) % m->count;
        if (strcmp(m->entries[i].tensor, tensor) == 0) {
            m->last = i;
            return &m->entries[i];
        }
    }
    return NULL;
}

static enum rc append(struct imatrix *m, const struct llama_observation *o, struct entry **ret,
                      struct err *err) {
    if (m->count == m->capacity) {
        size_t capacity = m->capacity ? 2 * m->capacity : 64;
        struct entry *grown = reallocarray(m->entries, capacity, sizeof *grown);
        if (!grown) {
            return err_memory(err);
        }
        m->entries = grown;
        m->capacity = capacity;
    }
    size_t elements;
    if (checked_mul(o->columns, o->matrices, &elements)) {
        return err_set(err, RC_INPUT, "tensor %s is too large", o->tensor);
    }
    struct entry e = {.columns = o->columns, .matrices = o->matrices};
    e.tensor = strdup(o->tensor);
    e.sums = calloc(elements, sizeof *e.sums);
    e.rows = calloc(o->matrices, sizeof *e.rows);
    if (!e.tensor || !e.sums || !e.rows) {
        entry_release(&e);
        return err_memory(err);
    }
    m->last = m->count;
    m->entries[m->count] = e;
    *ret = &m->entries[m->count++];
    return RC_OK;
}

static void add_squares(double *sums, const struct llama_observation *o) {
    for (size_t r = 0; r < o->rows; r++) {
        const float *row = o->data + r * o->stride;
        for (size_t c = 0; c < o->columns; c++) {
            sums[c] += (double)row[c] * (double)row[c];
        }
    }
}

enum rc imatrix_add(struct imatrix *m, const struct llama_observation *o, struct err *err) {
    struct entry *e = find(m, o->tensor);
    if (!e) {
        enum rc rc = append(m, o, &e, err);
        if (rc) {
            return rc;
        }
    }
    if (e->columns != o->columns || e->matrices != o->matrices || o->matrix >= o->matrices) {
        return err_set(err, RC_INPUT,
                       "tensor %s is used with different shapes: no importance can be given to its columns",
                       o->tensor);
    }
    double *sums = e->sums + o->matrix * o->columns;
    add_squares(sums, o);
    e->rows[o->matrix] += o->rows;
    for (size_t c = 0; c < o->columns; c++) {
        if (!isfinite(sums[c])) {
            return err_set(err, RC_INPUT,
                           "the activations before %s are not finite: the model's weights are broken",
                           o->tensor);
        }
    }
    return RC_OK;
}

/* --- from a text --- */

static enum rc on_rows(void *user, const struct llama_observation *o, struct err *err) {
    return imatrix_add(user, o, err);
}

enum rc imatrix_collect(struct imatrix *m, const char *path, const char *text, size_t size,
                        const struct imatrix_opts *opts, uint64_t *chunks, struct err *err) {
    struct llama_observe_opts observe = {
        .context = opts->context,
        .max_chunks = opts->max_chunks,
        .threads = opts->threads,
        .on_progress = opts->on_progress,
        .progress_user = opts->user,
        .on_rows = on_rows,
        .rows_user = m,
    };
    return llama_observe_text(path, text, size, &observe, chunks, err);
}

/* --- result --- */

static int compare_entries(const void *a, const void *b) {
    const struct entry *x = a, *y = b;
    return strcmp(x->tensor, y->tensor);
}

static enum rc entry_values(struct entry *e, struct err *err) {
    if (!e->values) {
        e->values = calloc(e->columns * e->matrices, sizeof *e->values);
    }
    if (!e->values) {
        return err_memory(err);
    }
    for (size_t i = 0; i < e->matrices; i++) {
        for (size_t c = 0; c < e->columns; c++) {
            size_t at = i * e->columns + c;
            e->values[at] = e->rows[i] ? (float)(e->sums[at] / (double)e->rows[i]) : 1.0f;
        }
    }
    return RC_OK;
}

enum rc imatrix_importance(struct imatrix *m, const struct llama_importance **ret, size_t *count,
                           struct err *err) {
    struct llama_importance *list = reallocarray(m->importance, m->count + 1, sizeof *list);
    if (!list) {
        return err_memory(err);
    }
    m->importance = list;
    if (m->count) {
        qsort(m->entries, m->count, sizeof *m->entries, compare_entries);
    }
    for (size_t i = 0; i < m->count; i++) {
        struct entry *e = &m->entries[i];
        enum rc rc = entry_values(e, err);
        if (rc) {
            return rc;
        }
        list[i] = (struct llama_importance){
            .tensor = e->tensor, .values = e->values, .count = e->columns * e->matrices};
    }
    *ret = list;
    *count = m->count;
    return RC_OK;
}
