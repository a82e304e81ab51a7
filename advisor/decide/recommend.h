/* recommend.h -- the decision: plain structs in, an outcome of indices into them out. Pure and deterministic;
 * everything in the question is borrowed and must outlive the outcome. 10,000 candidates are decided in under
 * a millisecond.
 *
 * Choice: least cost among the candidates whose variant meets every floor and which meet every budget. A tie
 * is a cost ratio to the cheapest that is not shown to be above 1.02 (core/stats/ratio.h); ties break by
 * whether the machine was steady, latency, memory, shorter recipe, then cost. A figure of a machine that was
 * not steady counts like any other and is marked. Floors: a variant's p-value is the largest over the floors
 * (all must hold), corrected by Holm over the variants tested and those that may yet be. The baseline meets
 * relative floors by definition and is not counted there. "Broken" is shown at the plain confidence: a
 * mistake there can cost money, never accuracy. Money: USD where every machine has a price (or the question
 * gives one), machine-hours for all where one has none. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "advisor/decide/accuracy.h"
#include "advisor/decide/budget.h"
#include "advisor/decide/check.h"
#include "advisor/decide/cost.h"
#include "advisor/decide/floor.h"
#include "advisor/decide/latency.h"
#include "advisor/decide/throughput.h"
#include "core/base/buf.h"
#include "core/base/err.h"

enum { RECOMMEND_MAX_LIMITS = 16 }; /* floors and budgets together */
#define RECOMMEND_NONE      UINT32_MAX
#define RECOMMEND_TIE_RATIO 1.02

struct recommend_machine {
    const char *id, *name;
    double usd_per_hour; /* NAN: no price */
};

struct recommend_variant {
    const char *id, *recipe;
    uint32_t steps;      /* of the recipe; fp32 has 0 */
    bool is_baseline;    /* the uncompressed model */
    const char *failure; /* why it could not be made, measured or evaluated; NULL */
    uint64_t size_bytes; /* of the artifact */
    const struct accuracy
        *accuracies; /* [accuracy_count], the primary metric first; none: not evaluated (yet) */
    size_t accuracy_count;
    const char *note; /* why its compressor expects it to be slow; NULL */
};

struct recommend_candidate { /* a configuration with a profile */
    const char *id;
    uint32_t variant, machine; /* indices into the question */
    uint32_t instances, threads, batch;
    float memory_mib;     /* NAN: not known */
    const char *unstable; /* why the machine was not steady while it was measured; NULL: it was */
    double instructions;  /* an inference; 0: not counted */
    bool by_callgrind;    /* who counted them: callgrind, else PAPI */
    struct throughput throughput;
    struct latency
        latency; /* of the scenario that budgets are judged in, at the question's confidence; n = 0: none */
};

struct recommend_question {
    const struct floor *floors;
    size_t floor_count;
    const struct budget *budgets;
    size_t budget_count;
    double confidence;     /* one-sided, in (0.5, 1) */
    double price_per_hour; /* for every machine; NAN: each machine's own */
    const struct recommend_machine *machines;
    size_t machine_count;
    const struct recommend_variant *variants;
    size_t variant_count;
    const struct recommend_candidate *candidates;
    size_t candidate_count;
};

enum recommend_status { RECOMMEND_OK, RECOMMEND_UNDECIDED, RECOMMEND_NOTHING };
const char *recommend_status_name(enum recommend_status s); /* "ok" "undecided" "none" */

/* X(code, name in by_reason) */
#define RECOMMEND_REASON_TABLE(X)                                                                            \
    X(REASON_ACCURACY, "accuracy")                                                                           \
    X(REASON_LATENCY, "latency")                                                                             \
    X(REASON_THROUGHPUT, "throughput")                                                                       \
    X(REASON_MEMORY, "memory")                                                                               \
    X(REASON_SIZE, "size")                                                                                   \
    X(REASON_INSTRUCTIONS, "instructions")                                                                   \
    X(REASON_COST, "cost")                                                                                   \
    X(REASON_COSTS_MORE, "costs_more")                                                                       \
    X(REASON_FAILED, "failed")

enum recommend_reason {
#define X(code, name) code,
    RECOMMEND_REASON_TABLE(X)
#undef X
        REASON_COUNT
};
const char *recommend_reason_name(enum recommend_reason r);

