/* Columns are gone through from left to right. Removing weight (r, c) with root U (h^-1 = U^T U) is made up
 * for in the columns to the right: w[r, j] -= e U[c, j], e = w[r, c] / U[c, c], and costs e^2 / 2 (equations
 * 3 and 5 of the paper; U's rows are the inverses that are left after each column, all at once). Blocks of
 * columns: within one, errors are put right at once, beyond it by one product of matrices. */
#include "compressors/onnx/sparsegpt.h"

#include <cblas.h>
#include <lapacke.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct work {
    double *w;
    const double *u;
    size_t rows, columns;
    const struct prune_pattern *pattern;
    double *errors; /* [rows, width of a block] */
    float *scores;  /* [rows, width] */
    uint8_t *keep;  /* [rows, width] */
};

/* What it costs to remove each weight of the columns first .. first + width - 1, as square roots. */
static void score(const struct work *k, size_t row, size_t first, size_t width, float *scores) {
    for (size_t j = 0; j < width; j++) {
        size_t c = first + j;
        scores[j] = (float)fabs(k->w[row * k->columns + c] / k->u[c * k->columns + c]);
    }
}

static enum rc choose(const struct work *k, size_t first, size_t width, struct err *err) {
    if (k->pattern->shape == PRUNE_N_OF_M) {
        return RC_OK; /* chosen group by group, with the errors before it put right */
    }
    for (size_t r = 0; r < k->rows; r++) {
        score(k, r, first, width, k->scores + r * width);
    }
    return prune_pattern_mask(k->pattern, k->scores, k->rows, width, k->keep, err);
}

/* Removes what is to go of one row's columns first .. first + width - 1; its errors become errors[width]. */
static void prune_row(const struct work *k, size_t row, size_t first, size_t width, double *errors) {
    double *w = k->w + row * k->columns;
    const struct prune_pattern *p = k->pattern;
    uint8_t *keep = k->keep + row * width;
    for (size_t j = 0; j < width; j++) {
        size_t c = first + j;
        if (p->shape == PRUNE_N_OF_M && j % p->m == 0) {
            float scores[PRUNE_M_MAX];
            score(k, row, c, p->m, scores);
            prune_pattern_n_of_m(scores, 1, p->m, p->n, p->m, keep + j);
        }
        errors[j] = 0;
        if (keep[j]) {
            continue;
        }
        const double *u = k->u + c * k->columns;
        errors[j] = w[c] / u[c];
        w[c] = 0;
        for (size_t l = c + 1; l < first + width; l++) {
            w[l] -= errors[j] * u[l];
        }
    }
}

static enum rc prune_block(const struct work *k, size_t first, size_t width, struct err *err) {
    enum rc rc = choose(k, first, width, err);
    if (rc != RC_OK) {
        return rc;
    }
    for (size_t r = 0; r < k->rows; r++) {
        prune_row(k, r, first, width, k->errors + r * width);
    }
    size_t right = first + width;
    if (right < k->columns) {
        cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)k->rows, (int)(k->columns - right),
                    (int)width, -1, k->errors, (int)width, k->u + first * k->columns + right, (int)k->columns,
                    1, k->w + right, (int)k->columns);
    }
    return RC_OK;
}

/* Whole groups and tiles lie in one block. */
static size_t block_width(const struct prune_pattern *p) {
    size_t unit = p->shape == PRUNE_N_OF_M ? p->m : p->shape == PRUNE_BLOCKS ? p->block : 1;
    return unit >= SPARSEGPT_BLOCK ? unit : SPARSEGPT_BLOCK / unit * unit;
}

enum rc sparsegpt_prune(double *w, size_t rows, size_t columns, const double *root,
                        const struct prune_pattern *pattern, struct err *err) {
    size_t width = block_width(pattern);
    struct work k = {.w = w, .u = root, .rows = rows, .columns = columns, .pattern = pattern};
    k.errors = malloc((rows * width + 1) * sizeof(*k.errors));
    k.scores = malloc((rows * width + 1) * sizeof(*k.scores));
    k.keep = malloc(rows * width + 1);
    enum rc rc = k.errors && k.scores && k.keep ? RC_OK : err_memory(err);
    for (size_t first = 0; first < columns && rc == RC_OK; first += width) {
        rc = prune_block(&k, first, columns - first < width ? columns - first : width, err);
    }
    free(k.errors);
    free(k.scores);
    free(k.keep);
    return rc;
}

/* --- the best values for the weights that are left --- */

struct refit {
    const double *h;  /* damped */
    double *target;   /* [rows, columns]: original h */
    double *part;     /* [columns, columns]: h of the kept inputs */
    double *right;    /* [columns] */
    lapack_int *kept; /* [columns] */
    size_t columns;
};

/* Solves h[kept, kept] x = (original h)[kept]. A row that cannot be solved stays as it is. */
static void refit_row(const struct refit *f, double *w, const double *target) {
    lapack_int n = 0;
    for (size_t c = 0; c < f->columns; c++) {
        if (w[c] != 0) {
            f->kept[n++] = (lapack_int)c;
        }
    }
    for (lapack_int i = 0; i < n; i++) {
        const double *row = f->h + (size_t)f->kept[i] * f->columns;
        for (lapack_int j = 0; j <= i; j++) {
            f->part[i * n + j] = row[f->kept[j]];
        }
        f->right[i] = target[f->kept[i]];
    }
    if (n == 0 || LAPACKE_dposv_work(LAPACK_COL_MAJOR, 'U', n, 1, f->part, n, f->right, n) != 0) {
        return;
    }
    for (lapack_int i = 0; i < n; i++) {
        w[f->kept[i]] = f->right[i];
    }
}

static double mean_diagonal(const double *h, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += h[i * n + i];
    }
    return n ? sum / (double)n : 0;
}

enum rc sparsegpt_refit(double *w, const double *original, size_t rows, size_t columns, const double *h,
                        double damp, struct err *err) {
    size_t square = columns * columns;
    double *damped = malloc((square + 1) * sizeof(*damped)), add = damp * mean_diagonal(h, columns);
    struct refit f = {.h = damped, .columns = columns};
    f.part = malloc((square + 1) * sizeof(*f.part));
    f.right = malloc((columns + 1) * sizeof(*f.right));
    f.kept = malloc((columns + 1) * sizeof(*f.kept));
    f.target = malloc((rows * columns + 1) * sizeof(*f.target));
    enum rc rc = damped && f.part && f.right && f.kept && f.target ? RC_OK : err_memory(err);
    if (rc == RC_OK && rows && columns) {
        memcpy(damped, h, square * sizeof(*h));
        for (size_t i = 0; i < columns; i++) {
            damped[i * columns + i] += add;
        }
        cblas_dsymm(CblasRowMajor, CblasRight, CblasUpper, (int)rows, (int)columns, 1, damped, (int)columns,
                    original, (int)columns, 0, f.target, (int)columns);
        for (size_t r = 0; r < rows; r++) {
            refit_row(&f, w + r * columns, f.target + r * columns);
        }
    }
    free(damped);
    free(f.part);
    free(f.right);
    free(f.kept);
    free(f.target);
    return rc;
}
