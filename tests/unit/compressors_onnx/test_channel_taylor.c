/* The first-order score of channels: it ranks as measuring does, and costs a few runs for all. */
#include "compressors/onnx/channel_score.h"
#include "compressors/onnx/prune_channels.h"
#include "tests/support/onnx_accuracy.h"
#include "tests/unit/compressors_onnx/channel_fixture.h"

enum { PATH_SIZE = 1024, WIDE = 32, CLASSES = 10 };

/* --- a small model --- */

static void floats(struct builder *b, const char *name, size_t rank, const int64_t *dims, float scale,
                   size_t dead) {
    static float values[1 << 14];
    size_t count = 1;
    for (size_t i = 0; i < rank; i++) {
        count *= (size_t)dims[i];
    }
    noise_fill(values, count, (uint32_t)b->graph.n_initializer * 13 + 3, scale);
    for (size_t i = 0; i < dead * count / (size_t)dims[0]; i++) {
        values[i] = 0;
    }
    builder_floats(b, name, dims, rank, values);
}

/* The first `dead` channels of both convolutions are zero, or what is read of them. */
static struct graph *image_model(const char *activation, size_t dead) {
    const int64_t in[] = {-1, 1, SIDE, SIDE}, out[] = {-1, CLASSES}, pads[] = {1, 1, 1, 1};
    struct builder b;
    builder_init(&b, 17);
    builder_input(&b, "x", GRAPH_FLOAT32, in, 4);
    builder_output(&b, "y", GRAPH_FLOAT32, out, 2);
    floats(&b, "w1", 4, (int64_t[]){WIDE, 1, 3, 3}, 0.5F, dead);
    floats(&b, "b1", 1, (int64_t[]){WIDE}, 0.2F, dead);
    floats(&b, "w2", 4, (int64_t[]){WIDE, WIDE, 3, 3}, 0.1F, 0);
    floats(&b, "w3", 2, (int64_t[]){WIDE, CLASSES}, 0.3F, dead);
    builder_attr_ints(&b, builder_node(&b, "Conv", "x w1 b1", "c1"), "pads", pads, 4);
    builder_node(&b, activation, "c1", "r1");
    builder_attr_ints(&b, builder_node(&b, "Conv", "r1 w2", "c2"), "pads", pads, 4);
    builder_node(&b, activation, "c2", "r2");
    builder_node(&b, "GlobalAveragePool", "r2", "g");
    builder_node(&b, "Flatten", "g", "f");
    builder_node(&b, "MatMul", "f w3", "y");
    struct graph *g = builder_graph(&b);
    builder_free(&b);
    return g;
}

/* --- ranks --- */

static double rank_of(const double *x, size_t n, size_t i) {
    double rank = 0;
    for (size_t k = 0; k < n; k++) {
        rank += x[k] < x[i] ? 1 : x[k] == x[i] ? 0.5 : 0;
    }
    return rank;
}

/* Spearman's correlation of x[n] and y[n]. */
static double rank_correlation(const double *x, const double *y, size_t n) {
    double xx = 0, yy = 0, xy = 0;
    for (size_t i = 0; i < n; i++) {
        double a = rank_of(x, n, i) - (double)n / 2, b = rank_of(y, n, i) - (double)n / 2;
        xx += a * a;
        yy += b * b;
        xy += a * b;
    }
    return xy / sqrt(xx * yy);
}

struct scores {
    struct channel_scene scene;
    double *taylor, *loss; /* by unit */
};

/* Both scores of the model, which becomes the scene's. */
static void score_both(struct scores *s, struct graph *g, struct dataset *d) {
    struct record record;
    struct err err = {0};
    record_init(&record);
    scene_open(&s->scene, g);
    struct graph_shapes *bind = NULL;
    struct compress_job job = {.graph = g, .calibration = d, .threads = 1, .record = &record};
    s->taylor = calloc(s->scene.groups->unit_count + 1, sizeof(double));
    s->loss = calloc(s->scene.groups->unit_count + 1, sizeof(double));
    enum rc rc = graph_shapes_observe(g, d, &bind, &err);
    rc = rc ? rc : channel_score_taylor(&job, s->scene.groups, 0, 1, s->taylor, &err);
    for (size_t f = 0; f < s->scene.groups->family_count && rc == RC_OK; f++) {
        rc = channel_score_loss(&job, s->scene.groups, f, s->loss, &err);
    }
    if (rc != RC_OK) {
        fail_msg("%s", err.text);
    }
    graph_shapes_free(bind);
    record_release(&record);
}

static void scores_close(struct scores *s) {
    free(s->taylor);
    free(s->loss);
    scene_close(&s->scene);
}

