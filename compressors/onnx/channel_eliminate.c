/* Scores by elimination: optimal brain surgeon on whole units (Hassibi & Stork 1993; for blocks of weights as
 * in Kurtic, Frantar & Alistarh 2023, "ZipLM"). With the covariance C of what a layer reads and its weights
 * W, removing rows S and moving the others as well as can be costs tr(W_S^T ((C^-1)_SS)^-1 W_S), then W -=
 * C^-1_:S (C^-1_SS)^-1 W_S and C^-1 -= C^-1_:S (C^-1_SS)^-1 C^-1_S: . The cheapest units go first, a few at a
 * time, and costs are computed anew. */
#include <cblas.h>
#include <float.h>
#include <lapacke.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/channel_reading.h"
#include "compressors/onnx/channel_score.h"
#include "compressors/onnx/moments.h"
#include "compressors/onnx/parallel.h"

enum { ROWS_MAX = 32768, STEPS = 48, BLOCK = 128 };

/* Added to the diagonal, as a part of its mean: with few examples C has no inverse. */
static const double damping = 0.01;
/* At least so many roundings of each row's products. */
static const double rounding = 4;

/* What elimination knows of one layer. */
struct state {
    struct channel_reading reading;
    double *inverse; /* [groups, width, width] of C */
    double *weights; /* [groups, width, outputs] */
    double total;    /* variance of all outputs, to compare layers */
};

struct family {
    struct compress_job *job;
    const struct channel_groups *groups;
    const struct channel_family *which;
    struct state *states;
    size_t state_count;
    double *costs; /* by unit of the family; infinite for those that are gone */
    uint32_t gone; /* the unit that is being removed */
    struct state *updated;
    size_t group;
    double *solved; /* [rows of the unit, width + outputs]: (C^-1_SS)^-1 (C^-1_S: | W_S) */
    size_t *rows;   /* of the unit */
    size_t row_count;
};

/* --- inverses --- */

static enum rc invert(struct state *s, const struct moments_layer *m, size_t group, struct err *err) {
    size_t n = s->reading.layer.rows.width;
    double *c = s->inverse + group * n * n, count = m->count ? (double)m->count : 1, mean = 0, square = 0;
    const double *sums = m->sums + group * n, *products = m->products + group * n * n;
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++) {
            c[i * n + j] = products[i * n + j] / count - sums[i] / count * (sums[j] / count);
        }
        mean += c[i * n + i] / (double)n;
        square += products[i * n + i] / count / (double)n;
    }
    /* Products were summed as float32: of inputs that hardly vary, that rounding is most of C. */
    double least = rounding * FLT_EPSILON * (double)n * square, more = fmax(damping * mean, least);
    for (size_t i = 0; i < n; i++) {
        c[i * n + i] += more > 0 ? more : 1;
    }
    if (LAPACKE_dpotrf(LAPACK_ROW_MAJOR, 'L', (lapack_int)n, c, (lapack_int)n) != 0 ||
        LAPACKE_dpotri(LAPACK_ROW_MAJOR, 'L', (lapack_int)n, c, (lapack_int)n) != 0) {
        return err_set(err, RC_INPUT, "what \"%.160s\" holds has no covariance: it is not finite",
                       m->rows.input->name);
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < i; j++) {
            c[j * n + i] = c[i * n + j];
        }
    }
    return RC_OK;
}

/* Variance of all outputs: tr(W^T C W), with the rows of C^-1 not yet made. */
static double variance(const struct state *s, const struct moments_layer *m, size_t group) {
    size_t n = s->reading.layer.rows.width, k = s->reading.layer.outputs;
    const double *w = s->weights + group * n * k, *sums = m->sums + group * n;
    double count = m->count ? (double)m->count : 1, sum = 0;
    double *image = malloc((n * k + 1) * sizeof(*image)), *mean = calloc(k + 1, sizeof(*mean));
    if (image && mean) {
        cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)n, (int)k, (int)n, 1 / count,
                    m->products + group * n * n, (int)n, w, (int)k, 0, image, (int)k);
        for (size_t i = 0; i < n; i++) {
            for (size_t o = 0; o < k; o++) {
                sum += image[i * k + o] * w[i * k + o];
                mean[o] += sums[i] / count * w[i * k + o];
            }
        }
        for (size_t o = 0; o < k; o++) {
            sum -= mean[o] * mean[o];
        }
    }
    free(image);
    free(mean);
    return sum > 0 ? sum : 0;
}

static enum rc state_init(struct state *s, const struct graph *g, const struct moments_layer *m,
                          struct err *err) {
    const struct product_layer *l = &s->reading.layer;
    size_t n = l->rows.width, k = l->outputs, groups = l->rows.groups, count;
    float *values;
    s->inverse = malloc((groups * n * n + 1) * sizeof(double));
    s->weights = malloc((groups * n * k + 1) * sizeof(double));
    enum rc rc = s->inverse && s->weights ? graph_tensor_floats(g, l->weights.tensor, &values, &count, err)
                                          : err_memory(err);
    if (rc != RC_OK) {
        return rc;
    }
    for (size_t group = 0; group < groups; group++) {
        for (size_t i = 0; i < n; i++) {
            for (size_t o = 0; o < k; o++) {
                s->weights[(group * n + i) * k + o] = (double)values[product_layer_at(l, group, o, i)];
            }
        }
    }
    free(values);
    for (size_t group = 0; group < groups && rc == RC_OK; group++) {
        s->total += variance(s, m, group);
        rc = invert(s, m, group, err);
    }
    return rc;
}

