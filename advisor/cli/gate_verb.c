/* gate_verb.c -- `pare gate`: a policy's budgets and floors, checked in CI. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "advisor/cli/answer_print.h"
#include "advisor/cli/client_options.h"
#include "advisor/cli/compare_measure.h"
#include "advisor/cli/follow.h"
#include "advisor/cli/policy.h"
#include "advisor/cli/verbs.h"
#include "core/base/json.h"

struct gate_options {
    struct client_options client;
    const char *policy, *summary;
};

/* Measures what is not stored yet: a study with the policy's model and data. */
static enum rc measure(struct client *c, const struct policy *p, json_t **ended, struct err *err) {
    json_t *study = NULL;
    if (p->request.instructions) {
        fputs("instructions by callgrind: it runs a model some thousand times slower, which takes minutes, "
              "and hides AVX-512\n",
              stderr);
    }
    enum rc rc = study_request_send(c, &p->request, &study, err);
    if (rc == RC_OK) {
        fprintf(stderr, "study %s\n", json_shown_text(study, "id"));
        rc = follow_study(c, json_shown_text(study, "id"), ended, err);
    }
    if (rc == RC_OK && strcmp(json_shown_text(*ended, "state"), "done") != 0) {
        const json_t *e = json_object_get(*ended, "error");
        const char *code = json_shown_text(e, "code");
        rc = err_set(err, code[0] ? rc_from_name(code) : RC_CANCELLED, "study %s %s: %s",
                     json_shown_text(*ended, "id"), json_shown_text(*ended, "state"),
                     json_shown_text(e, "text"));
        json_decref(*ended);
        *ended = NULL;
    }
    json_decref(study);
    return rc;
}

/* The model that must not be outrun, registered; NULL where the policy has none. */
static enum rc add_reference(struct client *c, const struct policy *p, json_t **ret, struct err *err) {
    json_t *model = NULL;
    *ret = NULL;
    if (!p->no_slower_than) {
        return RC_OK;
    }
    enum rc rc = client_add_model(c, p->reference, &model, err);
    if (rc == RC_OK) {
        *ret = json_copy(p->no_slower_than);
        json_object_set(*ret, "model", json_object_get(model, "id"));
    }
    json_decref(model);
    return rc;
}

/* Asks for the verdict, and again when the comparison run that it needs has ended. */
static enum rc ask_verdict(struct client *c, const char *path, const json_t *body, json_t **run,
                           struct err *err) {
    enum {
        ROUNDS = 3
    }; /* once to begin it, once after it; once more where somebody cancelled it meanwhile */
    enum rc rc = RC_OK;
    for (int i = 0; i < ROUNDS; i++) {
        json_t *ended = NULL;
        char id[64];
        rc = client_post(c, path, body, run, err);
        if (rc != RC_OK || !json_object_get(*run, "waiting_for")) {
            return rc;
        }
        snprintf(id, sizeof(id), "%s", json_shown_text(*run, "waiting_for"));
        json_decref(*run);
        *run = NULL;
        fprintf(stderr, "comparison %s\n", id);
        rc = compare_follow(c, id, &ended, err);
        if (rc == RC_OK && strcmp(json_shown_text(ended, "verdict"), "undecided") == 0) {
            json_t *with = json_copy((json_t *)(uintptr_t)body);
            json_object_set_new(with, "comparison",
                                json_string(id)); /* it is the answer: not measured again */
            rc = client_post(c, path, with, run, err);
            json_decref(with);
            json_decref(ended);
            return rc;
        }
        json_decref(ended);
        if (rc != RC_OK) {
            return rc;
        }
    }
    return err_set(err, RC_BUSY, "the comparison run was begun anew each time");
}

static enum rc run_gate(struct client *c, const struct policy *p, const json_t *study, json_t **run,
                        struct err *err) {
    char path[192];
    char *gate = client_escape(p->gate);
    json_t *reference = NULL;
    enum rc rc = add_reference(c, p, &reference, err);
    json_t *body = json_pack(
        "{s:O, s:O, s:O*, s:O*, s:s*, s:o*}", "study", json_object_get(study, "id"), "model",
        json_object_get(json_object_get(study, "model"), "id"), "floors", json_object_get(p->json, "floors"),
        "budgets", json_object_get(p->json, "budgets"), "recipe", p->recipe, "no_slower_than", reference);
    if (rc == RC_OK && (!gate || !body)) {
        rc = err_memory(err);
    }
    if (rc == RC_OK) {
        snprintf(path, sizeof(path), "/v1/gates/%s/runs", gate);
        rc = ask_verdict(c, path, body, run, err);
    }
    free(gate);
    json_decref(body);
    return rc;
}

