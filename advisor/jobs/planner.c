#include "advisor/jobs/planner.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "advisor/decide/order.h"
#include "advisor/jobs/answer_build.h"
#include "advisor/jobs/contenders.h"
#include "advisor/jobs/plan.h"
#include "advisor/jobs/question.h"
#include "advisor/jobs/stored_json.h"
#include "advisor/jobs/study_events.h"
#include "advisor/jobs/study_settings.h"
#include "advisor/jobs/work.h"
#include "core/base/log.h"
#include "core/recipes/recipe.h"

/* One look at a study, inside one write transaction. */
struct round {
    const char *study;
    struct store_tx *tx;
    struct work_study s;
    struct store_job *jobs; /* of this study */
    size_t n_jobs;
    int64_t done, total;
    bool open;    /* still queued or running */
    bool waiting; /* for a job */
    bool evaluate_all;
};

enum piece { PIECE_WAITS, PIECE_DONE, PIECE_FAILED };

static bool is(const char *state, const char *other) {
    return strcmp(state, other) == 0;
}

static enum piece piece_of(const struct store_job *j) {
    return is(j->state, "done")                             ? PIECE_DONE
           : is(j->state, "failed") || is(j->state, "dead") ? PIECE_FAILED
                                                            : PIECE_WAITS;
}

/* The study's job of that key, NULL when there is none (or a cancelled one, which is to be added again). */
static const struct store_job *own_job(const struct round *r, const char *key) {
    for (size_t i = 0; i < r->n_jobs; i++) {
        if (is(r->jobs[i].key, key) && !is(r->jobs[i].state, "cancelled")) {
            return &r->jobs[i];
        }
    }
    return NULL;
}

static enum rc fail_study(struct round *r, const char *code, const char *text, struct err *err) {
    enum rc rc = store_jobs_cancel(r->tx, r->study, err);
    r->open = false;
    if (rc == RC_OK) {
        rc = store_study_end(r->tx, r->study, "failed", NULL, code, text, err);
    }
    return rc == RC_OK ? study_events_state(r->tx, r->study, "failed", NULL, code, text, err) : rc;
}

/* ---- inspect and plan ---- */

static enum rc add_baseline(struct round *r, const char *id, struct err *err) {
    struct store_file *files;
    size_t n;
    enum rc rc = store_model_files(r->tx, r->s.model.id, &files, &n, err);
    for (size_t i = 1; rc == RC_OK && i < n; i++) {
        if (is(files[i].path, r->s.model.main)) { /* the main file comes first */
            struct store_file first = files[0];
            files[0] = files[i];
            files[i] = first;
        }
    }
    return rc == RC_OK ? store_variant_ready(r->tx, id, files, n, "{}", err) : rc;
}

static enum rc add_variant(struct round *r, int64_t position, const char *recipe, struct err *err) {
    char id[IDENT_SIZE];
    enum rc rc = work_variant_id(&r->s, recipe, id, err);
    struct store_variant v = {.id = id, .model = r->s.model.id, .recipe = recipe};
    struct recipe parsed;
    if (rc == RC_OK) {
        rc = recipe_parse(recipe, r->s.family, &parsed, err);
    }
    if (rc == RC_OK && (recipe_needs(&parsed) & NEEDS_CALIBRATION)) {
        v.calibration = r->s.calibration.id ? r->s.calibration.id : r->s.dataset.id;
    }
    if (rc == RC_OK) {
        rc = store_variant_add(r->tx, &v, err);
    }
    if (rc == RC_OK && recipe_is_baseline(&parsed)) {
        rc = add_baseline(r, id, err);
    }
    return rc == RC_OK ? store_study_add_variant(r->tx, r->study, position, id, err) : rc;
}

static enum rc keep_plan(struct round *r, json_t *plan, struct err *err) {
    const char *text;
    size_t i;
    const json_t *recipe;
    enum rc rc = stored_tx_text(r->tx, json_incref(plan), &text, err);
    if (rc == RC_OK) {
        rc = store_study_plan(r->tx, r->study, text, err);
    }
    r->s.plan = plan;
    json_array_foreach(json_object_get(plan, "recipes"), i, recipe) {
        rc = rc == RC_OK ? add_variant(r, (int64_t)i, json_string_value(recipe), err) : rc;
    }
    return rc;
}

