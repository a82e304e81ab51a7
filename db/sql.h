/* sql.h -- one SQLite connection with every statement of statements.h prepared; the only header that sees
 * sqlite3.h. Typed arguments in, a row cursor out; codes of SQLite are translated here. */
#pragma once

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/arena.h"
#include "core/base/err.h"
#include "db/statements.h"
#include "db/store.h"

enum statement {
#define X(name, text) SQL_##name,
    STATEMENTS(X)
#undef X
        STATEMENT_COUNT
};

struct sql {
    sqlite3 *handle;
    sqlite3_stmt *statements[STATEMENT_COUNT];
};

/* A transaction (store.h): a connection in use and the memory of its rows. */
struct store_tx {
    struct store *store;
    struct sql *sql;
    struct arena *arena;
    bool answer_only; /* store_tx_keeps_answer was called */
};

struct sql_arg {
    enum { ARG_TEXT, ARG_INT, ARG_REAL, ARG_BYTES, ARG_NULL } type;
    const void *data;
    size_t size;
    int64_t number;
    double real;
};

static inline struct sql_arg TEXT(const char *text) { /* NULL binds NULL */
    return (struct sql_arg){.type = text ? ARG_TEXT : ARG_NULL, .data = text};
}

static inline struct sql_arg
INT(int64_t number) {
    return (struct sql_arg){.type = ARG_INT, .number = number};
}

static inline struct sql_arg
REAL(double real) {
    return (struct sql_arg){.type = ARG_REAL, .real = real};
}

static inline struct sql_arg
BYTES(const void *data, size_t size) {
    return (struct sql_arg){.type = ARG_BYTES, .data = data, .size = size};
}

struct sql_args {
    const struct sql_arg *items;
    size_t n;
};

#define ARGS(...)                                                                                            \
    ((struct sql_args){(const struct sql_arg[]){__VA_ARGS__},                                                \
                       sizeof((const struct sql_arg[]){__VA_ARGS__}) / sizeof(struct sql_arg)})
#define NO_ARGS ((struct sql_args){NULL, 0})

enum sql_mode { SQL_WRITER, SQL_READER };

/* Opens and configures; statements are not prepared yet. */
MUST_USE enum rc sql_open(const char *path, enum sql_mode mode, struct sql **ret, struct err *err);
MUST_USE enum rc sql_prepare(struct sql *sql, struct err *err);
void sql_close(struct sql *sql); /* NULL is fine */

/* Text that is not one of the statements: pragmas, transactions, migrations. */
MUST_USE enum rc sql_text_run(struct sql *sql, const char *text, struct err *err);
/* The same where a failure changes nothing: undoing what has failed already. */
void sql_try(struct sql *sql, const char *text);
MUST_USE enum rc sql_error(const struct sql *sql, struct err *err);

/* Runs a statement that gives no row. *changed (may be NULL): rows it changed. */
MUST_USE enum rc sql_run(struct store_tx *tx, enum statement id, struct sql_args args, int64_t *changed,
                         struct err *err);

/* Rows of a statement. while (sql_next(&rows)) { columns from left to right } then rc = sql_end(&rows, err).
 */
struct sql_rows {
    struct store_tx *tx;
    sqlite3_stmt *statement;
    int column;
    enum rc rc;
};
void sql_query(struct store_tx *tx, enum statement id, struct sql_args args, struct sql_rows *rows);
bool sql_next(struct sql_rows *rows);
MUST_USE enum rc sql_end(struct sql_rows *rows, struct err *err);

/* The next column of the row: text is copied into the transaction's arena (NULL for NULL). */
const char *sql_text(struct sql_rows *rows);
int64_t sql_int(struct sql_rows *rows);
double sql_real(struct sql_rows *rows);
const void *sql_bytes(struct sql_rows *rows, size_t *size);
bool sql_is_null(struct sql_rows *rows); /* of the next column, which stays the next */

/* Room for one more element of an array in the arena: *items grows by doubling. NULL when memory is used up
 * (rows->rc set). */
void *sql_grow(struct sql_rows *rows, void **items, size_t n, size_t size);

/* One row or RC_NOT_FOUND with "there is no WHAT "ID"". Usage: if (sql_first(...) == RC_OK) read; rc =
 * sql_end(). */
MUST_USE enum rc sql_first(struct store_tx *tx, enum statement id, struct sql_args args, const char *what,
                           const char *name, struct sql_rows *rows, struct err *err);
/* One number: count(*), max(...). */
MUST_USE enum rc sql_number(struct store_tx *tx, enum statement id, struct sql_args args, int64_t *ret,
                            struct err *err);

struct store_file;
/* A file of a model, dataset or variant: columns path, sha256, bytes. */
void sql_file(struct sql_rows *rows, struct store_file *ret);
/* All files of `owner`. */
MUST_USE enum rc sql_files(struct store_tx *tx, enum statement id, const char *owner, struct store_file **ret,
                           size_t *n, struct err *err);
/* The first column of all rows for `owner`. */
MUST_USE enum rc sql_names(struct store_tx *tx, enum statement id, const char *owner, const char ***ret,
                           size_t *n, struct err *err);
