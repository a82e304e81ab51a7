/* The cut between the least scores and the others against a sort, for few scores and for many, where a sample
 * is taken: with ties, constants, and scores of which the sample tells nothing. */
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "compressors/onnx/prune_loops.h"
#include "compressors/onnx/prune_select.h"
#include "tests/unit/compressors_onnx/int8_fixture.h"

static const size_t sizes[] = {1, 7, 8, 9, 15, 17, 1023};
enum { SIZES = 7, MANY = (1 << 20) + 77, TIED = 1000 };

/* How the scores lie. FILL_FRONT: nearly all are 0 but the first. FILL_TIES: only some values. */
enum fill {
    FILL_NOISE,
    FILL_ZEROS,
    FILL_CONSTANT,
    FILL_DENORMAL,
    FILL_TIES,
    FILL_HALF_ZERO,
    FILL_FRONT,
    FILLS
};

static void fill(float *x, size_t n, enum fill kind) {
    uint32_t seed = (uint32_t)n + 1;
    for (size_t i = 0; i < n; i++) {
        float noisy = noise(&seed) + noise(&seed) / 8192;
        x[i] = kind == FILL_NOISE       ? noisy
               : kind == FILL_CONSTANT  ? -0.5F
               : kind == FILL_DENORMAL  ? noisy * 1e-39F
               : kind == FILL_TIES      ? floorf(noisy * 5)
               : kind == FILL_HALF_ZERO ? (noise_next(&seed) & 1 ? noisy : -0.0F)
               : kind == FILL_FRONT     ? (i < n / TIED ? noisy : 0)
                                        : 0;
    }
}

static int by_bits(const void *a, const void *b) {
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return x < y ? -1 : x > y;
}

static void sort(const float *x, size_t n, int32_t *sorted) {
    for (size_t i = 0; i < n; i++) {
        sorted[i] = vector_magnitude(x[i]);
    }
    qsort(sorted, n, sizeof(*sorted), by_bits);
}

/* expected[i] = 0 for the k least, of equal ones the first. */
static void keep_by_sorting(const float *x, const int32_t *sorted, size_t n, size_t k, uint8_t *expected) {
    int32_t last = k > 0 ? sorted[k - 1] : -1;
    size_t equal = 0;
    for (size_t i = 0; i < k; i++) {
        equal += sorted[i] == last;
    }
    for (size_t i = 0; i < n; i++) {
        int32_t m = vector_magnitude(x[i]);
        bool goes = m < last || (m == last && equal > 0);
        equal -= m == last && goes;
        expected[i] = !goes;
    }
}

/* As marks, over three spans, and in place. */
static void compare(const float *x, const int32_t *sorted, size_t n, size_t k) {
    uint8_t *expected = malloc(n), *keep = malloc(n);
    float *w = malloc(n * sizeof(*w)), *wanted = malloc(n * sizeof(*wanted));
    size_t zeros = 0, cut_at = n / 3;
    struct prune_cut cut, again;
    struct err err;
    keep_by_sorting(x, sorted, n, k, expected);
    const struct prune_span parts[] = {
        {x, cut_at, keep}, {x, 0, keep}, {x + cut_at, n - cut_at, keep + cut_at}};
    assert_int_equal(prune_select(parts, 3, k, &cut, &err), RC_OK);
    again = cut;
    for (size_t s = 0; s < 3; s++) {
        prune_cut_mark(&cut, parts[s].scores, parts[s].count, parts[s].keep);
    }
    assert_int_equal(cut.equal, 0);
    assert_memory_equal(keep, expected, n);
    memcpy(w, x, n * sizeof(*w));
    size_t reported = prune_cut_clear(&again, w, n, w);
    for (size_t i = 0; i < n; i++) {
        wanted[i] = expected[i] ? x[i] : 0;
        zeros += wanted[i] == 0;
    }
    assert_memory_equal(w, wanted, n * sizeof(*w));
    assert_int_equal(reported, zeros);
    free(expected);
    free(keep);
    free(w);
    free(wanted);
}

static void few_scores_are_cut_where_a_sort_cuts(void **state) {
    (void)state;
    for (size_t s = 0; s < SIZES; s++) {
        for (int kind = 0; kind < FILLS; kind++) {
            float x[1023];
            int32_t sorted[1023];
            fill(x, sizes[s], (enum fill)kind);
            sort(x, sizes[s], sorted);
            for (size_t k = 0; k <= sizes[s]; k += 1 + sizes[s] / 10) {
                compare(x, sorted, sizes[s], k);
            }
            compare(x, sorted, sizes[s], sizes[s]);
        }
    }
}

static void many_scores_are_cut_where_a_sort_cuts(void **state) {
    static const double ratios[] = {0, 1e-6, 0.003, 0.5, 0.9995, 1};
    float *x = malloc(MANY * sizeof(*x));
    int32_t *sorted = malloc(MANY * sizeof(*sorted));
    (void)state;
    for (int kind = 0; kind < FILLS; kind++) {
        fill(x, MANY, (enum fill)kind);
        sort(x, MANY, sorted);
        for (size_t r = kind == FILL_NOISE ? 0 : 3; r < (kind == FILL_NOISE ? 6 : 5); r++) {
            compare(x, sorted, MANY, (size_t)(MANY * ratios[r]));
        }
    }
    free(x);
    free(sorted);
}

static void what_is_not_finite_is_refused_with_its_place(void **state) {
    static const float bad[] = {NAN, -NAN, INFINITY, -INFINITY};
    static const size_t counts[] = {9, MANY};
    float *x = malloc(MANY * sizeof(*x));
    (void)state;
    for (size_t k = 0; k < 8; k++) {
        size_t n = counts[k / 4];
        const struct prune_span all = {x, n, NULL};
        struct prune_cut cut;
        struct err err;
        char place[32];
        fill(x, n, FILL_NOISE);
        x[n - 2] = bad[k % 4];
        snprintf(place, sizeof(place), "element %zu ", n - 2);
        assert_int_equal(prune_select(&all, 1, n / 2, &cut, &err), RC_INPUT);
        assert_non_null(strstr(err.text, place));
        assert_int_equal(prune_select(&all, 1, 0, &cut, &err), RC_INPUT);
        assert_int_equal(prune_check_finite(x, n, &err), RC_INPUT);
        assert_non_null(strstr(err.text, place));
        x[n - 2] = FLT_MAX;
        assert_int_equal(prune_check_finite(x, n, &err), RC_OK);
        for (size_t i = 0; i < n; i++) {
            x[i] = bad[k % 4];
        }
        assert_int_equal(prune_select(&all, 1, n / 2, &cut, &err), RC_INPUT);
        assert_non_null(strstr(err.text, "element 0 "));
    }
    free(x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_scores_are_cut_where_a_sort_cuts),
        cmocka_unit_test(many_scores_are_cut_where_a_sort_cuts),
        cmocka_unit_test(what_is_not_finite_is_refused_with_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
