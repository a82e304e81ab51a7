/* Variants, evaluations and profiles (views.h). */
#include <stdio.h>
#include <string.h>

#include "advisor/jobs/explanation.h"
#include "advisor/jobs/jobs_internal.h"
#include "advisor/jobs/stored_json.h"
#include "advisor/jobs/views.h"
#include "core/base/file.h"
#include "db/store_work.h"

typedef enum rc view_fn(struct store_tx *tx, const char *id, json_t **ret, struct err *err);

static enum rc read_view(struct jobs *j, view_fn *fn, const char *id, json_t **ret, struct err *err) {
    struct store_tx *tx;
    enum rc rc = store_read_begin(j->store, &tx, err);
    if (rc == RC_OK) {
        rc = fn(tx, id, ret, err);
        store_read_end(tx);
    }
    return rc;
}

static json_t *files_json(const struct store_file *files, size_t n) {
    json_t *array = json_array();
    for (size_t i = 0; i < n; i++) {
        json_array_append_new(array, json_pack("{s:s, s:s, s:I}", "path", files[i].path, "sha256",
                                               files[i].sha256, "bytes", (json_int_t)files[i].bytes));
    }
    return array;
}

/* The worker's result with what the store knows about it. Both are taken over. */
static enum rc join(json_t *result, json_t *known, json_t **ret, struct err *err) {
    enum rc rc =
        json_is_object(result) && known && json_object_update(result, known) == 0 ? RC_OK : err_memory(err);
    json_decref(known);
    if (rc != RC_OK) {
        json_decref(result);
        return rc;
    }
    *ret = result;
    return RC_OK;
}

static enum rc variant_json(struct store_tx *tx, const char *id, json_t **ret, struct err *err) {
    struct store_variant v;
    struct store_file *files;
    size_t n = 0;
    enum rc rc = store_variant_get(tx, id, &v, err);
    if (rc == RC_OK) {
        rc = store_variant_files(tx, id, &files, &n, err);
    }
    if (rc != RC_OK) {
        return rc;
    }
    json_t *result = stored_json(v.result_json ? v.result_json : "{}");
    json_t *empty = json_pack("{s:[], s:[], s:[], s:n, s:b}", "changed", "left_alone", "notes", "seconds",
                              "storage_only", 0);
    json_object_update_missing(result, empty);
    json_decref(empty);
    return join(result,
                json_pack("{s:s, s:s, s:s, s:s?, s:s, s:s?, s:s?, s:I, s:o, s:o}", "id", v.id, "model",
                          v.model, "recipe", v.recipe, "calibration", v.calibration, "state", v.state,
                          "error", v.error, "main", v.main, "bytes", (json_int_t)v.bytes, "files",
                          files_json(files, n), "created_at", stored_time(v.created_ms)),
                ret, err);
}

enum rc view_variant(struct jobs *j, const char *id, json_t **ret, struct err *err) {
    return read_view(j, variant_json, id, ret, err);
}

static enum rc evaluation_json(struct store_tx *tx, const char *id, json_t **ret, struct err *err) {
    struct store_evaluation e;
    enum rc rc = store_evaluation_get(tx, id, &e, err);
    if (rc != RC_OK) {
        return rc;
    }
    return join(stored_json(e.result_json),
                json_pack("{s:s, s:s, s:s, s:o, s:s, s:o}", "id", e.id, "variant", e.variant, "dataset",
                          e.dataset, "split", stored_json(e.split_json), "provenance", "measured",
                          "created_at", stored_time(e.created_ms)),
                ret, err);
}

enum rc view_evaluation(struct jobs *j, const char *id, json_t **ret, struct err *err) {
    return read_view(j, evaluation_json, id, ret, err);
}

static enum rc profile_json(struct store_tx *tx, const char *id, json_t **ret, struct err *err) {
    struct store_profile p;
    struct store_configuration c;
    enum rc rc = store_profile_get(tx, id, &p, err);
    if (rc == RC_OK) {
        rc = store_configuration_get(tx, p.configuration, &c, err);
    }
    if (rc != RC_OK) {
        return rc;
    }
    struct explanations *explanations = explanations_new();
    json_t *why = NULL, *result = stored_json(p.result_json);
    rc = explanations ? explanation_fields(explanations, tx, id, &why, err) : err_memory(err);
    explanations_free(explanations);
    if (rc == RC_OK && json_object_update(result, why) != 0) {
        rc = err_memory(err);
    }
    json_decref(why);
    if (rc != RC_OK) {
        json_decref(result);
        return rc;
    }
    return join(result,
                json_pack("{s:s, s:s, s:s, s:{s:I, s:I, s:I}, s:s, s:s, s:o}", "id", p.id, "configuration",
                          c.id, "variant", c.variant, "runtime", "instances", (json_int_t)c.instances,
                          "threads", (json_int_t)c.threads, "batch", (json_int_t)c.batch, "machine_type",
                          c.machine_type, "provenance", "measured", "created_at", stored_time(p.created_ms)),
                ret, err);
}

enum rc view_profile(struct jobs *j, const char *id, json_t **ret, struct err *err) {
    return read_view(j, profile_json, id, ret, err);
}

enum rc view_variant_artifact(struct jobs *j, const char *id, struct view_artifact *ret, struct err *err) {
    struct store_tx *tx;
    struct store_variant v;
    struct store_file *files;
    size_t n = 0;
    enum rc rc = store_read_begin(j->store, &tx, err);
    if (rc != RC_OK) {
        return rc;
    }
    rc = store_variant_get(tx, id, &v, err);
    if (rc == RC_OK) {
        rc = store_variant_files(tx, id, &files, &n, err);
    }
    if (rc == RC_OK && n == 0) {
        rc = err_set(err, RC_NOT_FOUND, "the variant %s has no file: it is %s", id, v.state);
    }
    if (rc == RC_OK) {
        snprintf(ret->sha256, sizeof(ret->sha256), "%s", files[0].sha256);
        snprintf(ret->name, sizeof(ret->name), "%s", file_base_name(files[0].path));
    }
    store_read_end(tx);
    return rc;
}
