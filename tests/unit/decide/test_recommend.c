#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "advisor/decide/explain.h"
#include "advisor/decide/recommend.h"
#include "core/stats/binomial.h"
#include "tests/unit/decide/random_question.h"

/* ---- the slow, obvious implementation ---- */

struct slow {
    int place[MAX_CANDIDATES]; /* enum recommend_place */
    int reason[MAX_CANDIDATES];
    double cost[MAX_CANDIDATES];
    uint32_t choice;
};

static double slow_cost(const struct random_question *x, size_t i) {
    const struct recommend_candidate *c = &x->candidates[i];
    double price = isnan(x->q.price_per_hour) ? x->machines[c->machine].usd_per_hour : x->q.price_per_hour;
    return c->throughput.per_s > 0 ? price / 3600 / c->throughput.per_s * 1e6 : NAN;
}

static double smallest_p(const double *p, const int *done, size_t n, size_t *which) {
    double least = INFINITY;
    for (size_t i = 0; i < n; i++) {
        if (!done[i] && p[i] < least) {
            least = p[i];
            *which = i;
        }
    }
    return least;
}

static enum verdict slow_budget(const struct random_question *x, size_t i, const struct budget *b);

static int slow_budgets(const struct random_question *x, size_t i, enum verdict wanted) {
    int count = 0;
    for (size_t k = 0; k < x->q.budget_count; k++) {
        count += slow_budget(x, i, &x->budgets[k]) == wanted;
    }
    return count;
}

/* Whether the variant is not evaluated, and will be if the cheaper ones do not qualify. */
static int slow_waits(const struct random_question *x, size_t v) {
    double sure = INFINITY;
    int relative = 1;
    for (size_t i = 0; i < x->q.floor_count; i++) {
        relative &= floor_is_relative(&x->floors[i]);
    }
    for (size_t i = 0; i < x->q.candidate_count; i++) {
        if (relative && x->candidates[i].variant == 0 &&
            slow_budgets(x, i, VERDICT_MET) == (int)x->q.budget_count) {
            sure = fmin(sure, slow_cost(x, i));
        }
    }
    for (size_t i = 0; i < x->q.candidate_count; i++) {
        if (v && x->candidates[i].variant == v && !x->variants[v].accuracy_count && !x->variants[v].failure &&
            slow_budgets(x, i, VERDICT_BROKEN) == 0 && slow_cost(x, i) <= 1.02 * sure) {
            return 1;
        }
    }
    return 0;
}

/* Holm's procedure by its definition over the variants whose every floor could be tested; what waits counts,
 * and cannot be admitted. */
static void slow_floors(const struct random_question *x, int *met, int *broken) {
    double p[MAX_VARIANTS];
    int done[MAX_VARIANTS], tested = 0, waiting = 0;
    for (size_t v = 0; v < x->q.variant_count; v++) {
        const struct recommend_variant *variant = &x->variants[v];
        int all_known = 1, by_definition = 1;
        p[v] = 0;
        broken[v] = 0;
        for (size_t i = 0; i < x->q.floor_count; i++) {
            if (variant->is_baseline && floor_is_relative(&x->floors[i])) {
                continue;
            }
            struct check c;
            floor_judge(&x->floors[i], variant->accuracy_count ? &x->accuracies[v] : NULL, x->q.confidence,
                        &c);
            all_known &= c.measured;
            by_definition = 0;
            p[v] = c.measured && c.p_value > p[v] ? c.p_value : p[v];
            broken[v] |= c.verdict == VERDICT_BROKEN;
        }
        met[v] = by_definition;
        done[v] = by_definition || !all_known || variant->failure != NULL;
        tested += !done[v];
        waiting += slow_waits(x, v);
    }
    for (int left = tested + waiting; left > waiting; left--) {
        size_t v = 0;
        if (smallest_p(p, done, x->q.variant_count, &v) * left > (1 - x->q.confidence)) {
            break;
        }
        met[v] = 1;
        done[v] = 1;
    }
}

static enum verdict slow_latency(const struct random_question *x, size_t i, const struct budget *b) {
    uint64_t over = 0, n = x->sample_count[i];
    if (x->candidates[i].latency.n == 0) {
        return VERDICT_UNDECIDED;
    }
    for (size_t s = 0; s < n; s++) {
        over += (double)x->samples[i][s] > b->bound;
    }
    return (enum verdict)binomial_judge(over, n, latency_quantile(b->figure), x->q.confidence);
}

static enum verdict between(double low, double high, double bound) {
    return high <= bound ? VERDICT_MET : low > bound ? VERDICT_BROKEN : VERDICT_UNDECIDED;
}

