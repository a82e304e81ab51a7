/* targets.c -- `pare targets`: the machines with an agent, and what they cost. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "advisor/cli/client_options.h"
#include "advisor/cli/verbs.h"
#include "core/base/ident.h"
#include "core/base/json.h"

struct targets_options {
    struct client_options client;
    double price_per_hour;
};

/* The rate of the roofline with all threads of the target, "-" where it was not measured. */
static void figure_rate(const json_t *roofline, const char *list, const char *dtype, const char *key,
                        char text[24]) {
    const json_t *entry;
    size_t i;
    double threads = json_shown_number(roofline, "threads");
    snprintf(text, 24, "-");
    json_array_foreach(json_object_get(roofline, list), i, entry) {
        double value = json_shown_number(entry, key);
        bool mine = !dtype || strcmp(json_shown_text(entry, "dtype"), dtype) == 0;
        if (mine && json_shown_number(entry, "threads") == threads && !isnan(value)) {
            snprintf(text, 24, value < 10 ? "%.1f" : "%.0f", value);
        }
    }
}

static enum rc add_target(struct table *t, const json_t *target, struct err *err) {
    const json_t *f = json_object_get(target, "fingerprint"), *cpu = json_object_get(f, "cpu"),
                 *pmu = json_object_get(f, "pmu"), *roofline = json_object_get(f, "roofline");
    char fp32[24], bf16[24], int8[24], copy[24];
    figure_rate(roofline, "gemm", "fp32", "gop_per_s", fp32);
    figure_rate(roofline, "gemm", "bf16", "gop_per_s", bf16);
    figure_rate(roofline, "gemm", "int8", "gop_per_s", int8);
    figure_rate(roofline, "copy", NULL, "gb_per_s", copy);
    const json_t *price = json_object_get(target, "price_per_hour");
    char cores[16], memory[24], cost[24] = "-";
    snprintf(cores, sizeof(cores), "%lld", (long long)json_integer_value(json_object_get(cpu, "cores")));
    snprintf(memory, sizeof(memory), "%.1f GiB",
             json_number_value(json_object_get(f, "memory_bytes")) / (1024.0 * 1024 * 1024));
    if (json_is_number(price)) {
        snprintf(cost, sizeof(cost), "%.4f", json_number_value(price));
    }
    const char *cells[] = {json_shown_text(target, "id"),
                           json_shown_text(target, "name"),
                           json_shown_text(target, "state"),
                           json_shown_text(target, "machine_type"),
                           json_shown_text(cpu, "model"),
                           cores,
                           memory,
                           fp32,
                           bf16,
                           int8,
                           copy,
                           json_is_true(json_object_get(pmu, "available")) ? "yes" : "no",
                           cost};
    return table_add(t, cells, err);
}

