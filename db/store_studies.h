/* store_studies.h -- studies, the variants they are about, and their events. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/err.h"
#include "db/store.h"

struct store_study {
    const char *id;
    const char *state; /* queued, running, done, failed, cancelled */
    const char *model, *dataset;
    const char *calibration;  /* NULL = split from the dataset */
    const char *request_json; /* as planned from the body, never changes */
    const char *plan_json;    /* NULL until the planner has inspected */
    const char *recommendation, *error_code, *error_text;
    int64_t done, total; /* pieces of work */
    int64_t created_ms, finished_ms, row;
};

MUST_USE enum rc store_study_add(struct store_tx *tx, const struct store_study *s, struct err *err);
MUST_USE enum rc store_study_get(struct store_tx *tx, const char *id, struct store_study *ret,
                                 struct err *err);
MUST_USE enum rc store_studies_list(struct store_tx *tx, const struct store_page *page,
                                    struct store_study **ret, size_t *n, struct err *err);
/* Queued and running ones, oldest first. */
MUST_USE enum rc store_studies_open(struct store_tx *tx, struct store_study **ret, size_t *n,
                                    struct err *err);

MUST_USE enum rc store_study_start(struct store_tx *tx, const char *id, struct err *err);
MUST_USE enum rc store_study_plan(struct store_tx *tx, const char *id, const char *plan_json,
                                  struct err *err);
/* Replaces the plan of a study that has one, also when it has ended: what was imported belongs to it. */
MUST_USE enum rc store_study_plan_more(struct store_tx *tx, const char *id, const char *plan_json,
                                       struct err *err);
MUST_USE enum rc store_study_progress(struct store_tx *tx, const char *id, int64_t done, int64_t total,
                                      struct err *err);
/* Ends an open study: done with its recommendation, failed with a code and text, or cancelled. RC_CONFLICT if
 * it has ended. */
MUST_USE enum rc store_study_end(struct store_tx *tx, const char *id, const char *state,
                                 const char *recommendation, const char *error_code, const char *error_text,
                                 struct err *err);

MUST_USE enum rc store_study_add_variant(struct store_tx *tx, const char *study, int64_t position,
                                         const char *variant, struct err *err);
/* Ids in the order of the plan. */
MUST_USE enum rc store_study_variants(struct store_tx *tx, const char *study, const char ***ret, size_t *n,
                                      struct err *err);

struct store_event {
    int64_t seq;
    const char *kind, *data_json;
};

MUST_USE enum rc store_event_add(struct store_tx *tx, const char *study, const char *kind,
                                 const char *data_json, struct err *err);
/* After `seq`, oldest first. */
MUST_USE enum rc store_events_after(struct store_tx *tx, const char *study, int64_t seq, uint32_t limit,
                                    struct store_event **ret, size_t *n, struct err *err);
/* Drops `progress` events that a later one of an ended study makes useless. */
MUST_USE enum rc store_events_trim(struct store_tx *tx, const char *study, struct err *err);
