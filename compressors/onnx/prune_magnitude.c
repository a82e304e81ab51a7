/* Magnitude pruning (Han et al. 2015, without retraining): a threshold for each tensor, or one for all of
 * them; within a pattern the largest of each group, or the tiles with the largest norms. */
#include "compressors/onnx/prune_magnitude.h"

#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/prune_layers.h"
#include "compressors/onnx/prune_pattern.h"
#include "compressors/onnx/vector.h"
#include "core/recipes/recipe.h"

VECTOR_LOOPS static void apply(float *w, const uint8_t *keep, size_t count) {
    for (size_t i = 0; i < count; i++) {
        w[i] = keep[i] ? w[i] : 0.0f;
    }
}

VECTOR_LOOPS static size_t count_zeros(const float *w, size_t count) {
    size_t zeros = 0;
    for (size_t i = 0; i < count; i++) {
        zeros += w[i] == 0.0f;
    }
    return zeros;
}

enum rc prune_magnitude_values(float *values, size_t count, double ratio, size_t *zeros, struct err *err) {
    uint8_t *keep = malloc(count + 1);
    if (!keep) {
        return err_memory(err);
    }
    enum rc rc = prune_pattern_least(values, count, ratio, keep, err);
    *zeros = 0;
    if (rc == RC_OK) {
        apply(values, keep, count);
        *zeros = count_zeros(values, count);
    }
    free(keep);
    return rc;
}

static enum rc prune_matrix(const struct recipe_step *step, const struct prune_pattern *pattern, float *w,
                            size_t rows, size_t columns, const double *h, const double *cross,
                            struct err *err) {
    uint8_t *keep = malloc(rows * columns + 1);
    (void)step;
    (void)cross;
    (void)h;
    if (!keep) {
        return err_memory(err);
    }
    enum rc rc = prune_pattern_mask(pattern, w, rows, columns, keep, err);
    if (rc == RC_OK) {
        apply(w, keep, rows * columns);
    }
    free(keep);
    return rc;
}

/* One threshold for all layers: those with many small weights lose more. */
static enum rc prune_together(const struct prune_pattern *pattern, struct prune_layers *layers,
                              struct err *err) {
    struct prune_span *spans = calloc(layers->count + 1, sizeof(*spans));
    enum rc rc = spans ? RC_OK : err_memory(err);
    for (size_t i = 0; i < layers->count && rc == RC_OK; i++) {
        const struct weight_rows *r = &layers->items[i].rows;
        spans[i].scores = r->values;
        spans[i].count = r->groups * r->rows * r->columns;
        spans[i].keep = malloc(spans[i].count + 1);
        rc = spans[i].keep ? RC_OK : err_memory(err);
    }
    rc = rc != RC_OK ? rc : prune_pattern_least_of(spans, layers->count, pattern->ratio, err);
    for (size_t i = 0; spans && i < layers->count; i++) {
        if (rc == RC_OK) {
            apply(layers->items[i].rows.values, spans[i].keep, spans[i].count);
        }
        free(spans[i].keep);
    }
    free(spans);
    return rc;
}

enum rc prune_magnitude_compress(struct compress_job *job, const struct recipe_step *step, struct err *err) {
    struct prune_pattern pattern = prune_layers_pattern(step);
    struct prune_layers layers = {0};
    bool together = strcmp(recipe_choice(step, "scope"), "model") == 0;
    if (together && pattern.shape == PRUNE_BLOCKS) {
        return err_set(err, RC_UNSUPPORTED, "scope=model is for weights one by one: leave out block");
    }
    enum rc rc = prune_layers_find(job, step, &pattern, PRUNE_INPUTS_UNKNOWN, &layers, err);
    if (rc == RC_OK) {
        rc = together ? prune_together(&pattern, &layers, err)
                      : prune_layers_run(job, step, &pattern, PRUNE_INPUTS_UNKNOWN, prune_matrix, NULL,
                                         &layers, err);
    }
    rc = rc != RC_OK ? rc : prune_layers_store(job, &pattern, &layers, err);
    prune_layers_release(&layers);
    return rc;
}
