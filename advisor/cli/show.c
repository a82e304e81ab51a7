/* show.c -- `pare show`: whatever an id stands for, with all that is stored about it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "advisor/cli/answer_print.h"
#include "advisor/cli/client_options.h"
#include "advisor/cli/verbs.h"
#include "core/base/ident.h"

static const struct {
    const char *prefix, *path;
} kinds[] = {{"mdl", "models"},    {"dat", "datasets"},     {"std", "studies"},        {"var", "variants"},
             {"prof", "profiles"}, {"eval", "evaluations"}, {"rec", "recommendations"}};

static const char *path_of(const char *id) {
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (ident_valid(kinds[i].prefix, id)) {
            return kinds[i].path;
        }
    }
    return NULL;
}

/* Scalars as rows "name  value"; objects and arrays as compact JSON. */
static enum rc print_fields(const json_t *object, enum output output, struct err *err) {
    static const char *const headers[] = {"field", "value"};
    struct table *t = table_new(headers, 2);
    enum rc rc = t ? RC_OK : err_memory(err);
    for (void *it = json_object_iter((json_t *)object); rc == RC_OK && it;
         it = json_object_iter_next((json_t *)object, it)) {
        const json_t *value = json_object_iter_value(it);
        char *text = json_is_string(value) ? strdup(json_string_value(value))
                                           : json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(7));
        const char *cells[] = {json_object_iter_key(it), text};
        rc = text ? table_add(t, cells, err) : err_memory(err);
        free(text);
    }
    if (rc == RC_OK) {
        table_print(t, output, stdout);
    }
    table_free(t);
    return rc;
}

static int show(const struct client_options *o, const char *id) {
    struct client c = {0};
    struct err err;
    enum output output;
    json_t *object = NULL;
    char path[128];
    const char *kind = path_of(id);
    if (!kind) {
        err_set(&err, RC_USAGE,
                "\"%.60s\" is not an id of a model (mdl_), dataset (dat_), study (std_), variant (var_), "
                "profile (prof_), "
                "evaluation (eval_) or recommendation (rec_)",
                id);
        return verb_fail("show", &err);
    }
    enum rc rc = client_options_open(o, &c, &output, &err);
    if (rc == RC_OK) {
        snprintf(path, sizeof(path), "/v1/%s/%s", kind, id);
        rc = client_get(&c, path, &object, &err);
    }
    if (rc == RC_OK && (output == OUTPUT_JSON || strcmp(kind, "recommendations") == 0)) {
        rc = answer_print(object, output, stdout, &err);
    } else if (rc == RC_OK) {
        rc = print_fields(object, output, &err);
    }
    json_decref(object);
    client_close(&c);
    return rc == RC_OK ? EXIT_FINE : verb_fail("show", &err);
}

int verb_show(int argc, char **argv) {
    struct client_options o = {0};
    struct option_list operands = {0};
    const struct option_spec specs[] = {CLIENT_OPTION_ROWS(o)};
    const struct options options = {
        .verb = "show",
        .summary = "everything stored about an id: model, dataset, study, variant, profile, evaluation, "
                   "recommendation",
        .operands = "ID",
        .min_operands = 1,
        .max_operands = 1,
        .specs = specs,
        .count = sizeof(specs) / sizeof(specs[0]),
        .examples = "  pare show prof_ab12 --output json\n",
    };
    int code = options_parse(&options, argc, argv, &operands);
    return code != OPTIONS_GO_ON ? code : show(&o, operands.items[0]);
}