static enum rc make_plan(struct round *r, const char *result_json, struct err *err) {
    json_t *inspect = stored_json(result_json), *plan = NULL;
    enum rc rc = inspect ? plan_make(r->tx, &r->s, inspect, &plan, err) : err_memory(err);
    json_decref(inspect);
    if (rc == RC_INPUT || rc == RC_NOT_FOUND || rc == RC_UNSUPPORTED) {
        char text[sizeof(err->text)];
        snprintf(text, sizeof(text), "%s", err->text);
        return fail_study(r, rc_name(rc), text, err);
    }
    return rc == RC_OK ? keep_plan(r, plan, err) : rc;
}

static enum rc inspect_and_plan(struct round *r, struct err *err) {
    char key[WORK_KEY_SIZE];
    struct store_job job;
    enum rc rc = work_inspect_key(&r->s, key, err);
    if (rc != RC_OK) {
        return rc;
    }
    const struct store_job *own = own_job(r, key);
    rc = store_job_by_key(r->tx, key, &job, err);
    if (rc == RC_OK && is(job.state, "done")) {
        return make_plan(r, job.result_json, err);
    }
    if (rc != RC_OK && rc != RC_NOT_FOUND) {
        return rc;
    }
    if (own && piece_of(own) == PIECE_FAILED) {
        return fail_study(r, own->error_code, own->error_text, err);
    }
    r->waiting = true;
    return own ? RC_OK : work_add_inspect(r->tx, &r->s, &job, err);
}

/* ---- compress, profile, evaluate ---- */

static enum rc compress_variant(struct round *r, const struct store_variant *v, enum piece *ret,
                                struct err *err) {
    char key[WORK_KEY_SIZE];
    struct store_job job;
    if (is(v->state, "ready")) {
        *ret = PIECE_DONE;
        return RC_OK;
    }
    work_key("compress", v->id, key);
    const struct store_job *own = own_job(r, key);
    *ret = own ? piece_of(own) : PIECE_WAITS;
    if (own) {
        return RC_OK;
    }
    enum rc rc = store_variant_pending(r->tx, v->id, err);
    return rc == RC_OK ? work_add_compress(r->tx, &r->s, v, &job, err) : rc;
}

static enum rc profile_configuration(struct round *r, const struct store_variant *v, const char *machine_type,
                                     const struct work_runtime *w, enum piece *ret, struct err *err) {
    char id[IDENT_SIZE], profile_id[IDENT_SIZE], key[WORK_KEY_SIZE];
    struct store_profile profile;
    struct store_job job;
    struct store_configuration c = {.id = id, .variant = v->id, .machine_type = machine_type};
    c.instances = w->instances;
    c.threads = w->threads;
    c.batch = w->batch;
    enum rc rc = work_configuration_id(v->id, machine_type, w, id, err);
    if (rc == RC_OK) {
        rc = store_configuration_add(r->tx, &c, err);
    }
    if (rc == RC_OK) {
        rc = work_profile_id(r->tx, &r->s, id, machine_type, profile_id, err);
    }
    if (rc != RC_OK) {
        return rc;
    }
    *ret = PIECE_DONE;
    rc = store_profile_get(r->tx, profile_id, &profile, err);
    if (rc != RC_NOT_FOUND) {
        return rc;
    }
    work_key("profile", profile_id, key);
    const struct store_job *own = own_job(r, key);
    *ret = own ? piece_of(own) : PIECE_WAITS;
    return own ? RC_OK : work_add_profile(r->tx, &r->s, v, &c, &job, err);
}

static void count(struct round *r, enum piece piece) {
    r->total += piece != PIECE_FAILED;
    r->done += piece == PIECE_DONE;
    r->waiting = r->waiting || piece == PIECE_WAITS;
}

/* One setting of the sweep. What depends on others counts as work that may come. */
static enum rc advance_setting(struct round *r, const struct store_variant *v, const char *machine_type,
                               const struct study_setting *one, bool ready, struct err *err) {
    enum piece piece = PIECE_WAITS;
    enum rc rc = RC_OK;
    switch (one->state) {
    case SWEEP_MEASURED:
        count(r, PIECE_DONE);
        break;
    case SWEEP_FAILED:
        count(r, PIECE_FAILED);
        break;
    case SWEEP_WANTED:
        rc = ready ? profile_configuration(r, v, machine_type, &one->runtime, &piece, err) : RC_OK;
        count(r, piece);
        break;
    case SWEEP_LATER:
        r->total++;
        break;
    case SWEEP_SKIPPED:
        break;
    }
    return rc;
}

