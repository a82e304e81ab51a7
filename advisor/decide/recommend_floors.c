/* Floors for all variants. A variant qualifies only when every floor holds, an intersection-union test: its
 * p-value is the largest of its floors' (Berger 1982). Over the variants Holm's correction (1979) keeps the
 * chance of admitting any that does not qualify within 1 - confidence. Work stops as soon as one is admitted;
 * so that this does not give each of them a chance of its own, variants that are not evaluated and could have
 * been count as tested with p = 1: what is admitted then is also admitted when all are evaluated. */
#include <math.h>
#include <stdlib.h>

#include "advisor/decide/recommend_parts.h"
#include "core/stats/holm.h"

const struct accuracy *recommend_accuracy(const struct recommend_variant *v, const struct floor *f) {
    if (v->accuracy_count && f->metric == METRIC_PRIMARY) {
        return &v->accuracies[0];
    }
    for (size_t i = 0; i < v->accuracy_count; i++) {
        if (v->accuracies[i].metric == f->metric) {
            return &v->accuracies[i];
        }
    }
    return NULL;
}

static void judge_baseline(const struct floor *f, const struct accuracy *a, double confidence,
                           struct check *c) {
    bool against_itself = floor_is_relative(f) || f->metric == METRIC_AGREEMENT || f->metric == METRIC_KLD;
    if (!against_itself) {
        floor_judge(f, a, confidence, c);
        return;
    }
    double same = f->kind == FLOOR_DROP || f->metric == METRIC_KLD ? 0 : 1;
    *c = (struct check){.verdict = VERDICT_MET,
                        .measured = true,
                        .test = "the baseline itself",
                        .value = same,
                        .low = same,
                        .high = same,
                        .p_value = NAN,
                        .n = a ? a->n : 0};
}

/* The variant's own p-value, NAN when it is not tested: a floor without figures, or nothing but the
 * baseline's own definition. */
static double joint_p(const struct check *checks, size_t n) {
    double p = NAN;
    for (size_t i = 0; i < n; i++) {
        if (!checks[i].measured) {
            return NAN;
        }
        if (!isnan(checks[i].p_value) && !(p > checks[i].p_value)) {
            p = checks[i].p_value;
        }
    }
    return p;
}

struct family {
    double *p, *adjusted, *multiplier;
    uint32_t *variant;
    bool *waiting; /* [variant_count] */
    size_t count, tested;
};

static void family_free(struct family *f) {
    free(f->p);
    free(f->adjusted);
    free(f->multiplier);
    free(f->variant);
    free(f->waiting);
}

static bool waits(const struct recommend_variant *v) {
    return v->accuracy_count == 0 && !v->failure && !v->is_baseline;
}

/* Broken when any budget is, met when all are. */
static enum verdict budgets_verdict(const struct recommend_question *q, const struct budget_subject *s) {
    enum verdict all = VERDICT_MET;
    for (size_t i = 0; i < q->budget_count && all != VERDICT_BROKEN; i++) {
        enum verdict v = budget_verdict(&q->budgets[i], s);
        all = v == VERDICT_MET ? all : v;
    }
    return all;
}

static bool met_by_definition(const struct recommend_question *q, const struct check *checks) {
    for (size_t i = 0; i < q->floor_count; i++) {
        if (checks[i].verdict != VERDICT_MET || !isnan(checks[i].p_value)) {
            return false;
        }
    }
    return true;
}

/* Cost of the baseline where it qualifies whatever the evaluations say: nothing dearer needs one. */
static double sure_cost(const struct recommend_question *q, const struct recommend_outcome *o) {
    double least = INFINITY;
    for (uint32_t i = 0; i < q->candidate_count; i++) {
        uint32_t v = q->candidates[i].variant;
        if (q->variants[v].is_baseline && !q->variants[v].failure &&
            met_by_definition(q, o->floor_checks + v * q->floor_count)) {
            struct budget_subject s = recommend_subject(q, i, recommend_price(q, o, i));
            least = budgets_verdict(q, &s) == VERDICT_MET ? fmin(least, s.cost.value) : least;
        }
    }
    return least;
}

