/* random_question.h -- small random questions with everything in them: ties, missing figures, failures,
 * several machines. */
#pragma once

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "advisor/decide/recommend.h"
#include "core/stats/rng.h"

enum { MAX_VARIANTS = 6, MAX_CANDIDATES = 20, MAX_SAMPLES = 400, MAX_ROUNDS = 5 };

struct random_question {
    struct recommend_question q;
    struct floor floors[2];
    struct budget budgets[4];
    struct recommend_machine machines[2];
    struct recommend_variant variants[MAX_VARIANTS];
    struct accuracy accuracies[MAX_VARIANTS];
    struct recommend_candidate candidates[MAX_CANDIDATES];
    float samples[MAX_CANDIDATES][MAX_SAMPLES];
    float rounds[MAX_CANDIDATES][MAX_ROUNDS];
    size_t sample_count[MAX_CANDIDATES];
};

static inline struct accuracy counted(uint64_t both, uint64_t only_variant, uint64_t only_baseline,
                                      uint64_t neither) {
    double n = (double)(both + only_variant + only_baseline + neither);
    return (struct accuracy){.metric = METRIC_TOP1,
                             .kind = ACCURACY_COUNTS,
                             .paired = true,
                             .n = (uint64_t)n,
                             .value = (double)(both + only_variant) / n,
                             .baseline = (double)(both + only_baseline) / n,
                             .counts = {both, only_variant, only_baseline, neither}};
}

static inline void random_variants(struct random_question *x, struct rng *r) {
    static const char *const recipes[MAX_VARIANTS] = {"fp32", "int8:static",  "int8:dynamic",
                                                      "fp16", "prune:a+int8", "int4"};
    static const uint32_t steps[MAX_VARIANTS] = {0, 1, 1, 1, 2, 1};
    uint32_t n = rng_below(r, 2) ? 200 : 4000, lost_most = rng_below(r, 2) ? n / 20 : n / 200;
    x->q.variant_count = 1 + rng_below(r, MAX_VARIANTS);
    for (size_t v = 0; v < x->q.variant_count; v++) {
        uint32_t wrong = n / 20, lost = v ? rng_below(r, lost_most + 1) : 0,
                 gained = v ? rng_below(r, lost + 1) : 0;
        gained = gained < wrong ? gained : wrong;
        x->accuracies[v] = counted(n - wrong - lost, gained, lost, wrong - gained);
        x->variants[v] = (struct recommend_variant){.id = recipes[v],
                                                    .recipe = recipes[v],
                                                    .steps = steps[v],
                                                    .is_baseline = v == 0,
                                                    .size_bytes = 1000 * (1 + rng_below(r, 8)),
                                                    .accuracies = &x->accuracies[v],
                                                    .accuracy_count = rng_below(r, 8) ? 1 : 0,
                                                    .failure = v && rng_below(r, 12) == 0 ? "crashed" : NULL};
    }
}

static inline void random_candidate(struct random_question *x, struct rng *r, size_t i) {
    struct recommend_candidate *c = &x->candidates[i];
    size_t n = 5 + rng_below(r, MAX_SAMPLES - 5);
    double scale = 1 + rng_below(r, 10);
    for (size_t s = 0; s < n; s++) {
        x->samples[i][s] = (float)(scale * (100 + floor(100 * rng_uniform(r))));
    }
    x->sample_count[i] = n;
    *c = (struct recommend_candidate){.id = "cfg",
                                      .variant = rng_below(r, (uint32_t)x->q.variant_count),
                                      .machine = rng_below(r, (uint32_t)x->q.machine_count),
                                      .instances = 1,
                                      .threads = 2,
                                      .batch = 1,
                                      .memory_mib =
                                          rng_below(r, 10) ? (float)(10 * (1 + rng_below(r, 6))) : NAN};
    c->unstable = rng_below(r, 4) ? NULL : "it drifted";
    double per_s = 100 * (1 + rng_below(r, 10)) * (rng_below(r, 3) ? 1 : 1 + 0.05 * rng_uniform(r));
    c->throughput = throughput_exact(per_s);
    if (rng_below(r, 3) == 0) {
        c->throughput.log_error = 0.03 * rng_uniform(r);
        c->throughput.freedom = 4 + rng_below(r, 80);
        c->throughput.low = per_s * exp(-2 * c->throughput.log_error);
        c->throughput.high = per_s * exp(2 * c->throughput.log_error);
    } else if (rng_below(r, 2)) {
        for (size_t k = 0; k < MAX_ROUNDS; k++) {
            x->rounds[i][k] = (float)(per_s * (1 + 0.05 * (rng_uniform(r) - 0.5)));
        }
        if (throughput_from_rounds(x->rounds[i], MAX_ROUNDS, 1 + rng_below(r, 2), x->q.confidence,
                                   &c->throughput, NULL)) {
            abort();
        }
    } else if (rng_below(r, 10) == 0) {
        c->throughput = throughput_exact(NAN);
    }
    if (rng_below(r, 12) && latency_summarise(x->samples[i], n, x->q.confidence, &c->latency, NULL)) {
        abort();
    }
}

static inline void random_limits(struct random_question *x, struct rng *r) {
    static const char *const floors[] = {"relative>=0.99", "drop<=1", "top1>=0.93", "relative>=0.95"};
    static const char *const budgets[] = {"p50<=0.8ms",    "p90<=1ms",  "p99<=1.2ms",  "throughput>=300/s",
                                          "memory<=40MiB", "size<=6KB", "cost<=0.2usd"};
    x->q.floor_count = rng_below(r, 3);
    x->q.budget_count = rng_below(r, 5);
    for (size_t i = 0; i < x->q.floor_count; i++) {
        if (floor_parse(floors[rng_below(r, 4)], &x->floors[i], NULL)) {
            abort();
        }
    }
    for (size_t i = 0; i < x->q.budget_count; i++) {
        if (budget_parse(budgets[rng_below(r, 7)], &x->budgets[i], NULL)) {
            abort();
        }
    }
}

/* Fills x; everything in it points into x. */
static inline void random_question(struct random_question *x, struct rng *r) {
    memset(x, 0, sizeof *x);
    x->q = (struct recommend_question){.floors = x->floors,
                                       .budgets = x->budgets,
                                       .confidence = rng_below(r, 2) ? 0.95 : 0.9,
                                       .price_per_hour = rng_below(r, 2) ? 0.4 : NAN,
                                       .machines = x->machines,
                                       .machine_count = 1 + rng_below(r, 2),
                                       .variants = x->variants,
                                       .candidates = x->candidates};
    x->machines[0] = (struct recommend_machine){"mt_a", "a", 0.1};
    x->machines[1] = (struct recommend_machine){"mt_b", "b", 0.2};
    random_variants(x, r);
    random_limits(x, r);
    x->q.candidate_count = rng_below(r, MAX_CANDIDATES + 1);
    for (size_t i = 0; i < x->q.candidate_count; i++) {
        random_candidate(x, r, i);
    }
}
