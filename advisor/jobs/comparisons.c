/* The tail: the ratio at p90 is wanted once, when a comparison has ended; its samples are read outside of any
 * transaction, and what ends it is one write. */
#include "advisor/jobs/comparisons.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "advisor/decide/comparison.h"
#include "advisor/jobs/comparison_sides.h"
#include "advisor/jobs/comparison_tail.h"
#include "advisor/jobs/jobs_internal.h"
#include "advisor/jobs/stored_json.h"
#include "core/base/json.h"
#include "core/stats/sequential.h"
#include "db/store_comparisons.h"

enum { PRIORITY_COMPARE = 2, KEY_SIZE = IDENT_SIZE + 32 };

static bool is(const char *a, const char *b) {
    return strcmp(a, b) == 0;
}

/* ---- a comparison as it stands ---- */

struct progress {
    struct store_comparison row;
    json_t *request; /* owned */
    struct store_replicate *replicates;
    size_t n;
    struct comparison_question q;
    struct comparison_outcome o;
};

static void progress_release(struct progress *p) {
    json_decref(p->request);
}

static enum rc progress_read(struct store_tx *tx, const char *id, struct progress *p, struct err *err) {
    *p = (struct progress){0};
    enum rc rc = store_comparison_get(tx, id, &p->row, err);
    if (rc == RC_OK) {
        rc = store_replicates(tx, id, &p->replicates, &p->n, err);
    }
    double *logs = rc == RC_OK ? store_alloc(tx, p->n + 1, sizeof(*logs)) : NULL;
    if (rc != RC_OK || !logs) {
        return rc != RC_OK ? rc : err_memory(err);
    }
    p->request = stored_json(p->row.request_json);
    if (!p->request) {
        return err_memory(err);
    }
    p->q = (struct comparison_question){
        .log_ratios = logs,
        .n = p->n,
        .margin = json_number_value(json_object_get(p->request, "margin")),
        .confidence = json_number_value(json_object_get(p->request, "confidence")),
        .time_limit_s = json_number_value(json_object_get(p->request, "time_limit_s"))};
    for (size_t i = 0; i < p->n; i++) {
        logs[i] = p->replicates[i].log_ratio;
        p->q.seconds += p->replicates[i].seconds;
    }
    comparison_decide(&p->q, &p->o);
    return RC_OK;
}

static const char *label_of(const struct progress *p, const char *side) {
    const char *label = json_string_value(json_object_get(json_object_get(p->request, side), "label"));
    return label ? label : side;
}

static json_t *replicates_json(const struct progress *p) {
    json_t *list = json_array();
    for (size_t i = 0; i < p->n; i++) {
        json_t *result = stored_json(p->replicates[i].result_json);
        json_t *model = json_object_get(result, "model"), *reference = json_object_get(result, "reference");
        json_array_append_new(
            list, json_pack("{s:I, s:f, s:O?, s:O?, s:O?, s:O?, s:O?, s:f}", "number",
                            (json_int_t)p->replicates[i].number, "ratio", exp(p->replicates[i].log_ratio),
                            "model_p50_us", json_object_get(model, "p50_us"), "reference_p50_us",
                            json_object_get(reference, "p50_us"), "n", json_object_get(result, "n"),
                            "conditions", json_object_get(result, "conditions"), "repeated",
                            json_object_get(result, "repeated"), "seconds", p->replicates[i].seconds));
        json_decref(result);
    }
    return list;
}

static json_t *ratio_json(const struct progress *p) {
    bool bounded = p->n >= SEQUENTIAL_FIRST;
    return json_pack("{s:o, s:o, s:o}", "value", stored_number(p->n ? p->o.ratio : NAN), "low",
                     stored_number(bounded ? p->o.low : NAN), "high",
                     stored_number(bounded ? p->o.high : NAN));
}

static json_t *error_json(const struct store_comparison *c) {
    return c->error_code ? json_pack("{s:s, s:s?}", "code", c->error_code, "text", c->error_text)
                         : json_null();
}

