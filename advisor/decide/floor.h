/* floor.h -- accuracy floors: reading them, printing them, holding a variant against one.
 *
 *   top1>=0.94 f1>=0.9 agreement>=0.99 mse<=0.1 mae<=0.2 ppl<=16 kld<=0.05   absolute
 *   relative>=0.99   the primary metric is at least that share of the baseline's (smaller is better: at most
 * 1/0.99 times it) drop<=0.5        points (hundredths) of the primary metric lost against the baseline:
 * top1, f1, agreement ppl_ratio<=1.02  perplexity divided by the baseline's */
#pragma once

#include "advisor/decide/accuracy.h"
#include "advisor/decide/check.h"
#include "advisor/decide/metric.h"
#include "core/base/err.h"

enum floor_kind { FLOOR_ABSOLUTE, FLOOR_RELATIVE, FLOOR_DROP, FLOOR_RATIO };

struct floor {
    enum floor_kind kind;
    enum metric metric; /* METRIC_PRIMARY for relative and drop */
    double bound;       /* as written: metric units, share, points, ratio */
};

enum { FLOOR_TEXT_SIZE = 48 };

/* RC_INPUT: unknown word (with the nearest valid one), wrong direction, not a number, or a floor nothing can
 * meet (relative>=1.5, top1>=1.2, negative). Blanks around the parts are allowed, `95%` stands for 0.95 and
 * `=>` is refused. */
MUST_USE enum rc floor_parse(const char *text, struct floor *ret, struct err *err);
/* Canonical form: "top1>=0.94". */
void floor_text(const struct floor *f, char text[FLOOR_TEXT_SIZE]);

/* RC_INPUT when the floor makes no sense for evaluations with that primary metric ("drop is for top1, f1 and
 * agreement"). */
MUST_USE enum rc floor_fits(const struct floor *f, enum metric primary, struct err *err);

/* True when the floor compares with the baseline (which then meets it by definition). */
bool floor_is_relative(const struct floor *f);

/* Holds metric `a` (the one the floor names, or the primary one) against the floor. In *ret: value in the
 * floor's own unit (share, points, ratio, metric), p_value not corrected, low and high NAN. `measured` is
 * false when `a` is NULL, or when the floor needs a baseline and `a` is not paired (but agreement is measured
 * against the baseline already). Met: p_value <= 1 - confidence. Broken: the opposite is shown at the same
 * confidence. A bootstrap of fewer than 20 rows decides nothing. */
void floor_judge(const struct floor *f, const struct accuracy *a, double confidence, struct check *ret);

/* About how many examples beside these n make of a p-value one of `alpha`, if what was seen persists; 0: none
 * would. */
uint64_t floor_more_examples(double p, double alpha, uint64_t n);

/* Fills low and high of a check that floor_judge made: the bounds of value at which its verdict would turn;
 * NAN where there is none. Slower (up to a millisecond). */
void floor_bounds(const struct floor *f, const struct accuracy *a, double confidence, struct check *ret);
