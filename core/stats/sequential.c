#include "core/stats/sequential.h"

#include <math.h>

#include "core/stats/special.h"

static const struct {
    double confidence, nominal;
} LEVELS[] = {{0.9, 0.0152},   {0.95, 0.0063},   {0.975, 0.0027},
              {0.99, 0.00092}, {0.995, 0.00042}, {0.999, 0.000067}};

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
