/* policy.h -- a gate's policy: budgets and floors kept in a repository as pare.json. */
#pragma once

#include <jansson.h>

#include "advisor/cli/study_request.h"

struct policy {
    json_t *json;                 /* the texts below belong to it */
    const char *gate;             /* "name": letters, digits, ._- */
    struct study_request request; /* paths relative to the policy's folder are resolved */
    const char *recipe;           /* the level that must pass; NULL: the recommended one */
    char paths[3][4096];
    json_t *no_slower_than; /* NULL: none */
    char reference[4096];   /* the model that it names */
};

/* {"name", "model": path, "data": path, "calibration"?: path, "floors": [..], "budgets": [..], "recipe"?,
 * "no_slower_than"?: {"model": path, "margin"?, "time_limit_s"?}, "recipes"?: [..], "preset"?, "threads"?,
 * "price_per_hour"?, "confidence"?}. RC_INPUT with the field that is wrong. */
MUST_USE enum rc policy_read(const char *file, struct policy *p, struct err *err);
void policy_free(struct policy *p);
