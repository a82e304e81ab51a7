#include "advisor/decide/contend.h"

#include <math.h>
#include <stdlib.h>

/* The least cost of the baseline on a machine, over all settings; or with the settings of `like` only. NAN:
 * not measured. */
static double baseline_cost(const struct recommend_question *q, const struct recommend_outcome *o,
                            uint32_t machine, const struct recommend_candidate *like) {
    double least = NAN;
    for (uint32_t i = 0; i < q->candidate_count; i++) {
        const struct recommend_candidate *c = &q->candidates[i];
        bool mine = q->variants[c->variant].is_baseline && c->machine == machine;
        bool alike = !like || (c->instances == like->instances && c->threads == like->threads &&
                               c->batch == like->batch);
        if (mine && alike) {
            least = fmin(least, o->verdicts[i].cost.value);
        }
    }
    return least;
}

/* What other settings could bring a variant's cost to. INFINITY: it has no candidate with a cost. */
static double hoped_cost(const struct recommend_question *q, const struct recommend_outcome *o,
                         uint32_t variant) {
    double least = INFINITY;
    for (uint32_t i = 0; i < q->candidate_count; i++) {
        const struct recommend_candidate *c = &q->candidates[i];
        double gain = baseline_cost(q, o, c->machine, NULL) / baseline_cost(q, o, c->machine, c);
        if (c->variant == variant && !isnan(o->verdicts[i].cost.low)) {
            gain = gain < 1 ? gain : 1; /* also where the baseline was not measured so */
            least = fmin(least, o->verdicts[i].cost.low * gain * CONTEND_GENEROUS);
        }
    }
    return least;
}

/* The cheapest that qualifies; RECOMMEND_NONE. */
static uint32_t cheapest(const struct recommend_question *q, const struct recommend_outcome *o) {
    uint32_t best = RECOMMEND_NONE;
    for (uint32_t i = 0; i < q->candidate_count; i++) {
        bool qualifies = o->verdicts[i].place == PLACE_QUALIFIES && !isnan(o->verdicts[i].cost.value);
        if (qualifies &&
            (best == RECOMMEND_NONE || o->verdicts[i].cost.value < o->verdicts[best].cost.value)) {
            best = i;
        }
    }
    return best;
}

const struct budget *contend_too_large(const struct budget *budgets, size_t n, uint64_t size_bytes) {
    for (size_t i = 0; i < n; i++) {
        if (budgets[i].kind == BUDGET_SIZE && (double)size_bytes > budgets[i].bound) {
            return &budgets[i];
        }
    }
    return NULL;
}

static bool breaks_a_floor(const struct recommend_question *q, const struct recommend_outcome *o,
                           uint32_t variant) {
    for (size_t i = 0; i < q->floor_count; i++) {
        const struct check *c = &o->floor_checks[variant * q->floor_count + i];
        if (c->measured && c->verdict == VERDICT_BROKEN) {
            return true;
        }
    }
    return false;
}

static enum contend_what next_of(const struct recommend_question *q, const struct recommend_outcome *o,
                                 const struct contend_level *level, uint32_t variant, uint32_t best) {
    const struct recommend_variant *v = &q->variants[variant];
    if (v->failure || level->wide) {
        return CONTEND_NOTHING;
    }
    if (!level->started) {
        return best == RECOMMEND_NONE ? CONTEND_START : CONTEND_NOTHING;
    }
    double limit = best == RECOMMEND_NONE ? INFINITY : o->verdicts[best].cost.value * RECOMMEND_TIE_RATIO;
    bool hopeful = hoped_cost(q, o, variant) <= limit;
    return v->is_baseline || (hopeful && !breaks_a_floor(q, o, variant)) ? CONTEND_WIDEN : CONTEND_NOTHING;
}

enum rc contend_next(const struct recommend_question *q, const struct contend_level *levels,
                     enum contend_what *what, struct err *err) {
    struct recommend_outcome o;
    bool widens = false;
    enum rc rc = recommend_decide(q, &o, err);
    if (rc != RC_OK) {
        return rc;
    }
    uint32_t best = cheapest(q, &o);
    for (uint32_t v = 0; v < q->variant_count; v++) {
        what[v] = next_of(q, &o, &levels[v], v, best);
        widens = widens || what[v] == CONTEND_WIDEN;
    }
    for (uint32_t v = 0; v < q->variant_count; v++) { /* what may help comes before what cannot */
        what[v] = widens && what[v] == CONTEND_START ? CONTEND_NOTHING : what[v];
    }
    recommend_outcome_free(&o);
    return RC_OK;
}

static enum rc add_reason(const struct recommend_question *q, const struct recommend_outcome *o,
                          const struct contend_level *level, uint32_t variant, struct buf *out,
                          struct err *err) {
    uint32_t best = cheapest(q, o);
    const char *money = o->in_usd ? "USD" : "machine-hours";
    const char *recipe = best == RECOMMEND_NONE ? "" : q->variants[q->candidates[best].variant].recipe;
    if (breaks_a_floor(q, o, variant)) {
        return buf_add_text(out, "its accuracy breaks a floor, whatever the settings", err);
    }
    const struct budget *size =
        contend_too_large(q->budgets, q->budget_count, q->variants[variant].size_bytes);
    char text[BUDGET_TEXT_SIZE];
    if (size && !level->started) {
        budget_text(size, text);
        return buf_printf(out, err, "its file of %.1f MiB breaks the budget %s",
                          (double)q->variants[variant].size_bytes / 1048576, text);
    }
    if (best == RECOMMEND_NONE) {
        return buf_add_text(out, "nothing of it could be measured", err);
    }
    double cost = o->verdicts[best].cost.value;
    if (!level->started) {
        return buf_printf(
            out, err,
            "it cannot be faster than the uncompressed model on these machines, and %s qualifies at %.3g "
            "%s per million",
            recipe, cost, money);
    }
    return buf_printf(
        out, err,
        "with other settings it could come to %.3g %s per million at best, and %s qualifies at %.3g",
        hoped_cost(q, o, variant), money, recipe, cost);
}

enum rc contend_reason(const struct recommend_question *q, const struct contend_level *levels,
                       uint32_t variant, struct buf *out, struct err *err) {
    struct recommend_outcome o;
    enum rc rc = recommend_decide(q, &o, err);
    if (rc == RC_OK) {
        rc = add_reason(q, &o, &levels[variant], variant, out, err);
        recommend_outcome_free(&o);
    }
    return rc;
}
