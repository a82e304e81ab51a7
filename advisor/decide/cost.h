/* cost.h -- price per hour / 3600 / throughput x 10^6: USD per million predictions or tokens; with 1 per
 * hour, machine-hours. */
#pragma once

#include <math.h>

#include "advisor/decide/throughput.h"

struct cost {
    double value, low, high; /* per million; NAN when the throughput is not known */
};

/* Inline, as are the verdicts in budget.h: a question over 10,000 configurations calls them that often. */
static inline struct cost cost_of(double price_per_hour, const struct throughput *t) {
    double scale = price_per_hour / 3600 * 1e6;
    if (!(t->per_s > 0)) {
        return (struct cost){NAN, NAN, NAN};
    }
    return (struct cost){scale / t->per_s, scale / t->high, scale / t->low};
}

/* Cost of a divided by cost of b, paired round by round where both allow it; prices per hour of each. */
void cost_ratio(const struct throughput *a, double price_a, const struct throughput *b, double price_b,
                double margin, double confidence, struct ratio_bounds *ret);
