#include "compressors/onnx/prune_channels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/channel_cut.h"
#include "compressors/onnx/channel_refit.h"
#include "compressors/onnx/channel_score.h"
#include "compressors/onnx/graph_shapes.h"
#include "compressors/onnx/model_compare.h"
#include "compressors/onnx/passes.h"
#include "core/recipes/recipe.h"

/* The check of the cut: examples, and how far outputs may be apart, as a part of the largest. Sums in another
 * order differ by 1e-7 to 1e-5; a wrong channel by far more. */
enum { CHECKED_EXAMPLES = 8 };
static const double most_error = 1e-3;

/* Rounding to multiples may take more than the ratio. */
static const double ranked_beyond = 0.1;

/* Parts of the progress. */
static const double found_at = 0.05, scored_at = 0.45, cut_at = 0.5;

struct pruning {
    struct compress_job *job;
    const struct recipe_step *step;
    struct graph_shapes *shapes;
    struct channel_groups *groups;
    double *scores; /* by unit */
    bool *remove;   /* by unit */
    char *original; /* packed */
    size_t original_size;
};

static void pruning_release(struct pruning *p) {
    channel_groups_free(p->groups);
    graph_shapes_free(p->shapes);
    free(p->scores);
    free(p->remove);
    free(p->original);
}

static enum rc prepare(struct pruning *p, struct err *err) {
    struct graph *g = p->job->graph;
    enum rc rc = pass_fold_constants(g, NULL, err);
    rc = rc != RC_OK ? rc : pass_fold_batchnorm(g, NULL, err);
    rc = rc != RC_OK ? rc : pass_remove_dead(g, NULL, err);
    rc = rc != RC_OK ? rc : graph_sort(g, err);
    rc = rc != RC_OK ? rc : graph_pack(g, &p->original, &p->original_size, err);
    rc = rc != RC_OK ? rc : graph_shapes_observe(g, p->job->calibration, &p->shapes, err);
    return rc != RC_OK ? rc : channel_groups_find(g, p->shapes, CHANNEL_TO_REMOVE, &p->groups, err);
}

/* Says what stays whole, and why. RC_UNSUPPORTED when that is everything. */
static enum rc report_refusals(const struct pruning *p, struct err *err) {
    const struct channel_groups *c = p->groups;
    enum rc rc = RC_OK;
    for (size_t i = 0; i < c->refusal_count && rc == RC_OK; i++) {
        const struct channel_refusal *r = &c->refusals[i];
        rc = record_left_alone(p->job->record, err, r->label, "its %u channels stay: %s%s%s", r->length,
                               r->node ? r->node : "", r->node ? " " : "", r->why);
    }
    if (rc != RC_OK || c->family_count) {
        return rc;
    }
    if (!c->refusal_count) {
        return err_set(err, RC_UNSUPPORTED, "no Conv, MatMul or Gemm with constant weights makes channels");
    }
    const struct channel_refusal *r = &c->refusals[0];
    return err_set(err, RC_UNSUPPORTED, "no channels can be removed; those of %.120s: %.120s%s%.200s",
                   r->label, r->node ? r->node : "", r->node ? " " : "", r->why);
}

static enum rc score(struct pruning *p, struct err *err) {
    p->scores = calloc(p->groups->unit_count + 1, sizeof(*p->scores));
    p->remove = calloc(p->groups->unit_count + 1, sizeof(*p->remove));
    if (!p->scores || !p->remove) {
        return err_memory(err);
    }
    const char *how = recipe_choice(p->step, "score");
    if (strcmp(how, "energy") == 0) {
        return channel_score_energy(p->job, p->groups, found_at, scored_at, p->scores, err);
    }
    enum rc rc = channel_score_l1(p->job->graph, p->groups, p->scores, err);
    if (rc == RC_OK && strcmp(how, "taylor") == 0) {
        return channel_score_taylor(p->job, p->groups, found_at, scored_at, p->scores, err);
    }
    bool eliminate = strcmp(how, "fit") == 0, ablate = strcmp(how, "loss") == 0;
    bool model = strcmp(recipe_choice(p->step, "scope"), "model") == 0;
    double most = model ? CHANNEL_MOST : fmin(1, recipe_number(p->step, "ratio") + ranked_beyond);
    double span = (scored_at - found_at) / (double)p->groups->family_count;
    for (size_t i = 0; (eliminate || ablate) && i < p->groups->family_count && rc == RC_OK; i++) {
        double from = found_at + span * (double)i;
        if (eliminate) {
            rc = channel_score_eliminate(p->job, p->groups, i, most, from, from + span, p->scores, err);
        } else {
            rc = channel_score_loss(p->job, p->groups, i, p->scores, err);
            compress_progress(p->job, from + span, "switching channels off");
        }
    }
    return rc;
}

