/* answer_csv.h -- a recommendation as CSV for programs: one row a configuration, bare numbers, units in the
 * headers. */
#pragma once

#include <jansson.h>
#include <stdio.h>

#include "core/base/err.h"

/* `answer` is the JSON of DESIGN section 8. A figure that is not there is an empty cell. */
MUST_USE enum rc answer_csv(const json_t *answer, FILE *out, struct err *err);
