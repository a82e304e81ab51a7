/* compare_measure.h -- a comparison run from the command line: followed until it is decided, and printed. */
#pragma once

#include <jansson.h>

#include "advisor/cli/client.h"
#include "advisor/cli/table.h"
#include "core/base/err.h"

/* "2%" or "0.02" -> 0.02. RC_USAGE. */
MUST_USE enum rc compare_margin(const char *text, double *ret, struct err *err);

/* Looks at the comparison until it has ended, with progress on standard error. The caller owns *ret. Where it
 * did not end well: its own error. */
MUST_USE enum rc compare_follow(struct client *c, const char *id, json_t **ret, struct err *err);

/* Prints an ended comparison. */
MUST_USE enum rc compare_print(const json_t *comparison, enum output output, struct err *err);

/* 0 the same or faster, 1 slower, 3 undecided. */
int compare_exit_code(const json_t *comparison);
