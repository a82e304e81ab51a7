#include "db/migrate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char FOLDER[] = "db/migrations/";

/* The number of a migration's name, 0 for any other asset. */
static int number_of(const struct asset *a) {
    if (strncmp(a->name, FOLDER, sizeof(FOLDER) - 1) != 0) {
        return 0;
    }
    return (int)strtol(a->name + sizeof(FOLDER) - 1, NULL, 10);
}

static const struct asset *find(const struct asset *assets, size_t n, int number) {
    for (size_t i = 0; i < n; i++) {
        if (number_of(&assets[i]) == number) {
            return &assets[i];
        }
    }
    return NULL;
}

static enum rc version_of(struct sql *sql, int *ret, struct err *err) {
    sqlite3_stmt *s;
    if (sqlite3_prepare_v2(sql->handle, "PRAGMA user_version", -1, &s, NULL) != SQLITE_OK) {
        return sql_error(sql, err);
    }
    bool row = sqlite3_step(s) == SQLITE_ROW;
    if (row) {
        *ret = sqlite3_column_int(s, 0);
    }
    sqlite3_finalize(s);
    return row ? RC_OK : sql_error(sql, err);
}

static enum rc run_one(struct sql *sql, const struct asset *a, int number, struct err *err) {
    char set_version[64];
    snprintf(set_version, sizeof(set_version), "PRAGMA user_version = %d; COMMIT;", number);
    enum rc rc = sql_text_run(sql, "BEGIN IMMEDIATE", err);
    if (rc == RC_OK) {
        rc = sql_text_run(sql, a->data, err);
    }
    if (rc == RC_OK) {
        rc = sql_text_run(sql, set_version, err);
    }
    if (rc != RC_OK) {
        sql_try(sql, "ROLLBACK");
        return err_prefix(err, "migration %s", a->name);
    }
    return RC_OK;
}

enum rc migrate_run(struct sql *sql, const struct asset *assets, size_t n, struct err *err) {
    int version = 0, newest = 0;
    while (find(assets, n, newest + 1)) {
        newest++;
    }
    enum rc rc = version_of(sql, &version, err);
    if (rc != RC_OK) {
        return rc;
    }
    if (version > newest) {
        return err_set(err, RC_UNSUPPORTED,
                       "the database has schema version %d and this Pare knows versions up to %d: it was "
                       "written by a newer "
                       "Pare; use that one, or another data folder",
                       version, newest);
    }
    for (int i = version + 1; rc == RC_OK && i <= newest; i++) {
        rc = run_one(sql, find(assets, n, i), i, err);
    }
    return rc;
}
