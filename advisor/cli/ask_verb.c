/* ask_verb.c -- `pare ask`: a question in plain words. */
#include <stdio.h>

#include "advisor/cli/answer_print.h"
#include "advisor/cli/client_options.h"
#include "advisor/cli/verbs.h"
#include "core/base/json.h"

struct ask_options {
    struct client_options client;
    const char *model;
};

static void print_limits(const json_t *understood, const char *key, const char *what) {
    size_t i;
    const json_t *limit;
    json_array_foreach(json_object_get(understood, key), i, limit) {
        printf("%s%s", i ? ", " : what, json_string_value(limit));
    }
}

/* The answer, and what was understood, so that a misunderstanding shows. */
static void print_words(const json_t *answer) {
    const json_t *understood = json_object_get(answer, "understood");
    printf("%s\n\nUnderstood: %s", json_shown_text(answer, "text"), json_shown_text(understood, "model"));
    print_limits(understood, "floors", ", floors ");
    print_limits(understood, "budgets", ", budgets ");
    printf(". The whole answer: pare recommend %s\n",
           json_shown_text(json_object_get(answer, "recommendation"), "id"));
}

static int ask(const struct ask_options *o, const char *question) {
    struct client c = {0};
    struct err err;
    enum output output;
    json_t *answer = NULL;
    json_t *body = json_pack("{s:s, s:s*}", "question", question, "model", o->model);
    enum rc rc = client_options_open(&o->client, &c, &output, &err);
    if (rc == RC_OK) {
        rc = body ? client_post(&c, "/v1/ask", body, &answer, &err)
                  : err_set(&err, RC_INPUT, "the question is not UTF-8");
    }
    int code =
        rc == RC_OK ? answer_exit_code(json_object_get(answer, "recommendation")) : verb_fail("ask", &err);
    if (rc == RC_OK && output == OUTPUT_TABLE) {
        print_words(answer);
    } else if (rc == RC_OK) {
        rc = answer_print(output == OUTPUT_JSON ? answer : json_object_get(answer, "recommendation"), output,
                          stdout, &err);
        code = rc == RC_OK ? code : verb_fail("ask", &err);
    }
    json_decref(answer);
    json_decref(body);
    client_close(&c);
    return code;
}

int verb_ask(int argc, char **argv) {
    struct ask_options o = {.model = NULL};
    struct option_list operands = {0};
    const struct option_spec specs[] = {
        {.name = "model",
         .kind = OPTION_TEXT,
         .argument = "NAME",
         .value = &o.model,
         .help = "the model that is meant (default: the one that the question names, or the only one)"},
        CLIENT_OPTION_ROWS(o.client),
    };
    const struct options options = {
        .verb = "ask",
        .summary = "ask in plain words over what was measured",
        .operands = "QUESTION",
        .min_operands = 1,
        .max_operands = 1,
        .specs = specs,
        .count = sizeof(specs) / sizeof(specs[0]),
        .examples =
            "  pare ask 'what is the cheapest way to keep 99 % of the accuracy with p99 under 5 ms?'\n"
            "  pare ask 'why not int8:dynamic?' --model fmnist-resnet.onnx\n",
    };
    int code = options_parse(&options, argc, argv, &operands);
    return code != OPTIONS_GO_ON ? code : ask(&o, operands.items[0]);
}
