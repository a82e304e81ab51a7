/* gates.h -- CI verdicts on budgets and floors, with their history. */
#pragma once

#include <jansson.h>

#include "advisor/jobs/views.h"
#include "core/base/err.h"

struct jobs;

/* {"model": id or name, "budgets": [..], "floors": [..], "recipe"?, "study"?} -> {"gate", "run", "verdict",
 * "exit_code", "checks", "markdown"}; kept in the history of gate `name` (letters, digits, ._-; made when
 * new). */
MUST_USE enum rc gates_run(struct jobs *j, const char *name, const json_t *body, json_t **ret,
                           struct err *err);
MUST_USE enum rc gates_list(struct jobs *j, const struct view_page *page, json_t **ret, struct err *err);
/* {"name", "runs": newest first} */
MUST_USE enum rc gates_get(struct jobs *j, const char *name, json_t **ret, struct err *err);
