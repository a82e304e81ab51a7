/* Two states of a model in one graph. */
#include "compressors/onnx/graph_beside.h"
#include "tests/unit/compressors_onnx/int8_fixture.h"

/* y = x * w */
static struct graph *scaled(float by, const char *weight_name) {
    const int64_t dims[] = {-1, 4}, one = 1;
    struct builder b;
    char inputs[64];
    builder_init(&b, 17);
    builder_input(&b, "x", GRAPH_FLOAT32, dims, 2);
    builder_output(&b, "y", GRAPH_FLOAT32, dims, 2);
    builder_floats(&b, weight_name, &one, 1, &by);
    snprintf(inputs, sizeof(inputs), "x %s", weight_name);
    builder_node(&b, "Mul", inputs, "y");
    struct graph *g = builder_graph(&b);
    builder_free(&b);
    return g;
}

static enum rc beside(struct graph *now, struct graph *was, struct graph **both, struct err *err) {
    char *packed;
    size_t size;
    assert_int_equal(graph_pack(was, &packed, &size, err), RC_OK);
    enum rc rc = graph_beside(now, packed, size, both, err);
    free(packed);
    return rc;
}

static void both_states_run_on_the_same_input(void **state) {
    const int64_t dims[] = {1, 4};
    float x[] = {1, 2, 3, 4}, y[4];
    struct graph *now = scaled(3, "w"), *was = scaled(2, "w"), *both = NULL;
    struct err err = {.text = ""};
    assert_int_equal(beside(now, was, &both, &err), RC_OK);
    assert_int_equal(count_ops(both, "Mul"), 2);
    run_floats(*state, both, dims, 2, x, 4, y, 4);
    assert_true(y[3] == 12);
    struct graph_value *before = graph_find(both, GRAPH_BESIDE_PREFIX "y");
    assert_non_null(before);
    assert_ptr_equal(graph_input(both, before->producer, 0), graph_find(both, "x"));
    assert_ptr_equal(graph_input(both, before->producer, 1), graph_find(both, GRAPH_BESIDE_PREFIX "w"));
    graph_free(both);
    graph_free(now);
    graph_free(was);
}

static void a_name_that_is_taken_is_refused(void **state) {
    struct graph *now = scaled(3, GRAPH_BESIDE_PREFIX "w"), *was = scaled(2, "w"), *both = NULL;
    struct err err = {.text = ""};
    (void)state;
    assert_int_equal(beside(now, was, &both, &err), RC_UNSUPPORTED);
    assert_non_null(strstr(err.text, GRAPH_BESIDE_PREFIX "w"));
    graph_free(now);
    graph_free(was);
}

static int open_runtime(void **state) {
    struct err err;
    struct onnxruntime *r = NULL;
    enum rc rc = onnxruntime_new(NULL, &r, &err);
    *state = r;
    return rc != RC_OK;
}

static int close_runtime(void **state) {
    onnxruntime_free(*state);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_states_run_on_the_same_input),
        cmocka_unit_test(a_name_that_is_taken_is_refused),
    };
    return cmocka_run_group_tests(tests, open_runtime, close_runtime);
}
