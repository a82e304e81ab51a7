#include "advisor/jobs/answer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "advisor/decide/cost.h"
#include "advisor/jobs/answer_build.h"
#include "advisor/jobs/jobs_internal.h"
#include "advisor/jobs/stored_json.h"
#include "advisor/jobs/view_parts.h"
#include "core/base/json.h"
#include "db/store_answers.h"
#include "db/store_studies.h"
#include "db/store_work.h"

enum { COMPARE_MAX = 20 };

/* ---- asking ---- */

/* What the body leaves open is taken from its study. */
static enum rc complete(struct jobs *j, json_t *body, const char *study, struct err *err) {
    static const char *const keys[] = {"floors", "budgets", "confidence", "price_per_hour", NULL};
    struct store_tx *tx;
    struct store_study s;
    enum rc rc = store_read_begin(j->store, &tx, err);
    if (rc != RC_OK) {
        return rc;
    }
    rc = store_study_get(tx, study, &s, err);
    json_t *request = rc == RC_OK ? stored_json(s.request_json) : NULL;
    for (size_t i = 0; request && keys[i]; i++) {
        if (!json_object_get(body, keys[i])) {
            json_object_set(body, keys[i], json_object_get(request, keys[i]));
        }
    }
    store_read_end(tx);
    json_decref(request);
    return rc;
}

static enum rc optional_list(const json_t *body, const char *key, const json_t **ret, struct err *err) {
    const json_t *list = json_object_get(body, key);
    *ret = json_is_null(list) ? NULL : list;
    return !*ret || json_is_array(list) ? RC_OK
                                        : err_set(err, RC_INPUT, "field \"%s\" must be a list of ids", key);
}

static enum rc read_scope(const json_t *body, struct question_scope *scope, struct err *err) {
    enum rc rc = json_opt_string(body, "model", &scope->model, err);
    if (rc == RC_OK) {
        rc = json_opt_string(body, "dataset", &scope->dataset, err);
    }
    if (rc == RC_OK) {
        rc = optional_list(body, "targets", &scope->targets, err);
    }
    if (rc == RC_OK) {
        rc = optional_list(body, "machine_types", &scope->machine_types, err);
    }
    if (rc == RC_OK) {
        rc = json_opt_int(body, "threads", 1, 1024, &scope->threads, err);
    }
    if (rc == RC_OK) {
        rc = json_opt_string(body, "scenario", &scope->scenario, err);
    }
    if (rc == RC_OK && !scope->study && !scope->model) {
        rc = err_set(err, RC_INPUT, "name a \"study\" or a \"model\"");
    }
    scope->limits = body;
    return rc == RC_OK ? question_read_numbers(body, scope, err) : rc;
}

struct keeping {
    json_t *answer, *more_rejected;
    const json_t *request;
    const char *study;
};

static enum rc keep_answer(struct store_tx *tx, void *user, struct err *err) {
    const struct keeping *k = user;
    struct store_recommendation r = {.study = k->study};
    store_tx_keeps_answer(tx);
    enum rc rc = answer_texts(tx, k->answer, k->more_rejected, &r, err);
    if (rc == RC_OK) {
        rc = stored_tx_text(tx, json_incref((json_t *)k->request), &r.request_json, err);
    }
    return rc == RC_OK ? store_recommendation_add(tx, &r, err) : rc;
}

static enum rc ask(struct jobs *j, const json_t *body, const struct question_scope *scope, json_t **ret,
                   struct err *err) {
    struct question *q = NULL;
    struct keeping k = {.request = body, .study = scope->study};
    enum rc rc = question_build(j->store, scope, &q, err);
    if (rc == RC_OK && q->q.candidate_count == 0) {
        rc = err_set(err, RC_NOT_FOUND,
                     "no configuration has been measured yet: wait for the study, or start one");
    }
    if (rc == RC_OK) {
        rc = answer_build(q, &k.answer, &k.more_rejected, err);
    }
    if (rc == RC_OK && scope->study) {
        json_object_set_new(k.answer, "study", json_string(scope->study));
    }
    if (rc == RC_OK) {
        rc = store_write(j->store, keep_answer, &k, err);
    }
    question_free(q);
    json_decref(k.more_rejected);
    if (rc != RC_OK) {
        json_decref(k.answer);
        return rc;
    }
    *ret = k.answer;
    return RC_OK;
}

enum rc answer_recommend(struct jobs *j, const json_t *body, json_t **ret, struct err *err) {
    static const char *const keys[] = {"study",      "model",          "dataset",       "floors",
                                       "budgets",    "targets",        "machine_types", "threads",
                                       "confidence", "price_per_hour", "scenario",      NULL};
    struct question_scope scope = {0};
    json_t *whole = json_copy((json_t *)body);
    enum rc rc = whole ? json_only_keys(body, keys, err) : err_memory(err);
    if (rc == RC_OK) {
        rc = json_opt_string(whole, "study", &scope.study, err);
    }
    if (rc == RC_OK && scope.study) {
        rc = complete(j, whole, scope.study, err);
    }
    if (rc == RC_OK) {
        rc = read_scope(whole, &scope, err);
    }
    if (rc == RC_OK) {
        rc = ask(j, whole, &scope, ret, err);
    }
    json_decref(whole);
    return rc;
}

