/* The kernels of pruning against scalar references, and SparseGPT against the optimum found by trying every
 * set of weights. */
#include "compressors/onnx/inverse_root.h"
#include "compressors/onnx/prune_admm.h"
#include "compressors/onnx/prune_pattern.h"
#include "compressors/onnx/sparsegpt.h"
#include "tests/support/test.h"
#include "tests/unit/compressors_onnx/matrix_fixture.h"

static const size_t sizes[] = {1, 7, 8, 9, 15, 17, 1023};
enum { SIZES = 7, LARGEST = 1023 };

/* --- patterns --- */

static int by_magnitude(const void *a, const void *b) {
    float x = fabsf(*(const float *)a), y = fabsf(*(const float *)b);
    return x < y ? -1 : x > y;
}

static void fill_scores(float *out, size_t count, uint32_t seed) {
    for (size_t i = 0; i < count; i++) {
        out[i] = (float)matrix_random(&seed);
    }
}

static void the_least_scores_go_over_several_arrays(void **state) {
    (void)state;
    for (size_t s = 0; s < SIZES; s++) {
        float scores[LARGEST], sorted[LARGEST];
        uint8_t keep[LARGEST];
        size_t n = sizes[s], cut = n / 3, k = (size_t)((double)n * 0.4), gone = 0;
        struct err err;
        fill_scores(scores, n, (uint32_t)s);
        memcpy(sorted, scores, n * sizeof(float));
        qsort(sorted, n, sizeof(float), by_magnitude);
        const struct prune_span spans[] = {{scores, cut, keep}, {scores + cut, n - cut, keep + cut}};
        assert_int_equal(prune_pattern_least_of(spans, 2, 0.4, &err), RC_OK);
        for (size_t i = 0; i < n; i++) {
            gone += !keep[i];
            assert_int_equal(keep[i], k == 0 || fabsf(scores[i]) > fabsf(sorted[k - 1]));
        }
        assert_int_equal(gone, k);
    }
}

static void of_four_in_a_row_the_two_largest_stay(void **state) {
    const float scores[] = {1, -4, 3, 2, 0, 0, 0, 0, NAN, 1, NAN, 0, 5, 5, 5, 5};
    static const uint8_t expected[] = {0, 1, 1, 0, 0, 0, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1};
    uint8_t keep[16];
    (void)state;
    prune_pattern_n_of_m(scores, 2, 8, 2, 4, keep);
    assert_memory_equal(keep, expected, sizeof(keep));
}

static void every_group_keeps_its_largest(void **state) {
    enum { M = 8, N = 3, COLUMNS = 17 * M };
    float scores[3 * COLUMNS];
    uint8_t keep[3 * COLUMNS];
    (void)state;
    fill_scores(scores, 3 * COLUMNS, 5);
    prune_pattern_n_of_m(scores, 3, COLUMNS, N, M, keep);
    for (size_t g = 0; g < 3 * COLUMNS; g += M) {
        size_t kept = 0;
        for (size_t i = 0; i < M; i++) {
            size_t larger = 0;
            for (size_t j = 0; j < M; j++) {
                larger += fabsf(scores[g + j]) > fabsf(scores[g + i]);
            }
            kept += keep[g + i];
            assert_int_equal(keep[g + i], larger < N);
        }
        assert_int_equal(kept, N);
    }
}

