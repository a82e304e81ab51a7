/* Wanda (Sun et al. 2023): a weight's score is |w| ||x||, with ||x|| the norm of its input over the
 * calibration examples, and weights of one output compete with each other. Nothing else changes. */
#include "compressors/onnx/prune_wanda.h"

#include <math.h>
#include <stdlib.h>

#include "compressors/onnx/prune_layers.h"
#include "core/recipes/recipe.h"

/* The norms relative to the largest, so that no score overflows. */
static void score(const float *w, size_t rows, size_t columns, const double *norms, float *scores) {
    double most = 0;
    for (size_t c = 0; c < columns; c++) {
        most = fmax(most, norms[c]);
    }
    for (size_t i = 0; i < rows * columns; i++) {
        double size = fabs((double)w[i]);
        scores[i] = (float)(most > 0 ? size * (norms[i % columns] / most) : size);
    }
}

static enum rc choose(const struct prune_pattern *p, const float *scores, size_t rows, size_t columns,
                      uint8_t *keep, struct err *err) {
    enum rc rc = RC_OK;
    if (p->shape != PRUNE_ANYWHERE) {
        return prune_pattern_mask(p, scores, rows, columns, keep, err);
    }
    for (size_t r = 0; r < rows && rc == RC_OK; r++) {
        rc = prune_pattern_least(scores + r * columns, columns, p->ratio, keep + r * columns, err);
    }
    return rc;
}

enum rc prune_wanda_matrix(float *w, size_t rows, size_t columns, const double *norms,
                           const struct prune_pattern *pattern, struct err *err) {
    float *scores = malloc((rows * columns + 1) * sizeof(*scores));
    uint8_t *keep = malloc(rows * columns + 1);
    enum rc rc = scores && keep ? RC_OK : err_memory(err);
    if (rc == RC_OK) {
        score(w, rows, columns, norms, scores);
        rc = choose(pattern, scores, rows, columns, keep, err);
    }
    for (size_t i = 0; i < rows * columns && rc == RC_OK; i++) {
        w[i] = keep[i] ? w[i] : 0.0f;
    }
    free(scores);
    free(keep);
    return rc;
}

static enum rc prune_matrix(const struct recipe_step *step, const struct prune_pattern *pattern, float *w,
                            size_t rows, size_t columns, const double *h, const double *cross,
                            struct err *err) {
    double *norms = malloc((columns + 1) * sizeof(*norms));
    (void)step;
    (void)cross;
    if (!norms) {
        return err_memory(err);
    }
    for (size_t c = 0; c < columns; c++) {
        norms[c] = sqrt(h[c * columns + c]);
    }
    enum rc rc = prune_wanda_matrix(w, rows, columns, norms, pattern, err);
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
