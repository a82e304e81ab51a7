/* mixed_choose.h -- one of a few widths for each layer: least loss for a given cost. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

enum mixed_width { MIXED_FP32, MIXED_INT8, MIXED_INT4, MIXED_WIDTHS };

/* What a layer costs and loses with each width; only offered ones count. Losses of layers add up. */
struct mixed_prices {
    bool offered[MIXED_WIDTHS]; /* MIXED_FP32 always */
    double cost[MIXED_WIDTHS];  /* not negative */
    double loss[MIXED_WIDTHS];  /* not negative; may be INFINITY */
};

/* Sums of the cheapest and of the dearest width of each layer. */
void mixed_cost_limits(const struct mixed_prices *layers, size_t count, double *least, double *most);

/* The widths of least total loss whose total cost is at most `budget` (a multiple-choice knapsack, solved by
 * dynamic programming over 4,096 steps of cost, rounded up: never over the budget, and within a step a layer
 * of the best). Of equal ones the wider. RC_UNSUPPORTED when even the cheapest widths cost more. */
MUST_USE enum rc mixed_choose(const struct mixed_prices *layers, size_t count, double budget,
                              enum mixed_width *widths, struct err *err);
