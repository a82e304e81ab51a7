/* self_test.h -- tries, from inside the sandbox, what a hostile model would try. */
#pragma once

#include <stdbool.h>

#include "profiler/worker/lines.h"

/* Prints one result line {"checks": [{"check": "...", "blocked": true, "errno": "..."}], "blocked": true}.
 * Returns false when something was not blocked. Called after sandbox_enter. */
bool self_test_run(struct lines *lines);
