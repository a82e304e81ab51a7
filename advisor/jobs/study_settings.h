/* study_settings.h -- the runtime settings of one variant on one machine type, as a study stands: what is
 * measured, what is to be measured now, what depends on that, and what is left out and why
 * (advisor/decide/sweep.h decides). */
#pragma once

#include <jansson.h>

#include "advisor/decide/sweep.h"
#include "advisor/jobs/work.h"
#include "core/base/err.h"
#include "core/base/ident.h"
#include "db/store.h"
#include "db/store_jobs.h"

enum { STUDY_SETTINGS_MAX = SWEEP_SPLITS_MAX * SWEEP_BATCHES_MAX };

struct study_setting {
    struct work_runtime runtime;
    enum sweep_state state;
    char why[SWEEP_WHY_SIZE]; /* of one that is skipped */
};

struct study_settings {
    struct study_setting items[STUDY_SETTINGS_MAX];
    size_t n;
};

/* The study has a plan; `jobs` are its jobs. *ret: free(). */
MUST_USE enum rc study_settings_read(struct store_tx *tx, const struct work_study *s, const char *variant,
                                     const char *machine_type, const struct store_job *jobs, size_t n_jobs,
                                     struct study_settings **ret, struct err *err);

/* Appends {"variant", "recipe", "machine_type", "runtime", "why"} to `list` for each that is skipped. */
void study_settings_add_skipped(const struct study_settings *s, const struct store_variant *v,
                                const char *machine_type, json_t *list);
