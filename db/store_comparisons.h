/* store_comparisons.h -- comparison runs and their replicates. A comparison is running until it is ended; its
 * replicates are added one by one, each in the transaction that finishes its job. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/err.h"
#include "db/store.h"

struct store_comparison {
    const char *id, *key, *state; /* running, done, failed, cancelled */
    const char *machine_type, *request_json, *spec_json;
    const char *verdict, *result_json, *error_code, *error_text; /* NULL before the end */
    int64_t created_ms, finished_ms;
};

/* `files`: hashes of the blobs that it measures with. */
MUST_USE enum rc store_comparison_add(struct store_tx *tx, const struct store_comparison *c,
                                      const char *const *files, size_t n, struct err *err);
MUST_USE enum rc store_comparison_get(struct store_tx *tx, const char *id, struct store_comparison *ret,
                                      struct err *err);
/* The newest of that key. RC_NOT_FOUND. */
MUST_USE enum rc store_comparison_by_key(struct store_tx *tx, const char *key, struct store_comparison *ret,
                                         struct err *err);
/* Ids of the running ones, oldest first. */
MUST_USE enum rc store_comparisons_open(struct store_tx *tx, const char ***ret, size_t *n, struct err *err);
/* Ends a running one: done with verdict and result, failed with code and text, or cancelled. RC_CONFLICT if
 * it has ended. */
MUST_USE enum rc store_comparison_end(struct store_tx *tx, const struct store_comparison *c, struct err *err);

struct store_replicate {
    int64_t number;
    double log_ratio, seconds;
    bool stable;
    const char *result_json;
};

struct store_replicate_samples {
    const char *side, *sha256; /* "model", "reference" */
    int64_t samples;
};

/* Adding one twice keeps the first. */
MUST_USE enum rc store_replicate_add(struct store_tx *tx, const char *comparison,
                                     const struct store_replicate *r,
                                     const struct store_replicate_samples *samples, size_t n,
                                     struct err *err);
/* By number. */
MUST_USE enum rc store_replicates(struct store_tx *tx, const char *comparison, struct store_replicate **ret,
                                  size_t *n, struct err *err);
/* Of one replicate; RC_NOT_FOUND. */
MUST_USE enum rc store_replicate_sample(struct store_tx *tx, const char *comparison, int64_t number,
                                        const char *side, struct store_replicate_samples *ret,
                                        struct err *err);
