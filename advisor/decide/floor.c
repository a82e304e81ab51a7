#include "advisor/decide/floor.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "advisor/decide/limit_text.h"
#include "core/base/container.h"
#include "core/base/nearest.h"
#include "core/stats/binomial.h"
#include "core/stats/special.h"

/* Fewer rows than this say too little about their own spread for a bootstrap. */
enum { BOOTSTRAP_MIN_ROWS = 20 };

#define EXAMPLE "relative>=0.99"

static const struct word {
    const char *name;
    enum floor_kind kind;
    enum metric metric;
    bool at_least;
} WORDS[] = {
    {"top1", FLOOR_ABSOLUTE, METRIC_TOP1, true},
    {"f1", FLOOR_ABSOLUTE, METRIC_F1, true},
    {"agreement", FLOOR_ABSOLUTE, METRIC_AGREEMENT, true},
    {"mse", FLOOR_ABSOLUTE, METRIC_MSE, false},
    {"mae", FLOOR_ABSOLUTE, METRIC_MAE, false},
    {"ppl", FLOOR_ABSOLUTE, METRIC_PPL, false},
    {"kld", FLOOR_ABSOLUTE, METRIC_KLD, false},
    {"relative", FLOOR_RELATIVE, METRIC_PRIMARY, true},
    {"drop", FLOOR_DROP, METRIC_PRIMARY, false},
    {"ppl_ratio", FLOOR_RATIO, METRIC_PPL, false},
};

static const struct word *word_of(const struct floor *f) {
    for (size_t i = 0; i < ARRAY_SIZE(WORDS); i++) {
        if (WORDS[i].kind == f->kind && WORDS[i].metric == f->metric) {
            return &WORDS[i];
        }
    }
    return &WORDS[0];
}

static enum rc find_word(const char *name, const struct word **ret, struct err *err) {
    const char *names[ARRAY_SIZE(WORDS) + 1] = {0};
    for (size_t i = 0; i < ARRAY_SIZE(WORDS); i++) {
        names[i] = WORDS[i].name;
        if (strcmp(WORDS[i].name, name) == 0) {
            *ret = &WORDS[i];
            return RC_OK;
        }
    }
    static const char *const budgets[] = {"p50",        "p90",    "p95",  "p99",  "p99.9",       "mean",
                                          "throughput", "memory", "size", "cost", "instructions"};
    for (size_t i = 0; i < ARRAY_SIZE(budgets); i++) {
        if (strcmp(budgets[i], name) == 0) {
            return err_set(err, RC_INPUT, "\"%s\" is a budget, not a floor; give it as a budget", name);
        }
    }
    const char *nearest = nearest_name(name, names);
    if (nearest) {
        return err_set(err, RC_INPUT, "there is no floor \"%s\"; did you mean \"%s\"?", name, nearest);
    }
    return err_set(
        err, RC_INPUT,
        "there is no floor \"%s\"; there are top1 f1 agreement mse mae ppl kld relative drop ppl_ratio",
        name);
}

static enum rc refuse_share(const char *word, double bound, struct err *err) {
    char number[32], share[32];
    limit_text_number(bound, number, sizeof number);
    limit_text_number(bound / 100, share, sizeof share);
    if (bound > 1 && bound <= 100 && bound >= 2) {
        return err_set(err, RC_INPUT, "%s>=%s can never be met: it is a share of 1; did you mean %s>=%s?",
                       word, number, word, share);
    }
    if (bound > 1) {
        return err_set(err, RC_INPUT, "%s>=%s can never be met: it is a share of 1, so 1 is the most", word,
                       number);
    }
    return err_set(err, RC_INPUT, "%s>=%s asks for nothing: give a share above 0, such as %s>=0.99", word,
                   number, word);
}

