#include "advisor/jobs/figures.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "advisor/jobs/stored_json.h"
#include "core/base/checked.h"
#include "core/base/json.h"
#include "core/stats/bootstrap.h"
#include "db/store_blobs.h"

enum { FILE_BYTES_MAX = 512 * 1024 * 1024, PACKED_BYTES_MAX = 1024 * 1024 };

/* The floats of a file that must hold exactly `n` of them. free() *ret. */
static enum rc read_floats(struct store *s, const char *sha256, size_t n, float **ret, struct err *err) {
    char *data;
    size_t size;
    enum rc rc = store_blob_read(s, sha256, FILE_BYTES_MAX, &data, &size, err);
    if (rc != RC_OK) {
        return rc;
    }
    if (size != n * sizeof(float)) {
        free(data);
        return err_set(err, RC_INPUT, "the file %s has %zu bytes instead of %zu", sha256, size,
                       n * sizeof(float));
    }
    *ret = (float *)(void *)data;
    return RC_OK;
}

static enum rc scores_count(const struct store_scores *sc, size_t *ret, struct err *err) {
    size_t n;
    if (sc->rows < 1 || sc->columns < 1 || checked_mul((size_t)sc->rows, (size_t)sc->columns, &n) ||
        checked_mul(n, 2, &n) || n > FILE_BYTES_MAX / sizeof(float)) {
        return err_set(err, RC_INPUT, "the scores of %.32s have an impossible shape", sc->metric);
    }
    *ret = n;
    return RC_OK;
}

static enum rc read_scores(struct store *s, const struct store_scores *sc, float **ret, struct err *err) {
    size_t n = 0;
    enum rc rc = scores_count(sc, &n, err);
    return rc == RC_OK ? read_floats(s, sc->sha256, n, ret, err) : rc;
}

enum rc figures_check_scores(struct store *s, const struct store_scores *scores, struct err *err) {
    float *values;
    size_t n = 0;
    if (metric_from_name(scores->metric) == METRIC_COUNT) {
        return err_set(err, RC_INPUT, "the worker reports scores of an unknown metric \"%.32s\"",
                       scores->metric);
    }
    enum rc rc = scores_count(scores, &n, err);
    if (rc == RC_OK) {
        rc = read_floats(s, scores->sha256, n, &values, err);
    }
    if (rc != RC_OK) {
        return rc;
    }
    for (size_t i = 0; i < n && rc == RC_OK; i++) {
        if (!isfinite(values[i])) {
            rc = err_set(err, RC_INPUT, "the scores of %s hold a value that is not finite", scores->metric);
        }
    }
    if (rc == RC_OK) {
        double metric = NAN;
        bool exponential = metric_is_exponential(metric_from_name(scores->metric));
        rc = bootstrap_metric(values, (size_t)scores->rows, (size_t)scores->columns, exponential, &metric,
                              err);
    }
    free(values);
    return rc;
}

static const struct store_scores *scores_of(const struct store_scores *all, size_t n, const char *metric) {
    for (size_t i = 0; i < n; i++) {
        if (strcmp(all[i].metric, metric) == 0) {
            return &all[i];
        }
    }
    return NULL;
}

/* Copies that outlive the transaction. */
struct score_list {
    struct store_scores *items;
    size_t n;
    char *text; /* the strings of the items */
};

static void score_list_free(struct score_list *l) {
    free(l->items);
    free(l->text);
}

static enum rc copy_scores(const struct store_scores *rows, size_t n, struct score_list *ret,
                           struct err *err) {
    enum { METRIC_SIZE = 32, SHA_SIZE = 65 };
    struct score_list l = {calloc(n + 1, sizeof(*l.items)), n, calloc(n + 1, METRIC_SIZE + SHA_SIZE)};
    if (!l.items || !l.text) {
        score_list_free(&l);
        return err_memory(err);
    }
    for (size_t i = 0; i < n; i++) {
        char *metric = l.text + i * (METRIC_SIZE + SHA_SIZE), *sha256 = metric + METRIC_SIZE;
        snprintf(metric, METRIC_SIZE, "%s", rows[i].metric);
        snprintf(sha256, SHA_SIZE, "%s", rows[i].sha256);
        l.items[i] = (struct store_scores){metric, sha256, rows[i].rows, rows[i].columns};
    }
    *ret = l;
    return RC_OK;
}

