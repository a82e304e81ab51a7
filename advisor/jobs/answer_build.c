#include "advisor/jobs/answer_build.h"

#include <math.h>
#include <string.h>

#include "advisor/decide/explain.h"
#include "advisor/jobs/explanation.h"
#include "advisor/jobs/jobs_internal.h"
#include "advisor/jobs/stored_json.h"
#include "advisor/jobs/study_events.h"
#include "core/base/ident.h"
#include "db/store_answers.h"
#include "db/store_studies.h"

enum { PAGE = 50, TEXT_BYTES_MAX = 16 * 1024 };

/* ---- one candidate ---- */

static const char *floor_verdict(const struct question *q, const struct recommend_outcome *o,
                                 uint32_t variant) {
    bool undecided = false;
    for (size_t i = 0; i < q->q.floor_count; i++) {
        const struct check *c = &o->floor_checks[variant * q->q.floor_count + i];
        if (c->verdict == VERDICT_BROKEN) {
            return verdict_name(VERDICT_BROKEN);
        }
        undecided = undecided || c->verdict == VERDICT_UNDECIDED;
    }
    return q->q.floor_count == 0 ? NULL : verdict_name(undecided ? VERDICT_UNDECIDED : VERDICT_MET);
}

static enum rc accuracy_json(const struct question *q, const struct recommend_outcome *o, uint32_t variant,
                             json_t **ret, struct err *err) {
    const struct recommend_variant *v = &q->q.variants[variant];
    struct accuracy_bounds b;
    *ret = json_null();
    if (v->accuracy_count == 0) {
        return RC_OK;
    }
    const struct accuracy *a = &v->accuracies[0];
    enum rc rc = accuracy_bound(a, q->q.confidence, &b, err);
    if (rc != RC_OK) {
        return rc;
    }
    json_t *metrics = json_object();
    for (size_t i = 0; i < v->accuracy_count; i++) {
        json_object_set_new(metrics, metric_name(v->accuracies[i].metric),
                            stored_number(v->accuracies[i].value));
    }
    return stored_give(json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:I, s:s?, s:s?, s:o}", "metric",
                                 metric_name(a->metric), "value", stored_number(a->value), "lower",
                                 stored_number(b.lower), "upper", stored_number(b.upper), "drop",
                                 stored_number(b.drop), "drop_upper", stored_number(b.drop_upper), "n",
                                 (json_int_t)a->n, "test", isnan(b.drop) ? NULL : b.test, "floor",
                                 floor_verdict(q, o, variant), "metrics", metrics),
                       ret, err);
}

static json_t *latency_json(const struct latency *l) {
    json_t *object = json_object();
    for (int i = 0; i < LATENCY_COUNT; i++) {
        const struct latency_point *p = &l->points[i];
        if (l->n > 0 && isfinite(p->value_us)) {
            json_object_set_new(object, latency_name((enum latency_figure)i), json_real((double)p->value_us));
        }
    }
    json_object_set_new(object, "n", json_integer((json_int_t)l->n));
    return object;
}

static json_t *copy_or_null(json_t *value) {
    return value ? json_incref(value) : json_null();
}

/* Every scenario that was measured: p50 and p99 where the sample supports them, and the rate. */
static json_t *scenarios_json(const json_t *result) {
    json_t *all = json_object(), *scenario;
    const char *name;
    json_object_foreach(json_object_get(result, "scenarios"), name, scenario) {
        const json_t *latency = json_object_get(scenario, "latency_us");
        json_object_set_new(all, name,
                            json_pack("{s:O*, s:O*, s:O*, s:O*, s:O*}", "p50",
                                      json_object_get(latency, "p50"), "p99", json_object_get(latency, "p99"),
                                      "throughput_per_s", json_object_get(scenario, "throughput_per_s"),
                                      "met", json_object_get(scenario, "met"), "unmet_per_s",
                                      json_object_get(scenario, "unmet_per_s")));
    }
    return all;
}

