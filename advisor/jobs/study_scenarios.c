#include "advisor/jobs/study_scenarios.h"

#include <stdio.h>
#include <string.h>

static const enum scenario_kind ALWAYS[] = {SCENARIO_SINGLE_STREAM, SCENARIO_OFFLINE};

enum rc study_scenarios_read(const json_t *object, json_t **ret, struct err *err) {
    const json_t *list = json_object_get(object, "scenarios"), *item;
    bool wanted[SCENARIO_COUNT] = {false};
    size_t i;
    for (i = 0; i < sizeof(ALWAYS) / sizeof(*ALWAYS); i++) {
        wanted[ALWAYS[i]] = true;
    }
    if (list && !json_is_null(list) && !json_is_array(list)) {
        return err_set(err, RC_INPUT, "field \"scenarios\" must be a list of names");
    }
    json_array_foreach(list, i, item) {
        enum scenario_kind kind;
        enum rc rc = json_is_string(item)
                         ? scenario_parse(json_string_value(item), &kind, err)
                         : err_set(err, RC_INPUT, "field \"scenarios\" must be a list of names");
        if (rc != RC_OK) {
            return rc;
        }
        wanted[kind] = true;
    }
    json_t *names = json_array();
    for (int kind = 0; kind < SCENARIO_COUNT; kind++) {
        if (wanted[kind]) {
            json_array_append_new(names, json_string(scenario_name((enum scenario_kind)kind)));
        }
    }
    *ret = names;
    return names ? RC_OK : err_memory(err);
}

bool study_scenarios_has(const json_t *request, enum scenario_kind kind) {
    size_t i;
    const json_t *item;
    json_array_foreach(json_object_get(request, "scenarios"), i, item) {
        const char *name = json_string_value(item);
        if (name && strcmp(name, scenario_name(kind)) == 0) {
            return true;
        }
    }
    return false;
}

/* The tightest budget of that percentile; NULL where there is none. */
static const struct budget *tightest(const struct limits *l, enum latency_figure figure) {
    const struct budget *found = NULL;
    for (size_t i = 0; i < l->budget_count; i++) {
        const struct budget *b = &l->budgets[i];
        bool mine = b->kind == BUDGET_LATENCY && b->figure == figure;
        found = mine && (!found || b->bound < found->bound) ? b : found;
    }
    return found;
}

void study_scenarios_server(const struct limits *l, char name[STUDY_SCENARIO_SIZE]) {
    size_t n = 0;
    name[0] = '\0';
    for (int f = 0; f < LATENCY_MEAN; f++) {
        const struct budget *b = tightest(l, (enum latency_figure)f);
        char text[BUDGET_TEXT_SIZE];
        if (b) {
            budget_text(b, text);
            int wrote = snprintf(name + n, STUDY_SCENARIO_SIZE - n, "%s %s", n == 0 ? "server" : "", text);
            n += wrote > 0 ? (size_t)wrote : 0;
        }
    }
}

json_t *study_scenarios_limits(const struct limits *l) {
    json_t *list = json_array();
    for (int f = 0; f < LATENCY_MEAN; f++) {
        const struct budget *b = tightest(l, (enum latency_figure)f);
        if (b) {
            json_array_append_new(list,
                                  json_pack("{s:f, s:f}", "quantile",
                                            latency_quantile((enum latency_figure)f), "limit_us", b->bound));
        }
    }
    return list;
}
