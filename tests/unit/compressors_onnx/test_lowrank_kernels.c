/* The kernels of lowrank:svd against an independent decomposition, against every better-looking matrix of the
 * same rank, and the choice of ranks against trying them all. */
#include "compressors/onnx/paired_moments.h"
#include "compressors/onnx/pivot_rows.h"
#include "compressors/onnx/rank_budget.h"
#include "compressors/onnx/whitened_svd.h"
#include "tests/support/test.h"
#include "tests/unit/compressors_onnx/matrix_fixture.h"

static void product_of(const struct whitened_svd *s, size_t rank, double *out) {
    for (size_t r = 0; r < s->rows; r++) {
        for (size_t c = 0; c < s->columns; c++) {
            out[r * s->columns + c] = 0;
            for (size_t i = 0; i < rank; i++) {
                out[r * s->columns + c] += s->left[i * s->rows + r] * s->right[i * s->columns + c];
            }
        }
    }
}

/* h = L L^T by the schoolbook. */
static void cholesky(const double *h, size_t n, double *l) {
    memset(l, 0, n * n * sizeof(*l));
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j <= i; j++) {
            double sum = h[i * n + j];
            for (size_t k = 0; k < j; k++) {
                sum -= l[i * n + k] * l[j * n + k];
            }
            l[i * n + j] = i == j ? sqrt(sum) : sum / l[j * n + j];
        }
    }
}

static int falling(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x > y ? -1 : x < y;
}

/* Squared singular values of a [rows, n] by one-sided Jacobi rotations of its columns (Hestenes 1958). */
static void jacobi(double *a, size_t rows, size_t n, double *squares) {
    for (int sweep = 0; sweep < 60; sweep++) {
        for (size_t p = 0; p < n; p++) {
            for (size_t q = p + 1; q < n; q++) {
                double pp = 0, qq = 0, pq = 0;
                for (size_t r = 0; r < rows; r++) {
                    pp += a[r * n + p] * a[r * n + p];
                    qq += a[r * n + q] * a[r * n + q];
                    pq += a[r * n + p] * a[r * n + q];
                }
                if (fabs(pq) < 1e-300) {
                    continue;
                }
                double z = (qq - pp) / (2 * pq), t = (z >= 0 ? 1 : -1) / (fabs(z) + sqrt(1 + z * z));
                double c = 1 / sqrt(1 + t * t), s = c * t;
                for (size_t r = 0; r < rows; r++) {
                    double x = a[r * n + p], y = a[r * n + q];
                    a[r * n + p] = c * x - s * y;
                    a[r * n + q] = s * x + c * y;
                }
            }
        }
    }
    for (size_t p = 0; p < n; p++) {
        squares[p] = 0;
        for (size_t r = 0; r < rows; r++) {
            squares[p] += a[r * n + p] * a[r * n + p];
        }
    }
    qsort(squares, n, sizeof(*squares), falling);
}

static void the_loss_is_what_the_singular_values_say(void **state) {
    static const size_t shapes[][2] = {{1, 1}, {1, 7}, {7, 1}, {7, 8}, {8, 7}, {9, 15}, {15, 9}, {17, 17}};
    (void)state;
    for (size_t t = 0; t < sizeof(shapes) / sizeof(shapes[0]); t++) {
        size_t rows = shapes[t][0], n = shapes[t][1];
        double h[17 * 17], w[17 * 17], l[17 * 17], wl[17 * 17] = {0}, squares[17], low[17 * 17];
        uint32_t seed = (uint32_t)t;
        struct whitened_svd s;
        struct err err;
        matrix_moments(h, n, 5 * n, &seed);
        matrix_fill(w, rows * n, &seed);
        cholesky(h, n, l);
        for (size_t r = 0; r < rows; r++) {
            for (size_t c = 0; c < n; c++) {
                for (size_t k = 0; k < n; k++) {
                    wl[r * n + c] += w[r * n + k] * l[k * n + c];
                }
            }
        }
        jacobi(wl, rows, n, squares);
        assert_int_equal(whitened_svd_make(w, rows, n, h, 0, &s, &err), RC_OK);
        for (size_t rank = 0; rank <= s.rank; rank++) {
            double rest = 0, scale = squares[0];
            for (size_t i = rank; i < s.rank; i++) {
                rest += squares[i];
            }
            product_of(&s, rank, low);
            assert_true(fabs(matrix_error(w, low, rows, n, h) - rest) < 1e-7 * scale);
            assert_true(rank == s.rank || fabs(s.energies[rank] - squares[rank]) < 1e-7 * scale);
        }
        whitened_svd_release(&s);
    }
}

