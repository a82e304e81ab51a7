/* Channels in another order: any order leaves a random graph what it was, and the order that is looked for
 * makes n:m take less. */
#include "compressors/onnx/channel_permute.h"

#include "compressors/onnx/channel_reorder.h"
#include "compressors/onnx/prune_permute.h"
#include "core/base/container.h"
#include "tests/unit/compressors_onnx/channel_fixture.h"
#include "tests/unit/compressors_onnx/matrix_fixture.h"
#include "tests/unit/compressors_onnx/random_make.h"

enum { GRAPHS = 300 };
static const double random_rounding = 2e-4; /* as of channel_random.h */

/* --- any order --- */

static void shuffle(const struct channel_family *f, uint32_t *order, uint32_t *seed) {
    for (uint32_t i = 0; i < f->count; i++) {
        order[f->first + i] = f->first + i;
    }
    for (uint32_t i = f->count - 1; i > 0; i--) {
        uint32_t k = noise_next(seed) % (i + 1), was = order[f->first + i];
        order[f->first + i] = order[f->first + k];
        order[f->first + k] = was;
    }
}

/* Whether the graph has channels that can be put into another order only. */
static size_t reorder_one(uint32_t seed) {
    struct random_graph r;
    struct channel_scene s;
    struct err err = {0};
    random_make(&r, seed, RANDOM_INPUT_ANY);
    struct graph *g = builder_graph(&r.b);
    builder_free(&r.b);
    scene_open_for(&s, g, CHANNEL_TO_ORDER);
    struct model_bytes before = scene_pack(&s);
    uint32_t *order = malloc((s.groups->unit_count + 1) * sizeof(*order)), state = seed + 1;
    size_t units = s.groups->unit_count;
    double error = 0;
    for (size_t i = 0; i < s.groups->family_count; i++) {
        shuffle(&s.groups->families[i], order, &state);
    }
    assert_int_equal(channel_reorder(g, s.groups, order, &err), RC_OK);
    struct model_bytes after = scene_pack(&s);
    if (model_compare(&before, &after, NULL, 4, &error, &err) != RC_OK || error > random_rounding) {
        fail_msg("seed %u: another order of channels changes the outputs by %g %s", seed, error, err.text);
    }
    free((char *)before.data);
    free((char *)after.data);
    free(order);
    scene_close(&s);
    return units;
}

static void any_order_of_channels_leaves_a_graph_what_it_was(void **state) {
    size_t units = 0;
    (void)state;
    for (uint32_t seed = 0; seed < GRAPHS; seed++) {
        units += reorder_one(seed);
    }
    print_message("%zu units in another order over %d graphs\n", units, GRAPHS);
    assert_true(units > (size_t)4 * GRAPHS);
}

/* --- a good order --- */

static void assert_near(double a, double b, double apart) {
    assert_true(fabs(a - b) <= apart);
}

static double taken_by(const float *loss, size_t rows, size_t columns, const uint32_t *order) {
    double sum = 0;
    for (size_t r = 0; r < rows; r++) {
        for (size_t first = 0; first < columns; first += 4) {
            double of[4], least = INFINITY, all = 0;
            for (size_t i = 0; i < 4; i++) {
                all += of[i] = loss[order[first + i] * rows + r];
            }
            for (size_t i = 0; i < 4; i++) {
                for (size_t k = 0; k < i; k++) {
                    least = fmin(least, of[i] + of[k]);
                }
            }
            sum += least;
            assert_true(all >= least);
        }
    }
    return sum;
}

/* Heavy columns lie beside each other, so that half of them would go: spread, all stay. */
static void columns_that_matter_are_spread(void **state) {
    static const size_t sizes[] = {1, 7, 63, 64, 65, 200};
    enum { COLUMNS = 16, ROWS = 200 };
    (void)state;
    for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
        float loss[COLUMNS * ROWS];
        uint32_t order[COLUMNS], seen = 0, same[COLUMNS];
        double before, after;
        struct err err;
        for (size_t c = 0; c < COLUMNS; c++) {
            same[c] = (uint32_t)c;
            for (size_t r = 0; r < sizes[s]; r++) {
                loss[c * sizes[s] + r] = c < COLUMNS / 2 ? 10 : 1;
            }
        }
        assert_int_equal(
            prune_permute(loss, sizes[s], COLUMNS, 2, 4, UINT64_MAX, order, &before, &after, &err), RC_OK);
        for (size_t c = 0; c < COLUMNS; c++) {
            seen |= 1U << order[c];
        }
        assert_int_equal(seen, (1U << COLUMNS) - 1);
        assert_near(before, taken_by(loss, sizes[s], COLUMNS, same), 1e-3);
        assert_near(after, (double)sizes[s] * COLUMNS / 2, 1e-3);
        assert_near(after, taken_by(loss, sizes[s], COLUMNS, order), 1e-3);
    }
}

/* Of eight columns all 35 divisions into two groups are tried. */
static double best_of_eight(const float *loss, size_t rows) {
    double best = INFINITY;
    for (unsigned set = 0; set < 256; set++) {
        uint32_t order[8];
        size_t in = 0, out = 4;
        if (__builtin_popcount(set) == 4) {
            for (uint32_t c = 0; c < 8; c++) {
                order[set >> c & 1 ? in++ : out++] = c;
            }
            best = fmin(best, taken_by(loss, rows, 8, order));
        }
    }
    return best;
}

static void swaps_come_near_the_best_order_there_is(void **state) {
    enum { ROWS = 12, TRIALS = 50 };
    double found = 0, best = 0, as_was = 0;
    uint32_t seed = 5;
    (void)state;
    for (int trial = 0; trial < TRIALS; trial++) {
        float loss[8 * ROWS];
        uint32_t order[8];
        double before, after;
        struct err err;
        for (size_t i = 0; i < 8 * (size_t)ROWS; i++) {
            double x = matrix_random(&seed);
            loss[i] = (float)(x * x);
        }
        assert_int_equal(prune_permute(loss, ROWS, 8, 2, 4, UINT64_MAX, order, &before, &after, &err), RC_OK);
        assert_near(after, taken_by(loss, ROWS, 8, order), 1e-4);
        double least = best_of_eight(loss, ROWS);
        assert_true(after <= before + 1e-6 && after >= least - 1e-4);
        as_was += before;
        found += after;
        best += least;
    }
    print_message("taken: %.3f as it was, %.3f found, %.3f at best\n", as_was, found, best);
    assert_true(found - best < 0.1 * (as_was - best));
}

static void no_work_leaves_the_order(void **state) {
    float loss[16] = {9, 9, 9, 9, 9, 9, 9, 9, 1, 1, 1, 1, 1, 1, 1, 1};
    uint32_t order[16];
    double before, after;
    struct err err;
    (void)state;
    assert_int_equal(prune_permute(loss, 1, 16, 2, 4, 0, order, &before, &after, &err), RC_OK);
    assert_true(before == after);
    for (uint32_t i = 0; i < 16; i++) {
        assert_int_equal(order[i], i);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_order_of_channels_leaves_a_graph_what_it_was),
        cmocka_unit_test(columns_that_matter_are_spread),
        cmocka_unit_test(swaps_come_near_the_best_order_there_is),
        cmocka_unit_test(no_work_leaves_the_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
