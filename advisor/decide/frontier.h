/* frontier.h -- sorting by cost, and what is not beaten in cost, accuracy and latency at once. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

struct frontier_point {
    double cost;
    uint32_t group;   /* points of one group are equally accurate (the candidates of a variant) */
    float latency_us; /* INFINITY: not known */
};

/* order[n] = indices by ascending cost, equal costs in their given order, NAN last. Costs are not negative.
 */
MUST_USE enum rc frontier_sort(const struct frontier_point *points, size_t n, uint32_t *order,
                               struct err *err);

/* Writes the indices of the points that no other point beats (at least as good in all three, better in one)
 * to ret[n], in the given order, which is by cost; of equal points the first. accuracy[group_count]: larger
 * is better; NAN: not measured, never on the frontier. *count of them. */
MUST_USE enum rc frontier_find(const struct frontier_point *points, const uint32_t *order, size_t n,
                               const double *accuracy, size_t group_count, uint32_t *ret, size_t *count,
                               struct err *err);
