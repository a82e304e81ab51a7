/* lowrank:svd on whole models: what the two layers compute, that other steps can follow, what is refused. */
#include "compressors/onnx/int8_static.h"
#include "compressors/onnx/lowrank_svd.h"
#include "compressors/onnx/weight_only.h"
#include "tests/unit/compressors_onnx/layers_fixture.h"

/* The layer's weights become the product of two thin matrices, so that nothing is lost at that rank. */
static void make_low_rank(struct graph *g, size_t rows, size_t columns, size_t rank, bool by_row) {
    Onnx__TensorProto *t = graph_find(g, "w")->initializer;
    size_t count = rows * columns;
    float *left = malloc(rows * rank * sizeof(float)), *right = malloc(rank * columns * sizeof(float));
    float *w = calloc(count, sizeof(float));
    struct err err;
    noise_fill(left, rows * rank, 21, 0.5F);
    noise_fill(right, rank * columns, 22, 0.5F);
    for (size_t i = 0; i < count; i++) {
        size_t r = by_row ? i / columns : i % rows, c = by_row ? i % columns : i / rows;
        for (size_t k = 0; k < rank; k++) {
            w[i] += left[r * rank + k] * right[k * columns + c];
        }
    }
    assert_int_equal(
        graph_set_tensor(g, t, GRAPH_FLOAT32, t->dims, t->n_dims, w, count * sizeof(float), &err), RC_OK);
    free(left);
    free(right);
    free(w);
}

static size_t columns_of(enum layer_kind kind) {
    return kind >= LAYER_MATMUL ? LAYER_CHANNELS * 4 : (size_t)LAYER_CHANNELS * 9;
}

/* Error of the outputs after `recipe` by `technique`, on weights of rank `rank` (0: as they are). */
static double error_after(struct onnxruntime *r, enum layer_kind kind, const char *recipe, size_t rank) {
    struct layers_scene s;
    layers_open(&s, kind);
    if (rank) {
        make_low_rank(s.g, LAYER_OUTPUTS, columns_of(kind), rank, kind != LAYER_MATMUL);
    }
    float *before = layers_run(r, s.g, s.d, kind);
    layers_apply(&s, lowrank_svd_compress, recipe, 2);
    assert_int_equal(s.record.changed.count, 1);
    assert_true(record_says(&s.record.changed, "w", "became"));
    assert_null(graph_find(s.g, "w")->initializer);
    float *after = layers_run(r, s.g, s.d, kind);
    double error = layers_error(before, after, layers_outputs(kind, IMAGES));
    free(before);
    free(after);
    layers_close(&s);
    return error;
}

static const enum layer_kind kinds[] = {LAYER_CONV, LAYER_STRIDED_CONV, LAYER_MATMUL, LAYER_GEMM};

static void layers_that_are_of_low_rank_lose_nothing(void **state) {
    for (size_t k = 0; k < 4; k++) {
        assert_true(error_after(*state, kinds[k], "lowrank:svd,ratio=0.75", 6) < 1e-9);
    }
}

static void the_loss_falls_with_the_ratio(void **state) {
    for (size_t k = 0; k < 4; k++) {
        double half = error_after(*state, kinds[k], "lowrank:svd,ratio=0.5", 0);
        double most = error_after(*state, kinds[k], "lowrank:svd,ratio=0.9", 0);
        print_message("kind %d: error at half the parameters %.4f, at 0.9 %.4f\n", (int)kinds[k], half, most);
        assert_true(most < 0.8 * half);
        assert_true(half < 0.3);
    }
}

/* A MatMul whose first output is nothing: other outputs stand for the rest, and Gather puts them in order. */
static void outputs_that_cannot_stand_for_others_are_passed_over(void **state) {
    enum { RANK = 6 };
    struct layers_scene s;
    struct err err = {0};
    float *values;
    size_t count;
    layers_open(&s, LAYER_MATMUL);
    make_low_rank(s.g, LAYER_OUTPUTS, columns_of(LAYER_MATMUL), RANK, false);
    Onnx__TensorProto *t = graph_find(s.g, "w")->initializer;
    assert_int_equal(graph_tensor_floats(s.g, t, &values, &count, &err), RC_OK);
    for (size_t i = 0; i < count; i += LAYER_OUTPUTS) {
        values[i] = 0;
    }
    assert_int_equal(
        graph_set_tensor(s.g, t, GRAPH_FLOAT32, t->dims, t->n_dims, values, count * sizeof(float), &err),
        RC_OK);
    free(values);
    float *before = layers_run(*state, s.g, s.d, LAYER_MATMUL);
    layers_apply(&s, lowrank_svd_compress, "lowrank:svd,ratio=0.5", 2);
    assert_int_equal(count_ops(s.g, "Concat"), 1);
    assert_int_equal(count_ops(s.g, "Gather"), 1);
    float *after = layers_run(*state, s.g, s.d, LAYER_MATMUL);
    assert_true(layers_error(before, after, layers_outputs(LAYER_MATMUL, IMAGES)) < 1e-9);
    free(before);
    free(after);
    layers_close(&s);
}

