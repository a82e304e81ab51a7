#include "advisor/decide/throughput.h"

#include <math.h>
#include <stdbool.h>

#include "core/stats/mean_interval.h"
#include "core/stats/special.h"

static void set_bounds(struct throughput *t, double confidence) {
    double reach = t->freedom ? special_t_quantile(confidence, t->freedom) * t->log_error : 0;
    t->low = t->per_s * exp(-reach);
    t->high = t->per_s * exp(reach);
}

/* What no machine does would make costs of 0 or infinity. */
static bool is_plausible(double per_s) {
    static const double least = 1e-9, most = 1e12;
    return per_s >= least && per_s <= most;
}

struct throughput throughput_exact(double per_s) {
    return (struct throughput){.per_s = per_s, .low = per_s, .high = per_s};
}

enum rc throughput_from_samples(double per_s, const float *samples_us, size_t n, double confidence,
                                struct throughput *ret, struct err *err) {
    if (!is_plausible(per_s)) {
        return err_set(err, RC_INPUT, "a throughput of %g a second is not a measurement", per_s);
    }
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(samples_us[i]) || samples_us[i] < 0) {
            return err_set(err, RC_INPUT,
                           "latency sample %zu is %g us; samples must be finite and not negative", i,
                           (double)samples_us[i]);
        }
    }
    struct throughput t = throughput_exact(per_s);
    struct mean_interval m;
    mean_interval_of(samples_us, n, confidence, &m);
    if (m.freedom && m.mean > 0) {
        t.freedom = m.freedom;
        t.log_error = m.error / m.mean; /* delta method */
    }
    set_bounds(&t, confidence);
    *ret = t;
    return RC_OK;
}

enum rc throughput_from_bracket(double met_per_s, double unmet_per_s, double confidence,
                                struct throughput *ret, struct err *err) {
    static const double widest = 0.1;
    enum { FREEDOM = 1000 }; /* the deviation is known, not estimated */
    if (!is_plausible(met_per_s) || !is_plausible(unmet_per_s) || unmet_per_s < met_per_s) {
        return err_set(err, RC_INPUT, "a rate between %g and %g a second is not a measurement", met_per_s,
                       unmet_per_s);
    }
    double width = log(unmet_per_s / met_per_s);
    struct throughput t = throughput_exact(met_per_s);
    t.log_error = (width < widest ? width : widest) / sqrt(12);
    t.freedom = t.log_error > 0 ? FREEDOM : 0;
    set_bounds(&t, confidence);
    *ret = t;
    return RC_OK;
}

enum rc throughput_from_rounds(const float *rounds_per_s, size_t n, uint64_t group, double confidence,
                               struct throughput *ret, struct err *err) {
    if (n < 2 || n > UINT32_MAX) {
        return err_set(err, RC_INPUT, "%zu rounds do not show how much they differ; at least 2 are needed",
                       n);
    }
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++) {
        if (!is_plausible((double)rounds_per_s[i])) {
            return err_set(err, RC_INPUT, "round %zu: a throughput of %g a second is not a measurement", i,
                           (double)rounds_per_s[i]);
        }
        sum += log((double)rounds_per_s[i]);
    }
    double mean = sum / (double)n;
    for (size_t i = 0; i < n; i++) {
        double off = log((double)rounds_per_s[i]) - mean;
        squares += off * off;
    }
    struct throughput t = {.per_s = exp(mean),
                           .log_error = sqrt(squares / (double)(n - 1) / (double)n),
                           .freedom = (uint32_t)(n - 1),
                           .round_count = (uint32_t)n,
                           .rounds = rounds_per_s,
                           .round_group = group};
    set_bounds(&t, confidence);
    *ret = t;
    return RC_OK;
}
