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
    bool priced = q->candidate_count > 0;
    for (size_t i = 0; priced && i < q->candidate_count; i++) {
        priced = has_price(q->machines[q->candidates[i].machine].usd_per_hour);
    }
    return priced;
}

double recommend_price(const struct recommend_question *q, const struct recommend_outcome *o,
                       uint32_t candidate) {
    if (!o->in_usd) {
        return 1;
    }
    return isnan(q->price_per_hour) ? q->machines[q->candidates[candidate].machine].usd_per_hour
                                    : q->price_per_hour;
}

static inline struct budget_subject subject_of(const struct recommend_question *q,
                                               const struct recommend_candidate *c, double price_per_hour) {
    return (struct budget_subject){.latency = &c->latency,
                                   .throughput = &c->throughput,
                                   .memory_bytes = (double)c->memory_mib * 1024 * 1024,
                                   .size_bytes = (double)q->variants[c->variant].size_bytes,
                                   .cost = cost_of(price_per_hour, &c->throughput),
                                   .instructions = c->instructions,
                                   .instructions_by = c->by_callgrind ? "callgrind" : "PAPI"};
}

struct budget_subject recommend_subject(const struct recommend_question *q, uint32_t candidate,
                                        double price_per_hour) {
    return subject_of(q, &q->candidates[candidate], price_per_hour);
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
    case BUDGET_INSTRUCTIONS:
        return REASON_INSTRUCTIONS;
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

static float latency_or_infinity(const struct recommend_candidate *c, enum latency_figure figure) {
    float us = c->latency.n ? c->latency.points[figure].value_us : NAN;
    return isnan(us) ? INFINITY : us;
}

/* What one pass over the candidates leaves for the next steps, so that they need not touch the candidates
 * again. */
struct pass {
    struct frontier_point *points; /* [candidate_count] */
    struct limits_state *floors;   /* [variant_count] */
    uint32_t cheapest;             /* that qualifies */
    uint32_t baseline_meets, baseline_any;
    double worst_error; /* largest log_error */
    uint32_t least_freedom;
};

static enum rc pass_make(const struct recommend_question *q, const struct recommend_outcome *o,
                         struct pass *p, struct err *err) {
    *p = (struct pass){.points = calloc(q->candidate_count + 1, sizeof *p->points),
                       .floors = calloc(q->variant_count + 1, sizeof *p->floors),
                       .cheapest = RECOMMEND_NONE,
                       .baseline_meets = RECOMMEND_NONE,
                       .baseline_any = RECOMMEND_NONE,
                       .least_freedom = UINT32_MAX};
    if (!p->points || !p->floors) {
        return err_memory(err);
    }
    for (size_t v = 0; v < q->variant_count; v++) {
        p->floors[v] = floors_state(q, o->floor_checks + v * q->floor_count);
    }
    return RC_OK;
}

static void pass_free(struct pass *p) {
    free(p->points);
    free(p->floors);
}

static uint32_t cheaper(const struct recommend_outcome *o, uint32_t best, uint32_t candidate) {
    double cost = o->verdicts[candidate].cost.value;
    return !isnan(cost) && (best == RECOMMEND_NONE || cost < o->verdicts[best].cost.value) ? candidate : best;
}

static void note_candidate(const struct recommend_question *q, const struct recommend_outcome *o, uint32_t i,
                           enum latency_figure figure, struct pass *p) {
    const struct recommend_candidate *c = &q->candidates[i];
    const struct recommend_variant *variant = &q->variants[c->variant];
    const struct recommend_verdict *v = &o->verdicts[i];
    p->points[i] = (struct frontier_point){v->cost.value, c->variant, latency_or_infinity(c, figure)};
    if (v->place == PLACE_QUALIFIES) {
        p->cheapest = cheaper(o, p->cheapest, i);
    }
    if (variant->is_baseline && !variant->failure) {
        p->baseline_any = cheaper(o, p->baseline_any, i);
        if (v->unmet >> q->floor_count == 0) {
            p->baseline_meets = cheaper(o, p->baseline_meets, i);
        }
    }
    double error = c->throughput.log_error;
    p->worst_error = error > p->worst_error ? error : p->worst_error;
    if (c->throughput.freedom && c->throughput.freedom < p->least_freedom) {
        p->least_freedom = c->throughput.freedom;
    }
}

static enum rc judge_candidates(const struct recommend_question *q, struct recommend_outcome *o,
                                struct pass *p, struct err *err) {
    o->verdicts = calloc(q->candidate_count + 1, sizeof *o->verdicts);
    enum rc rc = o->verdicts ? pass_make(q, o, p, err) : err_memory(err);
    if (rc != RC_OK) {
        return rc;
    }
    enum latency_figure figure = recommend_figure(q);
    for (uint32_t i = 0; i < q->candidate_count; i++) {
        const struct recommend_candidate *c = &q->candidates[i];
        struct budget_subject subject = subject_of(q, c, recommend_price(q, o, i));
        struct limits_state s = budgets_state(q, &subject);
        s.unmet |= p->floors[c->variant].unmet;
        s.broken |= p->floors[c->variant].broken;
        o->verdicts[i].cost = subject.cost;
        place_candidate(q, s, q->variants[c->variant].failure != NULL, &o->verdicts[i]);
        note_candidate(q, o, i, figure, p);
    }
    o->baseline_in_budget = p->baseline_meets != RECOMMEND_NONE;
    o->baseline = o->baseline_in_budget ? p->baseline_meets : p->baseline_any;
    return RC_OK;
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

/* Ties break by a steady machine, latency, memory, shorter recipe, cost; then the one that came first. */
static bool better_of_tie(const struct recommend_question *q, const struct recommend_outcome *o, uint32_t a,
                          uint32_t b) {
    const struct recommend_candidate *x = &q->candidates[a], *y = &q->candidates[b];
    enum latency_figure figure = recommend_figure(q);
    if ((x->unstable == NULL) != (y->unstable == NULL)) {
        return x->unstable == NULL;
    }
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

/* A cost beyond which no candidate can tie the cheapest, so that most tests need not be computed: the
 * standard error of a log ratio is at most the sum of both (paired or not), Welch's degrees of freedom at
 * least the smaller of both. */
static double no_tie_beyond(const struct recommend_question *q, const struct recommend_outcome *o,
                            const struct pass *p) {
    bool noisy = p->worst_error > 0 && p->least_freedom < UINT32_MAX;
    double critical = noisy ? special_t_quantile(q->confidence, p->least_freedom) : 0;
    double error = p->worst_error + q->candidates[p->cheapest].throughput.log_error;
    return o->verdicts[p->cheapest].cost.value * RECOMMEND_TIE_RATIO * exp(critical * error) * (1 + 1e-6);
}

static void choose(const struct recommend_question *q, const struct pass *p, struct recommend_outcome *o) {
    o->choice = p->cheapest;
    if (p->cheapest == RECOMMEND_NONE) {
        return;
    }
    double limit = no_tie_beyond(q, o, p);
    for (uint32_t i = 0; i < q->candidate_count; i++) {
        const struct recommend_verdict *v = &o->verdicts[i];
        if (v->place == PLACE_QUALIFIES && v->cost.value <= limit && better_of_tie(q, o, i, o->choice) &&
            recommend_tied(q, o, i, p->cheapest)) {
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

static void list_candidate(const struct pass *p, struct recommend_outcome *o, uint32_t i) {
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
            .candidate = i, .variant = p->points[i].group, .reason = (enum recommend_reason)v->reason};
        o->by_reason[v->reason]++;
        break;
    }
}

static enum rc make_lists(const struct recommend_question *q, const struct pass *p, const uint32_t *order,
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
        has_candidate[p->points[order[i]].group] = true;
        list_candidate(p, o, order[i]);
    }
    list_failed_variants(q, has_candidate, o);
    free(has_candidate);
    return RC_OK;
}

/* Accuracy of a variant with larger being better; NAN: not measured. */
static double directed_accuracy(const struct recommend_variant *v) {
    if (v->accuracy_count == 0 || v->failure) {
        return NAN;
    }
    double value = v->accuracies[0].value;
    return metric_smaller_is_better(v->accuracies[0].metric) ? -value : value;
}

static enum rc make_frontier(const struct recommend_question *q, const struct pass *p, const uint32_t *order,
                             struct recommend_outcome *o, struct err *err) {
    double *accuracy = calloc(q->variant_count + 1, sizeof *accuracy);
    o->frontier = calloc(q->candidate_count + 1, sizeof *o->frontier);
    if (!accuracy || !o->frontier) {
        free(accuracy);
        return err_memory(err);
    }
    for (size_t v = 0; v < q->variant_count; v++) {
        accuracy[v] = directed_accuracy(&q->variants[v]);
    }
    enum rc rc = frontier_find(p->points, order, q->candidate_count, accuracy, q->variant_count, o->frontier,
                               &o->frontier_count, err);
    free(accuracy);
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
    struct pass pass = {0};
    uint32_t *order = calloc(q->candidate_count + 1, sizeof *order);
    rc = order ? recommend_judge_floors(q, &o, err) : err_memory(err);
    if (rc == RC_OK) {
        rc = judge_candidates(q, &o, &pass, err);
    }
    if (rc == RC_OK) {
        choose(q, &pass, &o);
        dismiss_dearer(q, &o);
        rc = frontier_sort(pass.points, q->candidate_count, order, err);
    }
    if (rc == RC_OK) {
        rc = make_lists(q, &pass, order, &o, err);
    }
    if (rc == RC_OK) {
        rc = make_frontier(q, &pass, order, &o, err);
    }
    if (rc == RC_OK && o.choice == RECOMMEND_NONE) {
        o.status = o.undecided_count ? RECOMMEND_UNDECIDED : RECOMMEND_NOTHING;
        recommend_find_miss(q, order, &o);
    }
    pass_free(&pass);
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

/* Bounds that agree with the verdict: the side that shows the floor met is taken at the level that Holm's
 * correction left of 1 - confidence, the other at the plain one. */
static void fill_bounds(const struct floor *f, const struct accuracy *a, double confidence, struct check *c) {
    struct check plain, strict = *c;
    floor_judge(f, a, confidence, &plain);
    double factor = plain.p_value > 0 ? fmax(c->p_value / plain.p_value, 1) : 1;
    floor_bounds(f, a, 1 - (1 - confidence) / factor, &strict);
    floor_bounds(f, a, confidence, &plain);
    bool at_least =
        f->kind == FLOOR_RELATIVE || (f->kind == FLOOR_ABSOLUTE && !metric_smaller_is_better(f->metric));
    c->low = at_least ? strict.low : plain.low;
    c->high = at_least ? plain.high : strict.high;
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
        if (ret->measured && isnan(ret->low)) {
            fill_bounds(f, recommend_accuracy(v, f), q->confidence, ret);
        }
        return RC_OK;
    }
    struct budget_subject s = recommend_subject(q, candidate, recommend_price(q, o, candidate));
    budget_judge(&q->budgets[limit - q->floor_count], &s, ret);
    return RC_OK;
}
