/* left^T = Q [R S] with the rows that stand for themselves in front: the others are R^-1 S of them, and
 * neither Q nor the other factor is needed. */
#include "compressors/onnx/pivot_rows.h"

#include <cblas.h>
#include <lapacke.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Factors beyond this would lose more than about two of a float's seven digits. */
static const double most_factor = 32;
/* Directions below this part of the strongest are rounding. */
static const double noise_ratio = 1e-10;

struct pivot {
    size_t rows, rank;
    double *a;         /* [rows, rank]: left turned; then R and S */
    double *tau;       /* [rank] */
    lapack_int *order; /* [rows], from 1; 0 on entry: free to move */
};

static void turn(const struct pivot *p, const double *left) {
    for (size_t r = 0; r < p->rows; r++) {
        for (size_t i = 0; i < p->rank; i++) {
            p->a[r * p->rank + i] = left[i * p->rows + r];
        }
    }
}

/* How many directions the rows in front hold. */
static size_t held(const struct pivot *p) {
    double most = 0;
    size_t count = 0;
    for (size_t i = 0; i < p->rank; i++) {
        most = fmax(most, fabs(p->a[i * p->rank + i]));
    }
    while (count < p->rank && fabs(p->a[count * p->rank + count]) > noise_ratio * most) {
        count++;
    }
    return count;
}

/* R^-1 S of the first `count` directions; the largest factor. */
static double solve(const struct pivot *p, size_t count) {
    size_t others = p->rows - p->rank;
    double *s = p->a + p->rank * p->rank, most = 0;
    if (others > 0 && count > 0) {
        cblas_dtrsm(CblasColMajor, CblasLeft, CblasUpper, CblasNoTrans, CblasNonUnit, (int)count, (int)others,
                    1, p->a, (int)p->rank, s, (int)p->rank);
    }
    for (size_t i = 0; i < others * p->rank; i++) {
        s[i] = i % p->rank < count ? s[i] : 0;
        most = fmax(most, isfinite(s[i]) ? fabs(s[i]) : INFINITY);
    }
    return most;
}

/* Whether the first rows will do; factors are in p->a then. */
static bool in_order(const struct pivot *p) {
    lapack_int rank = (lapack_int)p->rank, rows = (lapack_int)p->rows;
    for (size_t r = 0; r < p->rows; r++) {
        p->order[r] = (lapack_int)r + 1;
    }
    return LAPACKE_dgeqrf(LAPACK_COL_MAJOR, rank, rows, p->a, rank, p->tau) == 0 && held(p) == p->rank &&
           solve(p, p->rank) <= most_factor;
}

static enum rc pivoted(const struct pivot *p, struct err *err) {
    lapack_int rank = (lapack_int)p->rank, rows = (lapack_int)p->rows;
    memset(p->order, 0, p->rows * sizeof(*p->order));
    if (LAPACKE_dgeqp3(LAPACK_COL_MAJOR, rank, rows, p->a, rank, p->order, p->tau) != 0 ||
        !isfinite(solve(p, held(p)))) {
        return err_set(err, RC_INPUT, "its factors have no rows that stand for the others");
    }
    return RC_OK;
}

enum rc pivot_rows_choose(const double *left, size_t rows, size_t rank, size_t *order, double *rest,
                          bool *ordered, struct err *err) {
    struct pivot p = {.rows = rows, .rank = rank};
    p.a = malloc((rows * rank + 1) * sizeof(*p.a));
    p.tau = malloc((rank + 1) * sizeof(*p.tau));
    p.order = malloc((rows + 1) * sizeof(*p.order));
    enum rc rc = p.a && p.tau && p.order ? RC_OK : err_memory(err);
    if (rc == RC_OK) {
        turn(&p, left);
        *ordered = in_order(&p);
    }
    if (rc == RC_OK && !*ordered) {
        turn(&p, left);
        rc = pivoted(&p, err);
    }
    for (size_t r = 0; r < rows && rc == RC_OK; r++) {
        order[r] = (size_t)p.order[r] - 1;
    }
    if (rc == RC_OK) {
        memcpy(rest, p.a + rank * rank, (rows - rank) * rank * sizeof(*rest));
    }
    free(p.a);
    free(p.tau);
    free(p.order);
    return rc;
}