/* Single-stream figures, those of each scenario, and energy as the worker reported them. */
static json_t *reported_json(struct store_tx *tx, const char *profile) {
    struct store_profile p;
    json_t *result = store_profile_get(tx, profile, &p, NULL) == RC_OK ? stored_json(p.result_json) : NULL;
    json_t *single = json_object_get(json_object_get(result, "scenarios"), "single-stream");
    json_t *energy = json_object_get(result, "energy");
    json_t *json = json_pack("{s:o, s:o, s:o}", "scenarios", scenarios_json(result), "single_stream_us",
                             copy_or_null(json_object_get(single, "latency_us")), "energy_j",
                             copy_or_null(json_object_get(energy, "per_inference_j")));
    json_decref(result);
    return json;
}

/* What the profile tells beside what was decided from, and why the configuration is as fast as it is. */
static enum rc profile_fields(const struct question *q, uint32_t candidate, json_t **ret, struct err *err) {
    const char *profile = q->candidates[candidate].profile;
    struct store_tx *tx;
    json_t *why = NULL;
    enum rc rc = store_read_begin(q->store, &tx, err);
    if (rc != RC_OK) {
        return rc;
    }
    json_t *fields = reported_json(tx, profile);
    rc = fields ? explanation_fields(q->explanations, tx, profile, &why, err) : err_memory(err);
    store_read_end(tx);
    if (rc == RC_OK && json_object_update(fields, why) != 0) {
        rc = err_memory(err);
    }
    json_decref(why);
    if (rc != RC_OK) {
        json_decref(fields);
        return rc;
    }
    *ret = fields;
    return RC_OK;
}

static json_t *cost_json(const struct cost *c) {
    return isfinite(c->value) ? json_pack("{s:o, s:o, s:o}", "value", stored_number(c->value), "low",
                                          stored_number(c->low), "high", stored_number(c->high))
                              : json_null();
}

static json_t *evidence_json(const struct question *q, uint32_t candidate) {
    const char *evaluation = q->variants[q->q.candidates[candidate].variant].evaluation;
    json_t *list = json_array();
    if (evaluation) {
        json_array_append_new(list, json_string(evaluation));
    }
    json_array_append_new(list, json_string(q->candidates[candidate].profile));
    return list;
}

static json_t *text_json(struct buf *b, enum rc rc) {
    return rc == RC_OK ? json_string(b->size ? b->data : "") : NULL;
}

static json_t *reason_json(const struct question *q, const struct recommend_outcome *o, uint32_t candidate,
                           struct err *err) {
    struct buf text;
    buf_init(&text, TEXT_BYTES_MAX);
    json_t *json = text_json(&text, explain_candidate(&q->q, o, candidate, &text, err));
    buf_free(&text);
    return json;
}

enum rc answer_candidate(const struct question *q, const struct recommend_outcome *o, uint32_t candidate,
                         json_t **ret, struct err *err) {
    const struct recommend_candidate *c = &q->q.candidates[candidate];
    const struct recommend_variant *v = &q->q.variants[c->variant];
    const struct recommend_machine *m = &q->q.machines[c->machine];
    const struct cost *cost = &o->verdicts[candidate].cost;
    json_t *accuracy = NULL, *worker = NULL, *reason = reason_json(q, o, candidate, err);
    enum rc rc = reason ? accuracy_json(q, o, c->variant, &accuracy, err) : err->rc;
    if (rc == RC_OK) {
        rc = profile_fields(q, candidate, &worker, err);
    }
    if (rc != RC_OK) {
        json_decref(reason);
        json_decref(accuracy);
        return rc;
    }
    json_t *json =
        json_pack("{s:s, s:s, s:s, s:{s:i, s:i, s:i}, s:s, s:s, s:o}", "id", c->id, "variant", v->id,
                  "recipe", v->recipe, "runtime", "instances", (int)c->instances, "threads", (int)c->threads,
                  "batch", (int)c->batch, "machine_type", m->id, "machine", m->name, "accuracy", accuracy);
    json_t *figures = json_pack(
        "{s:o, s:o, s:o, s:s?, s:I, s:o, s:s, s:o, s:o}", "latency_us", latency_json(&c->latency),
        "throughput_per_s", stored_number(c->throughput.per_s), "memory_mib",
        stored_number((double)c->memory_mib), "unstable", c->unstable, "size_bytes",
        (json_int_t)v->size_bytes, o->in_usd ? "usd_per_million" : "machine_hours_per_million",
        cost_json(cost), "provenance", "measured", "evidence", evidence_json(q, candidate), "reason", reason);
    if (!json || !figures || !worker || json_object_update_missing(json, figures) != 0 ||
        json_object_update_missing(json, worker) != 0) {
        json_decref(json);
        json = NULL;
    }
    json_decref(figures);
    json_decref(worker);
    return stored_give(json, ret, err);
}