static void states_release(struct family *f) {
    for (size_t i = 0; i < f->state_count; i++) {
        free(f->states[i].inverse);
        free(f->states[i].weights);
    }
    free(f->states);
}

/* --- costs --- */

/* The factor of (C^-1)_SS in `square`; false when rounding has used it up. */
static bool factor(const struct state *s, size_t group, const size_t *rows, size_t count, double *square) {
    size_t n = s->reading.layer.rows.width;
    const double *c = s->inverse + group * n * n;
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < count; j++) {
            square[i * count + j] = c[rows[i] * n + rows[j]];
        }
    }
    return LAPACKE_dpotrf(LAPACK_ROW_MAJOR, 'L', (lapack_int)count, square, (lapack_int)count) == 0;
}

/* Sum over outputs of w_S^T (C^-1_SS)^-1 w_S = |L^-1 w_S|^2. */
static double cost_in(const struct state *s, size_t group, const size_t *rows, size_t count, double *square,
                      double *part) {
    size_t n = s->reading.layer.rows.width, k = s->reading.layer.outputs;
    double sum = 0;
    if (count == 0 || !factor(s, group, rows, count, square)) {
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        memcpy(part + i * k, s->weights + (group * n + rows[i]) * k, k * sizeof(*part));
    }
    cblas_dtrsm(CblasRowMajor, CblasLeft, CblasLower, CblasNoTrans, CblasNonUnit, (int)count, (int)k, 1,
                square, (int)count, part, (int)k);
    for (size_t i = 0; i < count * k; i++) {
        sum += part[i] * part[i];
    }
    return sum;
}

static enum rc cost_of(void *user, size_t item, size_t thread, struct err *err) {
    struct family *f = user;
    double sum = 0;
    (void)thread;
    if (isinf(f->costs[item])) {
        return RC_OK;
    }
    for (size_t i = 0; i < f->state_count; i++) {
        const struct state *s = &f->states[i];
        size_t width = s->reading.layer.rows.width;
        size_t *rows = malloc((width + 1) * sizeof(*rows));
        double own = 0;
        for (size_t group = 0; rows && group < s->reading.layer.rows.groups; group++) {
            size_t count = channel_reading_rows(&s->reading, group, f->which->first + (uint32_t)item, rows);
            double *square = malloc((count * count + 1) * sizeof(*square));
            double *part = malloc((count * s->reading.layer.outputs + 1) * sizeof(*part));
            if (!square || !part) {
                free(square);
                free(part);
                free(rows);
                return err_memory(err);
            }
            own += cost_in(s, group, rows, count, square, part);
            free(square);
            free(part);
        }
        if (!rows) {
            return err_memory(err);
        }
        free(rows);
        sum += s->total > 0 ? own / s->total : 0;
    }
    f->costs[item] = sum;
    return RC_OK;
}

/* --- removing --- */

/* One block of rows of C^-1 and W. */
static enum rc update_block(void *user, size_t item, size_t thread, struct err *err) {
    struct family *f = user;
    struct state *s = f->updated;
    size_t n = s->reading.layer.rows.width, k = s->reading.layer.outputs, r = f->row_count;
    size_t first = item * BLOCK, count = n - first < BLOCK ? n - first : BLOCK;
    double *c = s->inverse + f->group * n * n, *w = s->weights + f->group * n * k;
    double *column = malloc((count * r + 1) * sizeof(*column));
    (void)thread;
    if (!column) {
        return err_memory(err);
    }
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < r; j++) {
            column[i * r + j] = c[(first + i) * n + f->rows[j]];
        }
    }
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)count, (int)n, (int)r, -1, column, (int)r,
                f->solved, (int)(n + k), 1, c + first * n, (int)n);
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)count, (int)k, (int)r, -1, column, (int)r,
                f->solved + n, (int)(n + k), 1, w + first * k, (int)k);
    free(column);
    return RC_OK;
}