void figures_primary_first(struct store_scores *items, size_t n, const char *primary) {
    for (size_t i = 1; i < n; i++) {
        if (strcmp(items[i].metric, primary) == 0) {
            struct store_scores first = items[0];
            items[0] = items[i];
            items[i] = first;
        }
    }
}

static enum rc load_list(struct store_tx *tx, const char *evaluation, struct score_list *ret,
                         struct err *err) {
    struct store_evaluation e;
    struct store_scores *rows;
    size_t n;
    enum rc rc = store_evaluation_get(tx, evaluation, &e, err);
    if (rc == RC_OK) {
        rc = store_evaluation_scores(tx, evaluation, &rows, &n, err);
    }
    if (rc != RC_OK) {
        return rc;
    }
    figures_primary_first(rows, n, e.primary);
    return copy_scores(rows, n, ret, err);
}

static enum rc unpack_all(const struct store_accuracy *rows, size_t n, struct figures_accuracies *ret,
                          struct err *err) {
    struct figures_accuracies a = {calloc(n + 1, sizeof(*a.items)), 0};
    enum rc rc = a.items ? RC_OK : err_memory(err);
    while (rc == RC_OK && a.n < n) {
        rc = accuracy_unpack(rows[a.n].packed, rows[a.n].size, &a.items[a.n], err);
        a.n += rc == RC_OK;
    }
    if (rc != RC_OK) {
        figures_accuracies_release(&a);
        return rc;
    }
    *ret = a;
    return RC_OK;
}

/* What is stored; *complete tells whether that is all metrics. Otherwise the lists say what to compute from.
 */
static enum rc load_stored(struct store *s, const char *evaluation, const char *baseline,
                           struct figures_accuracies *ret, bool *complete, struct score_list *scores,
                           struct score_list *base, struct err *err) {
    struct store_tx *tx;
    struct store_accuracy *rows;
    size_t n = 0;
    enum rc rc = store_read_begin(s, &tx, err);
    if (rc != RC_OK) {
        return rc;
    }
    rc = load_list(tx, evaluation, scores, err);
    if (rc == RC_OK) {
        rc = store_accuracies(tx, evaluation, baseline, &rows, &n, err);
    }
    *complete = rc == RC_OK && n == scores->n;
    if (*complete) {
        rc = unpack_all(rows, n, ret, err);
    } else if (rc == RC_OK && *baseline) {
        rc = load_list(tx, baseline, base, err);
    }
    store_read_end(tx);
    return rc;
}

/* Scores of one metric, with those of the baseline where it has the same examples. */
static enum rc summarise(struct store *s, const struct store_scores *mine, const struct store_scores *base,
                         struct accuracy *ret, struct err *err) {
    float *values = NULL, *against = NULL;
    enum metric metric = metric_from_name(mine->metric);
    enum rc rc =
        metric == METRIC_COUNT ? err_set(err, RC_INPUT, "unknown metric \"%s\"", mine->metric) : RC_OK;
    if (rc == RC_OK) {
        rc = read_scores(s, mine, &values, err);
    }
    bool pairs = base && base->rows == mine->rows && base->columns == mine->columns;
    if (rc == RC_OK && pairs && metric != METRIC_AGREEMENT && metric != METRIC_KLD) {
        rc = read_scores(s, base, &against, err);
    }
    if (rc == RC_OK) {
        rc = accuracy_summarise(metric, values, against, (size_t)mine->rows, (size_t)mine->columns, ret, err);
    }
    free(values);
    free(against);
    return rc;
}

