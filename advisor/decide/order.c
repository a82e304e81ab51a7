#include "advisor/decide/order.h"

#include <math.h>
#include <stdlib.h>

#include "advisor/decide/frontier.h"

static bool waits(const struct recommend_variant *v) {
    return v->accuracy_count == 0 && !v->failure;
}

static uint32_t waiting_baseline(const struct recommend_question *q) {
    for (uint32_t v = 0; v < q->variant_count; v++) {
        if (q->variants[v].is_baseline && waits(&q->variants[v])) {
            return v;
        }
    }
    return RECOMMEND_NONE;
}

static bool breaks_budget(const struct recommend_verdict *v) {
    return v->place == PLACE_REJECTED && v->reason != REASON_COSTS_MORE && v->reason != REASON_ACCURACY;
}

/* The cheapest that qualifies; the choice may be another one of a tie. */
static uint32_t cheapest_qualifying(const struct recommend_question *q, const struct recommend_outcome *o) {
    uint32_t best = o->choice;
    for (uint32_t i = 0; i < q->candidate_count && best != RECOMMEND_NONE; i++) {
        if (o->verdicts[i].place == PLACE_QUALIFIES &&
            o->verdicts[i].cost.value < o->verdicts[best].cost.value) {
            best = i;
        }
    }
    return best;
}

static bool worth_it(const struct recommend_question *q, const struct recommend_outcome *o,
                     enum order_rule rule, uint32_t candidate, uint32_t cheapest) {
    if (!waits(&q->variants[q->candidates[candidate].variant])) {
        return false;
    }
    if (rule == ORDER_ALL) {
        return true;
    }
    if (breaks_budget(&o->verdicts[candidate]) || isnan(o->verdicts[candidate].cost.value)) {
        return false;
    }
    return cheapest == RECOMMEND_NONE || recommend_tied(q, o, candidate, cheapest);
}

static enum rc next_by_cost(const struct recommend_question *q, const struct recommend_outcome *o,
                            enum order_rule rule, uint32_t *ret, struct err *err) {
    uint32_t cheapest = cheapest_qualifying(q, o);
    uint32_t *order = calloc(q->candidate_count + 1, sizeof *order);
    struct frontier_point *points = calloc(q->candidate_count + 1, sizeof *points);
    enum rc rc = order && points ? RC_OK : err_memory(err);
    for (size_t i = 0; rc == RC_OK && i < q->candidate_count; i++) {
        points[i].cost = o->verdicts[i].cost.value;
    }
    if (rc == RC_OK) {
        rc = frontier_sort(points, q->candidate_count, order, err);
    }
    if (rc == RC_OK) {
        *ret = RECOMMEND_NONE;
        for (size_t i = 0; i < q->candidate_count && *ret == RECOMMEND_NONE; i++) {
            if (worth_it(q, o, rule, order[i], cheapest)) {
                *ret = q->candidates[order[i]].variant;
            }
        }
    }
    free(order);
    free(points);
    return rc;
}

enum rc order_next(const struct recommend_question *q, enum order_rule rule, uint32_t *ret, struct err *err) {
    struct recommend_outcome o;
    enum rc rc = recommend_decide(q, &o, err);
    if (rc != RC_OK) {
        return rc;
    }
    uint32_t baseline = q->floor_count || rule == ORDER_ALL ? waiting_baseline(q) : RECOMMEND_NONE;
    if (baseline != RECOMMEND_NONE) {
        *ret = baseline;
    } else if (q->floor_count == 0 && rule == ORDER_NEEDED) {
        *ret = RECOMMEND_NONE;
    } else {
        rc = next_by_cost(q, &o, rule, ret, err);
    }
    recommend_outcome_free(&o);
    return rc;
}
