/* Identities: whatever can change a result is part of the id of what holds it, and nothing else. Raise
 * WORK_VERSION when a worker of this version makes other results from the same inputs. */
#include "advisor/jobs/work.h"

#include <stdio.h>
#include <string.h>

#include "advisor/jobs/limits.h"
#include "advisor/jobs/stored_json.h"
#include "advisor/jobs/study_scenarios.h"
#include "core/base/json.h"
#include "core/recipes/recipe.h"
#include "db/store_machines.h"

enum {
    WORK_VERSION = 1,
    CALIBRATION_EXAMPLES = 500,
    GGUF_CONTEXT_TOKENS = 512,
    GGUF_GENERATE_TOKENS = 64,
    DEFAULT_MEMORY_MIB = 4096,
    CPU_LIMIT_S = 4 * 3600,
};

#define LEAST_GAIN 0.05
#define NEAR_BEST  0.75

static const int64_t FILE_LIMIT_BYTES = INT64_C(64) << 30;

/* How thoroughly a preset measures. The largest batch is a power of the factor. */
static const struct effort {
    int64_t time_limit_s, min_samples, batch_factor, batch_most;
    struct sweep_effort sweep;
} EFFORTS[] = {{3, 500, 8, 8, {"quick", true, LEAST_GAIN, NEAR_BEST}},
               {5, 1500, 8, 64, {"standard", false, LEAST_GAIN, NEAR_BEST}},
               {30, 8000, 2, 256, {"thorough", false, LEAST_GAIN, NEAR_BEST}}};

static struct effort effort_of(const struct work_study *s) {
    const char *preset = json_string_value(json_object_get(s->request, "preset"));
    struct effort effort = EFFORTS[1];
    for (size_t i = 0; preset && i < sizeof(EFFORTS) / sizeof(*EFFORTS); i++) {
        if (strcmp(preset, EFFORTS[i].sweep.name) == 0) {
            effort = EFFORTS[i];
        }
    }
    effort.time_limit_s = s->time_limit_s > 0 ? s->time_limit_s : effort.time_limit_s;
    effort.min_samples = s->min_samples > 0 ? s->min_samples : effort.min_samples;
    return effort;
}

enum rc work_study_load(struct store_tx *tx, const char *id, struct work_study *ret, struct err *err) {
    struct work_study s = {0};
    enum rc rc = store_study_get(tx, id, &s.row, err);
    if (rc == RC_OK) {
        rc = store_model_get(tx, s.row.model, &s.model, err);
    }
    if (rc == RC_OK) {
        rc = store_dataset_get(tx, s.row.dataset, &s.dataset, err);
    }
    if (rc == RC_OK && s.row.calibration) {
        rc = store_dataset_get(tx, s.row.calibration, &s.calibration, err);
    }
    if (rc == RC_OK) {
        rc = model_family_parse(s.model.family, &s.family, err);
    }
    if (rc != RC_OK) {
        return rc;
    }
    s.request = stored_json(s.row.request_json);
    s.plan = s.row.plan_json ? stored_json(s.row.plan_json) : NULL;
    if (!s.request || (s.row.plan_json && !s.plan)) {
        work_study_release(&s);
        return err_memory(err);
    }
    *ret = s;
    return RC_OK;
}

void work_study_release(struct work_study *s) {
    json_decref(s->request);
    json_decref(s->plan);
    s->request = s->plan = NULL;
}

/* ---- parts of a job ---- */

json_t *work_files_json(const struct store_file *files, size_t n) {
    json_t *array = json_array();
    for (size_t i = 0; i < n; i++) {
        json_array_append_new(array, json_pack("{s:s, s:s, s:I, s:s*}", "path", files[i].path, "sha256",
                                               files[i].sha256, "bytes", (json_int_t)files[i].bytes, "role",
                                               files[i].role));
    }
    return array;
}

static enum rc model_json(struct store_tx *tx, const struct work_study *s, json_t **ret, struct err *err) {
    struct store_file *files;
    size_t n;
    enum rc rc = store_model_files(tx, s->model.id, &files, &n, err);
    if (rc != RC_OK) {
        return rc;
    }
    return stored_give(json_pack("{s:s, s:s, s:o}", "family", s->model.family, "main", s->model.main, "files",
                                 work_files_json(files, n)),
                       ret, err);
}

