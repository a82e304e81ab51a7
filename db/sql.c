#include "db/sql.h"

#include <stdlib.h>
#include <string.h>

#include "db/store_models.h"

static const char *const TEXTS[STATEMENT_COUNT] = {
#define X(name, text) text,
    STATEMENTS(X)
#undef X
};

static const char *const NAMES[STATEMENT_COUNT] = {
#define X(name, text) #name,
    STATEMENTS(X)
#undef X
};

static const struct {
    int sqlite;
    enum rc rc;
} CODES[] = {
    {SQLITE_NOMEM, RC_MEMORY},       {SQLITE_TOOBIG, RC_TOO_LARGE}, {SQLITE_CONSTRAINT, RC_CONFLICT},
    {SQLITE_BUSY, RC_BUSY},          {SQLITE_FULL, RC_IO},          {SQLITE_IOERR, RC_IO},
    {SQLITE_CANTOPEN, RC_IO},        {SQLITE_READONLY, RC_IO},      {SQLITE_CORRUPT, RC_IO},
    {SQLITE_NOTADB, RC_UNSUPPORTED},
};

enum rc sql_error(const struct sql *sql, struct err *err) {
    int code = sqlite3_errcode(sql->handle) & 0xff;
    enum rc rc = RC_INTERNAL;
    for (size_t i = 0; i < sizeof(CODES) / sizeof(*CODES); i++) {
        if (CODES[i].sqlite == code) {
            rc = CODES[i].rc;
        }
    }
    return err_set(err, rc, "the database: %s", sqlite3_errmsg(sql->handle));
}

enum rc sql_text_run(struct sql *sql, const char *text, struct err *err) {
    return sqlite3_exec(sql->handle, text, NULL, NULL, NULL) == SQLITE_OK ? RC_OK : sql_error(sql, err);
}

void sql_try(struct sql *sql, const char *text) {
    sqlite3_exec(sql->handle, text, NULL, NULL, NULL);
}

/* Settings of a connection. No mmap_size and readers that never checkpoint: SQLite before 3.51.3 can corrupt
 * a WAL database when two connections write or checkpoint at once (sqlite.org/wal.html). */
