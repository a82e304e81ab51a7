/* study.c -- `pare study`: list studies, look at one, follow or cancel it. */
#include <stdio.h>
#include <string.h>

#include "advisor/cli/client_options.h"
#include "advisor/cli/follow.h"
#include "advisor/cli/verbs.h"
#include "core/base/json.h"

struct study_options {
    struct client_options client;
    bool cancel, follow;
};

static enum rc add_study(struct table *t, const json_t *s, struct err *err) {
    char progress[32], floors[128] = "";
    const json_t *p = json_object_get(s, "progress");
    size_t i, n = 0;
    json_t *floor;
    snprintf(progress, sizeof(progress), "%lld/%lld",
             (long long)json_integer_value(json_object_get(p, "done")),
             (long long)json_integer_value(json_object_get(p, "total")));
    json_array_foreach(json_object_get(s, "floors"), i, floor) {
        int m = snprintf(floors + n, sizeof(floors) - n, "%s%s", i ? ", " : "", json_string_value(floor));
        n = m > 0 && n + (size_t)m < sizeof(floors) ? n + (size_t)m : n;
    }
    const char *cells[] = {json_shown_text(s, "id"),
                           json_shown_text(json_object_get(s, "model"), "name"),
                           json_shown_text(json_object_get(s, "dataset"), "name"),
                           floors,
                           json_shown_text(s, "state"),
                           progress,
                           json_shown_text(s, "recommendation"),
                           json_shown_text(json_object_get(s, "error"), "text")};
    return table_add(t, cells, err);
}

static enum rc print_studies(const json_t *items, enum output output, struct err *err) {
    static const char *const headers[] = {"study", "model",  "data",   "floors",
                                          "state", ">steps", "answer", "error"};
    size_t i;
    json_t *s;
    if (output == OUTPUT_JSON) {
        json_dumpf(items, stdout, JSON_INDENT(2));
        putchar('\n');
        return RC_OK;
    }
    struct table *t = table_new(headers, sizeof(headers) / sizeof(headers[0]));
    enum rc rc = t ? RC_OK : err_memory(err);
    json_array_foreach((json_t *)items, i, s) {
        rc = rc == RC_OK ? add_study(t, s, err) : rc;
    }
    if (rc == RC_OK && table_rows(t) == 0) {
        puts("no study yet; start one with: pare submit MODEL --data FILE");
    } else if (rc == RC_OK) {
        table_print(t, output, stdout);
    }
    table_free(t);
    return rc;
}

/* Runtime settings that the study leaves out, below the study itself. */
static enum rc print_skipped(const json_t *study, enum output output, struct err *err) {
    static const char *const headers[] = {"left out", "runtime", "why"};
    const json_t *list = json_object_get(study, "skipped_settings"), *one;
    size_t i;
    if (json_array_size(list) == 0 || output == OUTPUT_JSON) {
        return RC_OK;
    }
    struct table *t = table_new(headers, sizeof(headers) / sizeof(headers[0]));
    enum rc rc = t ? RC_OK : err_memory(err);
    json_array_foreach((json_t *)list, i, one) {
        char runtime[64];
        const json_t *r = json_object_get(one, "runtime");
        snprintf(runtime, sizeof(runtime), "%lldx%lld b%lld",
                 (long long)json_integer_value(json_object_get(r, "instances")),
                 (long long)json_integer_value(json_object_get(r, "threads")),
                 (long long)json_integer_value(json_object_get(r, "batch")));
        const char *cells[] = {json_shown_text(one, "recipe"), runtime, json_shown_text(one, "why")};
        rc = rc == RC_OK ? table_add(t, cells, err) : rc;
    }
    if (rc == RC_OK) {
        putchar('\n');
        table_print(t, output, stdout);
    }
    table_free(t);
    return rc;
}

static enum rc one_study(struct client *c, const struct study_options *o, const char *what,
                         enum output output, struct err *err) {
    json_t *study = NULL, *ended = NULL, *list;
    char path[96];
    enum rc rc = client_find_study(c, what, &study, err);
    if (rc == RC_OK && o->cancel) {
        snprintf(path, sizeof(path), "/v1/studies/%s", json_shown_text(study, "id"));
        rc = http_client_json(c->http, "DELETE", path, NULL, 0, &ended, err);
    } else if (rc == RC_OK && o->follow) {
        rc = follow_study(c, json_shown_text(study, "id"), &ended, err);
    }
    if (rc == RC_OK) {
        const json_t *shown = ended ? ended : study;
        list = json_pack("[O]", shown);
        rc = print_studies(output == OUTPUT_JSON ? shown : list, output, err);
        json_decref(list);
        rc = rc == RC_OK ? print_skipped(shown, output, err) : rc;
    }
    json_decref(study);
    json_decref(ended);
    return rc;
}

static int study(const struct study_options *o, const char *what) {
    struct client c = {0};
    struct err err;
    enum output output;
    json_t *list = NULL;
    enum rc rc = client_options_open(&o->client, &c, &output, &err);
    if (rc == RC_OK && what) {
        rc = one_study(&c, o, what, output, &err);
    } else if (rc == RC_OK) {
        rc = client_get(&c, "/v1/studies?limit=100", &list, &err);
        if (rc == RC_OK) {
            rc = print_studies(json_object_get(list, "items"), output, &err);
        }
    }
    json_decref(list);
    client_close(&c);
    return rc == RC_OK ? EXIT_FINE : verb_fail("study", &err);
}

int verb_study(int argc, char **argv) {
    struct study_options o = {0};
    struct option_list operands = {0};
    const struct option_spec specs[] = {
        {.name = "follow",
         .kind = OPTION_FLAG,
         .value = &o.follow,
         .help = "wait until it has ended, showing its progress"},
        {.name = "cancel",
         .kind = OPTION_FLAG,
         .value = &o.cancel,
         .help = "cancel it; what was measured stays"},
        CLIENT_OPTION_ROWS(o.client),
    };
    const struct options options = {
        .verb = "study",
        .summary = "list the studies, or look at, follow or cancel one",
        .operands = "[STUDY|MODEL]",
        .min_operands = 0,
        .max_operands = 1,
        .specs = specs,
        .count = sizeof(specs) / sizeof(specs[0]),
        .examples = "  pare study\n  pare study std_ab12 --follow\n",
    };
    int code = options_parse(&options, argc, argv, &operands);
    return code != OPTIONS_GO_ON ? code : study(&o, operands.count ? operands.items[0] : NULL);
}
