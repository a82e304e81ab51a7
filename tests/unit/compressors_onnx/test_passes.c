/* The passes keep what the model computes, and do what they say. */
#include "compressors/onnx/passes.h"
#include "model_fixture.h"

static const int64_t four[] = {4};

static const Onnx__TensorProto *constant(struct graph *g, const char *name) {
    return graph_constant(g, graph_find(g, name));
}

static void a_chain_of_constants_becomes_one_initializer(void **state) {
    static const int64_t dims[] = {2, 3}, axes[] = {0};
    static const float values[] = {1, 2, 3, 4, 5, 6}, turned[] = {1, 4, 2, 5, 3, 6};
    struct builder b;
    struct err err;
    size_t count, n;
    float *got;
    (void)state;
    builder_init(&b, 17);
    builder_input(&b, "x", GRAPH_FLOAT32, (const int64_t[]){1, 3, 2}, 3);
    builder_output(&b, "y", GRAPH_FLOAT32, (const int64_t[]){1, 3, 2}, 3);
    builder_floats(&b, "w", dims, 2, values);
    builder_tensor(&b, "axes", GRAPH_INT64, (const int64_t[]){1}, 1, axes, sizeof(axes));
    builder_node(&b, "Transpose", "w", "t");
    builder_node(&b, "Unsqueeze", "t axes", "u");
    builder_node(&b, "Identity", "u", "i");
    builder_node(&b, "Add", "x i", "y");
    struct graph *g = builder_graph(&b);
    assert_int_equal(pass_fold_constants(g, &count, &err), RC_OK);
    assert_int_equal(count, 3);
    assert_int_equal(graph_node_count(g), 1);
    assert_int_equal(graph_model(g)->graph->n_initializer, 1);
    const Onnx__TensorProto *t = graph_model(g)->graph->initializer[0];
    assert_int_equal(t->n_dims, 3);
    assert_int_equal(t->dims[1], 3);
    assert_int_equal(graph_tensor_floats(g, t, &got, &n, &err), RC_OK);
    assert_memory_equal(got, turned, sizeof(turned));
    free(got);
    graph_free(g);
    builder_free(&b);
}

static void a_large_shared_constant_is_not_copied(void **state) {
    static const int64_t dims[] = {20, 20};
    static float values[400];
    struct builder b;
    struct err err;
    size_t count;
    (void)state;
    builder_init(&b, 17);
    builder_input(&b, "x", GRAPH_FLOAT32, dims, 2);
    builder_output(&b, "y", GRAPH_FLOAT32, dims, 2);
    builder_floats(&b, "w", dims, 2, values);
    builder_node(&b, "Transpose", "w", "t");
    builder_node(&b, "Add", "x w", "a");
    builder_node(&b, "MatMul", "a t", "y");
    struct graph *g = builder_graph(&b);
    assert_int_equal(pass_fold_constants(g, &count, &err), RC_OK);
    assert_int_equal(count, 0);
    graph_free(g);
    builder_free(&b);
}

static void equal_initializers_become_one(void **state) {
    static const float values[] = {1, 2, 3, 4}, other[] = {1, 2, 3, 5};
    struct builder b;
    struct err err;
    size_t count;
    (void)state;
    builder_init(&b, 17);
    builder_input(&b, "x", GRAPH_FLOAT32, four, 1);
    builder_output(&b, "y", GRAPH_FLOAT32, four, 1);
    builder_floats(&b, "c", four, 1, values);
    builder_floats(&b, "d", four, 1, other);
    builder_floats(&b, "e", four, 1, values);
    builder_tensor(&b, "i", GRAPH_INT32, four, 1, values, sizeof(values)); /* the same bytes, another type */
    builder_node(&b, "Add", "x c", "p");
    builder_node(&b, "Add", "p d", "q");
    builder_node(&b, "Add", "q e", "y");
    builder_node(&b, "Cast", "i", "unused");
    struct graph *g = builder_graph(&b);
    assert_int_equal(pass_dedup_initializers(g, &count, &err), RC_OK);
    assert_int_equal(count, 1);
    assert_string_equal(graph_find(g, "y")->producer->proto->input[1], "c");
    assert_null(constant(g, "e"));
    assert_non_null(constant(g, "i"));
    graph_free(g);
    builder_free(&b);
}

