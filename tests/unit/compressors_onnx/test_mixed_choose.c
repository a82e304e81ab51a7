/* The choice of widths against every combination of small problems. */
#include <math.h>

#include "compressors/onnx/mixed_choose.h"
#include "tests/support/test.h"

enum { LAYERS = 6, TRIALS = 200 };

static uint32_t next_number(uint32_t *seed) {
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static void make_layers(struct mixed_prices *layers, uint32_t *seed) {
    for (size_t i = 0; i < LAYERS; i++) {
        double size = 10 + next_number(seed) % 200;
        double damage = (double)(next_number(seed) % 1000) / 1000;
        layers[i] = (struct mixed_prices){
            .offered = {true, next_number(seed) % 8 != 0, next_number(seed) % 4 != 0},
            .cost = {4 * size, size, size / 2},
            .loss = {0, damage * 0.01, damage},
        };
    }
}

struct total {
    double cost, loss;
};

static struct total total_of(const struct mixed_prices *layers, const enum mixed_width *widths) {
    struct total t = {0, 0};
    for (size_t i = 0; i < LAYERS; i++) {
        assert_true(layers[i].offered[widths[i]]);
        t.cost += layers[i].cost[widths[i]];
        t.loss += layers[i].loss[widths[i]];
    }
    return t;
}

/* Least loss of all combinations within the budget; INFINITY when there is none. */
static double brute_force(const struct mixed_prices *layers, double budget) {
    double best = INFINITY;
    size_t combinations = 1;
    for (size_t i = 0; i < LAYERS; i++) {
        combinations *= MIXED_WIDTHS;
    }
    for (size_t k = 0; k < combinations; k++) {
        double cost = 0, loss = 0;
        size_t rest = k;
        bool possible = true;
        for (size_t i = 0; i < LAYERS; i++, rest /= MIXED_WIDTHS) {
            size_t w = rest % MIXED_WIDTHS;
            possible = possible && layers[i].offered[w];
            cost += layers[i].cost[w];
            loss += layers[i].loss[w];
        }
        best = possible && cost <= budget && loss < best ? loss : best;
    }
    return best;
}

static void the_choice_is_the_best_of_all_combinations(void **state) {
    (void)state;
    uint32_t seed = 5;
    struct err err;
    for (int trial = 0; trial < TRIALS; trial++) {
        struct mixed_prices layers[LAYERS];
        enum mixed_width widths[LAYERS];
        double least, most;
        make_layers(layers, &seed);
        mixed_cost_limits(layers, LAYERS, &least, &most);
        double budget = least + (most - least) * (double)(next_number(&seed) % 1000) / 999;
        assert_int_equal(mixed_choose(layers, LAYERS, budget, widths, &err), RC_OK);
        struct total t = total_of(layers, widths);
        /* Costs are rounded up, by less than a step a layer. */
        double reachable = brute_force(layers, budget - LAYERS * (budget - least) / 4096);
        assert_true(t.cost <= budget * (1 + 1e-9));
        assert_true(t.loss <= reachable + 1e-12);
        assert_true(t.loss >= brute_force(layers, budget * (1 + 1e-9)) - 1e-12);
    }
}

static void the_least_budget_gives_the_narrowest_and_less_is_refused(void **state) {
    (void)state;
    const struct mixed_prices layers[2] = {
        {.offered = {true, true, true}, .cost = {400, 100, 60}, .loss = {0, 1, INFINITY}},
        {.offered = {true, true, false}, .cost = {40, 10, 0}, .loss = {0, 1, 0}}};
    enum mixed_width widths[2];
    struct err err;
    assert_int_equal(mixed_choose(layers, 2, 70, widths, &err), RC_OK);
    assert_int_equal(widths[0], MIXED_INT4);
    assert_int_equal(widths[1], MIXED_INT8);
    assert_int_equal(mixed_choose(layers, 2, 69, widths, &err), RC_UNSUPPORTED);
    assert_int_equal(mixed_choose(layers, 2, 1e9, widths, &err), RC_OK);
    assert_true(widths[0] == MIXED_FP32 && widths[1] == MIXED_FP32);
    assert_int_equal(mixed_choose(layers, 0, 0, widths, &err), RC_OK);
}

/* Widths that cost and lose the same: the wider one, as nothing is gained. */
static void of_equal_widths_the_wider_is_taken(void **state) {
    (void)state;
    const struct mixed_prices layer = {.offered = {true, true, true}, .cost = {5, 5, 5}, .loss = {0, 0, 0}};
    enum mixed_width width;
    struct err err;
    assert_int_equal(mixed_choose(&layer, 1, 5, &width, &err), RC_OK);
    assert_int_equal(width, MIXED_FP32);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_choice_is_the_best_of_all_combinations),
        cmocka_unit_test(the_least_budget_gives_the_narrowest_and_less_is_refused),
        cmocka_unit_test(of_equal_widths_the_wider_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
