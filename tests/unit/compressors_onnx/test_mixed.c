/* mixed: which layers get which width, that targets are met, and that the result is the same for any number
 * of threads. */
#include "compressors/onnx/mixed.h"
#include "compressors/onnx/mixed_loss.h"
#include "tests/unit/compressors_onnx/int8_fixture.h"

enum { WIDTH = 64, CLASSES = 10 };

/* x [1,1,8,8] -> flat -> three dense layers. The first has columns of very different size in each group of
 * its inputs, which 4 bits cannot hold; the second is made of a few values that 4 bits hold exactly. */
static void build_model(struct builder *b) {
    static float w1[IMAGE * WIDTH], w2[WIDTH * WIDTH], w3[WIDTH * CLASSES];
    const int64_t d1[] = {IMAGE, WIDTH}, d2[] = {WIDTH, WIDTH}, d3[] = {WIDTH, CLASSES}, y[] = {-1, CLASSES},
                  x[] = {-1, 1, SIDE, SIDE};
    uint32_t seed = 9;
    noise_fill(w1, IMAGE * WIDTH, 1, 0.02F);
    noise_fill(w3, WIDTH * CLASSES, 3, 0.3F);
    for (size_t i = 0; i < IMAGE; i += 32) {
        for (size_t c = 0; c < WIDTH; c++) {
            w1[i * WIDTH + c] = 2;
        }
    }
    for (size_t i = 0; i < WIDTH * WIDTH; i++) {
        w2[i] = (float)(noise_next(&seed) % 16) / 15 - 7.0F / 15;
    }
    builder_init(b, 17);
    builder_input(b, "x", GRAPH_FLOAT32, x, 4);
    builder_output(b, "y", GRAPH_FLOAT32, y, 2);
    builder_floats(b, "w1", d1, 2, w1);
    builder_floats(b, "w2", d2, 2, w2);
    builder_floats(b, "w3", d3, 2, w3);
    builder_node(b, "Flatten", "x", "f");
    builder_node(b, "MatMul", "f w1", "h1");
    builder_node(b, "Relu", "h1", "r1");
    builder_node(b, "MatMul", "r1 w2", "h2");
    builder_node(b, "Relu", "h2", "r2");
    builder_node(b, "MatMul", "r2 w3", "y");
}

struct outcome {
    enum rc rc;
    struct err err;
    struct record record;
    char *data;
    size_t size;
    struct mixed_distance distance; /* from the float32 model */
};

static void measure(struct builder *b, struct dataset *d, struct outcome *o) {
    struct compress_job job = {.calibration = d, .threads = 1};
    struct mixed_loss *loss = NULL;
    size_t plain_size;
    const uint8_t *plain = builder_bytes(b, &plain_size);
    if (mixed_loss_open(&job, plain, plain_size, 64, 1 << 20, &loss, &o->err) ||
        mixed_loss_measure(loss, o->data, o->size, 64, &o->distance, &o->err)) {
        fail_msg("%s", o->err.text);
    }
    mixed_loss_free(loss);
}

static struct outcome run(const char *text, uint32_t threads) {
    struct outcome o = {.size = 0};
    struct builder b;
    struct recipe recipe;
    build_model(&b);
    struct dataset *d = noise_dataset();
    record_init(&o.record);
    struct compress_job job = {
        .graph = builder_graph(&b), .calibration = d, .threads = threads, .record = &o.record};
    assert_int_equal(recipe_parse(text, FAMILY_ONNX, &recipe, &o.err), RC_OK);
    o.rc = mixed_compress(&job, &recipe.steps[0], &o.err);
    if (!o.rc) {
        assert_int_equal(graph_pack(job.graph, &o.data, &o.size, &o.err), RC_OK);
        measure(&b, d, &o);
    }
    graph_free(job.graph);
    dataset_free(d);
    builder_free(&b);
    return o;
}

static void outcome_release(struct outcome *o) {
    record_release(&o->record);
    free(o->data);
}

static void run_ok(const char *text, struct outcome *o) {
    *o = run(text, 2);
    if (o->rc) {
        fail_msg("%s: %s", text, o->err.text);
    }
}

static void a_size_is_kept_and_spent_where_it_helps_most(void **state) {
    (void)state;
    struct outcome o;
    const double mib =
        0.0095; /* 8 bits for all weights take 8,832 bytes, names and scales about 2,000 more */
    run_ok("mixed:target=size,mib=0.0095", &o);
    assert_true((double)o.size <= mib * 1024 * 1024);
    assert_true(record_says(&o.record.changed, "w1", "int8"));
    assert_true(record_says(&o.record.changed, "w2", "4 bits"));
    outcome_release(&o);
}

static void an_accuracy_is_kept_with_fewer_bytes_the_more_may_be_lost(void **state) {
    (void)state;
    struct outcome careful, careless;
    run_ok("mixed:drop=0.05", &careful);
    run_ok("mixed:drop=50", &careless);
    assert_true(careful.distance.drop <= 0.05);
    assert_true(careless.size < careful.size);
    assert_true(record_says(&careless.record.changed, "w1", "4 bits"));
    assert_true(careful.distance.divergence < careless.distance.divergence);
    outcome_release(&careful);
    outcome_release(&careless);
}

static void a_latency_is_met_in_the_model_of_time(void **state) {
    (void)state;
    struct outcome o;
    run_ok("mixed:target=latency,speedup=1.3", &o);
    assert_true(record_says(&o.record.notes, NULL, "by a fixed model of time"));
    outcome_release(&o);
    o = run("mixed:target=latency,speedup=90", 1);
    assert_int_equal(o.rc, RC_UNSUPPORTED);
    assert_non_null(strstr(o.err.text, "speedup is too large"));
    outcome_release(&o);
}

static void a_size_out_of_reach_is_refused_with_what_can_be_reached(void **state) {
    (void)state;
    struct outcome o = run("mixed:target=size,mib=0.002", 1);
    assert_int_equal(o.rc, RC_UNSUPPORTED);
    assert_non_null(strstr(o.err.text, "mib is too small: with the fewest bits everywhere the model takes"));
    outcome_release(&o);
}

static void the_number_of_threads_does_not_change_the_bytes(void **state) {
    (void)state;
    struct outcome one = run("mixed:drop=0.2", 1), three = run("mixed:drop=0.2", 3);
    assert_int_equal(one.rc, RC_OK);
    assert_int_equal(one.size, three.size);
    assert_memory_equal(one.data, three.data, one.size);
    outcome_release(&one);
    outcome_release(&three);
}

static void a_model_is_at_no_distance_from_itself(void **state) {
    (void)state;
    struct builder b;
    struct outcome o = {.size = 0};
    struct err err;
    build_model(&b);
    struct dataset *d = noise_dataset();
    struct graph *g = builder_graph(&b);
    assert_int_equal(graph_pack(g, &o.data, &o.size, &err), RC_OK);
    measure(&b, d, &o);
    assert_true(o.distance.divergence < 1e-9 && o.distance.drop < 1e-9);
    free(o.data);
    graph_free(g);
    dataset_free(d);
    builder_free(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_size_is_kept_and_spent_where_it_helps_most),
        cmocka_unit_test(an_accuracy_is_kept_with_fewer_bytes_the_more_may_be_lost),
        cmocka_unit_test(a_latency_is_met_in_the_model_of_time),
        cmocka_unit_test(a_size_out_of_reach_is_refused_with_what_can_be_reached),
        cmocka_unit_test(the_number_of_threads_does_not_change_the_bytes),
        cmocka_unit_test(a_model_is_at_no_distance_from_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
