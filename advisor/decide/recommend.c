/* One pass gives every candidate its verdict, a sort by cost makes the lists; see recommend.h for the rules.
 */
#include "advisor/decide/recommend.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "advisor/decide/frontier.h"
#include "advisor/decide/recommend_parts.h"
#include "core/stats/special.h"

static const char *const REASONS[REASON_COUNT] = {
#define X(code, name) name,
    RECOMMEND_REASON_TABLE(X)
#undef X
};

const char *recommend_reason_name(enum recommend_reason r) {
    return r < REASON_COUNT ? REASONS[r] : "unknown";
}

const char *recommend_status_name(enum recommend_status s) {
    switch (s) {
    case RECOMMEND_OK:
        return "ok";
    case RECOMMEND_UNDECIDED:
        return "undecided";
    case RECOMMEND_NOTHING:
        return "none";
    }
    return "none";
}

void recommend_limit_text(const struct recommend_question *q, uint32_t limit, char *text, size_t size) {
    char full[FLOOR_TEXT_SIZE > (int)BUDGET_TEXT_SIZE ? FLOOR_TEXT_SIZE : BUDGET_TEXT_SIZE] = "";
    if (limit < q->floor_count) {
        floor_text(&q->floors[limit], full);
    } else if (limit - q->floor_count < q->budget_count) {
        budget_text(&q->budgets[limit - q->floor_count], full);
    }
    snprintf(text, size, "%s", full);
}

enum latency_figure recommend_figure(const struct recommend_question *q) {
    for (size_t i = 0; i < q->budget_count; i++) {
        if (q->budgets[i].kind == BUDGET_LATENCY) {
            return q->budgets[i].figure;
        }
    }
    return LATENCY_P50;
}

static bool has_price(double price) {
    return isfinite(price) && price > 0;
}

static bool all_priced(const struct recommend_question *q) {
    for (size_t i = 0; i < q->candidate_count; i++) {
        if (!has_price(q->machines[q->candidates[i].machine].usd_per_hour)) {
            return false;
        }
    }
    return q->candidate_count > 0;
}

double recommend_price(const struct recommend_question *q, const struct recommend_outcome *o,
                       uint32_t candidate) {
    if (!o->in_usd) {
        return 1;
    }
    return isnan(q->price_per_hour) ? q->machines[q->candidates[candidate].machine].usd_per_hour
                                    : q->price_per_hour;
}

struct budget_subject recommend_subject(const struct recommend_question *q, uint32_t candidate,
                                        double price_per_hour) {
    const struct recommend_candidate *c = &q->candidates[candidate];
    return (struct budget_subject){.latency = c->latency.n ? &c->latency : NULL,
                                   .throughput = &c->throughput,
                                   .memory_bytes = (double)c->memory_mib * 1024 * 1024,
                                   .size_bytes = (double)q->variants[c->variant].size_bytes,
                                   .cost = cost_of(price_per_hour, &c->throughput)};
}

static enum rc check_candidates(const struct recommend_question *q, struct err *err) {
    for (size_t i = 0; i < q->candidate_count; i++) {
        const struct recommend_candidate *c = &q->candidates[i];
        if (c->variant >= q->variant_count || c->machine >= q->machine_count) {
            return err_set(err, RC_INPUT, "candidate %zu names a variant or machine that is not there", i);
        }
        if (c->latency.n && fabs((double)c->latency.confidence - q->confidence) > 1e-6) {
            return err_set(err, RC_INPUT, "the latency summary of candidate %zu is for confidence %g, not %g",
                           i, (double)c->latency.confidence, q->confidence);
        }
    }
    return RC_OK;
}

static enum rc check_question(const struct recommend_question *q, struct err *err) {
    if (q->floor_count + q->budget_count > RECOMMEND_MAX_LIMITS) {
        return err_set(err, RC_INPUT, "%zu floors and budgets are too many; at most %d",
                       q->floor_count + q->budget_count, RECOMMEND_MAX_LIMITS);
    }
    if (!(q->confidence > 0.5 && q->confidence < 1)) {
        return err_set(err, RC_INPUT,
                       "a confidence of %g is not possible; give one between 0.5 and 1, such as 0.95",
                       q->confidence);
    }
    if (!isnan(q->price_per_hour) && !has_price(q->price_per_hour)) {
        return err_set(err, RC_INPUT, "a price of %g an hour is not possible; give one above 0",
                       q->price_per_hour);
    }
    if (q->candidate_count >= RECOMMEND_NONE || q->variant_count >= RECOMMEND_NONE) {
        return err_set(err, RC_TOO_LARGE, "too many configurations");
    }
    enum rc rc = check_candidates(q, err);
    if (rc != RC_OK) {
        return rc;
    }
    for (size_t i = 0; i < q->budget_count; i++) {
        if (q->budgets[i].kind == BUDGET_COST && isnan(q->price_per_hour) && q->candidate_count &&
            !all_priced(q)) {
            return err_set(
                err, RC_INPUT,
                "a cost budget needs a price for every machine: set an instance type or a price per hour");
        }
    }
    return RC_OK;
}

