#include "db/store_models.h"

#include "db/sql.h"

static void read_model(struct sql_rows *r, struct store_model *m) {
    m->id = sql_text(r);
    m->name = sql_text(r);
    m->family = sql_text(r);
    m->main = sql_text(r);
    m->bytes = sql_int(r);
    m->created_ms = sql_int(r);
    m->row = sql_int(r);
}

enum rc store_model_add(struct store_tx *tx, const struct store_model *m, const struct store_file *files,
                        size_t n, bool *created, struct err *err) {
    int64_t added = 0;
    enum rc rc = sql_run(tx, SQL_MODEL_ADD,
                         ARGS(TEXT(m->id), TEXT(m->name), TEXT(m->family), TEXT(m->main), INT(m->bytes),
                              INT(store_tx_now_ms(tx))),
                         &added, err);
    for (size_t i = 0; rc == RC_OK && added && i < n; i++) {
        rc = sql_run(tx, SQL_MODEL_FILE_ADD,
                     ARGS(TEXT(m->id), INT((int64_t)i), TEXT(files[i].path), TEXT(files[i].sha256),
                          INT(files[i].bytes)),
                     NULL, err);
    }
    if (rc == RC_OK) {
        *created = added > 0;
    }
    return rc;
}

static enum rc get_model(struct store_tx *tx, enum statement id, const char *name, struct store_model *ret,
                         struct err *err) {
    struct sql_rows rows;
    enum rc rc = sql_first(tx, id, ARGS(TEXT(name)), "model", name, &rows, err);
    if (rc != RC_OK) {
        return rc;
    }
    read_model(&rows, ret);
    return sql_end(&rows, err);
}

enum rc store_model_get(struct store_tx *tx, const char *id, struct store_model *ret, struct err *err) {
    return get_model(tx, SQL_MODEL_GET, id, ret, err);
}

enum rc store_model_by_name(struct store_tx *tx, const char *name, struct store_model *ret, struct err *err) {
    return get_model(tx, SQL_MODEL_BY_NAME, name, ret, err);
}

enum rc store_model_files(struct store_tx *tx, const char *id, struct store_file **ret, size_t *n,
                          struct err *err) {
    return sql_files(tx, SQL_MODEL_FILES, id, ret, n, err);
}

enum rc store_models_list(struct store_tx *tx, const struct store_page *page, struct store_model **ret,
                          size_t *n, struct err *err) {
    struct sql_rows rows;
    void *items = NULL;
    size_t count = 0;
    sql_query(tx, SQL_MODELS_LIST, ARGS(INT(page->before), INT(page->limit)), &rows);
    while (sql_next(&rows)) {
        struct store_model *m = sql_grow(&rows, &items, count, sizeof(*m));
        if (m) {
            read_model(&rows, m);
            count++;
        }
    }
    *ret = items;
    *n = count;
    return sql_end(&rows, err);
}

/* Deletes a row of `what` that no study counts as used. */
static enum rc delete_unused(struct store_tx *tx, enum statement uses, enum statement delete,
                             const char *what, const char *id, struct err *err) {
    int64_t used = 0, deleted = 0;
    enum rc rc = sql_number(tx, uses, ARGS(TEXT(id)), &used, err);
    if (rc == RC_OK && used > 0) {
        return err_set(err, RC_CONFLICT, "%lld studies use this %s; it stays as long as they do",
                       (long long)used, what);
    }
    if (rc == RC_OK) {
        rc = sql_run(tx, delete, ARGS(TEXT(id)), &deleted, err);
    }
    if (rc == RC_OK && deleted == 0) {
        return err_set(err, RC_NOT_FOUND, "there is no %s \"%s\"", what, id);
    }
    return rc;
}

enum rc store_model_delete(struct store_tx *tx, const char *id, struct err *err) {
    return delete_unused(tx, SQL_MODEL_USES, SQL_MODEL_DELETE, "model", id, err);
}

static void read_dataset(struct sql_rows *r, struct store_dataset *d) {
    d->id = sql_text(r);
    d->name = sql_text(r);
    d->format = sql_text(r);
    d->input = sql_text(r);
    d->labels = sql_text(r);
    d->preprocess_json = sql_text(r);
    d->bytes = sql_int(r);
    bool counted = !sql_is_null(r);
    d->examples = sql_int(r);
    if (!counted) {
        d->examples = -1;
    }
    d->created_ms = sql_int(r);
    d->row = sql_int(r);
}

enum rc store_dataset_add(struct store_tx *tx, const struct store_dataset *d, const struct store_file *files,
                          size_t n, bool *created, struct err *err) {
    int64_t added = 0;
    enum rc rc = sql_run(tx, SQL_DATASET_ADD,
                         ARGS(TEXT(d->id), TEXT(d->name), TEXT(d->format), TEXT(d->input), TEXT(d->labels),
                              TEXT(d->preprocess_json), INT(d->bytes),
                              d->examples < 0 ? TEXT(NULL) : INT(d->examples), INT(store_tx_now_ms(tx))),
                         &added, err);
    for (size_t i = 0; rc == RC_OK && added && i < n; i++) {
        rc = sql_run(tx, SQL_DATASET_FILE_ADD,
                     ARGS(TEXT(d->id), INT((int64_t)i), TEXT(files[i].path), TEXT(files[i].role),
                          TEXT(files[i].sha256), INT(files[i].bytes)),
                     NULL, err);
    }
    if (rc == RC_OK) {
        *created = added > 0;
    }
    return rc;
}

enum rc store_dataset_get(struct store_tx *tx, const char *id, struct store_dataset *ret, struct err *err) {
    struct sql_rows rows;
    enum rc rc = sql_first(tx, SQL_DATASET_GET, ARGS(TEXT(id)), "dataset", id, &rows, err);
    if (rc != RC_OK) {
        return rc;
    }
    read_dataset(&rows, ret);
    return sql_end(&rows, err);
}

enum rc store_dataset_files(struct store_tx *tx, const char *id, struct store_file **ret, size_t *n,
                            struct err *err) {
    struct sql_rows rows;
    void *items = NULL;
    size_t count = 0;
    sql_query(tx, SQL_DATASET_FILES, ARGS(TEXT(id)), &rows);
    while (sql_next(&rows)) {
        struct store_file *f = sql_grow(&rows, &items, count, sizeof(*f));
        if (f) {
            sql_file(&rows, f);
            f->role = sql_text(&rows);
            count++;
        }
    }
    *ret = items;
    *n = count;
    return sql_end(&rows, err);
}

enum rc store_datasets_list(struct store_tx *tx, const struct store_page *page, struct store_dataset **ret,
                            size_t *n, struct err *err) {
    struct sql_rows rows;
    void *items = NULL;
    size_t count = 0;
    sql_query(tx, SQL_DATASETS_LIST, ARGS(INT(page->before), INT(page->limit)), &rows);
    while (sql_next(&rows)) {
        struct store_dataset *d = sql_grow(&rows, &items, count, sizeof(*d));
        if (d) {
            read_dataset(&rows, d);
            count++;
        }
    }
    *ret = items;
    *n = count;
    return sql_end(&rows, err);
}

enum rc store_dataset_set_examples(struct store_tx *tx, const char *id, int64_t examples, struct err *err) {
    return sql_run(tx, SQL_DATASET_EXAMPLES, ARGS(TEXT(id), INT(examples)), NULL, err);
}

enum rc store_dataset_delete(struct store_tx *tx, const char *id, struct err *err) {
    return delete_unused(tx, SQL_DATASET_USES, SQL_DATASET_DELETE, "dataset", id, err);
}
