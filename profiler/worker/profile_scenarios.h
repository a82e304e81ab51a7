/* profile_scenarios.h -- runs the scenarios of a configuration once, and sees how the machine did meanwhile.
 * Single-stream and offline always, since the others begin from what they find; multi-stream and server where
 * they were asked for and make sense. */
#pragma once

#include <jansson.h>

#include "core/base/err.h"
#include "profiler/worker/conditions.h"
#include "profiler/worker/energy.h"
#include "profiler/worker/lines.h"
#include "profiler/worker/profile.h"
#include "profiler/worker/scenario.h"
#include "profiler/worker/server_rate.h"

struct profile_measured {
    struct conditions conditions;
    struct scenario_sample single, offline; /* offline is empty with one instance: single stands for both */
    struct scenario_sample multi;           /* empty: not measured. us a query */
    struct server_rate_result server;       /* n 0: not measured */
    struct energy_meter meter;
    struct energy_use use; /* with all instances busy */
    json_t *skipped;       /* [{"scenario", "why"}] */
};

/* Fills *ret, which is zeroed. Release with profile_scenarios_release, also after an error. */
MUST_USE enum rc profile_scenarios_run(struct lines *lines, const struct profile_settings *settings,
                                       const struct profile_subject *subject, struct profile_measured *ret,
                                       struct err *err);
/* Zeroes it. */
void profile_scenarios_release(struct profile_measured *m);
