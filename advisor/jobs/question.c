#include "advisor/jobs/question.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "advisor/jobs/explanation.h"
#include "advisor/jobs/stored_json.h"
#include "advisor/jobs/work.h"
#include "core/base/json.h"
#include "core/recipes/recipe.h"
#include "db/store_machines.h"

enum { ARENA_BYTES = 256 * 1024 * 1024, VARIANTS_MAX = 4096, CANDIDATES_MAX = 65536, MACHINES_MAX = 1024 };

/* What is gathered in one transaction; strings are in the question's arena, or live as long as the
 * transaction. */
struct gathering {
    struct store_tx *tx;
    const struct question_scope *scope;
    struct question *question;
    enum model_family family;
    const char *dataset, *split; /* NULL: nothing was evaluated */
    json_t *plan;                /* of the study; owned */
    struct store_job *jobs;      /* of the study */
    size_t n_jobs;
    int64_t threads;
    struct recommend_machine *machines;
    size_t n_machines;
    struct recommend_candidate *candidates;
    struct question_candidate *extras;
    size_t n_candidates, capacity;
    const char *asked_machine; /* that wanted() answered last */
    bool asked_is_wanted;
};

static const char *keep(struct gathering *g, const char *text) {
    return text ? arena_strdup(g->question->arena, text) : NULL;
}

static bool listed(const json_t *list, const char *id) {
    size_t i;
    const json_t *item;
    json_array_foreach(list, i, item) {
        const char *text = json_string_value(item);
        if (text && strcmp(text, id) == 0) {
            return true;
        }
    }
    return false;
}

static enum rc target_on(struct gathering *g, const char *machine_type, bool *ret, struct err *err) {
    size_t i;
    const json_t *item;
    enum rc rc = RC_OK;
    *ret = json_array_size(g->scope->targets) == 0;
    json_array_foreach(g->scope->targets, i, item) {
        struct store_target t;
        const char *id = json_string_value(item);
        rc = rc == RC_OK && !id ? err_set(err, RC_INPUT, "field \"targets\" must list ids") : rc;
        if (rc == RC_OK && (rc = store_target_get(g->tx, id, &t, err)) == RC_OK) {
            *ret = *ret || strcmp(t.machine_type, machine_type) == 0;
        }
    }
    return rc;
}

static enum rc wanted_machine(struct gathering *g, const char *id, bool *ret, struct err *err) {
    const json_t *planned = json_object_get(g->plan, "machine_types");
    bool named = json_array_size(g->scope->machine_types) == 0 || listed(g->scope->machine_types, id);
    bool in_plan = json_array_size(planned) == 0 || listed(planned, id) ||
                   listed(json_object_get(g->plan, "imported"), id);
    enum rc rc = target_on(g, id, ret, err);
    *ret = *ret && named && in_plan;
    return rc;
}

/* Index of the machine in the question, added when it is new. */
static enum rc machine_index(struct gathering *g, const char *id, uint32_t *ret, struct err *err) {
    for (size_t i = 0; i < g->n_machines; i++) {
        if (strcmp(g->machines[i].id, id) == 0) {
            *ret = (uint32_t)i;
            return RC_OK;
        }
    }
    struct store_machine_type m;
    enum rc rc = store_machine_type_get(g->tx, id, &m, err);
    if (rc == RC_OK && g->n_machines == MACHINES_MAX) {
        rc = err_set(err, RC_TOO_LARGE, "there are more than %d machine types", (int)MACHINES_MAX);
    }
    if (rc != RC_OK) {
        return rc;
    }
    struct recommend_machine *machine = &g->machines[g->n_machines];
    machine->id = keep(g, m.id);
    machine->name = keep(g, m.name);
    machine->usd_per_hour = m.price.usd_per_hour > 0 ? m.price.usd_per_hour : NAN;
    *ret = (uint32_t)g->n_machines++;
    return machine->id && machine->name ? RC_OK : err_memory(err);
}

