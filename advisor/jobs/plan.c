/* act: activations as unsigned or signed bytes. With u8 activations x86 multiplies u8 by s8 in one
 * instruction (VNNI, AVX-VNNI, AMX); without these the older instruction adds pairs with saturation, which
 * costs accuracy, so s8 is chosen there, and on ARM, whose dot product takes s8 on both sides. Machines of
 * both kinds in one study get both variants. */
#include "advisor/jobs/plan.h"

#include <string.h>

#include "advisor/decide/floor.h"
#include "advisor/decide/metric.h"
#include "advisor/jobs/contenders.h"
#include "advisor/jobs/eligibility.h"
#include "advisor/jobs/limits.h"
#include "advisor/jobs/stored_json.h"
#include "core/base/json.h"
#include "core/recipes/recipe.h"
#include "db/store_machines.h"

enum { SHARE = 4, SHARE_ASKED = 2, ONLINE_MS = 90 * 1000 };

/* ---- machine types ---- */

static bool holds(const json_t *list, const char *text) {
    size_t i;
    const json_t *item;
    json_array_foreach(list, i, item) {
        const char *other = json_string_value(item);
        if (other && strcmp(other, text) == 0) {
            return true;
        }
    }
    return false;
}

static void add_once(json_t *list, const char *text) {
    if (!holds(list, text)) {
        json_array_append_new(list, json_string(text));
    }
}

/* Those of the targets that were asked for; else of all that are there now. */
static enum rc machine_types(struct store_tx *tx, const struct work_study *s, json_t *ret, struct err *err) {
    struct store_target *targets;
    size_t n;
    const json_t *asked = json_object_get(s->request, "targets");
    bool any = json_array_size(asked) == 0;
    enum rc rc = store_targets_list(tx, &targets, &n, err);
    int64_t recent_ms = 0;
    for (size_t i = 0; rc == RC_OK && i < n; i++) {
        recent_ms = targets[i].last_seen_ms > recent_ms ? targets[i].last_seen_ms : recent_ms;
    }
    int64_t now_ms = store_tx_now_ms(tx);
    recent_ms = recent_ms < now_ms ? recent_ms : now_ms; /* later than now: the clock was set back */
    for (size_t i = 0; rc == RC_OK && i < n; i++) {
        bool online = targets[i].last_seen_ms >= recent_ms - ONLINE_MS;
        if (any ? online : holds(asked, targets[i].id)) {
            add_once(ret, targets[i].machine_type);
        }
    }
    if (rc == RC_OK && json_array_size(ret) == 0) {
        rc = err_set(err, RC_NOT_FOUND, "there is no target to measure on: start an agent (pare agent)");
    }
    return rc;
}

static bool has_isa(const json_t *cpu, const char *prefix) {
    size_t i;
    const json_t *item;
    json_array_foreach(json_object_get(cpu, "isa"), i, item) {
        const char *isa = json_string_value(item);
        if (isa && strncmp(isa, prefix, strlen(prefix)) == 0) {
            return true;
        }
    }
    return false;
}

static const char *act_for(const struct store_machine_type *m) {
    json_t *fingerprint = stored_json(m->fingerprint_json);
    const json_t *cpu = json_object_get(fingerprint, "cpu");
    bool dot = has_isa(cpu, "avx512_vnni") || has_isa(cpu, "avx_vnni") || has_isa(cpu, "amx");
    json_decref(fingerprint);
    return dot ? "u8" : "s8";
}

/* ---- recipes ---- */

static enum rc add_recipe(json_t *recipes, const struct work_study *s, const char *text, const char *act,
                          bool *calibration, struct err *err) {
    struct recipe r;
    char canonical[RECIPE_TEXT_SIZE];
    enum rc rc = recipe_parse(text, s->family, &r, err);
    if (rc != RC_OK) {
        return rc;
    }
    (void)recipe_choose(&r, "act", act);
    recipe_canonical(&r, canonical);
    add_once(recipes, canonical);
    *calibration = *calibration || (recipe_needs(&r) & NEEDS_CALIBRATION);
    return RC_OK;
}