static void what_nothing_reads_is_removed(void **state) {
    static const float values[] = {1, 2, 3, 4};
    struct builder b;
    struct err err;
    size_t count;
    (void)state;
    builder_init(&b, 17);
    builder_input(&b, "x", GRAPH_FLOAT32, four, 1);
    builder_output(&b, "y", GRAPH_FLOAT32, four, 1);
    builder_floats(&b, "w", four, 1, values);
    b.infos[b.graph.n_value_info++] = builder_info(&b, "dead", GRAPH_FLOAT32, four, 1);
    builder_node(&b, "Add", "x w", "dead");
    builder_node(&b, "Neg", "dead", "deader");
    builder_node(&b, "Relu", "x", "y");
    struct graph *g = builder_graph(&b);
    assert_int_equal(pass_remove_dead(g, &count, &err), RC_OK);
    assert_int_equal(count, 3);
    assert_int_equal(graph_node_count(g), 1);
    assert_int_equal(graph_model(g)->graph->n_initializer, 0);
    assert_int_equal(graph_model(g)->graph->n_value_info, 0);
    graph_free(g);
    builder_free(&b);
}

static void build_conv_norm(struct builder *b, bool bias, bool shared) {
    static const int64_t x[] = {1, 2, 5, 5}, y[] = {1, 3, 3, 3}, w[] = {3, 2, 3, 3}, three[] = {3};
    static const float gamma[] = {1.5f, -0.5f, 2}, beta[] = {0.1f, 0.2f, -0.3f}, mean[] = {0.5f, 0, -1},
                       variance[] = {1, 0.25f, 4}, bias_values[] = {1, -1, 0.5f};
    float weights[54];
    for (int i = 0; i < 54; i++) {
        weights[i] = (float)(i * 29 % 17) / 17.0f - 0.5f;
    }
    builder_init(b, 17);
    builder_input(b, "x", GRAPH_FLOAT32, x, 4);
    builder_output(b, "y", GRAPH_FLOAT32, y, 4);
    builder_floats(b, "w", w, 4, weights);
    builder_floats(b, "b", three, 1, bias_values);
    builder_floats(b, "gamma", three, 1, gamma);
    builder_floats(b, "beta", three, 1, beta);
    builder_floats(b, "mean", three, 1, mean);
    builder_floats(b, "variance", three, 1, variance);
    builder_node(b, "Conv", bias ? "x w b" : "x w", "c");
    Onnx__NodeProto *norm =
        builder_node(b, "BatchNormalization", "c gamma beta mean variance", shared ? "n" : "y");
    builder_attr_float(b, norm, "epsilon", 1e-3f);
    if (shared) {
        builder_node(b, "Add", "n c", "y");
    }
}

static void batchnorm_is_folded_without_changing_the_result(void **state) {
    static const int64_t dims[] = {1, 2, 5, 5};
    float x[50], before[27], after[27];
    for (int i = 0; i < 50; i++) {
        x[i] = (float)(i * 31 % 23) / 11.0f - 1.0f;
    }
    for (int bias = 0; bias < 2; bias++) {
        struct builder b;
        struct err err;
        size_t count;
        build_conv_norm(&b, bias != 0, false);
        struct graph *g = builder_graph(&b);
        run_floats(*state, g, dims, 4, x, 50, before, 27);
        assert_int_equal(pass_fold_batchnorm(g, &count, &err), RC_OK);
        assert_int_equal(count, 1);
        assert_int_equal(graph_node_count(g), 1);
        assert_int_equal(graph_model(g)->graph->n_initializer, 2);
        run_floats(*state, g, dims, 4, x, 50, after, 27);
        for (int i = 0; i < 27; i++) {
            assert_float_equal(before[i], after[i], 1e-5f);
        }
        graph_free(g);
        builder_free(&b);
    }
}

static void batchnorm_after_a_shared_conv_stays(void **state) {
    struct builder b;
    struct err err;
    size_t count;
    (void)state;
    build_conv_norm(&b, true, true);
    struct graph *g = builder_graph(&b);
    assert_int_equal(pass_fold_batchnorm(g, &count, &err), RC_OK);
    assert_int_equal(count, 0);
    assert_int_equal(graph_node_count(g), 3);
    graph_free(g);
    builder_free(&b);
}

static int start(void **state) {
    return onnxruntime_new(NULL, (struct onnxruntime **)state, NULL) != RC_OK;
}

static int stop(void **state) {
    onnxruntime_free(*state);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chain_of_constants_becomes_one_initializer),
        cmocka_unit_test(a_large_shared_constant_is_not_copied),
        cmocka_unit_test(equal_initializers_become_one),
        cmocka_unit_test(what_nothing_reads_is_removed),
        cmocka_unit_test(batchnorm_is_folded_without_changing_the_result),
        cmocka_unit_test(batchnorm_after_a_shared_conv_stays),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
