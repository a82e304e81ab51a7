/* store_answers.h -- recommendations and gate runs (never changed once stored), and counts for /metrics. */
#pragma once

#include <stdint.h>

#include "core/base/err.h"
#include "db/store.h"

struct store_recommendation {
    const char *id, *study, *request_json, *answer_json; /* study may be NULL */
    const char *more_rejected_json; /* those that the answer's first page leaves out; NULL: none */
    int64_t created_ms;
};
MUST_USE enum rc store_recommendation_add(struct store_tx *tx, const struct store_recommendation *r,
                                          struct err *err);
MUST_USE enum rc store_recommendation_get(struct store_tx *tx, const char *id,
                                          struct store_recommendation *ret, struct err *err);

struct store_gate {
    const char *name, *last_verdict; /* NULL before the first run */
    int64_t runs, last_ms, row;
};
MUST_USE enum rc store_gates_list(struct store_tx *tx, const struct store_page *page, struct store_gate **ret,
                                  size_t *n, struct err *err);

struct store_gate_run {
    const char *id, *gate, *verdict, *answer_json;
    int64_t created_ms;
};
/* Makes the gate where it is new. */
MUST_USE enum rc store_gate_run_add(struct store_tx *tx, const struct store_gate_run *r, struct err *err);
/* Newest first. RC_NOT_FOUND for an unknown gate. */
MUST_USE enum rc store_gate_runs(struct store_tx *tx, const char *gate, uint32_t limit,
                                 struct store_gate_run **ret, size_t *n, struct err *err);

/* Rows by group: ("jobs", "queued", 3), ("models", "all", 2), ... */
struct store_count {
    const char *what, *group;
    int64_t n;
};
MUST_USE enum rc store_counts(struct store_tx *tx, struct store_count **ret, size_t *n, struct err *err);
