/* work.h -- the pieces of work a study consists of: their identity by content, and the jobs that workers get
 * for them (docs/protocol.md). Everything here reads inside one transaction of the store. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "advisor/decide/sweep.h"
#include "core/base/err.h"
#include "core/base/ident.h"
#include "core/base/model_family.h"
#include "db/store_jobs.h"
#include "db/store_models.h"
#include "db/store_studies.h"
#include "db/store_work.h"

/* A study with what its work is made of. `request` is the study's request_json:
 *   {"model", "dataset", "calibration" | null, "targets": [ids], "recipes": [as written], "preset" | null,
 * "floors": [..], "budgets": [..], "price_per_hour" | null, "threads" | null, "calibration_examples" | null,
 * "evaluate": "needed" | "all", "confidence", "scenarios": [names], "instructions"?: "callgrind"} `plan`
 * (NULL before inspection) is its plan_json:
 *   {"inspect": {...}, "recipes": [canonical, act chosen], "machine_types": [ids], "batches": [1, 8],
 *    "split": eval split, "calibration_split": split | null, "reference": "none" | "variants" | "all",
 * "notes": [texts], "imported": [machine types whose results came in bundles], and what
 * advisor/jobs/contenders.h says} */
struct work_study {
    struct store_study row;
    enum model_family family;
    struct store_model model;
    struct store_dataset dataset, calibration; /* calibration.id NULL: split from the dataset */
    json_t *request, *plan;                    /* owned */
    int64_t time_limit_s, min_samples;         /* of a profile; 0 = as the preset says */
};

MUST_USE enum rc work_study_load(struct store_tx *tx, const char *id, struct work_study *ret,
                                 struct err *err);
void work_study_release(struct work_study *s);

struct work_runtime {
    int64_t instances, threads, batch;
};
/* Cores of a machine type that the study may fill. */
MUST_USE enum rc work_cores(struct store_tx *tx, const struct work_study *s, const char *machine_type,
                            int64_t *ret, struct err *err);
/* How far the study's preset sweeps the runtime settings, and the batches that it tries, ascending from 1 (a
 * new reference). */
void work_sweep(const struct work_study *s, struct sweep_effort *ret);
json_t *work_batches(const struct work_study *s);

/* How many examples calibrate at most: what the study asks for, or 500. */
int64_t work_calibration_examples(const struct work_study *s);

/* Ids. `recipe` is canonical. */
MUST_USE enum rc work_variant_id(const struct work_study *s, const char *recipe, char id[IDENT_SIZE],
                                 struct err *err);
MUST_USE enum rc work_configuration_id(const char *variant, const char *machine_type,
                                       const struct work_runtime *r, char id[IDENT_SIZE], struct err *err);
MUST_USE enum rc work_evaluation_id(const struct work_study *s, const char *variant, char id[IDENT_SIZE],
                                    struct err *err);
MUST_USE enum rc work_profile_id(struct store_tx *tx, const struct work_study *s, const char *configuration,
                                 const char *machine_type, char id[IDENT_SIZE], struct err *err);

/* Adds (or joins) the job; *ret is how it stands. */
MUST_USE enum rc work_add_inspect(struct store_tx *tx, const struct work_study *s, struct store_job *ret,
                                  struct err *err);
MUST_USE enum rc work_add_compress(struct store_tx *tx, const struct work_study *s,
                                   const struct store_variant *v, struct store_job *ret, struct err *err);
MUST_USE enum rc work_add_evaluate(struct store_tx *tx, const struct work_study *s,
                                   const struct store_variant *v, struct store_job *ret, struct err *err);
MUST_USE enum rc work_add_profile(struct store_tx *tx, const struct work_study *s,
                                  const struct store_variant *v, const struct store_configuration *c,
                                  struct store_job *ret, struct err *err);

/* What a profile of the variant is, whatever the machine: the job without "runtime". A new reference. */
MUST_USE enum rc work_profile_spec(struct store_tx *tx, const struct work_study *s,
                                   const struct store_variant *v, const char *machine_type, json_t **ret,
                                   struct err *err);

/* Keys of jobs: kind ":" and the id of what the job makes. `key` has room for WORK_KEY_SIZE. */
enum { WORK_KEY_SIZE = IDENT_SIZE + 16 };
void work_key(const char *kind, const char *product, char key[WORK_KEY_SIZE]);
MUST_USE enum rc work_inspect_key(const struct work_study *s, char key[WORK_KEY_SIZE], struct err *err);

/* "1x2", "1x2 b8" */
enum { WORK_LABEL_SIZE = 320 };
void work_label(const char *recipe, const struct work_runtime *r, char label[WORK_LABEL_SIZE]);

/* Parts of a job as the worker reads them (docs/protocol.md): a list of files; a dataset with its `split`,
 * which is taken over; limits: three quarters of the memory of the smallest machine that is known, since any
 * may claim the job, and `threads` (NULL: all). */
json_t *work_files_json(const struct store_file *files, size_t n);
MUST_USE enum rc work_dataset_json(struct store_tx *tx, const struct store_dataset *d, json_t *split,
                                   json_t **ret, struct err *err);
/* `machine_type`: of the machines that may claim the job; NULL for any. */
MUST_USE enum rc work_limits_json(struct store_tx *tx, const json_t *threads, const char *machine_type,
                                  json_t **ret, struct err *err);
