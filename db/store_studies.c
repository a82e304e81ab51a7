#include "db/store_studies.h"

#include "db/sql.h"

static void read_study(struct sql_rows *r, struct store_study *s) {
    s->id = sql_text(r);
    s->state = sql_text(r);
    s->model = sql_text(r);
    s->dataset = sql_text(r);
    s->calibration = sql_text(r);
    s->request_json = sql_text(r);
    s->plan_json = sql_text(r);
    s->recommendation = sql_text(r);
    s->error_code = sql_text(r);
    s->error_text = sql_text(r);
    s->done = sql_int(r);
    s->total = sql_int(r);
    s->created_ms = sql_int(r);
    s->finished_ms = sql_int(r);
    s->row = sql_int(r);
}

enum rc store_study_add(struct store_tx *tx, const struct store_study *s, struct err *err) {
    return sql_run(tx, SQL_STUDY_ADD,
                   ARGS(TEXT(s->id), TEXT(s->model), TEXT(s->dataset), TEXT(s->calibration),
                        TEXT(s->request_json), INT(store_tx_now_ms(tx))),
                   NULL, err);
}

enum rc store_study_get(struct store_tx *tx, const char *id, struct store_study *ret, struct err *err) {
    struct sql_rows rows;
    enum rc rc = sql_first(tx, SQL_STUDY_GET, ARGS(TEXT(id)), "study", id, &rows, err);
    if (rc != RC_OK) {
        return rc;
    }
    read_study(&rows, ret);
    return sql_end(&rows, err);
}

static enum rc read_studies(struct sql_rows *rows, struct store_study **ret, size_t *n, struct err *err) {
    void *items = NULL;
    size_t count = 0;
    while (sql_next(rows)) {
        struct store_study *s = sql_grow(rows, &items, count, sizeof(*s));
        if (s) {
            read_study(rows, s);
            count++;
        }
    }
    *ret = items;
    *n = count;
    return sql_end(rows, err);
}

enum rc store_studies_list(struct store_tx *tx, const struct store_page *page, struct store_study **ret,
                           size_t *n, struct err *err) {
    struct sql_rows rows;
    sql_query(tx, SQL_STUDIES_LIST, ARGS(INT(page->before), INT(page->limit)), &rows);
    return read_studies(&rows, ret, n, err);
}

enum rc store_studies_open(struct store_tx *tx, struct store_study **ret, size_t *n, struct err *err) {
    struct sql_rows rows;
    sql_query(tx, SQL_STUDIES_OPEN, NO_ARGS, &rows);
    return read_studies(&rows, ret, n, err);
}

enum rc store_study_start(struct store_tx *tx, const char *id, struct err *err) {
    return sql_run(tx, SQL_STUDY_START, ARGS(TEXT(id)), NULL, err);
}

enum rc store_study_plan(struct store_tx *tx, const char *id, const char *plan_json, struct err *err) {
    return sql_run(tx, SQL_STUDY_PLAN, ARGS(TEXT(id), TEXT(plan_json)), NULL, err);
}

enum rc store_study_plan_more(struct store_tx *tx, const char *id, const char *plan_json, struct err *err) {
    return sql_run(tx, SQL_STUDY_PLAN_MORE, ARGS(TEXT(id), TEXT(plan_json)), NULL, err);
}

enum rc store_study_progress(struct store_tx *tx, const char *id, int64_t done, int64_t total,
                             struct err *err) {
    return sql_run(tx, SQL_STUDY_PROGRESS, ARGS(TEXT(id), INT(done), INT(total)), NULL, err);
}

enum rc store_study_end(struct store_tx *tx, const char *id, const char *state, const char *recommendation,
                        const char *error_code, const char *error_text, struct err *err) {
    int64_t changed = 0;
    enum rc rc = sql_run(tx, SQL_STUDY_END,
                         ARGS(TEXT(id), TEXT(state), TEXT(recommendation), TEXT(error_code), TEXT(error_text),
                              INT(store_tx_now_ms(tx))),
                         &changed, err);
    if (rc == RC_OK && changed == 0) {
        return err_set(err, RC_CONFLICT, "the study \"%s\" has already ended", id);
    }
    return rc;
}

enum rc store_study_add_variant(struct store_tx *tx, const char *study, int64_t position, const char *variant,
                                struct err *err) {
    return sql_run(tx, SQL_STUDY_VARIANT_ADD, ARGS(TEXT(study), INT(position), TEXT(variant)), NULL, err);
}

enum rc store_study_variants(struct store_tx *tx, const char *study, const char ***ret, size_t *n,
                             struct err *err) {
    return sql_names(tx, SQL_STUDY_VARIANTS, study, ret, n, err);
}

enum rc store_event_add(struct store_tx *tx, const char *study, const char *kind, const char *data_json,
                        struct err *err) {
    return sql_run(tx, SQL_EVENT_ADD,
                   ARGS(TEXT(study), TEXT(kind), TEXT(data_json), INT(store_tx_now_ms(tx))), NULL, err);
}

enum rc store_events_after(struct store_tx *tx, const char *study, int64_t seq, uint32_t limit,
                           struct store_event **ret, size_t *n, struct err *err) {
    struct sql_rows rows;
    void *items = NULL;
    size_t count = 0;
    sql_query(tx, SQL_EVENTS_AFTER, ARGS(TEXT(study), INT(seq), INT(limit)), &rows);
    while (sql_next(&rows)) {
        struct store_event *e = sql_grow(&rows, &items, count, sizeof(*e));
        if (e) {
            e->seq = sql_int(&rows);
            e->kind = sql_text(&rows);
            e->data_json = sql_text(&rows);
            count++;
        }
    }
    *ret = items;
    *n = count;
    return sql_end(&rows, err);
}

enum rc store_events_trim(struct store_tx *tx, const char *study, struct err *err) {
    return sql_run(tx, SQL_EVENTS_TRIM, ARGS(TEXT(study)), NULL, err);
}