static enum rc variant_json(struct store_tx *tx, const struct work_study *s, const struct store_variant *v,
                            json_t **ret, struct err *err) {
    struct store_file *files;
    size_t n;
    enum rc rc = store_variant_files(tx, v->id, &files, &n, err);
    if (rc != RC_OK) {
        return rc;
    }
    return stored_give(json_pack("{s:s, s:s, s:o}", "family", s->model.family, "main", v->main, "files",
                                 work_files_json(files, n)),
                       ret, err);
}

enum rc work_dataset_json(struct store_tx *tx, const struct store_dataset *d, json_t *split, json_t **ret,
                          struct err *err) {
    struct store_file *files;
    size_t n;
    enum rc rc = store_dataset_files(tx, d->id, &files, &n, err);
    if (rc != RC_OK) {
        json_decref(split);
        return rc;
    }
    json_t *json =
        json_pack("{s:s, s:s, s:o, s:s*, s:s*, s:o}", "id", d->id, "format", d->format, "files",
                  work_files_json(files, n), "input", d->input, "labels", d->labels, "split", split);
    if (json && d->preprocess_json) {
        json_object_set_new(json, "preprocess", stored_json(d->preprocess_json));
    }
    return stored_give(json, ret, err);
}

static json_t *split_all(void) {
    return json_pack("{s:s}", "take", "all");
}

/* The calibration set of the study with its split: of its own dataset without what the evaluation holds, or
 * its share of the one dataset. `n` examples. */
static enum rc calibration_json(struct store_tx *tx, const struct work_study *s, int64_t n, json_t **ret,
                                struct err *err) {
    json_t *exclude = json_null();
    enum rc rc = RC_OK;
    if (s->calibration.id) {
        rc = work_dataset_json(tx, &s->dataset, split_all(), &exclude, err);
    }
    if (rc != RC_OK) {
        return rc;
    }
    json_t *split = json_pack("{s:s, s:I, s:o}", "take", "calibration", "calibration_examples", (json_int_t)n,
                              "exclude", exclude);
    return work_dataset_json(tx, s->calibration.id ? &s->calibration : &s->dataset, split, ret, err);
}

static double memory_of(const char *fingerprint_json) {
    json_t *fingerprint = stored_json(fingerprint_json);
    double bytes = json_number_value(json_object_get(fingerprint, "memory_bytes"));
    json_decref(fingerprint);
    return bytes;
}

/* The memory of the smallest machine that may claim the job: one of `machine_type`, or any (NULL) that was
 * ever heard of (results that were imported stand for machines that claim nothing). 0 = not known. */
static enum rc least_memory(struct store_tx *tx, const char *machine_type, double *ret, struct err *err) {
    struct store_target *targets;
    size_t n;
    enum rc rc = store_targets_list(tx, &targets, &n, err);
    *ret = 0;
    for (size_t i = 0; rc == RC_OK && i < n; i++) {
        const struct store_target *t = &targets[i];
        if (machine_type ? strcmp(t->machine_type, machine_type) == 0 : t->last_seen_ms > 0) {
            double bytes = memory_of(t->fingerprint_json);
            *ret = *ret == 0 || (bytes > 0 && bytes < *ret) ? bytes : *ret;
        }
    }
    return rc;
}

/* Memory: three quarters of that. */
enum rc work_limits_json(struct store_tx *tx, const json_t *threads, const char *machine_type, json_t **ret,
                         struct err *err) {
    double least = 0;
    enum rc rc = least_memory(tx, machine_type, &least, err);
    if (rc != RC_OK) {
        return rc;
    }
    int64_t limit = least > 0 ? (int64_t)(least * 0.75) : (int64_t)DEFAULT_MEMORY_MIB << 20;
    json_t *json = json_pack("{s:I, s:i, s:I}", "memory_bytes", (json_int_t)limit, "cpu_s", (int)CPU_LIMIT_S,
                             "file_bytes", (json_int_t)FILE_LIMIT_BYTES);
    if (json && json_is_integer(threads)) {
        json_object_set_new(json, "threads", json_integer(json_integer_value(threads)));
    }
    return stored_give(json, ret, err);
}

/* ---- identities ---- */

int64_t work_calibration_examples(const struct work_study *s) {
    int64_t asked = json_integer_value(json_object_get(s->request, "calibration_examples"));
    return asked > 0 ? asked : CALIBRATION_EXAMPLES;
}

static bool needs_calibration(const struct work_study *s, const char *recipe) {
    struct recipe r;
    return recipe_parse(recipe, s->family, &r, NULL) == RC_OK && (recipe_needs(&r) & NEEDS_CALIBRATION);
}