struct put {
    const char *evaluation, *baseline;
    struct store_accuracy row;
};

static enum rc put_accuracy(struct store_tx *tx, void *user, struct err *err) {
    const struct put *p = user;
    return store_accuracy_put(tx, p->evaluation, p->baseline, &p->row, err);
}

static enum rc keep(struct store *s, const char *evaluation, const char *baseline, const struct accuracy *a,
                    struct err *err) {
    struct buf packed;
    buf_init(&packed, PACKED_BYTES_MAX);
    enum rc rc = accuracy_pack(a, &packed, err);
    if (rc == RC_OK) {
        struct put p = {evaluation, baseline, {metric_name(a->metric), packed.data, packed.size}};
        rc = store_write(s, put_accuracy, &p, err);
    }
    buf_free(&packed);
    return rc;
}

static enum rc compute_all(struct store *s, const struct store_scores *scores, size_t n,
                           const struct score_list *base, struct figures_accuracies *ret, struct err *err) {
    struct figures_accuracies a = {calloc(n + 1, sizeof(*a.items)), 0};
    enum rc rc = a.items ? RC_OK : err_memory(err);
    while (rc == RC_OK && a.n < n) {
        rc = summarise(s, &scores[a.n], scores_of(base->items, base->n, scores[a.n].metric), &a.items[a.n],
                       err);
        a.n += rc == RC_OK;
    }
    if (rc != RC_OK) {
        figures_accuracies_release(&a);
        return rc;
    }
    *ret = a;
    return RC_OK;
}

static enum rc compute_and_keep(struct store *s, const char *evaluation, const char *baseline,
                                const struct score_list *scores, const struct score_list *base,
                                struct figures_accuracies *ret, struct err *err) {
    enum rc rc = compute_all(s, scores->items, scores->n, base, ret, err);
    if (rc != RC_OK) {
        return rc;
    }
    for (size_t i = 0; rc == RC_OK && i < ret->n; i++) {
        rc = keep(s, evaluation, baseline, &ret->items[i], err);
    }
    if (rc != RC_OK) {
        figures_accuracies_release(ret);
    }
    return rc;
}

enum rc figures_summarise(struct store *s, const struct store_scores *scores, size_t n, const char *baseline,
                          struct figures_accuracies *ret, struct err *err) {
    struct score_list base = {0};
    struct store_tx *tx;
    enum rc rc = RC_OK;
    if (*baseline) {
        rc = store_read_begin(s, &tx, err);
        if (rc == RC_OK) {
            rc = load_list(tx, baseline, &base, err);
            store_read_end(tx);
        }
    }
    if (rc == RC_OK) {
        rc = compute_all(s, scores, n, &base, ret, err);
    }
    score_list_free(&base);
    return rc;
}

enum rc figures_accuracies(struct store *s, const char *evaluation, const char *baseline,
                           struct figures_accuracies *ret, struct err *err) {
    struct score_list scores = {0}, base = {0};
    bool complete = false;
    enum rc rc = load_stored(s, evaluation, baseline, ret, &complete, &scores, &base, err);
    if (rc == RC_OK && !complete) {
        rc = compute_and_keep(s, evaluation, baseline, &scores, &base, ret, err);
    }
    score_list_free(&scores);
    score_list_free(&base);
    return rc;
}

void figures_accuracies_release(struct figures_accuracies *a) {
    for (size_t i = 0; i < a->n; i++) {
        accuracy_free(&a->items[i]);
    }
    free(a->items);
    *a = (struct figures_accuracies){0};
}

/* ---- latency and throughput ---- */

enum rc figures_rate_read(const json_t *scenario, enum scenario_kind kind, struct figures_rate *ret,
                          struct err *err) {
    *ret = (struct figures_rate){NAN, NAN};
    enum rc rc = json_get_number(scenario, "throughput_per_s", &ret->per_s, err);
    if (rc == RC_OK && kind == SCENARIO_SERVER) {
        rc = json_get_number(scenario, "unmet_per_s", &ret->unmet_per_s, err);
    }
    return rc;
}

