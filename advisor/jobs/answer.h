/* answer.h -- recommendations in the one shape of DESIGN section 8, and comparison of configurations. */
#pragma once

#include <jansson.h>

#include "advisor/jobs/views.h"
#include "core/base/err.h"

struct jobs;

/* {"study"} or {"model", "dataset"?, "floors", "budgets", "targets"? | "machine_types"?, "price_per_hour"?,
 * "confidence"?}: decides over what is stored, stores the answer, gives it. RC_NOT_FOUND when nothing of that
 * model was measured. */
MUST_USE enum rc answer_recommend(struct jobs *j, const json_t *body, json_t **ret, struct err *err);

/* A stored answer, byte for byte the same each time. */
MUST_USE enum rc answer_get(struct jobs *j, const char *id, json_t **ret, struct err *err);

/* A page of its rejected, cheapest first; the cursor is the position of the first. Those of the answer itself
 * are whole, later ones have their names and the reason. */
MUST_USE enum rc answer_rejected(struct jobs *j, const char *id, const struct view_page *page, json_t **ret,
                                 struct err *err);

/* {"configurations": [ids]} (2 to 20), paired against the first. */
MUST_USE enum rc answer_compare(struct jobs *j, const json_t *body, json_t **ret, struct err *err);
