#include "compressors/onnx/ridge_fit.h"

#include <cblas.h>
#include <lapacke.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/checked.h"

static const double lambdas[] = {1e-4, 1e-3, 1e-2, 1e-1, 1.0};

enum rc ridge_sums_init(struct ridge_sums *s, size_t rows, size_t outputs, bool constant, struct err *err) {
    size_t xx, xy;
    *s = (struct ridge_sums){.rows = rows, .outputs = outputs, .constant = constant};
    if (checked_mul(rows, rows, &xx) || checked_mul(rows, outputs, &xy) || xx > SIZE_MAX / 32 ||
        xy > SIZE_MAX / 32) {
        return err_set(err, RC_TOO_LARGE, "a layer of %zu x %zu weights is too large to fit", rows, outputs);
    }
    for (size_t f = 0; f < RIDGE_FOLDS; f++) {
        s->folds[f].xx = calloc(xx + 1, sizeof(double));
        s->folds[f].xy = calloc(xy + 1, sizeof(double));
        if (!s->folds[f].xx || !s->folds[f].xy) {
            ridge_sums_release(s);
            return err_memory(err);
        }
    }
    return RC_OK;
}

void ridge_sums_release(struct ridge_sums *s) {
    for (size_t f = 0; f < RIDGE_FOLDS; f++) {
        free(s->folds[f].xx);
        free(s->folds[f].xy);
        s->folds[f] = (struct ridge_fold){0};
    }
}

struct scratch {
    double *matrix; /* [rows, rows] */
    double *step;   /* [rows, outputs] */
    double *image;  /* [rows, outputs] */
};

/* Sum over the fold of |y - w^T x|^2. */
static double error_of(const struct ridge_sums *s, const struct ridge_fold *f, const double *w,
                       double *image) {
    size_t n = s->rows, m = s->outputs;
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)n, (int)m, (int)n, 1, f->xx, (int)n, w,
                (int)m, 0, image, (int)m);
    double sum = f->yy;
    for (size_t i = 0; i < n * m; i++) {
        sum += w[i] * (image[i] - 2 * f->xy[i]);
    }
    return sum;
}

/* out = w + (xx + lambda D)^-1 (xy - xx w). False when that is not positive definite. */
static bool solve(const struct ridge_sums *s, const struct ridge_fold *f, double lambda, const double *w,
                  struct scratch *t, double *out) {
    size_t n = s->rows, m = s->outputs, drawn = n - s->constant;
    double mean = 0;
    for (size_t i = 0; i < drawn; i++) {
        mean += f->xx[i * n + i] / (double)(drawn ? drawn : 1);
    }
    if (!(mean > 0)) {
        return false;
    }
    memcpy(t->matrix, f->xx, n * n * sizeof(double));
    for (size_t i = 0; i < n; i++) {
        t->matrix[i * n + i] += i < drawn ? lambda * mean : 1e-9 * (double)f->count;
    }
    memcpy(t->step, f->xy, n * m * sizeof(double));
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)n, (int)m, (int)n, -1, f->xx, (int)n, w,
                (int)m, 1, t->step, (int)m);
    if (LAPACKE_dposv(LAPACK_ROW_MAJOR, 'L', (lapack_int)n, (lapack_int)m, t->matrix, (lapack_int)n, t->step,
                      (lapack_int)m) != 0) {
        return false;
    }
    for (size_t i = 0; i < n * m; i++) {
        out[i] = w[i] + t->step[i];
    }
    return true;
}

/* The lambda with the least error on the fold that was not fitted, or 0. */
static double choose(const struct ridge_sums *s, const double *w, struct scratch *t, double *trial,
                     struct ridge_result *ret) {
    double best = 0, total = s->folds[0].yy + s->folds[1].yy;
    double least = error_of(s, &s->folds[0], w, t->image) + error_of(s, &s->folds[1], w, t->image);
    ret->before = total > 0 ? least / total : 0;
    for (size_t i = 0; i < sizeof(lambdas) / sizeof(lambdas[0]); i++) {
        double sum = 0;
        bool fine = true;
        for (size_t f = 0; f < RIDGE_FOLDS && fine; f++) {
            fine = solve(s, &s->folds[1 - f], lambdas[i], w, t, trial);
            sum += fine ? error_of(s, &s->folds[f], trial, t->image) : 0;
        }
        if (fine && sum < least) {
            least = sum;
            best = lambdas[i];
        }
    }
    ret->after = total > 0 ? least / total : 0;
    return best;
}

static void add_folds(struct ridge_sums *s) {
    struct ridge_fold *a = &s->folds[0], *b = &s->folds[1];
    for (size_t i = 0; i < s->rows * s->rows; i++) {
        a->xx[i] += b->xx[i];
    }
    for (size_t i = 0; i < s->rows * s->outputs; i++) {
        a->xy[i] += b->xy[i];
    }
    a->yy += b->yy;
    a->count += b->count;
}

enum rc ridge_fit(struct ridge_sums *s, double *w, struct ridge_result *ret, struct err *err) {
    size_t n = s->rows, m = s->outputs;
    struct scratch t = {malloc((n * n + 1) * sizeof(double)), malloc((n * m + 1) * sizeof(double)),
                        malloc((n * m + 1) * sizeof(double))};
    double *trial = malloc((n * m + 1) * sizeof(double));
    enum rc rc = t.matrix && t.step && t.image && trial ? RC_OK : err_memory(err);
    *ret = (struct ridge_result){0};
    if (rc == RC_OK && n > 0 && m > 0) {
        ret->lambda = choose(s, w, &t, trial, ret);
        add_folds(s);
        if (ret->lambda > 0 && solve(s, &s->folds[0], ret->lambda, w, &t, trial)) {
            memcpy(w, trial, n * m * sizeof(double));
        } else {
            ret->lambda = 0;
            ret->after = ret->before;
        }
    }
    free(t.matrix);
    free(t.step);
    free(t.image);
    free(trial);
    return rc;
}

enum rc ridge_fit_again(const struct ridge_sums *s, const double *xy, double lambda, const double *start,
                        double *w, struct err *err) {
    size_t n = s->rows, m = s->outputs;
    struct scratch t = {malloc((n * n + 1) * sizeof(double)), malloc((n * m + 1) * sizeof(double)), NULL};
    double *trial = malloc((n * m + 1) * sizeof(double));
    struct ridge_fold fold = {s->folds[0].xx, (double *)xy, 0, s->folds[0].count};
    enum rc rc = t.matrix && t.step && trial ? RC_OK : err_memory(err);
    if (rc == RC_OK && solve(s, &fold, lambda, start, &t, trial)) {
        memcpy(w, trial, n * m * sizeof(double));
    }
    free(t.matrix);
    free(t.step);
    free(trial);
    return rc;
}
