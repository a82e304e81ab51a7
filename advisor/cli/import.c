/* import.c -- `pare import`: results that a bundle's machine measured, uploaded and recorded. */
#include <stdio.h>
#include <string.h>

#include "advisor/cli/client_options.h"
#include "advisor/cli/verbs.h"
#include "core/base/json.h"

static enum rc take_back(struct client *c, const char *file, json_t **ret, struct err *err) {
    char hex[65];
    enum rc rc = client_upload(c, file, hex, err);
    json_t *body = rc == RC_OK ? json_pack("{s:s}", "sha256", hex) : NULL;
    if (rc == RC_OK) {
        rc = body ? client_post(c, "/v1/imports", body, ret, err) : err_memory(err);
    }
    json_decref(body);
    return rc;
}

static void print_answer(const json_t *answer, enum output output) {
    size_t i;
    const json_t *item;
    if (output == OUTPUT_JSON) {
        json_dumpf(answer, stdout, JSON_INDENT(2));
        putchar('\n');
        return;
    }
    printf("%s (%s):\n", json_shown_text(answer, "machine"), json_shown_text(answer, "machine_type_id"));
    json_array_foreach(json_object_get(answer, "recorded"), i, item) {
        printf("  %s: recorded as %s\n", json_shown_text(item, "label"), json_shown_text(item, "profile"));
    }
    json_array_foreach(json_object_get(answer, "known"), i, item) {
        printf("  %s: known already\n", json_string_value(item) ? json_string_value(item) : "");
    }
    json_array_foreach(json_object_get(answer, "failed"), i, item) {
        printf("  %s: failed: %s\n", json_shown_text(item, "label"), json_shown_text(item, "error"));
    }
    puts("The machine is part of the answer now: pare recommend MODEL. Accuracy was measured on this side; "
         "kernels for int8 can\n"
         "round differently on another processor.");
}

int verb_import(int argc, char **argv) {
    struct client_options o = {0};
    struct option_list operands = {0};
    const struct option_spec specs[] = {CLIENT_OPTION_ROWS(o)};
    const struct options options = {
        .verb = "import",
        .summary = "record what a machine measured that cannot reach the service (see pare bundle)",
        .operands = "RESULTS",
        .min_operands = 1,
        .max_operands = 1,
        .specs = specs,
        .count = sizeof(specs) / sizeof(specs[0]),
        .examples = "  pare import pare-bundle/results.pare\n",
    };
    struct client c = {0};
    struct err err;
    enum output output = OUTPUT_TABLE;
    json_t *answer = NULL;
    int code = options_parse(&options, argc, argv, &operands);
    if (code != OPTIONS_GO_ON) {
        return code;
    }
    enum rc rc = client_options_open(&o, &c, &output, &err);
    if (rc == RC_OK && (rc = take_back(&c, operands.items[0], &answer, &err)) == RC_OK) {
        print_answer(answer, output);
    }
    json_decref(answer);
    client_close(&c);
    return rc == RC_OK ? EXIT_FINE : verb_fail("import", &err);
}