/* Adds the variants whose evaluation depends on how those of others come out. */
static void add_waiting(const struct recommend_question *q, const struct recommend_outcome *o,
                        struct family *f) {
    double limit = NAN;
    size_t tested = f->count;
    for (uint32_t i = 0; i < q->candidate_count; i++) {
        uint32_t v = q->candidates[i].variant;
        if (!waits(&q->variants[v]) || f->waiting[v]) {
            continue;
        }
        limit = isnan(limit) ? sure_cost(q, o) * RECOMMEND_TIE_RATIO : limit;
        struct budget_subject s = recommend_subject(q, i, recommend_price(q, o, i));
        f->waiting[v] = s.cost.value <= limit && budgets_verdict(q, &s) != VERDICT_BROKEN;
        if (f->waiting[v]) {
            f->variant[f->count] = v;
            f->p[f->count++] = 1;
        }
    }
    f->count = tested ? f->count : 0;
}

static enum rc family_make(const struct recommend_question *q, const struct recommend_outcome *o,
                           struct family *f, struct err *err) {
    size_t room = q->variant_count + 1;
    *f = (struct family){.p = calloc(room, sizeof(double)),
                         .adjusted = calloc(room, sizeof(double)),
                         .multiplier = calloc(room, sizeof(double)),
                         .variant = calloc(room, sizeof(uint32_t)),
                         .waiting = calloc(room, sizeof(bool))};
    if (!f->p || !f->adjusted || !f->multiplier || !f->variant || !f->waiting) {
        return err_memory(err);
    }
    const struct check *checks = o->floor_checks;
    for (uint32_t v = 0; v < q->variant_count; v++) {
        double p = q->variants[v].failure ? NAN : joint_p(checks + v * q->floor_count, q->floor_count);
        if (!isnan(p)) {
            f->variant[f->count] = v;
            f->p[f->count++] = p;
        }
    }
    f->tested = f->count;
    add_waiting(q, o, f);
    return holm_adjust(f->p, f->count, f->adjusted, f->multiplier, err);
}

/* Each floor's p-value is multiplied as its variant's was, and the largest of them becomes the variant's
 * adjusted p-value, so that all floors are met exactly when Holm admits the variant. */
static void correct(const struct recommend_question *q, const struct family *f, size_t member,
                    struct check *checks) {
    double alpha = 1 - q->confidence, joint = f->p[member];
    for (size_t i = 0; i < q->floor_count; i++) {
        struct check *c = &checks[i];
        if (isnan(c->p_value)) {
            continue;
        }
        double plain = c->p_value;
        c->p_value =
            plain == joint ? f->adjusted[member] : fmin(plain * f->multiplier[member], f->adjusted[member]);
        if (c->verdict == VERDICT_MET && c->p_value > alpha) {
            c->verdict = VERDICT_UNDECIDED;
        }
        if (c->verdict == VERDICT_UNDECIDED && plain < 0.5) { /* it leans towards "met" */
            c->more = floor_more_examples(plain, alpha / f->multiplier[member], c->n);
        }
    }
}

enum rc recommend_judge_floors(const struct recommend_question *q, struct recommend_outcome *o,
                               struct err *err) {
    struct family f = {0};
    enum rc rc = RC_OK;
    o->floor_checks = calloc(q->variant_count * q->floor_count + 1, sizeof *o->floor_checks);
    if (!o->floor_checks) {
        return err_memory(err);
    }
    for (size_t v = 0; v < q->variant_count; v++) {
        const struct recommend_variant *variant = &q->variants[v];
        for (size_t i = 0; i < q->floor_count; i++) {
            const struct accuracy *a = recommend_accuracy(variant, &q->floors[i]);
            struct check *c = &o->floor_checks[v * q->floor_count + i];
            if (variant->is_baseline) {
                judge_baseline(&q->floors[i], a, q->confidence, c);
            } else {
                floor_judge(&q->floors[i], a, q->confidence, c);
            }
        }
    }
    rc = family_make(q, o, &f, err);
    for (size_t m = 0; rc == RC_OK && m < f.tested; m++) {
        correct(q, &f, m, o->floor_checks + f.variant[m] * q->floor_count);
    }
    o->tested = (uint32_t)f.tested;
    o->corrected_for = (uint32_t)f.count;
    family_free(&f);
    return rc;
}
