#include "core/base/json.h"

#include <math.h>
#include <string.h>

#include "core/base/nearest.h"

enum rc json_parse(const char *text, size_t size, json_t **ret, struct err *err) {
    json_error_t e;
    json_t *value = json_loadb(text, size, JSON_REJECT_DUPLICATES, &e);
    if (!value) {
        return err_set(err, RC_INPUT, "this is not valid JSON: %s at line %d, column %d", e.text, e.line,
                       e.column);
    }
    *ret = value;
    return RC_OK;
}

static const json_t *present(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return json_is_null(value) ? NULL : value;
}

static enum rc missing(const char *key, const char *type, struct err *err) {
    return err_set(err, RC_INPUT, "field \"%s\" is missing: it must be %s", key, type);
}

static enum rc wrong(const char *key, const char *type, struct err *err) {
    return err_set(err, RC_INPUT, "field \"%s\" must be %s", key, type);
}

enum rc json_opt_string(const json_t *object, const char *key, const char **ret, struct err *err) {
    const json_t *value = present(object, key);
    if (!value) {
        return RC_OK;
    }
    if (!json_is_string(value)) {
        return wrong(key, "a string", err);
    }
    *ret = json_string_value(value);
    return RC_OK;
}

enum rc json_opt_int(const json_t *object, const char *key, int64_t min, int64_t max, int64_t *ret,
                     struct err *err) {
    const json_t *value = present(object, key);
    if (!value) {
        return RC_OK;
    }
    json_int_t n = json_integer_value(value);
    if (!json_is_integer(value) || n < min || n > max) {
        return err_set(err, RC_INPUT, "field \"%s\" must be a whole number from %lld to %lld", key,
                       (long long)min, (long long)max);
    }
    *ret = n;
    return RC_OK;
}

enum rc json_opt_number(const json_t *object, const char *key, double *ret, struct err *err) {
    const json_t *value = present(object, key);
    if (!value) {
        return RC_OK;
    }
    if (!json_is_number(value)) {
        return wrong(key, "a number", err);
    }
    *ret = json_number_value(value);
    return RC_OK;
}

enum rc json_opt_bool(const json_t *object, const char *key, bool *ret, struct err *err) {
    const json_t *value = present(object, key);
    if (!value) {
        return RC_OK;
    }
    if (!json_is_boolean(value)) {
        return wrong(key, "true or false", err);
    }
    *ret = json_is_true(value);
    return RC_OK;
}

enum rc json_get_string(const json_t *object, const char *key, const char **ret, struct err *err) {
    return present(object, key) ? json_opt_string(object, key, ret, err) : missing(key, "a string", err);
}

enum rc json_get_int(const json_t *object, const char *key, int64_t min, int64_t max, int64_t *ret,
                     struct err *err) {
    return present(object, key) ? json_opt_int(object, key, min, max, ret, err)
                                : missing(key, "a whole number", err);
}

enum rc json_get_number(const json_t *object, const char *key, double *ret, struct err *err) {
    return present(object, key) ? json_opt_number(object, key, ret, err) : missing(key, "a number", err);
}

enum rc json_get_array(const json_t *object, const char *key, json_t **ret, struct err *err) {
    json_t *value = json_object_get(object, key);
    if (!json_is_array(value)) {
        return value ? wrong(key, "an array", err) : missing(key, "an array", err);
    }
    *ret = value;
    return RC_OK;
}

enum rc json_get_object(const json_t *object, const char *key, json_t **ret, struct err *err) {
    json_t *value = json_object_get(object, key);
    if (!json_is_object(value)) {
        return value ? wrong(key, "an object", err) : missing(key, "an object", err);
    }
    *ret = value;
    return RC_OK;
}

enum rc json_only_keys(const json_t *object, const char *const *keys, struct err *err) {
    if (!json_is_object(object)) {
        return err_set(err, RC_INPUT, "this must be a JSON object");
    }
    for (void *it = json_object_iter((json_t *)object); it;
         it = json_object_iter_next((json_t *)object, it)) {
        const char *key = json_object_iter_key(it);
        size_t i = 0;
        while (keys[i] && strcmp(keys[i], key) != 0) {
            i++;
        }
        if (!keys[i]) {
            const char *near = nearest_name(key, keys);
            return near ? err_set(err, RC_INPUT, "unknown field \"%.64s\"; did you mean \"%s\"?", key, near)
                        : err_set(err, RC_INPUT, "unknown field \"%.64s\"", key);
        }
    }
    return RC_OK;
}

const char *json_shown_text(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

double json_shown_number(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

char *json_text(const json_t *value) {
    return json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
}
