/* compare.c -- `pare compare`: configurations side by side, paired against the first. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "advisor/cli/answer_print.h"
#include "advisor/cli/client_options.h"
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

int verb_compare(int argc, char **argv) {
    struct client_options o = {0};
    struct option_list operands = {0};
    const struct option_spec specs[] = {CLIENT_OPTION_ROWS(o)};
    const struct options options = {
        .verb = "compare",
        .summary = "two or more configurations side by side, tested in pairs against the first",
        .operands = "CONFIGURATION CONFIGURATION...",
        .min_operands = 2,
        .max_operands = 20,
        .specs = specs,
        .count = sizeof(specs) / sizeof(specs[0]),
        .examples = "  pare compare cfg_ab12 cfg_cd34 --output md\n",
    };
    struct client c = {0};
    struct err err;
    enum output output;
    json_t *body = NULL, *answer = NULL;
    int code = options_parse(&options, argc, argv, &operands);
    if (code != OPTIONS_GO_ON) {
        return code;
    }
    enum rc rc = client_options_open(&o, &c, &output, &err);
    if (rc == RC_OK) {
        body = json_object();
        rc = client_options_list(body, "configurations", &operands, &err);
    }
    if (rc == RC_OK) {
        rc = client_post(&c, "/v1/compare", body, &answer, &err);
    }
    if (rc == RC_OK) {
        rc = print_comparison(answer, output, &err);
    }
    json_decref(body);
    json_decref(answer);
    client_close(&c);
    return rc == RC_OK ? EXIT_FINE : verb_fail("compare", &err);
}