static enum rc append(const char *file, const char *text, struct err *err) {
    FILE *f = fopen(file, "a");
    if (!f || fputs(text, f) < 0 || fputc('\n', f) == EOF) {
        if (f) {
            fclose(f);
        }
        return err_set(err, RC_IO, "cannot write the summary to %s", file);
    }
    return fclose(f) == 0 ? RC_OK : err_set(err, RC_IO, "cannot write the summary to %s", file);
}

static enum rc print_run(const json_t *run, const struct gate_options *o, enum output output,
                         struct err *err) {
    static const char *const headers[] = {"check", "verdict", "why"};
    const char *markdown = json_shown_text(run, "markdown");
    size_t i;
    json_t *check;
    if (output == OUTPUT_JSON) {
        json_dumpf(run, stdout, JSON_INDENT(2));
        putchar('\n');
    } else if (output == OUTPUT_MD) {
        puts(markdown);
    } else {
        struct table *t = table_new(headers, 3);
        enum rc rc = t ? RC_OK : err_memory(err);
        json_array_foreach(json_object_get(run, "checks"), i, check) {
            const char *cells[] = {json_shown_text(check, "check"), json_shown_text(check, "verdict"),
                                   json_shown_text(check, "text")};
            rc = rc == RC_OK ? table_add(t, cells, err) : rc;
        }
        if (rc == RC_OK) {
            printf("gate %s: %s\n", json_shown_text(run, "gate"), json_shown_text(run, "verdict"));
            table_print(t, output, stdout);
        }
        table_free(t);
        if (rc != RC_OK) {
            return rc;
        }
    }
    return o->summary ? append(o->summary, markdown, err) : RC_OK;
}

static int gate(const struct gate_options *o) {
    struct client c = {0};
    struct err err;
    enum output output;
    struct policy p = {0};
    json_t *study = NULL, *run = NULL;
    int code;
    enum rc rc = policy_read(o->policy ? o->policy : "pare.json", &p, &err);
    if (rc == RC_OK) {
        rc = client_options_open(&o->client, &c, &output, &err);
    }
    if (rc == RC_OK) {
        rc = measure(&c, &p, &study, &err);
    }
    if (rc == RC_OK) {
        rc = run_gate(&c, &p, study, &run, &err);
    }
    if (rc == RC_OK) {
        rc = print_run(run, o, output, &err);
    }
    code = rc == RC_OK ? (int)json_integer_value(json_object_get(run, "exit_code")) : verb_fail("gate", &err);
    json_decref(study);
    json_decref(run);
    policy_free(&p);
    client_close(&c);
    return code;
}

int verb_gate(int argc, char **argv) {
    struct gate_options o = {0};
    const struct option_spec specs[] = {
        {.name = "policy",
         .letter = 'p',
         .kind = OPTION_TEXT,
         .argument = "FILE",
         .value = &o.policy,
         .help = "budgets and floors with the model and data they are for (default pare.json)"},
        {.name = "summary",
         .kind = OPTION_TEXT,
         .argument = "FILE",
         .env = "PARE_SUMMARY",
         .value = &o.summary,
         .help = "append a Markdown summary to this file"},
        CLIENT_OPTION_ROWS(o.client),
    };
    const struct options options = {
        .verb = "gate",
        .summary = "check a policy in CI: exit 0 passed, 1 a budget or floor is broken, 2 usage, 3 "
                   "inconclusive, 4 no verdict was possible",
        .operands = "",
        .specs = specs,
        .count = sizeof(specs) / sizeof(specs[0]),
        .examples = "  pare gate --policy pare.json --summary \"$SUMMARY_FILE\"\n",
    };
    int code = options_parse(&options, argc, argv, NULL);
    return code != OPTIONS_GO_ON ? code : gate(&o);
}
