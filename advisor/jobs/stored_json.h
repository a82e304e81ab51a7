/* stored_json.h -- between JSON values and the texts that the store keeps. */
#pragma once

#include <jansson.h>

#include "core/base/err.h"
#include "core/base/ident.h"
#include "db/store.h"

/* The value of a text that this program stored; NULL gives JSON null. A new reference, NULL when out of
 * memory. */
json_t *stored_json(const char *text);

/* Text with sorted keys; free() *text. `value` is borrowed; NULL (a value that could not be built) is
 * RC_MEMORY. */
MUST_USE enum rc stored_text(const json_t *value, char **text, struct err *err);

/* The same in the transaction's memory, and `value` is released. */
MUST_USE enum rc stored_tx_text(struct store_tx *tx, json_t *value, const char **text, struct err *err);

/* Id from the content of `value`, which is released. */
MUST_USE enum rc stored_id(const char *prefix, json_t *value, char id[IDENT_SIZE], struct err *err);

/* Hands `value` over in *ret, or RC_MEMORY for NULL. */
MUST_USE enum rc stored_give(json_t *value, json_t **ret, struct err *err);

/* A string or null; a time as ISO text or null for 0. New references. */
json_t *stored_string(const char *text);
json_t *stored_time(int64_t wall_ms);
/* A number, or null where it is NaN or infinite. */
json_t *stored_number(double number);