static enum rc room_for_candidate(struct gathering *g, struct err *err) {
    if (g->n_candidates < g->capacity) {
        return RC_OK;
    }
    size_t capacity = g->capacity ? 2 * g->capacity : 64;
    if (capacity > CANDIDATES_MAX) {
        return err_set(err, RC_TOO_LARGE, "there are more than %d configurations", (int)CANDIDATES_MAX);
    }
    struct recommend_candidate *candidates = realloc(g->candidates, capacity * sizeof(*candidates));
    g->candidates = candidates ? candidates : g->candidates;
    struct question_candidate *extras = realloc(g->extras, capacity * sizeof(*extras));
    g->extras = extras ? extras : g->extras;
    if (!candidates || !extras) {
        return err_memory(err);
    }
    g->capacity = capacity;
    return RC_OK;
}

static enum rc add_candidate(struct gathering *g, const struct store_measured *m, uint32_t variant,
                             struct err *err) {
    const struct store_configuration *c = &m->configuration;
    struct figures_scenario f = {0};
    uint32_t machine = 0;
    enum rc rc = machine_index(g, c->machine_type, &machine, err);
    if (rc == RC_OK) {
        rc = room_for_candidate(g, err);
    }
    if (rc == RC_OK && m->figures.latency) {
        rc = figures_unpack(&m->figures, &f, err);
    }
    if (rc != RC_OK) {
        return rc;
    }
    struct recommend_candidate *ret = &g->candidates[g->n_candidates];
    *ret = (struct recommend_candidate){.id = keep(g, c->id),
                                        .variant = variant,
                                        .machine = machine,
                                        .instances = (uint32_t)c->instances,
                                        .threads = (uint32_t)c->threads,
                                        .batch = (uint32_t)c->batch,
                                        .memory_mib = (float)m->memory_mib,
                                        .unstable = keep(g, m->unstable),
                                        .instructions = m->instructions,
                                        .by_callgrind = m->instructions_by &&
                                                        strcmp(m->instructions_by, "callgrind") == 0,
                                        .throughput = f.throughput,
                                        .latency = f.latency};
    g->extras[g->n_candidates].profile = keep(g, m->profile);
    return g->extras[g->n_candidates++].profile && ret->id ? RC_OK : err_memory(err);
}

/* Whether the machine type is asked about; remembered, since neighbours mostly share it. */
static enum rc wanted(struct gathering *g, const char *machine_type, bool *ret, struct err *err) {
    if (!g->asked_machine || strcmp(g->asked_machine, machine_type) != 0) {
        enum rc rc = wanted_machine(g, machine_type, &g->asked_is_wanted, err);
        if (rc != RC_OK) {
            return rc;
        }
        g->asked_machine = machine_type;
    }
    *ret = g->asked_is_wanted;
    return RC_OK;
}

static enum rc gather_candidates(struct gathering *g, const char *variant_id, uint32_t variant,
                                 struct err *err) {
    struct store_measured *rows;
    size_t n = 0;
    enum rc rc = store_measured_of_variant(g->tx, variant_id, g->question->scenario_stored,
                                           g->scope->confidence, &rows, &n, err);
    for (size_t i = 0; rc == RC_OK && i < n; i++) {
        const struct store_configuration *c = &rows[i].configuration;
        bool fits = g->threads == 0 || c->instances * c->threads <= g->threads, is_wanted = false;
        rc = wanted(g, c->machine_type, &is_wanted, err);
        if (rc == RC_OK && fits && is_wanted) {
            rc = add_candidate(g, &rows[i], variant, err);
        }
    }
    return rc;
}

/* Whether the evaluation has scores of every metric that a floor names: agreement and kld are measured only
 * where somebody asked for them. */
static enum rc shows_floors(struct gathering *g, const char *evaluation, bool *ret, struct err *err) {
    const struct limits *l = &g->question->limits;
    struct store_scores *scores;
    size_t n = 0;
    enum rc rc = store_evaluation_scores(g->tx, evaluation, &scores, &n, err);
    *ret = rc == RC_OK;
    for (size_t i = 0; i < l->floor_count && *ret; i++) {
        bool shown = l->floors[i].metric == METRIC_PRIMARY;
        for (size_t k = 0; k < n && !shown; k++) {
            shown = metric_from_name(scores[k].metric) == l->floors[i].metric;
        }
        *ret = shown;
    }
    return rc;
}

