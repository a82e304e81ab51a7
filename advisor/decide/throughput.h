/* throughput.h -- examples (or tokens) a second of a whole machine, with its uncertainty. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/stats/ratio.h"

struct throughput {
    double per_s;
    double low, high; /* one-sided bounds at the confidence; = per_s when the error is not known */
    double log_error; /* standard error of log(per_s); 0 with freedom 0: not known, taken as exact */
    uint32_t freedom;
    uint32_t round_count; /* replicates over fresh processes; two candidates are compared round by round
                             (paired) where */
    const float *
        rounds; /* both have the same number of at least 2 with the same round_group. Borrowed; may be NULL */
    uint64_t round_group; /* 0: none */
};

/* From the samples of the `offline` scenario (closed loop: throughput is inverse to the mean latency), in the
 * order of completion, and the throughput that was measured. Error by batch means. RC_INPUT: per_s not
 * from 1e-9 to 1e12, or bad samples. */
MUST_USE enum rc throughput_from_samples(double per_s, const float *samples_us, size_t n, double confidence,
                                         struct throughput *ret, struct err *err);

/* From a search that showed `met_per_s` and not `unmet_per_s` above it: the rate is somewhere between, so the
 * lower end is taken, with the deviation of a uniform distribution over the bracket (in logarithms, width /
 * sqrt(12)) as its error. Where the search ended early and the bracket is wide, no more than a tenth counts:
 * what is not known there is how much better it is. RC_INPUT: ends that are no rates, or in the wrong order.
 */
MUST_USE enum rc throughput_from_bracket(double met_per_s, double unmet_per_s, double confidence,
                                         struct throughput *ret, struct err *err);

/* From replicates over fresh processes (borrowed in *ret); n at least 2. */
MUST_USE enum rc throughput_from_rounds(const float *rounds_per_s, size_t n, uint64_t group,
                                        double confidence, struct throughput *ret, struct err *err);

/* One figure without a known error. */
struct throughput throughput_exact(double per_s);
