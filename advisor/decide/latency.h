/* latency.h -- what a latency budget needs to know of a sample, computed once when a profile is stored, exact
 * for any budget.
 *
 * With k the most samples that may exceed a limit (core/stats/binomial.h), "p99 is within 5 ms" is shown
 * exactly when the order statistic of rank n - k is within 5 ms; likewise for "p99 is over 5 ms". So each
 * percentile keeps three numbers: its value and those two order statistics, and no budget ever needs the
 * sample again. They hold for one confidence: store a summary for each of LATENCY_CONFIDENCES and compute
 * others from the sample. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/err.h"

/* X(code, name, quantile). LATENCY_MEAN has no quantile. */
#define LATENCY_TABLE(X)                                                                                     \
    X(LATENCY_P50, "p50", 0.5)                                                                               \
    X(LATENCY_P90, "p90", 0.9)                                                                               \
    X(LATENCY_P95, "p95", 0.95)                                                                              \
    X(LATENCY_P99, "p99", 0.99)                                                                              \
    X(LATENCY_P999, "p99.9", 0.999)                                                                          \
    X(LATENCY_MEAN, "mean", 0)

enum latency_figure {
#define X(code, name, quantile) code,
    LATENCY_TABLE(X)
#undef X
        LATENCY_COUNT
};

enum { LATENCY_CONFIDENCE_COUNT = 3 };
extern const double LATENCY_CONFIDENCES[LATENCY_CONFIDENCE_COUNT]; /* 0.90 0.95 0.99 */

struct latency_point {
    float value_us; /* NAN: this percentile is not supported at n (binomial rule with one exceedance) */
    float low_us;   /* budgets below are broken; 0: no budget can be shown broken yet */
    float high_us;  /* budgets from here on are met; INFINITY: none can be shown met yet */
};

struct latency {
    uint32_t n;
    float confidence;
    struct latency_point points[LATENCY_COUNT];
};

const char *latency_name(enum latency_figure f); /* "p99.9" */
double latency_quantile(enum latency_figure f);
/* LATENCY_COUNT for an unknown name. */
enum latency_figure latency_from_name(const char *name);

/* Samples in microseconds, in the order of measurement. RC_INPUT: none, a negative or not finite one.
 * RC_MEMORY. */
MUST_USE enum rc latency_summarise(const float *samples_us, size_t n, double confidence, struct latency *ret,
                                   struct err *err);

/* Least n at which the percentile is reported (0 for the mean): "p99.9 needs n >= 4742". */
uint64_t latency_min_n(enum latency_figure f, double confidence);

MUST_USE enum rc latency_pack(const struct latency *l, struct buf *out, struct err *err);
MUST_USE enum rc latency_unpack(const void *data, size_t size, struct latency *ret, struct err *err);