static json_t *plan_of(const struct work_study *s, const char *key) {
    json_t *value = json_object_get(s->plan, key);
    return value ? json_incref(value) : json_null();
}

enum rc work_variant_id(const struct work_study *s, const char *recipe, char id[IDENT_SIZE],
                        struct err *err) {
    bool calibrated = needs_calibration(s, recipe);
    const char *dataset = s->calibration.id ? s->calibration.id : s->dataset.id;
    const char *exclude = s->calibration.id ? s->dataset.id : "";
    json_t *calibration = calibrated ? json_pack("{s:s, s:s, s:o}", "dataset", dataset, "exclude", exclude,
                                                 "split", plan_of(s, "calibration_split"))
                                     : json_null();
    return stored_id("var",
                     json_pack("{s:i, s:s, s:s, s:o}", "version", (int)WORK_VERSION, "model", s->model.id,
                               "recipe", recipe, "calibration", calibration),
                     id, err);
}

enum rc work_configuration_id(const char *variant, const char *machine_type, const struct work_runtime *r,
                              char id[IDENT_SIZE], struct err *err) {
    return stored_id("cfg",
                     json_pack("{s:s, s:s, s:I, s:I, s:I}", "variant", variant, "machine_type", machine_type,
                               "instances", (json_int_t)r->instances, "threads", (json_int_t)r->threads,
                               "batch", (json_int_t)r->batch),
                     id, err);
}

/* Whether the variant is also compared with the outputs of the baseline: "all", "variants" (not the baseline
 * itself), "none". */
static bool wants_reference(const struct work_study *s, const char *variant) {
    const char *reference = json_string_value(json_object_get(s->plan, "reference"));
    char baseline[IDENT_SIZE];
    if (!reference || strcmp(reference, "none") == 0) {
        return false;
    }
    return strcmp(reference, "all") == 0 ||
           (work_variant_id(s, recipe_baseline(s->family), baseline, NULL) == RC_OK &&
            strcmp(variant, baseline) != 0);
}

enum rc work_evaluation_id(const struct work_study *s, const char *variant, char id[IDENT_SIZE],
                           struct err *err) {
    return stored_id("eval",
                     json_pack("{s:i, s:s, s:s, s:o, s:b, s:i}", "version", (int)WORK_VERSION, "variant",
                               variant, "dataset", s->dataset.id, "split", plan_of(s, "split"), "reference",
                               (int)wants_reference(s, variant), "context",
                               s->family == FAMILY_GGUF ? (int)GGUF_CONTEXT_TOKENS : 0),
                     id, err);
}

static bool wants_callgrind(const struct work_study *s) {
    return json_is_string(json_object_get(s->request, "instructions"));
}

/* Version of the runtime on that machine type, by the target heard of last. "" when not known. */
static enum rc runtime_version(struct store_tx *tx, const struct work_study *s, const char *machine_type,
                               json_t **ret, struct err *err) {
    struct store_target *targets, *last = NULL;
    size_t n;
    enum rc rc = store_targets_list(tx, &targets, &n, err);
    if (rc != RC_OK) {
        return rc;
    }
    for (size_t i = 0; i < n; i++) {
        bool newer = !last || targets[i].last_seen_ms > last->last_seen_ms;
        last = newer && strcmp(targets[i].machine_type, machine_type) == 0 ? &targets[i] : last;
    }
    json_t *fingerprint = stored_json(last ? last->fingerprint_json : NULL);
    const char *name = s->family == FAMILY_GGUF ? "llama" : "onnxruntime";
    const char *version = json_string_value(json_object_get(json_object_get(fingerprint, "runtimes"), name));
    json_t *text = json_string(version ? version : "");
    json_decref(fingerprint);
    return stored_give(text, ret, err);
}

/* What a profile holds beyond single-stream and offline, with all that can change it; NULL: nothing. */
static enum rc scenarios_beyond(const struct work_study *s, json_t **ret, struct err *err) {
    struct limits l;
    bool server = study_scenarios_has(s->request, SCENARIO_SERVER);
    bool multi = study_scenarios_has(s->request, SCENARIO_MULTI_STREAM);
    *ret = NULL;
    if (!server && !multi) {
        return RC_OK;
    }
    enum rc rc = limits_read(s->request, &l, err);
    if (rc != RC_OK) {
        return rc;
    }
    json_t *json = json_pack("{s:O}", "scenarios", json_object_get(s->request, "scenarios"));
    if (json && server) {
        json_object_set_new(json, "latency_limits", study_scenarios_limits(&l));
        json_object_set(json, "confidence", json_object_get(s->request, "confidence"));
    }
    return stored_give(json, ret, err);
}

