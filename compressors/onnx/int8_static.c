/* int8_static.c -- post-training quantization with ranges from calibration (Jacob et al. 2018; Nagel et al.
 * 2021).
 *
 * The steps: fold batch normalization; plan which nodes compute with 8 bits; move outlier channels into the
 * weights; observe the activations they
 * need; leave out what 8 bits cannot hold, and plan again; write QuantizeLinear and DequantizeLinear around
 * what is left. */
#include "compressors/onnx/int8_static.h"

#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/calibration.h"
#include "compressors/onnx/graph.h"
#include "compressors/onnx/int8_embed.h"
#include "compressors/onnx/int8_emit.h"
#include "compressors/onnx/int8_plan.h"
#include "compressors/onnx/int8_smooth.h"
#include "compressors/onnx/passes.h"
#include "compressors/onnx/range.h"
#include "core/data/dataset.h"
#include "core/recipes/recipe.h"

struct options {
    enum range_type act;
    enum range_method method;
    double percent;
    enum int8_scales weights;
    bool smooth;
};

static enum rc read_options(const struct recipe_step *step, struct options *o, struct err *err) {
    o->act = strcmp(recipe_choice(step, "act"), "s8") == 0 ? RANGE_INT8 : RANGE_UINT8;
    o->weights = strcmp(recipe_choice(step, "weights"), "tensor") == 0 ? INT8_PER_TENSOR : INT8_PER_CHANNEL;
    o->smooth = strcmp(recipe_choice(step, "smooth"), "auto") == 0;
    o->percent = recipe_number(step, "percentile");
    if (!range_method_parse(recipe_choice(step, "calib"), &o->method)) {
        return err_set(err, RC_INPUT, "calib=%s is not known", recipe_choice(step, "calib"));
    }
    return RC_OK;
}

/* Ranges of all tensors of the plan. */
static enum rc observe(struct compress_job *job, const struct int8_plan *plan, struct calibration **ret,
                       struct err *err) {
    static const struct calibration_opts opts = {.max_examples = 0, .from = 0.3, .to = 0.9};
    struct calibration_target *targets = calloc(plan->tensor_count + 1, sizeof(*targets));
    if (!targets) {
        return err_memory(err);
    }
    for (size_t i = 0; i < plan->tensor_count; i++) {
        targets[i].name = plan->tensors[i].value->name;
        targets[i].watch = CALIBRATION_BINS;
    }
    enum rc rc = calibration_run(job, targets, plan->tensor_count, &opts, ret, err);
    free(targets);
    return rc;
}

static enum rc smooth(struct compress_job *job, const struct options *o, const struct int8_plan *plan,
                      struct err *err) {
    static const struct int8_smoothing how = {.search = true, .from = 0, .to = 0.3};
    size_t count = 0;
    if (!o->smooth || job->smoothed) {
        return RC_OK;
    }
    enum rc rc = int8_smooth(job, plan, &how, NULL, &count, err);
    return rc || count == 0
               ? rc
               : record_note(
                     job->record, err,
                     "%zu activations were rescaled by channel, with the inverse in the weights around them "
                     "(SmoothQuant): outliers would have cost accuracy",
                     count);
}

static enum rc ban_wrecked(const struct int8_plan *plan, const struct calibration *c, struct int8_ban *ban,
                           struct err *err) {
    for (size_t i = 0; i < plan->tensor_count; i++) {
        if (range_is_wrecked(calibration_stats(c, i))) {
            enum rc rc = int8_ban_add(ban, plan->tensors[i].value, err);
            if (rc) {
                return rc;
            }
        }
    }
    return RC_OK;
}

