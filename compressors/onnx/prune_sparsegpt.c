#include "compressors/onnx/prune_sparsegpt.h"

#include <cblas.h>
#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/channel_permute.h"
#include "compressors/onnx/class_weights.h"
#include "compressors/onnx/inverse_root.h"
#include "compressors/onnx/paired_moments.h"
#include "compressors/onnx/prune_admm.h"
#include "compressors/onnx/prune_layers.h"
#include "compressors/onnx/sparsegpt.h"
#include "core/recipes/recipe.h"

enum ending { ENDING_AS_PAPER, ENDING_REFIT };

/* The error of one row's output: (a - b) h (a - b)^T. */
static void row_errors(const double *a, const double *b, size_t rows, size_t n, const double *h, double *d,
                       double *room, double *errors) {
    for (size_t i = 0; i < rows * n; i++) {
        d[i] = a[i] - b[i];
    }
    cblas_dsymm(CblasRowMajor, CblasRight, CblasUpper, (int)rows, (int)n, 1, h, (int)n, d, (int)n, 0, room,
                (int)n);
    for (size_t r = 0; r < rows; r++) {
        errors[r] = cblas_ddot((int)n, d + r * n, 1, room + r * n, 1);
    }
}

/* Takes the rows of `other` that are better, where a pattern binds each row for itself; else all or none. */
static void take_better(double *w, const double *other, size_t rows, size_t n, const double *errors,
                        const double *other_errors, enum prune_shape shape) {
    double sum = 0;
    for (size_t r = 0; r < rows; r++) {
        sum += other_errors[r] - errors[r];
    }
    for (size_t r = 0; r < rows; r++) {
        if (shape == PRUNE_N_OF_M ? other_errors[r] < errors[r] : sum < 0) {
            memcpy(w + r * n, other + r * n, n * sizeof(*w));
        }
    }
}

/* Gives the weights that are left their best values, for SparseGPT's choice and for that of prune_admm.h, and
 * keeps the better. */
static enum rc finish(double *w, const double *original, size_t rows, size_t n, const double *h, double damp,
                      const struct prune_pattern *pattern, struct err *err) {
    size_t count = rows * n;
    double *other = malloc((count + 1) * sizeof(*other)), *d = malloc((count + 1) * sizeof(*d));
    double *room = malloc((count + 1) * sizeof(*room)), *errors = malloc((2 * rows + 1) * sizeof(*errors));
    enum rc rc =
        other && d && room && errors ? sparsegpt_refit(w, original, rows, n, h, damp, err) : err_memory(err);
    if (rc == RC_OK && count) {
        memcpy(other, original, count * sizeof(*other));
        rc = prune_admm(other, rows, n, h, pattern, err);
        rc = rc != RC_OK ? rc : sparsegpt_refit(other, original, rows, n, h, damp, err);
    }
    if (rc == RC_OK && count) {
        row_errors(w, original, rows, n, h, d, room, errors);
        row_errors(other, original, rows, n, h, d, room, errors + rows);
        take_better(w, other, rows, n, errors, errors + rows, pattern->shape);
    }
    free(other);
    free(d);
    free(room);
    free(errors);
    return rc;
}

static enum rc prune(const struct recipe_step *step, const struct prune_pattern *pattern,
                     const struct prune_matrix *m, enum ending ending, struct err *err) {
    double damp = recipe_number(step, "damp");
    size_t rows = m->rows, columns = m->columns, count = rows * columns;
    double *root = malloc((columns * columns + 1) * sizeof(*root));
    double *work = malloc((count + 1) * sizeof(*work)), *original = malloc((count + 1) * sizeof(*original));
    enum rc rc = root && work && original ? inverse_root(m->h, columns, damp, root, err) : err_memory(err);
    for (size_t i = 0; i < count && rc == RC_OK; i++) {
        original[i] = m->w[i];
    }
    rc = rc != RC_OK
             ? rc
             : paired_moments_target(original, rows, columns, m->h, m->cross, m->owed, damp, original, err);
    if (rc == RC_OK) {
        memcpy(work, original, count * sizeof(*work));
    }
    if (pattern->shape == PRUNE_ANYWHERE && pattern->ratio == 0) {
        ending = ENDING_AS_PAPER; /* nothing goes: `work` is the target */
    } else {
        rc = rc != RC_OK ? rc : sparsegpt_prune(work, rows, columns, root, pattern, err);
    }
    if (rc == RC_OK && ending == ENDING_REFIT) {
        rc = finish(work, original, rows, columns, m->h, damp, pattern, err);
    }
    for (size_t i = 0; i < count && rc == RC_OK; i++) {
        m->w[i] = (float)work[i];
    }
    free(root);
    free(work);
    free(original);
    return rc;
}

/* What is left of the weights is at last given the best values there are for the zeros chosen. */
static enum rc prune_matrix(const struct recipe_step *step, const struct prune_pattern *pattern,
                            const struct prune_matrix *m, struct err *err) {
    return prune(step, pattern, m, ENDING_REFIT, err);
}

/* The same without that, which takes longest. */
static enum rc probe_matrix(const struct recipe_step *step, const struct prune_pattern *pattern,
                            const struct prune_matrix *m, struct err *err) {
    return prune(step, pattern, m, ENDING_AS_PAPER, err);
}

/* The layer that gives the model's output stays dense, as in the paper, which prunes what is between the
 * embedding and the head: with n:m patterns (others can spare it by its ratio), or where it is asked for. Not
 * where it is all there is. */
static bool spares_head(const struct recipe_step *step, const struct prune_pattern *pattern) {
    const char *head = recipe_choice(step, "head");
    return strcmp(head, "auto") == 0 ? pattern->shape == PRUNE_N_OF_M : strcmp(head, "dense") == 0;
}

static void spare_head(const struct graph *g, struct prune_layers *layers) {
    for (size_t i = 0; i < layers->count && layers->count > 1; i++) {
        layers->items[i].dense = class_weights_is_last(g, layers->items[i].node);
    }
}

enum rc prune_sparsegpt_compress(struct compress_job *job, const struct recipe_step *step, struct err *err) {
    struct prune_pattern pattern = prune_layers_pattern(step);
    struct prune_layers layers = {0};
    bool together = pattern.shape == PRUNE_ANYWHERE && strcmp(recipe_choice(step, "scope"), "model") == 0;
    enum rc rc = RC_OK;
    if (pattern.shape == PRUNE_N_OF_M && strcmp(recipe_choice(step, "permute"), "on") == 0) {
        rc = channel_permute(job, pattern.n, pattern.m, spares_head(step, &pattern), err);
    }
    rc = rc != RC_OK ? rc : prune_layers_find(job, step, &pattern, PRUNE_INPUTS_PAIRED, &layers, err);
    if (rc == RC_OK && spares_head(step, &pattern)) {
        spare_head(job->graph, &layers);
    }
    rc = rc != RC_OK ? rc
                     : prune_layers_run(job, step, &pattern, PRUNE_INPUTS_PAIRED, prune_matrix,
                                        together ? probe_matrix : NULL, &layers, err);
    rc = rc != RC_OK ? rc : prune_layers_store(job, &pattern, &layers, err);
    prune_layers_release(&layers);
    return rc;
}
