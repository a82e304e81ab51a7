/* json.h -- strict reading of JSON objects over jansson, with errors that name the field.
 * Strings are borrowed from the object: they live as long as it does. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/err.h"

/* Parses one JSON object or array of `size` bytes; duplicate keys and trailing bytes are errors. The caller
 * owns *ret. */
MUST_USE enum rc json_parse(const char *text, size_t size, json_t **ret, struct err *err);

/* Required fields. RC_INPUT with `field "x": ...` when missing or of another type. */
MUST_USE enum rc json_get_string(const json_t *object, const char *key, const char **ret, struct err *err);
MUST_USE enum rc json_get_int(const json_t *object, const char *key, int64_t min, int64_t max, int64_t *ret,
                              struct err *err);
MUST_USE enum rc json_get_number(const json_t *object, const char *key, double *ret, struct err *err);
MUST_USE enum rc json_get_array(const json_t *object, const char *key, json_t **ret, struct err *err);
MUST_USE enum rc json_get_object(const json_t *object, const char *key, json_t **ret, struct err *err);

/* Optional fields: absent or null leaves *ret as it is; a wrong type is an error. */
MUST_USE enum rc json_opt_string(const json_t *object, const char *key, const char **ret, struct err *err);
MUST_USE enum rc json_opt_int(const json_t *object, const char *key, int64_t min, int64_t max, int64_t *ret,
                              struct err *err);
MUST_USE enum rc json_opt_number(const json_t *object, const char *key, double *ret, struct err *err);
MUST_USE enum rc json_opt_bool(const json_t *object, const char *key, bool *ret, struct err *err);

/* RC_INPUT naming the first key of `object` that is not in the NULL-terminated list, with the nearest known
 * one. */
MUST_USE enum rc json_only_keys(const json_t *object, const char *const *keys, struct err *err);

/* For showing what a service or a worker said, where a field may be absent or of another type: "" and NAN
 * then. Borrowed. */
const char *json_shown_text(const json_t *object, const char *key);
double json_shown_number(const json_t *object, const char *key);

/* Compact text with sorted keys, the form that is hashed and stored; free() it. NULL when out of memory. */
char *json_text(const json_t *value);