/* With all settings that are worth it, or only the first. */
static enum rc profile_variant(struct round *r, const struct store_variant *v, bool ready, bool wide,
                               struct err *err) {
    size_t i;
    const json_t *type;
    enum rc rc = RC_OK;
    json_array_foreach(json_object_get(r->s.plan, "machine_types"), i, type) {
        struct study_settings *settings = NULL;
        const char *machine_type = json_string_value(type);
        rc = rc == RC_OK
                 ? study_settings_read(r->tx, &r->s, v->id, machine_type, r->jobs, r->n_jobs, &settings, err)
                 : rc;
        for (size_t k = 0; rc == RC_OK && k < (wide ? settings->n : 1); k++) {
            rc = advance_setting(r, v, machine_type, &settings->items[k], ready, err);
        }
        free(settings);
    }
    return rc;
}

static enum rc evaluate_variant(struct round *r, const struct store_variant *v, bool wanted, enum piece *ret,
                                struct err *err) {
    char id[IDENT_SIZE], key[WORK_KEY_SIZE];
    struct store_evaluation e;
    struct store_job job;
    enum rc rc = work_evaluation_id(&r->s, v->id, id, err);
    if (rc != RC_OK) {
        return rc;
    }
    *ret = PIECE_DONE;
    rc = store_evaluation_get(r->tx, id, &e, err);
    if (rc != RC_NOT_FOUND) {
        return rc;
    }
    work_key("evaluate", id, key);
    const struct store_job *own = own_job(r, key);
    *ret = own ? piece_of(own) : PIECE_WAITS;
    return own || !wanted ? RC_OK : work_add_evaluate(r->tx, &r->s, v, &job, err);
}

/* Evaluations that are wanted whatever the profiles say: the baseline's, and all where the study says so. One
 * that is not wanted yet counts as work, and is not waited for unless it was begun. */
static enum rc evaluate_early(struct round *r, const struct store_variant *v, bool ready, bool baseline,
                              struct err *err) {
    enum piece piece = PIECE_WAITS;
    bool waiting = r->waiting, wanted = baseline || r->evaluate_all;
    enum rc rc = ready ? evaluate_variant(r, v, wanted, &piece, err) : RC_OK;
    count(r, piece);
    if (rc == RC_OK && ready && !wanted && piece == PIECE_WAITS) {
        char id[IDENT_SIZE], key[WORK_KEY_SIZE];
        rc = work_evaluation_id(&r->s, v->id, id, err);
        work_key("evaluate", id, key);
        r->waiting = waiting || (rc == RC_OK && own_job(r, key));
    }
    return rc;
}

static enum rc advance_variants(struct round *r, struct err *err) {
    const char **ids;
    size_t n;
    enum rc rc = store_study_variants(r->tx, r->study, &ids, &n, err);
    for (size_t i = 0; rc == RC_OK && i < n; i++) {
        struct store_variant v;
        struct recipe recipe;
        enum piece made = PIECE_WAITS;
        rc = store_variant_get(r->tx, ids[i], &v, err);
        if (rc == RC_OK) {
            rc = recipe_parse(v.recipe, r->s.family, &recipe, err);
        }
        if (rc == RC_OK && !contenders_started(r->s.plan, &v)) {
            continue;
        }
        if (rc == RC_OK) {
            rc = compress_variant(r, &v, &made, err);
            count(r, made);
        }
        bool profiled = recipe_is_baseline(&recipe) || contenders_profiled(&r->s, &v);
        if (rc == RC_OK && made != PIECE_FAILED && profiled) {
            bool wide = contenders_wide(r->s.plan, &v, recipe_is_baseline(&recipe));
            rc = profile_variant(r, &v, made == PIECE_DONE, wide, err);
        }
        if (rc == RC_OK && made != PIECE_FAILED) {
            rc = evaluate_early(r, &v, made == PIECE_DONE, recipe_is_baseline(&recipe), err);
        }
    }
    return rc;
}

/* Without a floor nothing decides by accuracy, so "needed" would show none at all: then all is evaluated. */
static bool evaluates_all(const struct work_study *s) {
    const char *evaluate = json_string_value(json_object_get(s->request, "evaluate"));
    return (evaluate && is(evaluate, "all")) || json_array_size(json_object_get(s->request, "floors")) == 0;
}

