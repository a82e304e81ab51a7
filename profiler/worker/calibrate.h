/* calibrate.h -- the roofline of this machine (Williams, Waterman and Patterson, 2009): how many operations a
 * second the runtime's matrix products reach at best, how fast memory is copied, and what an operator costs
 * that does nothing. Explanations hold what a model needs against it. Takes one to two seconds. */
#pragma once

#include <jansson.h>

#include "core/base/err.h"

/* Raise it when another version of this file measures something else: agents then measure again. */
enum { CALIBRATE_VERSION = 1 };

/* The object described in docs/protocol.md, "Roofline". What could not be measured is null with a reason. The
 * caller owns *ret. RC_MEMORY, or what starting the runtime says. */
MUST_USE enum rc calibrate_run(json_t **ret, struct err *err);