static enum rc list_targets(struct client *c, enum output output, struct err *err) {
    static const char *const headers[] = {"target", "name",     "state", "machine type", "CPU",
                                          ">cores", ">memory",  ">fp32", ">bf16",        ">int8",
                                          ">copy",  "counters", ">USD/h"};
    json_t *list = NULL, *target;
    size_t i;
    enum rc rc = client_get(c, "/v1/targets", &list, err);
    if (rc != RC_OK) {
        return rc;
    }
    if (output == OUTPUT_JSON) {
        json_dumpf(json_object_get(list, "items"), stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(list);
        return RC_OK;
    }
    struct table *t = table_new(headers, sizeof(headers) / sizeof(headers[0]));
    rc = t ? RC_OK : err_memory(err);
    json_array_foreach(json_object_get(list, "items"), i, target) {
        rc = rc == RC_OK ? add_target(t, target, err) : rc;
    }
    if (rc == RC_OK && table_rows(t) == 0) {
        puts("no target yet: start `pare agent --server URL` on the machine to measure on");
    } else if (rc == RC_OK) {
        table_print(t, output, stdout);
    }
    if (rc == RC_OK && output == OUTPUT_TABLE && table_rows(t) > 0) {
        puts(
            "\nfp32, bf16, int8: the runtime's best matrix product with all cores, 10^9 operations a second. "
            "copy: memory, GB a\nsecond. All measured by the agent. -: not measured, or the runtime has no "
            "such "
            "product (why: --output json).");
    }
    table_free(t);
    json_decref(list);
    return rc;
}

/* The machine type of a target's id or name, or `what` itself. */
static enum rc machine_type_of(struct client *c, const char *what, char type[IDENT_SIZE], struct err *err) {
    json_t *list = NULL, *target;
    size_t i;
    snprintf(type, IDENT_SIZE, "%s", what);
    enum rc rc = client_get(c, "/v1/targets", &list, err);
    json_array_foreach(json_object_get(list, "items"), i, target) {
        if (strcmp(json_shown_text(target, "id"), what) == 0 ||
            strcmp(json_shown_text(target, "name"), what) == 0) {
            snprintf(type, IDENT_SIZE, "%s", json_shown_text(target, "machine_type"));
        }
    }
    json_decref(list);
    return rc;
}

static enum rc set_type(struct client *c, const struct targets_options *o, const char *what,
                        const char *instance_type, struct err *err) {
    char type[IDENT_SIZE], path[128];
    json_t *body = json_object(), *answer = NULL;
    enum rc rc = machine_type_of(c, what, type, err);
    char *escaped = client_escape(type);
    if (rc == RC_OK && !escaped) {
        rc = err_memory(err);
    }
    if (rc == RC_OK && instance_type) {
        json_object_set_new(body, "instance_type", json_string(instance_type));
    }
    if (rc == RC_OK && !isnan(o->price_per_hour)) {
        json_object_set_new(body, "price_per_hour", json_real(o->price_per_hour));
    }
    if (rc == RC_OK) {
        snprintf(path, sizeof(path), "/v1/machine-types/%s", escaped);
        rc = http_client_json(c->http, "PUT", path, body, 0, &answer, err);
    }
    if (rc == RC_OK) {
        const json_t *price = json_object_get(answer, "price");
        printf("%s: %s %.4f USD per hour (%s)\n", type, json_shown_text(answer, "instance_type"),
               json_number_value(json_object_get(price, "usd_per_hour")),
               json_shown_text(price, "provenance"));
    }
    free(escaped);
    json_decref(body);
    json_decref(answer);
    return rc;
}

int verb_targets(int argc, char **argv) {
    struct targets_options o = {.price_per_hour = NAN};
    struct option_list w = {0};
    const struct option_spec specs[] = {
        {.name = "price-per-hour",
         .kind = OPTION_NUMBER,
         .argument = "USD",
         .value = &o.price_per_hour,
         .min = 0,
         .max = 1e6,
         .help = "with set-type: what the machine costs, where no instance type of the catalogue fits"},
        CLIENT_OPTION_ROWS(o.client),
    };
    const struct options options = {
        .verb = "targets",
        .summary =
            "the machines with an agent; set-type says which cloud instance type one is, and so its price",
        .operands = "[set-type TARGET [INSTANCE_TYPE]]",
        .min_operands = 0,
        .max_operands = 3,
        .specs = specs,
        .count = sizeof(specs) / sizeof(specs[0]),
        .examples = "  pare targets\n  pare targets set-type build-1 c7a.large\n  pare targets set-type "
                    "build-1 --price-per-hour 0.11\n",
    };
    struct client c = {0};
    struct err err;
    enum output output;
    int code = options_parse(&options, argc, argv, &w);
    if (code != OPTIONS_GO_ON) {
        return code;
    }
    enum rc rc = client_options_open(&o.client, &c, &output, &err);
    if (rc == RC_OK && w.count == 0) {
        rc = list_targets(&c, output, &err);
    } else if (rc == RC_OK && strcmp(w.items[0], "set-type") == 0 &&
               (w.count == 3 || (w.count == 2 && !isnan(o.price_per_hour)))) {
        rc = set_type(&c, &o, w.items[1], w.count == 3 ? w.items[2] : NULL, &err);
    } else if (rc == RC_OK) {
        rc = err_set(
            &err, RC_USAGE,
            "give nothing to list the targets, or: set-type TARGET INSTANCE_TYPE (or --price-per-hour USD)");
    }
    client_close(&c);
    return rc == RC_OK ? EXIT_FINE : verb_fail("targets", &err);
}
