#include "compressors/onnx/gptq.h"

#include <cblas.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/inverse_root.h"
#include "compressors/onnx/parallel.h"
#include "compressors/onnx/round_loops.h"
#include "core/base/checked.h"

enum { BLOCK = 128, TILE = 64 };

struct gptq_hessian {
    size_t columns, group;
    size_t *order;    /* [columns]: the column that is rounded i-th; all indexes below are places in it */
    float *products;  /* [columns, columns], damped */
    float *upper;     /* [columns, columns]: U with U^T U the inverse of products; rows of it */
    float *important; /* [columns]: 1 / U[i, i]^2, what an error of column i costs in the end */
};

/* --- the Hessian --- */

struct ranked {
    size_t column;
    double value, group_value;
};

static int by_value(const void *a, const void *b) {
    const struct ranked *x = a, *y = b;
    if (x->group_value != y->group_value) {
        return x->group_value > y->group_value ? -1 : 1;
    }
    if (x->value != y->value) {
        return x->value > y->value ? -1 : 1;
    }
    return x->column < y->column ? -1 : x->column > y->column;
}

/* Groups by the sum of their diagonal, columns of a group by theirs. Groups of equal sums would mix: the
 * group's index is made part of its value by ordering through ranks. */
static enum rc choose_order(struct gptq_hessian *h, const double *products, struct err *err) {
    size_t n = h->columns, groups = (n + h->group - 1) / h->group;
    struct ranked *r = calloc(n + groups, sizeof(*r)), *sums = r ? r + n : NULL;
    if (!r) {
        return err_memory(err);
    }
    for (size_t i = 0; i < n; i++) {
        r[i] = (struct ranked){i, products[i * (n + 1)], 0};
        sums[i / h->group].value += r[i].value;
        sums[i / h->group].column = i / h->group;
    }
    /* A short last group must come last: blocks then begin where groups begin. */
    if (n % h->group) {
        sums[groups - 1].group_value = -1;
    }
    qsort(sums, groups, sizeof(*sums), by_value);
    size_t place = 0;
    for (size_t k = 0; k < groups; k++) {
        size_t first = sums[k].column * h->group, count = n - first < h->group ? n - first : h->group;
        qsort(r + first, count, sizeof(*r), by_value);
        for (size_t i = 0; i < count; i++) {
            h->order[place++] = r[first + i].column;
        }
    }
    free(r);
    return RC_OK;
}

/* U of the reordered products a [n, n]. */
static enum rc factor(struct gptq_hessian *h, const double *a, double damp, struct err *err) {
    size_t n = h->columns;
    double *root = malloc(n * n * sizeof(*root));
    enum rc rc = root ? inverse_root(a, n, damp, root, err) : err_memory(err);
    for (size_t i = 0; i < n && rc == RC_OK; i++) {
        for (size_t j = 0; j < n; j++) {
            h->upper[i * n + j] = (float)root[i * n + j];
        }
        double u = root[i * (n + 1)];
        h->important[i] = (float)(1 / (u * u));
    }
    free(root);
    return rc;
}

static enum rc reorder_and_factor(struct gptq_hessian *h, const double *products, double damp,
                                  struct err *err) {
    size_t n = h->columns;
    double mean = 0, *a = malloc(n * n * sizeof(*a));
    if (!a) {
        return err_memory(err);
    }
    for (size_t i = 0; i < n; i++) {
        mean += products[i * (n + 1)] / (double)n;
    }
    /* All zero: every rounding is as good as another, and the nearest is taken. The unit is free. */
    double unit = mean > 0 ? 1 / mean : 0;
    for (size_t i = 0; i < n; i++) {
        const double *row = products + h->order[i] * n;
        for (size_t j = 0; j < n; j++) {
            a[i * n + j] = mean > 0 || i != j ? row[h->order[j]] * unit : 1;
            h->products[i * n + j] = (float)(a[i * n + j] + (i == j ? damp : 0));
        }
    }
    enum rc rc = isfinite(mean) ? factor(h, a, damp, err)
                                : err_set(err, RC_INPUT, "the second moments of its input are not finite");
    free(a);
    return rc;
}

