/* How a part of all weights is shared out among layers, against trying every way to share it. */
#include <math.h>

#include "compressors/onnx/prune_budget.h"
#include "tests/support/test.h"
#include "tests/unit/compressors_onnx/matrix_fixture.h"

static struct prune_curve random_curve(uint32_t *seed) {
    struct prune_curve c = {.weights = 100 + (size_t)(100 * fabs(matrix_random(seed))), .weight = 1};
    double loss = 0.1 + fabs(matrix_random(seed));
    for (size_t i = 0; i < PRUNE_BUDGET_POINTS; i++) {
        c.losses[i] = loss;
        loss *= 3 + 4 * fabs(matrix_random(seed));
    }
    return c;
}

static void the_curve_goes_through_what_was_measured(void **state) {
    const struct prune_curve c = {10, {1, 4, 32}, 2};
    (void)state;
    assert_true(prune_budget_loss(&c, 0) == 0);
    assert_true(fabs(prune_budget_loss(&c, 0.125) - 0.5) < 1e-12);
    for (size_t i = 0; i < PRUNE_BUDGET_POINTS; i++) {
        assert_true(fabs(prune_budget_loss(&c, prune_budget_ratios[i]) - 2 * c.losses[i]) < 1e-9);
    }
    for (double r = 0; r < 0.99; r += 0.01) {
        assert_true(prune_budget_loss(&c, r + 0.01) > prune_budget_loss(&c, r));
    }
}

/* Of three layers, the least loss over a grid of ratios that reaches the part. */
static double optimum(const struct prune_curve *c, double part) {
    double all = (double)(c[0].weights + c[1].weights + c[2].weights), best = INFINITY;
    for (double a = 0.05; a <= 0.9501; a += 0.01) {
        for (double b = 0.05; b <= 0.9501; b += 0.01) {
            double rest =
                (part * all - a * (double)c[0].weights - b * (double)c[1].weights) / (double)c[2].weights;
            if (rest >= 0.05 && rest <= 0.95) {
                best = fmin(best, prune_budget_loss(&c[0], a) + prune_budget_loss(&c[1], b) +
                                      prune_budget_loss(&c[2], rest));
            }
        }
    }
    return best;
}

static void the_part_is_reached_nearly_as_well_as_can_be(void **state) {
    (void)state;
    for (uint32_t trial = 0; trial < 40; trial++) {
        struct prune_curve c[3];
        double ratios[3], gone = 0, all = 0, loss = 0, part = 0.3 + 0.01 * trial;
        uint32_t seed = trial;
        for (size_t i = 0; i < 3; i++) {
            c[i] = random_curve(&seed);
        }
        prune_budget_choose(c, 3, part, ratios);
        for (size_t i = 0; i < 3; i++) {
            assert_true(ratios[i] >= 0.05 - 1e-12 && ratios[i] <= 0.95 + 1e-12);
            gone += ratios[i] * (double)c[i].weights;
            all += (double)c[i].weights;
            loss += prune_budget_loss(&c[i], ratios[i]);
        }
        assert_true(fabs(gone - part * all) < 1e-6 * all);
        assert_true(loss <= 1.05 * optimum(c, part));
    }
}

static void layers_without_loss_go_first(void **state) {
    const struct prune_curve c[] = {{100, {1, 4, 16}, 1}, {100, {0, 0, 0}, 1}};
    double ratios[2];
    (void)state;
    prune_budget_choose(c, 2, 0.5, ratios);
    assert_true(ratios[1] > 0.94 && fabs(ratios[0] + ratios[1] - 1) < 1e-9);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_curve_goes_through_what_was_measured),
        cmocka_unit_test(the_part_is_reached_nearly_as_well_as_can_be),
        cmocka_unit_test(layers_without_loss_go_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
