/* Sums over samples and the easier targets behind a Relu, against plain loops. */
#include <math.h>
#include <stdlib.h>

#include "compressors/onnx/fit_samples.h"
#include "tests/unit/compressors_onnx/int8_fixture.h"

static void fill(struct fit_samples *s, size_t rows, size_t width, size_t outputs) {
    struct err err = {0};
    assert_int_equal(fit_samples_init(s, width, outputs, &err), RC_OK);
    for (size_t f = 0; f < RIDGE_FOLDS; f++) {
        s->count[f] = rows + f;
        noise_fill(s->rows[f], s->count[f] * width, (uint32_t)(7 + f), 1);
        noise_fill(s->values[f], s->count[f] * outputs, (uint32_t)(70 + f), 1);
    }
}

static bool near(double a, double b) {
    return fabs(a - b) <= 1e-4 * (1 + fabs(b));
}

static void sums_are_those_of_plain_loops(void **state) {
    (void)state;
    static const size_t sizes[] = {1, 7, 8, 9, 15, 17, 65, 130};
    for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
        struct fit_samples s;
        struct ridge_sums sums;
        struct err err = {0};
        size_t n = sizes[k], m = sizes[(k + 3) % 8];
        fill(&s, 300, n, m);
        assert_int_equal(ridge_sums_init(&sums, n, m, false, &err), RC_OK);
        assert_int_equal(fit_samples_sums(&s, 3, &sums, &err), RC_OK);
        for (size_t f = 0; f < RIDGE_FOLDS; f++) {
            assert_int_equal(sums.folds[f].count, 300 + f);
            for (size_t i = 0; i < n; i++) {
                for (size_t j = 0; j < n + m; j++) {
                    double sum = 0;
                    for (size_t r = 0; r < s.count[f]; r++) {
                        double y = (double)(j < n ? s.rows[f][r * n + j] : s.values[f][r * m + j - n]);
                        sum += (double)s.rows[f][r * n + i] * y;
                    }
                    assert_true(
                        near(j < n ? sums.folds[f].xx[i * n + j] : sums.folds[f].xy[i * m + j - n], sum));
                }
            }
        }
        ridge_sums_release(&sums);
        fit_samples_release(&s);
    }
}

enum { WIDTH = 9, OUTPUTS = 70 };

static double error_behind_relu(const struct fit_samples *s, const double *w) {
    double error = 0, squares = 0;
    for (size_t f = 0; f < RIDGE_FOLDS; f++) {
        for (size_t r = 0; r < s->count[f]; r++) {
            for (size_t o = 0; o < OUTPUTS; o++) {
                double p = 0, y = fmax(0, (double)s->values[f][r * OUTPUTS + o]);
                for (size_t i = 0; i < WIDTH; i++) {
                    p += (double)s->rows[f][r * WIDTH + i] * w[i * OUTPUTS + o];
                }
                error += (y - fmax(0, p)) * (y - fmax(0, p));
                squares += y * y;
            }
        }
    }
    return error / squares;
}

static void every_step_behind_a_relu_lowers_the_error(void **state) {
    (void)state;
    struct fit_samples s;
    struct ridge_sums sums;
    struct ridge_result result;
    struct err err = {0};
    static double w[WIDTH * OUTPUTS], xy[WIDTH * OUTPUTS], start[WIDTH * OUTPUTS];
    double before = INFINITY, error;
    fill(&s, 400, WIDTH, OUTPUTS);
    assert_int_equal(ridge_sums_init(&sums, WIDTH, OUTPUTS, false, &err), RC_OK);
    assert_int_equal(fit_samples_sums(&s, 1, &sums, &err), RC_OK);
    assert_int_equal(ridge_fit(&sums, w, &result, &err), RC_OK);
    for (int step = 0; step < 5; step++) {
        assert_int_equal(fit_samples_rectified(&s, 2, w, xy, &error, &err), RC_OK);
        assert_true(near(error, error_behind_relu(&s, w)));
        assert_true(error <= before * (1 + 1e-6));
        before = error;
        assert_int_equal(ridge_fit_again(&sums, xy, 1e-6, start, w, &err), RC_OK);
    }
    ridge_sums_release(&sums);
    fit_samples_release(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_are_those_of_plain_loops),
        cmocka_unit_test(every_step_behind_a_relu_lowers_the_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
