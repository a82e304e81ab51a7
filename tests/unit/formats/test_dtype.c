#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/formats/dtype.h"

/* The value of a half by its definition (IEEE 754-2019, 3.4), without the bit tricks. */
static double half_by_definition(uint16_t h) {
    int exponent = h >> 10 & 31, mantissa = h & 1023;
    double sign = h & 0x8000 ? -1 : 1;
    if (exponent == 31) {
        return mantissa ? NAN : sign * INFINITY;
    }
    return exponent ? sign * ldexp(1024 + mantissa, exponent - 25) : sign * ldexp(mantissa, -24);
}

static void every_half_survives_the_way_to_float_and_back(void **state) {
    (void)state;
    for (uint32_t i = 0; i <= 0xffff; i++) {
        uint16_t half = (uint16_t)i;
        float value = dtype_float_of_half(half);
        double expected = half_by_definition(half);
        if (isnan(expected)) {
            assert_true(isnan(value) && isnan(dtype_float_of_half(dtype_half_of_float(value))));
            continue;
        }
        assert_false((double)value < expected || (double)value > expected);
        assert_int_equal(dtype_half_of_float(value), half);
    }
}

static void halves_round_to_nearest_ties_to_even(void **state) {
    (void)state;
    for (uint16_t h = 0; h < 0x7bff; h++) { /* all pairs of positive neighbours */
        double low = half_by_definition(h), high = half_by_definition((uint16_t)(h + 1));
        float middle = (float)((low + high) / 2);
        assert_int_equal(dtype_half_of_float(middle), h & 1 ? h + 1 : h);
        assert_int_equal(dtype_half_of_float(nextafterf(middle, 0)), h);
        assert_int_equal(dtype_half_of_float(nextafterf(middle, INFINITY)), h + 1);
        assert_int_equal(dtype_half_of_float(-middle), 0x8000 | (h & 1 ? h + 1 : h));
    }
    assert_int_equal(dtype_half_of_float(65519.996f), 0x7bff);
    assert_int_equal(dtype_half_of_float(65520.0f), 0x7c00);
    assert_int_equal(dtype_half_of_float(-1e30f), 0xfc00);
}

static void bfloat16_rounds_to_nearest_ties_to_even(void **state) {
    (void)state;
    assert_int_equal(dtype_bfloat16_of_float(1.0f), 0x3f80);
    assert_int_equal(dtype_bfloat16_of_float(1.00390625f), 0x3f80); /* halfway, even below */
    assert_int_equal(dtype_bfloat16_of_float(1.01171875f), 0x3f82); /* halfway, even above */
    assert_true(isnan(dtype_float_of_bfloat16(dtype_bfloat16_of_float(NAN))));
    assert_true(isinf(dtype_float_of_bfloat16(dtype_bfloat16_of_float(3.4e38f))));
}

static void numbers_and_names_agree_both_ways(void **state) {
    (void)state;
    for (int i = 0; i < DTYPE_OTHER; i++) {
        assert_int_equal(dtype_from_onnx(dtype_to_onnx((enum dtype)i)), i);
        assert_true(dtype_bytes((enum dtype)i) > 0);
    }
    assert_int_equal(dtype_from_onnx(8), DTYPE_OTHER);
    assert_int_equal(dtype_bytes(DTYPE_OTHER), 0);
    assert_int_equal(dtype_from_numpy("f4", 2), DTYPE_FLOAT32);
    assert_int_equal(dtype_from_numpy("f16", 3), DTYPE_OTHER);
}

static void shapes_read_like_shapes(void **state) {
    (void)state;
    char text[SHAPE_TEXT_SIZE];
    dtype_shape_text((int64_t[]){-1, 1, 28, -1}, 4, text);
    assert_string_equal(text, "[N, 1, 28, ?]");
    dtype_shape_text(NULL, 0, text);
    assert_string_equal(text, "[]");
    int64_t huge[TENSOR_MAX_RANK];
    for (size_t i = 0; i < TENSOR_MAX_RANK; i++) {
        huge[i] = INT64_MAX;
    }
    dtype_shape_text(huge, TENSOR_MAX_RANK, text);
    assert_true(strlen(text) < SHAPE_TEXT_SIZE && text[strlen(text) - 1] == ']');
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_half_survives_the_way_to_float_and_back),
        cmocka_unit_test(halves_round_to_nearest_ties_to_even),
        cmocka_unit_test(bfloat16_rounds_to_nearest_ties_to_even),
        cmocka_unit_test(numbers_and_names_agree_both_ways),
        cmocka_unit_test(shapes_read_like_shapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
