/* Studies and their events (views.h). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "advisor/jobs/jobs_internal.h"
#include "advisor/jobs/stored_json.h"
#include "advisor/jobs/study_settings.h"
#include "advisor/jobs/view_parts.h"
#include "advisor/jobs/views.h"
#include "advisor/jobs/work.h"
#include "db/store_answers.h"
#include "db/store_machines.h"

enum { EVENTS_MAX = 500, ONLINE_MS = 60 * 1000 };

/* ---- a study ---- */

static json_t *current_json(const struct store_job *jobs, size_t n) {
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        const struct store_job *j = &jobs[i];
        if (strcmp(j->state, "running") == 0) {
            json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:f, s:s, s:s?}", "job", j->id, "kind",
                                                  j->kind, "recipe", j->label, "fraction", j->fraction,
                                                  "text", j->text ? j->text : "", "target", j->target));
        }
    }
    return list;
}

static json_t *progress_json(const struct store_study *s, const struct store_job *jobs, size_t n) {
    bool done = strcmp(s->state, "done") == 0;
    int64_t total = s->total > 0 ? s->total : 1;
    double part = (double)s->done;
    for (size_t i = 0; i < n && !done; i++) {
        part += strcmp(jobs[i].state, "running") == 0 ? jobs[i].fraction : 0;
    }
    double fraction = done ? 1 : part / (double)total;
    return json_pack("{s:I, s:I, s:f, s:o}", "done", (json_int_t)(done ? total : s->done), "total",
                     (json_int_t)total, "fraction", fraction > 1 ? 1.0 : fraction, "current",
                     current_json(jobs, n));
}

static const char *variant_state(const struct store_variant *v, const struct store_job *jobs, size_t n) {
    char key[WORK_KEY_SIZE];
    if (strcmp(v->state, "pending") != 0) {
        return v->state;
    }
    work_key("compress", v->id, key);
    for (size_t i = 0; i < n; i++) {
        if (strcmp(jobs[i].key, key) == 0 && strcmp(jobs[i].state, "running") == 0) {
            return "running";
        }
    }
    return "queued";
}

static enum rc profiles_of(struct store_tx *tx, const struct work_study *s, const char *variant, json_t *ret,
                           struct err *err) {
    struct store_configuration *c;
    size_t n = 0, i;
    const json_t *type;
    enum rc rc = store_configurations_of_variant(tx, variant, &c, &n, err);
    for (size_t k = 0; rc == RC_OK && k < n; k++) {
        struct store_profile *p;
        size_t n_profiles = 0;
        bool planned = false;
        json_array_foreach(json_object_get(s->plan, "machine_types"), i, type) {
            planned = planned || strcmp(json_string_value(type), c[k].machine_type) == 0;
        }
        if (planned) {
            rc = store_profiles_of_configuration(tx, c[k].id, &p, &n_profiles, err);
        }
        if (rc == RC_OK && n_profiles > 0) {
            json_array_append_new(ret, json_string(p[0].id));
        }
    }
    return rc;
}

static enum rc variant_json(struct store_tx *tx, const struct work_study *s, const char *id,
                            const struct store_job *jobs, size_t n_jobs, json_t **ret, struct err *err) {
    struct store_variant v;
    struct store_evaluation e;
    char evaluation[IDENT_SIZE];
    json_t *profiles = json_array();
    enum rc rc = store_variant_get(tx, id, &v, err);
    if (rc == RC_OK) {
        rc = profiles_of(tx, s, id, profiles, err);
    }
    if (rc == RC_OK) {
        rc = work_evaluation_id(s, id, evaluation, err);
    }
    bool evaluated = rc == RC_OK && (rc = store_evaluation_get(tx, evaluation, &e, err)) == RC_OK;
    if (rc != RC_OK && rc != RC_NOT_FOUND) {
        json_decref(profiles);
        return rc;
    }
    bool ready = strcmp(v.state, "ready") == 0;
    return stored_give(json_pack("{s:s, s:s, s:s, s:s?, s:o, s:s?, s:o}", "id", v.id, "recipe", v.recipe,
                                 "state", variant_state(&v, jobs, n_jobs), "error", v.error, "bytes",
                                 ready ? json_integer((json_int_t)v.bytes) : json_null(), "evaluation",
                                 evaluated ? evaluation : NULL, "profiles", profiles),
                       ret, err);
}