static enum rc recipes_for(struct store_tx *tx, const struct work_study *s, const json_t *types, json_t *ret,
                           bool *calibration, struct err *err) {
    size_t i, k;
    const json_t *recipe, *type;
    enum rc rc = RC_OK;
    json_array_foreach(json_object_get(s->request, "recipes"), i, recipe) {
        json_array_foreach(types, k, type) {
            struct store_machine_type m;
            rc = rc == RC_OK ? store_machine_type_get(tx, json_string_value(type), &m, err) : rc;
            if (rc == RC_OK) {
                rc = add_recipe(ret, s, json_string_value(recipe), act_for(&m), calibration, err);
            }
        }
    }
    return rc;
}

/* ---- data ---- */

static bool free_batch(const json_t *inspect) {
    size_t i;
    const json_t *input, *inputs = json_object_get(inspect, "inputs");
    json_array_foreach(inputs, i, input) {
        if (!json_is_null(json_array_get(json_object_get(input, "shape"), 0))) {
            return false;
        }
    }
    return json_array_size(inputs) > 0;
}

static json_t *batches_for(const struct work_study *s, const json_t *inspect) {
    return s->family == FAMILY_ONNX && free_batch(inspect) ? work_batches(s) : json_pack("[i]", 1);
}

/* Of a dataset of its own all that fit; of the one dataset at most a quarter, or half where a number was
 * asked for. */
static int64_t calibration_examples(const struct work_study *s, const json_t *inspect) {
    bool asked = json_is_integer(json_object_get(s->request, "calibration_examples"));
    const char *key = s->calibration.id ? "calibration_examples" : "examples";
    int64_t there = json_integer_value(json_object_get(inspect, key));
    int64_t most = work_calibration_examples(s);
    there = s->calibration.id ? there : there / (asked ? SHARE_ASKED : SHARE);
    return there < 1 ? 1 : there > most ? most : there;
}

static json_t *calibration_split(int64_t n) {
    return json_pack("{s:s, s:I}", "take", "calibration", "calibration_examples", (json_int_t)n);
}

static json_t *eval_split(const struct work_study *s, bool calibration, int64_t n) {
    if (!calibration || s->calibration.id) {
        return json_pack("{s:s}", "take", "all");
    }
    return json_pack("{s:s, s:I}", "take", "eval", "calibration_examples", (json_int_t)n);
}

static bool names_metric(const struct limits *l, enum metric metric) {
    for (size_t i = 0; i < l->floor_count; i++) {
        if (l->floors[i].metric == metric) {
            return true;
        }
    }
    return false;
}

/* agreement and kld are figures against the outputs of the baseline. */
static const char *reference_for(const struct work_study *s, const struct limits *l, const json_t *inspect) {
    const char *labels = json_string_value(json_object_get(inspect, "labels"));
    bool unlabelled = s->family == FAMILY_ONNX && labels && strcmp(labels, "none") == 0;
    if (unlabelled || names_metric(l, METRIC_AGREEMENT) || names_metric(l, METRIC_KLD)) {
        return "all";
    }
    return s->family == FAMILY_GGUF ? "variants" : "none";
}

static void join_metrics(const json_t *metrics, char *text, size_t size) {
    size_t i, n = 0;
    const json_t *item;
    text[0] = '\0';
    json_array_foreach(metrics, i, item) {
        int wrote = snprintf(text + n, size - n, "%s%.16s", i ? ", " : "", json_string_value(item));
        n = wrote > 0 && n + (size_t)wrote < size ? n + (size_t)wrote : n;
    }
}

