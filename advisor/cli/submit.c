/* submit.c -- `pare submit`: from a model file to the printed recommendation. */
#include <math.h>
#include <stdio.h>

#include "advisor/cli/answer_print.h"
#include "advisor/cli/client_options.h"
#include "advisor/cli/follow.h"
#include "advisor/cli/study_request.h"
#include "advisor/cli/verbs.h"

struct submit_options {
    struct client_options client;
    struct study_request request;
    bool detach;
};

static const char *id_of(const json_t *object) {
    const char *id = json_string_value(json_object_get(object, "id"));
    return id ? id : "";
}

/* Prints what came of an ended study. */
static int print_outcome(struct client *c, const json_t *study, enum output output, struct err *err) {
    const char *state = json_string_value(json_object_get(study, "state"));
    const char *answer_id = json_string_value(json_object_get(study, "recommendation"));
    char path[96];
    json_t *answer = NULL;
    if (!answer_id) {
        const char *text = json_string_value(json_object_get(json_object_get(study, "error"), "text"));
        const char *code = json_string_value(json_object_get(json_object_get(study, "error"), "code"));
        err_set(err, code ? rc_from_name(code) : RC_CANCELLED, "study %s %s%s%s", id_of(study),
                state ? state : "ended", text ? ": " : "", text ? text : "");
        return verb_fail("submit", err);
    }
    snprintf(path, sizeof(path), "/v1/recommendations/%s", answer_id);
    enum rc rc = client_get(c, path, &answer, err);
    if (rc == RC_OK) {
        rc = answer_print(answer, output, stdout, err);
    }
    int code = rc == RC_OK ? answer_exit_code(answer) : verb_fail("submit", err);
    json_decref(answer);
    return code;
}

static int submit(const struct submit_options *o) {
    struct client c = {0};
    struct err err;
    enum output output;
    json_t *study = NULL, *ended = NULL;
    int code;
    enum rc rc = client_options_open(&o->client, &c, &output, &err);
    if (rc == RC_OK) {
        rc = study_request_send(&c, &o->request, &study, &err);
    }
    if (rc != RC_OK) {
        code = verb_fail("submit", &err);
    } else if (o->detach) {
        printf("%s\n", id_of(study));
        code = EXIT_FINE;
    } else {
        fprintf(stderr, "study %s\n", id_of(study));
        rc = follow_study(&c, id_of(study), &ended, &err);
        code = rc == RC_OK ? print_outcome(&c, ended, output, &err) : verb_fail("submit", &err);
    }
    json_decref(study);
    json_decref(ended);
    client_close(&c);
    return code;
}

int verb_submit(int argc, char **argv) {
    struct submit_options o = {.request = {.price_per_hour = NAN, .confidence = NAN}};
    struct option_list operands = {0};
    const struct option_spec specs[] = {
        {.name = "data",
         .letter = 'd',
         .kind = OPTION_TEXT,
         .argument = "FILE",
         .value = &o.request.data,
         .help = "evaluation data: .npz, .txt, \"images,labels\" (IDX) or a .json that describes them"},
        {.name = "calibration",
         .kind = OPTION_TEXT,
         .argument = "FILE",
         .value = &o.request.calibration,
         .help = "calibration data of its own (default: a part of --data that is then not evaluated)"},
        {.name = "floor",
         .letter = 'f',
         .kind = OPTION_LIST,
         .argument = "FLOOR",
         .value = &o.request.floors,
         .help =
             "accuracy to keep: 'relative>=0.99' (default), 'top1>=0.94', 'drop<=0.5', 'ppl_ratio<=1.02'"},
        {.name = "budget",
         .letter = 'b',
         .kind = OPTION_LIST,
         .argument = "BUDGET",
         .value = &o.request.budgets,
         .help = "a limit: 'p99<=5ms', 'throughput>=200/s', 'memory<=512MiB', 'size<=20MiB', 'cost<=0.5usd', "
                 "'instructions<=36M'"},
        {.name = "instructions",
         .kind = OPTION_TEXT,
         .argument = "callgrind",
         .value = &o.request.instructions,
         .help = "count instructions with callgrind where no counter does: takes minutes, hides AVX-512"},
        {.name = "preset",
         .kind = OPTION_TEXT,
         .argument = "NAME",
         .value = &o.request.preset,
         .help = "levels to try: quick (6), standard (15, the default) or thorough (40); see pare recipes"},
        {.name = "recipe",
         .letter = 'r',
         .kind = OPTION_LIST,
         .argument = "RECIPE",
         .value = &o.request.recipes,
         .help = "a level to try in place of a preset's, for example int8:static,calib=entropy"},
        {.name = "scenario",
         .kind = OPTION_LIST,
         .argument = "NAME",
         .value = &o.request.scenarios,
         .help = "measure also server (the highest rate of random arrivals that keeps the latency budget; "
                 "cost is "
                 "judged by it) or multi-stream (queries of 8); single-stream and offline always are"},
        {.name = "target",
         .kind = OPTION_LIST,
         .argument = "ID",
         .value = &o.request.targets,
         .help = "measure on this target only (default: every one that is online)"},
        {.name = "threads",
         .kind = OPTION_WHOLE,
         .argument = "N",
         .value = &o.request.threads,
         .min = 1,
         .max = 1024,
         .help = "cores to fill (default: all of the target)"},
        {.name = "price-per-hour",
         .kind = OPTION_NUMBER,
         .argument = "USD",
         .value = &o.request.price_per_hour,
         .min = 0,
         .max = 1e6,
         .help = "what the machine costs (default: its stored price, otherwise cost is in machine-hours)"},
        {.name = "confidence",
         .kind = OPTION_NUMBER,
         .argument = "C",
         .value = &o.request.confidence,
         .min = 0.5,
         .max = 0.9999,
         .help = "of every verdict, one-sided (default 0.95)"},
        {.name = "evaluate",
         .kind = OPTION_TEXT,
         .argument = "needed|all",
         .value = &o.request.evaluate,
         .help = "all: measure accuracy also where a configuration cannot win any more"},
        {.name = "detach",
         .kind = OPTION_FLAG,
         .value = &o.detach,
         .help = "do not wait: print the study's id"},
        CLIENT_OPTION_ROWS(o.client),
    };
    const struct options options = {
        .verb = "submit",
        .summary =
            "measure a model at many compression levels and recommend the cheapest that meets the floor",
        .operands = "MODEL",
        .min_operands = 1,
        .max_operands = 1,
        .specs = specs,
        .count = sizeof(specs) / sizeof(specs[0]),
        .examples = "  pare submit model.onnx --data eval.npz --floor 'relative>=0.99' --budget 'p99<=5ms'\n"
                    "  pare submit model.onnx --data eval.npz --budget 'p99<=5ms' --scenario server\n"
                    "  pare submit model.gguf --data text.txt --floor 'ppl_ratio<=1.02' --preset standard\n",
    };
    int code = options_parse(&options, argc, argv, &operands);
    if (code != OPTIONS_GO_ON) {
        return code;
    }
    if (!o.request.data) {
        struct err err;
        err_set(&err, RC_USAGE,
                "--data is missing: the accuracy floor needs evaluation data, for example --data eval.npz");
        return verb_fail("submit", &err);
    }
    o.request.model_file = operands.items[0];
    return submit(&o);
}