static enum verdict slow_budget(const struct random_question *x, size_t i, const struct budget *b) {
    const struct recommend_candidate *c = &x->candidates[i];
    double size = (double)x->variants[c->variant].size_bytes, memory = (double)c->memory_mib * 1048576;
    double price = slow_cost(x, i) * c->throughput.per_s;
    switch (b->kind) {
    case BUDGET_LATENCY:
        return slow_latency(x, i, b);
    case BUDGET_THROUGHPUT:
        return c->throughput.low >= b->bound   ? VERDICT_MET
               : c->throughput.high < b->bound ? VERDICT_BROKEN
                                               : VERDICT_UNDECIDED;
    case BUDGET_MEMORY:
        return between(memory, memory, b->bound);
    case BUDGET_SIZE:
        return between(size, size, b->bound);
    case BUDGET_COST:
        return between(price / c->throughput.high, price / c->throughput.low, b->bound);
    case BUDGET_INSTRUCTIONS:
        return c->instructions > 0 ? between(c->instructions, c->instructions, b->bound) : VERDICT_UNDECIDED;
    }
    return VERDICT_UNDECIDED;
}

static int slow_reason(const struct budget *b) {
    const int reasons[] = {REASON_LATENCY, REASON_THROUGHPUT, REASON_MEMORY,
                           REASON_SIZE,    REASON_COST,       REASON_INSTRUCTIONS};
    return reasons[b->kind];
}

static void slow_place(const struct random_question *x, size_t i, const int *met, const int *broken,
                       struct slow *s) {
    const struct recommend_candidate *c = &x->candidates[i];
    int undecided = !met[c->variant] || isnan(s->cost[i]);
    s->place[i] = PLACE_QUALIFIES;
    for (size_t k = x->q.budget_count;
         k-- > 0;) { /* backwards, so that the first broken one gives the reason */
        enum verdict v = slow_budget(x, i, &x->budgets[k]);
        undecided |= v == VERDICT_UNDECIDED;
        if (v == VERDICT_BROKEN) {
            s->place[i] = PLACE_REJECTED;
            s->reason[i] = slow_reason(&x->budgets[k]);
        }
    }
    if (broken[c->variant]) {
        s->place[i] = PLACE_REJECTED;
        s->reason[i] = REASON_ACCURACY;
    }
    if (x->variants[c->variant].failure) {
        s->place[i] = PLACE_REJECTED;
        s->reason[i] = REASON_FAILED;
    }
    if (s->place[i] == PLACE_QUALIFIES && undecided) {
        s->place[i] = PLACE_UNDECIDED;
    }
}

static double order_or_infinity(float x) {
    return isnan(x) ? INFINITY : (double)x;
}

/* Negative when a is the better one of a tie. */
static int slow_compare(const struct random_question *x, const struct slow *s, size_t a, size_t b) {
    enum latency_figure f = LATENCY_P50;
    for (size_t k = x->q.budget_count; k-- > 0;) {
        f = x->budgets[k].kind == BUDGET_LATENCY ? x->budgets[k].figure : f;
    }
    const struct recommend_candidate *ca = &x->candidates[a], *cb = &x->candidates[b];
    const struct recommend_variant *va = &x->variants[ca->variant], *vb = &x->variants[cb->variant];
    const double keys[][2] = {
        {ca->unstable != NULL, cb->unstable != NULL},
        {ca->latency.n ? order_or_infinity(ca->latency.points[f].value_us) : INFINITY,
         cb->latency.n ? order_or_infinity(cb->latency.points[f].value_us) : INFINITY},
        {order_or_infinity(ca->memory_mib), order_or_infinity(cb->memory_mib)},
        {va->steps, vb->steps},
        {(double)strlen(va->recipe), (double)strlen(vb->recipe)},
        {s->cost[a], s->cost[b]},
        {(double)a, (double)b},
    };
    for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++) {
        if (keys[k][0] != keys[k][1]) {
            return keys[k][0] < keys[k][1] ? -1 : 1;
        }
    }
    return 0;
}

static int slow_tied(const struct random_question *x, const struct slow *s, size_t a, size_t cheapest) {
    struct ratio_bounds r;
    double price_a = s->cost[a] * x->candidates[a].throughput.per_s;
    double price_b = s->cost[cheapest] * x->candidates[cheapest].throughput.per_s;
    cost_ratio(&x->candidates[a].throughput, price_a, &x->candidates[cheapest].throughput, price_b, 1.02,
               x->q.confidence, &r);
    return s->cost[a] <= 1.02 * s->cost[cheapest] || r.p_above > 1 - x->q.confidence;
}

