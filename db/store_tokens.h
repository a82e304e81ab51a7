/* store_tokens.h -- bearer tokens (kept as SHA-256 only) and answers remembered for Idempotency-Key. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/err.h"
#include "db/store.h"

enum store_role { ROLE_AGENT, ROLE_USER, ROLE_ADMIN }; /* each may do what it says; an admin may do all */

const char *store_role_name(enum store_role role); /* "agent" */
MUST_USE enum rc store_role_parse(const char *name, enum store_role *ret, struct err *err);

enum { TOKEN_SIZE = 48 };

/* Makes a token and stores its hash; the text is shown this once. `name` is for people. */
MUST_USE enum rc store_token_new(struct store *s, const char *name, enum store_role role,
                                 char text[TOKEN_SIZE], struct err *err);
/* RC_UNAUTHORIZED for an unknown or revoked token. */
MUST_USE enum rc store_token_check(struct store *s, const char *text, enum store_role *role, struct err *err);
MUST_USE enum rc store_token_revoke(struct store *s, const char *id, struct err *err);
/* Tokens in force: with none, a service on loopback lets everybody do everything. */
MUST_USE enum rc store_token_count(struct store *s, uint64_t *ret, struct err *err);

struct store_token {
    const char *id, *name;
    enum store_role role;
    int64_t created_ms;
};
MUST_USE enum rc store_tokens_list(struct store_tx *tx, struct store_token **rows, size_t *n,
                                   struct err *err);

/* The answer remembered for `key` of `route` ("POST /v1/studies"): RC_NOT_FOUND when there is none,
 * RC_CONFLICT when it belongs to another body. free() *answer. */
MUST_USE enum rc store_idempotency_find(struct store *s, const char *route, const char *key,
                                        const char *body_sha256, int *status, char **answer, struct err *err);
/* Remembers it for a day; the first one for a key stays. */
MUST_USE enum rc store_idempotency_keep(struct store *s, const char *route, const char *key,
                                        const char *body_sha256, int status, const char *answer,
                                        struct err *err);