/* ---- the whole ---- */

static enum rc one_or_null(const struct question *q, const struct recommend_outcome *o, uint32_t candidate,
                           json_t *answer, const char *key, struct err *err) {
    json_t *json = NULL;
    if (candidate == RECOMMEND_NONE) {
        json_object_set_new(answer, key, json_null());
        return RC_OK;
    }
    enum rc rc = answer_candidate(q, o, candidate, &json, err);
    return rc == RC_OK && json_object_set_new(answer, key, json) != 0 ? err_memory(err) : rc;
}

/* The first ones of a list; how many there are in all is in "counts". */
static enum rc list_of(const struct question *q, const struct recommend_outcome *o,
                       const uint32_t *candidates, size_t n, json_t *answer, const char *key,
                       struct err *err) {
    json_t *list = json_array();
    enum rc rc = RC_OK;
    for (size_t i = 0; rc == RC_OK && i < n && i < PAGE; i++) {
        json_t *json = NULL;
        rc = answer_candidate(q, o, candidates[i], &json, err);
        json_array_append_new(list, json);
    }
    return json_object_set_new(answer, key, list) != 0 && rc == RC_OK ? err_memory(err) : rc;
}

static json_t *rejected_reason(const struct question *q, const struct recommend_outcome *o,
                               const struct recommend_rejected *r, struct err *err) {
    struct buf text;
    buf_init(&text, TEXT_BYTES_MAX);
    json_t *json = text_json(&text, explain_rejected(&q->q, o, r, &text, err));
    buf_free(&text);
    return json;
}

/* What names a rejected one; a variant that never became a candidate has no configuration. */
static json_t *rejected_names(const struct question *q, const struct recommend_rejected *r) {
    const struct recommend_variant *v = &q->q.variants[r->variant];
    if (r->candidate == RECOMMEND_NONE) {
        return json_pack("{s:s, s:s}", "variant", v->id, "recipe", v->recipe);
    }
    const struct recommend_candidate *c = &q->q.candidates[r->candidate];
    return json_pack("{s:s, s:s, s:s, s:{s:i, s:i, s:i}, s:s}", "id", c->id, "variant", v->id, "recipe",
                     v->recipe, "runtime", "instances", (int)c->instances, "threads", (int)c->threads,
                     "batch", (int)c->batch, "machine_type", q->q.machines[c->machine].id);
}

/* `json` is taken over. */
static enum rc rejected_complete(const struct question *q, const struct recommend_outcome *o,
                                 const struct recommend_rejected *r, json_t *json, json_t **ret,
                                 struct err *err) {
    json_t *reason = json ? rejected_reason(q, o, r, err) : NULL;
    if (!reason) {
        json_decref(json);
        return json ? err->rc : err_memory(err);
    }
    json_object_set_new(json, "reason", reason);
    json_object_set_new(json, "reason_code", json_string(recommend_reason_name(r->reason)));
    *ret = json;
    return RC_OK;
}

static enum rc rejected_item(const struct question *q, const struct recommend_outcome *o,
                             const struct recommend_rejected *r, json_t **ret, struct err *err) {
    json_t *json = NULL;
    enum rc rc = r->candidate == RECOMMEND_NONE ? stored_give(rejected_names(q, r), &json, err)
                                                : answer_candidate(q, o, r->candidate, &json, err);
    return rc == RC_OK ? rejected_complete(q, o, r, json, ret, err) : rc;
}

/* Those beyond the first page, by name and reason alone: NULL in *ret when there are none. */
static enum rc rejected_rest(const struct question *q, const struct recommend_outcome *o, json_t **ret,
                             struct err *err) {
    json_t *list = o->rejected_count > PAGE ? json_array() : NULL;
    enum rc rc = RC_OK;
    for (size_t i = PAGE; rc == RC_OK && i < o->rejected_count; i++) {
        json_t *json = NULL;
        rc = rejected_complete(q, o, &o->rejected[i], rejected_names(q, &o->rejected[i]), &json, err);
        json_array_append_new(list, json);
    }
    if (rc != RC_OK) {
        json_decref(list);
        return rc;
    }
    *ret = list;
    return RC_OK;
}

