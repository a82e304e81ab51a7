/* store_work.h -- what was made and measured: variants, configurations, evaluations with scores, profiles
 * with samples. Ids are made from what defines the thing, so that adding one twice keeps the first. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/err.h"
#include "db/store.h"
#include "db/store_models.h"

struct store_variant {
    const char *id, *model, *recipe;
    const char *calibration; /* dataset id or NULL */
    const char *state;       /* pending, ready, failed */
    const char *error;       /* of a failed one */
    const char *main;        /* of a ready one */
    const char *result_json;
    int64_t bytes, created_ms;
};

MUST_USE enum rc store_variant_add(struct store_tx *tx, const struct store_variant *v, struct err *err);
MUST_USE enum rc store_variant_get(struct store_tx *tx, const char *id, struct store_variant *ret,
                                   struct err *err);
MUST_USE enum rc store_variant_files(struct store_tx *tx, const char *id, struct store_file **ret, size_t *n,
                                     struct err *err);
/* Makes it ready with its files (files[0] is the main one). */
MUST_USE enum rc store_variant_ready(struct store_tx *tx, const char *id, const struct store_file *files,
                                     size_t n, const char *result_json, struct err *err);
MUST_USE enum rc store_variant_failed(struct store_tx *tx, const char *id, const char *error,
                                      struct err *err);
/* A failed one becomes pending again, for a new attempt. */
MUST_USE enum rc store_variant_pending(struct store_tx *tx, const char *id, struct err *err);
MUST_USE enum rc store_variants_of_model(struct store_tx *tx, const char *model, struct store_variant **ret,
                                         size_t *n, struct err *err);

struct store_configuration {
    const char *id, *variant, *machine_type;
    int64_t instances, threads, batch;
    int64_t created_ms;
};

MUST_USE enum rc store_configuration_add(struct store_tx *tx, const struct store_configuration *c,
                                         struct err *err);
MUST_USE enum rc store_configuration_get(struct store_tx *tx, const char *id, struct store_configuration *ret,
                                         struct err *err);
MUST_USE enum rc store_configurations_of_variant(struct store_tx *tx, const char *variant,
                                                 struct store_configuration **ret, size_t *n,
                                                 struct err *err);

struct store_evaluation {
    const char *id, *variant, *dataset, *split_json;
    const char *primary; /* metric */
    const char *result_json;
    int64_t examples, created_ms;
};

struct store_scores {
    const char *metric, *sha256;
    int64_t rows, columns;
};

MUST_USE enum rc store_evaluation_add(struct store_tx *tx, const struct store_evaluation *e,
                                      const struct store_scores *scores, size_t n, struct err *err);
MUST_USE enum rc store_evaluation_get(struct store_tx *tx, const char *id, struct store_evaluation *ret,
                                      struct err *err);
MUST_USE enum rc store_evaluation_scores(struct store_tx *tx, const char *id, struct store_scores **ret,
                                         size_t *n, struct err *err);
/* Newest first. */
MUST_USE enum rc store_evaluations_of_variant(struct store_tx *tx, const char *variant,
                                              struct store_evaluation **ret, size_t *n, struct err *err);

/* Packed summaries of an evaluation's metrics beside a baseline's evaluation ("" = alone),
 * advisor/decide/accuracy.h. */
struct store_accuracy {
    const char *metric;
    const void *packed;
    size_t size;
};
MUST_USE enum rc store_accuracy_put(struct store_tx *tx, const char *evaluation, const char *baseline,
                                    const struct store_accuracy *a, struct err *err);
MUST_USE enum rc store_accuracies(struct store_tx *tx, const char *evaluation, const char *baseline,
                                  struct store_accuracy **ret, size_t *n, struct err *err);

struct store_profile {
    const char *id, *configuration, *result_json;
    double memory_mib;    /* NAN = not known; written, not read back: store_measured has it */
    const char *unstable; /* why the machine was not steady, NULL = it was; written, not read back as well */
    double instructions;  /* an inference, 0 = not counted; written, not read back as well */
    const char *instructions_by; /* "PAPI", "callgrind"; NULL = not counted; the same */
    int64_t created_ms;
};

struct store_samples {
    const char *scenario, *sha256; /* float32 microseconds, docs/protocol.md */
    int64_t n;
};

/* What a decision needs of one scenario at one confidence (advisor/decide/latency.h, throughput.h). */
struct store_figures {
    const char *scenario;
    double confidence;
    const void *latency; /* packed */
    size_t latency_size;
    double per_s, low, high, log_error;
    int64_t freedom;
};

struct store_counter {
    const char *name;
    double value;
};

struct store_profile_parts {
    const struct store_samples *samples;
    const struct store_figures *figures;
    const struct store_counter *counters;
    size_t n_samples, n_figures, n_counters;
};
MUST_USE enum rc store_profile_add(struct store_tx *tx, const struct store_profile *p,
                                   const struct store_profile_parts *parts, struct err *err);
MUST_USE enum rc store_profile_get(struct store_tx *tx, const char *id, struct store_profile *ret,
                                   struct err *err);
/* RC_NOT_FOUND: no such scenario. */
MUST_USE enum rc store_profile_samples(struct store_tx *tx, const char *id, const char *scenario,
                                       struct store_samples *ret, struct err *err);
/* RC_NOT_FOUND: not at that confidence. */
MUST_USE enum rc store_profile_figures(struct store_tx *tx, const char *id, const char *scenario,
                                       double confidence, struct store_figures *ret, struct err *err);
MUST_USE enum rc store_profile_counters(struct store_tx *tx, const char *id, struct store_counter **ret,
                                        size_t *n, struct err *err);
/* Newest first. */
MUST_USE enum rc store_profiles_of_configuration(struct store_tx *tx, const char *configuration,
                                                 struct store_profile **ret, size_t *n, struct err *err);

/* A configuration with its newest profile of a scenario. */
struct store_measured {
    struct store_configuration configuration;
    const char *profile;
    double memory_mib;            /* NAN = not known */
    const char *unstable;         /* why the machine was not steady; NULL = it was */
    double instructions;          /* an inference; 0 = not counted */
    const char *instructions_by;  /* "PAPI", "callgrind"; NULL */
    struct store_figures figures; /* latency NULL: not at that confidence */
};

/* All configurations of a variant that were measured in a scenario, with its figures at a confidence. */
MUST_USE enum rc store_measured_of_variant(struct store_tx *tx, const char *variant, const char *scenario,
                                           double confidence, struct store_measured **ret, size_t *n,
                                           struct err *err);