static enum rc choose(struct pruning *p, struct err *err) {
    struct channel_choice how = {.ratio = recipe_number(p->step, "ratio"),
                                 .multiple = recipe_int(p->step, "round"),
                                 .global = strcmp(recipe_choice(p->step, "scope"), "model") == 0};
    const struct channel_groups *c = p->groups;
    size_t removed = channel_choose(c, p->scores, &how, p->remove);
    enum rc rc = RC_OK;
    for (size_t i = 0; i < c->family_count && rc == RC_OK; i++) {
        const struct channel_family *f = &c->families[i];
        uint32_t kept = 0;
        for (uint32_t u = f->first; u < f->first + f->count; u++) {
            kept += !p->remove[u];
        }
        if (kept == f->count) {
            rc = record_left_alone(p->job->record, err, f->label,
                                   "its %u channels stay: no smaller multiple of %lld is near the ratio",
                                   f->count * f->stride, (long long)how.multiple);
        } else {
            rc = record_changed(p->job->record, err, f->label, "%u of %u channels are left%s",
                                kept * f->stride, f->count * f->stride,
                                f->stride > 1 ? ", in whole heads or groups" : "");
        }
    }
    if (rc != RC_OK || removed) {
        return rc;
    }
    return err_set(
        err, RC_UNSUPPORTED,
        "no layer is wide enough to lose channels and keep a multiple of %lld: try a smaller round=",
        (long long)how.multiple);
}

/* Cuts, and proves that nothing but the chosen channels is gone. */
static enum rc cut(struct pruning *p, struct err *err) {
    struct graph *g = p->job->graph;
    char *masked = NULL, *small = NULL;
    size_t masked_size = 0, small_size = 0;
    double error = 0;
    enum rc rc = channel_mask(g, p->groups, p->remove, err);
    rc = rc != RC_OK ? rc : graph_pack(g, &masked, &masked_size, err);
    rc = rc != RC_OK ? rc : channel_cut(g, p->groups, p->remove, err);
    rc = rc != RC_OK ? rc : graph_pack(g, &small, &small_size, err);
    if (rc == RC_OK) {
        struct model_bytes a = {masked, masked_size}, b = {small, small_size};
        rc = model_compare(&a, &b, p->job->calibration, CHECKED_EXAMPLES, &error, err);
    }
    free(masked);
    free(small);
    if (rc != RC_OK || error <= most_error) {
        return rc;
    }
    return err_set(
        err, RC_INTERNAL,
        "the model without its channels differs by %.3g from the one with them at zero: this graph "
        "cannot be pruned, and should have been refused",
        error);
}

static enum rc prune(struct pruning *p, struct err *err) {
    enum rc rc = prepare(p, err);
    rc = rc != RC_OK ? rc : report_refusals(p, err);
    if (rc != RC_OK) {
        return rc;
    }
    compress_progress(p->job, found_at, "scoring channels");
    rc = score(p, err);
    rc = rc != RC_OK ? rc : choose(p, err);
    rc = rc != RC_OK ? rc : cut(p, err);
    if (rc != RC_OK || strcmp(recipe_choice(p->step, "refit"), "none") == 0) {
        return rc;
    }
    struct refit_job r = {.job = p->job,
                          .original = p->original,
                          .original_size = p->original_size,
                          .groups = p->groups,
                          .removed = p->remove,
                          .from = cut_at,
                          .to = 1};
    rc = channel_refit(&r, err);
    return rc != RC_OK ? rc : pass_remove_dead(p->job->graph, NULL, err);
}

enum rc prune_channels_compress(struct compress_job *job, const struct recipe_step *step, struct err *err) {
    struct pruning p = {.job = job, .step = step};
    if (!job->calibration) {
        return err_set(err, RC_INPUT,
                       "prune:channels needs calibration examples: give a dataset to calibrate with");
    }
    enum rc rc = prune(&p, err);
    pruning_release(&p);
    return rc;
}
