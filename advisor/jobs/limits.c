#include "advisor/jobs/limits.h"

#include "core/base/json.h"

static enum rc list_of(const json_t *object, const char *key, const json_t **ret, struct err *err) {
    const json_t *list = json_object_get(object, key), *item;
    size_t i;
    *ret = NULL;
    if (!list || json_is_null(list)) {
        return RC_OK;
    }
    json_array_foreach(list, i, item) {
        if (!json_is_string(item)) {
            return err_set(err, RC_INPUT, "field \"%s\" must be a list of texts", key);
        }
    }
    if (!json_is_array(list) || json_array_size(list) > RECOMMEND_MAX_LIMITS) {
        return err_set(err, RC_INPUT, "field \"%s\" must be a list of at most %d texts", key,
                       (int)RECOMMEND_MAX_LIMITS);
    }
    *ret = list;
    return RC_OK;
}

enum rc limits_read(const json_t *object, struct limits *ret, struct err *err) {
    const json_t *floors, *budgets, *item;
    size_t i;
    enum rc rc = list_of(object, "floors", &floors, err);
    if (rc == RC_OK) {
        rc = list_of(object, "budgets", &budgets, err);
    }
    if (rc != RC_OK) {
        return rc;
    }
    *ret = (struct limits){.floor_count = json_array_size(floors), .budget_count = json_array_size(budgets)};
    if (ret->floor_count + ret->budget_count > RECOMMEND_MAX_LIMITS) {
        return err_set(err, RC_INPUT, "there are more than %d floors and budgets", (int)RECOMMEND_MAX_LIMITS);
    }
    json_array_foreach(floors, i, item) {
        rc = rc == RC_OK ? floor_parse(json_string_value(item), &ret->floors[i], err) : rc;
    }
    json_array_foreach(budgets, i, item) {
        rc = rc == RC_OK ? budget_parse(json_string_value(item), &ret->budgets[i], err) : rc;
    }
    return rc;
}

enum rc limits_canonical(const json_t *object, json_t **floors, json_t **budgets, struct err *err) {
    struct limits l;
    enum rc rc = limits_read(object, &l, err);
    if (rc != RC_OK) {
        return rc;
    }
    *floors = json_array();
    *budgets = json_array();
    for (size_t i = 0; i < l.floor_count; i++) {
        char text[FLOOR_TEXT_SIZE];
        floor_text(&l.floors[i], text);
        json_array_append_new(*floors, json_string(text));
    }
    for (size_t i = 0; i < l.budget_count; i++) {
        char text[BUDGET_TEXT_SIZE];
        budget_text(&l.budgets[i], text);
        json_array_append_new(*budgets, json_string(text));
    }
    if (!*floors || !*budgets) {
        json_decref(*floors);
        json_decref(*budgets);
        return err_memory(err);
    }
    return RC_OK;
}
