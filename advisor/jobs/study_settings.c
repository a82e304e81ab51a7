#include "advisor/jobs/study_settings.h"

#include <stdlib.h>
#include <string.h>

#include "advisor/decide/budget.h"
#include "advisor/jobs/figures.h"
#include "advisor/jobs/limits.h"
#include "advisor/jobs/study_scenarios.h"

/* Growing a batch is a question of what to try next, not of a verdict: one confidence for all. */
static const double CONFIDENCE = 0.95;

struct look {
    struct store_tx *tx;
    const struct work_study *s;
    const char *variant, *machine_type;
    const struct store_job *jobs;
    size_t n_jobs;
    struct limits limits;
    char judged_in[STUDY_SCENARIO_SIZE]; /* the scenario whose latencies count, as it is stored */
};

static bool ended_badly(const struct look *l, const char *profile) {
    char key[WORK_KEY_SIZE];
    work_key("profile", profile, key);
    for (size_t i = 0; i < l->n_jobs; i++) {
        const struct store_job *j = &l->jobs[i];
        if (strcmp(j->key, key) == 0 && (strcmp(j->state, "failed") == 0 || strcmp(j->state, "dead") == 0)) {
            return true;
        }
    }
    return false;
}

static bool breaks_latency(const struct look *l, const struct latency *latency) {
    const struct budget_subject subject = {.latency = latency};
    for (size_t i = 0; i < l->limits.budget_count; i++) {
        const struct budget *b = &l->limits.budgets[i];
        if (b->kind == BUDGET_LATENCY && budget_verdict(b, &subject) == VERDICT_BROKEN) {
            return true;
        }
    }
    return false;
}

/* What a profile that is there says. A scenario that it lacks says nothing. */
static enum rc look_at_profile(const struct look *l, const char *profile, struct sweep_step *ret,
                               struct err *err) {
    struct store_figures row;
    struct figures_scenario f;
    enum rc rc =
        store_profile_figures(l->tx, profile, scenario_name(SCENARIO_OFFLINE), CONFIDENCE, &row, err);
    ret->measured = true;
    ret->per_s = rc == RC_OK ? row.per_s : 0;
    if (rc == RC_OK) {
        rc = store_profile_figures(l->tx, profile, l->judged_in, CONFIDENCE, &row, err);
    }
    if (rc == RC_OK && (rc = figures_unpack(&row, &f, err)) == RC_OK) {
        ret->breaks_latency = breaks_latency(l, &f.latency);
    }
    return rc == RC_NOT_FOUND ? RC_OK : rc;
}

static enum rc look_at(const struct look *l, const struct work_runtime *r, struct sweep_step *ret,
                       struct err *err) {
    char configuration[IDENT_SIZE], id[IDENT_SIZE];
    struct store_profile p;
    enum rc rc = work_configuration_id(l->variant, l->machine_type, r, configuration, err);
    if (rc == RC_OK) {
        rc = work_profile_id(l->tx, l->s, configuration, l->machine_type, id, err);
    }
    if (rc != RC_OK) {
        return rc;
    }
    rc = store_profile_get(l->tx, id, &p, err);
    if (rc == RC_NOT_FOUND) {
        ret->failed = ended_badly(l, id);
        return RC_OK;
    }
    return rc == RC_OK ? look_at_profile(l, id, ret, err) : rc;
}

static size_t batches_of(const struct work_study *s, uint32_t ret[SWEEP_BATCHES_MAX]) {
    size_t i, n = 0;
    const json_t *batch;
    json_array_foreach(json_object_get(s->plan, "batches"), i, batch) {
        if (n < SWEEP_BATCHES_MAX) {
            ret[n++] = (uint32_t)json_integer_value(batch);
        }
    }
    if (n == 0) {
        ret[n++] = 1;
    }
    return n;
}

static enum rc decide(const struct look *l, uint32_t cores, struct study_settings *ret, struct err *err) {
    struct sweep_split splits[SWEEP_SPLITS_MAX];
    uint32_t batches[SWEEP_BATCHES_MAX];
    struct sweep_effort effort;
    size_t n_splits = sweep_splits(cores, splits), n_batches = batches_of(l->s, batches);
    struct sweep_step *steps = calloc(STUDY_SETTINGS_MAX, sizeof(*steps));
    enum rc rc = steps ? RC_OK : err_memory(err);
    ret->n = n_splits * n_batches;
    for (size_t i = 0; rc == RC_OK && i < ret->n; i++) {
        const struct sweep_split *split = &splits[i / n_batches];
        ret->items[i].runtime =
            (struct work_runtime){split->instances, split->threads, batches[i % n_batches]};
        rc = look_at(l, &ret->items[i].runtime, &steps[i], err);
    }
    if (rc == RC_OK) {
        work_sweep(l->s, &effort);
        sweep_decide(&effort, splits, n_splits, batches, n_batches, steps);
    }
    for (size_t i = 0; rc == RC_OK && i < ret->n; i++) {
        ret->items[i].state = steps[i].state;
        memcpy(ret->items[i].why, steps[i].why, sizeof(steps[i].why));
    }
    free(steps);
    return rc;
}

enum rc study_settings_read(struct store_tx *tx, const struct work_study *s, const char *variant,
                            const char *machine_type, const struct store_job *jobs, size_t n_jobs,
                            struct study_settings **ret, struct err *err) {
    struct look l = {
        .tx = tx, .s = s, .variant = variant, .machine_type = machine_type, .jobs = jobs, .n_jobs = n_jobs};
    int64_t cores = 1;
    enum rc rc = limits_read(s->request, &l.limits, err);
    if (rc == RC_OK) {
        rc = work_cores(tx, s, machine_type, &cores, err);
    }
    if (rc != RC_OK) {
        return rc;
    }
    if (study_scenarios_has(s->request, SCENARIO_SERVER)) {
        study_scenarios_server(&l.limits, l.judged_in);
    }
    if (l.judged_in[0] == '\0') {
        snprintf(l.judged_in, sizeof(l.judged_in), "%s", scenario_name(SCENARIO_OFFLINE));
    }
    struct study_settings *all = calloc(1, sizeof(*all));
    rc = all ? decide(&l, (uint32_t)cores, all, err) : err_memory(err);
    if (rc != RC_OK) {
        free(all);
        return rc;
    }
    *ret = all;
    return RC_OK;
}

void study_settings_add_skipped(const struct study_settings *s, const struct store_variant *v,
                                const char *machine_type, json_t *list) {
    for (size_t i = 0; i < s->n; i++) {
        const struct study_setting *one = &s->items[i];
        if (one->state == SWEEP_SKIPPED) {
            json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:{s:I, s:I, s:I}, s:s}", "variant", v->id,
                                                  "recipe", v->recipe, "machine_type", machine_type,
                                                  "runtime", "instances", (json_int_t)one->runtime.instances,
                                                  "threads", (json_int_t)one->runtime.threads, "batch",
                                                  (json_int_t)one->runtime.batch, "why", one->why));
        }
    }
}
