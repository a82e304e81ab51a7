#include "advisor/decide/explain.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "advisor/decide/limit_text.h"

enum { NUMBER_SIZE = 40, LEAST_DIGITS = 3, MOST_DIGITS = 9 };

static void significant(double value, char text[NUMBER_SIZE]) {
    if (fabs(value) >= 1000) {
        snprintf(text, NUMBER_SIZE, "%.0f", value);
    } else {
        snprintf(text, NUMBER_SIZE, "%.3g", value);
    }
}

static void rounded(double value, int digits, char *text, size_t size) {
    if (value >= 1000 && value < 1e15 && digits <= 4) {
        snprintf(text, size, "%.0f", value);
    } else {
        snprintf(text, size, "%.*g", digits, value);
    }
}

static void time_figure(double us, int digits, char text[NUMBER_SIZE]) {
    char number[NUMBER_SIZE - 8];
    double scaled = us >= 1e6 ? us / 1e6 : (us >= 1000 ? us / 1000 : us);
    rounded(scaled, digits, number, sizeof number);
    snprintf(text, NUMBER_SIZE, "%s %s", number, us >= 1e6 ? "s" : (us >= 1000 ? "ms" : "us"));
}

static void bytes_figure(double bytes, int digits, char text[NUMBER_SIZE]) {
    static const struct {
        const char *name;
        double factor;
    } units[] = {{"GiB", 1024.0 * 1024 * 1024}, {"MiB", 1024.0 * 1024}, {"KiB", 1024}, {"B", 1}};
    size_t u = 0;
    while (u < 3 && bytes < units[u].factor) {
        u++;
    }
    char number[NUMBER_SIZE - 8];
    rounded(bytes / units[u].factor, digits + 1, number, sizeof number);
    snprintf(text, NUMBER_SIZE, "%s %s", number, units[u].name);
}

static void count_figure(double count, int digits, char text[NUMBER_SIZE]) {
    const char *unit = count >= 1e9 ? " G" : count >= 1e6 ? " M" : count >= 1e3 ? " k" : "";
    char number[NUMBER_SIZE - 8];
    rounded(count / (count >= 1e9   ? 1e9
                     : count >= 1e6 ? 1e6
                     : count >= 1e3 ? 1e3
                                    : 1),
            digits, number, sizeof number);
    snprintf(text, NUMBER_SIZE, "%s%s", number, unit);
}

static void budget_digits(const struct budget *b, double value, int digits, char text[NUMBER_SIZE]) {
    char number[NUMBER_SIZE - 8];
    switch (b->kind) {
    case BUDGET_LATENCY:
        time_figure(value, digits, text);
        return;
    case BUDGET_MEMORY:
    case BUDGET_SIZE:
        bytes_figure(value, digits, text);
        return;
    case BUDGET_THROUGHPUT:
        rounded(value, digits, number, sizeof number);
        snprintf(text, NUMBER_SIZE, "%s/s", number);
        return;
    case BUDGET_COST:
        rounded(value, digits, number, sizeof number);
        snprintf(text, NUMBER_SIZE, "%s USD", number);
        return;
    case BUDGET_INSTRUCTIONS:
        count_figure(value, digits, text);
        return;
    }
}

static const char *budget_word(const struct budget *b) {
    switch (b->kind) {
    case BUDGET_LATENCY:
        return latency_name(b->figure);
    case BUDGET_THROUGHPUT:
        return "throughput";
    case BUDGET_MEMORY:
        return "memory";
    case BUDGET_SIZE:
        return "size";
    case BUDGET_COST:
        return "cost";
    case BUDGET_INSTRUCTIONS:
        return "instructions";
    }
    return "";
}

/* The bound as the user may have written it: "5 ms" for p99<=5ms. */
static void budget_bound(const struct budget *b, char text[NUMBER_SIZE]) {
    char full[BUDGET_TEXT_SIZE];
    budget_text(b, full);
    const char *bound = strchr(full, '=') + 1;
    size_t digits = strspn(bound, "0123456789.e+-");
    const char *unit = bound + digits;
    snprintf(text, NUMBER_SIZE, "%.*s%s%s", (int)digits, bound, unit[0] == '/' ? "" : " ",
             strcmp(unit, "usd") == 0 ? "USD" : unit);
}