static void tiles_go_as_wholes_the_weakest_first(void **state) {
    enum { ROWS = 6, COLUMNS = 9, BLOCK = 3, TILES = 6 };
    float scores[ROWS * COLUMNS], sums[TILES] = {0};
    uint8_t keep[ROWS * COLUMNS];
    struct err err;
    (void)state;
    fill_scores(scores, ROWS * COLUMNS, 3);
    for (size_t i = 0; i < ROWS * COLUMNS; i++) {
        sums[i / COLUMNS / BLOCK * 3 + i % COLUMNS / BLOCK] += scores[i] * scores[i];
    }
    assert_int_equal(prune_pattern_tiles(scores, ROWS, COLUMNS, BLOCK, 0.5, keep, &err), RC_OK);
    for (size_t i = 0; i < ROWS * COLUMNS; i++) {
        float own = sums[i / COLUMNS / BLOCK * 3 + i % COLUMNS / BLOCK];
        size_t weaker = 0;
        for (size_t t = 0; t < TILES; t++) {
            weaker += sums[t] < own;
        }
        assert_int_equal(keep[i], weaker >= TILES / 2);
    }
}

static void scores_that_are_not_finite_are_refused(void **state) {
    float scores[16] = {0};
    uint8_t keep[16];
    struct err err;
    (void)state;
    scores[5] = NAN;
    for (int shape = PRUNE_ANYWHERE; shape <= PRUNE_BLOCKS; shape++) {
        const struct prune_pattern p = {(enum prune_shape)shape, 0.5, 2, 4, 2};
        assert_int_equal(prune_pattern_mask(&p, scores, 4, 4, keep, &err), RC_INPUT);
    }
}

static void zeros_and_constants_give_the_exact_count(void **state) {
    static const float values[] = {0, -0.5F};
    (void)state;
    for (size_t v = 0; v < 2; v++) {
        float scores[LARGEST];
        uint8_t keep[LARGEST];
        size_t gone = 0;
        struct err err;
        for (size_t i = 0; i < LARGEST; i++) {
            scores[i] = values[v];
        }
        assert_int_equal(prune_pattern_least(scores, LARGEST, 0.3, keep, &err), RC_OK);
        for (size_t i = 0; i < LARGEST; i++) {
            gone += !keep[i];
            assert_int_equal(keep[i], i >= 306);
        }
        assert_int_equal(gone, 306);
    }
}

/* --- the root of the inverse --- */

static void the_root_squared_times_the_moments_is_one(void **state) {
    (void)state;
    for (size_t s = 0; s + 1 < SIZES; s++) {
        size_t n = sizes[s];
        double h[17 * 17], u[17 * 17];
        uint32_t seed = (uint32_t)s;
        struct err err;
        matrix_moments(h, n, 4 * n, &seed);
        assert_int_equal(inverse_root(h, n, 0, u, &err), RC_OK);
        for (size_t i = 0; i < n; i++) {
            for (size_t j = 0; j < n; j++) {
                double sum = 0; /* (u^T u h)[i, j] */
                for (size_t k = 0; k < n; k++) {
                    for (size_t l = 0; l < n; l++) {
                        sum += u[l * n + i] * u[l * n + k] * h[k * n + j];
                    }
                }
                assert_true(fabs(sum - (i == j)) < 1e-8);
                assert_true(i <= j || u[i * n + j] == 0);
            }
        }
    }
}

static void inputs_that_never_were_anything_do_no_harm(void **state) {
    double h[9] = {4, 0, 4, 0, 0, 0, 4, 0, 4}, u[9]; /* the second is always 0, the third equals the first */
    struct err err;
    (void)state;
    assert_int_equal(inverse_root(h, 3, 0, u, &err), RC_OK);
    for (size_t i = 0; i < 9; i++) {
        assert_true(isfinite(u[i]));
    }
    memset(h, 0, sizeof(h));
    assert_int_equal(inverse_root(h, 3, 0.01, u, &err), RC_OK);
    h[4] = NAN;
    assert_int_equal(inverse_root(h, 3, 0.01, u, &err), RC_INPUT);
}

/* --- SparseGPT --- */

static size_t zeros_of(const double *w, size_t count) {
    size_t zeros = 0;
    for (size_t i = 0; i < count; i++) {
        zeros += w[i] == 0;
    }
    return zeros;
}

/* The same algorithm in the words of the paper, for one row and one block: remove the weight, correct the
 * rest by the inverse of the moments of the inputs that are left (equation 3), each time inverted anew. */
