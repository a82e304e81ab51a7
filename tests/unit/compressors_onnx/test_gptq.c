/* GPTQ against the best codes there are on small problems, and against the algorithm written down plainly. */
#include <math.h>

#include "compressors/onnx/gptq.h"
#include "compressors/onnx/inverse_root.h"
#include "int8_fixture.h"

/* Weights and the second moments of correlated inputs: each input is a mixture of its neighbours. */
struct problem {
    size_t rows, columns;
    float *w;
    double *h;
};

static struct problem problem_new(size_t rows, size_t columns, uint32_t seed) {
    struct problem p = {rows, columns, malloc(rows * columns * sizeof(float)),
                        calloc(columns * columns, sizeof(double))};
    float *x = malloc((columns + 2) * sizeof(float));
    noise_fill(p.w, rows * columns, seed, 1);
    for (uint32_t k = 0; k < 2 * columns + 8; k++) {
        noise_fill(x, columns + 2, seed * 1000 + k, 1);
        for (size_t i = 0; i < columns; i++) {
            x[i] = (x[i] + x[i + 1] + 0.5F * x[i + 2]) * (1 + (float)(i % 5));
        }
        for (size_t i = 0; i < columns * columns; i++) {
            p.h[i] += (double)x[i / columns] * (double)x[i % columns];
        }
    }
    free(x);
    return p;
}

static void problem_free(struct problem *p) {
    free(p->w);
    free(p->h);
}

static struct group_quant solve(const struct problem *p, const struct group_format *f, size_t sweeps,
                                size_t threads) {
    const struct gptq_opts opts = {*f, sweeps, threads};
    struct gptq_hessian *h = NULL;
    struct group_quant q;
    struct err err;
    if (gptq_hessian_new(p->h, p->columns, f->group, 0.01, &h, &err) ||
        gptq_round(p->w, p->rows, h, &opts, &q, &err)) {
        fail_msg("%s", err.text);
    }
    gptq_hessian_free(h);
    return q;
}

/* The least error over all codes, with the scales and zeros of q; q ends as it was. */
static double least_error(const struct problem *p, struct group_quant *q) {
    size_t count = p->rows * p->columns;
    uint8_t before[8];
    double least = INFINITY;
    memcpy(before, q->codes, count);
    for (size_t k = 0; k < (size_t)1 << (q->format.bits * count); k++) {
        for (size_t i = 0; i < count; i++) {
            q->codes[i] = (uint8_t)(k >> (i * q->format.bits) & ((1U << q->format.bits) - 1));
        }
        least = fmin(least, gptq_error(p->w, q, p->h));
    }
    memcpy(q->codes, before, count);
    return least;
}

/* The error of rounding to nearest with the same scales. */
static double nearest_error(const struct problem *p, struct group_quant *q) {
    uint8_t before[8];
    size_t count = p->rows * p->columns;
    memcpy(before, q->codes, count);
    for (size_t i = 0; i < count; i++) {
        size_t at = i / p->columns * q->groups + i % p->columns / q->format.group;
        q->codes[i] = group_code(p->w[i], q->scales[at], q->zeros[at], q->format.bits);
    }
    double error = gptq_error(p->w, q, p->h);
    memcpy(q->codes, before, count);
    return error;
}

static void codes_are_close_to_the_best_there_are(void **state) {
    enum { PROBLEMS = 60 };
    const struct group_format f = {2, 3, GROUP_ASYMMETRIC};
    double sum = 0, best_sum = 0, nearest_sum = 0;
    int optimal = 0;
    (void)state;
    for (uint32_t k = 0; k < PROBLEMS; k++) {
        struct problem p = problem_new(1, 6, k);
        struct group_quant q = solve(&p, &f, 3, 1);
        double error = gptq_error(p.w, &q, p.h), best = least_error(&p, &q);
        assert_true(error >= best * (1 - 1e-6));
        optimal += error <= best * 1.0001;
        sum += error;
        best_sum += best;
        nearest_sum += nearest_error(&p, &q);
        group_quant_release(&q);
        problem_free(&p);
    }
    print_message("gptq: %d of %d optimal; error %.3f of the optimum's, to nearest %.3f\n", optimal, PROBLEMS,
                  sum / best_sum, nearest_sum / best_sum);
    assert_true(optimal > PROBLEMS / 2);
    assert_true(sum < 1.15 * best_sum);
    assert_true(nearest_sum > 1.3 * best_sum);
}

