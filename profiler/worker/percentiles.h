/* percentiles.h -- what a sample of latencies says: the mean, and the percentiles that it supports. */
#pragma once

#include <jansson.h>
#include <stddef.h>

#include "core/base/err.h"

/* Fills {"latency_us": {"mean", "p50", "p90", "p99", "p99.9"}, "unsupported": ["p99.9 needs n >= 4742", ...]}
 * into `object`. A percentile q is supported when n samples could show it within a limit at 95 % confidence
 * with one of them above it (the rule of MLPerf's early stopping; core/stats/binomial.h). `us` [n], n at
 * least 1, is left as it is. */
MUST_USE enum rc percentiles_summary(const float *us, size_t n, json_t *object, struct err *err);
