/* What to say when nothing qualifies: the candidate that exceeds its limits least, and what moving one limit
 * would admit. */
#include <math.h>

#include "advisor/decide/recommend_parts.h"

static bool is_floor(const struct recommend_question *q, uint32_t limit) {
    return limit < q->floor_count;
}

static size_t limit_count(const struct recommend_question *q) {
    return q->floor_count + q->budget_count;
}

static double bound_of(const struct recommend_question *q, uint32_t limit) {
    return is_floor(q, limit) ? q->floors[limit].bound : q->budgets[limit - q->floor_count].bound;
}

static bool wants_more(const struct recommend_question *q, uint32_t limit) {
    if (!is_floor(q, limit)) {
        return q->budgets[limit - q->floor_count].kind == BUDGET_THROUGHPUT;
    }
    const struct floor *f = &q->floors[limit];
    return f->kind == FLOOR_RELATIVE || (f->kind == FLOOR_ABSOLUTE && !metric_smaller_is_better(f->metric));
}

static void check_of(const struct recommend_question *q, const struct recommend_outcome *o,
                     uint32_t candidate, uint32_t limit, struct check *ret) {
    if (is_floor(q, limit)) {
        *ret = o->floor_checks[q->candidates[candidate].variant * q->floor_count + limit];
        return;
    }
    struct budget_subject s = recommend_subject(q, candidate, recommend_price(q, o, candidate));
    budget_judge(&q->budgets[limit - q->floor_count], &s, ret);
}

static struct budget_range range_of(const struct recommend_question *q, const struct recommend_outcome *o,
                                    uint32_t candidate, uint32_t limit) {
    if (is_floor(q, limit)) {
        const struct check *c = &o->floor_checks[q->candidates[candidate].variant * q->floor_count + limit];
        return (struct budget_range){c->value, c->value, c->value};
    }
    struct budget_subject s = recommend_subject(q, candidate, recommend_price(q, o, candidate));
    return budget_range_of(&q->budgets[limit - q->floor_count], &s);
}

/* By which share a limit that is not met is missed: 0.1 for 5.5 ms against 5 ms. Points of accuracy count as
 * hundredths. INFINITY: not measured. */
static double excess(const struct recommend_question *q, const struct recommend_outcome *o,
                     uint32_t candidate, uint32_t limit) {
    struct budget_range r = range_of(q, o, candidate, limit);
    double bound = bound_of(q, limit),
           value = isnan(r.value) ? (wants_more(q, limit) ? r.high : r.low) : r.value;
    double share = wants_more(q, limit) ? bound / value - 1 : value / bound - 1;
    if (is_floor(q, limit) && q->floors[limit].kind == FLOOR_DROP) {
        share = (value - bound) / 100;
    }
    return isnan(share) ? INFINITY
                        : fmax(share, 1e-9); /* undecided though the value is inside: missed by a hair */
}

/* The largest excess, or anything from `enough` up as soon as that is sure. */
static double worst_excess(const struct recommend_question *q, const struct recommend_outcome *o,
                           uint32_t candidate, double enough) {
    double worst = 0;
    for (uint32_t unmet = o->verdicts[candidate].unmet; unmet && worst < enough; unmet &= unmet - 1) {
        double e = excess(q, o, candidate, (uint32_t)__builtin_ctz(unmet));
        worst = e > worst ? e : worst;
    }
    return worst;
}

static bool can_serve(const struct recommend_question *q, const struct recommend_outcome *o,
                      uint32_t candidate) {
    return !q->variants[q->candidates[candidate].variant].failure &&
           !isnan(o->verdicts[candidate].cost.value);
}

/* What the limit would have to be for this candidate to be shown to meet it, as cautiously as Holm at its
 * first step. */
static double needed(const struct recommend_question *q, const struct recommend_outcome *o,
                     uint32_t candidate, uint32_t limit) {
    struct check c;
    check_of(q, o, candidate, limit, &c);
    if (is_floor(q, limit)) {
        const struct floor *f = &q->floors[limit];
        double confidence = 1 - (1 - q->confidence) / (o->corrected_for ? o->corrected_for : 1);
        floor_bounds(f, recommend_accuracy(&q->variants[q->candidates[candidate].variant], f), confidence,
                     &c);
    }
    return wants_more(q, limit) ? c.low : c.high;
}

/* For each limit the cheapest candidate that only this limit keeps out. */
static void find_admitted(const struct recommend_question *q, const uint32_t *order,
                          const struct recommend_outcome *o, uint32_t admitted[RECOMMEND_MAX_LIMITS]) {
    for (size_t i = 0; i < RECOMMEND_MAX_LIMITS; i++) {
        admitted[i] = RECOMMEND_NONE;
    }
    for (size_t i = 0; i < q->candidate_count; i++) {
        uint32_t c = order[i], unmet = o->verdicts[c].unmet;
        if (unmet == 0 || (unmet & (unmet - 1)) != 0) {
            continue;
        }
        uint32_t limit = (uint32_t)__builtin_ctz(unmet);
        if (admitted[limit] == RECOMMEND_NONE && can_serve(q, o, c)) {
            struct check check;
            check_of(q, o, c, limit, &check);
            admitted[limit] = check.measured ? c : RECOMMEND_NONE;
        }
    }
}

static void find_relaxations(const struct recommend_question *q, const uint32_t *order,
                             struct recommend_outcome *o) {
    double least = INFINITY;
    uint32_t admitted[RECOMMEND_MAX_LIMITS];
    find_admitted(q, order, o, admitted);
    for (uint32_t limit = 0; limit < limit_count(q); limit++) {
        uint32_t c = admitted[limit];
        if (c == RECOMMEND_NONE) {
            continue;
        }
        double to = needed(q, o, c, limit), bound = bound_of(q, limit);
        if (isnan(to)) {
            continue;
        }
        o->relaxations[o->relaxation_count++] = (struct recommend_relaxation){
            .limit = limit, .candidate = c, .needed = to, .cost = o->verdicts[c].cost};
        double change = fabs(to - bound) / fmax(bound, 1e-9);
        if (change < least) {
            least = change;
            o->binding = limit;
        }
    }
}

/* No single limit stands in the way alone: the one that most candidates do not meet. */
static uint32_t most_missed(const struct recommend_question *q, const struct recommend_outcome *o) {
    uint32_t counts[RECOMMEND_MAX_LIMITS] = {0}, best = RECOMMEND_NONE;
    for (size_t c = 0; c < q->candidate_count; c++) {
        for (uint32_t limit = 0; limit < limit_count(q); limit++) {
            counts[limit] += (uint32_t)(o->verdicts[c].unmet >> limit) & 1u;
        }
    }
    for (uint32_t limit = 0; limit < limit_count(q); limit++) {
        if (counts[limit] && (best == RECOMMEND_NONE || counts[limit] > counts[best])) {
            best = limit;
        }
    }
    return best;
}

void recommend_find_miss(const struct recommend_question *q, const uint32_t *order,
                         struct recommend_outcome *o) {
    double least = INFINITY;
    for (size_t i = 0; i < q->candidate_count;
         i++) { /* cheapest first, so that the cheaper of equals stays */
        uint32_t c = order[i];
        double e = can_serve(q, o, c) ? worst_excess(q, o, c, least) : INFINITY;
        if (e < least) {
            least = e;
            o->nearest_miss = c;
        }
    }
    find_relaxations(q, order, o);
    if (o->binding == RECOMMEND_NONE) {
        o->binding = most_missed(q, o);
    }
}