enum rc gptq_hessian_new(const double *products, size_t columns, size_t group, double damp,
                         struct gptq_hessian **ret, struct err *err) {
    struct gptq_hessian *h = calloc(1, sizeof(*h));
    size_t square = 0, bytes = 0;
    if (!h) {
        return err_memory(err);
    }
    if (checked_mul(columns, columns, &square) || checked_mul(square, sizeof(double), &bytes) ||
        columns > INT32_MAX) {
        free(h);
        return err_set(err, RC_TOO_LARGE, "the matrix is too large");
    }
    parallel_keep_blas_single();
    h->columns = columns;
    h->group = group;
    h->order = calloc(columns + 1, sizeof(*h->order));
    h->products = calloc(square + 1, sizeof(float));
    h->upper = calloc(square + 1, sizeof(float));
    h->important = calloc(columns + 1, sizeof(float));
    enum rc rc = h->order && h->products && h->upper && h->important ? RC_OK : err_memory(err);
    rc = rc != RC_OK ? rc : choose_order(h, products, err);
    rc = rc != RC_OK ? rc : reorder_and_factor(h, products, damp, err);
    if (rc != RC_OK) {
        gptq_hessian_free(h);
        return rc;
    }
    *ret = h;
    return RC_OK;
}

void gptq_hessian_free(struct gptq_hessian *h) {
    if (h) {
        free(h->order);
        free(h->products);
        free(h->upper);
        free(h->important);
        free(h);
    }
}

/* --- a tile: some rows, transposed, so that a column of weights lies together --- */

struct tile {
    const struct gptq_hessian *h;
    const struct gptq_opts *opts;
    struct group_quant *q;
    size_t first, rows; /* of the matrix */
    size_t block;       /* columns between two lazy updates: whole groups */
    float top;
    float *w;       /* [columns, rows]: weights, already making up for what was rounded */
    float *value;   /* [columns, rows]: the rounded weights */
    float *kept;    /* [columns, rows]: 0 where the weight was zero and stays so, else 1 */
    float *scratch; /* [columns, rows] */
    float *error;   /* [block, rows]: errors of the columns of this block, over U's diagonal; or changes */
    float *line;    /* [group] of one row, in place order */
    float *scale, *inverse, *zero; /* [groups, rows] by original group */
};

/* Scales of the group whose columns stand at places first .. first + n, from the weights as they are now. */
static void choose_scales(struct tile *t, size_t first, size_t n) {
    size_t group = t->h->order[first] / t->h->group;
    for (size_t r = 0; r < t->rows; r++) {
        size_t at = group * t->rows + r, to = (t->first + r) * t->q->groups + group;
        for (size_t i = 0; i < n; i++) {
            t->line[i] = t->w[(first + i) * t->rows + r];
        }
        group_choose_least(t->line, t->h->important + first, n, &t->opts->format, &t->q->scales[to],
                           &t->q->zeros[to]);
        t->scale[at] = t->q->scales[to];
        t->zero[at] = t->q->zeros[to];
        t->inverse[at] = t->scale[at] != 0 ? 1 / t->scale[at] : 0;
    }
}

static void round_column(struct tile *t, size_t place, size_t block_first, size_t block_end) {
    size_t rows = t->rows, n = t->h->columns, group = t->h->order[place] / t->h->group;
    const float *u = t->h->upper + place * n;
    const float *scale = t->scale + group * rows, *inverse = t->inverse + group * rows;
    const float *zero = t->zero + group * rows;
    const float *w = t->w + place * rows;
    float *value = t->value + place * rows, *e = t->error + (place - block_first) * rows;
    const float *kept = t->kept + place * rows;
    float by = 1 / u[place];
    for (size_t r = 0; r < rows; r++) {
        value[r] = (round_code(w[r], inverse[r], zero[r], t->top) - zero[r]) * scale[r] * kept[r];
        e[r] = (w[r] - value[r]) * by;
    }
    for (size_t k = place + 1; k < block_end; k++) {
        float *later = t->w + k * rows;
        float factor_k = u[k];
        for (size_t r = 0; r < rows; r++) {
            later[r] -= factor_k * e[r];
        }
    }
}

/* The paper's algorithm 1. */
static void round_columns(struct tile *t) {
    size_t n = t->h->columns;
    int rows = (int)t->rows;
    for (size_t first = 0; first < n; first += t->block) {
        size_t end = first + t->block < n ? first + t->block : n;
        for (size_t place = first; place < end; place++) {
            if ((place - first) % t->h->group == 0) {
                size_t count = end - place < t->h->group ? end - place : t->h->group;
                choose_scales(t, place, count);
            }
            round_column(t, place, first, end);
        }
        if (end < n) {
            cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)(n - end), rows, (int)(end - first),
                        -1.0F, t->h->upper + first * n + end, (int)n, t->error, rows, 1.0F,
                        t->w + end * t->rows, rows);
        }
    }
}

