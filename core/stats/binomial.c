#include "core/stats/binomial.h"

#include <assert.h>
#include <math.h>

#include "core/stats/special.h"

/* P(X <= k) = I_{1-p}(n - k, k + 1) (Clopper and Pearson 1934). */
double binomial_at_most(uint64_t k, uint64_t n, double p) {
    if (k >= n) {
        return 1;
    }
    return special_beta((double)(n - k), (double)k + 1, 1 - p);
}

double binomial_at_least(uint64_t k, uint64_t n, double p) {
    if (k == 0) {
        return 1;
    }
    if (k > n) {
        return 0;
    }
    return special_beta((double)k, (double)(n - k) + 1, p);
}

double binomial_lower(uint64_t k, uint64_t n, double confidence) {
    assert(k <= n);
    if (k == 0) {
        return 0;
    }
    return special_beta_inverse((double)k, (double)(n - k) + 1, 1 - confidence);
}

double binomial_upper(uint64_t k, uint64_t n, double confidence) {
    assert(k <= n);
    if (k == n) {
        return 1;
    }
    return special_beta_inverse((double)k + 1, (double)(n - k), confidence);
}

int64_t binomial_max_over(uint64_t n, double q, double confidence) {
    double alpha = 1 - confidence;
    if (n == 0 || binomial_at_most(0, n, 1 - q) > alpha) {
        return BINOMIAL_NONE;
    }
    uint64_t low = 0, high = n; /* low is few enough, high is too many */
    while (high - low > 1) {
        uint64_t mid = low + (high - low) / 2;
        if (binomial_at_most(mid, n, 1 - q) <= alpha) {
            low = mid;
        } else {
            high = mid;
        }
    }
    return (int64_t)low;
}

uint64_t binomial_min_broken(uint64_t n, double q, double confidence) {
    double alpha = 1 - confidence;
    uint64_t low = 0, high = n + 1; /* low is too few, high is enough or impossible */
    while (high - low > 1) {
        uint64_t mid = low + (high - low) / 2;
        if (binomial_at_least(mid, n, 1 - q) <= alpha) {
            high = mid;
        } else {
            low = mid;
        }
    }
    return high;
}

uint64_t binomial_min_n(uint64_t over, double q, double confidence) {
    assert(q > 0 && q < 1 && confidence > 0 && confidence < 1);
    double alpha = 1 - confidence;
    uint64_t low = over, high = over + 1; /* low is too small */
    while (binomial_at_most(over, high, 1 - q) > alpha) {
        low = high;
        high *= 2;
    }
    while (high - low > 1) {
        uint64_t mid = low + (high - low) / 2;
        if (binomial_at_most(over, mid, 1 - q) <= alpha) {
            high = mid;
        } else {
            low = mid;
        }
    }
    return high;
}

enum binomial_verdict binomial_judge(uint64_t over, uint64_t n, double q, double confidence) {
    double alpha = 1 - confidence;
    if (n == 0) {
        return BINOMIAL_UNDECIDED;
    }
    if (binomial_at_most(over, n, 1 - q) <= alpha) {
        return BINOMIAL_MET;
    }
    return binomial_at_least(over, n, 1 - q) <= alpha ? BINOMIAL_BROKEN : BINOMIAL_UNDECIDED;
}
