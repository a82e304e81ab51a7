/* contenders.h -- a study of many levels measures cheaply first: every level that can help with one setting,
 * the others only for those that can still win (advisor/decide/contend.h). What is left out is listed with
 * its reason.
 *
 * In the plan: "staged": true; "cannot_help": recipes that are not measured unless nothing else qualifies;
 * "started", "wide": ids of variants that are measured after all, with one setting and with all; "skipped":
 * at the end, what was left out: [{"variant", "recipe", "settings": "all" | "others", "reason"}]. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "advisor/jobs/question.h"
#include "advisor/jobs/work.h"
#include "core/base/err.h"

/* Studies of more recipes than this are staged, where a floor decides and not everything is to be evaluated.
 */
enum { CONTENDERS_STAGED_ABOVE = 8 };
bool contenders_staged(const struct work_study *s, const json_t *recipes);

/* Whether the variant is made at all yet; whether it is measured then (a file that breaks a budget is not);
 * and with which of its settings: the first, or all. */
bool contenders_started(const json_t *plan, const struct store_variant *v);
bool contenders_profiled(const struct work_study *s, const struct store_variant *v);
bool contenders_wide(const json_t *plan, const struct store_variant *v, bool is_baseline);

/* Asked when nothing is to be evaluated: adds to the plan what is worth measuring, *more is then true.
 * Otherwise the plan and the question get the list of what was left out. */
MUST_USE enum rc contenders_measure_more(struct store *s, const char *study, struct question *q, bool *more,
                                         struct err *err);