static void prune_row_slowly(double *w, size_t n, const double *h, const uint8_t *keep) {
    for (size_t c = 0; c < n; c++) {
        double a[16 * 16], e[16] = {1};
        size_t m = n - c;
        if (keep[c]) {
            continue;
        }
        for (size_t i = 0; i < m; i++) {
            for (size_t j = 0; j < m; j++) {
                a[i * m + j] = h[(c + i) * n + c + j];
            }
        }
        matrix_solve(a, e, m); /* the first column of the inverse */
        double step = w[c] / e[0];
        for (size_t i = 0; i < m; i++) {
            w[c + i] -= step * e[i];
        }
        w[c] = 0;
    }
}

static void corrections_are_those_of_the_paper(void **state) {
    enum { N = 12, ROWS = 5 };
    static const struct prune_pattern p = {.shape = PRUNE_ANYWHERE, .ratio = 0.5};
    (void)state;
    for (uint32_t trial = 0; trial < 20; trial++) {
        double h[N * N], u[N * N], w[ROWS * N], slow[ROWS * N];
        uint32_t seed = trial;
        struct err err;
        matrix_moments(h, N, 60, &seed);
        matrix_fill(w, ROWS * N, &seed);
        memcpy(slow, w, sizeof(w));
        assert_int_equal(inverse_root(h, N, 0, u, &err), RC_OK);
        assert_int_equal(sparsegpt_prune(w, ROWS, N, u, &p, &err), RC_OK);
        assert_int_equal(zeros_of(w, ROWS * N), ROWS * N / 2);
        for (size_t r = 0; r < ROWS; r++) {
            uint8_t keep[N];
            for (size_t c = 0; c < N; c++) {
                keep[c] = w[r * N + c] != 0;
            }
            prune_row_slowly(slow + r * N, N, h, keep);
        }
        for (size_t i = 0; i < ROWS * N; i++) {
            assert_true(fabs(w[i] - slow[i]) < 1e-9);
        }
    }
}

static int ones(uint32_t x) {
    int n = 0;
    for (; x; x &= x - 1) {
        n++;
    }
    return n;
}

static bool allowed(uint32_t kept, size_t n, const struct prune_pattern *p) {
    if (p->shape == PRUNE_ANYWHERE) {
        return (size_t)ones(kept) == n - n / 2;
    }
    for (size_t i = 0; i < n; i += p->m) {
        if ((size_t)ones(kept >> i & ((1u << p->m) - 1)) != p->n) {
            return false;
        }
    }
    return true;
}

static double optimum(const double *w, size_t n, const double *h, const struct prune_pattern *p) {
    double best = INFINITY, values[16];
    for (uint32_t kept = 0; kept < 1u << n; kept++) {
        if (allowed(kept, n, p)) {
            best = fmin(best, matrix_best_row(w, n, h, kept, values));
        }
    }
    return best;
}

static void magnitude_prune(double *w, size_t n, const struct prune_pattern *p) {
    float scores[16];
    uint8_t keep[16];
    struct err err;
    for (size_t i = 0; i < n; i++) {
        scores[i] = (float)w[i];
    }
    assert_int_equal(prune_pattern_mask(p, scores, 1, n, keep, &err), RC_OK);
    for (size_t i = 0; i < n; i++) {
        w[i] = keep[i] ? w[i] : 0;
    }
}

