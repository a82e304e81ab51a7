#include "compressors/onnx/fit_samples.h"

#include <cblas.h>
#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/parallel.h"

enum { CHUNK = 256, BLOCK = 64 };

size_t fit_samples_capacity(size_t width, size_t outputs) {
    size_t rows = FIT_SAMPLES_BYTES_MAX / sizeof(float) / (width + outputs + 1);
    return rows < FIT_SAMPLES_ROWS_MAX ? rows : FIT_SAMPLES_ROWS_MAX;
}

enum rc fit_samples_init(struct fit_samples *s, size_t width, size_t outputs, struct err *err) {
    /* Batches go to the folds in turn and are thinned alike: a fold may get a little more than half. */
    size_t capacity = fit_samples_capacity(width, outputs) / RIDGE_FOLDS * 5 / 4 + CHUNK;
    *s = (struct fit_samples){.width = width, .outputs = outputs, .capacity = capacity};
    for (size_t f = 0; f < RIDGE_FOLDS; f++) {
        s->rows[f] = malloc(capacity * (width + 1) * sizeof(float));
        s->values[f] = malloc(capacity * (outputs + 1) * sizeof(float));
        if (!s->rows[f] || !s->values[f]) {
            fit_samples_release(s);
            return err_memory(err);
        }
    }
    return RC_OK;
}

void fit_samples_release(struct fit_samples *s) {
    for (size_t f = 0; f < RIDGE_FOLDS; f++) {
        free(s->rows[f]);
        free(s->values[f]);
    }
    *s = (struct fit_samples){0};
}

/* Columns of a sum are worked on side by side, each over all rows in order: the same for any number of
 * threads.
 */
struct work {
    const struct fit_samples *s;
    const double *w;
    struct ridge_sums *sums;
    double *xy;
    double *errors, *wanted; /* by block */
};

static size_t blocks_of(size_t columns) {
    return (columns + BLOCK - 1) / BLOCK;
}

/* out[first .. width, columns] += (x^T y) of one chunk, over y's `columns` columns from `y`. */
static void add_product(const struct fit_samples *s, const float *x, size_t rows, size_t first,
                        const float *y, size_t y_stride, size_t columns, float *scratch, double *out,
                        size_t out_stride) {
    size_t n = s->width - first;
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)n, (int)columns, (int)rows, 1, x + first,
                (int)s->width, y, (int)y_stride, 0, scratch, (int)columns);
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < columns; j++) {
            out[(first + i) * out_stride + j] += (double)scratch[i * columns + j];
        }
    }
}

/* Block `item` of the columns of xx (its lower half), then of xy. */
static enum rc sum_block(void *user, size_t item, size_t thread, struct err *err) {
    const struct work *k = user;
    const struct fit_samples *s = k->s;
    bool squares = item < blocks_of(s->width);
    size_t first = (squares ? item : item - blocks_of(s->width)) * BLOCK;
    size_t all = squares ? s->width : s->outputs, columns = all - first < BLOCK ? all - first : BLOCK;
    float *scratch = malloc((s->width * columns + 1) * sizeof(*scratch));
    (void)thread;
    if (!scratch) {
        return err_memory(err);
    }
    for (size_t f = 0; f < RIDGE_FOLDS; f++) {
        struct ridge_fold *fold = &k->sums->folds[f];
        for (size_t at = 0; at < s->count[f]; at += CHUNK) {
            size_t rows = s->count[f] - at < CHUNK ? s->count[f] - at : CHUNK;
            const float *x = s->rows[f] + at * s->width, *y = s->values[f] + at * s->outputs;
            add_product(s, x, rows, squares ? first : 0, squares ? x + first : y + first, all, columns,
                        scratch, (squares ? fold->xx : fold->xy) + first, all);
        }
    }
    free(scratch);
    return RC_OK;
}