static enum recommend_reason reason_of(const struct recommend_question *q, uint32_t limit) {
    if (limit < q->floor_count) {
        return REASON_ACCURACY;
    }
    switch (q->budgets[limit - q->floor_count].kind) {
    case BUDGET_LATENCY:
        return REASON_LATENCY;
    case BUDGET_THROUGHPUT:
        return REASON_THROUGHPUT;
    case BUDGET_MEMORY:
        return REASON_MEMORY;
    case BUDGET_SIZE:
        return REASON_SIZE;
    case BUDGET_COST:
        return REASON_COST;
    }
    return REASON_COST;
}

/* Limits of a candidate or variant as bit sets. */
struct limits_state {
    uint16_t unmet, broken;
};

static struct limits_state floors_state(const struct recommend_question *q, const struct check *checks) {
    struct limits_state s = {0};
    for (size_t i = 0; i < q->floor_count; i++) {
        s.unmet = (uint16_t)(s.unmet | (checks[i].verdict != VERDICT_MET) << i);
        s.broken = (uint16_t)(s.broken | (checks[i].verdict == VERDICT_BROKEN) << i);
    }
    return s;
}

static struct limits_state budgets_state(const struct recommend_question *q,
                                         const struct budget_subject *subject) {
    struct limits_state s = {0};
    for (size_t i = 0; i < q->budget_count; i++) {
        enum verdict v = budget_verdict(&q->budgets[i], subject);
        s.unmet = (uint16_t)(s.unmet | (v != VERDICT_MET) << (q->floor_count + i));
        s.broken = (uint16_t)(s.broken | (v == VERDICT_BROKEN) << (q->floor_count + i));
    }
    return s;
}

static uint32_t first_limit(uint16_t set) {
    return set ? (uint32_t)__builtin_ctz(set) : RECOMMEND_NONE;
}

static void place_candidate(const struct recommend_question *q, struct limits_state s, bool failed,
                            struct recommend_verdict *v) {
    v->unmet = s.unmet;
    if (failed) {
        v->place = PLACE_REJECTED;
        v->reason = REASON_FAILED;
        v->limit = RECOMMEND_NONE;
    } else if (s.broken) {
        v->limit = first_limit(s.broken);
        v->place = PLACE_REJECTED;
        v->reason = (uint8_t)reason_of(q, v->limit);
    } else if (s.unmet || isnan(v->cost.value)) {
        v->limit = first_limit(s.unmet);
        v->place = PLACE_UNDECIDED;
    } else {
        v->limit = RECOMMEND_NONE;
        v->place = PLACE_QUALIFIES;
    }
}

static enum rc judge_candidates(const struct recommend_question *q, struct recommend_outcome *o,
                                struct err *err) {
    o->verdicts = calloc(q->candidate_count + 1, sizeof *o->verdicts);
    struct limits_state *floors = calloc(q->variant_count + 1, sizeof *floors);
    if (!o->verdicts || !floors) {
        free(floors);
        return err_memory(err);
    }
    for (size_t v = 0; v < q->variant_count; v++) {
        floors[v] = floors_state(q, o->floor_checks + v * q->floor_count);
    }
    for (uint32_t i = 0; i < q->candidate_count; i++) {
        uint32_t variant = q->candidates[i].variant;
        struct budget_subject subject = recommend_subject(q, i, recommend_price(q, o, i));
        struct limits_state s = budgets_state(q, &subject);
        s.unmet |= floors[variant].unmet;
        s.broken |= floors[variant].broken;
        o->verdicts[i].cost = subject.cost;
        place_candidate(q, s, q->variants[variant].failure != NULL, &o->verdicts[i]);
    }
    free(floors);
    return RC_OK;
}

