#include "core/stats/rng.h"

#include <assert.h>
#include <math.h>

static uint64_t splitmix(uint64_t *x) {
    uint64_t z = (*x += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint64_t rotate(uint64_t x, unsigned k) {
    return (x << k) | (x >> (64 - k));
}

void rng_seed(struct rng *r, uint64_t seed) {
    for (unsigned i = 0; i < 4; i++) {
        r->state[i] = splitmix(&seed);
    }
}

uint64_t rng_next(struct rng *r) {
    uint64_t *s = r->state;
    uint64_t result = rotate(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

uint32_t rng_below(struct rng *r, uint32_t limit) {
    uint64_t m = (rng_next(r) >> 32) * limit;
    if ((uint32_t)m < limit) {
        uint32_t least = -limit % limit;
        while ((uint32_t)m < least) {
            m = (rng_next(r) >> 32) * limit;
        }
    }
    return (uint32_t)(m >> 32);
}

double rng_uniform(struct rng *r) {
    return (double)(rng_next(r) >> 11) * 0x1p-53;
}

double rng_normal(struct rng *r) {
    for (;;) {
        double u = 2 * rng_uniform(r) - 1, v = 2 * rng_uniform(r) - 1, s = u * u + v * v;
        if (s > 0 && s < 1) {
            return u * sqrt(-2 * log(s) / s);
        }
    }
}

double rng_exponential(struct rng *r) {
    return -log1p(-rng_uniform(r));
}

double rng_gamma(struct rng *r, double shape) {
    assert(shape >= 1);
    double d = shape - 1.0 / 3, c = 1 / sqrt(9 * d);
    for (;;) {
        double x = rng_normal(r), root = 1 + c * x;
        if (root <= 0) {
            continue;
        }
        double v = root * root * root, u = 1 - rng_uniform(r); /* never 0 */
        if (log(u) < 0.5 * x * x + d * (1 - v + log(v))) {
            return d * v;
        }
    }
}
