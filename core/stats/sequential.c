#include "core/stats/sequential.h"

#include <math.h>
#include <string.h>

#include "core/stats/quantile.h"
#include "core/stats/special.h"

/* Student: `nominal` at every look. Sign: `sign_first` is the first look at which it says anything, there
 * only when all values agree; `sign_nominal` at every look. */
static const struct {
    double confidence, nominal, sign_nominal;
    size_t sign_first;
} LEVELS[] = {{0.9, 0.0152, 0.0235, 5},   {0.95, 0.0063, 0.0062, 5},    {0.975, 0.0027, 0.0029, 6},
              {0.99, 0.00092, 0.0016, 8}, {0.995, 0.00042, 0.00075, 9}, {0.999, 0.000067, 0.00013, 11}};

enum { LEVEL_COUNT = sizeof(LEVELS) / sizeof(LEVELS[0]) };

/* Index of the level, LEVEL_COUNT for none. */
static size_t level_of(double confidence) {
    size_t i = 0;
    while (i < LEVEL_COUNT && !(LEVELS[i].confidence >= confidence - 1e-12)) {
        i++;
    }
    return i;
}

double sequential_confidence(double asked) {
    size_t level = level_of(asked);
    return level < LEVEL_COUNT ? LEVELS[level].confidence : NAN;
}

double sequential_look_confidence(double asked) {
    size_t level = level_of(asked);
    return level < LEVEL_COUNT ? 1 - LEVELS[level].nominal : NAN;
}

static int sign_strays(size_t n, size_t level) {
    double term = ldexp(1, -(int)n), sum = term; /* chance of 0, 1, 2 ... of n on one side */
    int strays = n == LEVELS[level].sign_first ? 0 : -1;
    if (n < LEVELS[level].sign_first) {
        return -1;
    }
    for (int k = 0; sum <= LEVELS[level].sign_nominal; k++) {
        strays = k;
        term *= (double)(n - (size_t)k) / (k + 1);
        sum += term;
    }
    return strays;
}

int sequential_strays(size_t n, double confidence) {
    size_t level = level_of(confidence);
    return level < LEVEL_COUNT && n <= SEQUENTIAL_LAST ? sign_strays(n, level) : -1;
}

/* Widens the bounds to those of the median. Looks that have none of their own go by the last one that had:
 * all hold together. */
static void widen_to_signs(const double *values, size_t n, size_t level, struct sequential_bounds *b) {
    double sorted[SEQUENTIAL_LAST];
    int strays = sign_strays(n, level);
    while (strays < 0 && n > LEVELS[level].sign_first) {
        strays = sign_strays(--n, level);
    }
    if (strays < 0) {
        b->low = -INFINITY;
        b->high = INFINITY;
        return;
    }
    memcpy(sorted, values, n * sizeof(*values));
    quantile_sort_double(sorted, n);
    b->low = fmin(b->low, sorted[strays]);
    b->high = fmax(b->high, sorted[n - 1 - (size_t)strays]);
}

void sequential_bounds_of(const double *values, size_t n, double confidence, struct sequential_bounds *ret) {
    size_t used = n < SEQUENTIAL_LAST ? n : SEQUENTIAL_LAST, level = level_of(confidence);
    double mean = 0, squares = 0;
    for (size_t i = 0; i < used; i++) { /* Welford 1962 */
        double off = values[i] - mean;
        mean += off / (double)(i + 1);
        squares += off * (values[i] - mean);
    }
    *ret = (struct sequential_bounds){.mean = mean, .low = -INFINITY, .high = INFINITY, .n = used};
    if (used > 1) {
        ret->error = sqrt(squares / (double)(used - 1) / (double)used);
    }
    if (used >= SEQUENTIAL_FIRST && level < LEVEL_COUNT) {
        double reach = special_t_quantile(1 - LEVELS[level].nominal, (double)(used - 1)) * ret->error;
        ret->low = mean - reach;
        ret->high = mean + reach;
        widen_to_signs(values, used, level, ret);
    }
}

enum sequential_verdict sequential_judge(const struct sequential_bounds *b, double margin) {
    if (b->low > margin) {
        return SEQUENTIAL_ABOVE;
    }
    if (b->high < -margin) {
        return SEQUENTIAL_BELOW;
    }
    return b->low > -margin && b->high < margin ? SEQUENTIAL_WITHIN : SEQUENTIAL_UNDECIDED;
}