static uint32_t cheaper(const struct recommend_outcome *o, uint32_t best, uint32_t candidate) {
    double cost = o->verdicts[candidate].cost.value;
    return !isnan(cost) && (best == RECOMMEND_NONE || cost < o->verdicts[best].cost.value) ? candidate : best;
}

static void find_baseline(const struct recommend_question *q, struct recommend_outcome *o) {
    uint16_t floors = (uint16_t)((1u << q->floor_count) - 1);
    uint32_t meets = RECOMMEND_NONE, any = RECOMMEND_NONE;
    for (uint32_t i = 0; i < q->candidate_count; i++) {
        const struct recommend_variant *v = &q->variants[q->candidates[i].variant];
        if (!v->is_baseline || v->failure) {
            continue;
        }
        any = cheaper(o, any, i);
        if ((o->verdicts[i].unmet & ~floors) == 0) {
            meets = cheaper(o, meets, i);
        }
    }
    o->baseline_in_budget = meets != RECOMMEND_NONE;
    o->baseline = o->baseline_in_budget ? meets : any;
}

/* Critical values of Student's t by degrees of freedom, computed when first asked for. */
enum { CRITICAL_COUNT = 64 };
struct critical {
    double confidence, t[CRITICAL_COUNT];
};

static double critical_t(struct critical *c, uint32_t freedom) {
    uint32_t i = freedom < CRITICAL_COUNT ? freedom : CRITICAL_COUNT - 1;
    if (c->t[i] == 0) {
        c->t[i] = special_t_quantile(c->confidence, i);
    }
    return c->t[i];
}

static uint32_t least_freedom(const struct throughput *a, const struct throughput *b) {
    if (a->freedom == 0 || b->freedom == 0) {
        return a->freedom > b->freedom ? a->freedom : b->freedom; /* the other is exact */
    }
    return a->freedom < b->freedom ? a->freedom : b->freedom;
}

/* True when the cost is so far above the margin that the test need not be computed: the standard error is at
 * most the sum of both (paired or not), the critical value at most the one for the smaller of both degrees of
 * freedom, and log(x) at least 1 - 1/x. */
static bool clearly_above(const struct throughput *a, const struct throughput *b, double cost_ratio,
                          struct critical *c) {
    uint32_t freedom = least_freedom(a, b);
    double over = 1 - RECOMMEND_TIE_RATIO / cost_ratio;
    return freedom == 0 || over > critical_t(c, freedom) * (a->log_error + b->log_error);
}

bool recommend_tied(const struct recommend_question *q, const struct recommend_outcome *o, uint32_t candidate,
                    uint32_t other) {
    struct ratio_bounds r;
    if (o->verdicts[candidate].cost.value <= o->verdicts[other].cost.value * RECOMMEND_TIE_RATIO) {
        return true;
    }
    cost_ratio(&q->candidates[candidate].throughput, recommend_price(q, o, candidate),
               &q->candidates[other].throughput, recommend_price(q, o, other), RECOMMEND_TIE_RATIO,
               q->confidence, &r);
    return r.p_above > 1 - q->confidence;
}

static float latency_or_infinity(const struct recommend_candidate *c, enum latency_figure figure) {
    float us = c->latency.n ? c->latency.points[figure].value_us : NAN;
    return isnan(us) ? INFINITY : us;
}

/* Ties break by latency, memory, shorter recipe, cost; then the one that came first. */
static bool better_of_tie(const struct recommend_question *q, const struct recommend_outcome *o, uint32_t a,
                          uint32_t b) {
    const struct recommend_candidate *x = &q->candidates[a], *y = &q->candidates[b];
    enum latency_figure figure = recommend_figure(q);
    float lx = latency_or_infinity(x, figure), ly = latency_or_infinity(y, figure);
    if (lx != ly) {
        return lx < ly;
    }
    float mx = isnan(x->memory_mib) ? INFINITY : x->memory_mib,
          my = isnan(y->memory_mib) ? INFINITY : y->memory_mib;
    if (mx != my) {
        return mx < my;
    }
    const struct recommend_variant *vx = &q->variants[x->variant], *vy = &q->variants[y->variant];
    if (vx->steps != vy->steps) {
        return vx->steps < vy->steps;
    }
    size_t length_x = strlen(vx->recipe), length_y = strlen(vy->recipe);
    if (length_x != length_y) {
        return length_x < length_y;
    }
    return o->verdicts[a].cost.value < o->verdicts[b].cost.value;
}

