/* Tokens: made, listed, revoked by admins. Where there is none yet, a service on loopback lets everybody make
 * the first. */
#include <string.h>

#include "advisor/http/app.h"
#include "advisor/http/handlers.h"
#include "core/base/clock.h"
#include "core/base/json.h"
#include "db/store_tokens.h"

enum { NAME_MAX_BYTES = 100 };

static enum rc read_request(const json_t *body, const char **name, enum store_role *role, struct err *err) {
    static const char *const keys[] = {"name", "role", NULL};
    const char *role_name = NULL;
    enum rc rc = json_only_keys(body, keys, err);
    if (rc == RC_OK) {
        rc = json_get_string(body, "name", name, err);
    }
    if (rc == RC_OK && (**name == '\0' || strlen(*name) > NAME_MAX_BYTES)) {
        rc = err_set(err, RC_INPUT, "field \"name\" must have 1 to %d bytes", NAME_MAX_BYTES);
    }
    if (rc == RC_OK) {
        rc = json_get_string(body, "role", &role_name, err);
    }
    return rc == RC_OK ? store_role_parse(role_name, role, err) : rc;
}

enum rc handle_token_post(struct app *app, const struct http_request *req, struct http_response *res,
                          struct err *err) {
    json_t *body = NULL, *answer = NULL;
    const char *name = NULL;
    enum store_role role = ROLE_USER;
    char text[TOKEN_SIZE];
    uint64_t count = 0;
    enum rc rc = http_body_json(req, res, &body, err);
    if (rc == RC_OK) {
        rc = read_request(body, &name, &role, err);
    }
    if (rc == RC_OK) {
        rc = store_token_count(app_store(app), &count, err);
    }
    if (rc == RC_OK && count == 0 && role != ROLE_ADMIN) {
        rc = err_set(err, RC_INPUT,
                     "the first token must have the role admin: from then on every request needs one");
    }
    if (rc == RC_OK) {
        rc = store_token_new(app_store(app), name, role, text, err);
    }
    if (rc == RC_OK) {
        answer = json_pack("{s:s, s:s, s:s}", "name", name, "role", store_role_name(role), "token", text);
        rc = http_answer_json(res, 201, answer, err);
    }
    json_decref(body);
    return rc;
}

static json_t *token_json(const struct store_token *t) {
    char created[CLOCK_ISO_SIZE];
    clock_iso(t->created_ms, created);
    return json_pack("{s:s, s:s, s:s, s:s}", "id", t->id, "name", t->name, "role", store_role_name(t->role),
                     "created_at", created);
}

enum rc handle_token_list(struct app *app, const struct http_request *req, struct http_response *res,
                          struct err *err) {
    struct store_tx *tx = NULL;
    struct store_token *rows = NULL;
    size_t n = 0;
    (void)req;
    enum rc rc = store_read_begin(app_store(app), &tx, err);
    if (rc == RC_OK) {
        rc = store_tokens_list(tx, &rows, &n, err);
    }
    if (rc != RC_OK) {
        store_read_end(tx);
        return rc;
    }
    json_t *items = json_array();
    for (size_t i = 0; i < n; i++) {
        json_array_append_new(items, token_json(&rows[i]));
    }
    store_read_end(tx);
    return http_answer_json(res, 200, json_pack("{s:o, s:n}", "items", items, "next"), err);
}

/* Without an admin nobody could make tokens any more; only where it is the last token of all is that no loss.
 */
static enum rc check_not_last_admin(struct app *app, const char *id, struct err *err) {
    struct store_tx *tx = NULL;
    struct store_token *rows = NULL;
    size_t n = 0, other_admins = 0;
    bool is_admin = false;
    enum rc rc = store_read_begin(app_store(app), &tx, err);
    if (rc == RC_OK) {
        rc = store_tokens_list(tx, &rows, &n, err);
    }
    for (size_t i = 0; rc == RC_OK && i < n; i++) {
        bool this_one = strcmp(rows[i].id, id) == 0;
        is_admin = is_admin || (this_one && rows[i].role == ROLE_ADMIN);
        other_admins += !this_one && rows[i].role == ROLE_ADMIN;
    }
    store_read_end(tx);
    if (rc == RC_OK && is_admin && other_admins == 0 && (n > 1 || !app_is_loopback(app))) {
        rc = err_set(err, RC_CONFLICT, "this is the last admin token; make another one first");
    }
    return rc;
}

enum rc handle_token_delete(struct app *app, const struct http_request *req, struct http_response *res,
                            struct err *err) {
    enum rc rc = check_not_last_admin(app, req->params[0], err);
    res->status = rc == RC_OK ? 204 : 0;
    return rc == RC_OK ? store_token_revoke(app_store(app), req->params[0], err) : rc;
}
