#include "advisor/decide/comparison.h"

#include <math.h>
#include <stdio.h>

#include "core/stats/sequential.h"

const char *comparison_verdict_name(enum comparison_verdict v) {
    switch (v) {
    case COMPARISON_SAME:
        return "same";
    case COMPARISON_SLOWER:
        return "slower";
    case COMPARISON_FASTER:
        return "faster";
    case COMPARISON_UNDECIDED:
        break;
    }
    return "undecided";
}

static enum comparison_verdict verdict_of(enum sequential_verdict v) {
    return v == SEQUENTIAL_ABOVE    ? COMPARISON_SLOWER
           : v == SEQUENTIAL_BELOW  ? COMPARISON_FASTER
           : v == SEQUENTIAL_WITHIN ? COMPARISON_SAME
                                    : COMPARISON_UNDECIDED;
}

void comparison_decide(const struct comparison_question *q, struct comparison_outcome *ret) {
    struct sequential_bounds b;
    sequential_bounds_of(q->log_ratios, q->n, q->confidence, &b);
    double margin = log1p(q->margin);
    *ret = (struct comparison_outcome){.verdict = verdict_of(sequential_judge(&b, margin)),
                                       .ratio = exp(b.mean),
                                       .low = exp(b.low),
                                       .high = exp(b.high)};
    ret->no_slower = b.high < margin;
    ret->no_faster = b.low > -margin;
    ret->ended =
        ret->verdict != COMPARISON_UNDECIDED || q->n >= SEQUENTIAL_LAST || q->seconds >= q->time_limit_s;
}

static void state_verdict(const struct comparison_question *q, const struct comparison_outcome *o, char *text,
                          size_t size) {
    double percent = q->margin * 100;
    switch (o->verdict) {
    case COMPARISON_SAME:
        snprintf(text, size, "the same within %.3g %%", percent);
        return;
    case COMPARISON_SLOWER:
        snprintf(text, size, "slower by more than %.3g %%", percent);
        return;
    case COMPARISON_FASTER:
        snprintf(text, size, "faster by more than %.3g %%", percent);
        return;
    case COMPARISON_UNDECIDED:
        break;
    }
    if (o->ended && (o->no_slower || o->no_faster)) {
        snprintf(text, size, "not %s by more than %.3g %%, but whether it is %s by more is undecided",
                 o->no_slower ? "slower" : "faster", percent, o->no_slower ? "faster" : "slower");
    } else if (!o->ended) {
        snprintf(text, size, "not decided yet at a margin of %.3g %%", percent);
    } else if (q->n >= SEQUENTIAL_LAST) {
        snprintf(text, size, "undecided: too close to the margin of %.3g %%, or the machine too busy",
                 percent);
    } else {
        snprintf(text, size, "undecided after %.0f s at a margin of %.3g %%: give more time", q->seconds,
                 percent);
    }
}

void comparison_text(const struct comparison_question *q, const struct comparison_outcome *o,
                     const char *model, const char *reference, char *text, size_t size) {
    char verdict[160], bounds[120] = "";
    state_verdict(q, o, verdict, sizeof(verdict));
    if (isfinite(o->high)) {
        snprintf(bounds, sizeof(bounds), " (%.3f to %.3f at %.4g %%)", o->low, o->high, q->confidence * 100);
    }
    if (q->n == 0) {
        snprintf(text, size, "%s is to be compared with %s.", model, reference);
        return;
    }
    snprintf(text, size, "%s takes %.3f times as long as %s%s, %zu replicates: %s.", model, o->ratio,
             reference, bounds, q->n, verdict);
}