static void slow_decide(const struct random_question *x, struct slow *s) {
    int met[MAX_VARIANTS], broken[MAX_VARIANTS];
    slow_floors(x, met, broken);
    size_t n = x->q.candidate_count, cheapest = n;
    for (size_t i = 0; i < n; i++) {
        s->cost[i] = slow_cost(x, i);
        slow_place(x, i, met, broken, s);
        if (s->place[i] == PLACE_QUALIFIES && (cheapest == n || s->cost[i] < s->cost[cheapest])) {
            cheapest = i;
        }
    }
    s->choice = RECOMMEND_NONE;
    for (size_t i = 0; i < n && cheapest < n; i++) {
        if (s->place[i] == PLACE_QUALIFIES && slow_tied(x, s, i, cheapest) &&
            (s->choice == RECOMMEND_NONE || slow_compare(x, s, i, s->choice) < 0)) {
            s->choice = (uint32_t)i;
        }
    }
    for (size_t i = 0; i < n && cheapest < n; i++) {
        if (s->place[i] == PLACE_UNDECIDED && s->cost[i] >= s->cost[s->choice]) {
            s->place[i] = PLACE_REJECTED;
            s->reason[i] = REASON_COSTS_MORE;
        }
    }
}

static size_t in_list(const uint32_t *list, size_t n, uint32_t value) {
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        count += list[i] == value;
    }
    return count;
}

static void assert_cheapest_first(const struct recommend_outcome *o, const uint32_t *list, size_t n) {
    for (size_t i = 1; i < n; i++) {
        double before = o->verdicts[list[i - 1]].cost.value, here = o->verdicts[list[i]].cost.value;
        assert_true(isnan(here) || before <= here);
    }
}

static void assert_same(const struct random_question *x, const struct recommend_outcome *o,
                        const struct slow *s) {
    uint32_t by_reason[REASON_COUNT] = {0};
    size_t rejected = 0;
    assert_int_equal(o->choice, s->choice);
    for (uint32_t i = 0; i < x->q.candidate_count; i++) {
        assert_int_equal(o->verdicts[i].place, s->place[i]);
        assert_true(isnan(s->cost[i]) ? isnan(o->verdicts[i].cost.value)
                                      : fabs(o->verdicts[i].cost.value - s->cost[i]) < 1e-9);
        size_t qualifies = s->place[i] == PLACE_QUALIFIES && i != s->choice;
        assert_int_equal(in_list(o->runners_up, o->runner_up_count, i), qualifies);
        assert_int_equal(in_list(o->undecided, o->undecided_count, i), s->place[i] == PLACE_UNDECIDED);
        if (s->place[i] == PLACE_REJECTED) {
            assert_int_equal(o->verdicts[i].reason, s->reason[i]);
            by_reason[s->reason[i]]++;
            rejected++;
        }
    }
    for (size_t i = 0; i < o->rejected_count; i++) {
        if (o->rejected[i].candidate == RECOMMEND_NONE) {
            assert_non_null(x->variants[o->rejected[i].variant].failure);
            by_reason[REASON_FAILED]++;
            rejected++;
        }
    }
    assert_int_equal(o->rejected_count, rejected);
    assert_memory_equal(o->by_reason, by_reason, sizeof by_reason);
    assert_cheapest_first(o, o->runners_up, o->runner_up_count);
    assert_cheapest_first(o, o->undecided, o->undecided_count);
    assert_cheapest_first(o, o->frontier, o->frontier_count);
}

static void decide_agrees_with_the_obvious_implementation(void **state) {
    (void)state;
    struct rng r;
    rng_seed(&r, 101);
    static struct random_question x;
    size_t choices = 0, undecided = 0, nothing = 0;
    for (int round = 0; round < 400; round++) {
        random_question(&x, &r);
        struct recommend_outcome o;
        struct slow s = {.choice = 0};
        struct err err = {0};
        assert_int_equal(recommend_decide(&x.q, &o, &err), RC_OK);
        slow_decide(&x, &s);
        assert_same(&x, &o, &s);
        choices += o.status == RECOMMEND_OK;
        undecided += o.status == RECOMMEND_UNDECIDED;
        nothing += o.status == RECOMMEND_NOTHING;
        recommend_outcome_free(&o);
    }
    assert_true(choices > 60 && undecided > 30 && nothing > 30); /* the questions are of all kinds */
}

static void baseline_is_the_cheapest_uncompressed_that_meets_the_budgets(void **state) {
    (void)state;
    struct rng r;
    rng_seed(&r, 102);
    static struct random_question x;
    for (int round = 0; round < 120; round++) {
        random_question(&x, &r);
        struct recommend_outcome o;
        assert_int_equal(recommend_decide(&x.q, &o, NULL), RC_OK);
        uint32_t meets = RECOMMEND_NONE, any = RECOMMEND_NONE;
        for (uint32_t i = 0; i < x.q.candidate_count; i++) {
            int ok = 1;
            for (size_t k = 0; k < x.q.budget_count; k++) {
                ok &= slow_budget(&x, i, &x.budgets[k]) == VERDICT_MET;
            }
            double cost = slow_cost(&x, i);
            if (x.candidates[i].variant == 0 && !isnan(cost)) {
                any = any == RECOMMEND_NONE || cost < slow_cost(&x, any) ? i : any;
                meets = ok && (meets == RECOMMEND_NONE || cost < slow_cost(&x, meets)) ? i : meets;
            }
        }
        assert_int_equal(o.baseline, meets == RECOMMEND_NONE ? any : meets);
        assert_int_equal(o.baseline_in_budget, meets != RECOMMEND_NONE);
        recommend_outcome_free(&o);
    }
}

