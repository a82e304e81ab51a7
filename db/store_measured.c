/* Evaluations and profiles (store_work.h). */
#include <math.h>

#include "db/sql.h"
#include "db/store_work.h"

static void read_evaluation(struct sql_rows *r, struct store_evaluation *e) {
    e->id = sql_text(r);
    e->variant = sql_text(r);
    e->dataset = sql_text(r);
    e->split_json = sql_text(r);
    e->primary = sql_text(r);
    e->result_json = sql_text(r);
    e->examples = sql_int(r);
    e->created_ms = sql_int(r);
}

enum rc store_evaluation_add(struct store_tx *tx, const struct store_evaluation *e,
                             const struct store_scores *scores, size_t n, struct err *err) {
    int64_t added = 0;
    enum rc rc =
        sql_run(tx, SQL_EVALUATION_ADD,
                ARGS(TEXT(e->id), TEXT(e->variant), TEXT(e->dataset), TEXT(e->split_json), TEXT(e->primary),
                     INT(e->examples), TEXT(e->result_json), INT(store_tx_now_ms(tx))),
                &added, err);
    for (size_t i = 0; rc == RC_OK && added && i < n; i++) {
        rc = sql_run(tx, SQL_SCORES_ADD,
                     ARGS(TEXT(e->id), TEXT(scores[i].metric), TEXT(scores[i].sha256), INT(scores[i].rows),
                          INT(scores[i].columns)),
                     NULL, err);
    }
    return rc;
}

enum rc store_evaluation_get(struct store_tx *tx, const char *id, struct store_evaluation *ret,
                             struct err *err) {
    struct sql_rows rows;
    enum rc rc = sql_first(tx, SQL_EVALUATION_GET, ARGS(TEXT(id)), "evaluation", id, &rows, err);
    if (rc != RC_OK) {
        return rc;
    }
    read_evaluation(&rows, ret);
    return sql_end(&rows, err);
}

enum rc store_evaluation_scores(struct store_tx *tx, const char *id, struct store_scores **ret, size_t *n,
                                struct err *err) {
    struct sql_rows rows;
    void *items = NULL;
    size_t count = 0;
    sql_query(tx, SQL_SCORES_OF, ARGS(TEXT(id)), &rows);
    while (sql_next(&rows)) {
        struct store_scores *s = sql_grow(&rows, &items, count, sizeof(*s));
        if (s) {
            s->metric = sql_text(&rows);
            s->sha256 = sql_text(&rows);
            s->rows = sql_int(&rows);
            s->columns = sql_int(&rows);
            count++;
        }
    }
    *ret = items;
    *n = count;
    return sql_end(&rows, err);
}

enum rc store_evaluations_of_variant(struct store_tx *tx, const char *variant, struct store_evaluation **ret,
                                     size_t *n, struct err *err) {
    struct sql_rows rows;
    void *items = NULL;
    size_t count = 0;
    sql_query(tx, SQL_EVALUATIONS_OF_VARIANT, ARGS(TEXT(variant)), &rows);
    while (sql_next(&rows)) {
        struct store_evaluation *e = sql_grow(&rows, &items, count, sizeof(*e));
        if (e) {
            read_evaluation(&rows, e);
            count++;
        }
    }
    *ret = items;
    *n = count;
    return sql_end(&rows, err);
}

enum rc store_accuracy_put(struct store_tx *tx, const char *evaluation, const char *baseline,
                           const struct store_accuracy *a, struct err *err) {
    return sql_run(tx, SQL_ACCURACY_PUT,
                   ARGS(TEXT(evaluation), TEXT(baseline), TEXT(a->metric), BYTES(a->packed, a->size)), NULL,
                   err);
}

enum rc store_accuracies(struct store_tx *tx, const char *evaluation, const char *baseline,
                         struct store_accuracy **ret, size_t *n, struct err *err) {
    struct sql_rows rows;
    void *items = NULL;
    size_t count = 0;
    sql_query(tx, SQL_ACCURACIES_OF, ARGS(TEXT(evaluation), TEXT(baseline)), &rows);
    while (sql_next(&rows)) {
        struct store_accuracy *a = sql_grow(&rows, &items, count, sizeof(*a));
        if (a) {
            a->metric = sql_text(&rows);
            a->packed = sql_bytes(&rows, &a->size);
            count++;
        }
    }
    *ret = items;
    *n = count;
    return sql_end(&rows, err);
}

static enum rc add_figures(struct store_tx *tx, const char *profile, const struct store_figures *f,
                           struct err *err) {
    return sql_run(tx, SQL_FIGURES_ADD,
                   ARGS(TEXT(profile), TEXT(f->scenario), REAL(f->confidence),
                        BYTES(f->latency, f->latency_size), REAL(f->per_s), REAL(f->low), REAL(f->high),
                        REAL(f->log_error), INT(f->freedom)),
                   NULL, err);
}