enum recommend_place { PLACE_QUALIFIES, PLACE_UNDECIDED, PLACE_REJECTED };

/* A candidate's verdict. `limit` counts floors first, then budgets; RECOMMEND_NONE where no single limit
 * decided. */
struct recommend_verdict {
    struct cost cost;
    uint32_t limit; /* first broken (rejected) or undecided one */
    uint8_t place;  /* enum recommend_place */
    uint8_t reason; /* enum recommend_reason of a rejected one */
    uint16_t unmet; /* bit set of limits not shown to be met */
};

struct recommend_rejected { /* candidate, or a variant that never became one (then candidate is
                               RECOMMEND_NONE) */
    uint32_t candidate, variant;
    enum recommend_reason reason;
};

struct recommend_relaxation { /* if this one limit were moved, this candidate would be the choice */
    uint32_t limit, candidate;
    double needed; /* what the limit would have to be, in its own unit */
    struct cost cost;
};

struct recommend_outcome {
    enum recommend_status status;
    bool in_usd;                /* else machine-hours per million */
    bool baseline_in_budget;    /* else `baseline` is the cheapest of those that break a budget */
    uint32_t baseline, choice;  /* candidates, or RECOMMEND_NONE */
    uint32_t tested;            /* variants whose floors were tested */
    uint32_t corrected_for;     /* variants that Holm's correction counts: those and what may yet be tested */
    struct check *floor_checks; /* [variant_count, floor_count]; p-values corrected, without low and high:
                                   floor_bounds */
    struct recommend_verdict *verdicts; /* [candidate_count] */
    uint32_t *runners_up;               /* all others that qualify, cheapest first */
    size_t runner_up_count;
    uint32_t *frontier; /* best in cost, accuracy and latency together, cheapest first; whatever the limits */
    size_t frontier_count;
    uint32_t *undecided; /* cheaper than the choice (or all, with no choice), cheapest first */
    size_t undecided_count;
    struct recommend_rejected *rejected; /* cheapest first, then variants without candidates */
    size_t rejected_count;
    uint32_t by_reason[REASON_COUNT];
    uint32_t nearest_miss; /* with no choice: least exceeds its limits; RECOMMEND_NONE */
    uint32_t binding;      /* with no choice: the limit that stands in the way; RECOMMEND_NONE */
    struct recommend_relaxation relaxations[RECOMMEND_MAX_LIMITS];
    size_t relaxation_count;
};

/* RC_INPUT: too many limits, a confidence outside (0.5, 1), a price that is not positive, a cost budget
 * without prices, an index out of range. On failure *ret is untouched. Release with recommend_outcome_free.
 */
MUST_USE enum rc recommend_decide(const struct recommend_question *q, struct recommend_outcome *ret,
                                  struct err *err);
void recommend_outcome_free(struct recommend_outcome *o);

/* The check of one limit (floors first, then budgets) for one candidate, with its bounds. */
MUST_USE enum rc recommend_check(const struct recommend_question *q, const struct recommend_outcome *o,
                                 uint32_t candidate, uint32_t limit, struct check *ret, struct err *err);

/* What candidate is held against in budgets. `price_per_hour` as recommend_price gives it. */
struct budget_subject recommend_subject(const struct recommend_question *q, uint32_t candidate,
                                        double price_per_hour);

/* Price per hour of a candidate's machine in the money of the outcome: USD, or 1 where in_usd is false. */
double recommend_price(const struct recommend_question *q, const struct recommend_outcome *o,
                       uint32_t candidate);

/* True unless the cost of `candidate` is shown to be above RECOMMEND_TIE_RATIO times that of `other`. */
bool recommend_tied(const struct recommend_question *q, const struct recommend_outcome *o, uint32_t candidate,
                    uint32_t other);

/* The accuracy that a floor is about in an evaluation, or NULL. */
const struct accuracy *recommend_accuracy(const struct recommend_variant *v, const struct floor *f);

/* The latency figure that breaks ties and spans the frontier: that of the first latency budget, else the
 * median. */
enum latency_figure recommend_figure(const struct recommend_question *q);

/* Canonical text of a limit. `size` at least FLOOR_TEXT_SIZE. */
void recommend_limit_text(const struct recommend_question *q, uint32_t limit, char *text, size_t size);
