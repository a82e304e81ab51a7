#include "advisor/jobs/completion.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "advisor/jobs/figures.h"
#include "advisor/jobs/stored_json.h"
#include "advisor/jobs/study_events.h"
#include "advisor/jobs/submitted_files.h"
#include "core/base/json.h"
#include "core/base/scenario_name.h"
#include "db/store_blobs.h"
#include "db/store_comparisons.h"
#include "db/store_work.h"

enum {
    RESULT_BYTES_MAX = 4 * 1024 * 1024,
    LISTS_MAX = 64,
    PACKED_MAX = 1024 * 1024,
    TEXT_SIZE = 400,
};

struct completion {
    json_t *result, *subject; /* owned */
    char *result_text, *split_text;
    char text[TEXT_SIZE];     /* of the step event */
    char unstable[TEXT_SIZE]; /* why the machine was not steady; "" = it was */

    struct store_file files[LISTS_MAX]; /* compress; strings belong to `listed` */
    struct store_scores scores[LISTS_MAX];
    struct store_samples samples[LISTS_MAX];
    struct store_figures figures[LISTS_MAX];
    struct store_counter counters[LISTS_MAX];
    struct store_accuracy accuracies[LISTS_MAX];
    size_t n_files, n_scores, n_samples, n_figures, n_counters, n_accuracies;
    struct buf packed[LISTS_MAX];
    json_t *listed; /* owned copy of "files" */
};

static const char *subject(const struct completion *c, const char *key) {
    return json_string_value(json_object_get(c->subject, key));
}

/* ---- files ---- */

static enum rc check_file(struct store *s, const json_t *entry, struct store_file *ret, struct err *err) {
    int64_t bytes = 0;
    uint64_t stored = 0;
    enum rc rc = json_get_string(entry, "path", &ret->path, err);
    if (rc == RC_OK) {
        rc = json_get_string(entry, "sha256", &ret->sha256, err);
    }
    if (rc == RC_OK) {
        rc = json_get_int(entry, "bytes", 0, INT64_MAX, &bytes, err);
    }
    if (rc == RC_OK && !submitted_path_is_plain(ret->path)) {
        rc = err_set(err, RC_INPUT, "the path \"%.100s\" is not a plain relative one", ret->path);
    }
    if (rc == RC_OK) {
        rc = store_blob_stat(s, ret->sha256, &stored, err);
    }
    if (rc == RC_NOT_FOUND || (rc == RC_OK && stored != (uint64_t)bytes)) {
        rc = err_set(err, RC_INPUT, "the file \"%.100s\" was not uploaded, or with another size", ret->path);
    }
    ret->bytes = bytes;
    return rc;
}

static enum rc read_files(struct store *s, const json_t *files, struct completion *c, struct err *err) {
    size_t i;
    const json_t *entry;
    if (json_array_size(files) > LISTS_MAX) {
        return err_set(err, RC_INPUT, "the result has more than %d files", (int)LISTS_MAX);
    }
    c->listed = files ? json_deep_copy(files) : json_array();
    if (!c->listed) {
        return err_memory(err);
    }
    json_array_foreach(c->listed, i, entry) {
        enum rc rc = check_file(s, entry, &c->files[i], err);
        if (rc != RC_OK) {
            return rc;
        }
        c->n_files++;
    }
    return RC_OK;
}

static const struct store_file *find_file(const struct completion *c, const char *path, struct err *err) {
    for (size_t i = 0; i < c->n_files; i++) {
        if (strcmp(c->files[i].path, path) == 0) {
            return &c->files[i];
        }
    }
    err_set(err, RC_INPUT, "the result names the file \"%.100s\" and did not deliver it", path);
    return NULL;
}

/* ---- one kind each ---- */

static enum rc read_inspect(struct completion *c, struct err *err) {
    int64_t examples = 0;
    enum rc rc = json_get_int(c->result, "examples", 1, INT64_C(1) << 40, &examples, err);
    const char *labels = "";
    if (rc == RC_OK) {
        rc = json_opt_string(c->result, "labels", &labels, err);
    }
    if (rc == RC_OK) {
        const char *with = strcmp(labels, "example") == 0    ? " with labels"
                           : strcmp(labels, "position") == 0 ? " with labels for every position"
                                                             : "";
        snprintf(c->text, sizeof(c->text), "inspected: %lld examples%s", (long long)examples, with);
    }
    return rc;
}