/* A floor on something that this data cannot show would never be decided: better said now. */
static enum rc check_floors(const struct limits *l, const json_t *inspect, struct err *err) {
    const json_t *metrics = json_object_get(inspect, "metrics");
    const char *first = json_string_value(json_array_get(metrics, 0));
    enum metric primary = first ? metric_from_name(first) : METRIC_COUNT;
    for (size_t i = 0; i < l->floor_count; i++) {
        const struct floor *f = &l->floors[i];
        char text[FLOOR_TEXT_SIZE], known[160];
        bool by_reference = f->metric == METRIC_AGREEMENT || f->metric == METRIC_KLD;
        floor_text(f, text);
        if (f->metric != METRIC_PRIMARY && !by_reference && !holds(metrics, metric_name(f->metric))) {
            join_metrics(metrics, known, sizeof(known));
            return err_set(err, RC_INPUT, "the floor %s cannot be judged on this dataset, which shows %s",
                           text, known);
        }
        enum rc rc = primary == METRIC_COUNT ? RC_OK : floor_fits(f, primary, err);
        if (rc != RC_OK) {
            return err_prefix(err, "the floor %s", text);
        }
    }
    return RC_OK;
}

static json_t *notes_for(const struct work_study *s, const json_t *inspect, const json_t *split) {
    json_t *notes = json_array();
    int64_t dropped = json_integer_value(json_object_get(inspect, "overlap_dropped"));
    const char *labels = json_string_value(json_object_get(inspect, "labels"));
    char text[200];
    if (dropped > 0) {
        snprintf(text, sizeof(text), "%lld calibration examples were left out: the evaluation holds the same",
                 (long long)dropped);
        json_array_append_new(notes, json_string(text));
    }
    if (json_object_get(split, "calibration_examples")) {
        snprintf(text, sizeof(text),
                 "%lld examples of the dataset calibrate; accuracy is measured on all others",
                 (long long)json_integer_value(json_object_get(split, "calibration_examples")));
        json_array_append_new(notes, json_string(text));
    }
    if (s->family == FAMILY_ONNX && labels && strcmp(labels, "none") == 0) {
        json_array_append_new(notes,
                              json_string("no labels: accuracy is agreement with the baseline's answers"));
    }
    return notes;
}

/* Takes `notes` over. */
static json_t *with_notes(json_t *notes, json_t *more) {
    (void)json_array_extend(notes, more);
    return notes;
}

enum rc plan_make(struct store_tx *tx, const struct work_study *s, const json_t *inspect, json_t **ret,
                  struct err *err) {
    struct limits l;
    bool calibration = false;
    json_t *types = json_array(), *recipes = json_array();
    int64_t n = calibration_examples(s, inspect);
    enum rc rc = limits_read(s->request, &l, err);
    if (rc == RC_OK) {
        rc = check_floors(&l, inspect, err);
    }
    if (rc == RC_OK) {
        rc = machine_types(tx, s, types, err);
    }
    if (rc == RC_OK) {
        rc = recipes_for(tx, s, types, recipes, &calibration, err);
    }
    json_t *hardware = json_array(), *late = json_array();
    if (rc == RC_OK) {
        rc = eligibility_sort(tx, s->family, types, recipes, late, hardware, err);
    }
    if (rc == RC_OK) {
        json_t *split = eval_split(s, calibration, n);
        rc = stored_give(
            json_pack("{s:O, s:O, s:O, s:o, s:O, s:o, s:s, s:b, s:O, s:o}", "inspect", inspect, "recipes",
                      recipes, "machine_types", types, "batches", batches_for(s, inspect), "split", split,
                      "calibration_split", calibration ? calibration_split(n) : json_null(), "reference",
                      reference_for(s, &l, inspect), "staged", (int)contenders_staged(s, recipes),
                      "cannot_help", late, "notes", with_notes(notes_for(s, inspect, split), hardware)),
            ret, err);
        json_decref(split);
    }
    json_decref(hardware);
    json_decref(late);
    json_decref(types);
    json_decref(recipes);
    return rc;
}
