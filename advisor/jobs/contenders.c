#include "advisor/jobs/contenders.h"

#include <stdlib.h>
#include <string.h>

#include "advisor/decide/contend.h"
#include "advisor/jobs/limits.h"
#include "advisor/jobs/stored_json.h"
#include "core/recipes/recipe.h"
#include "db/store_studies.h"

enum { REASON_BYTES = 1024 };

static bool holds(const json_t *list, const char *text) {
    size_t i;
    const json_t *item;
    json_array_foreach(list, i, item) {
        const char *other = json_string_value(item);
        if (other && strcmp(other, text) == 0) {
            return true;
        }
    }
    return false;
}

bool contenders_staged(const struct work_study *s, const json_t *recipes) {
    const char *evaluate = json_string_value(json_object_get(s->request, "evaluate"));
    bool all = evaluate && strcmp(evaluate, "all") == 0;
    return json_array_size(recipes) > CONTENDERS_STAGED_ABOVE && !all &&
           json_array_size(json_object_get(s->request, "floors")) > 0;
}

bool contenders_started(const json_t *plan, const struct store_variant *v) {
    bool late = json_is_true(json_object_get(plan, "staged")) &&
                holds(json_object_get(plan, "cannot_help"), v->recipe);
    return !late || holds(json_object_get(plan, "started"), v->id);
}

bool contenders_profiled(const struct work_study *s, const struct store_variant *v) {
    struct limits l;
    bool staged = json_is_true(json_object_get(s->plan, "staged"));
    if (!staged || v->bytes <= 0 || holds(json_object_get(s->plan, "started"), v->id) ||
        limits_read(s->request, &l, NULL) != RC_OK) {
        return true;
    }
    return !contend_too_large(l.budgets, l.budget_count, (uint64_t)v->bytes);
}

bool contenders_wide(const json_t *plan, const struct store_variant *v, bool is_baseline) {
    bool staged = json_is_true(json_object_get(plan, "staged"));
    return !staged || is_baseline || holds(json_object_get(plan, "wide"), v->id);
}

/* ---- the plan ---- */

struct change {
    const char *study;
    const struct question *q;
    const struct contend_level *levels;
    const enum contend_what *what;
    json_t *skipped; /* the list for the plan; NULL: something is to be measured */
};

static enum rc add_to(json_t *plan, const char *key, const char *id, struct err *err) {
    json_t *list = json_object_get(plan, key);
    if (!list) {
        list = json_array();
        json_object_set_new(plan, key, list);
    }
    return json_array_append_new(list, json_string(id)) == 0 ? RC_OK : err_memory(err);
}

static enum rc change_plan(struct store_tx *tx, void *user, struct err *err) {
    const struct change *c = user;
    struct work_study s;
    const char *text = NULL;
    enum rc rc = work_study_load(tx, c->study, &s, err);
    if (rc != RC_OK) {
        return rc;
    }
    for (uint32_t v = 0; rc == RC_OK && !c->skipped && v < c->q->q.variant_count; v++) {
        if (c->what[v] != CONTEND_NOTHING) {
            rc =
                add_to(s.plan, c->what[v] == CONTEND_WIDEN ? "wide" : "started", c->q->q.variants[v].id, err);
        }
    }
    if (rc == RC_OK && c->skipped && json_object_set(s.plan, "skipped", c->skipped) != 0) {
        rc = err_memory(err);
    }
    if (rc == RC_OK) {
        rc = stored_tx_text(tx, json_incref(s.plan), &text, err);
    }
    if (rc == RC_OK) {
        rc = store_study_plan(tx, c->study, text, err);
    }
    work_study_release(&s);
    return rc;
}

/* ---- what was measured ---- */

static enum rc read_levels(struct store *s, const char *study, const struct question *q,
                           struct contend_level *levels, bool *staged, struct err *err) {
    struct store_tx *tx;
    struct work_study w;
    enum rc rc = store_read_begin(s, &tx, err);
    if (rc != RC_OK) {
        return rc;
    }
    rc = work_study_load(tx, study, &w, err);
    if (rc == RC_OK) {
        *staged = json_is_true(json_object_get(w.plan, "staged"));
        for (uint32_t v = 0; v < q->q.variant_count; v++) {
            const struct recommend_variant *rv = &q->q.variants[v];
            const struct store_variant sv = {
                .id = rv->id, .recipe = rv->recipe, .bytes = (int64_t)rv->size_bytes};
            levels[v].started =
                contenders_started(w.plan, &sv) && (rv->is_baseline || contenders_profiled(&w, &sv));
            levels[v].wide = contenders_wide(w.plan, &sv, rv->is_baseline);
        }
        work_study_release(&w);
    }
    store_read_end(tx);
    return rc;
}

static enum rc list_skipped(const struct question *q, const struct contend_level *levels, json_t *list,
                            struct err *err) {
    enum rc rc = RC_OK;
    for (uint32_t v = 0; rc == RC_OK && v < q->q.variant_count; v++) {
        const struct recommend_variant *rv = &q->q.variants[v];
        struct buf text;
        if (levels[v].wide || rv->failure) {
            continue;
        }
        buf_init(&text, REASON_BYTES);
        rc = contend_reason(&q->q, levels, v, &text, err);
        json_t *entry = rc == RC_OK
                            ? json_pack("{s:s, s:s, s:s, s:s}", "variant", rv->id, "recipe", rv->recipe,
                                        "settings", levels[v].started ? "others" : "all", "reason", text.data)
                            : NULL;
        if (rc == RC_OK && json_array_append_new(list, entry) != 0) {
            rc = err_memory(err);
        }
        buf_free(&text);
    }
    return rc;
}

enum rc contenders_measure_more(struct store *s, const char *study, struct question *q, bool *more,
                                struct err *err) {
    size_t n = q->q.variant_count;
    bool staged = false;
    struct contend_level *levels = calloc(n + 1, sizeof(*levels));
    enum contend_what *what = calloc(n + 1, sizeof(*what));
    struct change change = {.study = study, .q = q, .levels = levels, .what = what};
    *more = false;
    enum rc rc = levels && what ? read_levels(s, study, q, levels, &staged, err) : err_memory(err);
    if (rc == RC_OK && staged) {
        rc = contend_next(&q->q, levels, what, err);
    }
    for (size_t v = 0; rc == RC_OK && staged && v < n; v++) {
        *more = *more || what[v] != CONTEND_NOTHING;
    }
    if (rc == RC_OK && staged && !*more) {
        change.skipped = json_array();
        rc = list_skipped(q, levels, change.skipped, err);
    }
    if (rc == RC_OK && staged) {
        rc = store_write(s, change_plan, &change, err);
    }
    if (rc == RC_OK && change.skipped) {
        json_decref(q->skipped);
        q->skipped = json_incref(change.skipped);
    }
    json_decref(change.skipped);
    free(levels);
    free(what);
    return rc;
}