static enum rc variants_json(struct store_tx *tx, const struct work_study *s, const struct store_job *jobs,
                             size_t n_jobs, json_t *ret, struct err *err) {
    const char **ids;
    size_t n = 0;
    enum rc rc = store_study_variants(tx, s->row.id, &ids, &n, err);
    for (size_t i = 0; rc == RC_OK && i < n; i++) {
        json_t *v = NULL;
        rc = variant_json(tx, s, ids[i], jobs, n_jobs, &v, err);
        json_array_append_new(ret, v);
    }
    return rc;
}

/* The runtime settings that are left out, each with its reason. */
static enum rc add_skipped(struct store_tx *tx, const struct work_study *s, const struct store_variant *v,
                           const struct store_job *jobs, size_t n_jobs, json_t *list, struct err *err) {
    size_t i;
    const json_t *type;
    enum rc rc = RC_OK;
    json_array_foreach(json_object_get(s->plan, "machine_types"), i, type) {
        struct study_settings *settings = NULL;
        rc = rc == RC_OK
                 ? study_settings_read(tx, s, v->id, json_string_value(type), jobs, n_jobs, &settings, err)
                 : rc;
        if (rc == RC_OK) {
            study_settings_add_skipped(settings, v, json_string_value(type), list);
        }
        free(settings);
    }
    return rc;
}

static enum rc skipped_json(struct store_tx *tx, const struct work_study *s, const struct store_job *jobs,
                            size_t n_jobs, json_t *ret, struct err *err) {
    const char **ids;
    size_t n = 0;
    enum rc rc = s->plan ? store_study_variants(tx, s->row.id, &ids, &n, err) : RC_OK;
    for (size_t i = 0; rc == RC_OK && i < n; i++) {
        struct store_variant v;
        rc = store_variant_get(tx, ids[i], &v, err);
        if (rc == RC_OK && strcmp(v.state, "ready") == 0) {
            rc = add_skipped(tx, s, &v, jobs, n_jobs, ret, err);
        }
    }
    return rc;
}

static json_t *named(const char *id, const char *name, const char *family) {
    return json_pack("{s:s, s:s, s:s*}", "id", id, "name", name, "family", family);
}

static json_t *request_part(const struct work_study *s, const char *key) {
    json_t *value = json_object_get(s->request, key);
    return value ? json_incref(value) : json_null();
}

static json_t *planned(const struct work_study *s, const char *key, json_t *otherwise) {
    json_t *value = json_object_get(s->plan, key);
    if (!value) {
        return otherwise;
    }
    json_decref(otherwise);
    return json_incref(value);
}

static json_t *head_json(const struct work_study *s) {
    const struct store_study *r = &s->row;
    json_t *error =
        r->error_code ? json_pack("{s:s, s:s?}", "code", r->error_code, "text", r->error_text) : json_null();
    json_t *calibration =
        s->calibration.id ? named(s->calibration.id, s->calibration.name, NULL) : json_null();
    return json_pack(
        "{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s?, s:o, s:o, s:o, s:o}",
        "id", r->id, "state", r->state, "model", named(s->model.id, s->model.name, s->model.family),
        "dataset", named(s->dataset.id, s->dataset.name, NULL), "calibration", calibration, "floors",
        request_part(s, "floors"), "budgets", request_part(s, "budgets"), "confidence",
        request_part(s, "confidence"), "recipes", planned(s, "recipes", request_part(s, "recipes")),
        "targets", request_part(s, "targets"), "price_per_hour", request_part(s, "price_per_hour"),
        "evaluate", request_part(s, "evaluate"), "scenarios", request_part(s, "scenarios"), "preset",
        request_part(s, "preset"), "recommendation", r->recommendation, "error", error, "notes",
        planned(s, "notes", json_array()), "created_at", stored_time(r->created_ms), "finished_at",
        stored_time(r->finished_ms));
}

enum detail { DETAIL_LISTED, DETAIL_ALONE };

static enum rc study_json(struct store_tx *tx, const char *id, enum detail detail, json_t **ret,
                          struct err *err) {
    struct work_study s;
    struct store_job *jobs;
    size_t n_jobs;
    enum rc rc = work_study_load(tx, id, &s, err);
    if (rc != RC_OK) {
        return rc;
    }
    json_t *study = head_json(&s), *variants = json_array(), *skipped = json_array();
    rc = study && variants ? store_jobs_of_study(tx, id, &jobs, &n_jobs, err) : err_memory(err);
    if (rc == RC_OK && s.plan) {
        rc = variants_json(tx, &s, jobs, n_jobs, variants, err);
    }
    if (rc == RC_OK && detail == DETAIL_ALONE) {
        rc = skipped_json(tx, &s, jobs, n_jobs, skipped, err);
        json_object_set(study, "skipped_settings", skipped);
    }
    if (rc == RC_OK) {
        json_object_set_new(study, "progress", progress_json(&s.row, jobs, n_jobs));
        json_object_set(study, "variants", variants);
        json_object_set_new(study, "machine_types", planned(&s, "machine_types", json_array()));
        *ret = json_incref(study);
    }
    json_decref(study);
    json_decref(variants);
    json_decref(skipped);
    work_study_release(&s);
    return rc;
}