/* --- against the plain algorithm --- */

struct ranked {
    size_t column;
    double group_value, value;
};

static int by_rank(const void *a, const void *b) {
    const struct ranked *x = a, *y = b;
    double d = x->group_value != y->group_value ? y->group_value - x->group_value : y->value - x->value;
    return d < 0 ? -1 : d > 0;
}

/* One row, one column at a time, every later column updated at once, in double. */
static void plain_gptq(const struct problem *p, const struct group_format *f, struct group_quant *q) {
    size_t n = p->columns;
    struct ranked *order = calloc(n, sizeof(*order));
    double *h = calloc(n * n, sizeof(double)), *u = calloc(n * n, sizeof(double));
    double *w = malloc(n * sizeof(*w));
    float line[256], importance[256];
    struct err err;
    for (size_t i = 0; i < n; i++) {
        order[i].column = i;
        order[i].value = p->h[i * (n + 1)];
        for (size_t k = i / f->group * f->group; k < n && k / f->group == i / f->group; k++) {
            order[i].group_value += p->h[k * (n + 1)];
        }
        if (n % f->group && i / f->group == n / f->group) {
            order[i].group_value = -1; /* a short group comes last */
        }
    }
    qsort(order, n, sizeof(*order), by_rank);
    for (size_t i = 0; i < n * n; i++) {
        h[i] = p->h[order[i / n].column * n + order[i % n].column];
    }
    assert_int_equal(inverse_root(h, n, 0.01, u, &err), RC_OK);
    /* the library works in units of the mean moment: importances differ by that factor, which changes no
     * choice */
    for (size_t row = 0; row < p->rows; row++) {
        for (size_t i = 0; i < n; i++) {
            w[i] = (double)p->w[row * n + order[i].column];
        }
        for (size_t i = 0; i < n; i++) {
            size_t at = row * q->groups + order[i].column / f->group;
            if (i % f->group == 0) {
                size_t count = n - i < f->group ? n - i : f->group;
                for (size_t k = 0; k < count; k++) {
                    double d = u[(i + k) * (n + 1)];
                    line[k] = (float)w[i + k];
                    importance[k] = (float)(1 / (d * d));
                }
                group_choose_least(line, importance, count, f, &q->scales[at], &q->zeros[at]);
            }
            uint8_t code = group_code((float)w[i], q->scales[at], q->zeros[at], f->bits);
            double value = (double)q->scales[at] * (code - q->zeros[at]);
            double error = (w[i] - value) / u[i * (n + 1)];
            q->codes[row * n + order[i].column] = code;
            for (size_t k = i + 1; k < n; k++) {
                w[k] -= error * u[i * n + k];
            }
        }
    }
    free(order);
    free(h);
    free(u);
    free(w);
}

static void blocks_give_what_the_plain_algorithm_gives(void **state) {
    static const size_t sizes[] = {1, 7, 8, 9, 15, 17, 300};
    (void)state;
    for (size_t k = 0; k < 7 * 3; k++) {
        const struct group_format f = {k / 7 == 0   ? 2
                                       : k / 7 == 1 ? 3
                                                    : 4,
                                       k % 2 ? 16 : 32, k / 7 == 1 ? GROUP_SYMMETRIC : GROUP_ASYMMETRIC};
        struct problem p = problem_new(70, sizes[k % 7], (uint32_t)k + 1);
        struct group_quant plain, q = solve(&p, &f, 0, 2);
        struct err err;
        size_t differ = 0, count = p.rows * p.columns;
        assert_int_equal(group_quant_init(&plain, &f, p.rows, p.columns, &err), RC_OK);
        plain_gptq(&p, &f, &plain);
        for (size_t i = 0; i < count; i++) {
            differ += plain.codes[i] != q.codes[i];
        }
        /* A code that falls between two goes either way, and what follows in its row with it. */
        double error = gptq_error(p.w, &q, p.h), wanted = gptq_error(p.w, &plain, p.h);
        assert_true(differ * 20 <= count);
        assert_true(fabs(error - wanted) <= 0.01 * wanted + 1e-9);
        group_quant_release(&plain);
        group_quant_release(&q);
        problem_free(&p);
    }
}