/* Three digits, or as many more as it takes to differ from the bound where it does: nobody believes that 5 ms
 * breaks 5 ms. */
static void budget_figure(const struct budget *b, double value, char text[NUMBER_SIZE]) {
    char bound[NUMBER_SIZE];
    budget_digits(b, b->bound, MOST_DIGITS, bound);
    for (int digits = LEAST_DIGITS; digits <= MOST_DIGITS; digits++) {
        budget_digits(b, value, digits, text);
        if (value == b->bound || strcmp(text, bound) != 0) {
            break;
        }
    }
}

static enum rc add_more(const struct check *c, const char *what, struct buf *out, struct err *err) {
    if (c->more) {
        return buf_printf(out, err, ": needs about %llu more %s", (unsigned long long)c->more, what);
    }
    return RC_OK;
}

static enum rc undecided_latency(const struct budget *b, const struct check *c, const char *value,
                                 const char *bound, struct buf *out, struct err *err) {
    enum rc rc;
    if (isnan(c->value)) {
        rc = buf_printf(out, err, "%s not supported at n=%llu", budget_word(b), (unsigned long long)c->n);
    } else {
        rc = buf_printf(out, err, "%s %s is not shown to meet the budget of %s at n=%llu", budget_word(b),
                        value, bound, (unsigned long long)c->n);
    }
    return rc == RC_OK ? add_more(c, "runs", out, err) : rc;
}

static const char *counted_by(const struct budget *b, const struct check *c) {
    return b->kind == BUDGET_INSTRUCTIONS && c->test && strcmp(c->test, "callgrind") == 0
               ? " (by callgrind, with one thread; it runs no AVX-512)"
               : "";
}

enum rc explain_budget(const struct budget *b, const struct check *c, struct buf *out, struct err *err) {
    char value[NUMBER_SIZE], bound[NUMBER_SIZE];
    const char *word = budget_word(b), *over = "";
    budget_bound(b, bound);
    if (!c->measured && b->kind == BUDGET_INSTRUCTIONS) {
        return buf_add_text(out,
                            "instructions were not counted: no counter here does; ask for callgrind "
                            "(\"instructions\": \"callgrind\")",
                            err);
    }
    if (!c->measured) {
        return buf_printf(out, err, "%s was not measured", word);
    }
    budget_figure(b, isnan(c->value) ? c->low : c->value, value);
    if (isnan(c->value) && c->verdict == VERDICT_BROKEN) {
        over = "over ";
    } else if (isnan(c->value) && c->verdict == VERDICT_MET) {
        budget_figure(b, c->high, value);
        over = "under ";
    }
    switch (c->verdict) {
    case VERDICT_MET:
        return buf_printf(out, err, "%s %s%s meets the budget of %s%s", word, over, value, bound,
                          counted_by(b, c));
    case VERDICT_BROKEN:
        return buf_printf(out, err, "%s %s%s breaks the budget of %s%s", word, over, value, bound,
                          counted_by(b, c));
    case VERDICT_UNDECIDED:
        if (b->kind == BUDGET_LATENCY) {
            return undecided_latency(b, c, value, bound, out, err);
        }
        return buf_printf(out, err, "%s %s is too close to the budget of %s to tell", word, value, bound);
    }
    return RC_OK;
}

static const char *floor_word(const struct floor *f, char text[FLOOR_TEXT_SIZE]) {
    floor_text(f, text);
    text[strcspn(text, "<>")] = '\0';
    return f->kind == FLOOR_RELATIVE ? "relative accuracy" : text;
}

