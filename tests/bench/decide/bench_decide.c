/* bench_decide.c -- CPU time of a new question over 10,000 stored configurations. The limit is one
 * millisecond. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "advisor/decide/recommend.h"
#include "core/stats/rng.h"

enum { CANDIDATES = 10000, VARIANTS = 60, SAMPLES = 700, ASKED = 200 };
static const double LIMIT_US = 1000;

struct world {
    struct recommend_machine machine;
    struct recommend_variant variants[VARIANTS];
    struct accuracy accuracies[VARIANTS];
    struct recommend_candidate candidates[CANDIDATES];
    struct floor floors[1];
    struct budget budgets[3];
    struct recommend_question q;
};

static double cpu_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void fill_variants(struct world *w, struct rng *r) {
    for (uint32_t v = 0; v < VARIANTS; v++) {
        uint64_t lost = v ? rng_below(r, 150) : 0, gained = lost / 2;
        struct paired_counts c = {9478 - lost, gained, lost, 522 - gained};
        w->accuracies[v] = (struct accuracy){.metric = METRIC_TOP1,
                                             .kind = ACCURACY_COUNTS,
                                             .paired = true,
                                             .n = 10000,
                                             .value = (double)(9478 - lost + gained) / 10000,
                                             .baseline = 0.9478,
                                             .counts = c};
        w->variants[v] = (struct recommend_variant){.id = "var",
                                                    .recipe = "int8:static",
                                                    .steps = v != 0,
                                                    .is_baseline = v == 0,
                                                    .size_bytes = 1000000,
                                                    .accuracies = &w->accuracies[v],
                                                    .accuracy_count = 1};
    }
}

static enum rc fill_candidates(struct world *w, struct rng *r) {
    float samples[SAMPLES];
    struct latency pool[64];
    for (size_t p = 0; p < 64; p++) {
        for (size_t i = 0; i < SAMPLES; i++) {
            samples[i] = (float)(300 + 100 * (double)p * rng_uniform(r));
        }
        enum rc rc = latency_summarise(samples, SAMPLES, 0.95, &pool[p], NULL);
        if (rc != RC_OK) {
            return rc;
        }
    }
    for (uint32_t i = 0; i < CANDIDATES; i++) {
        struct throughput t = throughput_exact(500 + 3000 * rng_uniform(r));
        t.log_error = 0.004;
        t.freedom = 20 + rng_below(r, 10);
        t.low = t.per_s * 0.993;
        t.high = t.per_s * 1.007;
        w->candidates[i] = (struct recommend_candidate){.id = "cfg",
                                                        .variant = rng_below(r, VARIANTS),
                                                        .instances = 1,
                                                        .threads = 2,
                                                        .batch = 1,
                                                        .memory_mib = (float)(20 + 100 * rng_uniform(r)),
                                                        .throughput = t,
                                                        .latency = pool[rng_below(r, 64)]};
    }
    return RC_OK;
}

static double ask(const struct world *w) {
    struct recommend_outcome o;
    double begin = cpu_us();
    if (recommend_decide(&w->q, &o, NULL) != RC_OK) {
        return NAN;
    }
    double spent = cpu_us() - begin;
    recommend_outcome_free(&o);
    return spent;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Each question differs, as a slider in the dashboard would make it. */
static double median_of_questions(struct world *w, double tightest_us) {
    static double spent[ASKED];
    for (int i = 0; i < ASKED; i++) {
        w->floors[0].bound = 0.98 + 0.0001 * i;
        w->budgets[0].bound = tightest_us + 20 * i;
        spent[i] = ask(w);
    }
    qsort(spent, ASKED, sizeof *spent, compare);
    printf("  best %.0f us, median %.0f us, worst %.0f us\n", spent[0], spent[ASKED / 2], spent[ASKED - 1]);
    return spent[ASKED / 2];
}

int main(void) {
    struct world *w = calloc(1, sizeof *w);
    struct rng r;
    struct err err = {0};
    rng_seed(&r, 1);
    if (!w || fill_candidates(w, &r) != RC_OK ||
        floor_parse("relative>=0.99", &w->floors[0], &err) != RC_OK ||
        budget_parse("p99<=2ms", &w->budgets[0], &err) != RC_OK ||
        budget_parse("memory<=100MiB", &w->budgets[1], &err) != RC_OK ||
        budget_parse("throughput>=600/s", &w->budgets[2], &err) != RC_OK) {
        printf("set-up failed: %s\n", err.text);
        free(w);
        return 2;
    }
    fill_variants(w, &r);
    w->machine = (struct recommend_machine){"mt", "box", 0.1};
    w->q = (struct recommend_question){w->floors,   1, w->budgets,  3,        0.95,          NAN,
                                       &w->machine, 1, w->variants, VARIANTS, w->candidates, CANDIDATES};
    printf("recommend over %d configurations of %d variants, CPU time:\n with an answer:", CANDIDATES,
           VARIANTS);
    double answered = median_of_questions(w, 2000);
    printf(" without one:   ");
    double nothing = median_of_questions(w, -20.0 * ASKED - 1);
    free(w);
    return answered < LIMIT_US && nothing < LIMIT_US ? 0 : 1;
}
