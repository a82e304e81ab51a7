/* study_scenarios.h -- which scenarios a study measures, and in which one its budgets and its cost are
 * judged.
 *
 * Single-stream and offline are always measured. A study that asks for `server` and has a budget for a
 * latency percentile is judged in it: its latencies are those of the highest rate that keeps the budget, and
 * that rate is what a machine can sell. Everything else is judged in `offline`. A server's figures belong to
 * the budgets they were found under, so they are stored under a name that holds them: "server p99<=5ms". */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "advisor/jobs/limits.h"
#include "core/base/err.h"
#include "core/base/scenario_name.h"

enum { STUDY_SCENARIO_SIZE = 320 };

/* Checks "scenarios" of `object` (absent or null: none) and gives the whole list in a fixed order,
 * single-stream and offline included. RC_INPUT. A new reference. */
MUST_USE enum rc study_scenarios_read(const json_t *object, json_t **ret, struct err *err);

/* Whether "scenarios" of a request lists it. Requests from before there was a choice list none. */
bool study_scenarios_has(const json_t *request, enum scenario_kind kind);

/* Name under which a server's figures are stored; "" where no budget is for a latency percentile. Equal
 * budgets in any order and number give the same name. */
void study_scenarios_server(const struct limits *l, char name[STUDY_SCENARIO_SIZE]);

/* [{"quantile", "limit_us"}]: the tightest budget of each percentile. A new reference. */
json_t *study_scenarios_limits(const struct limits *l);
