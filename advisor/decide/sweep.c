#include "advisor/decide/sweep.h"

#include <stdio.h>

static const uint32_t MOST_IDLE_PART = 4; /* a quarter */

static bool is_power_of_two(uint32_t n) {
    return (n & (n - 1)) == 0;
}

size_t sweep_splits(uint32_t cores, struct sweep_split ret[SWEEP_SPLITS_MAX]) {
    size_t n = 0;
    for (uint32_t threads = cores; threads >= 1; threads--) {
        uint32_t instances = cores / threads;
        uint32_t idle = cores - instances * threads;
        bool fits = idle == 0 || (is_power_of_two(threads) && idle <= cores / MOST_IDLE_PART);
        if (!fits) {
            continue;
        }
        n -= n == SWEEP_SPLITS_MAX; /* the last one replaces the one before */
        ret[n++] = (struct sweep_split){instances, threads};
    }
    return n;
}

/* Highest throughput at the first batch; *all: every split that is tried has one, or failed. */
static double best_first(const struct sweep_effort *e, size_t split_count, size_t batch_count,
                         const struct sweep_step *steps, bool *all) {
    double best = 0;
    *all = true;
    for (size_t s = 0; s < split_count; s++) {
        const struct sweep_step *first = &steps[s * batch_count];
        bool tried = !e->ends_only || s == 0 || s + 1 == split_count;
        if (first->measured && first->per_s > best) {
            best = first->per_s;
        }
        *all = *all && (!tried || first->measured || first->failed);
    }
    return best;
}

static void set_state(struct sweep_step *s, bool later) {
    s->why[0] = '\0';
    s->state = s->measured ? SWEEP_MEASURED : s->failed ? SWEEP_FAILED : later ? SWEEP_LATER : SWEEP_WANTED;
}

/* What was measured for another study counts, whatever this one would have done. */
static void leave_out(struct sweep_step *s, const char *why) {
    if (s->measured) {
        set_state(s, false);
        return;
    }
    s->state = SWEEP_SKIPPED;
    snprintf(s->why, sizeof(s->why), "%s", why);
}

/* Whether a larger batch than `before` (with `earlier` the one before that, or NULL) may bring anything. */
static bool worth_growing(const struct sweep_effort *e, const struct sweep_step *earlier,
                          uint32_t earlier_batch, const struct sweep_step *before, uint32_t batch,
                          char why[SWEEP_WHY_SIZE]) {
    if (before->failed) {
        snprintf(why, SWEEP_WHY_SIZE, "batch %u could not be measured", batch);
        return false;
    }
    if (before->breaks_latency) {
        snprintf(why, SWEEP_WHY_SIZE, "batch %u breaks a latency budget already", batch);
        return false;
    }
    if (earlier && before->per_s < earlier->per_s * (1 + e->least_gain_ratio)) {
        double gain = earlier->per_s > 0 ? 100 * (before->per_s / earlier->per_s - 1) : 0;
        snprintf(why, SWEEP_WHY_SIZE,
                 "batch %u gave %.1f %% %s than batch %u; a larger one is tried from %.0f %% more on", batch,
                 gain < 0 ? -gain : gain, gain < 0 ? "less" : "more", earlier_batch,
                 100 * e->least_gain_ratio);
        return false;
    }
    return true;
}

/* The batches of one split, after its first. */
static void grow(const struct sweep_effort *e, const uint32_t *batches, size_t batch_count,
                 struct sweep_step *steps, const char *reason) {
    char why[SWEEP_WHY_SIZE];
    bool stopped = reason != NULL, later = false;
    snprintf(why, sizeof(why), "%s", reason ? reason : "");
    for (size_t b = 1; b < batch_count; b++) {
        struct sweep_step *before = &steps[b - 1];
        const struct sweep_step *earlier = b > 1 ? &steps[b - 2] : NULL;
        bool known = before->measured || before->failed;
        if (!stopped && !later && !known) {
            later = true;
        } else if (!stopped && !later) {
            stopped = !worth_growing(e, earlier, b > 1 ? batches[b - 2] : 0, before, batches[b - 1], why);
        }
        if (stopped) {
            leave_out(&steps[b], why);
        } else {
            set_state(&steps[b], later);
        }
    }
}

void sweep_decide(const struct sweep_effort *effort, const struct sweep_split *splits, size_t split_count,
                  const uint32_t *batches, size_t batch_count, struct sweep_step *steps) {
    bool all_first;
    double best = best_first(effort, split_count, batch_count, steps, &all_first);
    for (size_t s = 0; s < split_count; s++) {
        struct sweep_step *mine = &steps[s * batch_count];
        char why[SWEEP_WHY_SIZE];
        bool end = s == 0 || s + 1 == split_count;
        if (effort->ends_only && !end && !mine->measured) {
            snprintf(why, sizeof(why), "the preset %s tries one instance and one thread an instance only",
                     effort->name);
            for (size_t b = 0; b < batch_count; b++) {
                leave_out(&mine[b], why);
            }
            continue;
        }
        set_state(&mine[0], false);
        if (effort->ends_only && s > 0) {
            snprintf(why, sizeof(why), "the preset %s tries larger batches with one instance only",
                     effort->name);
            grow(effort, batches, batch_count, mine, why);
        } else if (!effort->ends_only && mine->measured && all_first &&
                   mine->per_s < effort->near_best_ratio * best) {
            snprintf(why, sizeof(why),
                     "%u x %u reaches %.0f %% of the best split at batch %u; larger ones are tried from %.0f "
                     "%% on",
                     splits[s].instances, splits[s].threads, 100 * mine->per_s / best, batches[0],
                     100 * effort->near_best_ratio);
            grow(effort, batches, batch_count, mine, why);
        } else if (!effort->ends_only && !all_first) { /* the best one is not known yet */
            for (size_t b = 1; b < batch_count; b++) {
                set_state(&mine[b], true);
            }
        } else {
            grow(effort, batches, batch_count, mine, NULL);
        }
    }
}
