/* Studies: the body is checked and completed once; what is stored is what was understood. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "advisor/decide/budget.h"
#include "advisor/decide/floor.h"
#include "advisor/decide/recommend.h"
#include "advisor/jobs/intake.h"
#include "advisor/jobs/jobs_internal.h"
#include "advisor/jobs/limits.h"
#include "advisor/jobs/stored_json.h"
#include "advisor/jobs/study_events.h"
#include "advisor/jobs/study_scenarios.h"
#include "advisor/jobs/views.h"
#include "core/base/json.h"
#include "core/recipes/recipe.h"
#include "db/store_jobs.h"
#include "db/store_machines.h"
#include "db/store_models.h"
#include "db/store_studies.h"

enum { RECIPES_MAX = 64, TARGETS_MAX = 64, THREADS_MAX = 1024, CALIBRATION_MAX = 1000000 };

struct new_study {
    const json_t *body;
    const char *model, *dataset, *calibration, *preset, *evaluate;
    enum model_family family;
    json_t *request; /* owned */
    char id[IDENT_SIZE];
};

static enum rc read_words(struct new_study *n, struct err *err) {
    static const char *const keys[] = {"model",
                                       "dataset",
                                       "calibration",
                                       "targets",
                                       "preset",
                                       "recipes",
                                       "floors",
                                       "budgets",
                                       "threads",
                                       "evaluate",
                                       "confidence",
                                       "price_per_hour",
                                       "calibration_examples",
                                       "scenarios",
                                       "instructions",
                                       NULL};
    n->evaluate = "needed";
    enum rc rc = json_only_keys(n->body, keys, err);
    if (rc == RC_OK) {
        rc = json_get_string(n->body, "model", &n->model, err);
    }
    if (rc == RC_OK) {
        rc = json_get_string(n->body, "dataset", &n->dataset, err);
    }
    if (rc == RC_OK) {
        rc = json_opt_string(n->body, "calibration", &n->calibration, err);
    }
    if (rc == RC_OK) {
        rc = json_opt_string(n->body, "preset", &n->preset, err);
    }
    if (rc == RC_OK) {
        rc = json_opt_string(n->body, "evaluate", &n->evaluate, err);
    }
    if (rc == RC_OK && strcmp(n->evaluate, "needed") != 0 && strcmp(n->evaluate, "all") != 0) {
        rc = err_set(err, RC_INPUT, "field \"evaluate\" must be \"needed\" or \"all\"");
    }
    return rc;
}

/* Everything that is named must be there, and fit together. */
static enum rc look_up(struct store_tx *tx, struct new_study *n, struct err *err) {
    struct store_model model;
    struct store_dataset dataset, calibration;
    enum rc rc = store_model_get(tx, n->model, &model, err);
    if (rc == RC_OK) {
        rc = model_family_parse(model.family, &n->family, err);
    }
    if (rc == RC_OK) {
        rc = store_dataset_get(tx, n->dataset, &dataset, err);
    }
    if (rc == RC_OK && n->calibration) {
        rc = store_dataset_get(tx, n->calibration, &calibration, err);
    }
    if (rc != RC_OK) {
        return rc;
    }
    bool text = strcmp(dataset.format, "text") == 0;
    if (text != (n->family == FAMILY_GGUF)) {
        return err_set(err, RC_INPUT,
                       "a %s model is measured with %s, but the dataset \"%.64s\" has format %s",
                       model.family, n->family == FAMILY_GGUF ? "text" : "arrays (npz) or images (idx)",
                       dataset.name, dataset.format);
    }
    if (n->calibration && (strcmp(calibration.format, "text") == 0) != text) {
        return err_set(err, RC_INPUT,
                       "the calibration dataset has format %s and the dataset %s: they must be of one kind",
                       calibration.format, dataset.format);
    }
    if (n->calibration && strcmp(n->calibration, n->dataset) == 0) {
        n->calibration = NULL; /* one dataset for both: split */
    }
    return RC_OK;
}

