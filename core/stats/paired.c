#include "core/stats/paired.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>

#include "core/stats/special.h"

enum { CELLS = 4, BISECTIONS = 200 };

struct cells {
    double count[CELLS]; /* both, only variant, only baseline, neither */
    double step[CELLS];  /* contribution of one pair to theta, less delta */
    double n;
};

static struct cells cells_of(const struct paired_counts *c, double f, double delta) {
    assert(f > 0 && f <= 10);
    struct cells x = {
        .count = {(double)c->both, (double)c->only_variant, (double)c->only_baseline, (double)c->neither},
        .step = {1 - f - delta, 1 - delta, -f - delta, -delta}};
    x.n = x.count[0] + x.count[1] + x.count[2] + x.count[3];
    return x;
}

double paired_difference(const struct paired_counts *c, double f) {
    struct cells x = cells_of(c, f, 0);
    double sum = 0;
    for (int k = 0; k < CELLS; k++) {
        sum += x.count[k] * x.step[k];
    }
    return x.n > 0 ? sum / x.n : 0;
}

/* Sum of count * step / (1 + t * step), decreasing in t = lambda / n; zero at the constrained maximum. */
static double gradient(const struct cells *x, double t) {
    double sum = 0;
    for (int k = 0; k < CELLS; k++) {
        if (x->count[k] > 0) {
            sum += x->count[k] * x->step[k] / (1 + t * x->step[k]);
        }
    }
    return sum;
}

/* The multiplier of the constrained maximum. It lies where every 1 + t * step >= 0; where the gradient has no
 * zero there, an empty cell takes mass at that end of the range. */
static double multiplier(const struct cells *x) {
    double least = 0, most = 0;
    for (int k = 0; k < CELLS; k++) {
        least = fmin(least, x->step[k]);
        most = fmax(most, x->step[k]);
    }
    double low = most > 0 ? -1 / most : -1e300, high = least < 0 ? -1 / least : 1e300;
    for (int i = 0; i < BISECTIONS; i++) {
        double mid = 0.5 * (low + high);
        if (mid <= low || mid >= high || high - low < 1e-15) {
            break;
        }
        if (gradient(x, mid) > 0) {
            low = mid;
        } else {
            high = mid;
        }
    }
    return 0.5 * (low + high);
}

/* sum p step^2 at the constrained maximum, which is sum c^2 p - delta^2. From sum p step = 0 and sum p = 1: a
 * cell with its mass at the end of the range has 1 + t step = 0, and the others give their share; the
 * remainder follows from the constraint. */
static double constrained_variance(const struct cells *x, double t) {
    double variance = 0, rest = 0;
    int empty = -1;
    for (int k = 0; k < CELLS; k++) {
        if (x->count[k] > 0) {
            double p = x->count[k] / x->n / (1 + t * x->step[k]);
            variance += p * x->step[k] * x->step[k];
            rest += p * x->step[k];
        } else if (empty < 0 || 1 + t * x->step[k] < 1 + t * x->step[empty]) {
            empty = k;
        }
    }
    if (empty >= 0 && rest * x->step[empty] < 0) {
        variance -= rest * x->step[empty];
    }
    return variance;
}

double paired_score(const struct paired_counts *c, double f, double delta) {
    struct cells x = cells_of(c, f, delta);
    if (!(x.n > 0)) {
        return 0;
    }
    double distance = paired_difference(c, f) - delta;
    double variance = constrained_variance(&x, multiplier(&x));
    return distance == 0 ? 0 : distance / sqrt(variance / x.n);
}

double paired_p_value(const struct paired_counts *c, double f, double delta) {
    if (c->both + c->only_variant + c->only_baseline + c->neither == 0) {
        return 1;
    }
    return special_normal_cdf(-paired_score(c, f, delta));
}

/* The score falls as delta grows: the bound is where it passes z. */
static double score_crossing(const struct paired_counts *c, double f, double z, double low, double high) {
    for (int i = 0; i < 60 && high - low > 1e-12; i++) {
        double mid = 0.5 * (low + high);
        if (paired_score(c, f, mid) > z) {
            low = mid;
        } else {
            high = mid;
        }
    }
    return 0.5 * (low + high);
}

double paired_lower(const struct paired_counts *c, double f, double confidence) {
    double estimate = paired_difference(c, f);
    return score_crossing(c, f, special_normal_quantile(confidence), -f, estimate);
}

double paired_upper(const struct paired_counts *c, double f, double confidence) {
    double estimate = paired_difference(c, f);
    return score_crossing(c, f, -special_normal_quantile(confidence), estimate, 1);
}

uint64_t paired_needed(const struct paired_counts *c, double f, double delta, double confidence) {
    double n = (double)c->both + (double)c->only_variant + (double)c->only_baseline + (double)c->neither;
    double z = n > 0 ? paired_score(c, f, delta) : 0;
    if (!(z > 0)) {
        return 0;
    }
    double ratio = special_normal_quantile(confidence) / z;
    double needed = ceil(n * ratio * ratio);
    return needed < 1e15 ? (uint64_t)needed : 0;
}