static void choose(const struct recommend_question *q, struct recommend_outcome *o) {
    uint32_t cheapest = RECOMMEND_NONE;
    for (uint32_t i = 0; i < q->candidate_count; i++) {
        if (o->verdicts[i].place == PLACE_QUALIFIES) {
            cheapest = cheaper(o, cheapest, i);
        }
    }
    o->choice = cheapest;
    if (cheapest == RECOMMEND_NONE) {
        return;
    }
    struct critical critical = {.confidence = q->confidence};
    double least = o->verdicts[cheapest].cost.value;
    for (uint32_t i = 0; i < q->candidate_count; i++) {
        const struct recommend_verdict *v = &o->verdicts[i];
        if (v->place != PLACE_QUALIFIES || i == o->choice ||
            (v->cost.value > least * RECOMMEND_TIE_RATIO &&
             clearly_above(&q->candidates[i].throughput, &q->candidates[cheapest].throughput,
                           v->cost.value / least, &critical))) {
            continue;
        }
        if (better_of_tie(q, o, i, o->choice) && recommend_tied(q, o, i, cheapest)) {
            o->choice = i;
        }
    }
}

/* What is undecided, or not measured, but dearer than the choice needs no further work. */
static void dismiss_dearer(const struct recommend_question *q, struct recommend_outcome *o) {
    if (o->choice == RECOMMEND_NONE) {
        return;
    }
    double limit = o->verdicts[o->choice].cost.value;
    for (size_t i = 0; i < q->candidate_count; i++) {
        struct recommend_verdict *v = &o->verdicts[i];
        if (v->place == PLACE_UNDECIDED && v->cost.value >= limit) {
            v->place = PLACE_REJECTED;
            v->reason = REASON_COSTS_MORE;
        }
    }
}

static void list_failed_variants(const struct recommend_question *q, const bool *has_candidate,
                                 struct recommend_outcome *o) {
    for (uint32_t v = 0; v < q->variant_count; v++) {
        if (q->variants[v].failure && !has_candidate[v]) {
            o->rejected[o->rejected_count++] = (struct recommend_rejected){
                .candidate = RECOMMEND_NONE, .variant = v, .reason = REASON_FAILED};
            o->by_reason[REASON_FAILED]++;
        }
    }
}

static void list_candidate(const struct recommend_question *q, struct recommend_outcome *o, uint32_t i) {
    const struct recommend_verdict *v = &o->verdicts[i];
    switch ((enum recommend_place)v->place) {
    case PLACE_QUALIFIES:
        if (i != o->choice) {
            o->runners_up[o->runner_up_count++] = i;
        }
        break;
    case PLACE_UNDECIDED:
        o->undecided[o->undecided_count++] = i;
        break;
    case PLACE_REJECTED:
        o->rejected[o->rejected_count++] = (struct recommend_rejected){
            .candidate = i, .variant = q->candidates[i].variant, .reason = (enum recommend_reason)v->reason};
        o->by_reason[v->reason]++;
        break;
    }
}

static enum rc make_lists(const struct recommend_question *q, const uint32_t *order,
                          struct recommend_outcome *o, struct err *err) {
    size_t n = q->candidate_count;
    o->runners_up = calloc(n + 1, sizeof *o->runners_up);
    o->undecided = calloc(n + 1, sizeof *o->undecided);
    o->rejected = calloc(n + q->variant_count + 1, sizeof *o->rejected);
    bool *has_candidate = calloc(q->variant_count + 1, sizeof *has_candidate);
    if (!o->runners_up || !o->undecided || !o->rejected || !has_candidate) {
        free(has_candidate);
        return err_memory(err);
    }
    for (size_t i = 0; i < n; i++) {
        has_candidate[q->candidates[order[i]].variant] = true;
        list_candidate(q, o, order[i]);
    }
    list_failed_variants(q, has_candidate, o);
    free(has_candidate);
    return RC_OK;
}

