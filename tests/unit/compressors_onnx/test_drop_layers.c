/* prune:layers: residual blocks are found, and the one that does least goes first. */
#include "compressors/onnx/drop_layers.h"
#include "compressors/onnx/residual_blocks.h"
#include "tests/unit/compressors_onnx/channel_fixture.h"

enum { WIDE = 8 };

static void floats(struct builder *b, const char *name, size_t rank, const int64_t *dims, float scale) {
    static float values[1 << 12];
    size_t count = 1;
    for (size_t i = 0; i < rank; i++) {
        count *= (size_t)dims[i];
    }
    noise_fill(values, count, (uint32_t)b->graph.n_initializer * 13 + 3, scale);
    builder_floats(b, name, dims, rank, values);
}

/* Three blocks that convolve and add; the second one's weights are nearly zero. Then a gate that is no block
 * (its Add has no weights on the way), and the head. */
static struct graph *blocks_model(void) {
    const int64_t in[] = {-1, 1, SIDE, SIDE}, out[] = {-1, 5}, pads[] = {1, 1, 1, 1};
    static const float scales[] = {0.3F, 0.001F, 0.2F};
    struct builder b;
    builder_init(&b, 17);
    builder_input(&b, "x", GRAPH_FLOAT32, in, 4);
    builder_output(&b, "y", GRAPH_FLOAT32, out, 2);
    floats(&b, "w", 4, (int64_t[]){WIDE, 1, 3, 3}, 0.5F);
    floats(&b, "head", 2, (int64_t[]){WIDE, 5}, 0.5F);
    builder_attr_ints(&b, builder_node(&b, "Conv", "x w", "s0"), "pads", pads, 4);
    for (int i = 1; i <= 3; i++) {
        char inputs[32], output[32];
        snprintf(output, 32, "w%d", i);
        floats(&b, output, 4, (int64_t[]){WIDE, WIDE, 3, 3}, scales[i - 1]);
        snprintf(inputs, 32, "s%d w%d", i - 1, i);
        snprintf(output, 32, "c%d", i);
        builder_attr_ints(&b, builder_node(&b, "Conv", inputs, output), "pads", pads, 4);
        snprintf(inputs, 32, "c%d", i);
        snprintf(output, 32, "r%d", i);
        builder_node(&b, "Relu", inputs, output);
        snprintf(inputs, 32, i == 2 ? "s%d r%d" : "r%d s%d", i == 2 ? 1 : i, i == 2 ? 2 : i - 1);
        snprintf(output, 32, "s%d", i);
        builder_node(&b, "Add", inputs, output);
    }
    builder_node(&b, "Tanh", "s3", "t");
    builder_node(&b, "Add", "t s3", "u");
    builder_node(&b, "GlobalAveragePool", "u", "g");
    builder_node(&b, "Flatten", "g", "f");
    builder_node(&b, "MatMul", "f head", "y");
    struct graph *g = builder_graph(&b);
    builder_free(&b);
    return g;
}

static void blocks_are_sums_of_a_value_and_its_layers(void **state) {
    (void)state;
    struct graph *g = blocks_model();
    struct graph_shapes *shapes = NULL;
    struct residual_blocks blocks;
    struct err err = {0};
    assert_int_equal(graph_sort(g, &err), RC_OK);
    assert_int_equal(graph_shapes_observe(g, NULL, &shapes, &err), RC_OK);
    assert_int_equal(residual_blocks_find(g, shapes, &blocks, &err), RC_OK);
    assert_int_equal(blocks.count, 3);
    for (size_t i = 0; i < 3; i++) {
        bool there = false;
        assert_int_equal(blocks.list[i].skip, i == 1 ? 0 : 1);
        assert_int_equal(residual_block_drop(g, &blocks.list[i], &there, &err), RC_OK);
        assert_true(there);
        assert_int_equal(residual_block_drop(g, &blocks.list[i], &there, &err), RC_OK);
        assert_false(there);
    }
    assert_null(graph_find(g, "c1")->producer);
    assert_null(graph_find(g, "c3")->producer);
    assert_non_null(graph_find(g, "u")->producer);
    residual_blocks_release(&blocks);
    graph_shapes_free(shapes);
    graph_free(g);
}

static void the_block_that_does_least_goes(void **state) {
    (void)state;
    struct dataset *d = noise_dataset();
    struct graph *g = blocks_model(), *whole = blocks_model();
    struct record record;
    struct err err = {0};
    double error = 1;
    assert_int_equal(int8_apply(drop_layers_compress, "prune:layers,ratio=0.3", g, d, 2, &record, &err),
                     RC_OK);
    assert_int_equal(record.changed.count, 1);
    assert_null(graph_find(g, "c2")->producer);
    assert_non_null(graph_find(g, "c1")->producer);
    struct channel_scene a = {.g = whole}, b = {.g = g};
    struct model_bytes x = scene_pack(&a), y = scene_pack(&b);
    assert_int_equal(model_compare(&x, &y, d, 8, &error, &err), RC_OK);
    assert_true(error > 0 && error < 0.05);
    free((void *)x.data);
    free((void *)y.data);
    record_release(&record);
    graph_free(g);
    graph_free(whole);
    dataset_free(d);
}

static void a_model_without_blocks_is_refused(void **state) {
    (void)state;
    const int64_t in[] = {-1, 1, SIDE, SIDE}, out[] = {-1, 4, 6, 6};
    struct dataset *d = noise_dataset();
    struct builder b;
    struct record record;
    struct err err = {0};
    builder_init(&b, 17);
    builder_input(&b, "x", GRAPH_FLOAT32, in, 4);
    builder_output(&b, "y", GRAPH_FLOAT32, out, 4);
    floats(&b, "w", 4, (int64_t[]){4, 1, 3, 3}, 0.5F);
    builder_node(&b, "Conv", "x w", "y");
    struct graph *g = builder_graph(&b);
    builder_free(&b);
    assert_int_equal(int8_apply(drop_layers_compress, "prune:layers", g, d, 1, &record, &err),
                     RC_UNSUPPORTED);
    assert_non_null(strstr(err.text, "no residual blocks"));
    record_release(&record);
    graph_free(g);
    dataset_free(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_sums_of_a_value_and_its_layers),
        cmocka_unit_test(the_block_that_does_least_goes),
        cmocka_unit_test(a_model_without_blocks_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