/* Floors that nothing, or everything, can meet. */
static enum rc check_bound(const struct word *w, double bound, struct err *err) {
    char number[32];
    limit_text_number(bound, number, sizeof number);
    if (w->at_least) {
        return bound > 0 && bound <= 1 ? RC_OK : refuse_share(w->name, bound, err);
    }
    if (w->kind == FLOOR_DROP) {
        if (bound < 0) {
            return err_set(err, RC_INPUT,
                           "drop<=%s asks a variant to gain; give the points it may lose, such as drop<=0.5",
                           number);
        }
        return bound < 100
                   ? RC_OK
                   : err_set(err, RC_INPUT,
                             "drop<=%s allows everything: points are hundredths, such as drop<=0.5", number);
    }
    if (w->kind == FLOOR_RATIO && (bound < 1 || bound > 1000)) {
        return err_set(err, RC_INPUT,
                       "ppl_ratio<=%s makes no sense: it is the perplexity divided by the baseline's, such "
                       "as ppl_ratio<=1.02",
                       number);
    }
    if (w->metric == METRIC_PPL && bound < 1) {
        return err_set(err, RC_INPUT, "%s<=%s can never be met: the least perplexity is 1", w->name, number);
    }
    return bound > 0
               ? RC_OK
               : err_set(err, RC_INPUT, "%s<=%s can never be met: give a number above 0", w->name, number);
}

enum rc floor_parse(const char *text, struct floor *ret, struct err *err) {
    struct limit_text t;
    const struct word *w = NULL;
    enum rc rc = limit_text_split(text, EXAMPLE, &t, err);
    if (rc == RC_OK) {
        rc = find_word(t.word, &w, err);
    }
    if (rc != RC_OK) {
        return rc;
    }
    if (t.at_least != w->at_least) {
        return err_set(err, RC_INPUT, "\"%s\" is limited from %s: write %s%s...", w->name,
                       w->at_least ? "below" : "above", w->name, w->at_least ? ">=" : "<=");
    }
    if (strcmp(t.unit, "%") == 0 && w->at_least) {
        t.number /= 100;
    } else if (t.unit[0] && w->kind == FLOOR_DROP) {
        return err_set(err, RC_INPUT, "drop is in points (hundredths) and takes no unit: drop<=0.5");
    } else if (t.unit[0]) {
        return err_set(err, RC_INPUT, "\"%s\" takes no unit \"%s\"", w->name, t.unit);
    }
    rc = check_bound(w, t.number, err);
    if (rc == RC_OK) {
        *ret = (struct floor){.kind = w->kind, .metric = w->metric, .bound = t.number};
    }
    return rc;
}

void floor_text(const struct floor *f, char text[FLOOR_TEXT_SIZE]) {
    const struct word *w = word_of(f);
    char number[32];
    limit_text_number(f->bound, number, sizeof number);
    snprintf(text, FLOOR_TEXT_SIZE, "%s%s%s", w->name, w->at_least ? ">=" : "<=", number);
}

enum rc floor_fits(const struct floor *f, enum metric primary, struct err *err) {
    if (f->kind == FLOOR_DROP && !metric_is_share(primary)) {
        return err_set(err, RC_INPUT, "drop is for top1, f1 and agreement; for %s use relative>=... or %s",
                       metric_name(primary), primary == METRIC_PPL ? "ppl_ratio<=..." : "an absolute floor");
    }
    if ((f->kind == FLOOR_RATIO || f->metric == METRIC_PPL) && primary != METRIC_PPL) {
        return err_set(err, RC_INPUT,
                       "perplexity is measured for language models on text; the metric here is %s",
                       metric_name(primary));
    }
    return RC_OK;
}

bool floor_is_relative(const struct floor *f) {
    return f->kind != FLOOR_ABSOLUTE;
}

/* Every floor as one linear claim: variant - f * baseline >= delta, or <= delta where smaller is better. */
struct claim {
    double f, delta;
    bool smaller;
};

