/* sweep.h -- which runtime settings of a machine are worth measuring: how its cores are split into instances,
 * and how large a batch may grow. Pure: what was measured so far in, what to do next and why out. Nothing is
 * left out without a reason. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SWEEP_SPLITS_MAX = 24, SWEEP_BATCHES_MAX = 12, SWEEP_WHY_SIZE = 200 };

struct sweep_split {
    uint32_t instances, threads;
};

/* All ways to fill `cores` (at least 1) with equal instances: every divisor as the number of threads, and the
 * powers of two that leave no more than a quarter of the cores idle. Most threads first; at most
 * SWEEP_SPLITS_MAX, of which the first and the last always are there. Returns how many. */
size_t sweep_splits(uint32_t cores, struct sweep_split ret[SWEEP_SPLITS_MAX]);

/* How far a study goes. */
struct sweep_effort {
    const char *name;        /* of the preset, for the reasons */
    bool ends_only;          /* only the first split and the last, and larger batches for the first alone */
    double least_gain_ratio; /* a batch must bring at least so much more than the one before, 0.05 = 5 % */
    double near_best_ratio;  /* larger batches only for splits that reach this share of the best at batch 1 */
};

enum sweep_state {
    SWEEP_MEASURED,
    SWEEP_WANTED,  /* to be measured now */
    SWEEP_LATER,   /* depends on what is being measured */
    SWEEP_SKIPPED, /* `why` says why */
    SWEEP_FAILED
};

/* A setting: one split at one batch. */
struct sweep_step {
    /* in */
    bool measured, failed;
    double per_s;        /* offline; of a measured one */
    bool breaks_latency; /* a latency budget is shown to be broken */
    /* out */
    enum sweep_state state;
    char why[SWEEP_WHY_SIZE];
};

/* Decides over steps[splits * batches] (those of a split together, in the order of `batches`, ascending, the
 * first always tried). */
void sweep_decide(const struct sweep_effort *effort, const struct sweep_split *splits, size_t split_count,
                  const uint32_t *batches, size_t batch_count, struct sweep_step *steps);
