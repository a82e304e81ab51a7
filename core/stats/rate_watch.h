/* rate_watch.h -- looks at latencies while they come and says as early as can be shown whether percentiles
 * are within their limits: MLPerf's early stopping (binomial.h), in two ways.
 *
 * Short: it looks whenever the number of samples has doubled, each look with an equal share of 1 - confidence
 * (Bonferroni), so that all looks together call a limit wrongly met, or wrongly broken, with at most 1 -
 * confidence. Latencies in a queue are not independent, though: what follows a long wait waits too. So short
 * ones steer a search (rate_search.h), and what is answered is measured in full.
 *
 * Full: one look, at the end; it ends before only when so many are over a limit already that it cannot be met
 * any more, which changes no verdict. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/stats/binomial.h"

enum { RATE_WATCH_LIMITS_MAX = 8 };

struct rate_limit {
    double quantile; /* in (0, 1) */
    double limit_us;
};

enum rate_watch_kind { RATE_WATCH_SHORT, RATE_WATCH_FULL };

struct rate_watch {
    enum rate_watch_kind kind;
    const struct rate_limit *limits; /* borrowed; 1 to RATE_WATCH_LIMITS_MAX */
    size_t count;
    double confidence; /* of one look */
    uint64_t most;     /* samples: the last look is there */
    uint64_t n, next_look;
    uint64_t over[RATE_WATCH_LIMITS_MAX];
    int64_t may_be_over[RATE_WATCH_LIMITS_MAX]; /* of `most` */
    enum binomial_verdict verdict; /* met: every limit; broken: one of them, as far as was looked */
    bool done;
};

/* `most` at least 1. */
void rate_watch_init(struct rate_watch *w, enum rate_watch_kind kind, const struct rate_limit *limits,
                     size_t count, double confidence, uint64_t most);

/* One more latency (NAN is over every limit). True once it is decided, or `most` were seen; then `verdict`
 * stays and nothing is added. */
bool rate_watch_add(struct rate_watch *w, double latency_us);

/* Looks now, whatever n is: for when no more samples come. */
void rate_watch_end(struct rate_watch *w);

/* How many samples a full measurement of these limits takes: four times what shows the highest percentile
 * with one sample over it, and at least `least`. */
uint64_t rate_watch_samples(const struct rate_limit *limits, size_t count, double confidence, uint64_t least);

/* How many a probe of that kind takes at most where a full one takes `full`: a short one a third, which still
 * is enough to call every limit met. */
uint64_t rate_watch_most(enum rate_watch_kind kind, uint64_t full);
