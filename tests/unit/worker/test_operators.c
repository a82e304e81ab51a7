/* Multiplications of an operator against counting them, and the sums that a profile becomes. */
#include "tests/support/test.h"

#include <math.h>
#include <string.h>

#include "profiler/worker/operator_work.h"
#include "profiler/worker/operators.h"

static void products_count_as_three_loops_do(void **state) {
    (void)state;
    static const size_t sizes[] = {1, 7, 8, 9, 15, 17};
    for (size_t i = 0; i < 6; i++) {
        for (size_t j = 0; j < 6; j++) {
            size_t batch = 3, m = sizes[i], k = sizes[j], n = sizes[(i + j) % 6], counted = 0;
            for (size_t b = 0; b < batch; b++) {
                for (size_t r = 0; r < m; r++) {
                    for (size_t c = 0; c < n; c++) {
                        counted += k;
                    }
                }
            }
            const struct operator_shape s = {.op = "MatMulIntegerToFloat",
                                             .first_input = (double)(batch * m * k),
                                             .first_output = (double)(batch * m * n),
                                             .last_dim = (double)n};
            assert_true(fabs(operator_work_macs(&s) - (double)counted) < 1e-6);
        }
    }
}

/* Output [1, 8, 5, 5], input [1, 4, 7, 7], 3 x 3, in 1 and in 4 groups; counted output by output. */
static void convolutions_count_groups(void **state) {
    (void)state;
    for (size_t groups = 1; groups <= 4; groups += 3) {
        size_t counted = 0, weights = 8 * (4 / groups) * 3 * 3;
        for (size_t o = 0; o < 8 * 5 * 5; o++) {
            counted += (4 / groups) * 3 * 3;
        }
        const struct operator_shape s = {.op = "QLinearConv",
                                         .first_input = 4 * 7 * 7,
                                         .first_output = 8 * 5 * 5,
                                         .last_dim = 5,
                                         .weights = (double)weights,
                                         .weights_first_dim = 8};
        assert_true(operator_work_macs(&s) == (double)counted);
    }
}

static void what_is_not_known_is_not_a_number(void **state) {
    (void)state;
    const struct operator_shape no_weights = {.op = "Conv",
                                              .first_input = 4,
                                              .first_output = 4,
                                              .last_dim = 1},
                                attention = {.op = "Attention", .first_input = 4, .first_output = 4},
                                no_shape = {.op = "MatMul"}, add = {.op = "Add", .first_input = 4};
    assert_true(isnan(operator_work_macs(&no_weights)));
    assert_true(isnan(operator_work_macs(&attention)));
    assert_true(isnan(operator_work_macs(&no_shape)));
    assert_true(operator_work_macs(&add) == 0);
    assert_true(operator_work_is_product("QGemm") && operator_work_is_product("LSTM"));
    assert_false(operator_work_is_product("Gather") || operator_work_is_product("Softmax"));
    assert_true(operator_work_is_lookup("Gather"));
}

static const json_t *kind(const json_t *operators, const char *op) {
    size_t i;
    const json_t *entry, *found = NULL;
    json_array_foreach(json_object_get(operators, "types"), i, entry) {
        found = strcmp(json_string_value(json_object_get(entry, "op")), op) == 0 ? entry : found;
    }
    return found;
}

static void kinds_are_summed_and_the_dearest_come_first(void **state) {
    (void)state;
    struct onnxruntime_operator ops[60] = {
        {.node = "a",
         .op = "MatMul",
         .us = 10,
         .calls = 1,
         .dtype = DTYPE_FLOAT32,
         .first_input = 6,
         .first_output = 8,
         .last_dim = 4,
         .activation_bytes = 56},
        {.node = "b",
         .op = "MatMul",
         .us = 20,
         .calls = 2,
         .dtype = DTYPE_FLOAT32,
         .first_input = 6,
         .first_output = 8,
         .last_dim = 4,
         .activation_bytes = 112},
        {.node = "c",
         .op = "MatMul",
         .us = 5,
         .calls = 1,
         .dtype = DTYPE_FLOAT16,
         .first_input = 6,
         .first_output = 8,
         .last_dim = 4},
        {.node = "d", .op = "Softmax", .us = 65, .calls = 1, .dtype = DTYPE_FLOAT32},
    };
    char names[60][8];
    for (size_t i = 4; i < 60; i++) {
        snprintf(names[i], sizeof(names[i]), "op%zu", i);
        ops[i] = (struct onnxruntime_operator){.node = names[i], .op = names[i], .us = 0.001};
    }
    const struct onnxruntime_profile p = {.operators = ops, .count = 60, .runs = 9, .run_us = 120};
    const struct operators_opts opts = {.threads = 2, .batch = 1};
    json_t *json = operators_json(&p, NULL, &opts);
    assert_non_null(json);
    const json_t *first = json_array_get(json_object_get(json, "types"), 0);
    assert_string_equal(json_string_value(json_object_get(first, "op")), "Softmax");
    assert_true(fabs(json_number_value(json_object_get(first, "share")) - 0.65) < 1e-3);
    assert_int_equal(json_array_size(json_object_get(json, "types")), 40);
    assert_int_equal(json_array_size(json_object_get(json, "top")), 8);
    const json_t *matmul = kind(json, "MatMul"), *others = kind(json, "(others)");
    assert_non_null(others);
    assert_true(json_number_value(json_object_get(matmul, "us")) == 5); /* float16 comes last */
    const json_t *second = json_array_get(json_object_get(json, "types"), 1);
    assert_int_equal(json_integer_value(json_object_get(second, "macs")), 3 * 24);
    assert_int_equal(json_integer_value(json_object_get(second, "bytes")), 168);
    json_decref(json);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_count_as_three_loops_do),
        cmocka_unit_test(convolutions_count_groups),
        cmocka_unit_test(what_is_not_known_is_not_a_number),
        cmocka_unit_test(kinds_are_summed_and_the_dearest_come_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