static enum rc view(const struct progress *p, json_t **ret, struct err *err) {
    char text[2 * WORK_LABEL_SIZE + 400];
    int unsteady = 0;
    for (size_t i = 0; i < p->n; i++) {
        unsteady += !p->replicates[i].stable;
    }
    comparison_text(&p->q, &p->o, label_of(p, "model"), label_of(p, "reference"), text, sizeof(text));
    json_t *tail = stored_json(p->row.result_json);
    json_t *all = json_pack(
        "{s:s, s:s, s:s?, s:s, s:O, s:O, s:s, s:O, s:O, s:O, s:O, s:f}", "id", p->row.id, "state",
        p->row.state, "verdict", p->row.verdict, "summary", text, "model",
        json_object_get(p->request, "model"), "reference", json_object_get(p->request, "reference"),
        "machine_type", p->row.machine_type, "dataset", json_object_get(p->request, "dataset"), "margin",
        json_object_get(p->request, "margin"), "confidence", json_object_get(p->request, "confidence"),
        "time_limit_s", json_object_get(p->request, "time_limit_s"), "seconds", p->q.seconds);
    json_t *more = json_pack(
        "{s:o, s:O?, s:o, s:i, s:o, s:s, s:s, s:o, s:o}", "ratio", ratio_json(p), "p90_ratio",
        json_object_get(tail, "p90_ratio"), "replicates", replicates_json(p), "unstable_replicates", unsteady,
        "error", error_json(&p->row), "test",
        "Student and sign bounds, the wider, valid after every replicate (group sequential, Pocock)",
        "provenance", "measured", "created_at", stored_time(p->row.created_ms), "finished_at",
        stored_time(p->row.finished_ms));
    json_decref(tail);
    bool whole = all && more && json_object_update(all, more) == 0;
    json_decref(more);
    if (!whole) {
        json_decref(all);
        return err_memory(err);
    }
    *ret = all;
    return RC_OK;
}

enum rc comparisons_get(struct jobs *j, const char *id, json_t **ret, struct err *err) {
    struct store_tx *tx;
    struct progress p;
    enum rc rc = store_read_begin(j->store, &tx, err);
    if (rc != RC_OK) {
        return rc;
    }
    rc = progress_read(tx, id, &p, err);
    if (rc == RC_OK) {
        rc = view(&p, ret, err);
    }
    progress_release(&p);
    store_read_end(tx);
    return rc;
}

/* ---- beginning ---- */

enum rc comparison_wish_read(const json_t *object, struct comparison_wish *ret, struct err *err) {
    static const char *const keys[] = {"margin", "time_limit_s", NULL};
    ret->margin = COMPARISON_MARGIN;
    ret->time_limit_s = COMPARISON_TIME_LIMIT_S;
    enum rc rc = object ? json_only_keys(object, keys, err) : RC_OK;
    if (rc == RC_OK && object) {
        rc = json_opt_number(object, "margin", &ret->margin, err);
    }
    if (rc == RC_OK && object) {
        rc = json_opt_number(object, "time_limit_s", &ret->time_limit_s, err);
    }
    if (rc == RC_OK && !(ret->margin >= 0.001 && ret->margin <= 1)) {
        rc = err_set(err, RC_INPUT, "field \"margin\": %g is not between 0.001 and 1 (0.02 is 2 %%)",
                     ret->margin);
    }
    if (rc == RC_OK && !(ret->time_limit_s >= 1 && ret->time_limit_s <= 86400)) {
        rc = err_set(err, RC_INPUT, "field \"time_limit_s\": %g is not between 1 and 86400",
                     ret->time_limit_s);
    }
    return rc;
}

struct beginning {
    struct comparison_wish wish;
    char *id; /* [IDENT_SIZE] */
};

/* Whether it answers "is it slower?", or will: one that ran out of time on the other side of the margin does.
 */
static bool answers(struct store_tx *tx, const struct store_comparison *c) {
    struct progress p;
    struct err none;
    if (is(c->state, "running") || (c->verdict && !is(c->verdict, "undecided"))) {
        return true;
    }
    bool shown = is(c->state, "done") && progress_read(tx, c->id, &p, &none) == RC_OK && p.o.no_slower;
    if (is(c->state, "done")) {
        progress_release(&p);
    }
    return shown;
}

static enum rc begin(struct store_tx *tx, void *user, struct err *err) {
    struct beginning *b = user;
    struct comparison_plan *plan = store_alloc(tx, 1, sizeof(*plan));
    struct store_comparison same;
    struct err none;
    enum rc rc = plan ? comparison_plan_make(tx, &b->wish, plan, err) : err_memory(err);
    if (rc != RC_OK) {
        return rc;
    }
    if (b->wish.reuse && store_comparison_by_key(tx, plan->key, &same, &none) == RC_OK &&
        answers(tx, &same)) {
        snprintf(b->id, IDENT_SIZE, "%s", same.id);
        return RC_OK;
    }
    const struct store_comparison row = {.id = plan->id,
                                         .key = plan->key,
                                         .machine_type = plan->machine_type,
                                         .request_json = plan->request_json,
                                         .spec_json = plan->spec_json};
    snprintf(b->id, IDENT_SIZE, "%s", plan->id);
    return store_comparison_add(tx, &row, plan->files, plan->n_files, err);
}