enum rc answer_get(struct jobs *j, const char *id, json_t **ret, struct err *err) {
    struct store_tx *tx;
    struct store_recommendation r;
    enum rc rc = store_read_begin(j->store, &tx, err);
    if (rc == RC_OK) {
        rc = store_recommendation_get(tx, id, &r, err);
        rc = rc == RC_OK ? stored_give(stored_json(r.answer_json), ret, err) : rc;
        store_read_end(tx);
    }
    return rc;
}

/* ---- the rejected, page by page ---- */

/* Those from position `from` on, of the first page and what lies beyond it. */
static json_t *rejected_slice(const json_t *first, const json_t *more, size_t from, size_t limit) {
    json_t *items = json_array();
    size_t n = json_array_size(first), total = n + json_array_size(more);
    for (size_t i = from; i < total && i - from < limit; i++) {
        json_array_append(items, i < n ? json_array_get(first, i) : json_array_get(more, i - n));
    }
    return items;
}

enum rc answer_rejected(struct jobs *j, const char *id, const struct view_page *page, json_t **ret,
                        struct err *err) {
    struct store_tx *tx;
    struct store_page p;
    struct store_recommendation r;
    enum rc rc = view_page_read(page, &p, err);
    if (rc == RC_OK) {
        rc = store_read_begin(j->store, &tx, err);
    }
    if (rc != RC_OK) {
        return rc;
    }
    rc = store_recommendation_get(tx, id, &r, err);
    if (rc == RC_OK) {
        json_t *answer = stored_json(r.answer_json), *more = stored_json(r.more_rejected_json);
        const json_t *first = json_object_get(json_object_get(answer, "rejected"), "items");
        size_t from = (size_t)p.before;
        json_t *items = rejected_slice(first, more, from, p.limit); /* one more than asked for */
        size_t n = json_array_size(items);
        if (n >= p.limit) {
            json_array_remove(items, n - 1);
        }
        rc = view_list(items, n, &p, (int64_t)(from + n) - 1, ret, err);
        json_decref(answer);
        json_decref(more);
    }
    store_read_end(tx);
    return rc;
}

/* ---- comparing ---- */

struct comparison {
    struct store *store;
    struct question *q;
    struct recommend_outcome o;
    uint32_t candidates[COMPARE_MAX];
    size_t n;
    json_t *items, *accuracy, *cost; /* owned */
};

/* The model of a configuration. Copied into `model`. */
static enum rc model_of(struct store *s, const char *configuration, char model[IDENT_SIZE], struct err *err) {
    struct store_tx *tx;
    struct store_configuration c;
    struct store_variant v;
    enum rc rc = store_read_begin(s, &tx, err);
    if (rc != RC_OK) {
        return rc;
    }
    rc = store_configuration_get(tx, configuration, &c, err);
    if (rc == RC_OK) {
        rc = store_variant_get(tx, c.variant, &v, err);
    }
    if (rc == RC_OK) {
        snprintf(model, IDENT_SIZE, "%s", v.model);
    }
    store_read_end(tx);
    return rc;
}

static enum rc find_candidates(struct comparison *c, const json_t *ids, struct err *err) {
    size_t i;
    const json_t *item;
    json_array_foreach(ids, i, item) {
        const char *id = json_string_value(item);
        uint32_t found = RECOMMEND_NONE;
        for (uint32_t k = 0; id && k < c->q->q.candidate_count; k++) {
            found = strcmp(c->q->q.candidates[k].id, id) == 0 ? k : found;
        }
        if (found == RECOMMEND_NONE) {
            return err_set(err, RC_NOT_FOUND, "there is no measured configuration \"%.64s\" of the model %s",
                           id ? id : "", c->q->model_name);
        }
        c->candidates[c->n++] = found;
    }
    return RC_OK;
}