static enum rc configure(struct sql *sql, enum sql_mode mode, struct err *err) {
    sqlite3_extended_result_codes(sql->handle, 1);
    sqlite3_busy_timeout(sql->handle, 10000);
    sqlite3_db_config(sql->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(sql->handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_limit(sql->handle, SQLITE_LIMIT_LENGTH, 64 * 1024 * 1024);
    if (mode == SQL_READER) {
        sqlite3_db_config(sql->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        return sql_text_run(sql, "PRAGMA query_only = 1; PRAGMA cache_size = -1024;", err);
    }
    return sql_text_run(sql,
                        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
                        "PRAGMA wal_autocheckpoint = 1000; PRAGMA cache_size = -4096;",
                        err);
}

enum rc sql_open(const char *path, enum sql_mode mode, struct sql **ret, struct err *err) {
    struct sql *sql = calloc(1, sizeof(*sql));
    if (!sql) {
        return err_memory(err);
    }
    int flags = mode == SQL_READER ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    enum rc rc = RC_OK;
    if (sqlite3_open_v2(path, &sql->handle, flags | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK) {
        rc = sql->handle ? sql_error(sql, err) : err_memory(err);
    }
    if (rc == RC_OK) {
        rc = configure(sql, mode, err);
    }
    if (rc != RC_OK) {
        sql_close(sql);
        return err_prefix(err, "%s", path);
    }
    *ret = sql;
    return RC_OK;
}

enum rc sql_prepare(struct sql *sql, struct err *err) {
    for (int i = 0; i < STATEMENT_COUNT; i++) {
        int code = sqlite3_prepare_v3(sql->handle, TEXTS[i], -1, SQLITE_PREPARE_PERSISTENT,
                                      &sql->statements[i], NULL);
        if (code != SQLITE_OK) {
            enum rc rc = sql_error(sql, err);
            (void)err_prefix(err, "statement %s", NAMES[i]);
            return rc;
        }
    }
    return RC_OK;
}

void sql_close(struct sql *sql) {
    if (!sql) {
        return;
    }
    for (int i = 0; i < STATEMENT_COUNT; i++) {
        sqlite3_finalize(sql->statements[i]);
    }
    sqlite3_close(sql->handle);
    free(sql);
}

static int bind(sqlite3_stmt *s, int i, const struct sql_arg *a) {
    switch (a->type) {
    case ARG_TEXT:
        return sqlite3_bind_text(s, i, a->data, -1, SQLITE_STATIC);
    case ARG_INT:
        return sqlite3_bind_int64(s, i, a->number);
    case ARG_REAL:
        return sqlite3_bind_double(s, i, a->real);
    case ARG_BYTES:
        return sqlite3_bind_blob64(s, i, a->data, a->size, SQLITE_STATIC);
    case ARG_NULL:
        break;
    }
    return sqlite3_bind_null(s, i);
}

static bool bind_all(sqlite3_stmt *s, struct sql_args args) {
    bool fine = (size_t)sqlite3_bind_parameter_count(s) == args.n;
    for (size_t i = 0; fine && i < args.n; i++) {
        fine = bind(s, (int)i + 1, &args.items[i]) == SQLITE_OK;
    }
    return fine;
}

static void release(sqlite3_stmt *s) {
    sqlite3_reset(s);
    sqlite3_clear_bindings(s);
}

enum rc sql_run(struct store_tx *tx, enum statement id, struct sql_args args, int64_t *changed,
                struct err *err) {
    sqlite3_stmt *s = tx->sql->statements[id];
    enum rc rc = RC_OK;
    if (!bind_all(s, args)) {
        rc = err_set(err, RC_INTERNAL, "statement %s: its arguments do not fit", NAMES[id]);
    } else if (sqlite3_step(s) != SQLITE_DONE) {
        rc = sql_error(tx->sql, err);
    } else if (changed) {
        *changed = sqlite3_changes64(tx->sql->handle);
    }
    release(s);
    return rc;
}

void sql_query(struct store_tx *tx, enum statement id, struct sql_args args, struct sql_rows *rows) {
    *rows = (struct sql_rows){.tx = tx, .statement = tx->sql->statements[id]};
    if (!bind_all(rows->statement, args)) {
        rows->rc = RC_INTERNAL;
    }
}

bool sql_next(struct sql_rows *rows) {
    if (rows->rc != RC_OK) {
        return false;
    }
    rows->column = 0;
    int code = sqlite3_step(rows->statement);
    if (code != SQLITE_ROW && code != SQLITE_DONE) {
        rows->rc = RC_IO;
    }
    return code == SQLITE_ROW;
}

enum rc sql_end(struct sql_rows *rows, struct err *err) {
    enum rc rc = rows->rc;
    if (rc == RC_IO) {
        rc = sql_error(rows->tx->sql, err);
    } else if (rc == RC_MEMORY) {
        rc = err_set(err, RC_TOO_LARGE, "the answer of the database is larger than one request may hold");
    } else if (rc != RC_OK) {
        rc = err_set(err, rc, "a statement of the database and its arguments do not fit");
    }
    release(rows->statement);
    return rc;
}

const char *sql_text(struct sql_rows *rows) {
    const unsigned char *text = sqlite3_column_text(rows->statement, rows->column);
    size_t size = (size_t)sqlite3_column_bytes(rows->statement, rows->column);
    rows->column++;
    if (!text) {
        return NULL;
    }
    const char *copy = arena_strndup(rows->tx->arena, (const char *)text, size);
    if (!copy) {
        rows->rc = RC_MEMORY;
    }
    return copy;
}

int64_t sql_int(struct sql_rows *rows) {
    return sqlite3_column_int64(rows->statement, rows->column++);
}

double sql_real(struct sql_rows *rows) {
    return sqlite3_column_double(rows->statement, rows->column++);
}

const void *sql_bytes(struct sql_rows *rows, size_t *size) {
    const void *bytes = sqlite3_column_blob(rows->statement, rows->column);
    *size = (size_t)sqlite3_column_bytes(rows->statement, rows->column);
    rows->column++;
    void *copy = bytes ? arena_alloc(rows->tx->arena, *size) : NULL;
    if (copy) {
        memcpy(copy, bytes, *size);
    } else if (bytes) {
        rows->rc = RC_MEMORY;
    }
    return copy;
}

bool sql_is_null(struct sql_rows *rows) {
    return sqlite3_column_type(rows->statement, rows->column) == SQLITE_NULL;
}

void *sql_grow(struct sql_rows *rows, void **items, size_t n, size_t size) {
    bool full = n == 0 || (n >= 8 && (n & (n - 1)) == 0);
    if (full) {
        void *bigger = arena_calloc(rows->tx->arena, n == 0 ? 8 : 2 * n, size);
        if (!bigger) {
            rows->rc = RC_MEMORY;
            return NULL;
        }
        if (n > 0) {
            memcpy(bigger, *items, n * size);
        }
        *items = bigger;
    }
    return (char *)*items + n * size;
}

enum rc sql_first(struct store_tx *tx, enum statement id, struct sql_args args, const char *what,
                  const char *name, struct sql_rows *rows, struct err *err) {
    sql_query(tx, id, args, rows);
    if (sql_next(rows)) {
        return RC_OK;
    }
    enum rc rc = sql_end(rows, err);
    return rc == RC_OK ? err_set(err, RC_NOT_FOUND, "there is no %s \"%s\"", what, name) : rc;
}

enum rc sql_number(struct store_tx *tx, enum statement id, struct sql_args args, int64_t *ret,
                   struct err *err) {
    struct sql_rows rows;
    sql_query(tx, id, args, &rows);
    int64_t number = 0;
    if (sql_next(&rows)) {
        number = sql_int(&rows);
    }
    enum rc rc = sql_end(&rows, err);
    if (rc == RC_OK) {
        *ret = number;
    }
    return rc;
}

void sql_file(struct sql_rows *rows, struct store_file *ret) {
    ret->path = sql_text(rows);
    ret->sha256 = sql_text(rows);
    ret->bytes = sql_int(rows);
    ret->role = NULL;
}

enum rc sql_files(struct store_tx *tx, enum statement id, const char *owner, struct store_file **ret,
                  size_t *n, struct err *err) {
    struct sql_rows rows;
    void *items = NULL;
    size_t count = 0;
    sql_query(tx, id, ARGS(TEXT(owner)), &rows);
    while (sql_next(&rows)) {
        struct store_file *f = sql_grow(&rows, &items, count, sizeof(*f));
        if (f) {
            sql_file(&rows, f);
            count++;
        }
    }
    *ret = items;
    *n = count;
    return sql_end(&rows, err);
}

enum rc sql_names(struct store_tx *tx, enum statement id, const char *owner, const char ***ret, size_t *n,
                  struct err *err) {
    struct sql_rows rows;
    void *items = NULL;
    size_t count = 0;
    sql_query(tx, id, ARGS(TEXT(owner)), &rows);
    while (sql_next(&rows)) {
        const char **name = sql_grow(&rows, &items, count, sizeof(*name));
        if (name) {
            *name = sql_text(&rows);
            count++;
        }
    }
    *ret = items;
    *n = count;
    return sql_end(&rows, err);
}
