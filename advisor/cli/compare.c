/* compare.c -- `pare compare`: configurations side by side, paired against the first. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "advisor/cli/answer_print.h"
#include "advisor/cli/client_options.h"
#include "advisor/cli/compare_measure.h"
#include "advisor/cli/verbs.h"
#include "core/base/json.h"

enum decimals { WHOLE = 0, COST = 3, ACCURACY = 4 };

static void figure(char text[FIGURE_SIZE], enum decimals decimals, double value) {
    if (isnan(value)) {
        snprintf(text, FIGURE_SIZE, "-");
    } else {
        snprintf(text, FIGURE_SIZE, "%.*f", (int)decimals, value);
    }
}

/* The entry of `list` whose "b" is `id`. */
static const json_t *against_first(const json_t *list, const char *id) {
    size_t i;
    json_t *entry;
    json_array_foreach((json_t *)list, i, entry) {
        if (strcmp(json_shown_text(entry, "b"), id) == 0) {
            return entry;
        }
    }
    return NULL;
}

static enum rc add_row(struct table *t, const json_t *answer, const json_t *c, struct err *err) {
    char accuracy[FIGURE_SIZE], difference[FIGURE_SIZE], p50[FIGURE_SIZE] = "-", ratio[FIGURE_SIZE],
                                                         rate[FIGURE_SIZE];
    const json_t *a = against_first(json_object_get(answer, "accuracy"), json_shown_text(c, "id"));
    const json_t *r = against_first(json_object_get(answer, "cost"), json_shown_text(c, "id"));
    double us = json_shown_number(json_object_get(c, "latency_us"), "p50");
    figure(accuracy, ACCURACY, json_shown_number(json_object_get(c, "accuracy"), "value"));
    figure(difference, ACCURACY, json_shown_number(a, "difference"));
    figure(ratio, COST, json_shown_number(r, "ratio"));
    figure(rate, WHOLE, json_shown_number(c, "throughput_per_s"));
    if (!isnan(us)) {
        figure_us(us, p50);
    }
    const char *cells[] = {json_shown_text(c, "id"),
                           json_shown_text(c, "recipe"),
                           accuracy,
                           difference,
                           json_shown_text(a, "test"),
                           p50,
                           rate,
                           ratio};
    return table_add(t, cells, err);
}

static enum rc print_comparison(const json_t *answer, enum output output, struct err *err) {
    static const char *const headers[] = {"configuration", "recipe", ">accuracy", ">difference",
                                          "test",          ">p50",   ">per s",    ">cost ratio"};
    size_t i;
    json_t *c;
    if (output == OUTPUT_JSON) {
        return answer_print(answer, output, stdout, err);
    }
    struct table *t = table_new(headers, sizeof(headers) / sizeof(headers[0]));
    enum rc rc = t ? RC_OK : err_memory(err);
    json_array_foreach(json_object_get(answer, "items"), i, c) {
        rc = rc == RC_OK ? add_row(t, answer, c, err) : rc;
    }
    if (rc == RC_OK) {
        table_print(t, output, stdout);
    }
    table_free(t);
    return rc;
}

struct compare_options {
    struct client_options client;
    bool measure;
    const char *margin, *dataset;
    double time_limit_s;
};

static enum rc side_by_side(struct client *c, const struct option_list *ids, enum output output,
                            struct err *err) {
    json_t *body = json_object(), *answer = NULL;
    enum rc rc = client_options_list(body, "configurations", ids, err);
    if (rc == RC_OK) {
        rc = client_post(c, "/v1/compare", body, &answer, err);
    }
    if (rc == RC_OK) {
        rc = print_comparison(answer, output, err);
    }
    json_decref(body);
    json_decref(answer);
    return rc;
}

static enum rc measure(struct client *c, const struct compare_options *o, const struct option_list *ids,
                       enum output output, int *code, struct err *err) {
    double margin = 0.02;
    json_t *body = json_object(), *begun = NULL, *ended = NULL;
    enum rc rc = ids->count == 2 ? RC_OK : err_set(err, RC_USAGE, "--measure takes two, not %zu", ids->count);
    if (rc == RC_OK && o->margin) {
        rc = compare_margin(o->margin, &margin, err);
    }
    if (rc == RC_OK) {
        rc = client_options_list(body, "configurations", ids, err);
    }
    json_object_set_new(body, "measure",
                        json_pack("{s:f, s:f}", "margin", margin, "time_limit_s", o->time_limit_s));
    if (o->dataset) {
        json_object_set_new(body, "dataset", json_string(o->dataset));
    }
    if (rc == RC_OK) {
        rc = client_post(c, "/v1/compare", body, &begun, err);
    }
    if (rc == RC_OK) {
        fprintf(stderr, "comparison %s\n", json_shown_text(begun, "id"));
        rc = compare_follow(c, json_shown_text(begun, "id"), &ended, err);
    }
    if (rc == RC_OK) {
        rc = compare_print(ended, output, err);
        *code = compare_exit_code(ended);
    }
    json_decref(body);
    json_decref(begun);
    json_decref(ended);
    return rc;
}

int verb_compare(int argc, char **argv) {
    struct compare_options o = {.time_limit_s = 120};
    struct option_list operands = {0};
    const struct option_spec specs[] = {
        {.name = "measure",
         .kind = OPTION_FLAG,
         .value = &o.measure,
         .help = "measure the two against each other, in turns, until it is decided whether the second is "
                 "slower"},
        {.name = "margin",
         .kind = OPTION_TEXT,
         .argument = "SHARE",
         .value = &o.margin,
         .help = "with --measure: differences within it count as the same (default 2%)"},
        {.name = "time-limit",
         .kind = OPTION_NUMBER,
         .argument = "SECONDS",
         .value = &o.time_limit_s,
         .min = 1,
         .max = 86400,
         .help = "with --measure: of measuring (default 120)"},
        {.name = "dataset",
         .kind = OPTION_TEXT,
         .argument = "ID",
         .value = &o.dataset,
         .help = "with --measure: whose examples are run (default: that of the newest study of the models)"},
        CLIENT_OPTION_ROWS(o.client)};
    const struct options options = {
        .verb = "compare",
        .summary =
            "two or more configurations side by side, tested in pairs against the first; with --measure two "
            "configurations or models timed in turns by fresh workers: exit 0 the second is the same or "
            "faster, 1 slower, 3 undecided",
        .operands = "CONFIGURATION CONFIGURATION...",
        .min_operands = 2,
        .max_operands = 20,
        .specs = specs,
        .count = sizeof(specs) / sizeof(specs[0]),
        .examples = "  pare compare cfg_ab12 cfg_cd34 --output md\n"
                    "  pare compare cfg_ab12 mdl_ef56 --measure --margin 2%\n",
    };
    struct client c = {0};
    struct err err;
    enum output output;
    int code = options_parse(&options, argc, argv, &operands);
    if (code != OPTIONS_GO_ON) {
        return code;
    }
    code = EXIT_FINE;
    enum rc rc = client_options_open(&o.client, &c, &output, &err);
    if (rc == RC_OK) {
        rc = o.measure ? measure(&c, &o, &operands, output, &code, &err)
                       : side_by_side(&c, &operands, output, &err);
    }
    client_close(&c);
    return rc == RC_OK ? code : verb_fail("compare", &err);
}
