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

/* Mean, variance and a tail of n draws, within 5 standard deviations of what they should be. */
static void rng_distributions_have_their_moments(void **state) {
    (void)state;
    enum { N = 200000 };
    struct rng r;
    double normal = 0, squares = 0, exponential = 0, gamma = 0, gamma_squares = 0;
    int tail = 0, late = 0;
    rng_seed(&r, 21);
    for (int i = 0; i < N; i++) {
        double z = rng_normal(&r), e = rng_exponential(&r), g = rng_gamma(&r, 2.5);
        normal += z / N;
        squares += z * z / N;
        tail += z > 1.6448536269514722;
        exponential += e / N;
        late += e > 2.302585092994046;
        gamma += g / N;
        gamma_squares += g * g / N;
        assert_true(e >= 0 && g > 0);
    }
    assert_true(fabs(normal) < 5 / sqrt(N) && fabs(squares - 1) < 5 * sqrt(2.0 / N));
    assert_in_range(tail, N / 20 - 490, N / 20 + 490);
    assert_true(fabs(exponential - 1) < 5 / sqrt(N));
    assert_in_range(late, N / 10 - 670, N / 10 + 670);
    assert_true(fabs(gamma - 2.5) < 5 * sqrt(2.5 / N));
    assert_true(fabs(gamma_squares - gamma * gamma - 2.5) < 0.1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rng_matches_xoshiro256starstar),
        cmocka_unit_test(rng_seed_is_splitmix64),
        cmocka_unit_test(rng_below_is_even_over_its_range),
        cmocka_unit_test(rng_uniform_stays_in_the_unit_interval),
        cmocka_unit_test(rng_distributions_have_their_moments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
