/* The technique prune:channels and its parts: which units go, the fit, the same bytes for any threads. */
#include "compressors/onnx/channel_score.h"
#include "compressors/onnx/output_distance.h"
#include "compressors/onnx/prune_channels.h"
#include "compressors/onnx/ridge_fit.h"
#include "tests/unit/compressors_onnx/channel_fixture.h"

/* --- choosing --- */

static size_t left_of(uint32_t count, uint32_t stride, double ratio, int64_t multiple) {
    struct channel_family family = {.count = count, .stride = stride};
    struct channel_unit units[64] = {{0}};
    const struct channel_groups c = {
        .families = &family, .family_count = 1, .units = units, .unit_count = count};
    const struct channel_choice how = {.ratio = ratio, .multiple = multiple};
    double scores[64];
    bool remove[64];
    for (uint32_t i = 0; i < count; i++) {
        scores[i] = (double)(i * 7 % count);
    }
    size_t removed = channel_choose(&c, scores, &how, remove);
    for (uint32_t i = 0; i < count; i++) { /* exactly the least go */
        assert_int_equal(remove[i], i * 7 % count < removed);
    }
    return count - removed;
}

static void widths_are_multiples_near_the_ratio(void **state) {
    (void)state;
    assert_int_equal(left_of(64, 1, 0.5, 8), 32);
    assert_int_equal(left_of(64, 1, 0.45, 8), 32); /* of 35.2 */
    assert_int_equal(left_of(64, 1, 0.99, 8), 8);
    assert_int_equal(left_of(64, 1, 0.99, 1), 1);
    assert_int_equal(left_of(8, 1, 0.5, 8), 8); /* no smaller multiple */
    assert_int_equal(left_of(20, 1, 0.5, 16), 16);
    assert_int_equal(left_of(4, 64, 0.5, 8), 2); /* heads of 64 */
    assert_int_equal(left_of(2, 64, 0.9, 8), 1); /* never the last */
    assert_int_equal(left_of(9, 4, 0.5, 8), 4);
}

static void a_global_choice_takes_from_the_family_that_needs_it_least(void **state) {
    (void)state;
    struct channel_family families[2] = {{.first = 0, .count = 20, .stride = 1},
                                         {.first = 20, .count = 20, .stride = 1}};
    struct channel_unit units[40] = {{0}};
    const struct channel_groups c = {
        .families = families, .family_count = 2, .units = units, .unit_count = 40};
    const struct channel_choice how = {.ratio = 0.4, .multiple = 1, .global = true};
    double scores[40];
    bool remove[40];
    size_t first = 0, second = 0;
    for (uint32_t i = 0; i < 40; i++) {
        units[i].family = i / 20;
        scores[i] = i < 20 ? 1 : i < 38 ? 0.001 : 100; /* the second rests on two units */
    }
    assert_int_equal(channel_choose(&c, scores, &how, remove), 16);
    for (uint32_t i = 0; i < 20; i++) {
        first += remove[i];
        second += remove[20 + i];
    }
    assert_int_equal(first, 0);
    assert_int_equal(second, 16);
    assert_false(remove[38] || remove[39]);
}

/* --- fitting --- */

enum { ROWS = 6, OUTPUTS = 3, SAMPLES = 64 };

static void sums_of(struct ridge_sums *s, double samples[SAMPLES][ROWS], double noise_scale,
                    double truth[ROWS][OUTPUTS]) {
    struct err err = {0};
    uint32_t seed = 9;
    assert_int_equal(ridge_sums_init(s, ROWS, OUTPUTS, true, &err), RC_OK);
    for (size_t i = 0; i < SAMPLES; i++) {
        struct ridge_fold *f = &s->folds[i % RIDGE_FOLDS];
        for (size_t k = 0; k < ROWS; k++) {
            samples[i][k] = k + 1 == ROWS ? 1 : (double)noise(&seed);
        }
        for (size_t o = 0; o < OUTPUTS; o++) {
            double y = noise_scale * (double)noise(&seed);
            for (size_t k = 0; k < ROWS; k++) {
                y += truth[k][o] * samples[i][k];
            }
            f->yy += y * y;
            for (size_t k = 0; k < ROWS; k++) {
                f->xy[k * OUTPUTS + o] += samples[i][k] * y;
            }
        }
        for (size_t k = 0; k < ROWS; k++) {
            for (size_t l = 0; l < ROWS; l++) {
                f->xx[k * ROWS + l] += samples[i][k] * samples[i][l];
            }
        }
        f->count++;
    }
}