enum rc comparisons_begin(struct jobs *j, const struct comparison_wish *wish, char id[IDENT_SIZE],
                          struct err *err) {
    struct beginning b = {.wish = *wish, .id = id};
    b.wish.confidence = sequential_confidence(wish->confidence);
    if (isnan(b.wish.confidence)) {
        return err_set(err, RC_INPUT, "a comparison run has a confidence of at most 0.999, not %g",
                       wish->confidence);
    }
    return store_write(j->store, begin, &b, err);
}

static enum rc read_pair(const json_t *body, struct comparison_wish *w, struct err *err) {
    json_t *ids = NULL;
    enum rc rc = json_get_array(body, "configurations", &ids, err);
    if (rc != RC_OK) {
        return rc;
    }
    w->reference = json_string_value(json_array_get(ids, 0));
    w->model = json_string_value(json_array_get(ids, 1));
    return json_array_size(ids) == 2 && w->reference && w->model
               ? RC_OK
               : err_set(
                     err, RC_INPUT,
                     "field \"configurations\" must list two ids (configurations or models) to be measured");
}

enum rc comparisons_start(struct jobs *j, const json_t *body, json_t **ret, struct err *err) {
    static const char *const keys[] = {"configurations", "measure", "dataset", "confidence", NULL};
    struct comparison_wish wish = {.confidence = 0.95};
    char id[IDENT_SIZE];
    json_t *measure = NULL;
    enum rc rc = json_only_keys(body, keys, err);
    if (rc == RC_OK) {
        rc = json_get_object(body, "measure", &measure, err);
    }
    if (rc == RC_OK) {
        rc = comparison_wish_read(measure, &wish, err);
    }
    if (rc == RC_OK) {
        rc = json_opt_string(body, "dataset", &wish.dataset, err);
    }
    if (rc == RC_OK) {
        rc = json_opt_number(body, "confidence", &wish.confidence, err);
    }
    if (rc == RC_OK && !(wish.confidence >= 0.5 && wish.confidence < 1)) {
        rc = err_set(err, RC_INPUT, "field \"confidence\": %g is not between 0.5 and 1", wish.confidence);
    }
    if (rc == RC_OK) {
        rc = read_pair(body, &wish, err);
    }
    if (rc == RC_OK) {
        rc = comparisons_begin(j, &wish, id, err);
    }
    return rc == RC_OK ? comparisons_get(j, id, ret, err) : rc;
}

/* ---- going on ---- */

static void job_key(const char *id, size_t number, char key[KEY_SIZE]) {
    snprintf(key, KEY_SIZE, "compare:%s:%zu", id, number);
}

/* Seeds differ between comparisons and replicates and leave room for a repetition. FNV-1a (Fowler, Noll, Vo).
 */
static int64_t seed_of(const char *id, size_t number) {
    uint64_t hash = UINT64_C(14695981039346656037);
    for (; *id; id++) {
        hash = (hash ^ (unsigned char)*id) * UINT64_C(1099511628211);
    }
    return (int64_t)(hash >> 16) + (int64_t)number * 16;
}

static enum rc add_replicate(struct store_tx *tx, const struct progress *p, const char *key,
                             struct err *err) {
    char id[IDENT_SIZE], label[2 * WORK_LABEL_SIZE + 16];
    struct store_job added;
    json_t *spec = stored_json(p->row.spec_json);
    if (!spec) {
        return err_memory(err);
    }
    ident_random("job", id);
    snprintf(label, sizeof(label), "%s vs %s", label_of(p, "model"), label_of(p, "reference"));
    struct store_job job = {.id = id,
                            .key = key,
                            .kind = "compare",
                            .priority = PRIORITY_COMPARE,
                            .machine_type = p->row.machine_type,
                            .label = label};
    json_object_set_new(spec, "seed", json_integer((json_int_t)seed_of(p->row.id, p->n)));
    enum rc rc = stored_tx_text(tx, spec, &job.spec_json, err);
    if (rc == RC_OK) {
        rc = stored_tx_text(tx, json_pack("{s:s, s:I}", "comparison", p->row.id, "number", (json_int_t)p->n),
                            &job.subject_json, err);
    }
    return rc == RC_OK ? store_job_add(tx, &job, NULL, &added, err) : rc;
}

static enum rc fail(struct store_tx *tx, const struct progress *p, const struct store_job *job,
                    struct err *err) {
    struct store_comparison end = {.id = p->row.id, .state = "failed"};
    end.error_code = job->error_code;
    end.error_text = job->error_text;
    return store_comparison_end(tx, &end, err);
}

