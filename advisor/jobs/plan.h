/* plan.h -- what a study will do, decided once from what the inspection found: recipes with the choices that
 * depend on the hardware, machine types, batches, the split of the data, whether a reference model is needed.
 */
#pragma once

#include <jansson.h>

#include "advisor/jobs/work.h"
#include "core/base/err.h"
#include "db/store.h"

/* `inspect` is the worker's result. The plan (work.h says its shape) is stored by the caller. RC_INPUT: the
 * limits cannot be judged on this data, with what could. */
MUST_USE enum rc plan_make(struct store_tx *tx, const struct work_study *s, const json_t *inspect,
                           json_t **ret, struct err *err);