/* The newest evaluation of the variant on the question's examples that shows what the floors need, or else
 * the newest. */
static enum rc find_evaluation(struct gathering *g, const char *variant, const char **ret, struct err *err) {
    struct store_evaluation *rows;
    size_t n = 0;
    enum rc rc = RC_OK;
    *ret = NULL;
    if (g->split) {
        rc = store_evaluations_of_variant(g->tx, variant, &rows, &n, err);
    }
    const char *found = NULL;
    bool shows = false;
    for (size_t i = 0; rc == RC_OK && i < n && !shows; i++) {
        if (strcmp(rows[i].dataset, g->dataset) == 0 && strcmp(rows[i].split_json, g->split) == 0) {
            rc = shows_floors(g, rows[i].id, &shows, err);
            found = shows || !found ? rows[i].id : found;
        }
    }
    if (rc == RC_OK && found) {
        *ret = keep(g, found);
        rc = *ret ? RC_OK : err_memory(err);
    }
    return rc;
}

static bool ended_badly(const struct store_job *j) {
    return strcmp(j->state, "failed") == 0 || strcmp(j->state, "dead") == 0;
}

/* Why the variant cannot be a candidate, or cannot be judged: from the study's jobs. */
static const char *failure_of(struct gathering *g, const struct store_variant *v, bool has_candidate) {
    struct arena *a = g->question->arena;
    if (strcmp(v->state, "failed") == 0) {
        return arena_strdup(a, v->error ? v->error : "it could not be made");
    }
    for (size_t i = 0; i < g->n_jobs; i++) {
        const struct store_job *j = &g->jobs[i];
        bool evaluate = strcmp(j->kind, "evaluate") == 0;
        bool profile = strcmp(j->kind, "profile") == 0 && !has_candidate;
        if (!ended_badly(j) || (!evaluate && !profile)) {
            continue;
        }
        json_t *subject = stored_json(j->subject_json);
        const char *variant = json_string_value(json_object_get(subject, "variant"));
        bool mine = variant && strcmp(variant, v->id) == 0;
        json_decref(subject);
        if (mine) {
            return arena_printf(a, "%s failed: %s", evaluate ? "its evaluation" : "its measurement",
                                j->error_text ? j->error_text : "no reason given");
        }
    }
    return NULL;
}

/* Why the compressor expects the variant to run slower, in the question's memory; NULL. */
static const char *note_of(struct gathering *g, const struct store_variant *v) {
    json_t *result = stored_json(v->result_json);
    const char *note = keep(g, json_string_value(json_array_get(json_object_get(result, "slow_because"), 0)));
    json_decref(result);
    return note;
}

static enum rc gather_variant(struct gathering *g, const struct store_variant *v,
                              struct recommend_variant *ret, struct question_variant *extra, uint32_t index,
                              struct err *err) {
    struct recipe recipe;
    size_t before = g->n_candidates;
    enum rc rc = recipe_parse(v->recipe, g->family, &recipe, err);
    if (rc == RC_OK) {
        rc = gather_candidates(g, v->id, index, err);
    }
    if (rc == RC_OK) {
        rc = find_evaluation(g, v->id, &extra->evaluation, err);
    }
    if (rc != RC_OK) {
        return rc;
    }
    bool baseline = recipe_is_baseline(&recipe);
    *ret = (struct recommend_variant){.id = keep(g, v->id),
                                      .recipe = keep(g, v->recipe),
                                      .steps = baseline ? 0 : (uint32_t)recipe.n_steps,
                                      .is_baseline = baseline,
                                      .failure = failure_of(g, v, g->n_candidates > before),
                                      .note = note_of(g, v),
                                      .size_bytes = (uint64_t)v->bytes};
    return ret->id && ret->recipe ? RC_OK : err_memory(err);
}

