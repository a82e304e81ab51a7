#include "db/store_tokens.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/ident.h"
#include "core/base/sha256.h"
#include "db/sql.h"

enum { IDEMPOTENCY_MS = 24 * 3600 * 1000 };

static const char *const ROLES[] = {[ROLE_AGENT] = "agent", [ROLE_USER] = "user", [ROLE_ADMIN] = "admin"};

const char *store_role_name(enum store_role role) {
    return ROLES[role];
}

enum rc store_role_parse(const char *name, enum store_role *ret, struct err *err) {
    for (int i = ROLE_AGENT; i <= ROLE_ADMIN; i++) {
        if (strcmp(name, ROLES[i]) == 0) {
            *ret = (enum store_role)i;
            return RC_OK;
        }
    }
    return err_set(err, RC_INPUT, "unknown role \"%.32s\": admin, user or agent", name);
}

struct new_token {
    char id[IDENT_SIZE], hash[SHA256_HEX_SIZE];
    const char *name;
    enum store_role role;
};

static enum rc add_token(struct store_tx *tx, void *user, struct err *err) {
    const struct new_token *t = user;
    return sql_run(
        tx, SQL_TOKEN_ADD,
        ARGS(TEXT(t->id), TEXT(t->name), TEXT(ROLES[t->role]), TEXT(t->hash), INT(store_tx_now_ms(tx))), NULL,
        err);
}

/* A token has 130 random bits: a plain hash is enough, nobody can search that space. */
enum rc store_token_new(struct store *s, const char *name, enum store_role role, char text[TOKEN_SIZE],
                        struct err *err) {
    struct new_token t = {.name = name, .role = role};
    ident_random("tok", t.id);
    char secret[IDENT_SIZE];
    ident_random("pare", secret);
    sha256_of(secret, strlen(secret), t.hash);
    enum rc rc = store_write(s, add_token, &t, err);
    if (rc == RC_OK) {
        snprintf(text, TOKEN_SIZE, "%s", secret);
    }
    return rc;
}

enum rc store_token_check(struct store *s, const char *text, enum store_role *role, struct err *err) {
    char hash[SHA256_HEX_SIZE];
    sha256_of(text, strlen(text), hash);
    struct store_tx *tx;
    struct sql_rows rows;
    enum rc rc = store_read_begin(s, &tx, err);
    if (rc != RC_OK) {
        return rc;
    }
    rc = sql_first(tx, SQL_TOKEN_ROLE, ARGS(TEXT(hash)), "token", "", &rows, err);
    if (rc == RC_NOT_FOUND) {
        rc = err_set(err, RC_UNAUTHORIZED, "this token is not known here, or it was revoked");
    } else if (rc == RC_OK) {
        const char *name = sql_text(&rows);
        rc = sql_end(&rows, err);
        if (rc == RC_OK) {
            rc = store_role_parse(name, role, err);
        }
    }
    store_read_end(tx);
    return rc;
}

static enum rc revoke_token(struct store_tx *tx, void *user, struct err *err) {
    const char *id = user;
    int64_t changed = 0;
    enum rc rc = sql_run(tx, SQL_TOKEN_REVOKE, ARGS(TEXT(id), INT(store_tx_now_ms(tx))), &changed, err);
    return rc == RC_OK && changed == 0 ? err_set(err, RC_NOT_FOUND, "there is no token \"%s\"", id) : rc;
}

enum rc store_token_revoke(struct store *s, const char *id, struct err *err) {
    char copy[IDENT_SIZE];
    snprintf(copy, sizeof(copy), "%s", id);
    return store_write(s, revoke_token, copy, err);
}

enum rc store_token_count(struct store *s, uint64_t *ret, struct err *err) {
    struct store_tx *tx;
    int64_t n = 0;
    enum rc rc = store_read_begin(s, &tx, err);
    if (rc == RC_OK) {
        rc = sql_number(tx, SQL_TOKENS_COUNT, NO_ARGS, &n, err);
        store_read_end(tx);
    }
    if (rc == RC_OK) {
        *ret = (uint64_t)n;
    }
    return rc;
}

enum rc store_tokens_list(struct store_tx *tx, struct store_token **ret, size_t *n, struct err *err) {
    struct sql_rows rows;
    void *items = NULL;
    size_t count = 0;
    sql_query(tx, SQL_TOKENS_LIST, NO_ARGS, &rows);
    while (sql_next(&rows)) {
        struct store_token *t = sql_grow(&rows, &items, count, sizeof(*t));
        if (t) {
            t->id = sql_text(&rows);
            t->name = sql_text(&rows);
            const char *role = sql_text(&rows);
            if (!role || store_role_parse(role, &t->role, NULL) != RC_OK) {
                rows.rc = RC_INTERNAL;
            }
            t->created_ms = sql_int(&rows);
            count++;
        }
    }
    *ret = items;
    *n = count;
    return sql_end(&rows, err);
}

/* Reads the row of `key`, newer than a day, while its statement is open. */
static enum rc read_answer(struct sql_rows *rows, const char *key, const char *body_sha256, int *status,
                           char **answer, struct err *err) {
    const char *stored = sql_text(rows);
    int64_t code = sql_int(rows);
    const char *text = sql_text(rows);
    enum rc rc = sql_end(rows, err);
    if (rc != RC_OK) {
        return rc;
    }
    if (strcmp(stored, body_sha256) != 0) {
        return err_set(err, RC_CONFLICT,
                       "the Idempotency-Key \"%.64s\" was used with another body; take a new key", key);
    }
    *answer = strdup(text);
    *status = (int)code;
    return *answer ? RC_OK : err_memory(err);
}

enum rc store_idempotency_find(struct store *s, const char *route, const char *key, const char *body_sha256,
                               int *status, char **answer, struct err *err) {
    struct store_tx *tx;
    struct sql_rows rows;
    enum rc rc = store_read_begin(s, &tx, err);
    if (rc != RC_OK) {
        return rc;
    }
    rc = sql_first(tx, SQL_IDEMPOTENCY_FIND,
                   ARGS(TEXT(route), TEXT(key), INT(store_tx_now_ms(tx) - IDEMPOTENCY_MS)), "answer", key,
                   &rows, err);
    if (rc == RC_OK) {
        rc = read_answer(&rows, key, body_sha256, status, answer, err);
    }
    store_read_end(tx);
    return rc;
}

struct kept_answer {
    const char *route, *key, *body_sha256, *answer;
    int status;
};

static enum rc keep_answer(struct store_tx *tx, void *user, struct err *err) {
    const struct kept_answer *k = user;
    int64_t now_ms = store_tx_now_ms(tx);
    enum rc rc = sql_run(tx, SQL_IDEMPOTENCY_TRIM, ARGS(INT(now_ms - IDEMPOTENCY_MS)), NULL, err);
    if (rc != RC_OK) {
        return rc;
    }
    return sql_run(tx, SQL_IDEMPOTENCY_KEEP,
                   ARGS(TEXT(k->route), TEXT(k->key), TEXT(k->body_sha256), INT(k->status), TEXT(k->answer),
                        INT(now_ms)),
                   NULL, err);
}

enum rc store_idempotency_keep(struct store *s, const char *route, const char *key, const char *body_sha256,
                               int status, const char *answer, struct err *err) {
    struct kept_answer k = {route, key, body_sha256, answer, status};
    return store_write(s, keep_answer, &k, err);
}
