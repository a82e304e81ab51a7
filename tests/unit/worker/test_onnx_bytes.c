/* The models that measure the machine: real ones, that the runtime loads and computes right. */
#include "tests/support/test.h"

#include <stdlib.h>

#include "profiler/worker/copy_speed.h"
#include "profiler/worker/onnx_bytes.h"
#include "runtimes/onnxruntime.h"

enum { MODEL_BYTES = 1 << 20 };

static void run(const struct buf *model, struct onnxruntime_tensor *a, struct onnxruntime_result **result) {
    struct onnxruntime *r = NULL;
    struct onnxruntime_session *s = NULL;
    struct err err;
    assert_int_equal(onnxruntime_new(NULL, &r, &err), RC_OK);
    assert_int_equal(onnxruntime_open_bytes(r, model->data, model->size, NULL, &s, &err), RC_OK);
    assert_int_equal(onnxruntime_run(s, a, result, &err), RC_OK);
    onnxruntime_close(s);
    onnxruntime_free(r);
}

/* Row of ones times B: the sums of B's columns, B[i] being the pattern of onnx_bytes.c. */
static double pattern(size_t i) {
    double value = (double)(i % 15) * 0.25 - 1.5;
    return value == 0 ? 2 : value;
}

static void product_is_the_product(void **state) {
    (void)state;
    static const size_t sizes[] = {1, 7, 8, 9, 15, 17};
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        const size_t n = sizes[s];
        const struct onnx_product p = {"MatMul", DTYPE_FLOAT32, DTYPE_FLOAT32, DTYPE_FLOAT32, 1, n, n + 1};
        float ones[17];
        struct onnxruntime_tensor a = {.dtype = DTYPE_FLOAT32, .rank = 2, .dims = {1, (int64_t)n}};
        struct onnxruntime_result *result = NULL;
        struct buf model;
        for (size_t i = 0; i < n; i++) {
            ones[i] = 1;
        }
        a.data = ones;
        a.bytes = n * sizeof(float);
        buf_init(&model, MODEL_BYTES);
        assert_int_equal(onnx_bytes_product(&p, &model, NULL), RC_OK);
        run(&model, &a, &result);
        const struct onnxruntime_tensor *y = onnxruntime_result_output(result, 0);
        assert_int_equal(y->bytes, (n + 1) * sizeof(float));
        for (size_t c = 0; c < n + 1; c++) {
            double sum = 0;
            for (size_t k = 0; k < n; k++) {
                sum += pattern(k * (n + 1) + c);
            }
            assert_float_equal(((const float *)y->data)[c], (float)sum, 1e-4f);
        }
        onnxruntime_result_free(result);
        buf_free(&model);
    }
}

static void integer_product_is_loaded_too(void **state) {
    (void)state;
    const struct onnx_product p = {"MatMulInteger", DTYPE_UINT8, DTYPE_INT8, DTYPE_INT32, 1, 2, 1};
    uint8_t ones[] = {1, 1};
    struct onnxruntime_tensor a = {
        .dtype = DTYPE_UINT8, .rank = 2, .dims = {1, 2}, .data = ones, .bytes = sizeof(ones)};
    struct onnxruntime_result *result = NULL;
    struct buf model;
    buf_init(&model, MODEL_BYTES);
    assert_int_equal(onnx_bytes_product(&p, &model, NULL), RC_OK);
    run(&model, &a, &result);
    assert_int_equal(((const int32_t *)onnxruntime_result_output(result, 0)->data)[0], -24 - 20);
    onnxruntime_result_free(result);
    buf_free(&model);
}

static void chain_of_n_negates_every_second_time(void **state) {
    (void)state;
    for (size_t n = 1; n < 5; n++) {
        float three = 3;
        struct onnxruntime_tensor a = {
            .dtype = DTYPE_FLOAT32, .rank = 1, .dims = {1}, .data = &three, .bytes = sizeof(three)};
        struct onnxruntime_result *result = NULL;
        struct buf model;
        buf_init(&model, MODEL_BYTES);
        assert_int_equal(onnx_bytes_chain(n, &model, NULL), RC_OK);
        run(&model, &a, &result);
        assert_true(((const float *)onnxruntime_result_output(result, 0)->data)[0] == (n % 2 ? 3.0f : -3.0f));
        onnxruntime_result_free(result);
        buf_free(&model);
    }
}

static void copying_gives_a_rate_with_any_number_of_threads(void **state) {
    (void)state;
    for (uint32_t threads = 1; threads <= 3; threads++) {
        double rate = 0;
        assert_int_equal(copy_speed_measure(threads, 1 << 20, 1000000, &rate, NULL), RC_OK);
        assert_true(rate > 0);
    }
    assert_int_equal(copy_speed_measure(0, 1 << 20, 1, &(double){0}, NULL), RC_USAGE);
    assert_int_equal(copy_speed_measure(2, 4096, 1, &(double){0}, NULL), RC_USAGE);
    assert_true(copy_speed_array_bytes() >= 1 << 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(product_is_the_product),
        cmocka_unit_test(integer_product_is_loaded_too),
        cmocka_unit_test(chain_of_n_negates_every_second_time),
        cmocka_unit_test(copying_gives_a_rate_with_any_number_of_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
