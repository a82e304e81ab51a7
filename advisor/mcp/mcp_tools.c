#include "advisor/mcp/mcp_tools.h"

#include <stdlib.h>
#include <string.h>

#include "advisor/jobs/answer.h"
#include "advisor/jobs/views.h"
#include "core/base/buf.h"
#include "core/base/container.h"
#include "core/base/json.h"
#include "core/base/nearest.h"

enum { MAX_TEXT_BYTES = 64 * 1024, MAX_LISTED = 20 };

typedef enum rc tool_function(struct jobs *j, const json_t *arguments, json_t **ret, struct buf *text,
                              struct err *err);

static tool_function list_studies, recommend, compare, explain;

#define FLOORS_SCHEMA                                                                                        \
    "\"floors\":{\"type\":\"array\",\"items\":{\"type\":\"string\"},\"description\":\"What accuracy must "   \
    "keep: "                                                                                                 \
    "relative>=0.99, top1>=0.94, drop<=0.5 (points), ppl_ratio<=1.02, kld<=0.05. Default: those of the "     \
    "study.\"}"
#define BUDGETS_SCHEMA                                                                                       \
    "\"budgets\":{\"type\":\"array\",\"items\":{\"type\":\"string\"},\"description\":\"What must not be "    \
    "passed: p99<=5ms, "                                                                                     \
    "throughput>=200/s, memory<=512MiB, size<=20MiB, cost<=0.5usd. Default: those of the study.\"}"

/* The list of tools is data: a further one is a row here and a function below. */
static const struct {
    const char *name, *title, *description, *schema;
    tool_function *function;
} tools[] = {
    {"list_studies", "List studies",
     "What was measured: every study with its model, dataset, state, floors, budgets and the id of its "
     "recommendation. Newest first.",
     "{\"type\":\"object\",\"properties\":{},\"additionalProperties\":false}", list_studies},
    {"recommend", "Recommend a configuration",
     "The cheapest measured way to serve a model that meets the floors and the budgets, with the evidence, "
     "the runners-up and what "
     "was rejected and why. Give a study's id; floors and budgets may differ from the study's own: nothing "
     "is measured again.",
     "{\"type\":\"object\",\"properties\":{\"study\":{\"type\":\"string\",\"description\":\"id of a study "
     "(std_...)\"}," FLOORS_SCHEMA "," BUDGETS_SCHEMA
     ",\"price_per_hour\":{\"type\":\"number\",\"description\":\"USD per hour of the machine\"},"
     "\"scenario\":{\"type\":\"string\",\"enum\":[\"single-stream\",\"multi-stream\",\"server\","
     "\"offline\"],\"description\":\"in which latency, throughput and cost are judged. Default: server "
     "(random "
     "arrivals) where the study measured it, else offline\"}},"
     "\"required\":[\"study\"],\"additionalProperties\":false}",
     recommend},
    {"compare", "Compare configurations",
     "Two or more configurations side by side, with paired tests of accuracy and the ratio of cost. Ids "
     "(cfg_...) come from recommend.",
     "{\"type\":\"object\",\"properties\":{\"configurations\":{\"type\":\"array\",\"items\":{\"type\":"
     "\"string\"},\"minItems\":2,"
     "\"maxItems\":20}},\"required\":[\"configurations\"],\"additionalProperties\":false}",
     compare},
    {"explain", "Explain a recommendation",
     "Why an answer is what it is: the choice against the baseline, and for each other configuration (or "
     "only those of one recipe) "
     "what decided against it, and what makes it as fast or slow as it is, by the times of its operators.",
     "{\"type\":\"object\",\"properties\":{\"recommendation\":{\"type\":\"string\",\"description\":\"id of "
     "an answer (rec_...)\"},"
     "\"recipe\":{\"type\":\"string\",\"description\":\"only this recipe, for example int8:dynamic\"}},"
     "\"required\":[\"recommendation\"],\"additionalProperties\":false}",
     explain},
};

json_t *mcp_tools_list(void) {
    json_t *list = json_array();
    for (size_t i = 0; i < ARRAY_SIZE(tools); i++) {
        json_t *schema = json_loads(tools[i].schema, 0, NULL);
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:s, s:o, s:{s:b, s:b}}", "name", tools[i].name, "title",
                                        tools[i].title, "description", tools[i].description, "inputSchema",
                                        schema, "annotations", "readOnlyHint", 1, "openWorldHint", 0));
    }
    return json_pack("{s:o}", "tools", list);
}

enum rc mcp_tools_call(struct jobs *j, const char *name, const json_t *arguments, json_t **ret, char **text,
                       struct err *err) {
    const char *names[ARRAY_SIZE(tools) + 1] = {NULL};
    for (size_t i = 0; i < ARRAY_SIZE(tools); i++) {
        names[i] = tools[i].name;
        if (strcmp(tools[i].name, name) != 0) {
            continue;
        }
        struct buf b;
        buf_init(&b, MAX_TEXT_BYTES);
        enum rc rc = tools[i].function(j, arguments, ret, &b, err);
        *text = rc == RC_OK ? buf_steal(&b) : NULL;
        buf_free(&b);
        return rc;
    }
    const char *near = nearest_name(name, names);
    return err_set(err, RC_UNSUPPORTED, "there is no tool \"%.64s\"%s%s", name, near ? "; did you mean " : "",
                   near ? near : "");
}