static void the_fit_finds_the_weights_and_the_constant(void **state) {
    (void)state;
    static double samples[SAMPLES][ROWS], truth[ROWS][OUTPUTS];
    double w[ROWS * OUTPUTS] = {0};
    struct ridge_sums s;
    struct ridge_result result;
    struct err err = {0};
    uint32_t seed = 4;
    for (size_t i = 0; i < ROWS * OUTPUTS; i++) {
        truth[i / OUTPUTS][i % OUTPUTS] = (double)noise(&seed) + 2;
    }
    sums_of(&s, samples, 0, truth);
    assert_int_equal(ridge_fit(&s, w, &result, &err), RC_OK);
    assert_true(result.lambda > 0 && result.after < 1e-6 && result.before > 0.99);
    for (size_t i = 0; i < ROWS * OUTPUTS; i++) {
        assert_true(fabs(w[i] - truth[i / OUTPUTS][i % OUTPUTS]) < 1e-2);
    }
    ridge_sums_release(&s);
}

/* From the true weights, all that can be fitted is noise: they stay. */
static void the_fit_leaves_alone_what_it_cannot_better(void **state) {
    (void)state;
    static double samples[SAMPLES][ROWS], truth[ROWS][OUTPUTS];
    double w[ROWS * OUTPUTS];
    struct ridge_sums s;
    struct ridge_result result;
    struct err err = {0};
    for (size_t i = 0; i < ROWS * OUTPUTS; i++) {
        w[i] = truth[i / OUTPUTS][i % OUTPUTS] = 1 + (double)i;
    }
    sums_of(&s, samples, 0, truth);
    assert_int_equal(ridge_fit(&s, w, &result, &err), RC_OK);
    for (size_t i = 0; i < ROWS * OUTPUTS; i++) {
        assert_true(fabs(w[i] - (1 + (double)i)) < 1e-6);
    }
    ridge_sums_release(&s);
}

/* --- the technique --- */

enum { CLASSES = 10 };

static void floats(struct builder *b, const char *name, size_t rank, const int64_t *dims) {
    static float values[1 << 14];
    size_t count = 1;
    for (size_t i = 0; i < rank; i++) {
        count *= (size_t)dims[i];
    }
    noise_fill(values, count, (uint32_t)b->graph.n_initializer * 13 + 3, 0.3F);
    builder_floats(b, name, dims, rank, values);
}

static struct graph *image_model(void) {
    const int64_t in[] = {-1, 1, SIDE, SIDE}, out[] = {-1, CLASSES};
    const int64_t pads[] = {1, 1, 1, 1};
    struct builder b;
    builder_init(&b, 17);
    builder_input(&b, "x", GRAPH_FLOAT32, in, 4);
    builder_output(&b, "y", GRAPH_FLOAT32, out, 2);
    floats(&b, "w1", 4, (int64_t[]){32, 1, 3, 3});
    floats(&b, "b1", 1, (int64_t[]){32});
    floats(&b, "w2", 4, (int64_t[]){32, 32, 3, 3});
    floats(&b, "w3", 2, (int64_t[]){32, CLASSES});
    floats(&b, "b3", 1, (int64_t[]){CLASSES});
    builder_attr_ints(&b, builder_node(&b, "Conv", "x w1 b1", "c1"), "pads", pads, 4);
    builder_node(&b, "Relu", "c1", "r1");
    builder_attr_ints(&b, builder_node(&b, "Conv", "r1 w2", "c2"), "pads", pads, 4);
    builder_node(&b, "Relu", "c2", "r2");
    builder_node(&b, "GlobalAveragePool", "r2", "g");
    builder_node(&b, "Flatten", "g", "f");
    builder_node(&b, "MatMul", "f w3", "m");
    builder_node(&b, "Add", "m b3", "y");
    struct graph *g = builder_graph(&b);
    builder_free(&b);
    return g;
}

static struct model_bytes prune_with(const char *recipe, uint32_t threads) {
    struct dataset *d = noise_dataset();
    struct channel_scene s = {.g = image_model()};
    struct record record;
    struct err err = {0};
    if (int8_apply(prune_channels_compress, recipe, s.g, d, threads, &record, &err)) {
        fail_msg("%s: %s", recipe, err.text);
    }
    assert_true(record_says(&record.changed, NULL, "16 of 32 channels are left"));
    assert_true(record_says(&record.left_alone, NULL, "output of the model"));
    struct model_bytes bytes = scene_pack(&s);
    record_release(&record);
    graph_free(s.g);
    dataset_free(d);
    return bytes;
}

static double distance_to_original(struct model_bytes pruned) {
    struct dataset *d = noise_dataset();
    struct channel_scene s = {.g = image_model()};
    struct model_bytes original = scene_pack(&s);
    struct err err = {0};
    double error = 0;
    assert_int_equal(model_compare(&original, &pruned, d, IMAGES, &error, &err), RC_OK);
    free((void *)original.data);
    graph_free(s.g);
    dataset_free(d);
    return error;
}

