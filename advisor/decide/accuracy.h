/* accuracy.h -- what a floor needs to know of one metric of one variant, computed once when an evaluation is
 * stored: for any floor and confidence asked later, without the scores of the examples.
 *
 * Right/wrong scores (one column, every denominator 1, numerators 0 or 1) become the 2x2 table of counts
 * against the baseline; all others (labels per position, f1, errors, perplexity) become bootstrap replicates
 * (core/stats/bootstrap.h), rows being the unit. Packed size: about 100 bytes or about 16 kB. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "advisor/decide/metric.h"
#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/stats/bootstrap.h"
#include "core/stats/paired.h"

enum accuracy_kind { ACCURACY_COUNTS, ACCURACY_BOOTSTRAP };

struct accuracy {
    enum metric metric;
    enum accuracy_kind kind;
    bool paired;     /* measured beside the baseline on the same examples; else only absolute floors */
    uint64_t n;      /* examples (rows) */
    double value;    /* the metric of the variant */
    double baseline; /* of the baseline; NAN when not paired */
    struct paired_counts counts; /* ACCURACY_COUNTS; not paired: right in only_variant, wrong in neither */
    struct bootstrap bootstrap;  /* ACCURACY_BOOTSTRAP; owned */
};

/* Summarises scores [rows, columns, 2] as in docs/protocol.md (numerator, denominator a column) of the
 * variant and, for the same examples in the same order, of the baseline (NULL: alone; for the baseline itself
 * and for agreement and kld, which are figures against the baseline already). Deterministic. Time: up to a
 * second for 10,000 rows with many columns. RC_INPUT: a value that is not finite, no rows, no positive
 * denominator. On failure *ret is untouched. Release with accuracy_free. */
MUST_USE enum rc accuracy_summarise(enum metric metric, const float *variant, const float *baseline,
                                    size_t rows, size_t columns, struct accuracy *ret, struct err *err);
void accuracy_free(struct accuracy *a); /* an all-zero struct is fine */

/* A packed form for the store: little-endian, versioned. RC_INPUT from unpack for bytes that are not one. */
MUST_USE enum rc accuracy_pack(const struct accuracy *a, struct buf *out, struct err *err);
MUST_USE enum rc accuracy_unpack(const void *data, size_t size, struct accuracy *ret, struct err *err);

/* What the answer shows beside the value. One-sided bounds at `confidence`. */
struct accuracy_bounds {
    double lower, upper;                 /* of the metric itself */
    double drop, drop_lower, drop_upper; /* how much worse than the baseline (baseline - variant, or variant -
                                            baseline where smaller is better); NAN when not paired */
    const char *test;                    /* of the drop: "Tango score test" or "paired bootstrap (BCa)" */
};
MUST_USE enum rc accuracy_bound(const struct accuracy *a, double confidence, struct accuracy_bounds *ret,
                                struct err *err);