static void floor_digits(const struct floor *f, double value, int digits, char text[NUMBER_SIZE]) {
    if (f->kind == FLOOR_DROP) {
        double least = 0.5 * pow(10, 1 - digits);
        snprintf(text, NUMBER_SIZE, "%.*f points", digits - 1, fabs(value) < least ? 0 : value);
    } else {
        snprintf(text, NUMBER_SIZE, "%.*g", digits + 1, value);
    }
}

/* Accuracy needs more digits than other figures: 0.9476, 0.49 points; and again as many as it takes. */
static void floor_figure(const struct floor *f, double value, char text[NUMBER_SIZE]) {
    char bound[NUMBER_SIZE];
    floor_digits(f, f->bound, MOST_DIGITS, bound);
    for (int digits = LEAST_DIGITS; digits <= MOST_DIGITS; digits++) {
        floor_digits(f, value, digits, text);
        if (value == f->bound || strtod(text, NULL) != strtod(bound, NULL)) {
            break;
        }
    }
}

static enum rc add_evidence(const struct floor *f, const struct check *c, struct buf *out, struct err *err) {
    char low[NUMBER_SIZE], high[NUMBER_SIZE];
    if (isnan(c->low) || isnan(c->high) || c->low == c->high) {
        return RC_OK;
    }
    floor_figure(f, c->low, low);
    floor_figure(f, c->high, high);
    return buf_printf(out, err, " (%s to %s by %s, n=%llu)", low, high, c->test, (unsigned long long)c->n);
}

enum rc explain_floor(const struct floor *f, const struct check *c, struct buf *out, struct err *err) {
    char word[FLOOR_TEXT_SIZE], text[FLOOR_TEXT_SIZE], value[NUMBER_SIZE];
    const char *name = floor_word(f, word);
    floor_text(f, text);
    if (!c->measured) {
        return buf_printf(out, err, "accuracy not measured for %s", text);
    }
    floor_figure(f, c->value, value);
    const char *how = c->verdict == VERDICT_MET      ? "meets"
                      : c->verdict == VERDICT_BROKEN ? "breaks the floor"
                                                     : "is not shown to meet";
    enum rc rc = buf_printf(out, err, "%s %s %s %s", name, value, how, text);
    if (rc == RC_OK) {
        rc = add_evidence(f, c, out, err);
    }
    return rc == RC_OK && c->verdict == VERDICT_UNDECIDED ? add_more(c, "examples", out, err) : rc;
}

static enum rc explain_limit(const struct recommend_question *q, const struct recommend_outcome *o,
                             uint32_t candidate, uint32_t limit, struct buf *out, struct err *err) {
    struct check c;
    enum rc rc = recommend_check(q, o, candidate, limit, &c, err);
    if (rc != RC_OK) {
        return rc;
    }
    if (limit < q->floor_count) {
        return explain_floor(&q->floors[limit], &c, out, err);
    }
    return explain_budget(&q->budgets[limit - q->floor_count], &c, out, err);
}

static bool accuracy_unknown(const struct recommend_question *q, const struct recommend_outcome *o,
                             uint32_t candidate) {
    size_t v = q->candidates[candidate].variant;
    for (size_t i = 0; i < q->floor_count; i++) {
        if (!o->floor_checks[v * q->floor_count + i].measured) {
            return true;
        }
    }
    return false;
}

static void cost_text(const struct recommend_outcome *o, double cost, char *text, size_t size) {
    char number[NUMBER_SIZE];
    significant(cost, number);
    snprintf(text, size, "%s %s per million", number, o->in_usd ? "USD" : "machine-hours");
}

static enum rc explain_dearer(const struct recommend_question *q, const struct recommend_outcome *o,
                              uint32_t candidate, struct buf *out, struct err *err) {
    const struct recommend_verdict *v = &o->verdicts[candidate];
    if (accuracy_unknown(q, o, candidate)) {
        return buf_add_text(out, "costs more; accuracy not measured", err);
    }
    enum rc rc = buf_add_text(out, "costs more; ", err);
    return rc == RC_OK ? explain_limit(q, o, candidate, v->limit, out, err) : rc;
}