/* --- properties --- */

static void each_step_lowers_the_error(void **state) {
    (void)state;
    for (unsigned bits = 2; bits <= 4; bits++) {
        const struct group_format f = {bits, 32, GROUP_ASYMMETRIC};
        struct problem p = problem_new(64, 100, bits);
        struct group_quant nearest;
        struct err err;
        assert_int_equal(group_round(p.w, 64, 100, &f, GROUP_RANGE, NULL, 1, &nearest, &err), RC_OK);
        double last = gptq_error(p.w, &nearest, p.h);
        for (size_t sweeps = 0; sweeps < 4; sweeps++) {
            struct group_quant q = solve(&p, &f, sweeps, 1);
            double error = gptq_error(p.w, &q, p.h);
            assert_true(error < last * (sweeps == 0 ? 0.8 : 1));
            last = error;
            group_quant_release(&q);
        }
        group_quant_release(&nearest);
        problem_free(&p);
    }
}

static void threads_change_no_bit(void **state) {
    const struct group_format f = {3, 32, GROUP_ASYMMETRIC};
    (void)state;
    struct problem p = problem_new(200, 150, 3);
    struct group_quant one = solve(&p, &f, 2, 1), four = solve(&p, &f, 2, 4);
    assert_memory_equal(one.codes, four.codes, 200 * 150);
    assert_memory_equal(one.scales, four.scales, 200 * one.groups * sizeof(float));
    assert_memory_equal(one.zeros, four.zeros, 200 * one.groups);
    group_quant_release(&one);
    group_quant_release(&four);
    problem_free(&p);
}

static void pruned_weights_stay_zero(void **state) {
    const struct group_format f = {4, 32, GROUP_ASYMMETRIC};
    (void)state;
    struct problem p = problem_new(10, 64, 3);
    for (size_t i = 0; i < 640; i += 2) {
        p.w[i] = 0;
    }
    struct group_quant q = solve(&p, &f, 2, 1);
    for (size_t i = 0; i < 640; i += 2) {
        assert_true(group_value(&q, i / 64, i % 64) == 0);
    }
    group_quant_release(&q);
    problem_free(&p);
}

static void inputs_that_were_never_seen_round_to_nearest(void **state) {
    const struct group_format f = {4, 16, GROUP_ASYMMETRIC};
    (void)state;
    struct problem p = problem_new(5, 20, 4);
    memset(p.h, 0, 400 * sizeof(double));
    struct group_quant q = solve(&p, &f, 2, 1);
    for (size_t i = 0; i < 100; i++) {
        size_t at = i / 20 * q.groups + i % 20 / 16;
        float value = group_value(&q, i / 20, i % 20);
        assert_true(fabsf(value - p.w[i]) <= fabsf(q.scales[at]) * 1.5F);
    }
    group_quant_release(&q);
    problem_free(&p);
}

static void what_is_not_finite_is_refused(void **state) {
    const struct gptq_opts opts = {{4, 16, GROUP_ASYMMETRIC}, 1, 1};
    struct gptq_hessian *h = NULL;
    struct group_quant q;
    struct err err;
    (void)state;
    struct problem p = problem_new(5, 20, 4);
    assert_int_equal(gptq_hessian_new(p.h, 20, 16, 0.01, &h, &err), RC_OK);
    p.w[41] = NAN;
    assert_int_equal(gptq_round(p.w, 5, h, &opts, &q, &err), RC_INPUT);
    gptq_hessian_free(h);
    p.h[5 * 21] = NAN;
    assert_int_equal(gptq_hessian_new(p.h, 20, 16, 0.01, &h, &err), RC_INPUT);
    problem_free(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_are_close_to_the_best_there_are),
        cmocka_unit_test(blocks_give_what_the_plain_algorithm_gives),
        cmocka_unit_test(each_step_lowers_the_error),
        cmocka_unit_test(threads_change_no_bit),
        cmocka_unit_test(pruned_weights_stay_zero),
        cmocka_unit_test(inputs_that_were_never_seen_round_to_nearest),
        cmocka_unit_test(what_is_not_finite_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
