/* export.c -- `pare export`: the compressed model of a variant, or of a study's or an answer's choice, as a
 * file. */
#include <stdio.h>
#include <string.h>

#include "advisor/cli/client_options.h"
#include "advisor/cli/verbs.h"
#include "core/base/file.h"
#include "core/base/ident.h"

struct export_options {
    struct client_options client;
    const char *file;
};

/* The variant that `what` means: its own id, or the choice of an answer or of a study's answer. */
static enum rc find_variant(struct client *c, const char *what, char variant[IDENT_SIZE], struct err *err) {
    json_t *study = NULL, *answer = NULL;
    char path[128];
    const char *rec = what;
    enum rc rc = RC_OK;
    if (ident_valid("var", what)) {
        snprintf(variant, IDENT_SIZE, "%s", what);
        return RC_OK;
    }
    if (!ident_valid("rec", what)) {
        rc = client_find_study(c, what, &study, err);
        rec = rc == RC_OK ? json_string_value(json_object_get(study, "recommendation")) : NULL;
        if (rc == RC_OK && !rec) {
            rc = err_set(err, RC_NOT_FOUND, "study %s has no recommendation yet",
                         json_string_value(json_object_get(study, "id")));
        }
    }
    if (rc == RC_OK) {
        snprintf(path, sizeof(path), "/v1/recommendations/%s", rec);
        rc = client_get(c, path, &answer, err);
    }
    const char *id =
        rc == RC_OK ? json_string_value(json_object_get(json_object_get(answer, "choice"), "variant")) : NULL;
    if (rc == RC_OK && !id) {
        rc = err_set(err, RC_NOT_FOUND, "%s chose nothing: no configuration meets its floors and budgets",
                     rec);
    } else if (rc == RC_OK) {
        snprintf(variant, IDENT_SIZE, "%s", id);
    }
    json_decref(study);
    json_decref(answer);
    return rc;
}

static enum rc export_to(struct client *c, const char *what, const char *file, struct err *err) {
    char variant[IDENT_SIZE], path[128], name[256];
    json_t *v = NULL;
    enum rc rc = find_variant(c, what, variant, err);
    if (rc != RC_OK) {
        return rc;
    }
    snprintf(path, sizeof(path), "/v1/variants/%s", variant);
    rc = client_get(c, path, &v, err);
    if (rc == RC_OK && !file) {
        const char *main_file =
            json_string_value(json_object_get(json_array_get(json_object_get(v, "files"), 0), "path"));
        snprintf(name, sizeof(name), "%s-%s", variant, main_file ? file_base_name(main_file) : "model");
        file = name;
    }
    if (rc == RC_OK) {
        snprintf(path, sizeof(path), "/v1/variants/%s/artifact", variant);
        rc = http_client_download(c->http, path, file, err);
    }
    if (rc == RC_OK) {
        const char *recipe = json_string_value(json_object_get(v, "recipe"));
        printf("%s: %s, %s\n", file, recipe ? recipe : "", variant);
    }
    json_decref(v);
    return rc;
}

int verb_export(int argc, char **argv) {
    struct export_options o = {0};
    struct option_list operands = {0};
    const struct option_spec specs[] = {
        {.name = "file",
         .kind = OPTION_TEXT,
         .argument = "FILE",
         .value = &o.file,
         .help = "where to write it (default: a name made of the id)"},
        CLIENT_OPTION_ROWS(o.client),
    };
    const struct options options = {
        .verb = "export",
        .summary = "write the compressed model of a variant, or of what was chosen, to a file",
        .operands = "VARIANT|ANSWER|STUDY|MODEL",
        .min_operands = 1,
        .max_operands = 1,
        .specs = specs,
        .count = sizeof(specs) / sizeof(specs[0]),
        .examples = "  pare export fmnist-resnet.onnx --file fmnist-resnet.int8.onnx\n",
    };
    struct client c = {0};
    struct err err;
    enum output output;
    int code = options_parse(&options, argc, argv, &operands);
    if (code != OPTIONS_GO_ON) {
        return code;
    }
    enum rc rc = client_options_open(&o.client, &c, &output, &err);
    if (rc == RC_OK) {
        rc = export_to(&c, operands.items[0], o.file, &err);
    }
    client_close(&c);
    return rc == RC_OK ? EXIT_FINE : verb_fail("export", &err);
}