enum rc work_profile_id(struct store_tx *tx, const struct work_study *s, const char *configuration,
                        const char *machine_type, char id[IDENT_SIZE], struct err *err) {
    json_t *version;
    enum rc rc = runtime_version(tx, s, machine_type, &version, err);
    if (rc != RC_OK) {
        return rc;
    }
    json_t *beyond = NULL;
    rc = scenarios_beyond(s, &beyond, err);
    if (rc != RC_OK) {
        json_decref(version);
        return rc;
    }
    json_t *content =
        json_pack("{s:i, s:s, s:s, s:I, s:o, s:o*}", "version", (int)WORK_VERSION, "configuration",
                  configuration, "dataset", s->dataset.id, "min_samples",
                  (json_int_t)effort_of(s).min_samples, "runtime", version, "scenarios", beyond);
    if (content && wants_callgrind(s)) {
        json_object_set_new(content, "instructions", json_string("callgrind"));
    }
    return stored_id("prof", content, id, err);
}

void work_key(const char *kind, const char *product, char key[WORK_KEY_SIZE]) {
    snprintf(key, WORK_KEY_SIZE, "%s:%s", kind, product);
}

enum rc work_inspect_key(const struct work_study *s, char key[WORK_KEY_SIZE], struct err *err) {
    char id[IDENT_SIZE];
    int64_t n = s->calibration.id ? work_calibration_examples(s) : 0;
    enum rc rc = stored_id("insp",
                           json_pack("{s:i, s:s, s:s, s:s?, s:I}", "version", (int)WORK_VERSION, "model",
                                     s->model.id, "dataset", s->dataset.id, "calibration", s->calibration.id,
                                     "calibration_examples", (json_int_t)n),
                           id, err);
    if (rc == RC_OK) {
        work_key("inspect", id, key);
    }
    return rc;
}

void work_label(const char *recipe, const struct work_runtime *r, char label[WORK_LABEL_SIZE]) {
    int n = snprintf(label, WORK_LABEL_SIZE, "%s %lldx%lld", recipe, (long long)r->instances,
                     (long long)r->threads);
    if (r->batch > 1 && n > 0 && n < WORK_LABEL_SIZE) {
        snprintf(label + n, WORK_LABEL_SIZE - (size_t)n, " b%lld", (long long)r->batch);
    }
}

/* ---- runtime settings ---- */

enum rc work_cores(struct store_tx *tx, const struct work_study *s, const char *machine_type, int64_t *ret,
                   struct err *err) {
    struct store_machine_type m;
    enum rc rc = store_machine_type_get(tx, machine_type, &m, err);
    if (rc != RC_OK) {
        return rc;
    }
    json_t *fingerprint = stored_json(m.fingerprint_json);
    int64_t cores = json_integer_value(json_object_get(json_object_get(fingerprint, "cpu"), "cores"));
    json_decref(fingerprint);
    const json_t *threads = json_object_get(s->request, "threads");
    if (json_is_integer(threads) && json_integer_value(threads) < cores) {
        cores = json_integer_value(threads);
    }
    *ret = cores > 0 ? cores : 1;
    return RC_OK;
}

void work_sweep(const struct work_study *s, struct sweep_effort *ret) {
    *ret = effort_of(s).sweep;
}

json_t *work_batches(const struct work_study *s) {
    const struct effort e = effort_of(s);
    json_t *batches = json_array();
    for (int64_t batch = 1; batch <= e.batch_most; batch *= e.batch_factor) {
        json_array_append_new(batches, json_integer(batch));
    }
    return batches;
}

/* ---- jobs ---- */

enum { PRIORITY_INSPECT, PRIORITY_COMPRESS, PRIORITY_PROFILE, PRIORITY_EVALUATE };

struct new_job {
    const char *kind, *key, *label, *machine_type;
    int priority;
    json_t *spec, *subject; /* taken over */
};