static enum rc rejected_json(const struct question *q, const struct recommend_outcome *o, json_t *answer,
                             struct err *err) {
    json_t *items = json_array(), *reasons = json_object();
    enum rc rc = RC_OK;
    for (size_t i = 0; rc == RC_OK && i < o->rejected_count && i < PAGE; i++) {
        json_t *json = NULL;
        rc = rejected_item(q, o, &o->rejected[i], &json, err);
        json_array_append_new(items, json);
    }
    for (int i = 0; i < REASON_COUNT; i++) {
        if (o->by_reason[i] > 0) {
            json_object_set_new(reasons, recommend_reason_name((enum recommend_reason)i),
                                json_integer((json_int_t)o->by_reason[i]));
        }
    }
    json_t *next = o->rejected_count > PAGE ? json_sprintf("%d", (int)PAGE) : json_null();
    json_t *rejected = json_pack("{s:I, s:o, s:o, s:o}", "total", (json_int_t)o->rejected_count, "by_reason",
                                 reasons, "next", next, "items", items);
    return json_object_set_new(answer, "rejected", rejected) != 0 && rc == RC_OK ? err_memory(err) : rc;
}

static enum rc relaxations_json(const struct question *q, const struct recommend_outcome *o, json_t *answer,
                                struct err *err) {
    json_t *list = json_array();
    enum rc rc = RC_OK;
    for (size_t i = 0; rc == RC_OK && i < o->relaxation_count; i++) {
        const struct recommend_relaxation *r = &o->relaxations[i];
        struct buf text;
        char limit[64];
        buf_init(&text, TEXT_BYTES_MAX);
        rc = explain_relaxation(&q->q, o, r, &text, err);
        recommend_limit_text(&q->q, r->limit, limit, sizeof(limit));
        const struct recommend_candidate *c = &q->q.candidates[r->candidate];
        json_array_append_new(list, json_pack("{s:s, s:o, s:s, s:s, s:o, s:o}", "limit", limit, "needed",
                                              stored_number(r->needed), "configuration", c->id, "recipe",
                                              q->q.variants[c->variant].recipe, "cost", cost_json(&r->cost),
                                              "text", rc == RC_OK ? text_json(&text, rc) : json_null()));
        buf_free(&text);
    }
    return json_object_set_new(answer, "relaxations", list) != 0 && rc == RC_OK ? err_memory(err) : rc;
}

static enum rc head_json(const struct question *q, const struct recommend_outcome *o, json_t *answer,
                         struct err *err) {
    struct buf text;
    char id[IDENT_SIZE];
    ident_random("rec", id);
    buf_init(&text, TEXT_BYTES_MAX);
    enum rc rc = explain_summary(&q->q, o, &text, err);
    json_t *floors = json_array(), *budgets = json_array();
    for (uint32_t i = 0; i < q->q.floor_count + q->q.budget_count; i++) {
        char limit[64];
        recommend_limit_text(&q->q, i, limit, sizeof(limit));
        json_array_append_new(i < q->q.floor_count ? floors : budgets, json_string(limit));
    }
    json_t *head = json_pack("{s:s, s:s, s:o, s:s, s:{s:s, s:s}, s:o, s:o, s:s, s:s?, s:b, s:o}", "id", id,
                             "status", recommend_status_name(o->status), "confidence",
                             json_real(q->q.confidence), "summary", text.size ? text.data : "", "model", "id",
                             q->model_id, "name", q->model_name, "floors", floors, "budgets", budgets,
                             "judged_in", scenario_name(q->scenario), "note", q->note, "baseline_in_budget",
                             (int)o->baseline_in_budget, "tested", json_integer((json_int_t)o->tested));
    buf_free(&text);
    if (rc == RC_OK && (!head || json_object_update(answer, head) != 0)) {
        rc = err_memory(err);
    }
    json_decref(head);
    return rc;
}

static json_t *counts_json(const struct question *q, const struct recommend_outcome *o) {
    return json_pack("{s:I, s:I, s:I, s:I, s:I}", "configurations", (json_int_t)q->q.candidate_count,
                     "runners_up", (json_int_t)o->runner_up_count, "frontier", (json_int_t)o->frontier_count,
                     "undecided", (json_int_t)o->undecided_count, "rejected", (json_int_t)o->rejected_count);
}