/* What the worker stated, from a profile that is stored. `stored_name` as in the store: "server p99<=5ms". */
static enum rc stated_rate(const char *result_json, const char *stored_name, struct figures_rate *ret,
                           struct err *err) {
    const char *server = scenario_name(SCENARIO_SERVER);
    bool is_server = strncmp(stored_name, server, strlen(server)) == 0;
    enum scenario_kind kind = SCENARIO_SERVER;
    enum rc rc = is_server ? RC_OK : scenario_parse(stored_name, &kind, err);
    json_t *result = stored_json(result_json);
    if (rc == RC_OK) {
        rc = figures_rate_read(json_object_get(json_object_get(result, "scenarios"), scenario_name(kind)),
                               kind, ret, err);
    }
    json_decref(result);
    return rc;
}

/* A closed loop's throughput has the error of its samples; a server's lies in the bracket of its search. */
static enum rc throughput_of(const struct figures_rate *rate, const float *samples, size_t n,
                             double confidence, struct throughput *ret, struct err *err) {
    return isnan(rate->unmet_per_s)
               ? throughput_from_samples(rate->per_s, samples, n, confidence, ret, err)
               : throughput_from_bracket(rate->per_s, rate->unmet_per_s, confidence, ret, err);
}

enum rc figures_from_samples(struct store *s, const char *sha256, size_t n, const struct figures_rate *rate,
                             double confidence, struct figures_scenario *ret, struct err *err) {
    float *samples;
    struct figures_scenario f;
    enum rc rc = n > 0 && n <= FILE_BYTES_MAX / sizeof(float)
                     ? read_floats(s, sha256, n, &samples, err)
                     : err_set(err, RC_INPUT, "%zu samples are not possible", n);
    if (rc != RC_OK) {
        return rc;
    }
    rc = latency_summarise(samples, n, confidence, &f.latency, err);
    if (rc == RC_OK) {
        rc = throughput_of(rate, samples, n, confidence, &f.throughput, err);
    }
    free(samples);
    if (rc == RC_OK) {
        *ret = f;
    }
    return rc;
}

enum rc figures_unpack(const struct store_figures *row, struct figures_scenario *ret, struct err *err) {
    ret->throughput = (struct throughput){.per_s = row->per_s,
                                          .low = row->low,
                                          .high = row->high,
                                          .log_error = row->log_error,
                                          .freedom = (uint32_t)row->freedom};
    return latency_unpack(row->latency, row->latency_size, &ret->latency, err);
}

enum rc figures_scenario(struct store *s, const char *profile, const char *scenario, double confidence,
                         struct figures_scenario *ret, struct err *err) {
    struct store_tx *tx;
    struct store_figures row;
    struct store_samples samples;
    struct store_profile p;
    char sha256[65];
    struct figures_rate rate = {NAN, NAN};
    enum rc rc = store_read_begin(s, &tx, err);
    if (rc != RC_OK) {
        return rc;
    }
    rc = store_profile_figures(tx, profile, scenario, confidence, &row, err);
    bool stored = rc == RC_OK;
    if (stored) {
        rc = figures_unpack(&row, ret, err);
    } else if (rc == RC_NOT_FOUND) {
        rc = store_profile_samples(tx, profile, scenario, &samples, err);
    }
    if (!stored && rc == RC_OK) {
        rc = store_profile_get(tx, profile, &p, err);
    }
    if (!stored && rc == RC_OK) {
        snprintf(sha256, sizeof(sha256), "%s", samples.sha256);
        rc = stated_rate(p.result_json, scenario, &rate, err);
    }
    store_read_end(tx);
    return stored || rc != RC_OK
               ? rc
               : figures_from_samples(s, sha256, (size_t)samples.n, &rate, confidence, ret, err);
}
