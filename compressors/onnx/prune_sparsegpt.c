#include "compressors/onnx/prune_sparsegpt.h"

#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/inverse_root.h"
#include "compressors/onnx/prune_layers.h"
#include "compressors/onnx/sparsegpt.h"
#include "core/recipes/recipe.h"

static enum rc prune_matrix(const struct recipe_step *step, const struct prune_pattern *pattern, float *w,
                            size_t rows, size_t columns, const double *h, struct err *err) {
    double damp = recipe_number(step, "damp");
    size_t count = rows * columns;
    double *root = malloc((columns * columns + 1) * sizeof(*root));
    double *work = malloc((count + 1) * sizeof(*work)), *original = malloc((count + 1) * sizeof(*original));
    enum rc rc = root && work && original ? inverse_root(h, columns, damp, root, err) : err_memory(err);
    for (size_t i = 0; i < count && rc == RC_OK; i++) {
        work[i] = original[i] = w[i];
    }
    rc = rc != RC_OK ? rc : sparsegpt_prune(work, rows, columns, root, pattern, err);
    if (rc == RC_OK) {
        rc = sparsegpt_refit(work, original, rows, columns, h, damp, err);
    }
    for (size_t i = 0; i < count && rc == RC_OK; i++) {
        w[i] = (float)work[i];
    }
    free(root);
    free(work);
    free(original);
    return rc;
}

enum rc prune_sparsegpt_compress(struct compress_job *job, const struct recipe_step *step, struct err *err) {
    struct prune_pattern pattern = prune_layers_pattern(step);
    struct prune_layers layers = {0};
    enum rc rc = prune_layers_find(job, step, &pattern, PRUNE_INPUTS_OBSERVED, &layers, err);
    rc = rc != RC_OK
             ? rc
             : prune_layers_run(job, step, &pattern, PRUNE_INPUTS_OBSERVED, prune_matrix, &layers, err);
    rc = rc != RC_OK ? rc : prune_layers_store(job, &pattern, &layers, err);
    prune_layers_release(&layers);
    return rc;
}