enum rc store_profile_add(struct store_tx *tx, const struct store_profile *p,
                          const struct store_profile_parts *parts, struct err *err) {
    int64_t added = 0;
    enum rc rc = sql_run(
        tx, SQL_PROFILE_ADD,
        ARGS(TEXT(p->id), TEXT(p->configuration), isnan(p->memory_mib) ? TEXT(NULL) : REAL(p->memory_mib),
             TEXT(p->result_json), INT(store_tx_now_ms(tx)), TEXT(p->unstable),
             p->instructions > 0 ? REAL(p->instructions) : TEXT(NULL), TEXT(p->instructions_by)),
        &added, err);
    if (rc != RC_OK || !added) {
        return rc;
    }
    for (size_t i = 0; rc == RC_OK && i < parts->n_samples; i++) {
        const struct store_samples *s = &parts->samples[i];
        rc = sql_run(tx, SQL_SAMPLES_ADD, ARGS(TEXT(p->id), TEXT(s->scenario), TEXT(s->sha256), INT(s->n)),
                     NULL, err);
    }
    for (size_t i = 0; rc == RC_OK && i < parts->n_figures; i++) {
        rc = add_figures(tx, p->id, &parts->figures[i], err);
    }
    for (size_t i = 0; rc == RC_OK && i < parts->n_counters; i++) {
        const struct store_counter *c = &parts->counters[i];
        rc = sql_run(tx, SQL_COUNTER_ADD, ARGS(TEXT(p->id), TEXT(c->name), REAL(c->value)), NULL, err);
    }
    return rc;
}

static void read_profile(struct sql_rows *r, struct store_profile *p) {
    p->id = sql_text(r);
    p->configuration = sql_text(r);
    p->result_json = sql_text(r);
    p->created_ms = sql_int(r);
}

enum rc store_profile_get(struct store_tx *tx, const char *id, struct store_profile *ret, struct err *err) {
    struct sql_rows rows;
    enum rc rc = sql_first(tx, SQL_PROFILE_GET, ARGS(TEXT(id)), "profile", id, &rows, err);
    if (rc != RC_OK) {
        return rc;
    }
    read_profile(&rows, ret);
    return sql_end(&rows, err);
}

enum rc store_profiles_of_configuration(struct store_tx *tx, const char *configuration,
                                        struct store_profile **ret, size_t *n, struct err *err) {
    struct sql_rows rows;
    void *items = NULL;
    size_t count = 0;
    sql_query(tx, SQL_PROFILES_OF_CONFIGURATION, ARGS(TEXT(configuration)), &rows);
    while (sql_next(&rows)) {
        struct store_profile *p = sql_grow(&rows, &items, count, sizeof(*p));
        if (p) {
            read_profile(&rows, p);
            count++;
        }
    }
    *ret = items;
    *n = count;
    return sql_end(&rows, err);
}

enum rc store_profile_samples(struct store_tx *tx, const char *id, const char *scenario,
                              struct store_samples *ret, struct err *err) {
    struct sql_rows rows;
    enum rc rc =
        sql_first(tx, SQL_SAMPLES_OF, ARGS(TEXT(id), TEXT(scenario)), "scenario", scenario, &rows, err);
    if (rc != RC_OK) {
        return rc;
    }
    ret->scenario = sql_text(&rows);
    ret->sha256 = sql_text(&rows);
    ret->n = sql_int(&rows);
    return sql_end(&rows, err);
}

static void read_figures(struct sql_rows *r, struct store_figures *f) {
    f->scenario = sql_text(r);
    f->confidence = sql_real(r);
    f->latency = sql_bytes(r, &f->latency_size);
    f->per_s = sql_real(r);
    f->low = sql_real(r);
    f->high = sql_real(r);
    f->log_error = sql_real(r);
    f->freedom = sql_int(r);
}

enum rc store_profile_figures(struct store_tx *tx, const char *id, const char *scenario, double confidence,
                              struct store_figures *ret, struct err *err) {
    struct sql_rows rows;
    enum rc rc = sql_first(tx, SQL_FIGURES_OF, ARGS(TEXT(id), TEXT(scenario), REAL(confidence)), "scenario",
                           scenario, &rows, err);
    if (rc != RC_OK) {
        return rc;
    }
    read_figures(&rows, ret);
    return sql_end(&rows, err);
}

enum rc store_profile_counters(struct store_tx *tx, const char *id, struct store_counter **ret, size_t *n,
                               struct err *err) {
    struct sql_rows rows;
    void *items = NULL;
    size_t count = 0;
    sql_query(tx, SQL_COUNTERS_OF, ARGS(TEXT(id)), &rows);
    while (sql_next(&rows)) {
        struct store_counter *c = sql_grow(&rows, &items, count, sizeof(*c));
        if (c) {
            c->name = sql_text(&rows);
            c->value = sql_real(&rows);
            count++;
        }
    }
    *ret = items;
    *n = count;
    return sql_end(&rows, err);
}

static void read_measured(struct sql_rows *r, struct store_measured *m) {
    struct store_configuration *c = &m->configuration;
    c->id = sql_text(r);
    c->variant = sql_text(r);
    c->machine_type = sql_text(r);
    c->instances = sql_int(r);
    c->threads = sql_int(r);
    c->batch = sql_int(r);
    c->created_ms = sql_int(r);
    m->profile = sql_text(r);
    bool known = !sql_is_null(r);
    m->memory_mib = sql_real(r);
    if (!known) {
        m->memory_mib = NAN;
    }
    m->unstable = sql_text(r);
    m->instructions = sql_real(r); /* 0 for NULL */
    m->instructions_by = sql_text(r);
    read_figures(r, &m->figures);
}

enum rc store_measured_of_variant(struct store_tx *tx, const char *variant, const char *scenario,
                                  double confidence, struct store_measured **ret, size_t *n,
                                  struct err *err) {
    struct sql_rows rows;
    void *items = NULL;
    size_t count = 0;
    sql_query(tx, SQL_MEASURED_OF_VARIANT, ARGS(TEXT(variant), TEXT(scenario), REAL(confidence)), &rows);
    while (sql_next(&rows)) {
        struct store_measured *m = sql_grow(&rows, &items, count, sizeof(*m));
        if (m) {
            read_measured(&rows, m);
            count++;
        }
    }
    *ret = items;
    *n = count;
    return sql_end(&rows, err);
}