static void bytes_text(double bytes, char *text, size_t size) {
    static const char *const units[] = {"B", "kB", "MB", "GB"};
    int unit = 0;
    while (bytes >= 1000 && unit < 3) {
        bytes /= 1000;
        unit++;
    }
    snprintf(text, size, unit == 0 ? "%.0f %s" : "%.2f %s", bytes, units[unit]);
}

static enum rc read_compress(struct completion *c, const struct store_job *job, struct err *err) {
    char size[32];
    double seconds = 0;
    if (c->n_files == 0) {
        return err_set(err, RC_INPUT, "the result has no file: the first one must be the compressed model");
    }
    enum rc rc = json_opt_number(c->result, "seconds", &seconds, err);
    if (rc != RC_OK) {
        return rc;
    }
    double bytes = 0;
    for (size_t i = 0; i < c->n_files; i++) {
        bytes += (double)c->files[i].bytes;
    }
    bytes_text(bytes, size, sizeof(size));
    snprintf(c->text, sizeof(c->text), "%s: %s, made in %.1f s", job->label, size, seconds);
    return RC_OK;
}

static enum rc read_one_score(struct store *s, struct completion *c, const json_t *entry, struct err *err) {
    struct store_scores *sc = &c->scores[c->n_scores];
    const char *path = NULL;
    enum rc rc = json_get_string(entry, "metric", &sc->metric, err);
    if (rc == RC_OK) {
        rc = json_get_string(entry, "path", &path, err);
    }
    if (rc == RC_OK) {
        rc = json_get_int(entry, "rows", 1, INT64_C(1) << 31, &sc->rows, err);
    }
    if (rc == RC_OK) {
        rc = json_get_int(entry, "columns", 1, 1 << 20, &sc->columns, err);
    }
    if (rc != RC_OK) {
        return rc;
    }
    for (size_t i = 0; i < c->n_scores; i++) {
        if (strcmp(c->scores[i].metric, sc->metric) == 0) {
            return err_set(err, RC_INPUT, "the metric %.32s is reported twice", sc->metric);
        }
    }
    const struct store_file *f = find_file(c, path, err);
    if (!f) {
        return RC_INPUT;
    }
    sc->sha256 = f->sha256;
    c->n_scores++;
    return figures_check_scores(s, sc, err);
}

static const char *paired_with(const struct completion *c) {
    const char *baseline = subject(c, "baseline_evaluation");
    return !baseline || strcmp(baseline, subject(c, "evaluation")) == 0 ? "" : baseline;
}

/* Summaries beside the baseline, where that is known already; otherwise they are made when a decision asks.
 */
static enum rc add_accuracies(struct store *s, struct completion *c, struct err *err) {
    struct figures_accuracies a;
    struct err missing;
    enum rc rc = figures_summarise(s, c->scores, c->n_scores, paired_with(c), &a, &missing);
    if (rc != RC_OK) {
        return rc == RC_NOT_FOUND ? RC_OK : err_set(err, rc, "%s", missing.text);
    }
    for (size_t i = 0; rc == RC_OK && i < a.n; i++) {
        struct buf *packed = &c->packed[i];
        buf_init(packed, PACKED_MAX);
        rc = accuracy_pack(&a.items[i], packed, err);
        c->accuracies[c->n_accuracies++] =
            (struct store_accuracy){metric_name(a.items[i].metric), packed->data, packed->size};
    }
    figures_accuracies_release(&a);
    return rc;
}

static enum rc read_evaluate(struct store *s, struct completion *c, const struct store_job *job,
                             struct err *err) {
    json_t *scores, *metrics, *entry;
    const char *primary = NULL;
    size_t i;
    double value = NAN;
    enum rc rc = json_get_array(c->result, "scores", &scores, err);
    if (rc == RC_OK) {
        rc = json_get_object(c->result, "metrics", &metrics, err);
    }
    if (rc == RC_OK) {
        rc = json_get_string(c->result, "primary", &primary, err);
    }
    if (rc == RC_OK) {
        rc = json_get_number(metrics, primary, &value, err);
    }
    if (rc == RC_OK && json_array_size(scores) > LISTS_MAX) {
        rc = err_set(err, RC_INPUT, "the result has more than %d metrics", (int)LISTS_MAX);
    }
    if (rc != RC_OK) {
        return rc;
    }
    bool has_primary = false;
    json_array_foreach(scores, i, entry) {
        rc = read_one_score(s, c, entry, err);
        if (rc != RC_OK) {
            return rc;
        }
        has_primary = has_primary || strcmp(c->scores[c->n_scores - 1].metric, primary) == 0;
    }
    if (!has_primary) {
        return err_set(err, RC_INPUT, "the result has no scores of its primary metric \"%.32s\"", primary);
    }
    snprintf(c->text, sizeof(c->text), "%s: %s %.4f", job->label, primary, value);
    figures_primary_first(c->scores, c->n_scores, primary);
    rc = stored_text(json_object_get(c->subject, "split"), &c->split_text, err);
    return rc == RC_OK ? add_accuracies(s, c, err) : rc;
}

