/* smoothquant.c -- "SmoothQuant: accurate and efficient post-training quantization for large language models"
 * (Xiao et al. 2022), as a step by itself, so that its strength can be chosen. int8:static does the same by
 * default, with the strength searched: the work is in int8_smooth.c. */
#include "compressors/onnx/smoothquant.h"

#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/int8_plan.h"
#include "compressors/onnx/int8_smooth.h"
#include "compressors/onnx/passes.h"
#include "core/recipes/recipe.h"

static struct int8_smoothing read_options(const struct recipe_step *step) {
    const char *alpha = recipe_choice(step, "alpha");
    struct int8_smoothing how = {.search = strcmp(alpha, "search") == 0, .from = 0, .to = 1};
    how.strength = how.search ? 0 : strtod(alpha, NULL);
    return how;
}

enum rc smoothquant_compress(struct compress_job *job, const struct recipe_step *step, struct err *err) {
    struct int8_smoothing how = read_options(step);
    struct int8_ban ban = {0};
    struct int8_plan plan = {0};
    size_t count = 0;
    enum rc rc = int8_plan_prepare(job->graph, err);
    if (!rc) {
        rc = int8_plan_make(job->graph, &ban, NULL, &plan, err);
    }
    if (!rc) {
        rc = int8_smooth(job, &plan, &how, job->record, &count, err);
    }
    if (!rc && count == 0) {
        rc = err_set(
            err, RC_UNSUPPORTED,
            "there is nothing to rescale: no norm with constant weights, and no gate, is read by matrix "
            "products alone");
    }
    if (!rc) {
        rc = pass_remove_dead(job->graph, NULL, err);
    }
    job->smoothed = true;
    int8_plan_release(&plan);
    return rc;
}