static void frontier_holds_what_nothing_beats(void **state) {
    (void)state;
    struct rng r;
    rng_seed(&r, 103);
    static struct random_question x;
    for (int round = 0; round < 120; round++) {
        random_question(&x, &r);
        struct recommend_outcome o;
        assert_int_equal(recommend_decide(&x.q, &o, NULL), RC_OK);
        enum latency_figure f = recommend_figure(&x.q);
        double p[MAX_CANDIDATES][3];
        int on[MAX_CANDIDATES];
        for (uint32_t i = 0; i < x.q.candidate_count; i++) {
            const struct recommend_variant *v = &x.variants[x.candidates[i].variant];
            p[i][0] = slow_cost(&x, i);
            p[i][1] = -x.accuracies[x.candidates[i].variant].value;
            p[i][2] = x.candidates[i].latency.n
                          ? order_or_infinity(x.candidates[i].latency.points[f].value_us)
                          : INFINITY;
            on[i] = !isnan(p[i][0]) && v->accuracy_count && !v->failure;
        }
        for (uint32_t i = 0; i < x.q.candidate_count; i++) {
            int beaten = 0;
            for (uint32_t j = 0; j < x.q.candidate_count; j++) {
                const struct recommend_variant *v = &x.variants[x.candidates[j].variant];
                int counts = !isnan(p[j][0]) && v->accuracy_count && !v->failure;
                int as_good = p[j][0] <= p[i][0] && p[j][1] <= p[i][1] && p[j][2] <= p[i][2];
                int same = p[j][0] == p[i][0] && p[j][1] == p[i][1] && p[j][2] == p[i][2];
                beaten |= counts && as_good && (!same || j < i);
            }
            assert_int_equal(in_list(o.frontier, o.frontier_count, i), on[i] && !beaten);
        }
        recommend_outcome_free(&o);
    }
}

static void choice_is_never_below_a_floor_or_over_a_budget(void **state) {
    (void)state;
    struct rng r;
    rng_seed(&r, 104);
    static struct random_question x;
    for (int round = 0; round < 120; round++) {
        random_question(&x, &r);
        struct recommend_outcome o;
        assert_int_equal(recommend_decide(&x.q, &o, NULL), RC_OK);
        for (uint32_t limit = 0; o.choice != RECOMMEND_NONE && limit < x.q.floor_count + x.q.budget_count;
             limit++) {
            struct check c;
            assert_int_equal(recommend_check(&x.q, &o, o.choice, limit, &c, NULL), RC_OK);
            assert_int_equal(c.verdict, VERDICT_MET);
            if (limit < x.q.floor_count && x.floors[limit].kind != FLOOR_DROP) {
                assert_true(c.value >= x.floors[limit].bound);
            }
        }
        recommend_outcome_free(&o);
    }
}

/* What is as good in all else and strictly cheaper than the margin never makes the answer dearer. */
static void a_cheaper_copy_never_loses(void **state) {
    (void)state;
    struct rng r;
    rng_seed(&r, 105);
    static struct random_question x;
    for (int round = 0; round < 120; round++) {
        random_question(&x, &r);
        struct recommend_outcome before, after;
        assert_int_equal(recommend_decide(&x.q, &before, NULL), RC_OK);
        if (before.choice != RECOMMEND_NONE && x.q.candidate_count < MAX_CANDIDATES) {
            uint32_t copy = (uint32_t)x.q.candidate_count++;
            x.candidates[copy] = x.candidates[before.choice];
            struct throughput *t = &x.candidates[copy].throughput;
            *t = throughput_exact(t->high * 1.5); /* one of the figures of a copy may still tie it */
            assert_int_equal(recommend_decide(&x.q, &after, NULL), RC_OK);
            double was = before.verdicts[before.choice].cost.value;
            assert_true(after.choice != RECOMMEND_NONE && after.verdicts[after.choice].cost.value < was);
            recommend_outcome_free(&after);
        }
        recommend_outcome_free(&before);
    }
}

/* ---- cases by hand ---- */

static struct recommend_candidate candidate(uint32_t variant, double per_s, float latency_us) {
    struct recommend_candidate c = {
        .id = "cfg", .variant = variant, .instances = 1, .threads = 2, .batch = 1, .memory_mib = 30};
    float samples[500];
    for (int i = 0; i < 500; i++) {
        samples[i] = latency_us;
    }
    c.throughput = throughput_exact(per_s);
    assert_int_equal(latency_summarise(samples, 500, 0.95, &c.latency, NULL), RC_OK);
    return c;
}

