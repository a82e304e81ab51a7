/* Recipes: what there is, and what the registered machines make of it (views.h). */
#include <stdbool.h>

#include "advisor/jobs/eligibility.h"
#include "advisor/jobs/jobs_internal.h"
#include "advisor/jobs/stored_json.h"
#include "advisor/jobs/views.h"
#include "core/recipes/recipe.h"
#include "db/store_machines.h"
#include "db/store_models.h"

static const char *const TYPES[] = {
    [OPTION_FLAG] = "flag", [OPTION_INT] = "int", [OPTION_NUMBER] = "number", [OPTION_CHOICE] = "choice"};

static json_t *option_json(const struct option_desc *o) {
    json_t *values = json_array();
    bool range = (o->type == OPTION_INT || o->type == OPTION_NUMBER) && !o->choices;
    for (size_t i = 0; o->choices && o->choices[i]; i++) {
        json_array_append_new(values, json_string(o->choices[i]));
    }
    json_t *json = json_pack("{s:s, s:s, s:s?, s:s}", "name", o->name, "type", TYPES[o->type], "default",
                             o->default_text, "help", o->help);
    if (o->choices) {
        json_object_set(json, "values", values);
    }
    if (range) {
        json_object_set_new(json, "min", json_real(o->min));
        json_object_set_new(json, "max", json_real(o->max));
    }
    json_decref(values);
    return json;
}

static json_t *compressor_json(const struct compressor_desc *d, enum model_family family) {
    json_t *options = json_array(), *needs = json_array();
    for (size_t i = 0; i < d->n_options; i++) {
        json_array_append_new(options, option_json(&d->options[i]));
    }
    if (d->needs & NEEDS_CALIBRATION) {
        json_array_append_new(needs, json_string("calibration"));
    }
    return json_pack("{s:s, s:s, s:s, s:o, s:o, s:s?}", "name", d->name, "family", model_family_name(family),
                     "summary", d->summary, "options", options, "needs", needs, "calibration_flag",
                     d->calibration_flag);
}

static json_t *presets_json(enum model_family family) {
    json_t *presets = json_object();
    for (const char *const *name = recipe_preset_names(); *name; name++) {
        const char *const *levels;
        json_t *list = json_array();
        if (recipe_preset(family, *name, &levels, NULL) == RC_OK) {
            for (; *levels; levels++) {
                json_array_append_new(list, json_string(*levels));
            }
        }
        json_object_set_new(presets, *name, list);
    }
    return presets;
}

/* Machine types of all targets. A new reference. */
static enum rc registered_types(struct store_tx *tx, json_t **ret, struct err *err) {
    struct store_target *targets;
    size_t n = 0;
    enum rc rc = store_targets_list(tx, &targets, &n, err);
    json_t *types = json_array();
    for (size_t i = 0; rc == RC_OK && i < n; i++) {
        json_array_append_new(types, json_string(targets[i].machine_type));
    }
    *ret = types;
    return rc;
}

/* Of a level: the smallest preset that holds it, and what the machines allow. */
static enum rc level_json(struct store_tx *tx, enum model_family family, const char *recipe,
                          const char *preset, const json_t *types, json_t **ret, struct err *err) {
    const struct hardware_rule *rule = NULL;
    enum rc rc = eligibility_best(tx, recipe, family, types, &rule, err);
    bool known = json_array_size(types) > 0;
    return rc == RC_OK
               ? stored_give(
                     json_pack("{s:s, s:s, s:o, s:o}", "recipe", recipe, "preset", preset, "helps",
                               known ? json_boolean(!rule || rule->gain > HARDWARE_NONE) : json_null(),
                               "hardware", known ? eligibility_json(rule) : json_null()),
                     ret, err)
               : rc;
}

/* The levels of all presets, those that cannot be faster on any registered target last. */
static enum rc levels_json(struct store_tx *tx, enum model_family family, json_t *levels, struct err *err) {
    json_t *types = NULL, *seen = json_object(), *last = json_array();
    enum rc rc = registered_types(tx, &types, err);
    for (const char *const *name = recipe_preset_names(); rc == RC_OK && *name; name++) {
        const char *const *level;
        rc = recipe_preset(family, *name, &level, err);
        for (; rc == RC_OK && *level; level++) {
            json_t *json = NULL;
            if (json_object_get(seen, *level)) {
                continue;
            }
            json_object_set_new(seen, *level, json_true());
            rc = level_json(tx, family, *level, *name, types, &json, err);
            json_array_append_new(json_is_false(json_object_get(json, "helps")) ? last : levels, json);
        }
    }
    if (rc == RC_OK && json_array_extend(levels, last) != 0) {
        rc = err_memory(err);
    }
    json_decref(types);
    json_decref(seen);
    json_decref(last);
    return rc;
}

static enum rc add_levels(struct jobs *j, const char *model, enum model_family *family, json_t *levels,
                          struct err *err) {
    struct store_tx *tx;
    struct store_model m;
    enum rc rc = store_read_begin(j->store, &tx, err);
    if (rc != RC_OK) {
        return rc;
    }
    if (model && (rc = store_model_get(tx, model, &m, err)) == RC_OK) {
        rc = model_family_parse(m.family, family, err);
    }
    if (rc == RC_OK && *family != FAMILY_UNKNOWN) {
        rc = levels_json(tx, *family, levels, err);
    }
    store_read_end(tx);
    return rc;
}

enum rc view_recipes(struct jobs *j, const char *family, const char *model, json_t **ret, struct err *err) {
    static const enum model_family families[] = {FAMILY_ONNX, FAMILY_GGUF};
    enum model_family wanted = FAMILY_UNKNOWN;
    json_t *levels = json_array();
    size_t n;
    enum rc rc = family ? model_family_parse(family, &wanted, err) : RC_OK;
    if (rc == RC_OK) {
        rc = add_levels(j, model, &wanted, levels, err);
    }
    if (rc != RC_OK) {
        json_decref(levels);
        return rc;
    }
    const struct compressor_desc *all = recipe_descriptors(&n);
    json_t *items = json_array(), *presets = json_object();
    for (size_t f = 0; f < 2; f++) {
        if (wanted != FAMILY_UNKNOWN && wanted != families[f]) {
            continue;
        }
        for (size_t i = 0; i < n; i++) {
            if (all[i].families & families[f]) {
                json_array_append_new(items, compressor_json(&all[i], families[f]));
            }
        }
        json_object_set_new(presets, model_family_name(families[f]), presets_json(families[f]));
    }
    json_t *shown = wanted == FAMILY_UNKNOWN
                        ? json_incref(presets)
                        : json_incref(json_object_get(presets, model_family_name(wanted)));
    json_decref(presets);
    return stored_give(json_pack("{s:o, s:o, s:o}", "items", items, "presets", shown, "levels", levels), ret,
                       err);
}
