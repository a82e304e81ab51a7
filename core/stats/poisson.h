/* poisson.h -- when queries arrive that come independently of each other at a constant mean rate: the gaps
 * are exponential. Equal seeds give equal schedules on every machine. */
#pragma once

#include <stddef.h>

#include "core/stats/rng.h"

/* One gap of mean 1: inverse transform, -log(1 - u). */
double poisson_gap(struct rng *r);

/* Fills at_s[n] with the times of arrival in seconds after the start, ascending, at `rate_per_s` (above 0).
 * Schedules of one seed at different rates are the same but for their scale, so that two rates are compared
 * on the same luck. */
void poisson_schedule(uint64_t seed, double rate_per_s, double *at_s, size_t n);
