/* Half-quadratic rounding of single groups, against the definition and against a search over a grid. */
#include <math.h>

#include "compressors/onnx/hqq.h"
#include "int8_fixture.h"

static const size_t sizes[] = {1, 7, 8, 9, 15, 17, 1023};
static const unsigned widths[] = {2, 3, 4, 8};

enum { SIZES = 7, WIDTHS = 4, LARGEST = 1023, GROUP = 12, GROUPS = 120, SCALES = 400 };

/* Weights with outliers: cubes of noise. */
static void fill(float *w, size_t n, uint32_t seed) {
    noise_fill(w, n, seed, 1);
    for (size_t i = 0; i < n; i++) {
        w[i] = w[i] * w[i] * w[i];
    }
}

/* The sum by the C library's own power, with codes by the definition. */
static double reference_error(const float *w, size_t n, const struct group_format *f, float scale,
                              uint8_t zero, float unit) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        double e = (double)w[i] - (double)scale * (group_code(w[i], scale, zero, f->bits) - zero);
        sum += pow(fabs(e) / (double)unit, 0.75);
    }
    return sum;
}

static void the_error_is_that_of_the_definition(void **state) {
    static float w[LARGEST];
    (void)state;
    for (uint32_t k = 0; k < SIZES * WIDTHS; k++) {
        const struct group_format f = {widths[k / SIZES], 32, GROUP_ASYMMETRIC};
        size_t n = sizes[k % SIZES];
        float scale;
        uint8_t zero;
        fill(w, n, k);
        group_choose_range(w, n, &f, &scale, &zero);
        double wanted = reference_error(w, n, &f, scale, zero, scale);
        assert_true(fabs(hqq_error(w, n, &f, scale, zero, scale) - wanted) <= 1e-3 * wanted + 1e-3);
    }
}

static void it_is_never_worse_than_the_whole_range(void **state) {
    static float w[LARGEST];
    double whole_sum = 0, sum = 0;
    (void)state;
    for (uint32_t k = 0; k < SIZES * WIDTHS * 2 * 4; k++) {
        const struct group_format f = {widths[k / SIZES % WIDTHS], 32,
                                       k / SIZES / WIDTHS % 2 ? GROUP_SYMMETRIC : GROUP_ASYMMETRIC};
        size_t n = sizes[k % SIZES];
        float whole, scale;
        uint8_t whole_zero, zero;
        fill(w, n, k);
        group_choose_range(w, n, &f, &whole, &whole_zero);
        hqq_choose(w, n, &f, &scale, &zero);
        double before = hqq_error(w, n, &f, whole, whole_zero, fabsf(whole));
        double after = hqq_error(w, n, &f, scale, zero, fabsf(whole));
        assert_true(after <= before);
        assert_true(f.zero == GROUP_ASYMMETRIC || zero == whole_zero);
        whole_sum += before;
        sum += after;
    }
    assert_true(sum < 0.99 * whole_sum);
}

/* The least sum over all zeros and a fine grid of scales. */
static double search(const float *w, size_t n, const struct group_format *f, float unit) {
    double least = INFINITY;
    for (unsigned z = 0; z < 1U << f->bits; z++) {
        for (int i = 1; i <= SCALES; i++) {
            least = fmin(least, hqq_error(w, n, f, unit * 1.6F * (float)i / SCALES, (uint8_t)z, unit));
        }
    }
    return least;
}

/* Turns find a least sum nearby, not the least of all: they go a good part of the way. */
static void it_goes_a_part_of_the_way_to_the_best_of_a_grid(void **state) {
    (void)state;
    for (unsigned bits = 2; bits <= 4; bits++) {
        const struct group_format f = {bits, GROUP, GROUP_ASYMMETRIC};
        double whole = 0, found = 0, best = 0;
        for (uint32_t k = 0; k < GROUPS; k++) {
            float w[GROUP], unit, scale;
            uint8_t first, zero;
            fill(w, GROUP, k);
            group_choose_range(w, GROUP, &f, &unit, &first);
            hqq_choose(w, GROUP, &f, &scale, &zero);
            double error = hqq_error(w, GROUP, &f, scale, zero, unit), least = search(w, GROUP, &f, unit);
            assert_true(error >= least * 0.9); /* between the points of the grid */
            whole += hqq_error(w, GROUP, &f, unit, first, unit);
            found += error;
            best += least;
        }
        print_message("%u bits: whole range %.1f, turns %.1f, grid %.1f\n", bits, whole, found, best);
        assert_true(whole - found > 0.4 * (whole - best));
    }
}

static void a_multiple_of_a_group_is_rounded_alike(void **state) {
    float w[32], larger[32], scale[2];
    uint8_t zero[2];
    (void)state;
    for (uint32_t k = 0; k < 50; k++) {
        const struct group_format f = {widths[k % WIDTHS], 32, GROUP_ASYMMETRIC};
        fill(w, 32, k);
        for (size_t i = 0; i < 32; i++) {
            larger[i] = w[i] * 1024;
        }
        hqq_choose(w, 32, &f, &scale[0], &zero[0]);
        hqq_choose(larger, 32, &f, &scale[1], &zero[1]);
        assert_true(scale[1] == 1024 * scale[0] && zero[1] == zero[0]);
    }
}

static void zeros_constants_and_tiny_weights_are_kept(void **state) {
    static const float values[] = {0, -0.75F, 3, 1e-38F, 1e30F};
    (void)state;
    for (size_t k = 0; k < 5 * WIDTHS * 2; k++) {
        const struct group_format f = {widths[k / 5 % WIDTHS], 32,
                                       k / 5 / WIDTHS ? GROUP_SYMMETRIC : GROUP_ASYMMETRIC};
        float w[32], value = values[k % 5], scale;
        uint8_t zero;
        for (size_t i = 0; i < 32; i++) {
            w[i] = value;
        }
        hqq_choose(w, 32, &f, &scale, &zero);
        float kept = scale * (float)(group_code(value, scale, zero, f.bits) - zero);
        assert_true(fabsf(kept - value) <= 1e-6F * fabsf(value) + 1e-38F);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_error_is_that_of_the_definition),
        cmocka_unit_test(it_is_never_worse_than_the_whole_range),
        cmocka_unit_test(it_goes_a_part_of_the_way_to_the_best_of_a_grid),
        cmocka_unit_test(a_multiple_of_a_group_is_rounded_alike),
        cmocka_unit_test(zeros_constants_and_tiny_weights_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