static struct claim claim_of(const struct floor *fl, const struct accuracy *a) {
    struct claim c = {.smaller = metric_smaller_is_better(a->metric)};
    switch (fl->kind) {
    case FLOOR_ABSOLUTE:
        c.delta = fl->bound;
        break;
    case FLOOR_RELATIVE:
        c.f = c.smaller ? 1 / fl->bound : fl->bound;
        break;
    case FLOOR_DROP:
        c.f = 1;
        c.delta = -fl->bound / 100;
        break;
    case FLOOR_RATIO:
        c.f = fl->bound;
        break;
    }
    if (a->metric == METRIC_AGREEMENT && !a->paired) { /* the baseline agrees with itself */
        c.delta += c.f;
        c.f = 0;
    }
    return c;
}

/* Rows that all score alike (everything right, say) show a bootstrap no spread at all, and it would take any
 * claim about them as sure. A share e of the examples may yet score in the worst way and be among none of n
 * with chance (1 - e)^n; for shares the worst an example can add to variant - f * baseline is -f (1 against
 * "broken"). For one sample with everything right this is the exact binomial p-value. */
static double unseen_p(const struct claim *c, const struct accuracy *a, bool above) {
    const double *m = a->bootstrap.moments;
    double other = a->paired ? c->f * a->baseline : 0, estimate = a->value - other, worst = above ? -c->f : 1;
    double spread = m[0] + c->f * c->f * m[2], none = 1e-18 * (a->value * a->value + other * other);
    if (!metric_is_share(a->metric) || spread > none) {
        return 0;
    }
    double e = (estimate - c->delta) / (estimate - worst);
    return e > 0 && e <= 1 ? pow(1 - e, (double)a->n) : 1;
}

static double bootstrap_p(const struct claim *c, const struct accuracy *a, bool above) {
    double p = above ? bootstrap_p_above(&a->bootstrap, c->f, c->delta)
                     : bootstrap_p_below(&a->bootstrap, c->f, c->delta);
    return fmax(p, unseen_p(c, a, above));
}

/* p-value of the opposite of the claim ("met") or of the claim itself ("broken"). */
static double claim_p(const struct claim *c, const struct accuracy *a, enum verdict wanted) {
    bool above = (wanted == VERDICT_MET) != c->smaller;
    if (a->kind == ACCURACY_BOOTSTRAP) {
        return bootstrap_p(c, a, above);
    }
    if (c->f == 0) {
        uint64_t right = a->counts.both + a->counts.only_variant;
        return above ? binomial_at_least(right, a->n, c->delta) : binomial_at_most(right, a->n, c->delta);
    }
    double p = paired_p_value(&a->counts, c->f, c->delta);
    return above ? p : 1 - p;
}

static const char *test_name(const struct claim *c, const struct accuracy *a) {
    if (a->kind == ACCURACY_BOOTSTRAP) {
        return c->f == 0 ? "bootstrap (BCa)" : "paired bootstrap (BCa)";
    }
    return c->f == 0 ? "exact binomial bound" : "Tango score test";
}

static double quotient(double x, double y) {
    return x == y ? 1 : x / y; /* also of 0 and 0 */
}

static double value_of(const struct floor *fl, const struct accuracy *a) {
    double baseline = a->paired ? a->baseline : 1;
    switch (fl->kind) {
    case FLOOR_ABSOLUTE:
        return a->value;
    case FLOOR_RELATIVE:
        return metric_smaller_is_better(a->metric) ? quotient(baseline, a->value)
                                                   : quotient(a->value, baseline);
    case FLOOR_DROP:
        return 100 * (baseline - a->value);
    case FLOOR_RATIO:
        return quotient(a->value, baseline);
    }
    return NAN;
}

/* Evidence, as a squared normal deviate, grows with n. */
uint64_t floor_more_examples(double p, double alpha, uint64_t n) {
    double z = special_normal_quantile(1 - p), wanted = special_normal_quantile(1 - alpha);
    if (!(z > 0.01) || n == 0) {
        return 0;
    }
    double needed = ceil((double)n * (wanted / z) * (wanted / z)) - (double)n;
    return needed >= 1 && needed < 1e12 ? (uint64_t)needed : 1;
}

