/* Magnitude pruning (Han et al. 2015, without retraining): a threshold for each tensor, or one for all of
 * them; within a pattern the largest of each group, or the tiles with the largest norms. */
#include "compressors/onnx/prune_magnitude.h"

#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/prune_layers.h"
#include "compressors/onnx/prune_loops.h"
#include "compressors/onnx/prune_select.h"
#include "core/recipes/recipe.h"

VECTOR_LOOPS static void apply(float *w, const uint8_t *keep, size_t count) {
    prune_apply(w, keep, count);
}

enum rc prune_magnitude_values(float *values, size_t count, double ratio, size_t *zeros, struct err *err) {
    const struct prune_span all = {values, count, NULL};
    struct prune_cut cut;
    enum rc rc = prune_select(&all, 1, (size_t)((double)count * ratio), &cut, err);
    *zeros = rc == RC_OK ? prune_cut_clear(&cut, values, count, values) : 0;
    return rc;
}

static enum rc prune_matrix(const struct recipe_step *step, const struct prune_pattern *pattern,
                            const struct prune_matrix *m, struct err *err) {
    size_t zeros, count = m->rows * m->columns;
    (void)step;
    if (pattern->shape == PRUNE_ANYWHERE) {
        return prune_magnitude_values(m->w, count, pattern->ratio, &zeros, err);
    }
    uint8_t *keep = malloc(count + 1);
    enum rc rc = keep ? prune_pattern_mask(pattern, m->w, m->rows, m->columns, keep, err) : err_memory(err);
    if (rc == RC_OK) {
        apply(m->w, keep, count);
    }
    free(keep);
    return rc;
}

/* One threshold for all layers: those with many small weights lose more. */
static enum rc prune_together(const struct prune_pattern *pattern, struct prune_layers *layers,
                              struct err *err) {
    struct prune_span *spans = calloc(layers->count + 1, sizeof(*spans));
    struct prune_cut cut;
    size_t total = 0;
    enum rc rc = spans ? RC_OK : err_memory(err);
    for (size_t i = 0; i < layers->count && rc == RC_OK; i++) {
        const struct weight_rows *r = &layers->items[i].rows;
        spans[i] = (struct prune_span){r->values, r->groups * r->rows * r->columns, NULL};
        total += spans[i].count;
    }
    rc = rc != RC_OK
             ? rc
             : prune_select(spans, layers->count, (size_t)((double)total * pattern->ratio), &cut, err);
    for (size_t i = 0; i < layers->count && rc == RC_OK; i++) {
        prune_cut_clear(&cut, spans[i].scores, spans[i].count, layers->items[i].rows.values);
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
