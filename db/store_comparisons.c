#include "db/store_comparisons.h"

#include "db/sql.h"

enum rc store_comparison_add(struct store_tx *tx, const struct store_comparison *c, const char *const *files,
                             size_t n, struct err *err) {
    enum rc rc = sql_run(tx, SQL_COMPARISON_ADD,
                         ARGS(TEXT(c->id), TEXT(c->key), TEXT(c->machine_type), TEXT(c->request_json),
                              TEXT(c->spec_json), INT(store_tx_now_ms(tx))),
                         NULL, err);
    for (size_t i = 0; rc == RC_OK && i < n; i++) {
        rc = sql_run(tx, SQL_COMPARISON_FILE_ADD, ARGS(TEXT(c->id), TEXT(files[i])), NULL, err);
    }
    return rc;
}

static enum rc get(struct store_tx *tx, enum statement id, const char *name, struct store_comparison *c,
                   struct err *err) {
    struct sql_rows rows;
    enum rc rc = sql_first(tx, id, ARGS(TEXT(name)), "comparison", name, &rows, err);
    if (rc != RC_OK) {
        return rc;
    }
    c->id = sql_text(&rows);
    c->key = sql_text(&rows);
    c->state = sql_text(&rows);
    c->machine_type = sql_text(&rows);
    c->request_json = sql_text(&rows);
    c->spec_json = sql_text(&rows);
    c->verdict = sql_text(&rows);
    c->result_json = sql_text(&rows);
    c->error_code = sql_text(&rows);
    c->error_text = sql_text(&rows);
    c->created_ms = sql_int(&rows);
    c->finished_ms = sql_int(&rows);
    return sql_end(&rows, err);
}

enum rc store_comparison_get(struct store_tx *tx, const char *id, struct store_comparison *ret,
                             struct err *err) {
    return get(tx, SQL_COMPARISON_GET, id, ret, err);
}

enum rc store_comparison_by_key(struct store_tx *tx, const char *key, struct store_comparison *ret,
                                struct err *err) {
    return get(tx, SQL_COMPARISON_BY_KEY, key, ret, err);
}

enum rc store_comparisons_open(struct store_tx *tx, const char ***ret, size_t *n, struct err *err) {
    return sql_names(tx, SQL_COMPARISONS_OF_STATE, "running", ret, n, err);
}

enum rc store_comparison_end(struct store_tx *tx, const struct store_comparison *c, struct err *err) {
    int64_t changed = 0;
    enum rc rc = sql_run(tx, SQL_COMPARISON_END,
                         ARGS(TEXT(c->id), TEXT(c->state), TEXT(c->verdict), TEXT(c->result_json),
                              TEXT(c->error_code), TEXT(c->error_text), INT(store_tx_now_ms(tx))),
                         &changed, err);
    return rc == RC_OK && changed == 0 ? err_set(err, RC_CONFLICT, "the comparison %s has ended", c->id) : rc;
}

enum rc store_replicate_add(struct store_tx *tx, const char *comparison, const struct store_replicate *r,
                            const struct store_replicate_samples *samples, size_t n, struct err *err) {
    int64_t added = 0;
    enum rc rc = sql_run(tx, SQL_REPLICATE_ADD,
                         ARGS(TEXT(comparison), INT(r->number), REAL(r->log_ratio), REAL(r->seconds),
                              INT(r->stable ? 1 : 0), TEXT(r->result_json), INT(store_tx_now_ms(tx))),
                         &added, err);
    for (size_t i = 0; rc == RC_OK && added && i < n; i++) {
        rc = sql_run(tx, SQL_REPLICATE_SAMPLES_ADD,
                     ARGS(TEXT(comparison), INT(r->number), TEXT(samples[i].side), TEXT(samples[i].sha256),
                          INT(samples[i].samples)),
                     NULL, err);
    }
    return rc;
}

enum rc store_replicates(struct store_tx *tx, const char *comparison, struct store_replicate **ret, size_t *n,
                         struct err *err) {
    struct sql_rows rows;
    void *items = NULL;
    size_t count = 0;
    sql_query(tx, SQL_REPLICATES_OF, ARGS(TEXT(comparison)), &rows);
    while (sql_next(&rows)) {
        struct store_replicate *r = sql_grow(&rows, &items, count, sizeof(*r));
        if (r) {
            r->number = sql_int(&rows);
            r->log_ratio = sql_real(&rows);
            r->seconds = sql_real(&rows);
            r->stable = sql_int(&rows) != 0;
            r->result_json = sql_text(&rows);
            count++;
        }
    }
    *ret = items;
    *n = count;
    return sql_end(&rows, err);
}

enum rc store_replicate_sample(struct store_tx *tx, const char *comparison, int64_t number, const char *side,
                               struct store_replicate_samples *ret, struct err *err) {
    struct sql_rows rows;
    enum rc rc = sql_first(tx, SQL_REPLICATE_SAMPLE, ARGS(TEXT(comparison), INT(number), TEXT(side)),
                           "sample of a replicate", comparison, &rows, err);
    if (rc != RC_OK) {
        return rc;
    }
    ret->side = sql_text(&rows);
    ret->sha256 = sql_text(&rows);
    ret->samples = sql_int(&rows);
    return sql_end(&rows, err);
}