enum rc fit_samples_sums(const struct fit_samples *s, size_t threads, struct ridge_sums *sums,
                         struct err *err) {
    struct work k = {.s = s, .sums = sums};
    parallel_keep_blas_single();
    enum rc rc = parallel_for(threads, blocks_of(s->width) + blocks_of(s->outputs), sum_block, &k, err);
    for (size_t f = 0; f < RIDGE_FOLDS && rc == RC_OK; f++) {
        struct ridge_fold *fold = &sums->folds[f];
        for (size_t i = 0; i < s->width; i++) {
            for (size_t j = i + 1; j < s->width; j++) {
                fold->xx[i * s->width + j] = fold->xx[j * s->width + i];
            }
        }
        for (size_t i = 0; i < s->count[f] * s->outputs; i++) {
            fold->yy += (double)s->values[f][i] * (double)s->values[f][i];
        }
        fold->count += s->count[f];
    }
    return rc;
}

/* --- behind a Relu --- */

/* Turns given outputs into targets. */
static void aim(const float *wanted, size_t stride, size_t rows, size_t columns, float *given, double *error,
                double *squares) {
    for (size_t r = 0; r < rows; r++) {
        for (size_t j = 0; j < columns; j++) {
            float y = wanted[r * stride + j], *p = &given[r * columns + j];
            double want = y > 0 ? (double)y : 0, have = *p > 0 ? (double)*p : 0;
            *error += (want - have) * (want - have);
            *squares += want * want;
            *p = y > 0 ? y : *p < 0 ? *p : 0;
        }
    }
}

static enum rc rectify_block(void *user, size_t item, size_t thread, struct err *err) {
    const struct work *k = user;
    const struct fit_samples *s = k->s;
    size_t first = item * BLOCK, columns = s->outputs - first < BLOCK ? s->outputs - first : BLOCK;
    float *w = malloc((s->width * columns + 1) * sizeof(*w)),
          *given = malloc(CHUNK * columns * sizeof(*given));
    float *scratch = malloc((s->width * columns + 1) * sizeof(*scratch));
    enum rc rc = w && given && scratch ? RC_OK : err_memory(err);
    (void)thread;
    for (size_t i = 0; i < s->width && rc == RC_OK; i++) {
        for (size_t j = 0; j < columns; j++) {
            w[i * columns + j] = (float)k->w[i * s->outputs + first + j];
            k->xy[i * s->outputs + first + j] = 0;
        }
    }
    for (size_t f = 0; f < RIDGE_FOLDS && rc == RC_OK; f++) {
        for (size_t at = 0; at < s->count[f]; at += CHUNK) {
            size_t rows = s->count[f] - at < CHUNK ? s->count[f] - at : CHUNK;
            const float *x = s->rows[f] + at * s->width;
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)rows, (int)columns, (int)s->width, 1,
                        x, (int)s->width, w, (int)columns, 0, given, (int)columns);
            aim(s->values[f] + at * s->outputs + first, s->outputs, rows, columns, given, &k->errors[item],
                &k->wanted[item]);
            add_product(s, x, rows, 0, given, columns, columns, scratch, k->xy + first, s->outputs);
        }
    }
    free(w);
    free(given);
    free(scratch);
    return rc;
}

enum rc fit_samples_rectified(const struct fit_samples *s, size_t threads, const double *w, double *xy,
                              double *error, struct err *err) {
    size_t blocks = blocks_of(s->outputs);
    struct work k = {.s = s, .w = w, .xy = xy};
    double sum = 0, squares = 0;
    k.errors = calloc(blocks + 1, sizeof(*k.errors));
    k.wanted = calloc(blocks + 1, sizeof(*k.wanted));
    parallel_keep_blas_single();
    enum rc rc =
        k.errors && k.wanted ? parallel_for(threads, blocks, rectify_block, &k, err) : err_memory(err);
    for (size_t i = 0; i < blocks && rc == RC_OK; i++) {
        sum += k.errors[i];
        squares += k.wanted[i];
    }
    *error = squares > 0 ? sum / squares : 0;
    free(k.errors);
    free(k.wanted);
    return rc;
}
