#include "advisor/jobs/gates.h"

#include <ctype.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "advisor/decide/gate.h"
#include "advisor/jobs/gate_comparison.h"
#include "advisor/jobs/jobs_internal.h"
#include "advisor/jobs/question.h"
#include "advisor/jobs/stored_json.h"
#include "advisor/jobs/view_parts.h"
#include "advisor/jobs/work.h"
#include "core/base/ident.h"
#include "core/base/json.h"
#include "core/recipes/recipe.h"
#include "db/store_answers.h"
#include "db/store_models.h"

enum { NAME_MAX_BYTES = 64, RUNS_SHOWN = 100, MARKDOWN_BYTES_MAX = 256 * 1024 };

static enum rc check_name(const char *name, struct err *err) {
    size_t n = strlen(name);
    bool fine = n > 0 && n <= NAME_MAX_BYTES && name[0] != '.';
    for (size_t i = 0; i < n && fine; i++) {
        fine = isalnum((unsigned char)name[i]) || strchr("._-", name[i]);
    }
    return fine ? RC_OK
                : err_set(err, RC_INPUT,
                          "the gate's name \"%.64s\" must be 1 to %d letters, digits, \".\", \"_\" or \"-\"",
                          name, (int)NAME_MAX_BYTES);
}

/* ---- what is judged ---- */

/* Whether the variant's recipe is the one that was asked for; options that depend on the hardware may be left
 * out. */
static bool recipe_matches(const char *recipe, const char *asked) {
    static const char *const acts[] = {"u8", "s8"};
    struct recipe r;
    char canonical[RECIPE_TEXT_SIZE];
    for (size_t i = 0; i < 2; i++) {
        if (recipe_parse(asked, FAMILY_UNKNOWN, &r, NULL) != RC_OK) {
            return false;
        }
        (void)recipe_choose(&r, "act", acts[i]);
        recipe_canonical(&r, canonical);
        if (strcmp(canonical, recipe) == 0) {
            return true;
        }
    }
    return false;
}

/* A limit on instructions is there, and nobody counted those of this configuration. */
static bool lacks_count(const struct question *q, uint32_t candidate) {
    bool limited = false;
    for (size_t i = 0; i < q->q.budget_count; i++) {
        limited = limited || q->q.budgets[i].kind == BUDGET_INSTRUCTIONS;
    }
    return limited && !(q->q.candidates[candidate].instructions > 0);
}

/* What only costs more than the choice is not known to break anything. A configuration that was not counted
 * (callgrind counts batches of one) comes after all that were: a budget that those break is broken, whatever
 * the others would have shown. */
static int place_of(const struct question *q, const struct recommend_outcome *o, uint32_t candidate) {
    const struct recommend_verdict *v = &o->verdicts[candidate];
    int place = v->place == PLACE_REJECTED && v->reason == REASON_COSTS_MORE ? PLACE_UNDECIDED : v->place;
    return lacks_count(q, candidate) ? INT_MAX - 1 : place;
}

/* The best of that recipe: the one that qualifies, else is undecided, else is rejected; among equals the
 * cheapest. */
static uint32_t best_of_recipe(const struct question *q, const struct recommend_outcome *o,
                               const char *recipe) {
    uint32_t best = RECOMMEND_NONE;
    for (uint32_t i = 0; i < q->q.candidate_count; i++) {
        if (!recipe_matches(q->q.variants[q->q.candidates[i].variant].recipe, recipe)) {
            continue;
        }
        int place = place_of(q, o, i), before = best == RECOMMEND_NONE ? INT_MAX : place_of(q, o, best);
        if (place < before || (place == before && o->verdicts[i].cost.value < o->verdicts[best].cost.value)) {
            best = i;
        }
    }
    return best;
}

/* The first undecided one that was counted where that matters; the nearest miss, then the first of all, where
 * none was. */
static uint32_t best_unqualified(const struct question *q, const struct recommend_outcome *o) {
    for (size_t i = 0; i < o->undecided_count; i++) {
        if (!lacks_count(q, o->undecided[i])) {
            return o->undecided[i];
        }
    }
    return o->nearest_miss != RECOMMEND_NONE ? o->nearest_miss
           : o->undecided_count > 0          ? o->undecided[0]
                                             : o->baseline;
}

static enum rc choose(const struct question *q, const struct recommend_outcome *o, const char *recipe,
                      uint32_t *ret, struct err *err) {
    *ret = recipe                        ? best_of_recipe(q, o, recipe)
           : o->choice != RECOMMEND_NONE ? o->choice
                                         : best_unqualified(q, o);
    if (*ret != RECOMMEND_NONE) {
        return RC_OK;
    }
    return recipe ? err_set(err, RC_NOT_FOUND, "no configuration of %.128s has been measured for this model",
                            recipe)
                  : err_set(err, RC_NOT_FOUND,
                            "no configuration of this model has been measured: run a study first");
}

