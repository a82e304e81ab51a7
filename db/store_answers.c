#include "db/store_answers.h"

#include "db/sql.h"

enum rc store_recommendation_add(struct store_tx *tx, const struct store_recommendation *r, struct err *err) {
    return sql_run(tx, SQL_RECOMMENDATION_ADD,
                   ARGS(TEXT(r->id), TEXT(r->study), TEXT(r->request_json), TEXT(r->answer_json),
                        INT(store_tx_now_ms(tx)), TEXT(r->more_rejected_json)),
                   NULL, err);
}

enum rc store_recommendation_get(struct store_tx *tx, const char *id, struct store_recommendation *ret,
                                 struct err *err) {
    struct sql_rows rows;
    enum rc rc = sql_first(tx, SQL_RECOMMENDATION_GET, ARGS(TEXT(id)), "recommendation", id, &rows, err);
    if (rc != RC_OK) {
        return rc;
    }
    ret->id = sql_text(&rows);
    ret->study = sql_text(&rows);
    ret->request_json = sql_text(&rows);
    ret->answer_json = sql_text(&rows);
    ret->created_ms = sql_int(&rows);
    ret->more_rejected_json = sql_text(&rows);
    return sql_end(&rows, err);
}

enum rc store_gates_list(struct store_tx *tx, const struct store_page *page, struct store_gate **ret,
                         size_t *n, struct err *err) {
    struct sql_rows rows;
    void *items = NULL;
    size_t count = 0;
    sql_query(tx, SQL_GATES_LIST, ARGS(INT(page->before), INT(page->limit)), &rows);
    while (sql_next(&rows)) {
        struct store_gate *g = sql_grow(&rows, &items, count, sizeof(*g));
        if (g) {
            g->name = sql_text(&rows);
            g->last_verdict = sql_text(&rows);
            g->runs = sql_int(&rows);
            g->last_ms = sql_int(&rows);
            g->row = sql_int(&rows);
            count++;
        }
    }
    *ret = items;
    *n = count;
    return sql_end(&rows, err);
}

enum rc store_gate_run_add(struct store_tx *tx, const struct store_gate_run *r, struct err *err) {
    enum rc rc = sql_run(tx, SQL_GATE_ADD, ARGS(TEXT(r->gate), INT(store_tx_now_ms(tx))), NULL, err);
    if (rc != RC_OK) {
        return rc;
    }
    return sql_run(
        tx, SQL_GATE_RUN_ADD,
        ARGS(TEXT(r->id), TEXT(r->gate), TEXT(r->verdict), TEXT(r->answer_json), INT(store_tx_now_ms(tx))),
        NULL, err);
}

enum rc store_gate_runs(struct store_tx *tx, const char *gate, uint32_t limit, struct store_gate_run **ret,
                        size_t *n, struct err *err) {
    struct sql_rows rows;
    void *items = NULL;
    size_t count = 0;
    int64_t exists = 0;
    enum rc rc = sql_number(tx, SQL_GATE_EXISTS, ARGS(TEXT(gate)), &exists, err);
    if (rc != RC_OK || !exists) {
        return rc != RC_OK ? rc : err_set(err, RC_NOT_FOUND, "there is no gate \"%s\"", gate);
    }
    sql_query(tx, SQL_GATE_RUNS, ARGS(TEXT(gate), INT(limit)), &rows);
    while (sql_next(&rows)) {
        struct store_gate_run *g = sql_grow(&rows, &items, count, sizeof(*g));
        if (g) {
            g->id = sql_text(&rows);
            g->gate = sql_text(&rows);
            g->verdict = sql_text(&rows);
            g->answer_json = sql_text(&rows);
            g->created_ms = sql_int(&rows);
            count++;
        }
    }
    *ret = items;
    *n = count;
    return sql_end(&rows, err);
}

enum rc store_counts(struct store_tx *tx, struct store_count **ret, size_t *n, struct err *err) {
    struct sql_rows rows;
    void *items = NULL;
    size_t count = 0;
    sql_query(tx, SQL_COUNTS, NO_ARGS, &rows);
    while (sql_next(&rows)) {
        struct store_count *c = sql_grow(&rows, &items, count, sizeof(*c));
        if (c) {
            c->what = sql_text(&rows);
            c->group = sql_text(&rows);
            c->n = sql_int(&rows);
            count++;
        }
    }
    *ret = items;
    *n = count;
    return sql_end(&rows, err);
}
