#include "advisor/jobs/eligibility.h"

#include <stdio.h>
#include <string.h>

#include "advisor/jobs/stored_json.h"
#include "core/base/buf.h"
#include "db/store_machines.h"

enum { SETS_MAX = 64, NOTE_BYTES = 4096 };

enum rc eligibility_on(struct store_tx *tx, const char *recipe, enum model_family family,
                       const char *machine_type, const struct hardware_rule **ret, struct err *err) {
    struct store_machine_type m;
    struct recipe r;
    const char *sets[SETS_MAX];
    size_t i, n = 0;
    const json_t *item;
    enum rc rc = store_machine_type_get(tx, machine_type, &m, err);
    if (rc == RC_OK) {
        rc = recipe_parse(recipe, family, &r, err);
    }
    if (rc != RC_OK) {
        return rc;
    }
    json_t *fingerprint = stored_json(m.fingerprint_json);
    json_array_foreach(json_object_get(json_object_get(fingerprint, "cpu"), "isa"), i, item) {
        if (n < SETS_MAX && json_is_string(item)) {
            sets[n++] = json_string_value(item);
        }
    }
    *ret = hardware_judge(&r, sets, n);
    json_decref(fingerprint);
    return RC_OK;
}

enum rc eligibility_best(struct store_tx *tx, const char *recipe, enum model_family family,
                         const json_t *machine_types, const struct hardware_rule **ret, struct err *err) {
    size_t i;
    const json_t *type;
    enum rc rc = RC_OK;
    *ret = NULL;
    json_array_foreach(machine_types, i, type) {
        const struct hardware_rule *rule = NULL;
        rc = rc == RC_OK ? eligibility_on(tx, recipe, family, json_string_value(type), &rule, err) : rc;
        *ret = rule && (!*ret || rule->gain > (*ret)->gain) ? rule : *ret;
    }
    return rc;
}

/* Adds a recipe to those of its reason: `late` maps reasons to lists. */
static enum rc add_late(json_t *late, const char *why, json_t *recipe, struct err *err) {
    json_t *list = json_object_get(late, why);
    if (!list) {
        list = json_array();
        json_object_set_new(late, why, list);
    }
    return json_array_append(list, recipe) == 0 ? RC_OK : err_memory(err);
}

static enum rc add_note(json_t *notes, const char *why, const json_t *list, struct err *err) {
    struct buf text;
    size_t i;
    const json_t *recipe;
    enum rc rc = RC_OK;
    buf_init(&text, NOTE_BYTES);
    json_array_foreach(list, i, recipe) {
        rc = rc == RC_OK ? buf_printf(&text, err, "%s%s", i ? ", " : "", json_string_value(recipe)) : rc;
    }
    rc = rc == RC_OK ? buf_printf(&text, err, ": smaller at most, and so measured last: %s", why) : rc;
    if (rc == RC_OK && json_array_append_new(notes, json_string(text.data)) != 0) {
        rc = err_memory(err);
    }
    buf_free(&text);
    return rc == RC_TOO_LARGE ? RC_OK : rc; /* a note too long is left out */
}

enum rc eligibility_sort(struct store_tx *tx, enum model_family family, const json_t *machine_types,
                         json_t *recipes, json_t *late, json_t *notes, struct err *err) {
    json_t *first = json_array(), *last = json_array(), *reasons = json_object(), *recipe, *list;
    const char *why;
    size_t i;
    enum rc rc = first && last && reasons ? RC_OK : err_memory(err);
    json_array_foreach(recipes, i, recipe) {
        const struct hardware_rule *rule = NULL;
        if (rc == RC_OK) {
            rc = eligibility_best(tx, json_string_value(recipe), family, machine_types, &rule, err);
        }
        bool helps = !rule || rule->gain > HARDWARE_NONE;
        rc = rc == RC_OK && !helps ? add_late(reasons, rule->why, recipe, err) : rc;
        json_array_append(helps ? first : last, recipe);
    }
    json_object_foreach(reasons, why, list) {
        rc = rc == RC_OK ? add_note(notes, why, list, err) : rc;
    }
    if (rc == RC_OK && (json_array_clear(recipes) != 0 || json_array_extend(recipes, first) != 0 ||
                        json_array_extend(recipes, last) != 0 || json_array_extend(late, last) != 0)) {
        rc = err_memory(err);
    }
    json_decref(first);
    json_decref(last);
    json_decref(reasons);
    return rc;
}

json_t *eligibility_json(const struct hardware_rule *rule) {
    return rule ? json_pack("{s:s, s:s, s:s}", "gain", hardware_gain_name(rule->gain), "why", rule->why,
                            "source", rule->source)
                : json_null();
}
