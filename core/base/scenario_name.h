/* scenario_name.h -- the ways of asking that are measured, by MLPerf's names. */
#pragma once

#include "core/base/err.h"

enum scenario_kind {
    SCENARIO_SINGLE_STREAM, /* one query at a time, one instance */
    SCENARIO_MULTI_STREAM,  /* queries of several samples, one at a time */
    SCENARIO_SERVER,        /* Poisson arrivals, the highest rate within the latency budget */
    SCENARIO_OFFLINE,       /* all instances busy */
    SCENARIO_COUNT
};

const char *scenario_name(enum scenario_kind kind); /* "single-stream" */

/* RC_INPUT: unknown, with the nearest name. */
MUST_USE enum rc scenario_parse(const char *name, enum scenario_kind *ret, struct err *err);
