/* comparison_tail.h -- what an ended comparison says beside its verdict: the ratio at p90, from the samples
 * of all replicates (core/stats/hierarchical.h). */
#pragma once

#include <jansson.h>

#include "core/base/err.h"
#include "db/store.h"

/* {"p90_ratio": {"value", "low", "high"} | null}: null where a replicate has too few samples for a p90.
 * Blocking: reads the sample files. Must not be called inside a transaction. */
MUST_USE enum rc comparison_tail(struct store *s, const char *id, double confidence, json_t **ret,
                                 struct err *err);
