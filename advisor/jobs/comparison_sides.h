/* comparison_sides.h -- what a comparison run measures: its two sides found in the store, and the job for
 * each replicate (docs/protocol.md, "compare"). */
#pragma once

#include <jansson.h>

#include "advisor/jobs/comparisons.h"
#include "advisor/jobs/work.h"

enum { COMPARISON_FILES_MAX = 4096 };

struct comparison_plan {
    char id[IDENT_SIZE], key[IDENT_SIZE];
    const char *machine_type;
    const char *request_json, *spec_json; /* all texts in the transaction's memory */
    const char *files[COMPARISON_FILES_MAX];
    size_t n_files;
};

/* Reads inside one transaction. */
MUST_USE enum rc comparison_plan_make(struct store_tx *tx, const struct comparison_wish *wish,
                                      struct comparison_plan *ret, struct err *err);
