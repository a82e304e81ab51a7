/* tokens.c -- `pare tokens`: who may use a service. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "advisor/cli/client_options.h"
#include "advisor/cli/verbs.h"
#include "core/base/container.h"
#include "core/base/json.h"

struct tokens_options {
    struct client_options client;
    const char *role;
};

static enum rc print_tokens(const json_t *items, enum output output, struct err *err) {
    static const char *const headers[] = {"token", "name", "role", "made"};
    struct table *t = table_new(headers, ARRAY_SIZE(headers));
    enum rc rc = t ? RC_OK : err_memory(err);
    for (size_t i = 0; rc == RC_OK && i < json_array_size(items); i++) {
        const json_t *token = json_array_get(items, i);
        const char *cells[] = {json_shown_text(token, "id"), json_shown_text(token, "name"),
                               json_shown_text(token, "role"), json_shown_text(token, "created_at")};
        rc = table_add(t, cells, err);
    }
    if (rc == RC_OK && table_rows(t) == 0) {
        puts("no token yet: everybody on this machine may do everything. The first is an admin's: pare "
             "tokens add NAME --role admin");
    } else if (rc == RC_OK) {
        table_print(t, output, stdout);
    }
    table_free(t);
    return rc;
}

static enum rc list_tokens(struct client *c, enum output output, struct err *err) {
    json_t *list = NULL;
    enum rc rc = client_get(c, "/v1/tokens", &list, err);
    if (rc == RC_OK && output == OUTPUT_JSON) {
        json_dumpf(json_object_get(list, "items"), stdout, JSON_INDENT(2));
        putchar('\n');
    } else if (rc == RC_OK) {
        rc = print_tokens(json_object_get(list, "items"), output, err);
    }
    json_decref(list);
    return rc;
}

/* Prints the token alone, so that it can be put into a file. */
static enum rc add_token(struct client *c, const char *name, const char *role, struct err *err) {
    json_t *answer = NULL, *body = json_pack("{s:s, s:s}", "name", name, "role", role);
    enum rc rc = body ? client_post(c, "/v1/tokens", body, &answer, err) : err_memory(err);
    if (rc == RC_OK) {
        puts(json_shown_text(answer, "token"));
    }
    json_decref(answer);
    json_decref(body);
    return rc;
}

static enum rc revoke_token(struct client *c, const char *id, struct err *err) {
    char path[256];
    char *escaped = client_escape(id);
    if (!escaped) {
        return err_memory(err);
    }
    snprintf(path, sizeof(path), "/v1/tokens/%.200s", escaped);
    free(escaped);
    return http_client_json(c->http, "DELETE", path, NULL, 0, NULL, err);
}

static enum rc run(struct client *c, const struct tokens_options *o, const struct option_list *words,
                   enum output output, struct err *err) {
    if (words->count == 0) {
        return list_tokens(c, output, err);
    }
    if (words->count == 2 && strcmp(words->items[0], "add") == 0) {
        return add_token(c, words->items[1], o->role, err);
    }
    if (words->count == 2 && strcmp(words->items[0], "revoke") == 0) {
        return revoke_token(c, words->items[1], err);
    }
    return err_set(
        err, RC_USAGE,
        "give nothing to list the tokens, or: add NAME --role admin|user|agent, or: revoke TOKEN_ID");
}

int verb_tokens(int argc, char **argv) {
    struct tokens_options o = {.role = "user"};
    struct option_list words = {0};
    const struct option_spec specs[] = {
        {.name = "role",
         .letter = 'r',
         .kind = OPTION_TEXT,
         .argument = "ROLE",
         .value = &o.role,
         .help = "with add: admin, user (default) or agent"},
        CLIENT_OPTION_ROWS(o.client),
    };
    const struct options options = {
        .verb = "tokens",
        .summary =
            "Lists, makes and revokes the tokens of a service (needs an admin's token once there is one).",
        .operands = "[add NAME | revoke TOKEN_ID]",
        .max_operands = 2,
        .specs = specs,
        .count = ARRAY_SIZE(specs),
        .examples = "  pare tokens\n  pare tokens add build-1 --role agent > agent.token\n  pare tokens "
                    "revoke tok_abc\n",
    };
    struct client c = {0};
    struct err err = {0};
    enum output output;
    int code = options_parse(&options, argc, argv, &words);
    if (code != OPTIONS_GO_ON) {
        return code;
    }
    enum rc rc = client_options_open(&o.client, &c, &output, &err);
    if (rc == RC_OK) {
        rc = run(&c, &o, &words, output, &err);
    }
    client_close(&c);
    return rc == RC_OK ? EXIT_FINE : verb_fail("tokens", &err);
}
