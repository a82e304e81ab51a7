#include "db/store_work.h"

#include "db/sql.h"

static void read_variant(struct sql_rows *r, struct store_variant *v) {
    v->id = sql_text(r);
    v->model = sql_text(r);
    v->recipe = sql_text(r);
    v->calibration = sql_text(r);
    v->state = sql_text(r);
    v->error = sql_text(r);
    v->main = sql_text(r);
    v->result_json = sql_text(r);
    v->bytes = sql_int(r);
    v->created_ms = sql_int(r);
}

enum rc store_variant_add(struct store_tx *tx, const struct store_variant *v, struct err *err) {
    return sql_run(
        tx, SQL_VARIANT_ADD,
        ARGS(TEXT(v->id), TEXT(v->model), TEXT(v->recipe), TEXT(v->calibration), INT(store_tx_now_ms(tx))),
        NULL, err);
}

enum rc store_variant_get(struct store_tx *tx, const char *id, struct store_variant *ret, struct err *err) {
    struct sql_rows rows;
    enum rc rc = sql_first(tx, SQL_VARIANT_GET, ARGS(TEXT(id)), "variant", id, &rows, err);
    if (rc != RC_OK) {
        return rc;
    }
    read_variant(&rows, ret);
    return sql_end(&rows, err);
}

enum rc store_variant_files(struct store_tx *tx, const char *id, struct store_file **ret, size_t *n,
                            struct err *err) {
    return sql_files(tx, SQL_VARIANT_FILES, id, ret, n, err);
}

enum rc store_variant_ready(struct store_tx *tx, const char *id, const struct store_file *files, size_t n,
                            const char *result_json, struct err *err) {
    int64_t bytes = 0, changed = 0;
    for (size_t i = 0; i < n; i++) {
        bytes += files[i].bytes;
    }
    enum rc rc = sql_run(tx, SQL_VARIANT_READY,
                         ARGS(TEXT(id), TEXT(files[0].path), INT(bytes), TEXT(result_json)), &changed, err);
    for (size_t i = 0; rc == RC_OK && changed && i < n; i++) {
        rc = sql_run(
            tx, SQL_VARIANT_FILE_ADD,
            ARGS(TEXT(id), INT((int64_t)i), TEXT(files[i].path), TEXT(files[i].sha256), INT(files[i].bytes)),
            NULL, err);
    }
    return rc;
}

enum rc store_variant_failed(struct store_tx *tx, const char *id, const char *error, struct err *err) {
    return sql_run(tx, SQL_VARIANT_FAILED, ARGS(TEXT(id), TEXT(error)), NULL, err);
}

enum rc store_variant_pending(struct store_tx *tx, const char *id, struct err *err) {
    return sql_run(tx, SQL_VARIANT_PENDING, ARGS(TEXT(id)), NULL, err);
}

enum rc store_variants_of_model(struct store_tx *tx, const char *model, struct store_variant **ret, size_t *n,
                                struct err *err) {
    struct sql_rows rows;
    void *items = NULL;
    size_t count = 0;
    sql_query(tx, SQL_VARIANTS_OF_MODEL, ARGS(TEXT(model)), &rows);
    while (sql_next(&rows)) {
        struct store_variant *v = sql_grow(&rows, &items, count, sizeof(*v));
        if (v) {
            read_variant(&rows, v);
            count++;
        }
    }
    *ret = items;
    *n = count;
    return sql_end(&rows, err);
}

static void read_configuration(struct sql_rows *r, struct store_configuration *c) {
    c->id = sql_text(r);
    c->variant = sql_text(r);
    c->machine_type = sql_text(r);
    c->instances = sql_int(r);
    c->threads = sql_int(r);
    c->batch = sql_int(r);
    c->created_ms = sql_int(r);
}

enum rc store_configuration_add(struct store_tx *tx, const struct store_configuration *c, struct err *err) {
    return sql_run(tx, SQL_CONFIGURATION_ADD,
                   ARGS(TEXT(c->id), TEXT(c->variant), TEXT(c->machine_type), INT(c->instances),
                        INT(c->threads), INT(c->batch), INT(store_tx_now_ms(tx))),
                   NULL, err);
}

enum rc store_configuration_get(struct store_tx *tx, const char *id, struct store_configuration *ret,
                                struct err *err) {
    struct sql_rows rows;
    enum rc rc = sql_first(tx, SQL_CONFIGURATION_GET, ARGS(TEXT(id)), "configuration", id, &rows, err);
    if (rc != RC_OK) {
        return rc;
    }
    read_configuration(&rows, ret);
    return sql_end(&rows, err);
}

enum rc store_configurations_of_variant(struct store_tx *tx, const char *variant,
                                        struct store_configuration **ret, size_t *n, struct err *err) {
    struct sql_rows rows;
    void *items = NULL;
    size_t count = 0;
    sql_query(tx, SQL_CONFIGURATIONS_OF_VARIANT, ARGS(TEXT(variant)), &rows);
    while (sql_next(&rows)) {
        struct store_configuration *c = sql_grow(&rows, &items, count, sizeof(*c));
        if (c) {
            read_configuration(&rows, c);
            count++;
        }
    }
    *ret = items;
    *n = count;
    return sql_end(&rows, err);
}
