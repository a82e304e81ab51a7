#include "advisor/ask/ask.h"

#include <ctype.h>
#include <string.h>

#include "advisor/ask/ask_words.h"
#include "advisor/http/app.h"
#include "advisor/http/view_call.h"
#include "advisor/jobs/answer.h"
#include "advisor/jobs/views.h"
#include "core/base/buf.h"
#include "core/base/json.h"
#include "core/recipes/recipe.h"

enum { TEXT_BYTES_MAX = 16 * 1024, STUDIES_SEEN = 200, NAMES_SHOWN = 5, BODY_BYTES_MAX = 64 * 1024 };

struct asking {
    struct jobs *jobs;
    const char *question, *study, *model; /* the last two may be NULL */
    struct ask_limits limits;
    json_t *studies; /* newest first; owned */
};

/* ---- which study ---- */

/* True when the question holds `name`, or what stands before its ending, as a word of its own. */
static bool mentions(const char *question, const char *name, size_t size) {
    if (size < 2) {
        return false;
    }
    for (const char *p = question; *p; p++) {
        bool starts = p == question || !isalnum((unsigned char)p[-1]);
        if (starts && strncasecmp(p, name, size) == 0 && !isalnum((unsigned char)p[size])) {
            return true;
        }
    }
    return false;
}

static bool is_asked_about(const struct asking *a, const json_t *study) {
    const json_t *model = json_object_get(study, "model");
    const char *name = json_shown_text(model, "name"), *dot = strrchr(name, '.');
    if (a->study) {
        return strcmp(json_shown_text(study, "id"), a->study) == 0;
    }
    if (a->model) {
        return strcmp(name, a->model) == 0 || strcmp(json_shown_text(model, "id"), a->model) == 0;
    }
    return mentions(a->question, name, strlen(name)) ||
           (dot && mentions(a->question, name, (size_t)(dot - name)));
}

/* All studies are of one model. */
static bool is_only_model(const json_t *studies) {
    const char *first = NULL;
    size_t i;
    const json_t *s;
    json_array_foreach(studies, i, s) {
        const char *id = json_shown_text(json_object_get(s, "model"), "id");
        if (first && strcmp(first, id) != 0) {
            return false;
        }
        first = id;
    }
    return first != NULL;
}

static enum rc list_models(const struct asking *a, struct err *err) {
    struct buf names;
    size_t i, shown = 0;
    const json_t *s, *seen = NULL;
    buf_init(&names, TEXT_BYTES_MAX);
    json_array_foreach(a->studies, i, s) {
        const json_t *model = json_object_get(s, "model");
        if (shown < NAMES_SHOWN && !json_equal(model, seen)) {
            enum rc rc =
                buf_printf(&names, NULL, "%s%.60s", shown ? ", " : "", json_shown_text(model, "name"));
            shown += rc == RC_OK;
            seen = model;
        }
    }
    enum rc rc =
        err_set(err, RC_INPUT, "say which model is meant; there are: %s", names.size ? names.data : "none");
    buf_free(&names);
    return rc;
}

/* The newest study that is asked about; one with an answer where there is one. */
static enum rc find_study(const struct asking *a, const json_t **ret, struct err *err) {
    bool any = !a->study && !a->model && is_only_model(a->studies);
    const json_t *s, *found = NULL;
    size_t i;
    if (json_array_size(a->studies) == 0) {
        return err_set(err, RC_NOT_FOUND,
                       "nothing was measured yet; start with: pare submit MODEL --data FILE");
    }
    json_array_foreach(a->studies, i, s) {
        if (!any && !is_asked_about(a, s)) {
            continue;
        }
        bool answered = json_is_string(json_object_get(s, "recommendation"));
        if (answered) {
            *ret = s;
            return RC_OK;
        }
        found = found ? found : s;
    }
    *ret = found;
    if (found) {
        return RC_OK;
    }
    return a->study || a->model
               ? err_set(err, RC_NOT_FOUND, "there is no study of \"%.80s\"", a->study ? a->study : a->model)
               : list_models(a, err);
}

/* ---- the answer ---- */

static json_t *texts(char list[][ASK_LIMIT_SIZE], size_t n) {
    json_t *array = json_array();
    for (size_t i = 0; i < n; i++) {
        json_array_append_new(array, json_string(list[i]));
    }
    return array;
}

