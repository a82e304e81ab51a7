#include "core/stats/poisson.h"

#include <math.h>

double poisson_gap(struct rng *r) {
    return -log1p(-rng_uniform(r));
}

void poisson_schedule(uint64_t seed, double rate_per_s, double *at_s, size_t n) {
    struct rng r;
    double units = 0;
    rng_seed(&r, seed);
    for (size_t i = 0; i < n; i++) {
        units += poisson_gap(&r);
        at_s[i] = units / rate_per_s;
    }
}