/* Without a study: the examples on which the baseline was evaluated last (on the dataset asked for). */
static enum rc find_split(struct gathering *g, const struct store_variant *all, size_t n, struct err *err) {
    const char *baseline = recipe_baseline(g->family);
    for (size_t i = 0; i < n; i++) {
        struct store_evaluation *rows;
        size_t n_rows = 0;
        if (strcmp(all[i].recipe, baseline) != 0) {
            continue;
        }
        enum rc rc = store_evaluations_of_variant(g->tx, all[i].id, &rows, &n_rows, err);
        for (size_t k = 0; rc == RC_OK && k < n_rows && !g->split; k++) {
            if (!g->scope->dataset || strcmp(rows[k].dataset, g->scope->dataset) == 0) {
                g->dataset = rows[k].dataset;
                g->split = rows[k].split_json;
            }
        }
        if (rc != RC_OK) {
            return rc;
        }
    }
    return RC_OK;
}

static enum rc study_variants(struct gathering *g, struct store_variant **ret, size_t *n, struct err *err) {
    const char **ids;
    enum rc rc = store_study_variants(g->tx, g->scope->study, &ids, n, err);
    if (rc != RC_OK) {
        return rc;
    }
    *ret = store_alloc(g->tx, *n + 1, sizeof(**ret));
    rc = *ret ? RC_OK : err_memory(err);
    for (size_t i = 0; rc == RC_OK && i < *n; i++) {
        rc = store_variant_get(g->tx, ids[i], &(*ret)[i], err);
    }
    return rc;
}

static enum rc load_study(struct gathering *g, struct store_model *model, struct store_variant **all,
                          size_t *n, struct err *err) {
    struct work_study s;
    enum rc rc = work_study_load(g->tx, g->scope->study, &s, err);
    if (rc != RC_OK) {
        return rc;
    }
    *model = s.model;
    g->dataset = s.row.dataset;
    g->threads = json_integer_value(json_object_get(s.request, "threads"));
    if (s.plan) {
        g->plan = json_incref(s.plan);
        json_t *skipped = json_object_get(s.plan, "skipped");
        g->question->skipped = skipped ? json_incref(skipped) : NULL;
        json_t *split = json_object_get(s.plan, "split");
        rc = stored_tx_text(g->tx, json_incref(split), &g->split, err);
    }
    work_study_release(&s);
    if (rc == RC_OK) {
        rc = store_jobs_of_study(g->tx, g->scope->study, &g->jobs, &g->n_jobs, err);
    }
    return rc == RC_OK ? study_variants(g, all, n, err) : rc;
}

static enum rc load_model(struct gathering *g, struct store_model *model, struct store_variant **all,
                          size_t *n, struct err *err) {
    enum rc rc = store_model_get(g->tx, g->scope->model, model, err);
    g->threads = g->scope->threads;
    if (rc == RC_OK) {
        rc = model_family_parse(model->family, &g->family, err);
    }
    if (rc == RC_OK) {
        rc = store_variants_of_model(g->tx, model->id, all, n, err);
    }
    return rc == RC_OK ? find_split(g, *all, *n, err) : rc;
}

static enum rc gather(struct gathering *g, struct err *err) {
    struct question *q = g->question;
    struct store_model model;
    struct store_variant *all = NULL;
    size_t n = 0;
    enum rc rc =
        g->scope->study ? load_study(g, &model, &all, &n, err) : load_model(g, &model, &all, &n, err);
    if (rc == RC_OK) {
        rc = model_family_parse(model.family, &g->family, err);
    }
    if (rc == RC_OK && n > VARIANTS_MAX) {
        rc = err_set(err, RC_TOO_LARGE, "there are more than %d variants", (int)VARIANTS_MAX);
    }
    if (rc != RC_OK) {
        return rc;
    }
    q->model_id = keep(g, model.id);
    q->model_name = keep(g, model.name);
    q->variants_list = calloc(n + 1, sizeof(*q->variants_list));
    q->variants = calloc(n + 1, sizeof(*q->variants));
    g->machines = calloc(MACHINES_MAX, sizeof(*g->machines));
    q->machines_list = g->machines;
    if (!q->variants_list || !q->variants || !g->machines || !q->model_id || !q->model_name) {
        return err_memory(err);
    }
    for (size_t i = 0; rc == RC_OK && i < n; i++) {
        rc = gather_variant(g, &all[i], &q->variants_list[i], &q->variants[i], (uint32_t)i, err);
        q->q.variant_count += rc == RC_OK;
    }
    return rc;
}