/* --- coordinate descent --- */

/* t->w becomes the gradient H (w0 - value), w0 being the original weights. */
static void to_gradient(struct tile *t, const float *w0) {
    size_t n = t->h->columns, rows = t->rows;
    for (size_t i = 0; i < n; i++) {
        for (size_t r = 0; r < rows; r++) {
            t->scratch[i * rows + r] = w0[(t->first + r) * n + t->h->order[i]] - t->value[i * rows + r];
        }
    }
    cblas_ssymm(CblasRowMajor, CblasLeft, CblasUpper, (int)n, (int)rows, 1.0F, t->h->products, (int)n,
                t->scratch, (int)rows, 0.0F, t->w, (int)rows);
}

/* The gradient at places from..to, after the values at first..end changed by t->error. */
static void update_gradient(struct tile *t, size_t from, size_t to, size_t first, size_t end) {
    int n = (int)t->h->columns, rows = (int)t->rows;
    if (from < to) {
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)(to - from), rows, (int)(end - first),
                    -1.0F, t->h->products + first * (size_t)n + from, n, t->error, rows, 1.0F,
                    t->w + from * t->rows, rows);
    }
}

/* Gives every code of one column its best value with all other codes fixed. */
static void revise_column(struct tile *t, size_t place, size_t first, size_t end) {
    size_t rows = t->rows, n = t->h->columns, group = t->h->order[place] / t->h->group;
    const float *h = t->h->products + place * n;
    const float *scale = t->scale + group * rows, *inverse = t->inverse + group * rows;
    const float *zero = t->zero + group * rows, *gradient = t->w + place * rows;
    float *value = t->value + place * rows, *change = t->error + (place - first) * rows;
    const float *kept = t->kept + place * rows;
    float by = 1 / h[place];
    for (size_t r = 0; r < rows; r++) {
        float wanted = value[r] + gradient[r] * by;
        float now = (round_code(wanted, inverse[r], zero[r], t->top) - zero[r]) * scale[r] * kept[r];
        change[r] = now - value[r];
        value[r] = now;
    }
    for (size_t k = first; k < end; k++) {
        float *g = t->w + k * rows;
        for (size_t r = 0; r < rows; r++) {
            g[r] -= h[k] * change[r];
        }
    }
}

static void revise_codes(struct tile *t) {
    size_t n = t->h->columns;
    for (size_t first = 0; first < n; first += t->block) {
        size_t end = first + t->block < n ? first + t->block : n;
        for (size_t place = first; place < end; place++) {
            revise_column(t, place, first, end);
        }
        update_gradient(t, 0, first, first, end);
        update_gradient(t, end, n, first, end);
    }
}

/* Gives the scales of one group their best values with all codes fixed: by the ratio of code . gradient to
 * code . H . code. */
static void revise_group(struct tile *t, size_t first, size_t end) {
    size_t rows = t->rows, n = t->h->columns, group = t->h->order[first] / t->h->group, count = end - first;
    float *scale = t->scale + group * rows, *inverse = t->inverse + group * rows;
    float *codes = t->error, *products = t->scratch;
    for (size_t i = 0; i < count; i++) {
        for (size_t r = 0; r < rows; r++) {
            codes[i * rows + r] = t->value[(first + i) * rows + r] * inverse[r];
        }
    }
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)count, (int)rows, (int)count, 1.0F,
                t->h->products + first * (n + 1), (int)n, codes, (int)rows, 0.0F, products, (int)rows);
    for (size_t r = 0; r < rows; r++) {
        float along = 0, curve = 0;
        for (size_t i = 0; i < count; i++) {
            along += codes[i * rows + r] * t->w[(first + i) * rows + r];
            curve += codes[i * rows + r] * products[i * rows + r];
        }
        float step = curve > 0 ? along / curve : 0, now = scale[r] + step;
        bool fine = isfinite(step) && now * scale[r] > 0 && isfinite(1 / now);
        step = fine ? step : 0;
        scale[r] += step;
        inverse[r] = scale[r] != 0 ? 1 / scale[r] : 0;
        for (size_t i = 0; i < count; i++) {
            codes[i * rows + r] *= step; /* now the change of the values */
            t->value[(first + i) * rows + r] += codes[i * rows + r];
        }
    }
    update_gradient(t, 0, n, first, end);
}

static void revise_scales(struct tile *t) {
    size_t n = t->h->columns, group = t->h->group;
    for (size_t first = 0; first < n; first += group) {
        revise_group(t, first, first + group < n ? first + group : n);
    }
}

