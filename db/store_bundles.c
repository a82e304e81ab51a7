#include "db/store_bundles.h"

#include "db/sql.h"

enum rc store_bundle_add(struct store_tx *tx, const struct store_bundle *b, struct err *err) {
    return sql_run(tx, SQL_BUNDLE_ADD,
                   ARGS(TEXT(b->id), TEXT(b->study), BYTES(b->public_key, STORE_BUNDLE_KEY),
                        TEXT(b->bundle_json), INT(store_tx_now_ms(tx))),
                   NULL, err);
}

enum rc store_bundle_get(struct store_tx *tx, const char *id, struct store_bundle *ret, struct err *err) {
    struct sql_rows rows;
    size_t size = 0;
    enum rc rc = sql_first(tx, SQL_BUNDLE_GET, ARGS(TEXT(id)), "bundle", id, &rows, err);
    if (rc != RC_OK) {
        return rc;
    }
    ret->id = sql_text(&rows);
    ret->study = sql_text(&rows);
    ret->public_key = sql_bytes(&rows, &size);
    ret->bundle_json = sql_text(&rows);
    ret->results_sha256 = sql_text(&rows);
    ret->answer_json = sql_text(&rows);
    ret->imported_ms = sql_int(&rows);
    return sql_end(&rows, err);
}

enum rc store_bundle_imported(struct store_tx *tx, const char *id, const char *results_sha256,
                              const char *answer_json, struct err *err) {
    int64_t changed = 0;
    enum rc rc = sql_run(tx, SQL_BUNDLE_IMPORTED,
                         ARGS(TEXT(id), TEXT(results_sha256), TEXT(answer_json), INT(store_tx_now_ms(tx))),
                         &changed, err);
    return rc == RC_OK && changed == 0
               ? err_set(err, RC_CONFLICT, "results of bundle %s were imported at the same time", id)
               : rc;
}