/* ---- figures, outside the transaction ---- */

static const char *baseline_evaluation(const struct question *q) {
    for (size_t i = 0; i < q->q.variant_count; i++) {
        if (q->variants_list[i].is_baseline && q->variants[i].evaluation) {
            return q->variants[i].evaluation;
        }
    }
    return "";
}

static enum rc add_accuracies(struct store *s, struct question *q, struct err *err) {
    const char *baseline = baseline_evaluation(q);
    enum rc rc = RC_OK;
    for (size_t i = 0; rc == RC_OK && i < q->q.variant_count; i++) {
        struct question_variant *v = &q->variants[i];
        if (v->evaluation) {
            const char *against = strcmp(v->evaluation, baseline) == 0 ? "" : baseline;
            rc = figures_accuracies(s, v->evaluation, against, &v->accuracies, err);
            q->variants_list[i].accuracies = v->accuracies.items;
            q->variants_list[i].accuracy_count = v->accuracies.n;
        }
    }
    return rc;
}

/* Confidences that were not foreseen are computed from the samples. */
static enum rc add_latencies(struct store *s, struct question *q, struct err *err) {
    enum rc rc = RC_OK;
    for (size_t i = 0; rc == RC_OK && i < q->q.candidate_count; i++) {
        struct figures_scenario f;
        if (q->candidates_list[i].latency.n > 0) {
            continue;
        }
        rc = figures_scenario(s, q->candidates[i].profile, q->scenario_stored, q->q.confidence, &f, err);
        if (rc == RC_OK) {
            q->candidates_list[i].latency = f.latency;
            q->candidates_list[i].throughput = f.throughput;
        }
    }
    return rc;
}

/* ---- the scenario ---- */

/* Judges in a closed loop, or, where `kind` is server and a budget is for a percentile, in the one of that
 * name. */
static void judge_in(struct question *q, enum scenario_kind kind) {
    q->scenario = kind;
    if (kind == SCENARIO_SERVER) {
        study_scenarios_server(&q->limits, q->scenario_stored);
    } else {
        snprintf(q->scenario_stored, sizeof(q->scenario_stored), "%s", scenario_name(kind));
    }
    if (q->scenario_stored[0] == '\0') {
        q->note = "judged in the scenario offline: a server's rate needs a budget for a latency percentile, "
                  "such as "
                  "p99<=5ms";
        judge_in(q, SCENARIO_OFFLINE);
    }
}

static enum rc study_wants_server(struct store *s, const char *study, bool *ret, struct err *err) {
    struct store_tx *tx;
    struct store_study row;
    enum rc rc = store_read_begin(s, &tx, err);
    if (rc != RC_OK) {
        return rc;
    }
    rc = store_study_get(tx, study, &row, err);
    if (rc == RC_OK) {
        json_t *request = stored_json(row.request_json);
        *ret = study_scenarios_has(request, SCENARIO_SERVER);
        json_decref(request);
    }
    store_read_end(tx);
    return rc;
}

static enum rc choose_scenario(struct store *s, const struct question_scope *scope, struct question *q,
                               struct err *err) {
    enum scenario_kind kind = SCENARIO_OFFLINE;
    bool server = false;
    enum rc rc = RC_OK;
    if (scope->scenario) {
        rc = scenario_parse(scope->scenario, &kind, err);
    } else if (scope->study) {
        rc = study_wants_server(s, scope->study, &server, err);
        kind = server ? SCENARIO_SERVER : SCENARIO_OFFLINE;
    }
    if (rc == RC_OK) {
        judge_in(q, kind);
    }
    return rc;
}

static void forget_gathered(struct question *q) {
    free(q->variants);
    free(q->variants_list);
    free(q->candidates);
    free(q->candidates_list);
    free(q->machines_list);
    q->variants = NULL;
    q->variants_list = NULL;
    q->candidates = NULL;
    q->candidates_list = NULL;
    q->machines_list = NULL;
    q->q.variant_count = q->q.candidate_count = q->q.machine_count = 0;
}