static enum rc fill(const struct question *q, const struct recommend_outcome *o, json_t *a, struct err *err) {
    char limit[64];
    enum rc rc = head_json(q, o, a, err);
    if (rc == RC_OK) {
        rc = one_or_null(q, o, o->baseline, a, "baseline", err);
    }
    if (rc == RC_OK) {
        rc = one_or_null(q, o, o->choice, a, "choice", err);
    }
    if (rc == RC_OK) {
        rc = list_of(q, o, o->runners_up, o->runner_up_count, a, "runners_up", err);
    }
    if (rc == RC_OK) {
        rc = list_of(q, o, o->frontier, o->frontier_count, a, "frontier", err);
    }
    if (rc == RC_OK) {
        rc = list_of(q, o, o->undecided, o->undecided_count, a, "undecided", err);
    }
    json_object_set_new(a, "counts", counts_json(q, o));
    json_object_set_new(a, "skipped", q->skipped ? json_incref(q->skipped) : json_array());
    if (rc == RC_OK) {
        rc = rejected_json(q, o, a, err);
    }
    if (rc == RC_OK) {
        rc = one_or_null(q, o, o->nearest_miss, a, "nearest_miss", err);
    }
    if (rc == RC_OK) {
        rc = relaxations_json(q, o, a, err);
    }
    if (rc == RC_OK && o->binding != RECOMMEND_NONE) {
        recommend_limit_text(&q->q, o->binding, limit, sizeof(limit));
        json_object_set_new(a, "binding", json_string(limit));
    } else if (rc == RC_OK) {
        json_object_set_new(a, "binding", json_null());
    }
    return rc;
}

enum rc answer_build(const struct question *q, json_t **ret, json_t **more_rejected, struct err *err) {
    struct recommend_outcome o;
    json_t *more = NULL;
    enum rc rc = recommend_decide(&q->q, &o, err);
    if (rc != RC_OK) {
        return rc;
    }
    json_t *answer = json_object();
    rc = answer ? fill(q, &o, answer, err) : err_memory(err);
    rc = rc == RC_OK ? rejected_rest(q, &o, &more, err) : rc;
    recommend_outcome_free(&o);
    if (rc != RC_OK) {
        json_decref(answer);
        return rc;
    }
    *ret = answer;
    *more_rejected = more;
    return RC_OK;
}

/* ---- storing ---- */

enum rc answer_texts(struct store_tx *tx, const json_t *answer, const json_t *more_rejected,
                     struct store_recommendation *r, struct err *err) {
    r->id = json_string_value(json_object_get(answer, "id"));
    enum rc rc = stored_tx_text(tx, json_incref((json_t *)answer), &r->answer_json, err);
    return rc == RC_OK && more_rejected
               ? stored_tx_text(tx, json_incref((json_t *)more_rejected), &r->more_rejected_json, err)
               : rc;
}

struct ending {
    const char *study;
    json_t *answer, *more_rejected;
};

static enum rc end_study(struct store_tx *tx, void *user, struct err *err) {
    const struct ending *e = user;
    struct store_recommendation r = {.study = e->study};
    struct store_study s;
    enum rc rc = store_study_get(tx, e->study, &s, err);
    if (rc == RC_OK) {
        rc = answer_texts(tx, e->answer, e->more_rejected, &r, err);
    }
    if (rc == RC_OK) {
        r.request_json = s.request_json;
        rc = store_recommendation_add(tx, &r, err);
    }
    if (rc == RC_OK) {
        rc = store_study_end(tx, e->study, "done", r.id, NULL, NULL, err);
    }
    return rc == RC_OK ? study_events_state(tx, e->study, "done", r.id, NULL, NULL, err) : rc;
}

enum rc answer_finish_study(struct store *s, const struct question *q, const char *study, struct err *err) {
    struct ending e = {.study = study};
    enum rc rc = answer_build(q, &e.answer, &e.more_rejected, err);
    if (rc == RC_OK) {
        json_object_set_new(e.answer, "study", json_string(study));
        rc = store_write(s, end_study, &e, err);
        json_decref(e.answer);
        json_decref(e.more_rejected);
    }
    return rc;
}