static enum rc advance(struct store_tx *tx, void *user, struct err *err) {
    struct round *r = user;
    r->tx = tx;
    enum rc rc = work_study_load(tx, r->study, &r->s, err);
    r->open = rc == RC_OK && (is(r->s.row.state, "queued") || is(r->s.row.state, "running"));
    if (!r->open) {
        return rc;
    }
    r->evaluate_all = evaluates_all(&r->s);
    rc = store_jobs_of_study(tx, r->study, &r->jobs, &r->n_jobs, err);
    if (rc == RC_OK && is(r->s.row.state, "queued")) {
        rc = store_study_start(tx, r->study, err);
        if (rc == RC_OK) {
            rc = study_events_state(tx, r->study, "running", NULL, NULL, NULL, err);
        }
    }
    if (rc == RC_OK && !r->s.plan) {
        rc = inspect_and_plan(r, err);
    }
    r->total = 1;
    r->done = r->s.plan ? 1 : 0;
    if (rc == RC_OK && r->s.plan) {
        rc = advance_variants(r, err);
    }
    return rc == RC_OK && r->open ? store_study_progress(tx, r->study, r->done, r->total, err) : rc;
}

/* ---- deciding, outside the transaction ---- */

struct extra_evaluation {
    const char *study, *variant;
};

static enum rc add_evaluation(struct store_tx *tx, void *user, struct err *err) {
    const struct extra_evaluation *e = user;
    struct round r = {.study = e->study, .tx = tx};
    struct store_variant v;
    enum piece piece;
    enum rc rc = work_study_load(tx, e->study, &r.s, err);
    if (rc != RC_OK) {
        return rc;
    }
    bool open = is(r.s.row.state, "queued") || is(r.s.row.state, "running");
    if (open) {
        rc = store_jobs_of_study(tx, e->study, &r.jobs, &r.n_jobs, err);
    }
    if (open && rc == RC_OK) {
        rc = store_variant_get(tx, e->variant, &v, err);
    }
    if (open && rc == RC_OK) {
        rc = evaluate_variant(&r, &v, true, &piece, err);
    }
    work_study_release(&r.s);
    return rc;
}

/* *more: the plan has grown, and with it what is to be done. */
static enum rc decide(struct store *s, const char *study, const json_t *request, bool *more,
                      struct err *err) {
    struct question_scope scope = {.study = study, .limits = request};
    struct question *q = NULL;
    uint32_t next = RECOMMEND_NONE;
    enum rc rc = question_read_numbers(request, &scope, err);
    if (rc == RC_OK) {
        rc = question_build(s, &scope, &q, err);
    }
    if (rc == RC_OK) {
        rc = order_next(&q->q, ORDER_NEEDED, &next, err);
    }
    if (rc == RC_OK && next != RECOMMEND_NONE) {
        struct extra_evaluation e = {study, q->q.variants[next].id};
        rc = store_write(s, add_evaluation, &e, err);
    } else if (rc == RC_OK) {
        rc = contenders_measure_more(s, study, q, more, err);
    }
    if (rc == RC_OK && next == RECOMMEND_NONE && !*more) {
        rc = answer_finish_study(s, q, study, err);
    }
    question_free(q);
    return rc;
}

struct failure {
    const char *study;
    struct err why;
};

static enum rc give_up(struct store_tx *tx, void *user, struct err *err) {
    struct failure *f = user;
    struct round r = {.study = f->study, .tx = tx};
    return fail_study(&r, rc_name(f->why.rc), f->why.text, err);
}

/* One look at the study; *more: it is to be looked at again at once. */
static enum rc look(struct store *s, const char *study, bool *more, struct err *err) {
    struct round r = {.study = study};
    enum rc rc = store_write(s, advance, &r, err);
    *more = false;
    if (rc == RC_OK && r.open && !r.waiting) {
        rc = decide(s, study, r.s.request, more, err);
    }
    work_study_release(&r.s);
    return rc;
}

enum rc planner_advance(struct store *s, const char *study, struct err *err) {
    bool more = true;
    enum rc rc = RC_OK;
    while (rc == RC_OK && more) { /* ends: a plan grows by variants of the study, each once */
        rc = look(s, study, &more, err);
    }
    if (rc == RC_INPUT || rc == RC_UNSUPPORTED || rc == RC_NOT_FOUND || rc == RC_TOO_LARGE ||
        rc == RC_SAMPLE || rc == RC_INTERNAL) {
        struct failure f = {study, *err}; /* it would fail again the same way */
        log_event(LOG_ERROR, "study_failed", "study=%s code=%s", study, rc_name(rc));
        rc = store_write(s, give_up, &f, err);
    }
    return rc == RC_CONFLICT ? RC_OK : rc; /* it ended meanwhile */
}
