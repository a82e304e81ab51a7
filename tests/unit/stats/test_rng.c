#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/stats/rng.h"

/* Reference output of the authors' C code for the state 1 2 3 4 (also in the tests of Rust's rand_xoshiro).
 */
static void rng_matches_xoshiro256starstar(void **state) {
    (void)state;
    struct rng r = {.state = {1, 2, 3, 4}};
    const uint64_t expected[] = {11520, 0, 1509978240, UINT64_C(1215971899390074240)};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(rng_next(&r), expected[i]);
    }
}

static void rng_seed_is_splitmix64(void **state) {
    (void)state;
    struct rng r;
    rng_seed(&r, 1234567);
    assert_true(r.state[0] == UINT64_C(6457827717110365317));
    assert_true(r.state[1] == UINT64_C(3203168211198807973));
    assert_true(r.state[2] == UINT64_C(9817491932198370423));
    assert_true(r.state[3] == UINT64_C(4593380528125082431));
}

static void rng_below_is_even_over_its_range(void **state) {
    (void)state;
    struct rng r;
    rng_seed(&r, 7);
    uint32_t seen[7] = {0};
    for (int i = 0; i < 70000; i++) {
        uint32_t x = rng_below(&r, 7);
        assert_in_range(x, 0, 6);
        seen[x]++;
    }
    for (int i = 0; i < 7; i++) {
        assert_in_range(seen[i], 9600, 10400); /* 4 standard deviations */
    }
    assert_int_equal(rng_below(&r, 1), 0);
}

static void rng_uniform_stays_in_the_unit_interval(void **state) {
    (void)state;
    struct rng r;
    rng_seed(&r, 9);
    double sum = 0;
    for (int i = 0; i < 100000; i++) {
        double x = rng_uniform(&r);
        assert_true(x >= 0 && x < 1);
        sum += x;
    }
    assert_true(fabs(sum / 100000 - 0.5) < 0.004);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rng_matches_xoshiro256starstar),
        cmocka_unit_test(rng_seed_is_splitmix64),
        cmocka_unit_test(rng_below_is_even_over_its_range),
        cmocka_unit_test(rng_uniform_stays_in_the_unit_interval),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