static enum rc add_figures(struct store *s, struct completion *c, const struct store_samples *sample,
                           const struct figures_rate *rate, struct err *err) {
    for (size_t i = 0; i < LATENCY_CONFIDENCE_COUNT; i++) {
        struct figures_scenario f;
        struct buf *packed = &c->packed[c->n_figures];
        enum rc rc =
            figures_from_samples(s, sample->sha256, (size_t)sample->n, rate, LATENCY_CONFIDENCES[i], &f, err);
        buf_init(packed, PACKED_MAX);
        if (rc == RC_OK) {
            rc = latency_pack(&f.latency, packed, err);
        }
        if (rc != RC_OK) {
            return rc;
        }
        c->figures[c->n_figures++] = (struct store_figures){.scenario = sample->scenario,
                                                            .confidence = LATENCY_CONFIDENCES[i],
                                                            .latency = packed->data,
                                                            .latency_size = packed->size,
                                                            .per_s = f.throughput.per_s,
                                                            .low = f.throughput.low,
                                                            .high = f.throughput.high,
                                                            .log_error = f.throughput.log_error,
                                                            .freedom = f.throughput.freedom};
    }
    return RC_OK;
}

static enum rc read_scenario(struct store *s, struct completion *c, const char *name, const json_t *scenario,
                             struct err *err) {
    const char *path = NULL;
    enum scenario_kind kind;
    struct figures_rate rate;
    int64_t n = 0;
    enum rc rc = scenario_parse(name, &kind, err);
    if (rc == RC_OK) {
        rc = json_get_string(scenario, "samples", &path, err);
    }
    if (rc == RC_OK) {
        rc = figures_rate_read(scenario, kind, &rate, err);
    }
    if (rc == RC_OK) {
        rc = json_get_int(scenario, "n", 1, INT64_C(1) << 31, &n, err);
    }
    if (rc != RC_OK) {
        return rc;
    }
    const struct store_file *f = find_file(c, path, err);
    if (!f) {
        return RC_INPUT;
    }
    /* a server's figures are those of the budgets that the job was given */
    const char *kept = kind == SCENARIO_SERVER ? subject(c, "server") : scenario_name(kind);
    if (!kept || !*kept) {
        return err_set(err, RC_INPUT, "the result has a scenario \"%.32s\" that was not asked for", name);
    }
    struct store_samples *sample = &c->samples[c->n_samples++];
    *sample = (struct store_samples){kept, f->sha256, f->bytes / (int64_t)sizeof(float)};
    return sample->n == n
               ? add_figures(s, c, sample, &rate, err)
               : err_set(err, RC_INPUT, "scenario %s: %lld samples are reported and the file holds %lld",
                         kept, (long long)n, (long long)sample->n);
}

static void read_counters(struct completion *c) {
    const char *name;
    json_t *value, *counters = json_object_get(c->result, "counters");
    json_object_foreach(json_object_get(counters, "per_inference"), name, value) {
        if (c->n_counters < LISTS_MAX && json_is_number(value) && isfinite(json_number_value(value))) {
            c->counters[c->n_counters++] = (struct store_counter){name, json_number_value(value)};
        }
    }
}

/* The mark of a machine that was not steady: the worker's reasons in one text. */
static void read_conditions(struct completion *c) {
    const json_t *conditions = json_object_get(c->result, "conditions"), *why;
    size_t i, n = 0;
    json_array_foreach(json_object_get(conditions, "unstable"), i, why) {
        if (json_is_string(why) && n < sizeof(c->unstable)) {
            int wrote = snprintf(c->unstable + n, sizeof(c->unstable) - n, "%s%.150s", n > 0 ? "; " : "",
                                 json_string_value(why));
            n += wrote > 0 ? (size_t)wrote : 0;
        }
    }
    if (c->unstable[0] == '\0' && json_is_false(json_object_get(conditions, "stable"))) {
        snprintf(c->unstable, sizeof(c->unstable), "the machine was not steady");
    }
}

