#include "advisor/jobs/explanation_scheme.h"

#include <string.h>

#include "advisor/decide/cause.h"
#include "core/base/container.h"
#include "core/recipes/recipe.h"

/* By the beginning of a step's name; the first that fits. */
static const struct {
    const char *name;
    unsigned scheme;
} steps[] = {
    {"mixed", CAUSE_INT8}, {"int8:static", CAUSE_INT8}, {"int8:dynamic", CAUSE_INT8},
    {"fp16", CAUSE_FP16},  {"int", CAUSE_FEW_BITS},
};

static unsigned scheme_of(const struct compressor_desc *d) {
    if (d->place == PLACE_SPARSE) {
        return CAUSE_LOOSE_ZEROS;
    }
    if (d->place == PLACE_LAYERS || d->place == PLACE_CHANNELS || d->place == PLACE_RANK) {
        return CAUSE_STRUCTURE;
    }
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        if (strncmp(d->name, steps[i].name, strlen(steps[i].name)) == 0) {
            return steps[i].scheme;
        }
    }
    return 0;
}

unsigned explanation_scheme(const char *recipe, enum model_family family) {
    struct recipe r;
    unsigned scheme = 0;
    if (recipe_parse(recipe, family, &r, NULL) != RC_OK) {
        return 0;
    }
    for (size_t i = 0; i < r.n_steps; i++) {
        scheme |= scheme_of(r.steps[i].descriptor);
    }
    return scheme;
}