struct hand {
    struct recommend_question q;
    struct recommend_machine machine;
    struct recommend_variant variants[4];
    struct accuracy accuracies[4];
    struct recommend_candidate candidates[4];
    struct floor floors[2];
    struct budget budgets[2];
};

/* fp32, int8:static, int8:dynamic, prune: as fast as their index; prune loses 3 %. */
static void by_hand(struct hand *h, const char *floor, const char *budget) {
    static const char *const recipes[] = {"fp32", "int8:static", "int8:dynamic", "prune"};
    static const double per_s[] = {1000, 2500, 400, 4000};
    static const float us[] = {950, 440, 11900, 250};
    *h = (struct hand){.machine = {"mt_1", "box", 0.36}};
    h->accuracies[0] = counted(9478, 0, 0, 522);
    h->accuracies[1] = counted(9470, 6, 8, 516);
    h->accuracies[2] = counted(9476, 3, 2, 519);
    h->accuracies[3] = counted(9170, 20, 308, 502);
    for (uint32_t i = 0; i < 4; i++) {
        h->variants[i] = (struct recommend_variant){recipes[i], recipes[i],        i != 0, i == 0, NULL,
                                                    1000,       &h->accuracies[i], 1,      NULL};
        h->candidates[i] = candidate(i, per_s[i], us[i]);
    }
    h->q = (struct recommend_question){h->floors,   0, h->budgets,  0, 0.95,          NAN,
                                       &h->machine, 1, h->variants, 4, h->candidates, 4};
    if (floor) {
        assert_int_equal(floor_parse(floor, &h->floors[0], NULL), RC_OK);
        h->q.floor_count = 1;
    }
    if (budget) {
        assert_int_equal(budget_parse(budget, &h->budgets[0], NULL), RC_OK);
        h->q.budget_count = 1;
    }
}

static void recommend_skips_a_variant_below_the_floor(void **state) {
    (void)state;
    struct hand h;
    struct recommend_outcome o;
    by_hand(&h, "relative>=0.99", "p99<=5ms");
    assert_int_equal(recommend_decide(&h.q, &o, NULL), RC_OK);
    assert_int_equal(o.status, RECOMMEND_OK);
    assert_int_equal(o.choice, 1);
    assert_int_equal(o.baseline, 0);
    assert_true(o.in_usd && fabs(o.verdicts[1].cost.value - 0.04) < 1e-12); /* 0.36 / 3600 / 2500 * 1e6 */
    assert_int_equal(o.by_reason[REASON_ACCURACY], 1);
    assert_int_equal(o.by_reason[REASON_LATENCY], 1);
    assert_int_equal(o.runner_up_count, 1);
    assert_int_equal(o.tested, 3);
    recommend_outcome_free(&o);
}

static void without_a_price_costs_are_machine_hours(void **state) {
    (void)state;
    struct hand h;
    struct recommend_outcome o;
    by_hand(&h, NULL, NULL);
    h.machine.usd_per_hour = NAN;
    assert_int_equal(recommend_decide(&h.q, &o, NULL), RC_OK);
    assert_false(o.in_usd);
    assert_int_equal(o.choice, 3);
    assert_true(fabs(o.verdicts[3].cost.value - 1e6 / 3600 / 4000) < 1e-12);
    recommend_outcome_free(&o);
    struct err err;
    assert_int_equal(budget_parse("cost<=0.5usd", &h.budgets[0], NULL), RC_OK);
    h.q.budget_count = 1;
    assert_int_equal(recommend_decide(&h.q, &o, &err), RC_INPUT);
    assert_non_null(strstr(err.text, "price"));
    h.q.price_per_hour = 0.5;
    assert_int_equal(recommend_decide(&h.q, &o, &err), RC_OK);
    assert_true(o.in_usd);
    recommend_outcome_free(&o);
}

static void a_tie_goes_to_the_faster_one(void **state) {
    (void)state;
    struct hand h;
    struct recommend_outcome o;
    by_hand(&h, NULL, NULL);
    h.candidates[1] = candidate(1, 3950, 200); /* 1.3 % dearer, faster */
    assert_int_equal(recommend_decide(&h.q, &o, NULL), RC_OK);
    assert_int_equal(o.choice, 1);
    recommend_outcome_free(&o);
    h.candidates[1] = candidate(1, 3800, 200); /* 5 % dearer: no tie without noise */
    assert_int_equal(recommend_decide(&h.q, &o, NULL), RC_OK);
    assert_int_equal(o.choice, 3);
    recommend_outcome_free(&o);
    h.candidates[1].throughput.log_error =
        0.05; /* 5 % dearer, give or take 5 %: not shown to be above 1.02 */
    h.candidates[1].throughput.freedom = 9;
    assert_int_equal(recommend_decide(&h.q, &o, NULL), RC_OK);
    assert_int_equal(o.choice, 1);
    recommend_outcome_free(&o);
}

