#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/stats/mean_interval.h"
#include "core/stats/rng.h"
#include "core/stats/special.h"

static void few_samples_have_no_bounds(void **state) {
    (void)state;
    const float values[19] = {1, 2, 3};
    struct mean_interval m;
    mean_interval_of(values, 0, 0.95, &m);
    assert_true(m.mean == 0 && m.freedom == 0);
    mean_interval_of(values, 19, 0.95, &m);
    assert_true(m.freedom == 0 && m.low == m.mean && m.high == m.mean && m.error == 0);
}

static void bounds_are_students_t_of_the_batch_means(void **state) {
    (void)state;
    float values[20];
    for (int i = 0; i < 20; i++) {
        values[i] = (float)(i / 2); /* ten batches of two: means 0 .. 9 */
    }
    struct mean_interval m;
    mean_interval_of(values, 20, 0.95, &m);
    assert_true(fabs(m.mean - 4.5) < 1e-12);
    assert_int_equal(m.freedom, 9);
    double error = sqrt(82.5 / 9 / 10);
    assert_true(fabs(m.error - error) < 1e-12);
    assert_true(fabs(m.high - 4.5 - special_t_quantile(0.95, 9) * error) < 1e-9);
    assert_true(fabs(m.high + m.low - 9) < 1e-9);
}

/* Samples that remember the one before (AR(1), 0.6): taking them as independent would cover in about 80 %. */
static void bounds_cover_dependent_samples(void **state) {
    (void)state;
    struct rng r;
    rng_seed(&r, 31);
    int covered = 0, rounds = 600;
    static float values[1500];
    for (int round = 0; round < rounds; round++) {
        double x = 0;
        for (int i = -50; i < 1500; i++) {
            x = 0.6 * x + special_normal_quantile(rng_uniform(&r) * 0.999998 + 1e-6);
            if (i >= 0) {
                values[i] = (float)(100 + x);
            }
        }
        struct mean_interval m;
        mean_interval_of(values, 1500, 0.95, &m);
        covered += m.high >= 100;
    }
    assert_in_range(covered, rounds * 91 / 100, rounds * 98 / 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_samples_have_no_bounds),
        cmocka_unit_test(bounds_are_students_t_of_the_batch_means),
        cmocka_unit_test(bounds_cover_dependent_samples),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