static enum rc check_targets(struct store_tx *tx, const json_t *targets, struct err *err) {
    size_t i;
    const json_t *item;
    enum rc rc = json_array_size(targets) <= TARGETS_MAX
                     ? RC_OK
                     : err_set(err, RC_INPUT, "field \"targets\" lists more than %d", (int)TARGETS_MAX);
    json_array_foreach(targets, i, item) {
        struct store_target t;
        const char *id = json_string_value(item);
        if (rc == RC_OK) {
            rc = id ? store_target_get(tx, id, &t, err)
                    : err_set(err, RC_INPUT, "field \"targets\" must list ids");
        }
    }
    return rc;
}

/* Adds a recipe as it was written, once: the canonical form would fix options that the plan chooses for the
 * targets. */
static enum rc add_recipe(json_t *recipes, const char *text, enum model_family family, struct err *err) {
    struct recipe parsed;
    size_t i;
    const json_t *item;
    enum rc rc = recipe_parse(text, family, &parsed, err);
    json_array_foreach(recipes, i, item) {
        if (strcmp(json_string_value(item), text) == 0) {
            return rc;
        }
    }
    return rc == RC_OK && json_array_append_new(recipes, json_string(text)) != 0 ? err_memory(err) : rc;
}

/* The baseline first, then the recipes that are asked for, or the levels of the preset (standard). */
static enum rc collect_recipes(const struct new_study *n, json_t *recipes, struct err *err) {
    const json_t *asked = json_object_get(n->body, "recipes"), *item;
    size_t i;
    enum rc rc = add_recipe(recipes, recipe_baseline(n->family), n->family, err);
    if (rc == RC_OK && asked && !json_is_null(asked) && !json_is_array(asked)) {
        return err_set(err, RC_INPUT, "field \"recipes\" must be a list of recipes");
    }
    if (json_array_size(asked) > RECIPES_MAX) {
        return err_set(err, RC_INPUT, "field \"recipes\" lists more than %d", (int)RECIPES_MAX);
    }
    json_array_foreach(asked, i, item) {
        const char *text = json_string_value(item);
        if (rc == RC_OK) {
            rc = text ? add_recipe(recipes, text, n->family, err)
                      : err_set(err, RC_INPUT, "field \"recipes\" must be a list of recipes");
        }
    }
    if (rc != RC_OK || (json_array_size(asked) > 0 && !n->preset)) {
        return rc;
    }
    const char *const *levels;
    rc = recipe_preset(n->family, n->preset ? n->preset : "standard", &levels, err);
    for (; rc == RC_OK && *levels; levels++) {
        rc = add_recipe(recipes, *levels, n->family, err);
    }
    return rc;
}

static enum rc read_numbers(const struct new_study *n, json_t *request, struct err *err) {
    double price = NAN, confidence = 0.95;
    int64_t threads = 0, calibration = 0;
    const char *instructions = NULL;
    enum rc rc = json_opt_number(n->body, "price_per_hour", &price, err);
    if (rc == RC_OK && !isnan(price) && !(price > 0 && price < 1e6)) {
        rc = err_set(err, RC_INPUT, "field \"price_per_hour\" must be above 0 USD");
    }
    if (rc == RC_OK) {
        rc = json_opt_number(n->body, "confidence", &confidence, err);
    }
    if (rc == RC_OK && !(confidence > 0.5 && confidence < 1)) {
        rc = err_set(err, RC_INPUT, "field \"confidence\" must lie between 0.5 and 1, for example 0.95");
    }
    if (rc == RC_OK) {
        rc = json_opt_int(n->body, "threads", 1, THREADS_MAX, &threads, err);
    }
    if (rc == RC_OK) {
        rc = json_opt_int(n->body, "calibration_examples", 1, CALIBRATION_MAX, &calibration, err);
    }
    if (rc != RC_OK) {
        return rc;
    }
    if ((rc = json_opt_string(n->body, "instructions", &instructions, err)) != RC_OK) {
        return rc;
    }
    if (instructions && strcmp(instructions, "callgrind") != 0) {
        return err_set(
            err, RC_INPUT,
            "field \"instructions\": only \"callgrind\" can be asked for; counters are used anyway");
    }
    if (instructions) {
        json_object_set_new(request, "instructions", json_string(instructions));
    }
    json_object_set_new(request, "price_per_hour", stored_number(price));
    json_object_set_new(request, "confidence", json_real(confidence));
    json_object_set_new(request, "threads", threads > 0 ? json_integer(threads) : json_null());
    json_object_set_new(request, "calibration_examples",
                        calibration > 0 ? json_integer(calibration) : json_null());
    return RC_OK;
}