/* Alternating least squares from many random starts: the best of them is no better. */
static double best_of_rank_one(const double *w, size_t rows, size_t n, const double *h, uint32_t *seed) {
    double best = INFINITY;
    for (int start = 0; start < 40; start++) {
        double a[8], b[8], hb[8], low[64];
        matrix_fill(b, n, seed);
        for (int step = 0; step < 300; step++) {
            double bhb = 0, aa = 0;
            for (size_t i = 0; i < n; i++) {
                hb[i] = 0;
                for (size_t j = 0; j < n; j++) {
                    hb[i] += h[i * n + j] * b[j];
                }
                bhb += b[i] * hb[i];
            }
            for (size_t r = 0; r < rows; r++) {
                a[r] = 0;
                for (size_t i = 0; i < n; i++) {
                    a[r] += w[r * n + i] * hb[i] / bhb;
                }
                aa += a[r] * a[r];
            }
            for (size_t i = 0; i < n; i++) {
                b[i] = 0;
                for (size_t r = 0; r < rows; r++) {
                    b[i] += a[r] * w[r * n + i] / aa;
                }
            }
        }
        for (size_t i = 0; i < rows * n; i++) {
            low[i] = a[i / n] * b[i % n];
        }
        best = fmin(best, matrix_error(w, low, rows, n, h));
    }
    return best;
}

static void no_search_finds_a_better_matrix_of_rank_one(void **state) {
    (void)state;
    for (uint32_t trial = 0; trial < 10; trial++) {
        double h[64], w[64], low[64];
        uint32_t seed = trial;
        struct whitened_svd s;
        struct err err;
        matrix_moments(h, 8, 30, &seed);
        matrix_fill(w, 5 * 8, &seed);
        assert_int_equal(whitened_svd_make(w, 5, 8, h, 0, &s, &err), RC_OK);
        product_of(&s, 1, low);
        double own = matrix_error(w, low, 5, 8, h), best = best_of_rank_one(w, 5, 8, h, &seed);
        assert_true(own <= best * (1 + 1e-9));
        assert_true(own >= best * (1 - 1e-4));
        whitened_svd_release(&s);
    }
}

static void degenerate_inputs_and_zeros_stay_finite(void **state) {
    double h[9] = {1, 0, 1, 0, 0, 0, 1, 0, 1}, w[12] = {0}, low[12];
    (void)state;
    for (int filled = 0; filled < 2; filled++) {
        struct whitened_svd s;
        struct err err;
        for (size_t i = 0; i < 12 && filled; i++) {
            w[i] = (double)i - 5;
        }
        assert_int_equal(whitened_svd_make(w, 4, 3, h, 1e-6, &s, &err), RC_OK);
        product_of(&s, s.rank, low);
        for (size_t i = 0; i < 12; i++) {
            assert_true(isfinite(low[i]));
        }
        assert_true(matrix_error(w, low, 4, 3, h) < 1e-6);
        whitened_svd_release(&s);
    }
    struct whitened_svd s;
    struct err err;
    h[4] = NAN;
    assert_int_equal(whitened_svd_make(w, 4, 3, h, 1e-6, &s, &err), RC_INPUT);
}

/* --- ranks --- */

static void a_rank_is_kept_only_where_it_is_fewer_operations(void **state) {
    (void)state;
    for (size_t d = 1; d < 40; d++) {
        for (size_t k = 1; k < 40; k++) {
            size_t most = rank_budget_most(d, k, RANK_PAIR);
            assert_true(most == 0 || d * k > most * (d + k));
            assert_true(d * k <= (most + 1) * (d + k));
        }
    }
    const double energies[] = {8, 1, 1, 1, 1, 1, 1, 1};
    const struct rank_layer l = {8, 8, 1, energies, 1, RANK_PAIR};
    assert_int_equal(rank_budget_by_energy(&l, 0.5), 1);
    assert_int_equal(rank_budget_by_energy(&l, 0.65), 3);
    assert_int_equal(rank_budget_by_energy(&l, 0.75), RANK_FULL); /* 4 of 8 are as many operations */
    assert_int_equal(rank_budget_by_ratio(&l, 0.75), 3);
    assert_int_equal(rank_budget_by_ratio(&l, 0.01), 1);
}

