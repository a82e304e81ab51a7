/* comparison.h -- is one model slower than another by more than a margin? From replicates, each of which
 * gives the logarithm of the ratio of their times, as many as it takes (core/stats/sequential.h). */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum comparison_verdict { COMPARISON_UNDECIDED, COMPARISON_SAME, COMPARISON_SLOWER, COMPARISON_FASTER };

struct comparison_question {
    const double *log_ratios; /* [n], in the order of measurement: model to reference */
    size_t n;
    double margin;                /* 0.02: within 2 % is the same */
    double confidence;            /* of each claim */
    double seconds, time_limit_s; /* spent so far, and what there is */
};

struct comparison_outcome {
    enum comparison_verdict verdict;
    bool ended;                /* decided, or nothing more may be measured */
    bool no_slower, no_faster; /* by more than the margin: shown, each by itself; both: the same. A ratio on
                                  the margin is undecided and yet shown not to be slower */
    double ratio, low,
        high; /* one-sided bounds; 0 and INFINITY with too few replicates. ratio 1 without any */
};

const char *comparison_verdict_name(enum comparison_verdict v); /* "undecided" "same" "slower" "faster" */

void comparison_decide(const struct comparison_question *q, struct comparison_outcome *ret);

/* One sentence about an ended or running comparison, names included. `size` bytes at `text`. */
void comparison_text(const struct comparison_question *q, const struct comparison_outcome *o,
                     const char *model, const char *reference, char *text, size_t size);
