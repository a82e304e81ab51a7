/* limits.h -- the "floors" and "budgets" of a request: lists of texts, read by advisor/decide. */
#pragma once

#include <jansson.h>
#include <stddef.h>

#include "advisor/decide/budget.h"
#include "advisor/decide/floor.h"
#include "advisor/decide/recommend.h"
#include "core/base/err.h"

struct limits {
    struct floor floors[RECOMMEND_MAX_LIMITS];
    struct budget budgets[RECOMMEND_MAX_LIMITS];
    size_t floor_count, budget_count; /* together at most RECOMMEND_MAX_LIMITS */
};

/* Reads both lists of `object`; absent is empty. RC_INPUT with what is wrong in which. */
MUST_USE enum rc limits_read(const json_t *object, struct limits *ret, struct err *err);

/* The lists in canonical form, new references. */
MUST_USE enum rc limits_canonical(const json_t *object, json_t **floors, json_t **budgets, struct err *err);