static enum rc explain_qualified(const struct recommend_question *q, const struct recommend_outcome *o,
                                 uint32_t candidate, struct buf *out, struct err *err) {
    char cost[NUMBER_SIZE + 32];
    cost_text(o, o->verdicts[candidate].cost.value, cost, sizeof cost);
    bool dearer =
        o->runner_up_count && o->verdicts[o->runners_up[0]].cost.value < o->verdicts[o->choice].cost.value;
    if (candidate == o->choice && dearer) {
        return buf_printf(out, err, "chosen: %s, in a tie with the cheapest that meets everything", cost);
    }
    if (candidate == o->choice) {
        return buf_printf(out, err, "chosen: %s, the least of those that meet everything", cost);
    }
    double ratio = o->verdicts[candidate].cost.value / o->verdicts[o->choice].cost.value;
    if (recommend_tied(q, o, candidate, o->choice)) {
        return buf_printf(out, err, "meets everything; its cost, %s, is in a tie with the choice's", cost);
    }
    return buf_printf(out, err, "meets everything; costs %.2fx the choice", ratio);
}

static enum rc explain_place(const struct recommend_question *q, const struct recommend_outcome *o,
                             uint32_t candidate, struct buf *out, struct err *err) {
    const struct recommend_verdict *v = &o->verdicts[candidate];
    if (v->place == PLACE_QUALIFIES) {
        return explain_qualified(q, o, candidate, out, err);
    }
    if (v->place == PLACE_REJECTED && v->reason == REASON_FAILED) {
        return buf_add_text(out, q->variants[q->candidates[candidate].variant].failure, err);
    }
    if (v->limit == RECOMMEND_NONE) {
        return buf_add_text(out, "throughput was not measured", err);
    }
    if (v->place == PLACE_REJECTED && v->reason == REASON_COSTS_MORE) {
        return explain_dearer(q, o, candidate, out, err);
    }
    return explain_limit(q, o, candidate, v->limit, out, err);
}

/* The uncompressed model on the same machine with the same settings. */
static uint32_t uncompressed_twin(const struct recommend_question *q, uint32_t candidate) {
    const struct recommend_candidate *c = &q->candidates[candidate];
    for (uint32_t i = 0; i < q->candidate_count; i++) {
        const struct recommend_candidate *b = &q->candidates[i];
        if (q->variants[b->variant].is_baseline && b->machine == c->machine && b->instances == c->instances &&
            b->threads == c->threads && b->batch == c->batch) {
            return i;
        }
    }
    return RECOMMEND_NONE;
}

/* Compression that makes a model slower is a trap, and said to be one, with the compressor's reason. */
static enum rc explain_trap(const struct recommend_question *q, const struct recommend_outcome *o,
                            uint32_t candidate, struct buf *out, struct err *err) {
    const struct recommend_variant *v = &q->variants[q->candidates[candidate].variant];
    uint32_t twin = v->is_baseline ? RECOMMEND_NONE : uncompressed_twin(q, candidate);
    double high = twin == RECOMMEND_NONE ? INFINITY : o->verdicts[twin].cost.high;
    if (!(o->verdicts[candidate].cost.low > high)) { /* also where a cost is not known */
        return RC_OK;
    }
    double ratio = o->verdicts[candidate].cost.value / o->verdicts[twin].cost.value;
    enum rc rc = buf_printf(
        out, err, "; slower than the uncompressed model: %.2fx its cost with the same settings", ratio);
    return rc == RC_OK && v->note ? buf_printf(out, err, " (%s)", v->note) : rc;
}

enum rc explain_candidate(const struct recommend_question *q, const struct recommend_outcome *o,
                          uint32_t candidate, struct buf *out, struct err *err) {
    enum rc rc = explain_place(q, o, candidate, out, err);
    if (rc == RC_OK) {
        rc = explain_trap(q, o, candidate, out, err);
    }
    const char *unstable = q->candidates[candidate].unstable;
    return rc == RC_OK && unstable
               ? buf_printf(out, err, "; measured while the machine was not steady: %s", unstable)
               : rc;
}

