/* Minimise the error of the outputs over W, subject to W = Z with Z of the pattern: alternating direction
 * method of multipliers, in inputs scaled to moment 1, so that the magnitude of a weight is what it does
 * (equations 6 to 8 of the paper; penalty 1, damping 0.1). Weights one by one go gradually: the part that is
 * zero rises by a cubic curve (Zhu & Gupta 2017) over the first steps. */
#include "compressors/onnx/prune_admm.h"

#include <cblas.h>
#include <lapacke.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS = 24, GRADUAL_STEPS = 16 };
static const double damp = 0.1, penalty = 1;

struct admm {
    size_t rows, n;
    double *scale;   /* [n]: root of each input's moment */
    double *inverse; /* [n, n]: upper part of (scaled h + (damp + penalty) I)^-1 */
    double *pull;    /* [rows, n]: scaled w times (scaled h + damp I) */
    double *w, *z, *u, *right;
    float *scores;
    uint8_t *keep;
};

static void release(struct admm *a) {
    free(a->scale);
    free(a->inverse);
    free(a->pull);
    free(a->w);
    free(a->z);
    free(a->u);
    free(a->right);
    free(a->scores);
    free(a->keep);
}

static enum rc allocate(struct admm *a, struct err *err) {
    size_t all = a->rows * a->n + 1;
    a->scale = malloc((a->n + 1) * sizeof(double));
    a->inverse = malloc((a->n * a->n + 1) * sizeof(double));
    a->pull = malloc(all * sizeof(double));
    a->w = malloc(all * sizeof(double));
    a->z = calloc(all, sizeof(double));
    a->u = calloc(all, sizeof(double));
    a->right = malloc(all * sizeof(double));
    a->scores = malloc(all * sizeof(float));
    a->keep = malloc(all);
    bool ok = a->scale && a->inverse && a->pull && a->w && a->z && a->u && a->right && a->scores && a->keep;
    return ok ? RC_OK : err_memory(err);
}

static void multiply(const struct admm *a, const double *x, const double *symmetric, double *out) {
    cblas_dsymm(CblasRowMajor, CblasRight, CblasUpper, (int)a->rows, (int)a->n, 1, symmetric, (int)a->n, x,
                (int)a->n, 0, out, (int)a->n);
}

/* Scales weights and moments, and inverts. */
static enum rc prepare(struct admm *a, const double *w, const double *h, struct err *err) {
    size_t n = a->n;
    double mean = 0;
    for (size_t i = 0; i < n; i++) {
        mean += h[i * n + i] / (double)n;
    }
    for (size_t i = 0; i < n; i++) {
        double own = h[i * n + i] + 1e-6 * mean;
        a->scale[i] = own > 0 ? sqrt(own) : 1;
    }
    for (size_t i = 0; i < n * n; i++) {
        a->inverse[i] = h[i] / a->scale[i / n] / a->scale[i % n] + (i / n == i % n ? damp : 0);
    }
    for (size_t i = 0; i < a->rows * n; i++) {
        a->w[i] = w[i] * a->scale[i % n];
    }
    multiply(a, a->w, a->inverse, a->pull);
    for (size_t i = 0; i < n; i++) {
        a->inverse[i * n + i] += penalty;
    }
    lapack_int size = (lapack_int)n;
    /* Row-major upper is column-major lower. */
    bool failed = LAPACKE_dpotrf_work(LAPACK_COL_MAJOR, 'L', size, a->inverse, size) != 0 ||
                  LAPACKE_dpotri_work(LAPACK_COL_MAJOR, 'L', size, a->inverse, size) != 0;
    return failed ? err_set(err, RC_INPUT, "the second moments of the inputs are degenerate") : RC_OK;
}

static enum rc project(struct admm *a, const struct prune_pattern *pattern, int step, struct err *err) {
    struct prune_pattern now = *pattern;
    double left = 1 - (double)(step + 1) / GRADUAL_STEPS;
    now.ratio *= left > 0 ? 1 - left * left * left : 1;
    for (size_t i = 0; i < a->rows * a->n; i++) {
        a->scores[i] = (float)(a->w[i] + a->u[i]);
    }
    enum rc rc = prune_pattern_mask(&now, a->scores, a->rows, a->n, a->keep, err);
    for (size_t i = 0; i < a->rows * a->n && rc == RC_OK; i++) {
        a->z[i] = a->keep[i] ? a->w[i] + a->u[i] : 0;
        a->u[i] += a->w[i] - a->z[i];
    }
    return rc;
}

enum rc prune_admm(double *w, size_t rows, size_t columns, const double *h,
                   const struct prune_pattern *pattern, struct err *err) {
    struct admm a = {.rows = rows, .n = columns};
    enum rc rc = allocate(&a, err);
    rc = rc != RC_OK ? rc : prepare(&a, w, h, err);
    for (int step = 0; step < STEPS && rc == RC_OK; step++) {
        rc = project(&a, pattern, step, err);
        for (size_t i = 0; i < rows * columns && rc == RC_OK; i++) {
            a.right[i] = a.pull[i] + penalty * (a.z[i] - a.u[i]);
        }
        if (rc == RC_OK && step + 1 < STEPS) {
            multiply(&a, a.right, a.inverse, a.w);
        }
    }
    for (size_t i = 0; i < rows * columns && rc == RC_OK; i++) {
        w[i] = a.z[i] / a.scale[i % columns];
    }
    release(&a);
    return rc;
}
