/* queue.h -- how long queries wait when they come at random: Erlang's formulas for exponential service times,
 * and a replay of measured ones for all others.
 *
 * Arrivals are Poisson at `rate_per_s`; the queue is first come, first served, before `servers` equal
 * servers. Erlang (1917) as in Kleinrock (1975), section 3.8: c servers, a = rate * mean service time, load
 * rho = a / c; the chance to wait is C(c, a), the mean number waiting L_q = C(c, a) rho / (1 - rho). */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

/* Erlang B (blocked) and C (must wait): `offered` = rate * mean service time. C is 1 at offered >= servers.
 */
double queue_erlang_b(uint32_t servers, double offered);
double queue_erlang_c(uint32_t servers, double offered);
/* Mean number waiting; INFINITY at offered >= servers. */
double queue_erlang_waiting(uint32_t servers, double offered);

enum { QUEUE_MAX_SERVERS = 4096 };

struct queue_load {
    const float *service_us; /* [n] measured, in the order of measurement, above 0 */
    size_t n;
    uint32_t servers; /* 1 .. QUEUE_MAX_SERVERS */
    double rate_per_s;
    size_t queries; /* replayed after as many again / 4 that fill the queue and are not counted */
    uint64_t seed;
};

struct queue_result {
    double mean_wait_us, mean_response_us; /* response = wait + service */
    double mean_waiting;                   /* queries waiting, over time: rate * mean wait (Little 1961) */
    double busy;                           /* share of the servers' time */
};

/* Replays the measured times in their order, from a random place on and around again, so that a slow phase
 * stays one. response_us: [queries], in the order of arrival. Where the load is more than the servers can do,
 * times grow with the length of the replay. RC_INPUT, RC_MEMORY. */
MUST_USE enum rc queue_replay(const struct queue_load *load, float *response_us, struct queue_result *ret,
                              struct err *err);
