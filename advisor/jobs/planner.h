/* planner.h -- carries a study from submission to its answer.
 *
 *   queued -> inspect -> plan -> compress each recipe -> profile each variant x runtime settings x machine
 * type
 *          -> evaluate: the baseline, then from the cheapest up (or all) -> answer -> done
 *
 * Nothing is kept in memory: each call looks at what the store holds and adds the jobs that are missing, so a
 * study goes on after any kill. What another study has made already is used. A variant that fails is out with
 * its reason; only a failed inspection, or limits that make no sense for the data, fail the study. */
#pragma once

#include "core/base/err.h"
#include "db/store.h"

/* Blocking. Advances one open study as far as it goes without waiting. RC_OK also when it has to wait for
 * work, has ended, or was failed by what was found. */
MUST_USE enum rc planner_advance(struct store *s, const char *study, struct err *err);
