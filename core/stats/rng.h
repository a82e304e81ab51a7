/* rng.h -- a small deterministic generator for resampling: equal seeds give equal streams on every machine.
 * Never for secrets. xoshiro256** (Blackman and Vigna 2018), seeded by SplitMix64 (Steele, Lea and Flood
 * 2014). */
#pragma once

#include <stdint.h>

struct rng {
    uint64_t state[4];
};

void rng_seed(struct rng *r, uint64_t seed);
uint64_t rng_next(struct rng *r);

/* Uniform in 0 .. limit - 1 without bias (Lemire 2019); limit at least 1. */
uint32_t rng_below(struct rng *r, uint32_t limit);

/* Uniform in the half-open interval [0, 1), 53 bits. */
double rng_uniform(struct rng *r);

/* Standard normal (Marsaglia's polar method 1964), and exponential with mean 1. */
double rng_normal(struct rng *r);
double rng_exponential(struct rng *r);

/* Gamma of the given shape (at least 1) and scale 1 (Marsaglia and Tsang 2000). */
double rng_gamma(struct rng *r, double shape);
