/* GPTQ and SparseGPT (Frantar et al. 2022; Frantar & Alistarh 2023) use the upper Cholesky factor of the
 * inverse. It is had without an inverse: with the order of the inputs reversed, Cholesky gives h = R R^T with
 * R upper triangular, and then R^-1 is the factor: h^-1 = (R^-1)^T R^-1. */
#include "compressors/onnx/inverse_root.h"

#include <lapacke.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { DAMP_STEPS = 12 };

static enum rc mean_of_diagonal(const double *h, size_t n, double *mean, struct err *err) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        double d = h[i * n + i];
        if (!isfinite(d) || d < 0) {
            return err_set(err, RC_INPUT, "the second moment of input %zu is not a finite number", i);
        }
        sum += d;
    }
    *mean = sum > 0 ? sum / (double)n : 1;
    return RC_OK;
}

/* h + d I with rows and columns in reverse order; only what Cholesky reads is right: the lower triangle. */
static void reverse_damped(const double *h, size_t n, double d, double *out) {
    for (size_t i = 0; i < n; i++) {
        const double *from = h + (n - 1 - i) * n;
        for (size_t j = 0; j <= i; j++) {
            out[i * n + j] = from[n - 1 - j];
        }
        out[i * n + i] += d;
    }
}

/* Turns the lower triangle around into the upper one, in place, with zeros below. */
static void reverse_back(double *a, size_t n) {
    for (size_t i = 0, j = n * n; i < j--; i++) {
        double keep = a[i];
        a[i] = a[j];
        a[j] = keep;
    }
    for (size_t i = 1; i < n; i++) {
        memset(a + i * n, 0, i * sizeof(*a));
    }
}

enum rc inverse_root(const double *h, size_t n, double damp, double *root, struct err *err) {
    double mean = 1;
    enum rc rc = mean_of_diagonal(h, n, &mean, err);
    if (rc != RC_OK || n == 0) {
        return rc;
    }
    lapack_int size = (lapack_int)n, failed = 1;
    for (int i = 0; i < DAMP_STEPS && failed != 0; i++, damp = damp > 0 ? damp * 10 : 1e-8) {
        reverse_damped(h, n, damp * mean, root);
        /* Row-major lower is column-major upper: no copies in LAPACKE. */
        failed = LAPACKE_dpotrf_work(LAPACK_COL_MAJOR, 'U', size, root, size);
    }
    if (failed == 0) {
        reverse_back(root, n);
        failed = LAPACKE_dtrtri_work(LAPACK_COL_MAJOR, 'L', 'N', size, root, size);
    }
    return failed == 0 ? RC_OK : err_set(err, RC_INPUT, "the second moments of the inputs are degenerate");
}