struct step {
    const char *id;
    bool ended; /* measured enough: to be finished */
    double confidence;
};

static enum rc advance(struct store_tx *tx, void *user, struct err *err) {
    struct step *s = user;
    struct progress p;
    struct store_job job;
    struct err none;
    char key[KEY_SIZE];
    enum rc rc = progress_read(tx, s->id, &p, err);
    if (rc != RC_OK || !is(p.row.state, "running")) {
        progress_release(&p);
        return rc;
    }
    s->ended = p.o.ended;
    s->confidence = p.q.confidence;
    job_key(s->id, p.n, key);
    if (!s->ended) {
        bool there = store_job_by_key(tx, key, &job, &none) == RC_OK;
        if (!there || is(job.state, "cancelled")) {
            rc = add_replicate(tx, &p, key, err);
        } else if (is(job.state, "failed") || is(job.state, "dead")) {
            rc = fail(tx, &p, &job, err);
        }
    }
    progress_release(&p);
    return rc;
}

struct finish {
    const char *id;
    json_t *tail;
};

static enum rc finish(struct store_tx *tx, void *user, struct err *err) {
    const struct finish *f = user;
    struct progress p;
    struct store_comparison end = {.id = f->id, .state = "done"};
    enum rc rc = progress_read(tx, f->id, &p, err);
    if (rc == RC_OK && p.o.ended && is(p.row.state, "running")) {
        end.verdict = comparison_verdict_name(p.o.verdict);
        rc = stored_tx_text(tx, json_incref(f->tail), &end.result_json, err);
        rc = rc == RC_OK ? store_comparison_end(tx, &end, err) : rc;
    }
    progress_release(&p);
    return rc;
}

static enum rc finish_comparison(struct store *s, const char *id, double confidence, struct err *err) {
    struct finish f = {.id = id};
    enum rc rc = comparison_tail(s, id, confidence, &f.tail, err);
    if (rc == RC_OK) {
        rc = store_write(s, finish, &f, err);
    }
    json_decref(f.tail);
    return rc;
}

static enum rc open_ids(struct store *s, char (**ret)[IDENT_SIZE], size_t *n, struct err *err) {
    struct store_tx *tx;
    const char **ids;
    enum rc rc = store_read_begin(s, &tx, err);
    if (rc != RC_OK) {
        return rc;
    }
    rc = store_comparisons_open(tx, &ids, n, err);
    char(*list)[IDENT_SIZE] = rc == RC_OK ? calloc(*n + 1, sizeof(*list)) : NULL;
    if (rc == RC_OK && !list) {
        rc = err_memory(err);
    }
    for (size_t i = 0; rc == RC_OK && i < *n; i++) {
        snprintf(list[i], IDENT_SIZE, "%s", ids[i]);
    }
    store_read_end(tx);
    *ret = list;
    return rc;
}

enum rc comparisons_advance_all(struct store *s, struct err *err) {
    char(*ids)[IDENT_SIZE] = NULL;
    struct err first = {0};
    size_t n = 0;
    enum rc rc = open_ids(s, &ids, &n, err);
    for (size_t i = 0; rc == RC_OK && i < n; i++) {
        struct step step = {.id = ids[i]};
        struct err why = {0};
        enum rc one = store_write(s, advance, &step, &why);
        if (one == RC_OK && step.ended) {
            one = finish_comparison(s, ids[i], step.confidence, &why);
        }
        if (one != RC_OK && one != RC_CONFLICT && first.rc == RC_OK) {
            first = why; /* the others go on */
        }
    }
    free(ids);
    return rc == RC_OK && first.rc != RC_OK ? err_set(err, first.rc, "%s", first.text) : rc;
}

static enum rc cancel(struct store_tx *tx, void *user, struct err *err) {
    const char *id = user;
    struct store_comparison end = {.id = id, .state = "cancelled"};
    struct progress p;
    char key[KEY_SIZE];
    enum rc rc = progress_read(tx, id, &p, err);
    if (rc == RC_OK) {
        rc = store_comparison_end(tx, &end, err);
    }
    if (rc == RC_OK) {
        job_key(id, p.n, key);
        rc = store_job_cancel_key(tx, key, err);
    }
    progress_release(&p);
    return rc;
}

enum rc comparisons_cancel(struct jobs *j, const char *id, json_t **ret, struct err *err) {
    enum rc rc = store_write(j->store, cancel, (void *)(uintptr_t)id, err);
    return rc == RC_OK ? comparisons_get(j, id, ret, err) : rc;
}