static enum rc recommend(struct asking *a, const json_t *study, json_t **ret, struct err *err) {
    json_t *body = json_pack("{s:O}", "study", json_object_get(study, "id"));
    if (!body) {
        return err_memory(err);
    }
    if (a->limits.floor_count > 0) {
        json_object_set_new(body, "floors", texts(a->limits.floors, a->limits.floor_count));
    }
    if (a->limits.budget_count > 0) {
        json_object_set_new(body, "budgets", texts(a->limits.budgets, a->limits.budget_count));
    }
    enum rc rc = answer_recommend(a->jobs, body, ret, err);
    json_decref(body);
    return rc;
}

/* Adds what became of each configuration whose recipe's step the question names, the first of a recipe. */
static enum rc add_reasons(const struct asking *a, const json_t *list, json_t *told, struct buf *text,
                           struct err *err) {
    size_t i;
    const json_t *c;
    enum rc rc = RC_OK;
    json_array_foreach(list, i, c) {
        const char *recipe = json_shown_text(c, "recipe");
        size_t step = strcspn(recipe, ",+");
        if (rc == RC_OK && mentions(a->question, recipe, step) && !json_object_get(told, recipe)) {
            rc = buf_printf(text, err, " %s: %s.", recipe, json_shown_text(c, "reason"));
            json_object_set_new(told, recipe, json_true());
        }
    }
    return rc;
}

static enum rc write_text(const struct asking *a, const json_t *answer, struct buf *text, struct err *err) {
    json_t *told = json_object();
    const json_t *rejected = json_object_get(json_object_get(answer, "rejected"), "items");
    enum rc rc = told ? buf_add_text(text, json_shown_text(answer, "summary"), err) : err_memory(err);
    if (rc == RC_OK) {
        rc = add_reasons(a, json_object_get(answer, "runners_up"), told, text, err);
    }
    if (rc == RC_OK) {
        rc = add_reasons(a, json_object_get(answer, "undecided"), told, text, err);
    }
    if (rc == RC_OK) {
        rc = add_reasons(a, rejected, told, text, err);
    }
    json_decref(told);
    return rc;
}

static enum rc answer(struct asking *a, json_t **ret, struct err *err) {
    const json_t *study = NULL;
    json_t *recommendation = NULL;
    struct buf text;
    buf_init(&text, TEXT_BYTES_MAX);
    enum rc rc = find_study(a, &study, err);
    if (rc == RC_OK) {
        rc = recommend(a, study, &recommendation, err);
    }
    if (rc == RC_OK) {
        rc = write_text(a, recommendation, &text, err);
    }
    if (rc == RC_OK) {
        *ret = json_pack("{s:s, s:{s:O, s:O, s:O, s:O}, s:O}", "text", text.data, "understood", "model",
                         json_object_get(json_object_get(study, "model"), "name"), "study",
                         json_object_get(study, "id"), "floors", json_object_get(recommendation, "floors"),
                         "budgets", json_object_get(recommendation, "budgets"), "recommendation",
                         recommendation);
        rc = *ret ? RC_OK : err_memory(err);
    }
    json_decref(recommendation);
    buf_free(&text);
    return rc;
}

enum rc ask_answer(struct jobs *j, const json_t *body, json_t **ret, struct err *err) {
    static const char *const keys[] = {"question", "study", "model", NULL};
    struct asking a = {.jobs = j};
    struct view_page page = {.limit = STUDIES_SEEN};
    json_t *list = NULL;
    enum rc rc = json_only_keys(body, keys, err);
    if (rc == RC_OK) {
        rc = json_get_string(body, "question", &a.question, err);
    }
    if (rc == RC_OK) {
        rc = json_opt_string(body, "study", &a.study, err);
    }
    if (rc == RC_OK) {
        rc = json_opt_string(body, "model", &a.model, err);
    }
    if (rc == RC_OK) {
        rc = ask_words_read(a.question, &a.limits, err);
    }
    if (rc == RC_OK) {
        rc = view_studies(j, &page, &list, err);
    }
    if (rc == RC_OK) {
        a.studies = json_object_get(list, "items");
        rc = answer(&a, ret, err);
    }
    json_decref(list);
    return rc;
}

/* ---- the route ---- */

static enum rc on_ask(struct app *app, const struct http_request *req, struct http_response *res,
                      struct err *err) {
    return view_call_post(ask_answer, 200, app, req, res, err);
}

enum rc ask_route_add(struct app *app, struct err *err) {
    static const struct route route = {.method = METHOD_POST,
                                       .pattern = "/v1/ask",
                                       .handler = on_ask,
                                       .roles = ROLES_USER,
                                       .body_max_bytes = BODY_BYTES_MAX};
    return app_add_route(app, &route, err);
}