static enum rc list_studies(struct jobs *j, const json_t *arguments, json_t **ret, struct buf *text,
                            struct err *err) {
    static const char *const keys[] = {NULL};
    struct view_page page = {.limit = MAX_LISTED};
    json_t *study;
    size_t i;
    enum rc rc = json_only_keys(arguments, keys, err);
    if (rc == RC_OK) {
        rc = view_studies(j, &page, ret, err);
    }
    if (rc != RC_OK) {
        return rc;
    }
    json_array_foreach(json_object_get(*ret, "items"), i, study) {
        rc =
            rc != RC_OK
                ? rc
                : buf_printf(text, err, "%s: %s on %s, %s, recommendation %s\n", json_shown_text(study, "id"),
                             json_shown_text(json_object_get(study, "model"), "name"),
                             json_shown_text(json_object_get(study, "dataset"), "name"),
                             json_shown_text(study, "state"), json_shown_text(study, "recommendation"));
    }
    if (rc == RC_OK && text->size == 0) {
        rc = buf_add_text(
            text,
            "No study yet. A person starts one with: pare submit MODEL --data FILE --floor 'relative>=0.99'",
            err);
    }
    return rc;
}

static enum rc recommend(struct jobs *j, const json_t *arguments, json_t **ret, struct buf *text,
                         struct err *err) {
    static const char *const keys[] = {"study", "floors", "budgets", "price_per_hour", "scenario", NULL};
    enum rc rc = json_only_keys(arguments, keys, err);
    if (rc == RC_OK) {
        rc = answer_recommend(j, arguments, ret, err);
    }
    return rc == RC_OK ? buf_printf(text, err, "%s (answer %s)", json_shown_text(*ret, "summary"),
                                    json_shown_text(*ret, "id"))
                       : rc;
}

static enum rc compare(struct jobs *j, const json_t *arguments, json_t **ret, struct buf *text,
                       struct err *err) {
    enum rc rc = answer_compare(j, arguments, ret, err);
    if (rc != RC_OK) {
        return rc;
    }
    char *dump = json_text(*ret);
    rc = dump ? buf_add_text(text, dump, err) : err_memory(err);
    free(dump);
    return rc;
}

static enum rc add_reasons(const json_t *list, const char *role, const char *recipe, struct buf *text,
                           struct err *err) {
    size_t i;
    json_t *c;
    enum rc rc = RC_OK;
    json_array_foreach((json_t *)list, i, c) {
        if (rc == RC_OK && (!recipe || strcmp(recipe, json_shown_text(c, "recipe")) == 0)) {
            const json_t *r = json_object_get(c, "runtime");
            const char *why = json_shown_text(c, "explanation");
            rc = buf_printf(text, err, "- %s, %lld x %lld threads (%s): %s%s%s\n",
                            json_shown_text(c, "recipe"),
                            (long long)json_integer_value(json_object_get(r, "instances")),
                            (long long)json_integer_value(json_object_get(r, "threads")), role,
                            json_shown_text(c, "reason"), *why ? ". Speed: " : "", why);
        }
    }
    return rc;
}

static enum rc add_skipped(const json_t *list, const char *recipe, struct buf *text, struct err *err) {
    size_t i;
    const json_t *entry;
    enum rc rc = RC_OK;
    json_array_foreach(list, i, entry) {
        if (rc == RC_OK && (!recipe || strcmp(recipe, json_shown_text(entry, "recipe")) == 0)) {
            rc = buf_printf(text, err, "- %s (%s settings not measured): %s\n",
                            json_shown_text(entry, "recipe"), json_shown_text(entry, "settings"),
                            json_shown_text(entry, "reason"));
        }
    }
    return rc;
}

static enum rc explain(struct jobs *j, const json_t *arguments, json_t **ret, struct buf *text,
                       struct err *err) {
    static const char *const keys[] = {"recommendation", "recipe", NULL};
    const char *id = NULL, *recipe = NULL;
    json_t *answer = NULL;
    enum rc rc = json_only_keys(arguments, keys, err);
    if (rc == RC_OK) {
        rc = json_get_string(arguments, "recommendation", &id, err);
    }
    if (rc == RC_OK) {
        rc = json_opt_string(arguments, "recipe", &recipe, err);
    }
    if (rc == RC_OK) {
        rc = answer_get(j, id, &answer, err);
    }
    if (rc == RC_OK && !recipe) {
        const char *why = json_shown_text(json_object_get(answer, "choice"), "explanation");
        rc = buf_printf(text, err, "%s%s%s\n", json_shown_text(answer, "summary"), *why ? " Speed: " : "",
                        why);
    }
    if (rc == RC_OK) {
        rc = add_reasons(json_object_get(answer, "runners_up"), "meets everything, costs more", recipe, text,
                         err);
    }
    if (rc == RC_OK) {
        rc = add_reasons(json_object_get(answer, "undecided"), "undecided", recipe, text, err);
    }
    if (rc == RC_OK) {
        rc = add_reasons(json_object_get(json_object_get(answer, "rejected"), "items"), "rejected", recipe,
                         text, err);
    }
    if (rc == RC_OK) {
        rc = add_skipped(json_object_get(answer, "skipped"), recipe, text, err);
    }
    if (rc == RC_OK && text->size == 0) {
        rc = err_set(err, RC_NOT_FOUND,
                     "answer %s lists no configuration of recipe \"%.80s\" beside its choice", id, recipe);
    }
    if (rc == RC_OK) {
        *ret = json_pack("{s:s, s:s, s:O}", "recommendation", id, "explanation", text->data, "choice",
                         json_object_get(answer, "choice"));
    }
    json_decref(answer);
    return rc;
}
