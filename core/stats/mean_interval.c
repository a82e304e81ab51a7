#include "core/stats/mean_interval.h"

#include <math.h>

#include "core/stats/special.h"

enum { MAX_BATCHES = 30, MIN_BATCHES = 10, MIN_BATCH_SIZE = 2 };

static double mean_of(const float *values, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += (double)values[i];
    }
    return sum / (double)n;
}

void mean_interval_of(const float *values, size_t n, double confidence, struct mean_interval *ret) {
    *ret = (struct mean_interval){0};
    if (n == 0) {
        return;
    }
    double mean = mean_of(values, n);
    *ret = (struct mean_interval){.mean = mean, .low = mean, .high = mean};
    if (n < (size_t)MIN_BATCHES * MIN_BATCH_SIZE) {
        return;
    }
    size_t batches = n / MIN_BATCH_SIZE < MAX_BATCHES ? n / MIN_BATCH_SIZE : MAX_BATCHES;
    double squares = 0;
    for (size_t i = 0; i < batches; i++) {
        size_t begin = i * n / batches, end = (i + 1) * n / batches; /* sizes differ by at most one */
        double off = mean_of(values + begin, end - begin) - mean;
        squares += off * off;
    }
    ret->freedom = (uint32_t)batches - 1;
    ret->error = sqrt(squares / (double)(batches - 1) / (double)batches);
    double reach = special_t_quantile(confidence, ret->freedom) * ret->error;
    ret->low = mean - reach;
    ret->high = mean + reach;
}
