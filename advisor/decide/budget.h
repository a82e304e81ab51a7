/* budget.h -- budgets: reading them, printing them, holding a configuration against one.
 *
 *   p50 p90 p95 p99 p99.9 mean <= 5ms | 800us | 1s       bound in us
 *   throughput >= 200/s                                    bound in 1/s
 *   memory, size <= 512MiB | 1GiB | 64KiB | 20MB | 100B    bound in bytes
 *   cost <= 0.5usd                                         bound in USD per million predictions or tokens
 *   instructions <= 36M | 1.5G | 800k | 1200               bound in instructions an inference, which is the
 * same at every run */
#pragma once

#include <math.h>

#include "advisor/decide/check.h"
#include "advisor/decide/cost.h"
#include "advisor/decide/latency.h"
#include "advisor/decide/throughput.h"
#include "core/base/err.h"

enum budget_kind {
    BUDGET_LATENCY,
    BUDGET_THROUGHPUT,
    BUDGET_MEMORY,
    BUDGET_SIZE,
    BUDGET_COST,
    BUDGET_INSTRUCTIONS
};

struct budget {
    enum budget_kind kind;
    enum latency_figure figure; /* of BUDGET_LATENCY */
    double bound;               /* us, 1/s, bytes, USD per million or instructions */
};

enum { BUDGET_TEXT_SIZE = 48 };

/* RC_INPUT: unknown word or unit (with the nearest valid one), wrong direction, not a positive number, or a
 * missing unit. */
MUST_USE enum rc budget_parse(const char *text, struct budget *ret, struct err *err);
/* Canonical form, in the largest unit that prints it exactly: "p99<=5ms". */
void budget_text(const struct budget *b, char text[BUDGET_TEXT_SIZE]);

/* What is held against budgets. Values that are not known: NAN (memory, size), NULL (latency). */
struct budget_subject {
    const struct latency *latency;
    const struct throughput *throughput;
    double memory_bytes, size_bytes;
    struct cost cost;
    double instructions;         /* an inference; not above 0: not counted */
    const char *instructions_by; /* "callgrind", or "PAPI" */
};

/* Units in *ret as in budget.bound. */
void budget_judge(const struct budget *b, const struct budget_subject *s, struct check *ret);

/* A figure and its bounds; all NAN when it was not measured. */
struct budget_range {
    double value, low, high;
};

static inline struct budget_range budget_range_of(const struct budget *b, const struct budget_subject *s) {
    struct budget_range none = {NAN, NAN, NAN};
    switch (b->kind) {
    case BUDGET_LATENCY:
        if (s->latency && s->latency->n) {
            const struct latency_point *p = &s->latency->points[b->figure];
            return (struct budget_range){(double)p->value_us, (double)p->low_us, (double)p->high_us};
        }
        return none;
    case BUDGET_THROUGHPUT:
        if (s->throughput && s->throughput->per_s > 0) {
            return (struct budget_range){s->throughput->per_s, s->throughput->low, s->throughput->high};
        }
        return none;
    case BUDGET_MEMORY:
        return (struct budget_range){s->memory_bytes, s->memory_bytes, s->memory_bytes};
    case BUDGET_SIZE:
        return (struct budget_range){s->size_bytes, s->size_bytes, s->size_bytes};
    case BUDGET_COST:
        return (struct budget_range){s->cost.value, s->cost.low, s->cost.high};
    case BUDGET_INSTRUCTIONS:
        return s->instructions > 0 ? (struct budget_range){s->instructions, s->instructions, s->instructions}
                                   : none;
    }
    return none;
}

/* The verdict alone. Comparisons with NAN are false, so that what was not measured is undecided. */
static inline enum verdict budget_verdict(const struct budget *b, const struct budget_subject *s) {
    struct budget_range r = budget_range_of(b, s);
    if (b->kind == BUDGET_THROUGHPUT) {
        return r.low >= b->bound ? VERDICT_MET : (r.high < b->bound ? VERDICT_BROKEN : VERDICT_UNDECIDED);
    }
    return r.high <= b->bound ? VERDICT_MET : (r.low > b->bound ? VERDICT_BROKEN : VERDICT_UNDECIDED);
}
