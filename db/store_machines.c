#include "db/store_machines.h"

#include "db/sql.h"

static void read_machine_type(struct sql_rows *r, struct store_machine_type *m) {
    m->id = sql_text(r);
    m->name = sql_text(r);
    m->fingerprint_json = sql_text(r);
    m->instance_type = sql_text(r);
    m->price.usd_per_hour = sql_real(r);
    m->price.source = sql_text(r);
    m->price.as_of = sql_text(r);
    m->created_ms = sql_int(r);
}

enum rc store_machine_type_add(struct store_tx *tx, const struct store_machine_type *m, struct err *err) {
    return sql_run(tx, SQL_MACHINE_TYPE_ADD,
                   ARGS(TEXT(m->id), TEXT(m->name), TEXT(m->fingerprint_json), TEXT(m->instance_type),
                        INT(store_tx_now_ms(tx))),
                   NULL, err);
}

enum rc store_machine_type_get(struct store_tx *tx, const char *id, struct store_machine_type *ret,
                               struct err *err) {
    struct sql_rows rows;
    enum rc rc = sql_first(tx, SQL_MACHINE_TYPE_GET, ARGS(TEXT(id)), "machine type", id, &rows, err);
    if (rc != RC_OK) {
        return rc;
    }
    read_machine_type(&rows, ret);
    return sql_end(&rows, err);
}

enum rc store_machine_types_list(struct store_tx *tx, struct store_machine_type **ret, size_t *n,
                                 struct err *err) {
    struct sql_rows rows;
    void *items = NULL;
    size_t count = 0;
    sql_query(tx, SQL_MACHINE_TYPES_LIST, NO_ARGS, &rows);
    while (sql_next(&rows)) {
        struct store_machine_type *m = sql_grow(&rows, &items, count, sizeof(*m));
        if (m) {
            read_machine_type(&rows, m);
            count++;
        }
    }
    *ret = items;
    *n = count;
    return sql_end(&rows, err);
}

enum rc store_machine_type_set(struct store_tx *tx, const char *id, const char *name,
                               const char *instance_type, struct err *err) {
    int64_t changed = 0;
    enum rc rc =
        sql_run(tx, SQL_MACHINE_TYPE_SET, ARGS(TEXT(id), TEXT(name), TEXT(instance_type)), &changed, err);
    if (rc == RC_OK && changed == 0) {
        return err_set(err, RC_NOT_FOUND, "there is no machine type \"%s\"", id);
    }
    return rc;
}

enum rc store_price_set(struct store_tx *tx, const char *machine_type, const struct store_price *price,
                        struct err *err) {
    return sql_run(tx, SQL_PRICE_SET,
                   ARGS(TEXT(machine_type), REAL(price->usd_per_hour), TEXT(price->source),
                        TEXT(price->as_of), INT(store_tx_now_ms(tx))),
                   NULL, err);
}

static void read_target(struct sql_rows *r, struct store_target *t) {
    t->id = sql_text(r);
    t->name = sql_text(r);
    t->machine_type = sql_text(r);
    t->fingerprint_json = sql_text(r);
    t->last_seen_ms = sql_int(r);
    t->created_ms = sql_int(r);
}

enum rc store_target_put(struct store_tx *tx, const struct store_target *t, struct err *err) {
    return sql_run(tx, SQL_TARGET_PUT,
                   ARGS(TEXT(t->id), TEXT(t->name), TEXT(t->machine_type), TEXT(t->fingerprint_json),
                        INT(store_tx_now_ms(tx))),
                   NULL, err);
}

enum rc store_target_put_unseen(struct store_tx *tx, const struct store_target *t, struct err *err) {
    struct store_target before = {0};
    enum rc rc = store_target_get(tx, t->id, &before, err);
    if ((rc != RC_OK && rc != RC_NOT_FOUND) || before.last_seen_ms > 0) {
        return rc;
    }
    rc = store_target_put(tx, t, err);
    return rc == RC_OK ? sql_run(tx, SQL_TARGET_SET_SEEN, ARGS(TEXT(t->id), INT(0)), NULL, err) : rc;
}

enum rc store_target_seen(struct store_tx *tx, const char *id, struct err *err) {
    return sql_run(tx, SQL_TARGET_SEEN, ARGS(TEXT(id), INT(store_tx_now_ms(tx))), NULL, err);
}

enum rc store_target_get(struct store_tx *tx, const char *id, struct store_target *ret, struct err *err) {
    struct sql_rows rows;
    enum rc rc = sql_first(tx, SQL_TARGET_GET, ARGS(TEXT(id)), "target", id, &rows, err);
    if (rc != RC_OK) {
        return rc;
    }
    read_target(&rows, ret);
    return sql_end(&rows, err);
}

enum rc store_targets_list(struct store_tx *tx, struct store_target **ret, size_t *n, struct err *err) {
    struct sql_rows rows;
    void *items = NULL;
    size_t count = 0;
    sql_query(tx, SQL_TARGETS_LIST, NO_ARGS, &rows);
    while (sql_next(&rows)) {
        struct store_target *t = sql_grow(&rows, &items, count, sizeof(*t));
        if (t) {
            read_target(&rows, t);
            count++;
        }
    }
    *ret = items;
    *n = count;
    return sql_end(&rows, err);
}