/* b minus a on the same examples. Null figures where one was not evaluated. */
static enum rc compare_accuracy(struct comparison *c, uint32_t a, uint32_t b, struct err *err) {
    const struct question *q = c->q;
    const char *eval_a = q->variants[q->q.candidates[a].variant].evaluation;
    const char *eval_b = q->variants[q->q.candidates[b].variant].evaluation;
    struct figures_accuracies f = {0};
    struct accuracy_bounds bounds = {.drop = NAN};
    double difference = NAN, lower = NAN, upper = NAN;
    const char *metric = NULL;
    enum rc rc = RC_OK;
    if (eval_a && eval_b && strcmp(eval_a, eval_b) == 0) {
        difference = lower = upper = 0;
    } else if (eval_a && eval_b) {
        rc = figures_accuracies(c->store, eval_b, eval_a, &f, err);
        rc = rc == RC_OK && f.n > 0 ? accuracy_bound(&f.items[0], q->q.confidence, &bounds, err) : rc;
    }
    if (rc == RC_OK && f.n > 0 && isfinite(bounds.drop)) {
        bool smaller = metric_smaller_is_better(f.items[0].metric);
        difference = smaller ? bounds.drop : -bounds.drop;
        lower = smaller ? bounds.drop_lower : -bounds.drop_upper;
        upper = smaller ? bounds.drop_upper : -bounds.drop_lower;
        metric = metric_name(f.items[0].metric);
    }
    if (rc == RC_OK) {
        json_array_append_new(
            c->accuracy, json_pack("{s:s, s:s, s:s?, s:o, s:o, s:o, s:s?}", "a", q->q.candidates[a].id, "b",
                                   q->q.candidates[b].id, "metric", metric, "difference",
                                   stored_number(difference), "lower", stored_number(lower), "upper",
                                   stored_number(upper), "test", isfinite(bounds.drop) ? bounds.test : NULL));
    }
    figures_accuracies_release(&f);
    return rc;
}

static double price_of(const struct comparison *c, uint32_t candidate) {
    const struct recommend_machine *m = &c->q->q.machines[c->q->q.candidates[candidate].machine];
    return c->o.in_usd && isfinite(m->usd_per_hour) ? m->usd_per_hour : 1;
}

static void compare_cost(struct comparison *c, uint32_t a, uint32_t b) {
    const struct recommend_candidate *all = c->q->q.candidates;
    struct ratio_bounds r;
    cost_ratio(&all[b].throughput, price_of(c, b), &all[a].throughput, price_of(c, a), RECOMMEND_TIE_RATIO,
               c->q->q.confidence, &r);
    json_array_append_new(c->cost, json_pack("{s:s, s:s, s:o, s:o, s:o}", "a", all[a].id, "b", all[b].id,
                                             "ratio", stored_number(r.ratio), "low", stored_number(r.low),
                                             "high", stored_number(r.high)));
}

static enum rc compare_all(struct comparison *c, struct err *err) {
    enum rc rc = RC_OK;
    for (size_t i = 0; rc == RC_OK && i < c->n; i++) {
        json_t *item = NULL;
        rc = answer_candidate(c->q, &c->o, c->candidates[i], &item, err);
        json_array_append_new(c->items, item);
        if (rc == RC_OK && i > 0) {
            rc = compare_accuracy(c, c->candidates[0], c->candidates[i], err);
            compare_cost(c, c->candidates[0], c->candidates[i]);
        }
    }
    return rc;
}

static enum rc compare(struct jobs *j, const json_t *ids, double confidence, json_t **ret, struct err *err) {
    char model[IDENT_SIZE];
    struct comparison c = {
        .store = j->store, .items = json_array(), .accuracy = json_array(), .cost = json_array()};
    json_t *no_limits = json_object();
    struct question_scope scope = {
        .model = model, .limits = no_limits, .confidence = confidence, .price_per_hour = NAN};
    bool decided = false;
    enum rc rc = model_of(j->store, json_string_value(json_array_get(ids, 0)), model, err);
    if (rc == RC_OK) {
        rc = question_build(j->store, &scope, &c.q, err);
    }
    if (rc == RC_OK) {
        rc = find_candidates(&c, ids, err);
    }
    if (rc == RC_OK) {
        rc = recommend_decide(&c.q->q, &c.o, err);
        decided = rc == RC_OK;
    }
    if (rc == RC_OK) {
        rc = compare_all(&c, err);
    }
    if (rc == RC_OK) {
        rc = stored_give(json_pack("{s:O, s:O, s:O, s:f}", "items", c.items, "accuracy", c.accuracy, "cost",
                                   c.cost, "confidence", confidence),
                         ret, err);
    }
    if (decided) {
        recommend_outcome_free(&c.o);
    }
    question_free(c.q);
    json_decref(c.items);
    json_decref(c.accuracy);
    json_decref(c.cost);
    json_decref(no_limits);
    return rc;
}

enum rc answer_compare(struct jobs *j, const json_t *body, json_t **ret, struct err *err) {
    static const char *const keys[] = {"configurations", "confidence", NULL};
    struct question_scope numbers;
    json_t *ids = NULL, *item;
    size_t i;
    enum rc rc = json_only_keys(body, keys, err);
    if (rc == RC_OK) {
        rc = json_get_array(body, "configurations", &ids, err);
    }
    if (rc == RC_OK && (json_array_size(ids) < 2 || json_array_size(ids) > COMPARE_MAX)) {
        rc = err_set(err, RC_INPUT, "field \"configurations\" must list 2 to %d ids", (int)COMPARE_MAX);
    }
    json_array_foreach(ids, i, item) {
        if (rc == RC_OK && !json_is_string(item)) {
            rc = err_set(err, RC_INPUT, "field \"configurations\" must list ids");
        }
    }
    if (rc == RC_OK) {
        rc = question_read_numbers(body, &numbers, err);
    }
    return rc == RC_OK ? compare(j, ids, numbers.confidence, ret, err) : rc;
}
