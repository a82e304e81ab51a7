/* gates.h -- CI verdicts on budgets and floors, with their history. */
#pragma once

#include <jansson.h>

#include "advisor/jobs/views.h"
#include "core/base/err.h"

struct jobs;

/* {"model": id or name, "budgets": [..], "floors": [..], "recipe"?, "study"?, "comparison"?,
 * "no_slower_than"?: {"model": id or name, "margin"?, "time_limit_s"?}} -> {"gate", "run", "verdict",
 * "exit_code", "checks", "markdown"}; kept in the history of gate `name` (letters, digits, ._-; made when
 * new). Where "no_slower_than" needs a comparison run that is not decided yet, it is begun and the answer is
 * {"gate", "waiting_for": its id, "comparison"}: ask again when it has ended. */
MUST_USE enum rc gates_run(struct jobs *j, const char *name, const json_t *body, json_t **ret,
                           struct err *err);
MUST_USE enum rc gates_list(struct jobs *j, const struct view_page *page, json_t **ret, struct err *err);
/* {"name", "runs": newest first} */
MUST_USE enum rc gates_get(struct jobs *j, const char *name, json_t **ret, struct err *err);
