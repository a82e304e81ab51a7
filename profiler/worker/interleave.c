/* interleave.c -- see interleave.h. */
#include "profiler/worker/interleave.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/stats/quantile.h"
#include "core/stats/rng.h"

enum {
    MIN_PAIRS = 5,
    MAX_PAIRS = 4000,
    MIN_BLOCK = 7,
    MAX_BLOCK = 64,
    WARM_BLOCK = 3,
    MIN_WARM_RUNS = 12,
    MAX_WARM = 96
};
static const double BLOCK_US = 5000;          /* of one block, about */
static const double CACHE_MATTERS_US = 20000; /* a longer run fills the caches in no share of its time */

static enum rc run_once(const struct interleave_side *side, float *us, struct err *err) {
    enum rc rc = side->run(side->user, us, err);
    if (rc == RC_OK && !(*us > 0 && isfinite(*us))) {
        rc = err_set(err, RC_INTERNAL, "a run took %g us", (double)*us);
    }
    return rc;
}

/* Warms both up in turns; *run_us: the median over both of the last runs, at most MAX_WARM of them. */
static enum rc warm_up(const struct interleave_side sides[INTERLEAVE_SIDES], double warmup_us, uint64_t *runs,
                       double *run_us, struct err *err) {
    float last[MAX_WARM];
    double spent_us = 0;
    size_t n = 0;
    while (n < MIN_WARM_RUNS || spent_us < warmup_us) {
        for (int k = 0; k < INTERLEAVE_SIDES * WARM_BLOCK; k++) {
            float *us = &last[n % MAX_WARM];
            enum rc rc = run_once(&sides[k / WARM_BLOCK], us, err);
            if (rc != RC_OK) {
                return rc;
            }
            spent_us += (double)*us;
            n++;
        }
    }
    *runs = n;
    n = n < MAX_WARM ? n : MAX_WARM;
    quantile_sort(last, n);
    *run_us = (double)quantile_of(last, n, 0.5);
    return RC_OK;
}

static size_t clamp(double value, size_t least, size_t most) {
    return value < (double)least ? least : value > (double)most ? most : (size_t)value;
}

static void choose_sizes(double run_us, double measure_us, struct interleave_sample *s) {
    s->block_runs = clamp(BLOCK_US / run_us, run_us < CACHE_MATTERS_US ? MIN_BLOCK : 1, MAX_BLOCK);
    s->discarded = run_us < CACHE_MATTERS_US ? 1 : 0;
    double pair_us = INTERLEAVE_SIDES * run_us * (double)(s->block_runs + s->discarded);
    s->pairs = clamp(measure_us / pair_us, MIN_PAIRS, MAX_PAIRS);
    s->n = s->pairs * s->block_runs;
}

static enum rc run_block(const struct interleave_side *side, size_t discarded, size_t runs, float *us,
                         struct err *err) {
    float ignored = 0;
    enum rc rc = RC_OK;
    for (size_t i = 0; rc == RC_OK && i < discarded; i++) {
        rc = run_once(side, &ignored, err);
    }
    for (size_t i = 0; rc == RC_OK && i < runs; i++) {
        rc = run_once(side, &us[i], err);
    }
    return rc;
}

static enum rc run_pairs(const struct interleave_side sides[INTERLEAVE_SIDES], uint64_t seed,
                         struct interleave_sample *s, struct err *err) {
    struct rng r;
    rng_seed(&r, seed);
    for (size_t pair = 0; pair < s->pairs; pair++) {
        uint32_t first = rng_below(&r, INTERLEAVE_SIDES);
        for (uint32_t k = 0; k < INTERLEAVE_SIDES; k++) {
            uint32_t who = (first + k) % INTERLEAVE_SIDES;
            enum rc rc =
                run_block(&sides[who], s->discarded, s->block_runs, s->us[who] + pair * s->block_runs, err);
            if (rc != RC_OK) {
                return rc;
            }
        }
    }
    return RC_OK;
}

static double block_quartile(const float *us, size_t n) {
    float copy[MAX_BLOCK];
    memcpy(copy, us, n * sizeof(*us));
    quantile_sort(copy, n);
    return (double)quantile_of(copy, n, 0.25);
}

enum rc interleave_log_ratio(const float *model, const float *reference, size_t pairs, size_t block_runs,
                             double *ret, struct err *err) {
    double *logs = calloc(pairs, sizeof(*logs)), sum = 0;
    if (!logs) {
        return err_memory(err);
    }
    for (size_t i = 0; i < pairs; i++) {
        logs[i] = log(block_quartile(model + i * block_runs, block_runs) /
                      block_quartile(reference + i * block_runs, block_runs));
    }
    quantile_sort_double(logs, pairs);
    size_t cut = pairs / 4;
    for (size_t i = cut; i < pairs - cut; i++) {
        sum += logs[i];
    }
    free(logs);
    *ret = sum / (double)(pairs - 2 * cut);
    return RC_OK;
}

enum rc interleave_run(const struct interleave_side sides[INTERLEAVE_SIDES],
                       const struct interleave_opts *opts, struct interleave_sample *ret, struct err *err) {
    double run_us = 1;
    *ret = (struct interleave_sample){0};
    enum rc rc = warm_up(sides, opts->warmup_us, &ret->warmup_runs, &run_us, err);
    if (rc == RC_OK) {
        choose_sizes(run_us, opts->measure_us, ret);
        ret->us[INTERLEAVE_MODEL] = calloc(ret->n, sizeof(float));
        ret->us[INTERLEAVE_REFERENCE] = calloc(ret->n, sizeof(float));
        bool room = ret->us[INTERLEAVE_MODEL] && ret->us[INTERLEAVE_REFERENCE];
        rc = room ? run_pairs(sides, opts->seed, ret, err) : err_memory(err);
    }
    if (rc == RC_OK) {
        rc = interleave_log_ratio(ret->us[INTERLEAVE_MODEL], ret->us[INTERLEAVE_REFERENCE], ret->pairs,
                                  ret->block_runs, &ret->log_ratio, err);
    }
    if (rc != RC_OK) {
        interleave_sample_release(ret);
    }
    return rc;
}

void interleave_sample_release(struct interleave_sample *s) {
    for (int i = 0; i < INTERLEAVE_SIDES; i++) {
        free(s->us[i]);
    }
    *s = (struct interleave_sample){0};
}
