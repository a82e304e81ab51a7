/* check.h -- the outcome of holding one figure against one limit (a floor or a budget). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum verdict { VERDICT_MET, VERDICT_BROKEN, VERDICT_UNDECIDED };

const char *verdict_name(enum verdict v); /* "met" "broken" "undecided" */

struct check {
    enum verdict verdict;
    bool measured;    /* false: there is nothing to judge by, verdict is undecided, figures are NAN */
    const char *test; /* static text: "Tango score test", "binomial bound", "exact", ... */
    double value;     /* the judged figure, in the unit of the limit's bound (see floor.h, budget.h) */
    double low,
        high; /* its one-sided confidence bounds; NAN where the sample supports none, = value when exact */
    double
        p_value;   /* of "the limit is not met", corrected where many are tested (Holm); NAN without a test */
    uint64_t n;    /* examples or samples; 0 where it is a single figure */
    uint64_t more; /* about so many more samples would decide it, if what was seen persists; 0: not known */
};