enum rc explain_rejected(const struct recommend_question *q, const struct recommend_outcome *o,
                         const struct recommend_rejected *r, struct buf *out, struct err *err) {
    if (r->candidate == RECOMMEND_NONE) {
        return buf_add_text(out, q->variants[r->variant].failure, err);
    }
    return explain_candidate(q, o, r->candidate, out, err);
}

/* A bound rounded so that it still admits: down for "at least", up for "at most", to three digits. */
static double rounded_bound(double value, bool up) {
    if (value == 0 || !isfinite(value)) {
        return value;
    }
    double step = pow(10, floor(log10(fabs(value))) - 2);
    double units = value / step;
    char text[NUMBER_SIZE]; /* through text, so that no 0.30000000000000004 is shown */
    snprintf(text, sizeof text, "%.6g", (up ? ceil(units - 1e-9) : floor(units + 1e-9)) * step);
    return strtod(text, NULL);
}

enum rc explain_relaxation(const struct recommend_question *q, const struct recommend_outcome *o,
                           const struct recommend_relaxation *r, struct buf *out, struct err *err) {
    char limit[FLOOR_TEXT_SIZE], needed[BUDGET_TEXT_SIZE], cost[NUMBER_SIZE + 32], number[NUMBER_SIZE];
    recommend_limit_text(q, r->limit, limit, sizeof limit);
    bool at_least = strchr(limit, '>') != NULL;
    if (r->limit < q->floor_count) {
        snprintf(number, sizeof number, "%.4g",
                 at_least ? floor(r->needed * 1e4) / 1e4 : rounded_bound(r->needed, true));
        size_t word = strcspn(limit, "=") + 1;
        snprintf(needed, sizeof needed, "%.*s%s", (int)word, limit, number);
    } else {
        struct budget b = q->budgets[r->limit - q->floor_count];
        b.bound = rounded_bound(r->needed, !at_least);
        budget_text(&b, needed);
    }
    cost_text(o, r->cost.value, cost, sizeof cost);
    return buf_printf(out, err, "%s instead of %s would admit %s at %s", needed, limit,
                      q->variants[q->candidates[r->candidate].variant].recipe, cost);
}

static enum rc add_setting(const struct recommend_question *q, uint32_t candidate, struct buf *out,
                           struct err *err) {
    const struct recommend_candidate *c = &q->candidates[candidate];
    enum rc rc = buf_printf(out, err, "%s on ", q->variants[c->variant].recipe);
    if (rc == RC_OK && c->instances > 1) {
        rc = buf_printf(out, err, "%u instances of ", c->instances);
    }
    if (rc == RC_OK) {
        rc = buf_printf(out, err, "%u thread%s", c->threads, c->threads == 1 ? "" : "s");
    }
    if (rc == RC_OK && c->batch > 1) {
        rc = buf_printf(out, err, " at batch %u", c->batch);
    }
    if (rc == RC_OK && q->machine_count > 1 && q->machines[c->machine].name) {
        rc = buf_printf(out, err, " of %s", q->machines[c->machine].name);
    }
    return rc;
}

static enum rc add_accuracy(const struct recommend_variant *v, struct buf *out, struct err *err) {
    if (v->accuracy_count == 0) {
        return RC_OK;
    }
    const struct accuracy *a = &v->accuracies[0];
    if (a->paired && !(a->baseline > 0)) {
        return RC_OK; /* nothing of it can be kept */
    }
    if (metric_is_share(a->metric)) {
        double kept = a->paired ? a->value / a->baseline : a->value;
        return a->paired || a->metric == METRIC_AGREEMENT
                   ? buf_printf(out, err, ", and keeps %.1f %% of its accuracy", 100 * kept)
                   : RC_OK;
    }
    return a->paired ? buf_printf(out, err, ", and its %s is %.3f times as high", metric_name(a->metric),
                                  a->value / a->baseline)
                     : RC_OK;
}