static enum rc add_job(struct store_tx *tx, const struct work_study *s, const struct new_job *w,
                       struct store_job *ret, struct err *err) {
    struct store_job j = {.kind = w->kind, .key = w->key, .label = w->label, .machine_type = w->machine_type};
    char id[IDENT_SIZE];
    ident_random("job", id);
    j.id = id;
    j.priority = w->priority;
    json_t *limits = NULL;
    enum rc rc = work_limits_json(tx, json_object_get(s->request, "threads"), w->machine_type, &limits, err);
    if (rc == RC_OK) {
        json_object_set_new(w->spec, "limits", limits);
        json_object_set_new(w->spec, "kind", json_string(w->kind));
        rc = stored_tx_text(tx, json_incref(w->spec), &j.spec_json, err);
    }
    if (rc == RC_OK) {
        rc = stored_tx_text(tx, json_incref(w->subject), &j.subject_json, err);
    }
    if (rc == RC_OK) {
        rc = store_job_add(tx, &j, s->row.id, ret, err);
    }
    json_decref(w->spec);
    json_decref(w->subject);
    return rc;
}

enum rc work_add_inspect(struct store_tx *tx, const struct work_study *s, struct store_job *ret,
                         struct err *err) {
    json_t *model = NULL, *dataset = NULL, *calibration = NULL;
    char key[WORK_KEY_SIZE];
    enum rc rc = work_inspect_key(s, key, err);
    if (rc == RC_OK) {
        rc = model_json(tx, s, &model, err);
    }
    if (rc == RC_OK) {
        rc = work_dataset_json(tx, &s->dataset, split_all(), &dataset, err);
    }
    if (rc == RC_OK && s->calibration.id) {
        rc = calibration_json(tx, s, work_calibration_examples(s), &calibration, err);
    }
    json_t *spec = rc == RC_OK ? json_pack("{s:O, s:O, s:O?}", "model", model, "dataset", dataset,
                                           "calibration", calibration)
                               : NULL;
    if (rc == RC_OK && spec) {
        struct new_job w = {.kind = "inspect", .key = key, .label = recipe_baseline(s->family), .spec = spec};
        w.priority = PRIORITY_INSPECT;
        w.subject = json_pack("{s:s, s:s}", "model", s->model.id, "dataset", s->dataset.id);
        rc = add_job(tx, s, &w, ret, err);
    } else if (rc == RC_OK) {
        rc = err_memory(err);
    }
    json_decref(model);
    json_decref(dataset);
    json_decref(calibration);
    return rc;
}

enum rc work_add_compress(struct store_tx *tx, const struct work_study *s, const struct store_variant *v,
                          struct store_job *ret, struct err *err) {
    json_t *model = NULL, *calibration = json_null();
    const json_t *split = json_object_get(s->plan, "calibration_split");
    char key[WORK_KEY_SIZE];
    work_key("compress", v->id, key);
    enum rc rc = model_json(tx, s, &model, err);
    if (rc == RC_OK && needs_calibration(s, v->recipe)) {
        rc = calibration_json(tx, s, json_integer_value(json_object_get(split, "calibration_examples")),
                              &calibration, err);
    }
    if (rc != RC_OK) {
        json_decref(model);
        return rc;
    }
    struct new_job w = {.kind = "compress", .key = key, .label = v->recipe, .priority = PRIORITY_COMPRESS};
    w.spec = json_pack("{s:o, s:o, s:s}", "model", model, "calibration", calibration, "recipe", v->recipe);
    w.subject = json_pack("{s:s}", "variant", v->id);
    return add_job(tx, s, &w, ret, err);
}

enum rc work_add_evaluate(struct store_tx *tx, const struct work_study *s, const struct store_variant *v,
                          struct store_job *ret, struct err *err) {
    json_t *model = NULL, *dataset = NULL, *reference = json_null();
    char key[WORK_KEY_SIZE], id[IDENT_SIZE], baseline[IDENT_SIZE], baseline_id[IDENT_SIZE];
    enum rc rc = work_evaluation_id(s, v->id, id, err);
    if (rc == RC_OK) {
        rc = work_variant_id(s, recipe_baseline(s->family), baseline, err);
    }
    if (rc == RC_OK) {
        rc = work_evaluation_id(s, baseline, baseline_id, err);
    }
    if (rc == RC_OK && wants_reference(s, v->id)) {
        rc = model_json(tx, s, &reference, err);
    }
    if (rc == RC_OK) {
        rc = variant_json(tx, s, v, &model, err);
    }
    if (rc == RC_OK) {
        rc = work_dataset_json(tx, &s->dataset, plan_of(s, "split"), &dataset, err);
    }
    if (rc != RC_OK) {
        json_decref(reference);
        json_decref(model);
        return rc;
    }
    work_key("evaluate", id, key);
    struct new_job w = {.kind = "evaluate", .key = key, .label = v->recipe, .priority = PRIORITY_EVALUATE};
    w.spec = json_pack("{s:o, s:o, s:o}", "model", model, "dataset", dataset, "reference", reference);
    if (s->family == FAMILY_GGUF) {
        json_object_set_new(w.spec, "context", json_integer(GGUF_CONTEXT_TOKENS));
    }
    w.subject =
        json_pack("{s:s, s:s, s:s, s:s, s:o}", "variant", v->id, "evaluation", id, "baseline_evaluation",
                  baseline_id, "dataset", s->dataset.id, "split", plan_of(s, "split"));
    return add_job(tx, s, &w, ret, err);
}