/* Over many small layers: never better than the optimum, on average close to it, far from magnitude. */
static void compare_with_optimum(const struct prune_pattern *p, double refitted_most) {
    enum { N = 8, TRIALS = 60 };
    double sums[4] = {0}; /* optimum, SparseGPT, refitted, magnitude */
    for (uint32_t trial = 0; trial < TRIALS; trial++) {
        double h[N * N], u[N * N], w[N], pruned[N], fitted[N], plain[N], exact[N];
        uint32_t seed = trial + 100, kept = 0;
        struct err err;
        matrix_moments(h, N, 40, &seed);
        matrix_fill(w, N, &seed);
        memcpy(pruned, w, sizeof(w));
        memcpy(plain, w, sizeof(w));
        assert_int_equal(inverse_root(h, N, 0, u, &err), RC_OK);
        assert_int_equal(sparsegpt_prune(pruned, 1, N, u, p, &err), RC_OK);
        memcpy(fitted, pruned, sizeof(w));
        assert_int_equal(sparsegpt_refit(fitted, w, 1, N, h, 0, &err), RC_OK);
        magnitude_prune(plain, N, p);
        for (size_t i = 0; i < N; i++) {
            kept |= (uint32_t)(pruned[i] != 0) << i;
        }
        assert_true(allowed(kept, N, p));
        double least = matrix_best_row(w, N, h, kept, exact);
        for (size_t i = 0; i < N; i++) {
            assert_true(fabs(exact[i] - fitted[i]) < 1e-8);
        }
        double best = optimum(w, N, h, p);
        assert_true(least >= best - 1e-9);
        sums[0] += best;
        sums[1] += matrix_error(w, pruned, 1, N, h);
        sums[2] += matrix_error(w, fitted, 1, N, h);
        sums[3] += matrix_error(w, plain, 1, N, h);
    }
    print_message("error over the optimum: SparseGPT %.2f, refitted %.2f, magnitude %.2f\n",
                  sums[1] / sums[0], sums[2] / sums[0], sums[3] / sums[0]);
    assert_true(sums[2] <= sums[1]);
    assert_true(sums[2] <= refitted_most * sums[0]);
    assert_true(sums[3] >= 2 * sums[2]);
}

static void sparsegpt_comes_close_to_the_optimum(void **state) {
    static const struct prune_pattern half = {.shape = PRUNE_ANYWHERE, .ratio = 0.5},
                                      two_of_four = {.shape = PRUNE_N_OF_M, .n = 2, .m = 4};
    (void)state;
    compare_with_optimum(&half, 1.8);
    compare_with_optimum(&two_of_four, 1.8);
}

/* The other choice of zeros, refitted: the pattern holds, it is never better than the optimum, and on average
 * about as good as SparseGPT's. */
static void alternating_comes_close_to_the_optimum_too(void **state) {
    enum { N = 8, TRIALS = 60 };
    static const struct prune_pattern patterns[] = {{.shape = PRUNE_ANYWHERE, .ratio = 0.5},
                                                    {.shape = PRUNE_N_OF_M, .n = 2, .m = 4}};
    (void)state;
    for (size_t p = 0; p < 2; p++) {
        double sum = 0, best_sum = 0;
        for (uint32_t trial = 0; trial < TRIALS; trial++) {
            double h[N * N], w[N], pruned[N];
            uint32_t seed = trial + 100, kept = 0;
            struct err err;
            matrix_moments(h, N, 40, &seed);
            matrix_fill(w, N, &seed);
            memcpy(pruned, w, sizeof(w));
            assert_int_equal(prune_admm(pruned, 1, N, h, &patterns[p], &err), RC_OK);
            for (size_t i = 0; i < N; i++) {
                kept |= (uint32_t)(pruned[i] != 0) << i;
            }
            assert_true(allowed(kept, N, &patterns[p]));
            assert_int_equal(sparsegpt_refit(pruned, w, 1, N, h, 0, &err), RC_OK);
            double error = matrix_error(w, pruned, 1, N, h), best = optimum(w, N, h, &patterns[p]);
            assert_true(error >= best - 1e-9);
            sum += error;
            best_sum += best;
        }
        print_message("error over the optimum: %.2f\n", sum / best_sum);
        assert_true(sum <= 1.5 * best_sum);
    }
}