static void some_rows_and_sums_of_them_are_fewer_operations_at_any_rank(void **state) {
    (void)state;
    for (size_t d = 1; d < 40; d++) {
        for (size_t k = 1; k < 40; k++) {
            size_t most = rank_budget_most(d, k, RANK_PIVOT);
            const struct rank_layer l = {d, k, 1, NULL, 1, RANK_PIVOT};
            assert_int_equal(most, (d < k ? d : k) - 1);
            assert_true(rank_budget_parameters(&l, (long)most) < (double)(d * k) || most == 0);
            for (int percent = 5; percent < 100; percent += 5) {
                double kept = percent / 100.0 * (double)(d * k);
                long rank = rank_budget_by_ratio(&l, percent / 100.0), next = rank + 1;
                if (rank == RANK_FULL) {
                    assert_true(most == 0 || rank_budget_parameters(&l, (long)most) <= kept);
                    continue;
                }
                assert_true(rank == 1 || rank_budget_parameters(&l, rank) <= kept + 1e-9);
                assert_true(rank_budget_parameters(&l, next) > kept - 1e-9);
            }
        }
    }
}

enum { LAYERS = 3, SIDE_MOST = 7 };

/* The least loss of all choices of ranks that fit. */
static double optimum(const struct rank_layer *layers, double budget) {
    double best = INFINITY;
    for (long a = RANK_FULL; a < SIDE_MOST; a++) {
        for (long b = RANK_FULL; b < SIDE_MOST; b++) {
            for (long c = RANK_FULL; c < SIDE_MOST; c++) {
                const long ranks[LAYERS] = {a, b, c};
                double parameters = 0, loss = 0;
                bool valid = a != 0 && b != 0 && c != 0;
                for (size_t i = 0; i < LAYERS && valid; i++) {
                    valid =
                        ranks[i] <= (long)rank_budget_most(layers[i].rows, layers[i].columns, layers[i].form);
                    parameters += valid ? rank_budget_parameters(&layers[i], ranks[i]) : 0;
                    loss += valid ? rank_budget_loss(&layers[i], ranks[i]) : 0;
                }
                best = valid && parameters <= budget ? fmin(best, loss) : best;
            }
        }
    }
    return best;
}

static void a_budget_is_kept_and_spent_nearly_as_well_as_can_be(void **state) {
    double sum = 0, best = 0;
    size_t exact = 0;
    enum { TRIALS = 200 };
    (void)state;
    for (uint32_t trial = 0; trial < TRIALS; trial++) {
        double energies[LAYERS][SIDE_MOST], whole = 0, used = 0, loss = 0, ratio = 0.6 + 0.002 * trial;
        struct rank_layer layers[LAYERS];
        uint32_t seed = trial;
        long ranks[LAYERS];
        struct err err;
        for (size_t i = 0; i < LAYERS; i++) {
            for (size_t k = 0; k < SIDE_MOST; k++) {
                energies[i][k] = fabs(matrix_random(&seed)) * pow(0.6, (double)k);
            }
            qsort(energies[i], SIDE_MOST, sizeof(double), falling);
            layers[i] = (struct rank_layer){SIDE_MOST,   SIDE_MOST,     1 + i % 2,
                                            energies[i], 1 + (double)i, trial % 2 ? RANK_PIVOT : RANK_PAIR};
            whole += rank_budget_parameters(&layers[i], RANK_FULL);
        }
        assert_int_equal(rank_budget_choose(layers, LAYERS, ratio, ranks, &err), RC_OK);
        for (size_t i = 0; i < LAYERS; i++) {
            used += rank_budget_parameters(&layers[i], ranks[i]);
            loss += rank_budget_loss(&layers[i], ranks[i]);
        }
        double least = optimum(layers, ratio * whole);
        assert_true(used <= ratio * whole);
        assert_true(loss >= least - 1e-12);
        exact += loss <= least + 1e-12;
        sum += loss;
        best += least;
    }
    print_message("loss over the optimum %.3f, the optimum itself %zu times of %d\n", sum / best, exact,
                  TRIALS);
    assert_true(sum <= 1.25 * best);
    assert_true(exact >= TRIALS / 3);
}

static void a_budget_below_rank_one_is_refused(void **state) {
    const double energies[] = {1, 1, 1, 1};
    const struct rank_layer l = {4, 4, 1, energies, 1, RANK_PAIR};
    long rank;
    struct err err;
    (void)state;
    assert_int_equal(rank_budget_choose(&l, 1, 0.2, &rank, &err), RC_INPUT);
}

/* --- some rows for all --- */

/* What order, the rows that stand for themselves and rest say the matrix is, against left right. */
static double largest_difference(const double *left, const double *right, size_t rows, size_t rank,
                                 size_t columns, const size_t *order, const double *rest) {
    double most = 0;
    for (size_t c = 0; c < columns; c++) {
        double *w = calloc(rows, sizeof(*w));
        for (size_t r = 0; r < rows; r++) {
            for (size_t i = 0; i < rank; i++) {
                w[r] += left[i * rows + r] * right[i * columns + c];
            }
        }
        for (size_t r = rank; r < rows; r++) {
            double sum = 0;
            for (size_t i = 0; i < rank; i++) {
                sum += rest[(r - rank) * rank + i] * w[order[i]];
            }
            most = fmax(most, fabs(sum - w[order[r]]));
        }
        free(w);
    }
    return most;
}

