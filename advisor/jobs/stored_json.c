#include "advisor/jobs/stored_json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/json.h"

json_t *stored_json(const char *text) {
    return text ? json_loads(text, JSON_DECODE_ANY, NULL) : json_null();
}

enum rc stored_text(const json_t *value, char **text, struct err *err) {
    *text = value ? json_text(value) : NULL;
    return *text ? RC_OK : err_memory(err);
}

enum rc stored_tx_text(struct store_tx *tx, json_t *value, const char **text, struct err *err) {
    char *own;
    enum rc rc = stored_text(value, &own, err);
    json_decref(value);
    if (rc != RC_OK) {
        return rc;
    }
    size_t size = strlen(own) + 1;
    char *copy = store_alloc(tx, size, 1);
    if (copy) {
        memcpy(copy, own, size);
    }
    free(own);
    *text = copy;
    return copy ? RC_OK : err_set(err, RC_TOO_LARGE, "this is more than one request may hold");
}

enum rc stored_id(const char *prefix, json_t *value, char id[IDENT_SIZE], struct err *err) {
    char *text;
    enum rc rc = stored_text(value, &text, err);
    json_decref(value);
    if (rc == RC_OK) {
        ident_content(prefix, text, strlen(text), id);
        free(text);
    }
    return rc;
}

enum rc stored_give(json_t *value, json_t **ret, struct err *err) {
    if (!value) {
        return err_memory(err);
    }
    *ret = value;
    return RC_OK;
}

json_t *stored_string(const char *text) {
    return text ? json_string(text) : json_null();
}

json_t *stored_time(int64_t wall_ms) {
    char text[CLOCK_ISO_SIZE];
    if (wall_ms == 0) {
        return json_null();
    }
    clock_iso(wall_ms, text);
    return json_string(text);
}

json_t *stored_number(double number) {
    return isfinite(number) ? json_real(number) : json_null();
}