static enum rc build_request(struct store_tx *tx, struct new_study *n, struct err *err) {
    const json_t *targets = json_object_get(n->body, "targets");
    json_t *recipes = json_array(), *floors = NULL, *budgets = NULL, *scenarios = NULL;
    enum rc rc = recipes ? RC_OK : err_memory(err);
    if (rc == RC_OK && targets && !json_is_null(targets) && !json_is_array(targets)) {
        rc = err_set(err, RC_INPUT, "field \"targets\" must be a list of ids");
    }
    if (rc == RC_OK) {
        rc = check_targets(tx, targets, err);
    }
    if (rc == RC_OK) {
        rc = collect_recipes(n, recipes, err);
    }
    if (rc == RC_OK) {
        rc = study_scenarios_read(n->body, &scenarios, err);
    }
    if (rc == RC_OK) {
        rc = limits_canonical(n->body, &floors, &budgets, err);
    }
    if (rc == RC_OK) {
        n->request =
            json_pack("{s:s, s:s, s:s?, s:s?, s:s, s:O, s:O, s:O, s:O, s:o}", "model", n->model, "dataset",
                      n->dataset, "calibration", n->calibration, "preset", n->preset, "evaluate", n->evaluate,
                      "recipes", recipes, "scenarios", scenarios, "floors", floors, "budgets", budgets,
                      "targets", json_is_array(targets) ? json_incref((json_t *)targets) : json_array());
        rc = n->request ? read_numbers(n, n->request, err) : err_memory(err);
    }
    json_decref(recipes);
    json_decref(scenarios);
    json_decref(floors);
    json_decref(budgets);
    return rc;
}

static enum rc add_study(struct store_tx *tx, void *user, struct err *err) {
    struct new_study *n = user;
    struct store_study s = {.id = n->id, .model = n->model, .dataset = n->dataset};
    enum rc rc = look_up(tx, n, err);
    s.calibration = n->calibration;
    if (rc == RC_OK) {
        rc = build_request(tx, n, err);
    }
    if (rc == RC_OK) {
        rc = stored_tx_text(tx, json_incref(n->request), &s.request_json, err);
    }
    if (rc == RC_OK) {
        rc = store_study_add(tx, &s, err);
    }
    return rc == RC_OK ? study_events_state(tx, n->id, "queued", NULL, NULL, NULL, err) : rc;
}

enum rc intake_study(struct jobs *j, const json_t *body, json_t **ret, struct err *err) {
    struct new_study n = {.body = body};
    ident_random("std", n.id);
    enum rc rc = read_words(&n, err);
    if (rc == RC_OK) {
        rc = store_write(j->store, add_study, &n, err);
    }
    json_decref(n.request);
    return rc == RC_OK ? view_study(j, n.id, ret, err) : rc;
}

static enum rc cancel_study(struct store_tx *tx, void *user, struct err *err) {
    const char *id = *(const char **)user;
    struct store_study s;
    enum rc rc = store_study_get(tx, id, &s, err);
    bool open = rc == RC_OK && (strcmp(s.state, "queued") == 0 || strcmp(s.state, "running") == 0);
    if (rc != RC_OK || !open) {
        return rc;
    }
    rc = store_jobs_cancel(tx, id, err);
    if (rc == RC_OK) {
        rc = store_study_end(tx, id, "cancelled", NULL, NULL, NULL, err);
    }
    return rc == RC_OK ? study_events_state(tx, id, "cancelled", NULL, NULL, NULL, err) : rc;
}

enum rc intake_study_cancel(struct jobs *j, const char *id, json_t **ret, struct err *err) {
    enum rc rc = store_write(j->store, cancel_study, &id, err);
    return rc == RC_OK ? view_study(j, id, ret, err) : rc;
}
