/* recommend_verb.c -- `pare recommend`: ask again over what is stored, with other floors and budgets. */
#include <math.h>
#include <stdio.h>

#include "advisor/cli/answer_print.h"
#include "advisor/cli/client_options.h"
#include "advisor/cli/verbs.h"
#include "core/base/ident.h"

struct recommend_options {
    struct client_options client;
    struct option_list floors, budgets;
    double price_per_hour, confidence;
    const char *scenario;
};

static enum rc question(struct client *c, const struct recommend_options *o, const char *what, json_t **ret,
                        struct err *err) {
    json_t *study = NULL, *body = NULL;
    enum rc rc = client_find_study(c, what, &study, err);
    if (rc != RC_OK) {
        return rc;
    }
    body = json_pack("{s:O}", "study", json_object_get(study, "id"));
    json_decref(study);
    rc = body ? client_options_list(body, "floors", &o->floors, err) : err_memory(err);
    if (rc == RC_OK) {
        rc = client_options_list(body, "budgets", &o->budgets, err);
    }
    if (rc == RC_OK && !isnan(o->price_per_hour)) {
        json_object_set_new(body, "price_per_hour", json_real(o->price_per_hour));
    }
    if (rc == RC_OK && !isnan(o->confidence)) {
        json_object_set_new(body, "confidence", json_real(o->confidence));
    }
    if (rc == RC_OK && o->scenario) {
        json_object_set_new(body, "scenario", json_string(o->scenario));
    }
    if (rc == RC_OK) {
        rc = client_post(c, "/v1/recommendations", body, ret, err);
    }
    json_decref(body);
    return rc;
}

static int recommend(const struct recommend_options *o, const char *what) {
    struct client c = {0};
    struct err err;
    enum output output;
    json_t *answer = NULL;
    char path[96];
    enum rc rc = client_options_open(&o->client, &c, &output, &err);
    if (rc == RC_OK && ident_valid("rec", what)) {
        snprintf(path, sizeof(path), "/v1/recommendations/%s", what);
        rc = client_get(&c, path, &answer, &err);
    } else if (rc == RC_OK) {
        rc = question(&c, o, what, &answer, &err);
    }
    if (rc == RC_OK) {
        rc = answer_print(answer, output, stdout, &err);
    }
    int code = rc == RC_OK ? answer_exit_code(answer) : verb_fail("recommend", &err);
    json_decref(answer);
    client_close(&c);
    return code;
}

int verb_recommend(int argc, char **argv) {
    struct recommend_options o = {.price_per_hour = NAN, .confidence = NAN};
    struct option_list operands = {0};
    const struct option_spec specs[] = {
        {.name = "floor",
         .letter = 'f',
         .kind = OPTION_LIST,
         .argument = "FLOOR",
         .value = &o.floors,
         .help = "accuracy to keep (default: the study's floors)"},
        {.name = "budget",
         .letter = 'b',
         .kind = OPTION_LIST,
         .argument = "BUDGET",
         .value = &o.budgets,
         .help = "a limit (default: the study's budgets)"},
        {.name = "price-per-hour",
         .kind = OPTION_NUMBER,
         .argument = "USD",
         .value = &o.price_per_hour,
         .min = 0,
         .max = 1e6,
         .help = "what the machine costs (default: its stored price)"},
        {.name = "confidence",
         .kind = OPTION_NUMBER,
         .argument = "C",
         .value = &o.confidence,
         .min = 0.5,
         .max = 0.9999,
         .help = "of every verdict, one-sided (default 0.95)"},
        {.name = "scenario",
         .kind = OPTION_TEXT,
         .argument = "NAME",
         .value = &o.scenario,
         .help =
             "judge latency, throughput and cost in single-stream, multi-stream, server or offline (default: "
             "server where the study asked for it, else offline)"},
        CLIENT_OPTION_ROWS(o.client),
    };
    const struct options options = {
        .verb = "recommend",
        .summary = "ask again over what was measured, with other floors and budgets",
        .operands = "MODEL|STUDY|ANSWER",
        .min_operands = 1,
        .max_operands = 1,
        .specs = specs,
        .count = sizeof(specs) / sizeof(specs[0]),
        .examples = "  pare recommend fmnist-resnet.onnx --floor 'drop<=0.5' --budget 'p99<=2ms'\n"
                    "  pare recommend rec_ab12 --output json\n",
    };
    int code = options_parse(&options, argc, argv, &operands);
    return code != OPTIONS_GO_ON ? code : recommend(&o, operands.items[0]);
}