/* ---- a run ---- */

struct gate_run {
    const char *name, *recipe;
    const struct question *q;
    enum gate_verdict verdict;
    char id[IDENT_SIZE];
    struct gate_comparison comparison;
    json_t *answer; /* owned by the caller */
    char *answer_text;
};

static json_t *checks_json(const struct gate_check *checks, size_t n) {
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        json_array_append_new(list, json_pack("{s:s, s:o, s:o, s:s, s:s, s:s?}", "check", checks[i].limit,
                                              "value", stored_number(checks[i].check.value), "bound",
                                              stored_number(checks[i].bound), "verdict",
                                              verdict_name(checks[i].check.verdict), "text", checks[i].text,
                                              "test", checks[i].check.test));
    }
    return list;
}

static enum rc judge(struct gate_run *r, const struct recommend_outcome *o, uint32_t candidate,
                     struct err *err) {
    struct gate_check checks[RECOMMEND_MAX_LIMITS + 1];
    struct buf markdown;
    char label[WORK_LABEL_SIZE];
    size_t n = 0;
    buf_init(&markdown, MARKDOWN_BYTES_MAX);
    enum rc rc = gate_checks(&r->q->q, o, candidate, checks, &n, err);
    if (rc == RC_OK && r->comparison.wanted) {
        rc = gate_comparison_check(&r->comparison, &checks[n++], err);
    }
    if (rc == RC_OK) {
        const struct recommend_candidate *c = &r->q->q.candidates[candidate];
        const char *recipe = r->q->q.variants[c->variant].recipe;
        work_label(recipe, &(struct work_runtime){c->instances, c->threads, c->batch}, label);
        r->verdict = gate_judge(checks, n);
        rc = gate_markdown(r->name, r->q->model_name, label, checks, n, &markdown, err);
    }
    if (rc == RC_OK) {
        rc = stored_give(json_pack("{s:s, s:s, s:s, s:i, s:s, s:s, s:s, s:o, s:s}", "gate", r->name, "run",
                                   r->id, "verdict", gate_verdict_name(r->verdict), "exit_code",
                                   gate_exit_code(r->verdict), "model", r->q->model_id, "configuration",
                                   r->q->q.candidates[candidate].id, "label", label, "checks",
                                   checks_json(checks, n), "markdown", markdown.size ? markdown.data : ""),
                         &r->answer, err);
    }
    buf_free(&markdown);
    return rc;
}

static enum rc keep_run(struct store_tx *tx, void *user, struct err *err) {
    const struct gate_run *r = user;
    struct store_gate_run row = {.id = r->id, .gate = r->name, .verdict = gate_verdict_name(r->verdict)};
    row.answer_json = r->answer_text;
    return store_gate_run_add(tx, &row, err);
}

/* With a comparison that is not decided yet, the answer says what to wait for. */
static enum rc choose_and_judge(struct jobs *j, struct gate_run *r, const struct recommend_outcome *o,
                                struct err *err) {
    uint32_t candidate = RECOMMEND_NONE;
    enum rc rc = choose(r->q, o, r->recipe, &candidate, err);
    if (rc == RC_OK && r->comparison.wanted) {
        rc = gate_comparison_look(j, &r->comparison, r->q->q.candidates[candidate].id, err);
    }
    if (rc == RC_OK && gate_comparison_waits(&r->comparison)) {
        return stored_give(json_pack("{s:s, s:s, s:O}", "gate", r->name, "waiting_for", r->comparison.id,
                                     "comparison", r->comparison.found),
                           &r->answer, err);
    }
    return rc == RC_OK ? judge(r, o, candidate, err) : rc;
}

static enum rc run(struct jobs *j, struct gate_run *r, const struct question_scope *scope, struct err *err) {
    struct question *q = NULL;
    struct recommend_outcome o;
    enum rc rc = question_build(j->store, scope, &q, err);
    if (rc != RC_OK) {
        return rc;
    }
    r->q = q;
    rc = recommend_decide(&q->q, &o, err);
    if (rc == RC_OK) {
        rc = choose_and_judge(j, r, &o, err);
        recommend_outcome_free(&o);
    }
    if (rc == RC_OK && gate_comparison_waits(&r->comparison)) {
        question_free(q);
        return RC_OK; /* nothing to keep yet */
    }
    if (rc == RC_OK) {
        json_object_set_new(r->answer, "created_at", stored_time(store_now_ms(j->store)));
        rc = stored_text(r->answer, &r->answer_text, err);
    }
    if (rc == RC_OK) {
        rc = store_write(j->store, keep_run, r, err);
    }
    free(r->answer_text);
    question_free(q);
    return rc;
}

