/* prune_budget.h -- how many weights each layer loses, so that together they lose a given part. Pure. */
#pragma once

#include <stddef.h>

enum { PRUNE_BUDGET_POINTS = 3 };
extern const double prune_budget_ratios[PRUNE_BUDGET_POINTS]; /* where the loss is measured: 0.25 0.5 0.75 */

struct prune_curve {
    size_t weights;
    double losses[PRUNE_BUDGET_POINTS]; /* at prune_budget_ratios; not negative, not falling */
    double weight;                      /* what a unit of loss costs here, against other layers */
};

/* Weighted loss at `ratio`, 0 .. 1: nothing at 0, like the square up to the first point, then growing by a
 * constant factor between points and beyond the last. */
double prune_budget_loss(const struct prune_curve *c, double ratio);

/* Chooses ratios[i], 0.05 to 0.95, so that the part `ratio` (within those) of all weights goes, with little
 * weighted loss: for a price of a weight each layer takes its cheapest ratio, and the price rises until
 * enough go (Everett 1963, generalised Lagrange multipliers). */
void prune_budget_choose(const struct prune_curve *curves, size_t count, double ratio, double *ratios);