/* --- the whole matrix --- */

struct rounding {
    const float *w;
    const struct gptq_hessian *h;
    const struct gptq_opts *opts;
    struct group_quant *q;
};

static void write_tile(const struct tile *t) {
    size_t n = t->h->columns, rows = t->rows;
    for (size_t i = 0; i < n; i++) {
        size_t column = t->h->order[i], group = column / t->h->group;
        for (size_t r = 0; r < rows; r++) {
            size_t at = group * rows + r;
            float code = round_code(t->value[i * rows + r], t->inverse[at], t->zero[at], t->top);
            t->q->codes[(t->first + r) * n + column] = (uint8_t)code;
            t->q->scales[(t->first + r) * t->q->groups + group] = t->scale[at];
        }
    }
}

static bool read_tile(struct tile *t, const float *w) {
    size_t n = t->h->columns, rows = t->rows;
    bool finite = true;
    for (size_t i = 0; i < n; i++) {
        for (size_t r = 0; r < rows; r++) {
            float value = w[(t->first + r) * n + t->h->order[i]];
            finite = finite && isfinite(value);
            t->w[i * rows + r] = value;
            t->kept[i * rows + r] = value == 0 ? 0 : 1;
        }
    }
    return finite;
}

static enum rc allocate(struct tile *t, struct err *err) {
    size_t n = t->h->columns, matrix = n * t->rows, widest = t->block < n ? t->block : n;
    size_t groups = t->q->groups * t->rows;
    float *all = calloc(4 * matrix + widest * t->rows + t->h->group + 3 * groups + 1, sizeof(float));
    if (!all) {
        return err_memory(err);
    }
    t->w = all;
    t->value = t->w + matrix;
    t->kept = t->value + matrix;
    t->scratch = t->kept + matrix;
    t->error = t->scratch + matrix;
    t->line = t->error + widest * t->rows;
    t->scale = t->line + t->h->group;
    t->inverse = t->scale + groups;
    t->zero = t->inverse + groups;
    return RC_OK;
}

static enum rc round_tile(void *user, size_t index, size_t thread, struct err *err) {
    const struct rounding *r = user;
    size_t first = index * TILE, left = r->q->rows - first, group = r->h->group;
    struct tile t = {.h = r->h,
                     .opts = r->opts,
                     .q = r->q,
                     .first = first,
                     .rows = left < TILE ? left : TILE,
                     .block = group < BLOCK ? BLOCK / group * group : group,
                     .top = (float)((1U << r->opts->format.bits) - 1)};
    (void)thread;
    enum rc rc = allocate(&t, err);
    if (rc != RC_OK) {
        return rc;
    }
    if (!read_tile(&t, r->w)) {
        rc = err_set(err, RC_INPUT, "a weight of outputs %zu to %zu is not a finite number", first,
                     first + t.rows - 1);
    } else {
        round_columns(&t);
        if (r->opts->sweeps > 0) {
            to_gradient(&t, r->w);
        }
        for (size_t i = 0; i < r->opts->sweeps; i++) {
            revise_codes(&t);
            revise_scales(&t);
        }
        write_tile(&t);
    }
    free(t.w);
    return rc;
}

enum rc gptq_round(const float *w, size_t rows, const struct gptq_hessian *h, const struct gptq_opts *opts,
                   struct group_quant *ret, struct err *err) {
    struct rounding r = {w, h, opts, ret};
    if (h->group != opts->format.group) {
        return err_set(err, RC_INTERNAL, "gptq: the Hessian was made for groups of %zu", h->group);
    }
    enum rc rc = group_quant_init(ret, &opts->format, rows, h->columns, err);
    if (rc != RC_OK) {
        return rc;
    }
    parallel_keep_blas_single();
    rc = parallel_for(opts->threads, (rows + TILE - 1) / TILE, round_tile, &r, err);
    if (rc != RC_OK) {
        group_quant_release(ret);
    }
    return rc;
}

double gptq_error(const float *w, const struct group_quant *q, const double *products) {
    size_t n = q->columns;
    double sum = 0, *d = malloc((n + 1) * sizeof(*d));
    for (size_t row = 0; d && row < q->rows; row++) {
        for (size_t i = 0; i < n; i++) {
            d[i] = (double)w[row * n + i] - (double)group_value(q, row, i);
        }
        for (size_t i = 0; i < n; i++) {
            sum += d[i] * cblas_ddot((int)n, products + i * n, 1, d, 1);
        }
    }
    free(d);
    return d ? sum : NAN;
}
