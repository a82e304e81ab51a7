/* ridge_fit.h -- least squares from sums of products, drawn to a starting point (ridge regression, Hoerl &
 * Kennard 1970), with the strength chosen by two-fold cross-validation. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

enum { RIDGE_FOLDS = 2 };

struct ridge_fold {
    double *xx;     /* [rows, rows]: sum of x x^T, symmetric, both halves */
    double *xy;     /* [rows, outputs]: sum of x y^T */
    double yy;      /* sum of y^2 over all outputs */
    uint64_t count; /* of x */
};

struct ridge_sums {
    size_t rows, outputs;
    bool constant; /* the last row of x is always 1: it is not drawn to its starting point */
    struct ridge_fold folds[RIDGE_FOLDS];
};

MUST_USE enum rc ridge_sums_init(struct ridge_sums *s, size_t rows, size_t outputs, bool constant,
                                 struct err *err);
void ridge_sums_release(struct ridge_sums *s);

struct ridge_result {
    double lambda; /* relative to the mean square of x; 0: the starting point was best, w is unchanged */
    double before, after; /* mean squared error on examples that were not fitted, relative to that of 0 */
};

/* w[rows, outputs]: in, the starting point; out, the fit to both folds. Uses the sums as scratch (they are
 * spoiled). */
MUST_USE enum rc ridge_fit(struct ridge_sums *s, double *w, struct ridge_result *ret, struct err *err);

/* After ridge_fit: w = the fit of all x to new targets whose sums with x are xy[rows, outputs], drawn to
 * `start` with the strength `lambda`. Where the sums have no inverse w is unchanged. */
MUST_USE enum rc ridge_fit_again(const struct ridge_sums *s, const double *xy, double lambda,
                                 const double *start, double *w, struct err *err);
