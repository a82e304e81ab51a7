/* With h = L L^T, the best W' has W' L = the first r terms of the singular value decomposition U S V^T of W L
 * (Eckart & Young 1936), so W' = U_r U_r^T W: the outputs projected onto their r strongest directions. That
 * needs no inverse of L: U comes from the eigenvectors of W h W^T, or where there are more outputs than
 * inputs from those (V) of L^T W^T W L, as U = W L V / S. */
#include "compressors/onnx/whitened_svd.h"

#include <cblas.h>
#include <lapacke.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Directions whose energy is below this part of the strongest one's are rounding: they become zero. */
static const double noise_ratio = 1e-13;

static enum rc damped_copy(const double *h, size_t n, double damp, double *out, struct err *err) {
    double sum = 0;
    for (size_t i = 0; i < n * n; i++) {
        if (!isfinite(h[i])) {
            return err_set(err, RC_INPUT, "a second moment of the inputs is not a finite number");
        }
    }
    memcpy(out, h, n * n * sizeof(*h));
    for (size_t i = 0; i < n; i++) {
        sum += h[i * n + i];
    }
    for (size_t i = 0; i < n; i++) {
        out[i * n + i] += sum > 0 ? damp * sum / (double)n : 1;
    }
    return RC_OK;
}

static void multiply(enum CBLAS_TRANSPOSE ta, enum CBLAS_TRANSPOSE tb, size_t m, size_t n, size_t k,
                     const double *a, size_t lda, const double *b, size_t ldb, double *c) {
    cblas_dgemm(CblasRowMajor, ta, tb, (int)m, (int)n, (int)k, 1, a, (int)lda, b, (int)ldb, 0, c, (int)n);
}

/* Eigenvectors of the symmetric a [n, n] in its rows, by falling eigenvalue; *values [n]. */
static enum rc eigen(double *a, size_t n, double *values, struct err *err) {
    if (LAPACKE_dsyevd(LAPACK_COL_MAJOR, 'V', 'U', (lapack_int)n, a, (lapack_int)n, values) != 0) {
        return err_set(err, RC_INPUT, "the outputs' second moments have no eigenvalues");
    }
    for (size_t i = 0, j = n - 1; i < j; i++, j--) {
        double v = values[i];
        values[i] = values[j];
        values[j] = v;
        for (size_t c = 0; c < n; c++) {
            double x = a[i * n + c];
            a[i * n + c] = a[j * n + c];
            a[j * n + c] = x;
        }
    }
    return RC_OK;
}

/* rows <= columns: left = the eigenvectors of W h W^T. */
static enum rc by_outputs(const double *w, const double *h, struct whitened_svd *s, double *room,
                          struct err *err) {
    multiply(CblasNoTrans, CblasNoTrans, s->rows, s->columns, s->columns, w, s->columns, h, s->columns, room);
    multiply(CblasNoTrans, CblasTrans, s->rows, s->rows, s->columns, room, s->columns, w, s->columns,
             s->left);
    return eigen(s->left, s->rows, s->energies, err);
}

/* rows > columns: left[i] = W L v_i / s_i. `h` becomes L. */
static enum rc by_inputs(const double *w, double *h, struct whitened_svd *s, double *room, struct err *err) {
    size_t n = s->columns;
    double *v = malloc(n * n * sizeof(*v));
    enum rc rc = v ? RC_OK : err_memory(err);
    if (rc == RC_OK && LAPACKE_dpotrf_work(LAPACK_COL_MAJOR, 'U', (lapack_int)n, h, (lapack_int)n) != 0) {
        rc = err_set(err, RC_INPUT, "the second moments of the inputs are degenerate");
    }
    if (rc == RC_OK) {
        for (size_t i = 0; i < n; i++) {
            memset(h + i * n + i + 1, 0, (n - i - 1) * sizeof(*h)); /* row-major lower L */
        }
        multiply(CblasNoTrans, CblasNoTrans, s->rows, n, n, w, n, h, n, room);
        multiply(CblasTrans, CblasNoTrans, n, n, s->rows, room, n, room, n, v);
        rc = eigen(v, n, s->energies, err);
    }
    if (rc == RC_OK) {
        multiply(CblasNoTrans, CblasTrans, n, s->rows, n, v, n, room, n, s->left);
        for (size_t i = 0; i < n; i++) {
            double factor = s->energies[i] > 0 ? 1 / sqrt(s->energies[i]) : 0;
            cblas_dscal((int)s->rows, factor, s->left + i * s->rows, 1);
        }
    }
    free(v);
    return rc;
}

static void scale_pairs(struct whitened_svd *s) {
    double least = s->energies[0] * noise_ratio;
    for (size_t i = 0; i < s->rank; i++) {
        bool noise = !(s->energies[i] > least);
        s->energies[i] = noise ? 0 : s->energies[i];
        double factor = noise ? 0 : pow(s->energies[i], 0.25);
        cblas_dscal((int)s->rows, factor, s->left + i * s->rows, 1);
        cblas_dscal((int)s->columns, noise ? 0 : 1 / factor, s->right + i * s->columns, 1);
    }
}

enum rc whitened_svd_make(const double *w, size_t rows, size_t columns, const double *h, double damp,
                          struct whitened_svd *ret, struct err *err) {
    struct whitened_svd s = {.rows = rows, .columns = columns, .rank = rows < columns ? rows : columns};
    double *damped = malloc((columns * columns + 1) * sizeof(*damped));
    double *room = malloc((rows * columns + 1) * sizeof(*room));
    s.energies = calloc(s.rank + 1, sizeof(*s.energies));
    s.left = malloc((s.rank * rows + 1) * sizeof(*s.left));
    s.right = malloc((s.rank * columns + 1) * sizeof(*s.right));
    enum rc rc = damped && room && s.energies && s.left && s.right ? RC_OK : err_memory(err);
    rc = rc != RC_OK ? rc : damped_copy(h, columns, damp, damped, err);
    if (rc == RC_OK && s.rank > 0) {
        rc = rows <= columns ? by_outputs(w, damped, &s, room, err) : by_inputs(w, damped, &s, room, err);
    }
    if (rc == RC_OK && s.rank > 0) {
        multiply(CblasNoTrans, CblasNoTrans, s.rank, columns, rows, s.left, rows, w, columns, s.right);
        scale_pairs(&s);
    }
    free(damped);
    free(room);
    if (rc != RC_OK) {
        whitened_svd_release(&s);
        return rc;
    }
    *ret = s;
    return RC_OK;
}

void whitened_svd_release(struct whitened_svd *s) {
    free(s->energies);
    free(s->left);
    free(s->right);
    *s = (struct whitened_svd){0};
}