/* "model" is an id, or the name of a model: the newest of it. */
static enum rc find_model(struct jobs *j, const char *text, char id[IDENT_SIZE], struct err *err) {
    struct store_tx *tx;
    struct store_model m;
    enum rc rc = store_read_begin(j->store, &tx, err);
    if (rc != RC_OK) {
        return rc;
    }
    rc = store_model_get(tx, text, &m, err);
    if (rc == RC_NOT_FOUND) {
        rc = store_model_by_name(tx, text, &m, err);
    }
    if (rc == RC_OK) {
        snprintf(id, IDENT_SIZE, "%s", m.id);
    }
    store_read_end(tx);
    return rc;
}

enum rc gates_run(struct jobs *j, const char *name, const json_t *body, json_t **ret, struct err *err) {
    static const char *const keys[] = {"dataset",        "model",      "budgets",    "floors",
                                       "recipe",         "study",      "confidence", "price_per_hour",
                                       "no_slower_than", "comparison", NULL};
    struct gate_run r = {.name = name};
    struct question_scope scope = {.limits = body};
    const char *model = NULL;
    char id[IDENT_SIZE];
    ident_random("gr", r.id);
    enum rc rc = check_name(name, err);
    if (rc == RC_OK) {
        rc = json_only_keys(body, keys, err);
    }
    if (rc == RC_OK) {
        rc = json_opt_string(body, "study", &scope.study, err);
    }
    if (rc == RC_OK) {
        rc = json_opt_string(body, "dataset", &scope.dataset, err);
    }
    if (rc == RC_OK) {
        rc = json_opt_string(body, "recipe", &r.recipe, err);
    }
    if (rc == RC_OK) {
        rc = scope.study ? json_opt_string(body, "model", &model, err)
                         : json_get_string(body, "model", &model, err);
    }
    if (rc == RC_OK) {
        rc = gate_comparison_read(body, &r.comparison, err);
    }
    if (rc == RC_OK && r.recipe) {
        struct recipe parsed;
        rc = recipe_parse(r.recipe, FAMILY_UNKNOWN, &parsed, err);
    }
    if (rc == RC_OK && !scope.study) {
        rc = find_model(j, model, id, err);
        scope.model = id;
    }
    if (rc == RC_OK) {
        rc = question_read_numbers(body, &scope, err);
    }
    if (rc == RC_OK && r.comparison.wanted) {
        rc = find_model(j, r.comparison.wish.reference, r.comparison.reference, err);
        r.comparison.wish.reference = r.comparison.reference;
        r.comparison.wish.dataset = scope.dataset;
        r.comparison.wish.confidence = scope.confidence;
    }
    if (rc == RC_OK) {
        rc = run(j, &r, &scope, err);
    }
    json_decref(r.comparison.found);
    if (rc != RC_OK) {
        json_decref(r.answer);
        return rc;
    }
    *ret = r.answer;
    return RC_OK;
}

/* ---- history ---- */

enum rc gates_list(struct jobs *j, const struct view_page *page, json_t **ret, struct err *err) {
    struct store_tx *tx;
    struct store_page p;
    struct store_gate *rows;
    size_t n = 0;
    enum rc rc = view_page_read(page, &p, err);
    if (rc == RC_OK) {
        rc = store_read_begin(j->store, &tx, err);
    }
    if (rc != RC_OK) {
        return rc;
    }
    json_t *items = json_array();
    rc = store_gates_list(tx, &p, &rows, &n, err);
    for (size_t i = 0; rc == RC_OK && i < n && i + 1 < p.limit; i++) {
        json_array_append_new(items, json_pack("{s:s, s:s?, s:I, s:o}", "name", rows[i].name, "verdict",
                                               rows[i].last_verdict, "runs", (json_int_t)rows[i].runs,
                                               "last_run_at", stored_time(rows[i].last_ms)));
    }
    if (rc == RC_OK) {
        rc = view_list(items, n, &p, n >= p.limit ? rows[n - 2].row : 0, ret, err);
    } else {
        json_decref(items);
    }
    store_read_end(tx);
    return rc;
}

enum rc gates_get(struct jobs *j, const char *name, json_t **ret, struct err *err) {
    struct store_tx *tx;
    struct store_gate_run *rows;
    size_t n = 0;
    enum rc rc = store_read_begin(j->store, &tx, err);
    if (rc != RC_OK) {
        return rc;
    }
    rc = store_gate_runs(tx, name, RUNS_SHOWN, &rows, &n, err);
    if (rc == RC_OK) {
        json_t *runs = json_array();
        for (size_t i = 0; i < n; i++) {
            json_array_append_new(runs, stored_json(rows[i].answer_json));
        }
        rc = stored_give(json_pack("{s:s, s:o}", "name", name, "runs", runs), ret, err);
    }
    store_read_end(tx);
    return rc;
}