/* The least over families of 16 units or more. */
static double least_correlation(const struct scores *s) {
    double least = 1;
    for (size_t i = 0; i < s->scene.groups->family_count; i++) {
        const struct channel_family *f = &s->scene.groups->families[i];
        double r = f->count < 16 ? 1 : rank_correlation(s->taylor + f->first, s->loss + f->first, f->count);
        print_message("  %s, %u units: rank correlation %.3f\n", f->label, f->count, r);
        least = fmin(least, r);
    }
    return least;
}

static void units_rank_as_by_switching_them_off(void **state) {
    static const char *const activations[] = {"Relu", "Tanh", "Sigmoid"};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct dataset *d = noise_dataset();
        struct scores s;
        score_both(&s, image_model(activations[i], 0), d);
        assert_int_equal(s.scene.groups->unit_count, 2 * WIDE);
        assert_true(least_correlation(&s) > 0.9);
        scores_close(&s);
        dataset_free(d);
    }
}

static void a_unit_that_moves_nothing_scores_nothing(void **state) {
    enum { DEAD = 3 };
    struct dataset *d = noise_dataset();
    struct scores s;
    (void)state;
    score_both(&s, image_model("Relu", DEAD), d);
    for (size_t i = 0; i < s.scene.groups->family_count; i++) {
        const struct channel_family *f = &s.scene.groups->families[i];
        for (uint32_t u = 0; u < f->count; u++) {
            assert_true((s.taylor[f->first + u] == 0) == (u < DEAD));
        }
    }
    scores_close(&s);
    dataset_free(d);
}

/* The sum of the scores of all units is right, not only their order: where the model is linear, the first
 * order is all there is. */
static void of_a_linear_model_the_score_is_the_loss(void **state) {
    struct dataset *d = noise_dataset();
    struct scores s;
    double taylor = 0, loss = 0;
    (void)state;
    score_both(&s, image_model("Identity", 0), d);
    for (size_t u = 0; u < s.scene.groups->unit_count; u++) {
        taylor += s.taylor[u];
        loss += s.loss[u] / 16; /* it is a sum over that many examples */
    }
    assert_true(fabs(taylor / loss - 1) < 0.2); /* random signs: 0.93 */
    assert_true(least_correlation(&s) > 0.9);
    scores_close(&s);
    dataset_free(d);
}

static void an_operator_without_a_derivative_is_named(void **state) {
    struct dataset *d = noise_dataset();
    struct record record;
    struct err err = {0};
    struct graph *g = image_model("Atan", 0);
    (void)state;
    assert_int_equal(
        int8_apply(prune_channels_compress, "prune:channels,score=taylor", g, d, 1, &record, &err),
        RC_UNSUPPORTED);
    assert_non_null(strstr(err.text, "node Atan n3"));
    assert_non_null(strstr(err.text, "score=fit, energy, l1 and loss do without"));
    record_release(&record);
    graph_free(g);
    dataset_free(d);
}

/* --- a real one --- */

/* The first training images, as many as the measured score takes. */
static struct dataset *first_images(void) {
    json_t *o = describe_idx(true);
    struct dataset *d = NULL;
    struct err err = {0};
    assert_int_equal(
        json_object_set_new(json_object_get(o, "split"), "calibration_examples", json_integer(16)), 0);
    if (dataset_open(o, 0, &d, &err)) {
        fail_msg("%s", err.text);
    }
    json_decref(o);
    return d;
}

static void units_of_a_real_model_rank_as_by_switching_them_off(void **state) {
    char path[PATH_SIZE];
    struct graph *g = NULL;
    struct scores s;
    struct err err = {0};
    (void)state;
    snprintf(path, PATH_SIZE, "%s/models/fmnist-resnet-thin.onnx", models_folder());
    if (access(path, R_OK) != 0 || access(fashion_folder(), R_OK) != 0) {
        print_message("skipped: %s or %s is not there\n", path, fashion_folder());
        return;
    }
    const struct compress_file file = {"model.onnx", path};
    if (graph_load(&file, 1, "model.onnx", &g, &err)) {
        fail_msg("%s", err.text);
    }
    (void)graph_close_initializers(g);
    struct dataset *d = first_images();
    score_both(&s, g, d);
    print_message("  all: %.3f\n", rank_correlation(s.taylor, s.loss, s.scene.groups->unit_count));
    assert_true(rank_correlation(s.taylor, s.loss, s.scene.groups->unit_count) > 0.8);
    assert_true(least_correlation(&s) > 0.7);
    scores_close(&s);
    dataset_free(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(units_rank_as_by_switching_them_off),
        cmocka_unit_test(a_unit_that_moves_nothing_scores_nothing),
        cmocka_unit_test(of_a_linear_model_the_score_is_the_loss),
        cmocka_unit_test(an_operator_without_a_derivative_is_named),
        cmocka_unit_test(units_of_a_real_model_rank_as_by_switching_them_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