static void a_tie_goes_to_the_steady_one_and_the_mark_is_told(void **state) {
    (void)state;
    struct hand h;
    struct recommend_outcome o;
    struct buf text;
    by_hand(&h, NULL, NULL);
    h.candidates[1] = candidate(1, 3950, 200); /* in a tie, and faster */
    h.candidates[1].unstable = "it drifted";
    assert_int_equal(recommend_decide(&h.q, &o, NULL), RC_OK);
    assert_int_equal(o.choice, 3);
    recommend_outcome_free(&o);
    h.candidates[3].unstable = "it drifted too"; /* none is steady: the faster one, and it says so */
    assert_int_equal(recommend_decide(&h.q, &o, NULL), RC_OK);
    assert_int_equal(o.choice, 1);
    buf_init(&text, 4096);
    assert_int_equal(explain_summary(&h.q, &o, &text, NULL), RC_OK);
    assert_non_null(strstr(text.data, "while the machine was not steady (it drifted)"));
    buf_free(&text);
    buf_init(&text, 4096);
    assert_int_equal(explain_candidate(&h.q, &o, 3, &text, NULL), RC_OK);
    assert_non_null(strstr(text.data, "not steady: it drifted too"));
    buf_free(&text);
    recommend_outcome_free(&o);
}

static void what_costs_more_need_not_be_measured(void **state) {
    (void)state;
    struct hand h;
    struct recommend_outcome o;
    by_hand(&h, "relative>=0.99", NULL);
    h.variants[2].accuracy_count = 0; /* dearer than int8:static */
    assert_int_equal(recommend_decide(&h.q, &o, NULL), RC_OK);
    assert_int_equal(o.choice, 1);
    assert_int_equal(o.verdicts[2].reason, REASON_COSTS_MORE);
    assert_int_equal(o.undecided_count, 0);
    recommend_outcome_free(&o);
    h.variants[3].accuracy_count = 0; /* cheaper than int8:static */
    assert_int_equal(recommend_decide(&h.q, &o, NULL), RC_OK);
    assert_int_equal(o.status, RECOMMEND_OK);
    assert_int_equal(o.undecided_count, 1);
    assert_int_equal(o.undecided[0], 3);
    recommend_outcome_free(&o);
}

static void undecided_without_a_choice_is_its_own_status(void **state) {
    (void)state;
    struct hand h;
    struct recommend_outcome o;
    by_hand(&h, "top1>=0.9475", NULL); /* so close to all that 10,000 examples do not tell */
    assert_int_equal(recommend_decide(&h.q, &o, NULL), RC_OK);
    assert_int_equal(o.status, RECOMMEND_UNDECIDED);
    assert_int_equal(o.choice, RECOMMEND_NONE);
    assert_int_equal(o.undecided[0], 1);
    assert_true(o.floor_checks[1].more > 10000);
    recommend_outcome_free(&o);
}

static void when_nothing_qualifies_the_way_out_is_named(void **state) {
    (void)state;
    struct hand h;
    struct recommend_outcome o;
    by_hand(&h, "relative>=0.99", "p99<=0.3ms");
    assert_int_equal(recommend_decide(&h.q, &o, NULL), RC_OK);
    assert_int_equal(o.status, RECOMMEND_NOTHING);
    assert_int_equal(o.nearest_miss, 3); /* 2 % short of the floor; int8:static is 47 % over the budget */
    assert_int_equal(o.relaxation_count, 2);
    assert_int_equal(o.relaxations[0].limit, 0);
    assert_int_equal(o.relaxations[0].candidate, 3);
    assert_true(o.relaxations[0].needed > 0.95 && o.relaxations[0].needed < 0.97);
    assert_int_equal(o.relaxations[1].limit, 1);
    assert_int_equal(o.relaxations[1].candidate, 1);
    assert_true(o.relaxations[1].needed == 440);
    assert_int_equal(o.binding, 0);
    struct floor relaxed = h.floors[0];
    relaxed.bound = o.relaxations[0].needed - 1e-6;
    recommend_outcome_free(&o);
    h.floors[0] = relaxed;
    assert_int_equal(recommend_decide(&h.q, &o, NULL), RC_OK);
    assert_int_equal(o.choice, 3); /* it really is the way out */
    recommend_outcome_free(&o);
}

