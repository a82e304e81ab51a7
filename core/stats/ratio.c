#include "core/stats/ratio.h"

#include <assert.h>
#include <math.h>

#include "core/stats/special.h"

static void from_log(double log_ratio, double error, double freedom, double margin, double confidence,
                     struct ratio_bounds *ret) {
    double ratio = exp(log_ratio), over = log_ratio - log(margin);
    *ret = (struct ratio_bounds){.ratio = ratio, .low = ratio, .high = ratio, .p_above = over > 0 ? 0 : 1};
    if (error > 0 && freedom > 0) {
        double reach = special_t_quantile(confidence, freedom) * error;
        ret->low = exp(log_ratio - reach);
        ret->high = exp(log_ratio + reach);
        ret->p_above = special_t_cdf(-over / error, freedom);
    }
}

static double share_of_freedom(const struct ratio_figure *f) {
    double square = f->log_error * f->log_error;
    return f->freedom > 0 ? square * square / f->freedom : 0;
}

void ratio_welch(const struct ratio_figure *a, const struct ratio_figure *b, double margin, double confidence,
                 struct ratio_bounds *ret) {
    assert(a->value > 0 && b->value > 0 && margin > 0);
    double variance = a->log_error * a->log_error + b->log_error * b->log_error;
    double shares = share_of_freedom(a) + share_of_freedom(b);
    double freedom = shares > 0 ? floor(variance * variance / shares + 1e-9) : 0;
    from_log(log(a->value / b->value), sqrt(variance), freedom, margin, confidence, ret);
}

void ratio_paired(const float *a, const float *b, size_t n, double margin, double confidence,
                  struct ratio_bounds *ret) {
    assert(n >= 2 && margin > 0);
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += log((double)a[i] / (double)b[i]);
    }
    double mean = sum / (double)n, squares = 0;
    for (size_t i = 0; i < n; i++) {
        double off = log((double)a[i] / (double)b[i]) - mean;
        squares += off * off;
    }
    double error = sqrt(squares / (double)(n - 1) / (double)n);
    from_log(mean, error, (double)(n - 1), margin, confidence, ret);
}