static void with_independent_inputs_it_finds_the_optimum(void **state) {
    enum { N = 10 };
    static const struct prune_pattern p = {.shape = PRUNE_ANYWHERE, .ratio = 0.5};
    (void)state;
    for (uint32_t trial = 0; trial < 20; trial++) {
        double h[N * N] = {0}, u[N * N], w[N], pruned[N];
        uint32_t seed = trial;
        struct err err;
        matrix_fill(w, N, &seed);
        for (size_t i = 0; i < N; i++) {
            h[i * N + i] = 1.5 + matrix_random(&seed);
        }
        memcpy(pruned, w, sizeof(w));
        assert_int_equal(inverse_root(h, N, 0, u, &err), RC_OK);
        assert_int_equal(sparsegpt_prune(pruned, 1, N, u, &p, &err), RC_OK);
        assert_true(fabs(matrix_error(w, pruned, 1, N, h) - optimum(w, N, h, &p)) < 1e-9);
    }
}

/* Sizes below, at and above a block of columns. */
static void every_size_keeps_its_pattern(void **state) {
    static const size_t columns[] = {1, 7, 8, 9, 15, 17, 128, 130, 264};
    (void)state;
    for (size_t s = 0; s < sizeof(columns) / sizeof(columns[0]); s++) {
        enum { ROWS = 8 };
        size_t n = columns[s];
        double *h = malloc(n * n * sizeof(*h)), *u = malloc(n * n * sizeof(*u)),
               *w = malloc(ROWS * n * sizeof(*w));
        uint32_t seed = (uint32_t)s;
        struct err err;
        const struct prune_pattern patterns[] = {
            {PRUNE_ANYWHERE, 0.5, 0, 0, 0}, {PRUNE_N_OF_M, 0, 2, 4, 0}, {PRUNE_BLOCKS, 0.5, 0, 0, 4}};
        matrix_moments(h, n, 2 * n, &seed);
        assert_int_equal(inverse_root(h, n, 0.01, u, &err), RC_OK);
        for (size_t p = 0; p < 3; p++) {
            matrix_fill(w, ROWS * n, &seed);
            if (!prune_pattern_fits(&patterns[p], ROWS, n)) {
                continue;
            }
            assert_int_equal(sparsegpt_prune(w, ROWS, n, u, &patterns[p], &err), RC_OK);
            size_t zeros = zeros_of(w, ROWS * n);
            assert_true(zeros <= ROWS * n / 2 && zeros + 16 * (n / 128 + 1) >= ROWS * n / 2);
            for (size_t g = 0; patterns[p].shape == PRUNE_N_OF_M && g < ROWS * n; g += 4) {
                assert_int_equal(zeros_of(w + g, 4), 2);
            }
            for (size_t i = 0; patterns[p].shape == PRUNE_BLOCKS && i < ROWS * n; i++) {
                size_t corner = i / n / 4 * 4 * n + i % n / 4 * 4;
                assert_int_equal(w[i] == 0, w[corner] == 0);
            }
        }
        free(h);
        free(u);
        free(w);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_least_scores_go_over_several_arrays),
        cmocka_unit_test(of_four_in_a_row_the_two_largest_stay),
        cmocka_unit_test(every_group_keeps_its_largest),
        cmocka_unit_test(tiles_go_as_wholes_the_weakest_first),
        cmocka_unit_test(scores_that_are_not_finite_are_refused),
        cmocka_unit_test(zeros_and_constants_give_the_exact_count),
        cmocka_unit_test(the_root_squared_times_the_moments_is_one),
        cmocka_unit_test(inputs_that_never_were_anything_do_no_harm),
        cmocka_unit_test(corrections_are_those_of_the_paper),
        cmocka_unit_test(sparsegpt_comes_close_to_the_optimum),
        cmocka_unit_test(alternating_comes_close_to_the_optimum_too),
        cmocka_unit_test(with_independent_inputs_it_finds_the_optimum),
        cmocka_unit_test(every_size_keeps_its_pattern),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