static void fitting_brings_the_outputs_back(void **state) {
    (void)state;
    struct model_bytes cut = prune_with("prune:channels,refit=none", 1);
    struct model_bytes fitted = prune_with("prune:channels", 1);
    assert_true(distance_to_original(fitted) < 0.5 * distance_to_original(cut));
    free((void *)cut.data);
    free((void *)fitted.data);
}

static void threads_change_no_byte(void **state) {
    (void)state;
    static const char *const recipes[] = {"prune:channels", "prune:channels,score=energy",
                                          "prune:channels,score=l1", "prune:channels,score=loss",
                                          "prune:channels,score=taylor"};
    for (size_t i = 0; i < 5; i++) {
        struct model_bytes one = prune_with(recipes[i], 1), three = prune_with(recipes[i], 3);
        assert_int_equal(one.size, three.size);
        assert_memory_equal(one.data, three.data, one.size);
        free((void *)one.data);
        free((void *)three.data);
    }
}

/* What switching a unit off does is what cutting it does. */
static void the_loss_of_a_unit_is_that_of_the_model_without_it(void **state) {
    (void)state;
    struct dataset *d = noise_dataset();
    struct channel_scene s;
    struct record record;
    struct err err = {0};
    record_init(&record);
    scene_open(&s, image_model());
    struct compress_job job = {.graph = s.g, .calibration = d, .threads = 2, .record = &record};
    struct model_bytes whole = scene_pack(&s);
    struct output_reference *reference = NULL;
    double *scores = calloc(s.groups->unit_count + 1, sizeof(*scores)), ratio = 0;
    struct graph_shapes *bind = NULL;
    assert_int_equal(graph_shapes_observe(s.g, d, &bind, &err), RC_OK);
    for (size_t f = 0; f < s.groups->family_count; f++) {
        if (channel_score_loss(&job, s.groups, f, scores, &err)) {
            fail_msg("%s", err.text);
        }
    }
    assert_int_equal(output_reference_new(whole.data, whole.size, d, 16, &reference, &err), RC_OK);
    for (uint32_t u = 0; u < s.groups->unit_count; u += 5) {
        struct channel_scene cut;
        double distance = 0;
        scene_open(&cut, image_model());
        cut.remove[u] = true;
        assert_int_equal(channel_cut(cut.g, cut.groups, cut.remove, &err), RC_OK);
        struct model_bytes small = scene_pack(&cut);
        assert_int_equal(output_reference_distance(reference, small.data, small.size, &distance, &err),
                         RC_OK);
        ratio = u == 0 ? scores[0] / distance : ratio; /* one is relative, the other is not */
        assert_true(fabs(scores[u] - ratio * distance) <= 1e-3 * scores[u]);
        free((void *)small.data);
        scene_close(&cut);
    }
    output_reference_free(reference);
    graph_shapes_free(bind);
    free((void *)whole.data);
    free(scores);
    record_release(&record);
    scene_close(&s);
    dataset_free(d);
}

static void a_model_without_channels_to_remove_is_refused(void **state) {
    (void)state;
    const int64_t in[] = {-1, 1, SIDE, SIDE}, out[] = {-1, 12, 6, 6};
    struct dataset *d = noise_dataset();
    struct builder b;
    struct record record;
    struct err err = {0};
    builder_init(&b, 17);
    builder_input(&b, "x", GRAPH_FLOAT32, in, 4);
    builder_output(&b, "y", GRAPH_FLOAT32, out, 4);
    floats(&b, "w1", 4, (int64_t[]){12, 1, 3, 3});
    builder_node(&b, "Conv", "x w1", "y");
    struct graph *g = builder_graph(&b);
    builder_free(&b);
    assert_int_equal(int8_apply(prune_channels_compress, "prune:channels", g, d, 1, &record, &err),
                     RC_UNSUPPORTED);
    assert_non_null(strstr(err.text, "node Conv n0: it is an output of the model"));
    record_release(&record);
    graph_free(g);
    dataset_free(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(widths_are_multiples_near_the_ratio),
        cmocka_unit_test(a_global_choice_takes_from_the_family_that_needs_it_least),
        cmocka_unit_test(the_fit_finds_the_weights_and_the_constant),
        cmocka_unit_test(the_fit_leaves_alone_what_it_cannot_better),
        cmocka_unit_test(fitting_brings_the_outputs_back),
        cmocka_unit_test(threads_change_no_byte),
        cmocka_unit_test(the_loss_of_a_unit_is_that_of_the_model_without_it),
        cmocka_unit_test(a_model_without_channels_to_remove_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