/* The spec without "runtime", "limits" and "kind". */
static enum rc profile_json(struct store_tx *tx, const struct work_study *s, const struct store_variant *v,
                            json_t **ret, struct err *err) {
    json_t *model = NULL, *dataset = NULL, *beyond = NULL;
    const struct effort effort = effort_of(s);
    enum rc rc = scenarios_beyond(s, &beyond, err);
    if (rc == RC_OK) {
        rc = variant_json(tx, s, v, &model, err);
    }
    if (rc == RC_OK) {
        rc = work_dataset_json(tx, &s->dataset, split_all(), &dataset, err);
    }
    if (rc != RC_OK) {
        json_decref(model);
        json_decref(beyond);
        return rc;
    }
    json_t *spec = json_pack("{s:o, s:o, s:I, s:I}", "model", model, "dataset", dataset, "time_limit_s",
                             (json_int_t)effort.time_limit_s, "min_samples", (json_int_t)effort.min_samples);
    if (spec && s->family == FAMILY_GGUF) {
        json_object_set_new(spec, "generate", json_integer(GGUF_GENERATE_TOKENS));
    }
    if (spec && beyond) {
        json_object_update(spec, beyond);
    }
    json_decref(beyond);
    if (spec && wants_callgrind(s)) {
        json_object_set_new(spec, "count", json_pack("{s:b}", "callgrind", 1));
    }
    return stored_give(spec, ret, err);
}

enum rc work_profile_spec(struct store_tx *tx, const struct work_study *s, const struct store_variant *v,
                          const char *machine_type, json_t **ret, struct err *err) {
    json_t *spec = NULL, *limits = NULL;
    enum rc rc = profile_json(tx, s, v, &spec, err);
    if (rc == RC_OK && (rc = work_limits_json(tx, json_object_get(s->request, "threads"), machine_type,
                                              &limits, err)) != RC_OK) {
        json_decref(spec);
        return rc;
    }
    if (rc == RC_OK) {
        json_object_set_new(spec, "limits", limits);
        json_object_set_new(spec, "kind", json_string("profile"));
        *ret = spec;
    }
    return rc;
}

enum rc work_add_profile(struct store_tx *tx, const struct work_study *s, const struct store_variant *v,
                         const struct store_configuration *c, struct store_job *ret, struct err *err) {
    json_t *spec = NULL;
    char key[WORK_KEY_SIZE], id[IDENT_SIZE], label[WORK_LABEL_SIZE], server[STUDY_SCENARIO_SIZE];
    struct limits l;
    enum rc rc = work_profile_id(tx, s, c->id, c->machine_type, id, err);
    if (rc != RC_OK || (rc = limits_read(s->request, &l, err)) != RC_OK ||
        (rc = profile_json(tx, s, v, &spec, err)) != RC_OK) {
        return rc;
    }
    study_scenarios_server(&l, server);
    json_object_set_new(spec, "runtime",
                        json_pack("{s:I, s:I, s:I}", "instances", (json_int_t)c->instances, "threads",
                                  (json_int_t)c->threads, "batch", (json_int_t)c->batch));
    work_key("profile", id, key);
    work_label(v->recipe, &(struct work_runtime){c->instances, c->threads, c->batch}, label);
    struct new_job w = {.kind = "profile", .key = key, .label = label, .machine_type = c->machine_type};
    w.priority = PRIORITY_PROFILE;
    w.spec = spec;
    w.subject = json_pack("{s:s, s:s, s:s, s:s}", "variant", v->id, "configuration", c->id, "profile", id,
                          "server", server);
    return add_job(tx, s, &w, ret, err);
}
