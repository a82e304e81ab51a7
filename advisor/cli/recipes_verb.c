/* recipes_verb.c -- `pare recipes`: the levels of each preset, and which of them can be faster at all on the
 * registered machines. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "advisor/cli/client_options.h"
#include "advisor/cli/verbs.h"
#include "core/base/json.h"

struct recipes_options {
    struct client_options client;
    const char *family;
};

static enum rc add_level(struct table *t, const json_t *level, struct err *err) {
    const json_t *helps = json_object_get(level, "helps"), *hardware = json_object_get(level, "hardware");
    const char *gain = json_shown_text(hardware, "gain");
    const char *cells[] = {json_shown_text(level, "recipe"), json_shown_text(level, "preset"),
                           json_is_null(helps)         ? "?"
                           : json_is_false(helps)      ? "no"
                           : strcmp(gain, "some") == 0 ? "perhaps"
                           : *gain                     ? "yes"
                                                       : "-",
                           json_shown_text(hardware, "why")};
    return table_add(t, cells, err);
}

static enum rc print_levels(const json_t *levels, enum output output, struct err *err) {
    static const char *const headers[] = {"level", "from preset", "faster here", "because"};
    struct table *t = table_new(headers, 4);
    size_t i;
    const json_t *level;
    enum rc rc = t ? RC_OK : err_memory(err);
    json_array_foreach(levels, i, level) {
        rc = rc == RC_OK ? add_level(t, level, err) : rc;
    }
    if (rc == RC_OK) {
        table_print(t, output, stdout);
    }
    if (rc == RC_OK && output == OUTPUT_TABLE) {
        puts("\nA preset holds its own levels and those of the smaller ones. faster here: whether a "
             "registered machine has the "
             "instructions\nthat the level gains from; whether it is faster is measured. no: smaller at "
             "most, and so tried last.");
    }
    table_free(t);
    return rc;
}

static enum rc show_recipes(struct client *c, const struct recipes_options *o, const char *model,
                            enum output output, struct err *err) {
    char path[256];
    json_t *answer = NULL;
    char *escaped = client_escape(model ? model : o->family);
    if (!escaped) {
        return err_memory(err);
    }
    snprintf(path, sizeof(path), "/v1/recipes?%s=%.200s", model ? "model" : "family", escaped);
    free(escaped);
    enum rc rc = client_get(c, path, &answer, err);
    if (rc == RC_OK && output == OUTPUT_JSON) {
        json_dumpf(answer, stdout, JSON_INDENT(2));
        putchar('\n');
    } else if (rc == RC_OK) {
        rc = print_levels(json_object_get(answer, "levels"), output, err);
    }
    json_decref(answer);
    return rc;
}

int verb_recipes(int argc, char **argv) {
    struct recipes_options o = {.family = "onnx"};
    struct option_list w = {0};
    const struct option_spec specs[] = {
        {.name = "family",
         .kind = OPTION_TEXT,
         .argument = "onnx|gguf",
         .value = &o.family,
         .help = "without a model: the levels of this family (default onnx)"},
        CLIENT_OPTION_ROWS(o.client),
    };
    const struct options options = {
        .verb = "recipes",
        .summary = "the levels of each preset, and what the registered machines make of them",
        .operands = "[MODEL]",
        .min_operands = 0,
        .max_operands = 1,
        .specs = specs,
        .count = sizeof(specs) / sizeof(specs[0]),
        .examples = "  pare recipes\n  pare recipes --family gguf\n  pare recipes mdl_ab12 --output json\n",
    };
    struct client c = {0};
    struct err err;
    enum output output;
    int code = options_parse(&options, argc, argv, &w);
    if (code != OPTIONS_GO_ON) {
        return code;
    }
    enum rc rc = client_options_open(&o.client, &c, &output, &err);
    if (rc == RC_OK) {
        rc = show_recipes(&c, &o, w.count > 0 ? w.items[0] : NULL, output, &err);
    }
    client_close(&c);
    return rc == RC_OK ? EXIT_FINE : verb_fail("recipes", &err);
}