static void the_rows_kept_give_the_others(void **state) {
    enum { ROWS = 12, COLUMNS = 9 };
    (void)state;
    for (size_t rank = 1; rank < COLUMNS; rank++) {
        for (int hard = 0; hard < 3; hard++) {
            double left[COLUMNS * ROWS], right[COLUMNS * COLUMNS], rest[ROWS * COLUMNS];
            size_t order[ROWS], seen[ROWS] = {0};
            uint32_t seed = (uint32_t)rank;
            bool ordered;
            struct err err;
            matrix_fill(left, rank * ROWS, &seed);
            matrix_fill(right, rank * COLUMNS, &seed);
            for (size_t i = 0; i < rank && hard > 0; i++) {
                left[i * ROWS] = 0; /* the first row is zero: it cannot stand for others */
                left[i * ROWS + 2] = left[i * ROWS + 1]; /* and two are the same */
            }
            for (size_t r = 0; r < ROWS && hard == 2; r++) {
                left[(rank - 1) * ROWS + r] = 0; /* the rank is less than said */
            }
            assert_int_equal(pivot_rows_choose(left, ROWS, rank, order, rest, &ordered, &err), RC_OK);
            for (size_t r = 0; r < ROWS; r++) {
                assert_true(order[r] < ROWS && seen[order[r]]++ == 0);
                assert_true(!ordered || order[r] == r);
            }
            assert_true(hard == 0 || !ordered);
            assert_true(largest_difference(left, right, ROWS, rank, COLUMNS, order, rest) < 1e-9);
        }
    }
}

static void factors_that_are_not_finite_have_no_rows(void **state) {
    double left[6] = {1, NAN, 2, 3, 4, 5}, rest[2];
    size_t order[3];
    bool ordered;
    struct err err;
    (void)state;
    assert_int_equal(pivot_rows_choose(left, 3, 2, order, rest, &ordered, &err), RC_INPUT);
}

/* --- catching up --- */

/* Rows x of the original and y of the changed model: the target is the least-squares solution of w x = v y.
 */
static void the_target_makes_up_for_changed_inputs(void **state) {
    enum { N = 6, ROWS = 40 };
    double now[N * N] = {0}, cross[N * N] = {0}, w[N], v[N], a[N * N], b[N] = {0};
    uint32_t seed = 3;
    struct err err;
    (void)state;
    matrix_fill(w, N, &seed);
    for (size_t r = 0; r < ROWS; r++) {
        double x[N], y[N];
        matrix_fill(x, N, &seed);
        for (size_t i = 0; i < N; i++) {
            y[i] = x[i] + 0.3 * x[(i + 1) % N] + 0.1 * matrix_random(&seed);
        }
        for (size_t i = 0; i < N; i++) {
            for (size_t j = 0; j < N; j++) {
                now[i * N + j] += y[i] * y[j];
                cross[i * N + j] += x[i] * y[j];
            }
        }
    }
    memcpy(a, now, sizeof(a));
    for (size_t j = 0; j < N; j++) {
        for (size_t i = 0; i < N; i++) {
            b[j] += w[i] * cross[i * N + j];
        }
    }
    matrix_solve(a, b, N);
    assert_int_equal(paired_moments_target(w, 1, N, now, cross, NULL, 0, v, &err), RC_OK);
    for (size_t i = 0; i < N; i++) {
        assert_true(fabs(v[i] - b[i]) < 1e-9);
    }
    assert_int_equal(paired_moments_target(w, 1, N, now, now, NULL, 0.01, v, &err), RC_OK);
    assert_memory_equal(v, w, sizeof(v));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_loss_is_what_the_singular_values_say),
        cmocka_unit_test(no_search_finds_a_better_matrix_of_rank_one),
        cmocka_unit_test(degenerate_inputs_and_zeros_stay_finite),
        cmocka_unit_test(a_rank_is_kept_only_where_it_is_fewer_operations),
        cmocka_unit_test(some_rows_and_sums_of_them_are_fewer_operations_at_any_rank),
        cmocka_unit_test(the_rows_kept_give_the_others),
        cmocka_unit_test(factors_that_are_not_finite_have_no_rows),
        cmocka_unit_test(a_budget_is_kept_and_spent_nearly_as_well_as_can_be),
        cmocka_unit_test(a_budget_below_rank_one_is_refused),
        cmocka_unit_test(the_target_makes_up_for_changed_inputs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