static void a_pivot_loses_less_than_a_pair_of_as_many_parameters(void **state) {
    double pair = error_after(*state, LAYER_MATMUL, "lowrank:svd,ratio=0.75,form=pair", 0);
    double pivot = error_after(*state, LAYER_MATMUL, "lowrank:svd,ratio=0.75", 0);
    print_message("three quarters of the parameters: error of a pair %.4f, of a pivot %.4f\n", pair, pivot);
    assert_true(pivot < 0.8 * pair);
}

static void the_head_stays_whole_unless_asked(void **state) {
    static const char *const recipes[] = {"lowrank:svd,ratio=0.5", "lowrank:svd,ratio=0.5,head=factor"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct layers_scene s;
        layers_open_graph(&s, layers_two_products(&s.b));
        layers_apply(&s, lowrank_svd_compress, recipes[i], 2);
        assert_true(record_says(&s.record.changed, "w", "became"));
        assert_true(i == 0 ? graph_find(s.g, "head")->initializer != NULL : s.record.changed.count == 2);
        assert_int_equal(count_ops(s.g, "MatMul"), i == 0 ? 3 : 4);
        layers_close(&s);
    }
}

static void groups_are_factorised_by_themselves(void **state) {
    double half = error_after(*state, LAYER_GROUPED_CONV, "lowrank:svd,ratio=0.5", 0);
    double most = error_after(*state, LAYER_GROUPED_CONV, "lowrank:svd,ratio=0.8", 0);
    assert_true(most < half && half < 0.4);
}

static void ranks_by_energy_hold_it(void **state) {
    assert_true(error_after(*state, LAYER_CONV, "lowrank:svd,rank=energy,energy=0.9", 0) < 0.1);
    assert_true(error_after(*state, LAYER_CONV, "lowrank:svd,rank=ratio,ratio=0.5", 0) < 0.3);
}

static void int8_and_int4_follow(void **state) {
    static const struct {
        compress_fn *technique;
        const char *recipe, *op;
        enum layer_kind kind;
        size_t ops;
    } cases[] = {{int8_static_compress, "int8:static", "QuantizeLinear", LAYER_CONV, 3},
                 {weight_only_compress, "int4:group=16", "MatMulNBits", LAYER_MATMUL, 2}};
    for (size_t i = 0; i < 2; i++) {
        struct layers_scene s;
        layers_open(&s, cases[i].kind);
        float *before = layers_run(*state, s.g, s.d, cases[i].kind);
        layers_apply(&s, lowrank_svd_compress, "lowrank:svd,ratio=0.9", 2);
        layers_apply(&s, cases[i].technique, cases[i].recipe, 2);
        assert_true(count_ops(s.g, cases[i].op) >= cases[i].ops);
        float *after = layers_run(*state, s.g, s.d, cases[i].kind);
        assert_true(layers_error(before, after, layers_outputs(cases[i].kind, IMAGES)) < 0.2);
        free(before);
        free(after);
        layers_close(&s);
    }
}

static void without_examples_it_is_refused(void **state) {
    (void)state;
    layers_need_examples(lowrank_svd_compress, "lowrank:svd");
}

static void the_bytes_do_not_depend_on_the_threads(void **state) {
    (void)state;
    layers_same_bytes(lowrank_svd_compress, "lowrank:svd,ratio=0.6");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers_that_are_of_low_rank_lose_nothing),
        cmocka_unit_test(the_loss_falls_with_the_ratio),
        cmocka_unit_test(outputs_that_cannot_stand_for_others_are_passed_over),
        cmocka_unit_test(a_pivot_loses_less_than_a_pair_of_as_many_parameters),
        cmocka_unit_test(the_head_stays_whole_unless_asked),
        cmocka_unit_test(groups_are_factorised_by_themselves),
        cmocka_unit_test(ranks_by_energy_hold_it),
        cmocka_unit_test(int8_and_int4_follow),
        cmocka_unit_test(without_examples_it_is_refused),
        cmocka_unit_test(the_bytes_do_not_depend_on_the_threads),
    };
    return cmocka_run_group_tests(tests, layers_start, layers_stop);
}