static enum rc gather_all(struct store *s, const struct question_scope *scope, struct question *q,
                          struct err *err) {
    struct gathering g = {.scope = scope, .question = q};
    enum rc rc = store_read_begin(s, &g.tx, err);
    if (rc != RC_OK) {
        return rc;
    }
    rc = gather(&g, err);
    store_read_end(g.tx);
    json_decref(g.plan);
    q->candidates_list = g.candidates;
    q->candidates = g.extras;
    q->q.candidate_count = g.n_candidates;
    q->q.machine_count = g.n_machines;
    return rc;
}

/* Gathers in the chosen scenario, or in offline where nothing was measured in that one. */
static enum rc gather_judged(struct store *s, const struct question_scope *scope, struct question *q,
                             struct err *err) {
    enum rc rc = choose_scenario(s, scope, q, err);
    if (rc == RC_OK) {
        rc = gather_all(s, scope, q, err);
    }
    if (rc == RC_OK && q->q.candidate_count == 0 && q->scenario != SCENARIO_OFFLINE) {
        q->note = arena_printf(q->arena, "judged in the scenario offline: nothing was measured as \"%s\"",
                               q->scenario_stored);
        forget_gathered(q);
        judge_in(q, SCENARIO_OFFLINE);
        rc = q->note ? gather_all(s, scope, q, err) : err_memory(err);
    }
    return rc;
}

enum rc question_build(struct store *s, const struct question_scope *scope, struct question **ret,
                       struct err *err) {
    struct question *q = calloc(1, sizeof(*q));
    if (!q) {
        return err_memory(err);
    }
    q->store = s;
    q->explanations = explanations_new();
    q->arena = arena_new(ARENA_BYTES);
    q->q.confidence = scope->confidence;
    q->q.price_per_hour = scope->price_per_hour;
    enum rc rc = q->arena && q->explanations ? limits_read(scope->limits, &q->limits, err) : err_memory(err);
    if (rc == RC_OK) {
        rc = gather_judged(s, scope, q, err);
    }
    if (rc == RC_OK && q->q.variant_count == 0) {
        rc = err_set(err, RC_NOT_FOUND, "nothing of this model has been measured yet: start a study first");
    }
    if (rc == RC_OK) {
        rc = add_accuracies(s, q, err);
    }
    if (rc == RC_OK) {
        rc = add_latencies(s, q, err);
    }
    if (rc != RC_OK) {
        question_free(q);
        return rc;
    }
    q->q.floors = q->limits.floors;
    q->q.floor_count = q->limits.floor_count;
    q->q.budgets = q->limits.budgets;
    q->q.budget_count = q->limits.budget_count;
    q->q.machines = q->machines_list;
    q->q.variants = q->variants_list;
    q->q.candidates = q->candidates_list;
    *ret = q;
    return RC_OK;
}

void question_free(struct question *q) {
    if (!q) {
        return;
    }
    for (size_t i = 0; q->variants && i < q->q.variant_count; i++) {
        figures_accuracies_release(&q->variants[i].accuracies);
    }
    explanations_free(q->explanations);
    json_decref(q->skipped);
    free(q->variants);
    free(q->variants_list);
    free(q->candidates);
    free(q->candidates_list);
    free(q->machines_list);
    arena_free(q->arena);
    free(q);
}

enum rc question_read_numbers(const json_t *body, struct question_scope *scope, struct err *err) {
    scope->confidence = 0.95;
    scope->price_per_hour = NAN;
    enum rc rc = json_opt_number(body, "confidence", &scope->confidence, err);
    if (rc == RC_OK) {
        rc = json_opt_number(body, "price_per_hour", &scope->price_per_hour, err);
    }
    if (rc == RC_OK && !(scope->confidence > 0.5 && scope->confidence < 1)) {
        rc = err_set(err, RC_INPUT, "field \"confidence\" must lie between 0.5 and 1, for example 0.95");
    }
    if (rc == RC_OK && !isnan(scope->price_per_hour) && !(scope->price_per_hour > 0)) {
        rc = err_set(err, RC_INPUT, "field \"price_per_hour\" must be above 0 USD");
    }
    return rc;
}