static enum rc make_frontier(const struct recommend_question *q, const uint32_t *order,
                             struct recommend_outcome *o, struct err *err) {
    struct frontier_point *points = calloc(q->candidate_count + 1, sizeof *points);
    o->frontier = calloc(q->candidate_count + 1, sizeof *o->frontier);
    if (!points || !o->frontier) {
        free(points);
        return err_memory(err);
    }
    enum latency_figure figure = recommend_figure(q);
    for (size_t i = 0; i < q->candidate_count; i++) {
        const struct recommend_candidate *c = &q->candidates[i];
        const struct recommend_variant *v = &q->variants[c->variant];
        double accuracy = NAN;
        if (v->accuracy_count && !v->failure) {
            double value = v->accuracies[0].value;
            accuracy = metric_smaller_is_better(v->accuracies[0].metric) ? -value : value;
        }
        points[i] =
            (struct frontier_point){o->verdicts[i].cost.value, accuracy, latency_or_infinity(c, figure)};
    }
    enum rc rc = frontier_find(points, order, q->candidate_count, o->frontier, &o->frontier_count, err);
    free(points);
    return rc;
}

static enum rc sort_by_cost(const struct recommend_question *q, const struct recommend_outcome *o,
                            uint32_t **ret, struct err *err) {
    uint32_t *order = calloc(q->candidate_count + 1, sizeof *order);
    double *cost = calloc(q->candidate_count + 1, sizeof *cost);
    enum rc rc = RC_OK;
    if (!order || !cost) {
        rc = err_memory(err);
        goto out;
    }
    for (size_t i = 0; i < q->candidate_count; i++) {
        cost[i] = o->verdicts[i].cost.value;
    }
    rc = frontier_sort(cost, q->candidate_count, order, err);
    if (rc == RC_OK) {
        *ret = order;
        order = NULL;
    }
out:
    free(order);
    free(cost);
    return rc;
}

enum rc recommend_decide(const struct recommend_question *q, struct recommend_outcome *ret, struct err *err) {
    enum rc rc = check_question(q, err);
    if (rc != RC_OK) {
        return rc;
    }
    struct recommend_outcome o = {.in_usd = !isnan(q->price_per_hour) || all_priced(q),
                                  .baseline = RECOMMEND_NONE,
                                  .choice = RECOMMEND_NONE,
                                  .nearest_miss = RECOMMEND_NONE,
                                  .binding = RECOMMEND_NONE};
    uint32_t *order = NULL;
    rc = recommend_judge_floors(q, &o, err);
    if (rc == RC_OK) {
        rc = judge_candidates(q, &o, err);
    }
    if (rc == RC_OK) {
        find_baseline(q, &o);
        choose(q, &o);
        dismiss_dearer(q, &o);
        rc = sort_by_cost(q, &o, &order, err);
    }
    if (rc == RC_OK) {
        rc = make_lists(q, order, &o, err);
    }
    if (rc == RC_OK) {
        rc = make_frontier(q, order, &o, err);
    }
    if (rc == RC_OK && o.choice == RECOMMEND_NONE) {
        o.status = o.undecided_count ? RECOMMEND_UNDECIDED : RECOMMEND_NOTHING;
        recommend_find_miss(q, order, &o);
    }
    free(order);
    if (rc != RC_OK) {
        recommend_outcome_free(&o);
        return rc;
    }
    *ret = o;
    return RC_OK;
}

void recommend_outcome_free(struct recommend_outcome *o) {
    free(o->floor_checks);
    free(o->verdicts);
    free(o->runners_up);
    free(o->frontier);
    free(o->undecided);
    free(o->rejected);
    *o = (struct recommend_outcome){0};
}

enum rc recommend_check(const struct recommend_question *q, const struct recommend_outcome *o,
                        uint32_t candidate, uint32_t limit, struct check *ret, struct err *err) {
    if (candidate >= q->candidate_count || limit >= q->floor_count + q->budget_count) {
        return err_set(err, RC_NOT_FOUND, "there is no such configuration or limit in this question");
    }
    const struct recommend_variant *v = &q->variants[q->candidates[candidate].variant];
    if (limit < q->floor_count) {
        const struct floor *f = &q->floors[limit];
        *ret = o->floor_checks[q->candidates[candidate].variant * q->floor_count + limit];
        if (isnan(ret->low)) {
            floor_bounds(f, recommend_accuracy(v, f), q->confidence, ret);
        }
        return RC_OK;
    }
    struct budget_subject s = recommend_subject(q, candidate, recommend_price(q, o, candidate));
    budget_judge(&q->budgets[limit - q->floor_count], &s, ret);
    return RC_OK;
}
