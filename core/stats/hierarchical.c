#include "core/stats/hierarchical.h"

#include <assert.h>
#include <math.h>

#include "core/stats/quantile.h"
#include "core/stats/rng.h"
#include "core/stats/special.h"

/* The value of rank `rank` of a resample of n ascending values. */
static double resampled(struct rng *r, const float *sorted, size_t n, size_t rank) {
    double x = rng_gamma(r, (double)rank), y = rng_gamma(r, (double)(n - rank + 1));
    size_t at = (size_t)(x / (x + y) * (double)n);
    return (double)sorted[at < n ? at : n - 1];
}

static double log_ratio(const struct hierarchical_process *p, double q) {
    return log((double)quantile_of(p->a, p->n_a, q) / (double)quantile_of(p->b, p->n_b, q));
}

static double resampled_log_ratio(struct rng *r, const struct hierarchical_process *p, double q) {
    double a = resampled(r, p->a, p->n_a, quantile_rank(p->n_a, q));
    double b = resampled(r, p->b, p->n_b, quantile_rank(p->n_b, q));
    return log(a / b);
}

/* Standard deviation over resamples of the mean over processes. */
static double bootstrap_deviation(const struct hierarchical_process *processes, size_t n, double q,
                                  uint64_t seed) {
    struct rng r;
    double mean = 0, squares = 0;
    rng_seed(&r, seed);
    for (int k = 0; k < HIERARCHICAL_REPLICATES; k++) {
        double sum = 0;
        for (size_t i = 0; i < n; i++) {
            sum += resampled_log_ratio(&r, &processes[rng_below(&r, (uint32_t)n)], q);
        }
        double off = sum / (double)n - mean;
        mean += off / (k + 1);
        squares += off * (sum / (double)n - mean);
    }
    return sqrt(squares / (HIERARCHICAL_REPLICATES - 1));
}

enum rc hierarchical_ratio_of(const struct hierarchical_process *processes, size_t n, double q,
                              double confidence, uint64_t seed, struct hierarchical_ratio *ret,
                              struct err *err) {
    double sum = 0;
    assert(q > 0 && q < 1);
    if (n < 2 || n > UINT32_MAX) {
        return err_set(err, RC_SAMPLE, "%zu processes: at least two are needed to see how they differ", n);
    }
    for (size_t i = 0; i < n; i++) {
        if (processes[i].n_a == 0 || processes[i].n_b == 0) {
            return err_set(err, RC_SAMPLE, "process %zu has no times", i);
        }
        sum += log_ratio(&processes[i], q);
    }
    double mean = sum / (double)n, freedom = (double)(n - 1);
    double error = bootstrap_deviation(processes, n, q, seed) * sqrt((double)n / freedom);
    double reach = special_t_quantile(confidence, freedom) * error;
    *ret = (struct hierarchical_ratio){
        .ratio = exp(mean), .low = exp(mean - reach), .high = exp(mean + reach), .log_error = error};
    return RC_OK;
}