static bool is_measured(const struct floor *f, const struct accuracy *a) {
    return a && a->n > 0 && (a->paired || !floor_is_relative(f) || a->metric == METRIC_AGREEMENT);
}

void floor_judge(const struct floor *f, const struct accuracy *a, double confidence, struct check *ret) {
    *ret = (struct check){
        .verdict = VERDICT_UNDECIDED, .test = "", .value = NAN, .low = NAN, .high = NAN, .p_value = NAN};
    if (!is_measured(f, a)) {
        return;
    }
    struct claim c = claim_of(f, a);
    double alpha = 1 - confidence;
    ret->measured = true;
    ret->test = test_name(&c, a);
    ret->value = value_of(f, a);
    ret->n = a->n;
    if (a->kind == ACCURACY_BOOTSTRAP && a->n < BOOTSTRAP_MIN_ROWS) {
        ret->p_value = 1;
        ret->more = BOOTSTRAP_MIN_ROWS - a->n;
        return;
    }
    ret->p_value = claim_p(&c, a, VERDICT_MET);
    double p_broken = claim_p(&c, a, VERDICT_BROKEN);
    if (ret->p_value <= alpha) {
        ret->verdict = VERDICT_MET;
    } else if (p_broken <= alpha) {
        ret->verdict = VERDICT_BROKEN;
    } else {
        ret->more = floor_more_examples(fmin(ret->p_value, p_broken), alpha, a->n);
    }
}

/* Bounds that are tried for a verdict; every value of a metric lies between. */
static void bound_range(const struct floor *f, const struct accuracy *a, double *least, double *most) {
    *least = f->kind == FLOOR_DROP ? -99.9999 : 1e-9;
    *most = f->kind == FLOOR_DROP ? 99.9999 : 1;
    if (f->kind == FLOOR_RELATIVE || f->kind == FLOOR_RATIO) {
        *most = 9.99;
        double value = value_of(f, a);
        *most += a->kind == ACCURACY_BOOTSTRAP && isfinite(value) ? 10 * fabs(value) : 0;
    } else if (!metric_is_share(a->metric)) {
        *most = 10 * fabs(a->value) + 1e-9;
    }
}

static double p_at(const struct floor *f, const struct accuracy *a, enum verdict verdict, double bound) {
    struct floor tried = *f;
    tried.bound = bound;
    struct claim c = claim_of(&tried, a);
    return claim_p(&c, a, verdict);
}

/* The bound at which `verdict` is just reached: it is at `easy` and no more towards `hard`. NAN where even
 * `easy` is not shown, unless nothing lies beyond it, as beyond a share of 1. */
static double turning_point(const struct floor *f, const struct accuracy *a, double alpha,
                            enum verdict verdict, double easy, double hard) {
    bool closed = f->kind == FLOOR_DROP || (f->kind == FLOOR_ABSOLUTE && metric_is_share(a->metric));
    if (!closed && !(p_at(f, a, verdict, easy) <= alpha)) {
        return NAN;
    }
    for (int i = 0; i < 60; i++) {
        double tried = 0.5 * (easy + hard);
        if (p_at(f, a, verdict, tried) <= alpha) {
            easy = tried;
        } else {
            hard = tried;
        }
    }
    return 0.5 * (easy + hard);
}

void floor_bounds(const struct floor *f, const struct accuracy *a, double confidence, struct check *ret) {
    if (!ret->measured || (a->kind == ACCURACY_BOOTSTRAP && a->n < BOOTSTRAP_MIN_ROWS)) {
        return;
    }
    double least, most, alpha = 1 - confidence;
    bound_range(f, a, &least, &most);
    bool at_least = word_of(f)->at_least;
    ret->low = turning_point(f, a, alpha, at_least ? VERDICT_MET : VERDICT_BROKEN, least, most);
    ret->high = turning_point(f, a, alpha, at_least ? VERDICT_BROKEN : VERDICT_MET, most, least);
}