enum rc view_study(struct jobs *j, const char *id, json_t **ret, struct err *err) {
    struct store_tx *tx;
    enum rc rc = store_read_begin(j->store, &tx, err);
    if (rc == RC_OK) {
        rc = study_json(tx, id, DETAIL_ALONE, ret, err);
        store_read_end(tx);
    }
    return rc;
}

enum rc view_studies(struct jobs *j, const struct view_page *page, json_t **ret, struct err *err) {
    struct store_tx *tx;
    struct store_page p;
    struct store_study *rows;
    size_t n = 0;
    enum rc rc = view_page_read(page, &p, err);
    if (rc == RC_OK) {
        rc = store_read_begin(j->store, &tx, err);
    }
    if (rc != RC_OK) {
        return rc;
    }
    json_t *items = json_array();
    rc = store_studies_list(tx, &p, &rows, &n, err);
    for (size_t i = 0; rc == RC_OK && i < n && i + 1 < p.limit; i++) {
        json_t *item = NULL;
        rc = study_json(tx, rows[i].id, DETAIL_LISTED, &item, err);
        json_array_append_new(items, item);
    }
    if (rc == RC_OK) {
        rc = view_list(items, n, &p, n >= p.limit ? rows[n - 2].row : 0, ret, err);
    } else {
        json_decref(items);
    }
    store_read_end(tx);
    return rc;
}

/* ---- events ---- */

enum rc view_events(struct jobs *j, const char *study, int64_t after, json_t **ret, bool *final,
                    struct err *err) {
    struct store_tx *tx;
    struct store_study s;
    struct store_event *rows;
    size_t n = 0;
    enum rc rc = store_read_begin(j->store, &tx, err);
    if (rc != RC_OK) {
        return rc;
    }
    rc = store_study_get(tx, study, &s, err);
    if (rc == RC_OK) {
        rc = store_events_after(tx, study, after, EVENTS_MAX, &rows, &n, err);
    }
    if (rc == RC_OK) {
        json_t *list = json_array();
        for (size_t i = 0; i < n; i++) {
            json_array_append_new(list, json_pack("{s:I, s:s, s:o}", "seq", (json_int_t)rows[i].seq, "event",
                                                  rows[i].kind, "data", stored_json(rows[i].data_json)));
        }
        bool open = strcmp(s.state, "queued") == 0 || strcmp(s.state, "running") == 0;
        *final = !open && n < EVENTS_MAX;
        rc = stored_give(list, ret, err);
    }
    store_read_end(tx);
    return rc;
}

/* ---- metrics ---- */

static enum rc count_targets(struct store_tx *tx, json_t *ret, struct err *err) {
    struct store_target *targets;
    size_t n = 0, online = 0;
    enum rc rc = store_targets_list(tx, &targets, &n, err);
    for (size_t i = 0; rc == RC_OK && i < n; i++) {
        online += targets[i].last_seen_ms >= store_tx_now_ms(tx) - ONLINE_MS;
    }
    json_object_set_new(
        ret, "targets",
        json_pack("{s:I, s:I}", "online", (json_int_t)online, "offline", (json_int_t)(n - online)));
    return rc;
}

enum rc view_metrics(struct jobs *j, json_t **ret, struct err *err) {
    struct store_tx *tx;
    struct store_count *rows;
    size_t n = 0;
    enum rc rc = store_read_begin(j->store, &tx, err);
    if (rc != RC_OK) {
        return rc;
    }
    json_t *metrics = json_pack("{s:{}, s:{}}", "studies", "jobs");
    rc = metrics ? store_counts(tx, &rows, &n, err) : err_memory(err);
    for (size_t i = 0; rc == RC_OK && i < n; i++) {
        json_t *groups = json_object_get(metrics, rows[i].what);
        json_object_set_new(groups ? groups : metrics, groups ? rows[i].group : rows[i].what,
                            json_integer((json_int_t)rows[i].n));
    }
    if (rc == RC_OK) {
        rc = count_targets(tx, metrics, err);
    }
    store_read_end(tx);
    if (rc != RC_OK) {
        json_decref(metrics);
        return rc;
    }
    *ret = metrics;
    return RC_OK;
}