/* A ratio below this would be shown as 1.0x. */
static const double SEEN_RATIO = 1.05;

static enum rc add_comparison(const struct recommend_question *q, const struct recommend_outcome *o,
                              struct buf *out, struct err *err) {
    const struct recommend_variant *v = &q->variants[q->candidates[o->choice].variant];
    if (v->is_baseline) {
        return buf_add_text(out, "; no compressed variant that qualifies is clearly cheaper", err);
    }
    if (o->baseline == RECOMMEND_NONE) {
        return RC_OK;
    }
    const char *baseline = q->variants[q->candidates[o->baseline].variant].recipe;
    double ratio = o->verdicts[o->baseline].cost.value / o->verdicts[o->choice].cost.value;
    bool alike = ratio > 1 / SEEN_RATIO && ratio < SEEN_RATIO;
    enum rc rc = isnan(ratio) ? RC_OK
                 : alike      ? buf_printf(out, err, ", about as much as %s", baseline)
                 : ratio >= 1 ? buf_printf(out, err, ", %.1fx less than %s", ratio, baseline)
                              : buf_printf(out, err, ", %.1fx more than %s", 1 / ratio, baseline);
    if (rc == RC_OK && !isnan(ratio) && !o->baseline_in_budget) {
        rc = buf_add_text(out, " (which breaks a budget)", err);
    }
    return rc == RC_OK ? add_accuracy(v, out, err) : rc;
}

static enum rc summary_ok(const struct recommend_question *q, const struct recommend_outcome *o,
                          struct buf *out, struct err *err) {
    char cost[NUMBER_SIZE + 32];
    cost_text(o, o->verdicts[o->choice].cost.value, cost, sizeof cost);
    enum rc rc = add_setting(q, o->choice, out, err);
    if (rc == RC_OK) {
        rc = buf_printf(out, err, " costs %s", cost);
    }
    if (rc == RC_OK) {
        rc = add_comparison(q, o, out, err);
    }
    if (rc == RC_OK) {
        rc = buf_add_text(out, ".", err);
    }
    if (rc == RC_OK && q->candidates[o->choice].unstable) {
        rc = buf_printf(out, err, " Its figures were measured while the machine was not steady (%s).",
                        q->candidates[o->choice].unstable);
    }
    if (rc == RC_OK && o->undecided_count) {
        rc = buf_printf(out, err, " %zu cheaper configuration%s undecided.", o->undecided_count,
                        o->undecided_count == 1 ? " is" : "s are");
    }
    return rc;
}

static enum rc summary_without_choice(const struct recommend_question *q, const struct recommend_outcome *o,
                                      struct buf *out, struct err *err) {
    uint32_t shown = o->status == RECOMMEND_UNDECIDED ? o->undecided[0] : o->nearest_miss;
    enum rc rc =
        buf_add_text(out,
                     o->status == RECOMMEND_UNDECIDED ? "No configuration is shown to meet every limit yet"
                                                      : "No configuration meets every limit",
                     err);
    if (rc == RC_OK && shown != RECOMMEND_NONE) {
        rc = buf_printf(out, err, "; %s, ",
                        o->status == RECOMMEND_UNDECIDED ? "the cheapest undecided" : "the nearest");
        if (rc == RC_OK) {
            rc = add_setting(q, shown, out, err);
        }
        if (rc == RC_OK) {
            rc = buf_add_text(out, ": ", err);
        }
        if (rc == RC_OK) {
            rc = explain_candidate(q, o, shown, out, err);
        }
    }
    return rc == RC_OK ? buf_add_text(out, ".", err) : rc;
}

enum rc explain_summary(const struct recommend_question *q, const struct recommend_outcome *o,
                        struct buf *out, struct err *err) {
    if (q->candidate_count == 0) {
        return buf_add_text(out, "Nothing has been measured yet.", err);
    }
    return o->status == RECOMMEND_OK ? summary_ok(q, o, out, err) : summary_without_choice(q, o, out, err);
}
