/* smoothquant: the model computes the same, its outliers are gone, and 8 bits lose less. */
#include "compressors/onnx/int8_static.h"
#include "compressors/onnx/smoothquant.h"
#include "tests/unit/compressors_onnx/int8_fixture.h"

enum { WIDTH = 32, OUT = 16, OUTPUTS = SIDE * OUT };

static const int64_t dims[] = {1, SIDE, SIDE};

/* x [1,8,8] -> MatMul -> norm with a few huge gains -> MatMul -> y [1,8,16]. The norm is one operator, or
 * written out as Mul and Add of something that has no constants. */
static void build_model(struct builder *b, bool written_out) {
    static float w1[SIDE * WIDTH], w2[WIDTH * OUT], gain[WIDTH], shift[WIDTH];
    const int64_t d1[] = {SIDE, WIDTH}, d2[] = {WIDTH, OUT}, width = WIDTH, y[] = {1, SIDE, OUT};
    noise_fill(w1, SIDE * WIDTH, 1, 0.5F);
    noise_fill(w2, WIDTH * OUT, 2, 0.3F);
    noise_fill(gain, WIDTH, 3, 1);
    noise_fill(shift, WIDTH, 4, 0.2F);
    gain[5] = 60;
    gain[17] = -45;
    builder_init(b, 17);
    builder_input(b, "x", GRAPH_FLOAT32, dims, 3);
    builder_output(b, "y", GRAPH_FLOAT32, y, 3);
    builder_floats(b, "w1", d1, 2, w1);
    builder_floats(b, "w2", d2, 2, w2);
    builder_floats(b, "gain", &width, 1, gain);
    builder_floats(b, "shift", &width, 1, shift);
    builder_node(b, "MatMul", "x w1", "h");
    if (written_out) {
        builder_node(b, "Tanh", "h", "t");
        builder_node(b, "Mul", "t gain", "m");
        builder_node(b, "Add", "shift m", "n");
    } else {
        builder_node(b, "LayerNormalization", "h gain shift", "n");
    }
    builder_node(b, "MatMul", "n w2", "y");
}

struct scene {
    struct onnxruntime *runtime;
    struct dataset *calibration;
    struct graph *g;
    struct builder b;
    struct record record;
    struct compress_job job;
    float in[IMAGE], before[OUTPUTS], after[OUTPUTS];
};

static void scene_start(struct scene *s, bool written_out) {
    struct err err = {0};
    build_model(&s->b, written_out);
    s->g = builder_graph(&s->b);
    s->calibration = noise_dataset();
    assert_int_equal(onnxruntime_new(NULL, &s->runtime, &err), RC_OK);
    noise_fill(s->in, IMAGE, 77, 1);
    run_floats(s->runtime, s->g, dims, 3, s->in, IMAGE, s->before, OUTPUTS);
    record_init(&s->record);
    s->job = (struct compress_job){
        .graph = s->g, .calibration = s->calibration, .threads = 2, .record = &s->record};
}

/* Steps on the same job, as compressors_run does it; then the error. */
static double scene_error(struct scene *s, const char *text) {
    struct recipe recipe;
    struct err err = {0};
    assert_int_equal(recipe_parse(text, FAMILY_ONNX, &recipe, &err), RC_OK);
    for (size_t i = 0; i < recipe.n_steps; i++) {
        bool smooth = strcmp(recipe.steps[i].descriptor->name, "smoothquant") == 0;
        compress_fn *run = smooth ? smoothquant_compress : int8_static_compress;
        if (run(&s->job, &recipe.steps[i], &err)) {
            fail_msg("%s: %s", text, err.text);
        }
    }
    run_floats(s->runtime, s->g, dims, 3, s->in, IMAGE, s->after, OUTPUTS);
    return relative_error(s->before, s->after, OUTPUTS);
}

static void scene_end(struct scene *s) {
    record_release(&s->record);
    graph_free(s->g);
    dataset_free(s->calibration);
    onnxruntime_free(s->runtime);
    builder_free(&s->b);
}

static double error_of(const char *recipe, bool written_out) {
    struct scene s;
    scene_start(&s, written_out);
    double error = scene_error(&s, recipe);
    scene_end(&s);
    return error;
}

/* The step alone: only int8 steps may follow it in a recipe, so it is called by itself here. */
static void the_model_computes_the_same(void **state) {
    static const char *const recipes[] = {"smoothquant+int8:static", "smoothquant:alpha=0.1+int8:static",
                                          "smoothquant:alpha=1+int8:static"};
    (void)state;
    for (size_t i = 0; i < 6; i++) {
        struct scene s;
        struct recipe recipe;
        struct err err = {0};
        scene_start(&s, i % 2 == 1);
        assert_int_equal(recipe_parse(recipes[i / 2], FAMILY_ONNX, &recipe, &err), RC_OK);
        assert_int_equal(smoothquant_compress(&s.job, &recipe.steps[0], &err), RC_OK);
        run_floats(s.runtime, s.g, dims, 3, s.in, IMAGE, s.after, OUTPUTS);
        assert_true(relative_error(s.before, s.after, OUTPUTS) < 1e-5);
        assert_true(record_says(&s.record.changed, "n", "SmoothQuant"));
        assert_int_equal(s.record.changed.count, 1);
        scene_end(&s);
    }
}

static void eight_bits_lose_less_after_it(void **state) {
    (void)state;
    for (int written_out = 0; written_out < 2; written_out++) {
        double without = error_of("int8:static,smooth=none", written_out);
        double with = error_of("smoothquant+int8:static", written_out);
        print_message("error %.4f without, %.4f with smoothquant\n", without, with);
        assert_true(with < 0.7 * without);
    }
}

/* int8:static would search again and find its own strength. */
static void its_strength_is_what_int8_works_with(void **state) {
    (void)state;
    double searched = error_of("int8:static", false);
    double weak = error_of("smoothquant:alpha=0.1+int8:static", false);
    double same = error_of("smoothquant+int8:static", false);
    assert_true(same <= searched && same >= searched);
    assert_true(weak > searched);
}

static void nothing_to_rescale_is_said(void **state) {
    (void)state;
    static float w[SIDE * OUT];
    const int64_t d[] = {SIDE, OUT}, y[] = {1, SIDE, OUT};
    struct builder b;
    struct record record;
    struct err err = {0};
    noise_fill(w, SIDE * OUT, 1, 0.5F);
    builder_init(&b, 17);
    builder_input(&b, "x", GRAPH_FLOAT32, dims, 3);
    builder_output(&b, "y", GRAPH_FLOAT32, y, 3);
    builder_floats(&b, "w", d, 2, w);
    builder_node(&b, "MatMul", "x w", "y");
    struct graph *g = builder_graph(&b);
    struct dataset *data = noise_dataset();
    enum rc rc = int8_apply(smoothquant_compress, "smoothquant+int8:static", g, data, 1, &record, &err);
    assert_int_equal(rc, RC_UNSUPPORTED);
    assert_non_null(strstr(err.text, "there is nothing to rescale"));
    record_release(&record);
    dataset_free(data);
    graph_free(g);
    builder_free(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_model_computes_the_same),
        cmocka_unit_test(eight_bits_lose_less_after_it),
        cmocka_unit_test(its_strength_is_what_int8_works_with),
        cmocka_unit_test(nothing_to_rescale_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
