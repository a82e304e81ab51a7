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

#include "compressors/onnx/graph.h"
#include "compressors/onnx/int8_embed.h"
#include "compressors/onnx/int8_emit.h"
#include "compressors/onnx/int8_plan.h"
#include "compressors/onnx/int8_smooth.h"
#include "compressors/onnx/passes.h"
#include "core/data/dataset.h"
#include "core/recipes/recipe.h"

static enum rc read_options(const struct recipe_step *step, struct int8_static_opts *o, struct err *err) {
    o->range.act = strcmp(recipe_choice(step, "act"), "s8") == 0 ? RANGE_INT8 : RANGE_UINT8;
    o->range.percent = recipe_number(step, "percentile");
    o->weights = strcmp(recipe_choice(step, "weights"), "tensor") == 0 ? INT8_PER_TENSOR : INT8_PER_CHANNEL;
    if (!range_method_parse(recipe_choice(step, "calib"), &o->range.method)) {
        return err_set(err, RC_INPUT, "calib=%s is not known", recipe_choice(step, "calib"));
    }
    return RC_OK;
}

static enum rc smooth(struct compress_job *job, const struct recipe_step *step, const struct int8_plan *plan,
                      struct err *err) {
    static const struct int8_smoothing how = {.search = true, .from = 0, .to = 0.3};
    size_t count = 0;
    if (job->smoothed || strcmp(recipe_choice(step, "smooth"), "none") == 0) {
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

static enum rc emit(struct graph *g, const struct int8_ranges *ranges, const struct int8_static_opts *o,
                    const struct int8_plan *plan, struct record *record, struct err *err) {
    struct range_params *params = calloc(plan->tensor_count + 1, sizeof(*params));
    if (!params) {
        return err_memory(err);
    }
    enum rc rc = int8_ranges_params(ranges, plan, &o->range, params, err);
    if (!rc) {
        struct int8_emit_opts opts = {.act = o->range.act, .weights = o->weights, .params = params};
        rc = int8_emit(g, plan, &opts, record, err);
    }
    free(params);
    return rc;
}

static enum rc correct_biases(struct graph *g, const struct int8_static_opts *o, struct int8_plan *plan,
                              struct record *record, struct err *err) {
    size_t count = 0;
    enum rc rc = int8_bias_correct(g, plan, o->means, o->weights, &count, err);
    return rc ? rc
              : record_note(record, err,
                            "the biases of %zu layers make up for what rounding their weights does to the "
                            "mean of the outputs; layers without one are left",
                            count);
}

enum rc int8_static_write(struct graph *g, const struct int8_ranges *ranges, const struct int8_static_opts *o,
                          struct int8_ban *ban, struct record *record, struct record *left_alone,
                          size_t *count, struct err *err) {
    struct int8_plan plan = {0};
    enum rc rc = int8_ranges_ban(ranges, g, ban, err);
    if (!rc) {
        rc = int8_plan_make(g, ban, left_alone, &plan, err);
    }
    *count = plan.op_count;
    if (!rc && o->means) {
        rc = correct_biases(g, o, &plan, record, err);
    }
    if (!rc && plan.op_count > 0) {
        rc = emit(g, ranges, o, &plan, record, err);
    }
    if (!rc) {
        rc = int8_embed_quantize(g, ban, record, err);
    }
    int8_plan_release(&plan);
    return rc;
}

static enum rc note_examples(struct compress_job *job, const struct int8_ranges *ranges, struct err *err) {
    size_t used = int8_ranges_examples(ranges);
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
    struct int8_static_opts o = {.means = NULL};
    struct int8_ban ban = {0};
    struct int8_plan plan = {0};
    struct int8_ranges *ranges = NULL;
    struct int8_means *means = NULL;
    size_t count = 0;
    enum rc rc = read_options(step, &o, err);
    if (!rc) {
        rc = int8_plan_prepare(job->graph, err);
    }
    if (!rc) {
        rc = int8_plan_make(job->graph, &ban, NULL, &plan, err);
    }
    if (!rc && plan.op_count == 0) {
        rc = err_set(err, RC_UNSUPPORTED,
                     "int8:static: the model has no Conv, Gemm or MatMul with constant float32 weights");
    }
    if (!rc) {
        rc = smooth(job, step, &plan, err);
    }
    if (!rc) {
        rc = int8_ranges_observe(job, &plan, 0.3, 0.8, &ranges, err);
    }
    if (!rc) {
        rc = note_examples(job, ranges, err);
    }
    if (!rc && recipe_flag(step, "biascorrect")) {
        rc = int8_means_observe(job, &plan, 0.8, 0.9, &means, err);
        o.means = means;
    }
    if (!rc) {
        rc = int8_static_write(job->graph, ranges, &o, &ban, job->record, job->record, &count, err);
    }
    if (!rc && count == 0) {
        rc = err_set(
            err, RC_UNSUPPORTED,
            "int8:static: no activation of this model fits 8 bits (infinities, NaN or masks in all of them)");
    }
    if (!rc) {
        rc = note_machine(job, o.range.act, err);
    }
    if (!rc) {
        rc = pass_remove_dead(job->graph, NULL, err);
    }
    int8_ranges_free(ranges);
    int8_means_free(means);
    int8_plan_release(&plan);
    int8_ban_release(&ban);
    return rc;
}