static void several_tests_need_stronger_evidence(void **state) {
    (void)state;
    struct hand h;
    struct recommend_outcome o;
    by_hand(&h, "relative>=0.99", NULL);
    h.accuracies[1] = counted(9390, 12, 88, 510); /* p about 0.03 alone */
    struct check alone;
    floor_judge(&h.floors[0], &h.accuracies[1], 0.95, &alone);
    assert_int_equal(alone.verdict, VERDICT_MET);
    assert_true(alone.p_value > 0.025);
    h.accuracies[2] = h.accuracies[3] = h.accuracies[1]; /* three of them: Holm needs 0.0167 of the first */
    assert_int_equal(recommend_decide(&h.q, &o, NULL), RC_OK);
    assert_int_equal(o.tested, 3);
    assert_int_equal(o.floor_checks[1].verdict, VERDICT_UNDECIDED);
    assert_true(fabs(o.floor_checks[1].p_value - 3 * alone.p_value) < 1e-12);
    assert_int_equal(o.choice, 0); /* the baseline meets it by definition */
    recommend_outcome_free(&o);
}

/* Bounds and the number of examples that would decide agree with the verdict under correction. */
static void corrected_verdicts_have_corrected_bounds(void **state) {
    (void)state;
    struct hand h;
    struct recommend_outcome o;
    struct check c;
    by_hand(&h, "relative>=0.99", NULL);
    h.accuracies[1] = counted(9390, 12, 88, 510); /* alone it meets the floor */
    h.accuracies[2] = h.accuracies[3] = h.accuracies[1];
    assert_int_equal(recommend_decide(&h.q, &o, NULL), RC_OK);
    assert_int_equal(recommend_check(&h.q, &o, 1, 0, &c, NULL), RC_OK);
    assert_int_equal(c.verdict, VERDICT_UNDECIDED);
    assert_true(c.low < 0.99 && c.low > 0.98 && c.high > c.value);
    assert_true(c.more > 0);
    double more = 1 + 1.2 * (double)c.more / (double)c.n; /* the same again; it says "about" */
    h.accuracies[1] = counted((uint64_t)(9390 * more) + 1, (uint64_t)(12 * more), (uint64_t)(88 * more),
                              (uint64_t)(510 * more));
    h.accuracies[2] = h.accuracies[3] = h.accuracies[1];
    recommend_outcome_free(&o);
    assert_int_equal(recommend_decide(&h.q, &o, NULL), RC_OK);
    assert_int_equal(recommend_check(&h.q, &o, 1, 0, &c, NULL), RC_OK);
    assert_int_equal(c.verdict, VERDICT_MET);
    assert_true(c.low >= 0.99);
    recommend_outcome_free(&o);
}

/* Whether its figures were taken or not, and however few the examples. */
static void the_baseline_agrees_with_itself(void **state) {
    (void)state;
    const char *const floors[] = {"agreement>=0.99", "kld<=0.05", "relative>=0.99", "drop<=0"};
    for (size_t i = 0; i < 4; i++) {
        struct hand h;
        struct recommend_outcome o;
        struct check c;
        by_hand(&h, floors[i], NULL);
        h.accuracies[0] = counted(0, 20, 0, 0);
        h.accuracies[0].metric = METRIC_AGREEMENT;
        h.accuracies[0].paired = false;
        h.variants[0].accuracy_count = i % 2;
        h.q.candidate_count = 1;
        assert_int_equal(recommend_decide(&h.q, &o, NULL), RC_OK);
        assert_int_equal(o.choice, 0);
        assert_int_equal(recommend_check(&h.q, &o, 0, 0, &c, NULL), RC_OK);
        assert_int_equal(c.verdict, VERDICT_MET);
        assert_true(c.value == (i % 2 ? 0 : 1));
        assert_string_equal(c.test, "the baseline itself");
        recommend_outcome_free(&o);
    }
}

/* Stopping at the first that passes must not give each variant a chance of its own to pass wrongly. */
static void variants_that_wait_count_in_the_correction(void **state) {
    (void)state;
    struct hand h;
    struct recommend_outcome o;
    by_hand(&h, "relative>=0.99", NULL);
    h.accuracies[1] = counted(9390, 12, 88, 510); /* p about 0.04 */
    h.variants[2].accuracy_count = 0;             /* dearer than the baseline: never evaluated */
    h.variants[3].accuracy_count = 0;
    h.variants[3].failure = "crashed";
    assert_int_equal(recommend_decide(&h.q, &o, NULL), RC_OK);
    assert_int_equal(o.tested, 1);
    assert_int_equal(o.corrected_for, 1);
    assert_int_equal(o.choice, 1);
    recommend_outcome_free(&o);
    h.variants[3].failure = NULL;
    assert_int_equal(recommend_decide(&h.q, &o, NULL), RC_OK);
    assert_int_equal(o.tested, 1);
    assert_int_equal(o.corrected_for, 2);
    assert_int_equal(o.floor_checks[1].verdict, VERDICT_UNDECIDED);
    assert_int_equal(o.choice, 0);
    recommend_outcome_free(&o);
}