static enum rc choose_params(const struct int8_plan *plan, const struct int8_plan *observed,
                             const struct calibration *c, const struct options *o,
                             struct range_params *params, struct err *err) {
    for (size_t i = 0; i < plan->tensor_count; i++) {
        const struct int8_tensor *t = &plan->tensors[i];
        if (t->same_as != SIZE_MAX) { /* always an earlier tensor */
            params[i] = params[t->same_as];
            continue;
        }
        size_t at = int8_plan_find(observed, t->value);
        if (at == SIZE_MAX) {
            return err_set(err, RC_INTERNAL, "int8:static: \"%s\" was not observed", t->value->name);
        }
        float low = 0;
        float high = 0;
        range_choose(calibration_stats(c, at), o->method, o->percent, &low, &high);
        if (t->value->producer && graph_is_op(t->value->producer, "Clip")) {
            /* Strictly inside the bounds, whatever the rounding of the scale: else the runtime keeps the
             * Clip. */
            low *= 1 - 1e-6F;
            high *= 1 - 1e-6F;
        }
        params[i] = range_params_of(low, high, o->act);
    }
    return RC_OK;
}

static enum rc quantize(struct compress_job *job, const struct options *o, const struct int8_plan *plan,
                        const struct int8_plan *observed, const struct calibration *c, struct err *err) {
    struct range_params *params = calloc(plan->tensor_count + 1, sizeof(*params));
    if (!params) {
        return err_memory(err);
    }
    enum rc rc = choose_params(plan, observed, c, o, params, err);
    if (!rc) {
        struct int8_emit_opts opts = {.act = o->act, .weights = o->weights, .params = params};
        rc = int8_emit(job->graph, plan, &opts, job->record, err);
    }
    free(params);
    return rc;
}

static enum rc note_examples(struct compress_job *job, const struct calibration *c, struct err *err) {
    size_t used = calibration_examples(c);
    size_t all = dataset_count(job->calibration);
    return used >= all
               ? RC_OK
               : record_note(job->record, err,
                             "calibrated on %zu of %zu examples: a further round moved no range by 3 %%",
                             used, all);
}

/* What the type of activations means for the machines that the artifact may run on. */
static enum rc note_machine(struct compress_job *job, enum range_type act, struct err *err) {
    return act == RANGE_UINT8 ? record_note(job->record, err,
                                            "uint8 activations: on x86 CPUs with AVX2 but without VNNI the "
                                            "runtime's 16-bit sums can saturate; "
                                            "measure accuracy on such a machine")
                              : record_slow(job->record, err,
                                            "int8 activations suit ARM; on x86 the runtime multiplies them "
                                            "much more slowly than uint8");
}

enum rc int8_static_compress(struct compress_job *job, const struct recipe_step *step, struct err *err) {
    struct options o;
    struct int8_ban ban = {0};
    struct int8_plan wanted = {0};
    struct int8_plan plan = {0};
    struct calibration *c = NULL;
    enum rc rc = read_options(step, &o, err);
    if (!rc) {
        rc = int8_plan_prepare(job->graph, err);
    }
    if (!rc) {
        rc = int8_plan_make(job->graph, &ban, NULL, &wanted, err);
    }
    if (!rc && wanted.op_count == 0) {
        rc = err_set(err, RC_UNSUPPORTED,
                     "int8:static: the model has no Conv, Gemm or MatMul with constant float32 weights");
    }
    if (!rc) {
        rc = smooth(job, &o, &wanted, err);
    }
    if (!rc) {
        rc = observe(job, &wanted, &c, err);
    }
    if (!rc) {
        rc = note_examples(job, c, err);
    }
    if (!rc) {
        rc = ban_wrecked(&wanted, c, &ban, err);
    }
    if (!rc) {
        rc = int8_plan_make(job->graph, &ban, job->record, &plan, err);
    }
    if (!rc && plan.op_count == 0) {
        rc = err_set(
            err, RC_UNSUPPORTED,
            "int8:static: no activation of this model fits 8 bits (infinities, NaN or masks in all of them)");
    }
    if (!rc) {
        rc = quantize(job, &o, &plan, &wanted, c, err);
    }
    if (!rc) {
        rc = int8_embed_quantize(job->graph, job->record, err);
    }
    if (!rc) {
        rc = note_machine(job, o.act, err);
    }
    if (!rc) {
        rc = pass_remove_dead(job->graph, NULL, err);
    }
    calibration_free(c);
    int8_plan_release(&wanted);
    int8_plan_release(&plan);
    int8_ban_release(&ban);
    return rc;
}