static enum rc read_profile(struct store *s, struct completion *c, const struct store_job *job,
                            struct err *err) {
    json_t *scenarios, *entry;
    const char *name;
    enum rc rc = json_get_object(c->result, "scenarios", &scenarios, err);
    if (rc == RC_OK && !json_object_get(scenarios, "offline")) {
        rc = err_set(err, RC_INPUT, "the result has no scenario \"offline\"");
    }
    if (rc != RC_OK) {
        return rc;
    }
    json_object_foreach(scenarios, name, entry) {
        rc = rc == RC_OK ? read_scenario(s, c, name, entry, err) : rc;
    }
    if (rc != RC_OK) {
        return rc;
    }
    read_counters(c);
    read_conditions(c);
    const json_t *offline = json_object_get(scenarios, "offline");
    const json_t *p50_us = json_object_get(json_object_get(offline, "latency_us"), "p50");
    double per_s = json_number_value(json_object_get(offline, "throughput_per_s"));
    if (p50_us) {
        snprintf(c->text, sizeof(c->text), "%s: p50 %.2f ms, %.0f/s", job->label,
                 json_number_value(p50_us) / 1000, per_s);
    } else { /* too few runs within the time limit */
        snprintf(c->text, sizeof(c->text), "%s: %.3g/s, too few runs for a p50", job->label, per_s);
    }
    return RC_OK;
}

/* ---- comparison ---- */

static enum rc read_side(struct completion *c, const char *side, int64_t n, struct err *err) {
    json_t *object = NULL;
    const char *path = NULL;
    double p50_us = NAN;
    enum rc rc = json_get_object(c->result, side, &object, err);
    if (rc == RC_OK) {
        rc = json_get_string(object, "samples", &path, err);
    }
    if (rc == RC_OK) {
        rc = json_get_number(object, "p50_us", &p50_us, err);
    }
    if (rc != RC_OK) {
        return rc;
    }
    const struct store_file *f = find_file(c, path, err);
    if (!f) {
        return RC_INPUT;
    }
    c->samples[c->n_samples++] = (struct store_samples){side, f->sha256, n};
    bool fits = f->bytes == n * (int64_t)sizeof(float) && isfinite(p50_us) && p50_us > 0;
    return fits ? RC_OK
                : err_set(err, RC_INPUT, "the samples of the %s are not the %lld reported", side,
                          (long long)n);
}

static enum rc read_compare(struct completion *c, const struct store_job *job, struct err *err) {
    double log_ratio = NAN, seconds = NAN;
    int64_t n = 0;
    enum rc rc = json_get_number(c->result, "log_ratio", &log_ratio, err);
    if (rc == RC_OK) {
        rc = json_get_number(c->result, "seconds", &seconds, err);
    }
    if (rc == RC_OK) {
        rc = json_get_int(c->result, "n", 1, INT64_C(1) << 22, &n, err);
    }
    if (rc == RC_OK && !(fabs(log_ratio) < 50 && seconds >= 0 && isfinite(seconds))) {
        rc = err_set(err, RC_INPUT, "log_ratio %g and %g seconds make no sense", log_ratio, seconds);
    }
    if (rc == RC_OK) {
        rc = read_side(c, "model", n, err);
    }
    if (rc == RC_OK) {
        rc = read_side(c, "reference", n, err);
    }
    snprintf(c->text, sizeof(c->text), "%.200s: %+.2f %%", job->label, 100 * expm1(log_ratio));
    return rc;
}

enum rc completion_read(struct store *s, const struct store_job *job, const json_t *result,
                        const json_t *files, struct completion **ret, struct err *err) {
    struct completion *c = calloc(1, sizeof(*c));
    if (!c) {
        return err_memory(err);
    }
    c->result = json_deep_copy(result);
    c->subject = stored_json(job->subject_json);
    enum rc rc = json_is_object(c->result) && c->subject
                     ? stored_text(c->result, &c->result_text, err)
                     : err_set(err, RC_INPUT, "the result is not an object");
    if (rc == RC_OK && strlen(c->result_text) > RESULT_BYTES_MAX) {
        rc = err_set(err, RC_INPUT, "the result is longer than %d bytes", (int)RESULT_BYTES_MAX);
    }
    if (rc == RC_OK) {
        rc = read_files(s, files, c, err);
    }
    if (rc == RC_OK) {
        rc = strcmp(job->kind, "inspect") == 0    ? read_inspect(c, err)
             : strcmp(job->kind, "compress") == 0 ? read_compress(c, job, err)
             : strcmp(job->kind, "evaluate") == 0 ? read_evaluate(s, c, job, err)
             : strcmp(job->kind, "compare") == 0  ? read_compare(c, job, err)
                                                  : read_profile(s, c, job, err);
    }
    if (rc != RC_OK) {
        completion_free(c);
        return rc;
    }
    *ret = c;
    return RC_OK;
}

