/* Wanda (Sun et al. 2023): a weight's score is |w| ||x||, with ||x|| the norm of its input over the
 * calibration examples, and weights of one output compete with each other. Nothing else changes. */
#include "compressors/onnx/prune_wanda.h"

#include <math.h>
#include <stdlib.h>

#include "compressors/onnx/prune_layers.h"
#include "compressors/onnx/prune_loops.h"
#include "compressors/onnx/prune_select.h"
#include "core/recipes/recipe.h"

VECTOR_LOOPS static void score(const float *w, const double *sizes, size_t n, float *scores) {
    prune_score(w, sizes, n, scores);
}

VECTOR_LOOPS static void apply(float *w, const uint8_t *keep, size_t n) {
    prune_apply(w, keep, n);
}

VECTOR_LOOPS static void clear_fours(const float *scores, size_t fours, int32_t kept, float *w) {
    prune_clear_fours(scores, fours, kept, w);
}

/* The norms relative to the largest, so that no score overflows. Owned by the caller; NULL: no memory. */
static double *relative(const double *norms, size_t columns) {
    double *sizes = malloc((columns + 1) * sizeof(*sizes)), most = 0;
    for (size_t c = 0; c < columns; c++) {
        most = fmax(most, norms[c]);
    }
    for (size_t c = 0; sizes && c < columns; c++) {
        sizes[c] = most > 0 ? norms[c] / most : 1;
    }
    return sizes;
}

/* The weights of one output compete with each other. scores [columns] is scratch memory. */
static enum rc prune_row(float *w, size_t columns, const double *sizes, double ratio, float *scores,
                         struct err *err) {
    const struct prune_span row = {scores, columns, NULL};
    struct prune_cut cut;
    score(w, sizes, columns, scores);
    enum rc rc = prune_select(&row, 1, (size_t)((double)columns * ratio), &cut, err);
    if (rc == RC_OK) {
        prune_cut_clear(&cut, scores, columns, w);
    }
    return rc;
}

/* `rows` rows by a pattern. scores, keep [rows, columns] are scratch memory. */
static enum rc prune_rows(float *w, size_t rows, size_t columns, const double *sizes,
                          const struct prune_pattern *p, float *scores, uint8_t *keep, struct err *err) {
    for (size_t r = 0; r < rows; r++) {
        score(w + r * columns, sizes, columns, scores + r * columns);
    }
    if (p->shape == PRUNE_N_OF_M && p->m == 4) { /* the common one: no marks */
        enum rc finite = prune_check_finite(scores, rows * columns, err);
        if (finite == RC_OK) {
            clear_fours(scores, rows * columns / 4, (int32_t)p->n, w);
        }
        return finite;
    }
    enum rc rc = prune_pattern_mask(p, scores, rows, columns, keep, err);
    if (rc == RC_OK) {
        apply(w, keep, rows * columns);
    }
    return rc;
}

enum rc prune_wanda_matrix(float *w, size_t rows, size_t columns, const double *norms,
                           const struct prune_pattern *pattern, struct err *err) {
    size_t turn = pattern->shape == PRUNE_BLOCKS ? rows : 1; /* rows that are chosen together */
    double *sizes = relative(norms, columns);
    float *scores = malloc((turn * columns + 1) * sizeof(*scores));
    uint8_t *keep = malloc(turn * columns + 1);
    enum rc rc = sizes && scores && keep ? RC_OK : err_memory(err);
    for (size_t r = 0; r < rows && rc == RC_OK; r += turn) {
        float *row = w + r * columns;
        rc = pattern->shape == PRUNE_ANYWHERE
                 ? prune_row(row, columns, sizes, pattern->ratio, scores, err)
                 : prune_rows(row, turn, columns, sizes, pattern, scores, keep, err);
    }
    free(sizes);
    free(scores);
    free(keep);
    return rc;
}

static enum rc prune_matrix(const struct recipe_step *step, const struct prune_pattern *pattern,
                            const struct prune_matrix *m, struct err *err) {
    double *norms = malloc((m->columns + 1) * sizeof(*norms));
    (void)step;
    if (!norms) {
        return err_memory(err);
    }
    for (size_t c = 0; c < m->columns; c++) {
        norms[c] = sqrt(m->h[c * m->columns + c]);
    }
    enum rc rc = prune_wanda_matrix(m->w, m->rows, m->columns, norms, pattern, err);
    free(norms);
    return rc;
}

enum rc prune_wanda_compress(struct compress_job *job, const struct recipe_step *step, struct err *err) {
    struct prune_pattern pattern = prune_layers_pattern(step);
    struct prune_layers layers = {0};
    enum rc rc = prune_layers_find(job, step, &pattern, PRUNE_INPUTS_OBSERVED, &layers, err);
    rc = rc != RC_OK
             ? rc
             : prune_layers_run(job, step, &pattern, PRUNE_INPUTS_OBSERVED, prune_matrix, NULL, &layers, err);
    rc = rc != RC_OK ? rc : prune_layers_store(job, &pattern, &layers, err);
    prune_layers_release(&layers);
    return rc;
}
