#include "compressors/onnx/int8_ranges.h"

#include <stdlib.h>
#include <string.h>

#include "compressors/onnx/calibration.h"

struct int8_ranges {
    struct calibration *calibration; /* target i is names[i] */
    char **names;
    size_t count;
};

/* A copy of the names: the graph may change or go. */
static enum rc keep_names(struct int8_ranges *r, const struct int8_plan *plan,
                          struct calibration_target *targets, struct err *err) {
    for (size_t i = 0; i < plan->tensor_count; i++) {
        r->names[i] = strdup(plan->tensors[i].value->name);
        if (!r->names[i]) {
            return err_memory(err);
        }
        r->count = i + 1;
        targets[i].name = r->names[i];
        targets[i].watch = CALIBRATION_BINS;
    }
    return RC_OK;
}

enum rc int8_ranges_observe(struct compress_job *job, const struct int8_plan *plan, double from, double to,
                            struct int8_ranges **ret, struct err *err) {
    const struct calibration_opts opts = {.max_examples = 0, .from = from, .to = to};
    struct calibration_target *targets = calloc(plan->tensor_count + 1, sizeof(*targets));
    struct int8_ranges *r = calloc(1, sizeof(*r));
    if (r) {
        r->names = calloc(plan->tensor_count + 1, sizeof(*r->names));
    }
    enum rc rc = targets && r && r->names ? keep_names(r, plan, targets, err) : err_memory(err);
    if (!rc) {
        rc = calibration_run(job, targets, plan->tensor_count, &opts, &r->calibration, err);
    }
    free(targets);
    if (rc) {
        int8_ranges_free(r);
        return rc;
    }
    *ret = r;
    return RC_OK;
}

void int8_ranges_free(struct int8_ranges *r) {
    if (!r) {
        return;
    }
    for (size_t i = 0; i < r->count; i++) {
        free(r->names[i]);
    }
    free(r->names);
    calibration_free(r->calibration);
    free(r);
}

size_t int8_ranges_examples(const struct int8_ranges *r) {
    return calibration_examples(r->calibration);
}

enum rc int8_ranges_ban(const struct int8_ranges *r, const struct graph *g, struct int8_ban *ban,
                        struct err *err) {
    for (size_t i = 0; i < r->count; i++) {
        const struct graph_value *v = graph_find(g, r->names[i]);
        if (v && range_is_wrecked(calibration_stats(r->calibration, i))) {
            enum rc rc = int8_ban_add(ban, v, err);
            if (rc) {
                return rc;
            }
        }
    }
    return RC_OK;
}

static const struct range_stats *find_stats(const struct int8_ranges *r, const char *name) {
    for (size_t i = 0; i < r->count; i++) {
        if (strcmp(r->names[i], name) == 0) {
            return calibration_stats(r->calibration, i);
        }
    }
    return NULL;
}

enum rc int8_ranges_params(const struct int8_ranges *r, const struct int8_plan *plan,
                           const struct int8_range_opts *o, struct range_params *params, struct err *err) {
    for (size_t i = 0; i < plan->tensor_count; i++) {
        const struct int8_tensor *t = &plan->tensors[i];
        if (t->same_as != SIZE_MAX) { /* always an earlier tensor */
            params[i] = params[t->same_as];
            continue;
        }
        const struct range_stats *stats = find_stats(r, t->value->name);
        if (!stats) {
            return err_set(err, RC_INTERNAL, "int8:static: \"%s\" was not observed", t->value->name);
        }
        float low = 0;
        float high = 0;
        range_choose(stats, o->method, o->percent, &low, &high);
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
