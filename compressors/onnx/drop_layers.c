#include "compressors/onnx/drop_layers.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/graph_shapes.h"
#include "compressors/onnx/output_distance.h"
#include "compressors/onnx/passes.h"
#include "compressors/onnx/residual_blocks.h"
#include "core/recipes/recipe.h"

enum { EXAMPLES = 64 };

struct dropping {
    struct compress_job *job;
    struct residual_blocks blocks;
    bool *dropped; /* by block */
    char *original;
    size_t original_size;
    struct output_reference *reference; /* what the original gives */
};

/* A copy of the original without the dropped blocks and without `also` (SIZE_MAX: none). *is_new: `also` was
 * still there. */
static enum rc make_without(const struct dropping *d, size_t also, struct graph **ret, bool *is_new,
                            struct err *err) {
    struct graph *g = NULL;
    bool there = true;
    enum rc rc = graph_parse(d->original, d->original_size, &g, err);
    for (size_t i = 0; i < d->blocks.count && rc == RC_OK; i++) {
        if (d->dropped[i]) {
            rc = residual_block_drop(g, &d->blocks.list[i], &there, err);
        }
    }
    if (rc == RC_OK && also != SIZE_MAX) {
        rc = residual_block_drop(g, &d->blocks.list[also], is_new, err);
    }
    if (rc != RC_OK) {
        graph_free(g);
        return rc;
    }
    *ret = g;
    return RC_OK;
}

/* How far the outputs move without block i too; infinite when it is gone already. */
static enum rc measure(const struct dropping *d, size_t i, double *distance, struct err *err) {
    struct graph *g = NULL;
    char *data = NULL;
    size_t size = 0;
    bool is_new = false;
    *distance = INFINITY;
    enum rc rc = make_without(d, i, &g, &is_new, err);
    if (rc != RC_OK || !is_new) {
        graph_free(rc == RC_OK ? g : NULL);
        return rc;
    }
    rc = graph_pack(g, &data, &size, err);
    graph_free(g);
    rc = rc != RC_OK ? rc : output_reference_distance(d->reference, data, size, distance, err);
    free(data);
    return rc;
}

/* Drops the block whose loss moves the outputs least. *found: there was one. */
static enum rc drop_next(struct dropping *d, double from, double to, bool *found, struct err *err) {
    size_t best = SIZE_MAX;
    double least = INFINITY;
    enum rc rc = RC_OK;
    for (size_t i = 0; i < d->blocks.count && rc == RC_OK; i++) {
        double distance = INFINITY;
        rc = d->dropped[i] ? RC_OK : measure(d, i, &distance, err);
        if (distance < least) {
            least = distance;
            best = i;
        }
        compress_progress(d->job, from + (to - from) * (double)(i + 1) / (double)d->blocks.count,
                          "measuring what each block does");
    }
    *found = best != SIZE_MAX;
    if (rc != RC_OK || !*found) {
        return rc;
    }
    d->dropped[best] = true;
    return record_changed(d->job->record, err, d->blocks.list[best].label,
                          "the residual block that ends here is dropped: outputs move by %.2f %% in all",
                          100 * least);
}

static enum rc drop_all(struct dropping *d, size_t wanted, struct err *err) {
    enum rc rc = RC_OK;
    bool found = true;
    for (size_t k = 0; k < wanted && found && rc == RC_OK; k++) {
        rc = drop_next(d, (double)k / (double)wanted, (double)(k + 1) / (double)wanted, &found, err);
    }
    for (size_t i = 0; i < d->blocks.count && rc == RC_OK; i++) {
        bool there;
        rc = d->dropped[i] ? residual_block_drop(d->job->graph, &d->blocks.list[i], &there, err) : RC_OK;
    }
    return rc;
}

static enum rc prepare(struct dropping *d, struct err *err) {
    struct graph *g = d->job->graph;
    struct graph_shapes *shapes = NULL;
    enum rc rc = pass_fold_constants(g, NULL, err);
    rc = rc != RC_OK ? rc : pass_remove_dead(g, NULL, err);
    rc = rc != RC_OK ? rc : graph_sort(g, err);
    rc = rc != RC_OK ? rc : graph_pack(g, &d->original, &d->original_size, err);
    rc = rc != RC_OK ? rc : graph_shapes_observe(g, d->job->calibration, &shapes, err);
    rc = rc != RC_OK ? rc : residual_blocks_find(g, shapes, &d->blocks, err);
    graph_shapes_free(shapes);
    if (rc == RC_OK && d->blocks.count == 0) {
        return err_set(
            err, RC_UNSUPPORTED,
            "the model has no residual blocks: no Add of a value and what layers make of it, of the "
            "same shape");
    }
    d->dropped = calloc(d->blocks.count + 1, sizeof(*d->dropped));
    if (rc == RC_OK && !d->dropped) {
        return err_memory(err);
    }
    return rc != RC_OK ? rc
                       : output_reference_new(d->original, d->original_size, d->job->calibration, EXAMPLES,
                                              &d->reference, err);
}

enum rc drop_layers_compress(struct compress_job *job, const struct recipe_step *step, struct err *err) {
    struct dropping d = {.job = job};
    if (!job->calibration) {
        return err_set(err, RC_INPUT,
                       "prune:layers needs calibration examples: give a dataset to calibrate with");
    }
    enum rc rc = prepare(&d, err);
    if (rc == RC_OK) {
        size_t wanted = (size_t)floor(recipe_number(step, "ratio") * (double)d.blocks.count + 0.5);
        rc = drop_all(&d, wanted ? wanted : 1, err);
    }
    output_reference_free(d.reference);
    residual_blocks_release(&d.blocks);
    free(d.dropped);
    free(d.original);
    return rc;
}