static enum rc eliminate_in(struct family *f, struct state *s, size_t group, struct err *err) {
    size_t n = s->reading.layer.rows.width, k = s->reading.layer.outputs;
    f->rows = malloc((n + 1) * sizeof(*f->rows));
    f->row_count = f->rows ? channel_reading_rows(&s->reading, group, f->gone, f->rows) : 0;
    size_t r = f->row_count;
    double *square = malloc((r * r + 1) * sizeof(*square));
    f->solved = malloc((r * (n + k) + 1) * sizeof(*f->solved));
    f->updated = s;
    f->group = group;
    enum rc rc = f->rows && square && f->solved ? RC_OK : err_memory(err);
    if (rc == RC_OK && r && factor(s, group, f->rows, r, square)) {
        for (size_t i = 0; i < r; i++) {
            memcpy(f->solved + i * (n + k), s->inverse + (group * n + f->rows[i]) * n, n * sizeof(double));
            memcpy(f->solved + i * (n + k) + n, s->weights + (group * n + f->rows[i]) * k,
                   k * sizeof(double));
        }
        if (LAPACKE_dpotrs(LAPACK_ROW_MAJOR, 'L', (lapack_int)r, (lapack_int)(n + k), square, (lapack_int)r,
                           f->solved, (lapack_int)(n + k)) == 0) {
            rc = parallel_for(f->job->threads, (n + BLOCK - 1) / BLOCK, update_block, f, err);
        }
    }
    free(f->rows);
    free(square);
    free(f->solved);
    return rc;
}

static enum rc eliminate(struct family *f, uint32_t unit, struct err *err) {
    enum rc rc = RC_OK;
    f->gone = unit;
    for (size_t i = 0; i < f->state_count && rc == RC_OK; i++) {
        for (size_t group = 0; group < f->states[i].reading.layer.rows.groups && rc == RC_OK; group++) {
            rc = eliminate_in(f, &f->states[i], group, err);
        }
    }
    return rc;
}

static uint32_t cheapest(const struct family *f) {
    uint32_t best = 0;
    for (uint32_t u = 1; u < f->which->count; u++) {
        best = f->costs[u] < f->costs[best] ? u : best;
    }
    return best;
}

/* A unit's score is what its removal cost, at least what those before it cost; units that are left come after
 * them. */
static enum rc run(struct family *f, double most, double *scores, struct err *err) {
    uint32_t count = f->which->count, removed = 0, stop = (uint32_t)ceil(most * count);
    uint32_t step = count / STEPS ? count / STEPS : 1;
    double last = 0;
    stop = stop < count ? stop : count - 1;
    enum rc rc = parallel_for(f->job->threads, count, cost_of, f, err);
    while (removed < stop && rc == RC_OK) {
        for (uint32_t i = 0; i < step && removed < stop && rc == RC_OK; i++, removed++) {
            uint32_t u = cheapest(f);
            last = fmax(last, f->costs[u]);
            scores[f->which->first + u] = last;
            f->costs[u] = INFINITY;
            rc = eliminate(f, f->which->first + u, err);
        }
        rc = rc != RC_OK ? rc : parallel_for(f->job->threads, count, cost_of, f, err);
    }
    for (uint32_t u = 0; u < count; u++) {
        if (!isinf(f->costs[u])) {
            scores[f->which->first + u] = fmax(last, f->costs[u]) * (1 + 1e-9) + 1e-30;
        }
    }
    return rc;
}

/* --- a family --- */

static enum rc prepare(struct family *f, double from, double to, struct err *err) {
    const struct graph_node **nodes = calloc(f->state_count + 1, sizeof(struct graph_node *));
    const struct moments_opts opts = {
        .observe = {.from = from, .to = to, .text = "observing what layers read"}, .max_rows = ROWS_MAX};
    struct moments *m = NULL;
    for (size_t i = 0; nodes && i < f->state_count; i++) {
        nodes[i] = f->states[i].reading.layer.node;
    }
    enum rc rc = nodes ? moments_run(f->job, nodes, f->state_count, &opts, &m, err) : err_memory(err);
    for (size_t i = 0; i < f->state_count && rc == RC_OK; i++) {
        rc = state_init(&f->states[i], f->job->graph, moments_at(m, i), err);
    }
    moments_free(m);
    free(nodes);
    return rc;
}

enum rc channel_score_eliminate(struct compress_job *job, const struct channel_groups *groups, size_t family,
                                double most, double from, double to, double *scores, struct err *err) {
    struct family f = {.job = job, .groups = groups, .which = &groups->families[family]};
    f.states = calloc(groups->contraction_count + 1, sizeof(*f.states));
    f.costs = calloc(f.which->count + 1, sizeof(*f.costs));
    enum rc rc = f.states && f.costs ? RC_OK : err_memory(err);
    size_t bytes = 0;
    for (size_t i = 0; i < groups->contraction_count && rc == RC_OK; i++) {
        struct channel_reading r;
        if (channel_reading_of(job->graph, groups, i, &r) && channel_reading_has(&r, f.which)) {
            size_t more = moments_bytes(job->graph, r.layer.node);
            if (more > 0 && more <= MOMENTS_BYTES_MAX / 4 - bytes) { /* and as much again for the inverse */
                bytes += more;
                f.states[f.state_count++].reading = r;
            }
        }
    }
    if (rc == RC_OK && f.state_count == 0) {
        rc = record_note(
            job->record, err,
            "%s and what belongs to it: ranked by weights, as the layers that read it are too wide "
            "or of a kind that cannot be fitted",
            f.which->label);
    }
    parallel_keep_blas_single();
    if (rc == RC_OK && f.state_count) {
        rc = prepare(&f, from, to, err);
        rc = rc != RC_OK ? rc : run(&f, most, scores, err);
    }
    states_release(&f);
    free(f.costs);
    return rc;
}