static void the_weakest_floor_decides_under_correction(void **state) {
    (void)state;
    struct hand h;
    struct recommend_outcome o;
    by_hand(&h, "relative>=0.99", NULL);
    assert_int_equal(floor_parse("top1>=0.5", &h.floors[1], NULL), RC_OK); /* beyond doubt */
    h.q.floor_count = 2;
    h.accuracies[1] = counted(9390, 12, 88, 510);
    h.accuracies[2] = h.accuracies[3] = h.accuracies[1];
    assert_int_equal(recommend_decide(&h.q, &o, NULL), RC_OK);
    assert_int_equal(o.tested, 4); /* the baseline too, by its absolute floor */
    assert_int_equal(o.floor_checks[2].verdict, VERDICT_UNDECIDED);
    assert_int_equal(o.floor_checks[3].verdict, VERDICT_MET);
    assert_int_equal(o.choice, 0);
    recommend_outcome_free(&o);
}

static void failed_variants_are_rejected_with_or_without_candidates(void **state) {
    (void)state;
    struct hand h;
    struct recommend_outcome o;
    by_hand(&h, NULL, NULL);
    h.variants[3].failure = "no MatMul or Conv with constant weights";
    assert_int_equal(recommend_decide(&h.q, &o, NULL), RC_OK);
    assert_int_equal(o.choice, 1);
    assert_int_equal(o.by_reason[REASON_FAILED], 1);
    assert_int_equal(o.rejected[0].candidate, 3);
    recommend_outcome_free(&o);
    h.q.candidate_count = 3;
    assert_int_equal(recommend_decide(&h.q, &o, NULL), RC_OK);
    assert_int_equal(o.rejected_count, 1);
    assert_int_equal(o.rejected[0].candidate, RECOMMEND_NONE);
    assert_int_equal(o.rejected[0].variant, 3);
    recommend_outcome_free(&o);
}

static void bad_questions_are_refused(void **state) {
    (void)state;
    struct hand h;
    struct recommend_outcome o;
    struct err err;
    by_hand(&h, NULL, NULL);
    h.q.confidence = 0.4;
    assert_int_equal(recommend_decide(&h.q, &o, &err), RC_INPUT);
    h.q.confidence = 0.99; /* the summaries are for 0.95 */
    assert_int_equal(recommend_decide(&h.q, &o, &err), RC_INPUT);
    h.q.confidence = 0.95;
    h.q.price_per_hour = -1;
    assert_int_equal(recommend_decide(&h.q, &o, &err), RC_INPUT);
    h.q.price_per_hour = NAN;
    h.q.floor_count = RECOMMEND_MAX_LIMITS + 1;
    assert_int_equal(recommend_decide(&h.q, &o, &err), RC_INPUT);
    h.q.floor_count = 0;
    h.candidates[2].variant = 9;
    assert_int_equal(recommend_decide(&h.q, &o, &err), RC_INPUT);
}

static void an_empty_question_has_an_empty_answer(void **state) {
    (void)state;
    struct recommend_question q = {.confidence = 0.95, .price_per_hour = NAN};
    struct recommend_outcome o;
    assert_int_equal(recommend_decide(&q, &o, NULL), RC_OK);
    assert_int_equal(o.status, RECOMMEND_NOTHING);
    assert_int_equal(o.choice, RECOMMEND_NONE);
    assert_int_equal(o.nearest_miss, RECOMMEND_NONE);
    recommend_outcome_free(&o);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decide_agrees_with_the_obvious_implementation),
        cmocka_unit_test(baseline_is_the_cheapest_uncompressed_that_meets_the_budgets),
        cmocka_unit_test(frontier_holds_what_nothing_beats),
        cmocka_unit_test(choice_is_never_below_a_floor_or_over_a_budget),
        cmocka_unit_test(a_cheaper_copy_never_loses),
        cmocka_unit_test(recommend_skips_a_variant_below_the_floor),
        cmocka_unit_test(without_a_price_costs_are_machine_hours),
        cmocka_unit_test(a_tie_goes_to_the_faster_one),
        cmocka_unit_test(a_tie_goes_to_the_steady_one_and_the_mark_is_told),
        cmocka_unit_test(what_costs_more_need_not_be_measured),
        cmocka_unit_test(undecided_without_a_choice_is_its_own_status),
        cmocka_unit_test(when_nothing_qualifies_the_way_out_is_named),
        cmocka_unit_test(several_tests_need_stronger_evidence),
        cmocka_unit_test(corrected_verdicts_have_corrected_bounds),
        cmocka_unit_test(the_baseline_agrees_with_itself),
        cmocka_unit_test(variants_that_wait_count_in_the_correction),
        cmocka_unit_test(the_weakest_floor_decides_under_correction),
        cmocka_unit_test(failed_variants_are_rejected_with_or_without_candidates),
        cmocka_unit_test(bad_questions_are_refused),
        cmocka_unit_test(an_empty_question_has_an_empty_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
