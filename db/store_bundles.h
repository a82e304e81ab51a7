/* store_bundles.h -- bundles of work for machines that cannot reach the service. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "db/store.h"

enum { STORE_BUNDLE_KEY = 32 };

struct store_bundle {
    const char *id, *study;
    const uint8_t *public_key;                /* [STORE_BUNDLE_KEY] */
    const char *bundle_json;                  /* what was packed, without the secret key */
    const char *results_sha256, *answer_json; /* NULL until its results were imported */
    int64_t imported_ms;
};

MUST_USE enum rc store_bundle_add(struct store_tx *tx, const struct store_bundle *b, struct err *err);
MUST_USE enum rc store_bundle_get(struct store_tx *tx, const char *id, struct store_bundle *ret,
                                  struct err *err);
/* Notes what was imported. RC_CONFLICT when something was before. */
MUST_USE enum rc store_bundle_imported(struct store_tx *tx, const char *id, const char *results_sha256,
                                       const char *answer_json, struct err *err);