static enum rc store_evaluation(struct store_tx *tx, const struct completion *c, struct err *err) {
    struct store_evaluation e = {.id = subject(c, "evaluation"),
                                 .variant = subject(c, "variant"),
                                 .dataset = subject(c, "dataset"),
                                 .split_json = c->split_text,
                                 .primary = json_string_value(json_object_get(c->result, "primary")),
                                 .result_json = c->result_text};
    e.examples = c->scores[0].rows;
    enum rc rc = store_evaluation_add(tx, &e, c->scores, c->n_scores, err);
    for (size_t i = 0; rc == RC_OK && i < c->n_accuracies; i++) {
        rc = store_accuracy_put(tx, e.id, paired_with(c), &c->accuracies[i], err);
    }
    return rc;
}

static enum rc store_profile(struct store_tx *tx, const struct completion *c, struct err *err) {
    struct store_profile p = {.id = subject(c, "profile"),
                              .configuration = subject(c, "configuration"),
                              .result_json = c->result_text};
    const json_t *memory = json_object_get(c->result, "memory_mib");
    double mib = json_is_number(memory) ? json_number_value(memory) : NAN;
    p.memory_mib = isfinite(mib) && mib >= 0 ? mib : NAN;
    p.unstable = c->unstable[0] ? c->unstable : NULL;
    const json_t *counters = json_object_get(c->result, "counters");
    const json_t *instructions = json_object_get(json_object_get(counters, "per_inference"), "instructions");
    double count = json_is_number(instructions) ? json_number_value(instructions) : 0;
    if (isfinite(count) && count > 0) {
        bool callgrind = strcmp(json_shown_text(counters, "by"), "callgrind") == 0;
        p.instructions = count;
        p.instructions_by = callgrind ? "callgrind" : "PAPI";
    }
    struct store_profile_parts parts = {c->samples,   c->figures,   c->counters,
                                        c->n_samples, c->n_figures, c->n_counters};
    return store_profile_add(tx, &p, &parts, err);
}

static enum rc store_compare(struct store_tx *tx, const struct completion *c, struct err *err) {
    struct store_replicate_samples samples[2];
    const json_t *conditions = json_object_get(c->result, "conditions");
    struct store_replicate r = {.number = json_integer_value(json_object_get(c->subject, "number")),
                                .log_ratio = json_number_value(json_object_get(c->result, "log_ratio")),
                                .seconds = json_number_value(json_object_get(c->result, "seconds")),
                                .stable = json_is_true(json_object_get(conditions, "stable")),
                                .result_json = c->result_text};
    for (size_t i = 0; i < 2; i++) {
        samples[i] =
            (struct store_replicate_samples){c->samples[i].scenario, c->samples[i].sha256, c->samples[i].n};
    }
    return store_replicate_add(tx, subject(c, "comparison"), &r, samples, 2, err);
}

enum rc completion_store(struct store_tx *tx, const struct completion *c, const struct store_job *job,
                         struct err *err) {
    enum rc rc = RC_OK;
    if (strcmp(job->kind, "inspect") == 0) {
        int64_t examples = json_integer_value(json_object_get(c->result, "examples"));
        rc = store_dataset_set_examples(tx, subject(c, "dataset"), examples, err);
    } else if (strcmp(job->kind, "compress") == 0) {
        rc = store_variant_ready(tx, subject(c, "variant"), c->files, c->n_files, c->result_text, err);
    } else if (strcmp(job->kind, "evaluate") == 0) {
        rc = store_evaluation(tx, c, err);
    } else if (strcmp(job->kind, "compare") == 0) {
        rc = store_compare(tx, c, err);
    } else {
        rc = store_profile(tx, c, err);
    }
    return rc == RC_OK ? study_events_step(tx, job, "done", c->text, err) : rc;
}

const char *completion_result(const struct completion *c) {
    return c->result_text;
}

void completion_free(struct completion *c) {
    if (!c) {
        return;
    }
    for (size_t i = 0; i < LISTS_MAX; i++) {
        buf_free(&c->packed[i]);
    }
    json_decref(c->result);
    json_decref(c->subject);
    json_decref(c->listed);
    free(c->result_text);
    free(c->split_text);
    free(c);
}
