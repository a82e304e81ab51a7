/* What the rows of a classifier's last layer count, and how far outputs have moved. */
#include "compressors/onnx/class_weights.h"
#include "compressors/onnx/output_change.h"
#include "tests/unit/compressors_onnx/int8_fixture.h"

enum { CLASSES = 5, CHANGED = 2 };

/* Images of noise with labels. */
static struct dataset *labelled(void) {
    static unsigned char images[IDX_HEAD + IMAGES * IMAGE], labels[8 + IMAGES];
    const unsigned char head[IDX_HEAD] = {0, 0, 8, 3, 0, 0, 0, IMAGES, 0, 0, 0, SIDE, 0, 0, 0, SIDE};
    const unsigned char label_head[8] = {0, 0, 8, 1, 0, 0, 0, IMAGES};
    char folder[] = "/tmp/pare-test-labels-XXXXXX", a[64], b[64];
    struct dataset *d = NULL;
    struct err err = {0};
    uint32_t seed = 3;
    assert_non_null(mkdtemp(folder));
    snprintf(a, sizeof(a), "%s/images", folder);
    snprintf(b, sizeof(b), "%s/labels", folder);
    memcpy(images, head, IDX_HEAD);
    memcpy(labels, label_head, 8);
    for (size_t i = 0; i < IMAGES * IMAGE; i++) {
        images[IDX_HEAD + i] = (unsigned char)noise_next(&seed);
    }
    for (size_t i = 0; i < IMAGES; i++) {
        labels[8 + i] = (unsigned char)(i % CLASSES);
    }
    assert_int_equal(file_write(a, images, sizeof(images), 0600, &err), RC_OK);
    assert_int_equal(file_write(b, labels, sizeof(labels), 0600, &err), RC_OK);
    json_t *o = json_pack("{s:s, s:[{s:s,s:s,s:s},{s:s,s:s,s:s}], s:s, s:{s:{s:f,s:[f],s:[f]}}}", "format",
                          "idx", "files", "path", "images", "local", a, "role", "images", "path", "labels",
                          "local", b, "role", "labels", "input", "x", "preprocess", "x", "scale", 1.0, "mean",
                          127.5, "std", 127.5);
    if (!o || dataset_open(o, 0, &d, &err)) {
        fail_msg("%s", err.text);
    }
    json_decref(o);
    assert_int_equal(file_remove_tree(folder, &err), RC_OK);
    return d;
}

/* Flatten, a product, and the sum with a bias that makes class CHANGED likely. */
static struct graph *classifier(struct builder *b, float scale) {
    const int64_t in[] = {-1, 1, SIDE, SIDE}, out[] = {-1, CLASSES}, w[] = {IMAGE, CLASSES},
                  classes = CLASSES;
    float weights[IMAGE * CLASSES], bias[CLASSES] = {0};
    noise_fill(weights, IMAGE * CLASSES, 9, 0.1F * scale);
    bias[CHANGED] = 3;
    builder_init(b, 17);
    builder_input(b, "x", GRAPH_FLOAT32, in, 4);
    builder_output(b, "y", GRAPH_FLOAT32, out, 2);
    builder_floats(b, "w", w, 2, weights);
    builder_floats(b, "b", &classes, 1, bias);
    builder_node(b, "Flatten", "x", "f");
    builder_node(b, "MatMul", "f w", "p");
    builder_node(b, "Add", "p b", "y");
    return builder_graph(b);
}

static struct graph_node *product(struct graph *g) {
    return graph_find(g, "p")->producer;
}

static void likely_classes_count_more(void **state) {
    struct builder b;
    struct record record;
    struct err err = {0};
    double *weights = NULL, sum = 0;
    (void)state;
    struct dataset *d = labelled();
    struct graph *g = classifier(&b, 1);
    const struct compress_job job = {.graph = g, .calibration = d, .threads = 2, .record = &record};
    assert_int_equal(class_weights(&job, product(g), CLASSES, &weights, &err), RC_OK);
    assert_non_null(weights);
    for (size_t c = 0; c < CLASSES; c++) {
        sum += weights[c] * weights[c];
        assert_true(c == CHANGED || weights[c] < 0.6 * weights[CHANGED]);
        assert_true(weights[c] * weights[c] >= 0.1 / CLASSES);
    }
    assert_true(fabs(sum - 1) < 1e-9);
    free(weights);
    graph_free(g);
    builder_free(&b);
    dataset_free(d);
}

static void without_classes_or_far_from_the_output_nothing_is_weighed(void **state) {
    struct builder b;
    struct record record;
    struct err err = {0};
    double *weights = NULL;
    (void)state;
    struct dataset *plain = noise_dataset(), *d = labelled();
    struct graph *g = classifier(&b, 1);
    struct compress_job job = {.graph = g, .calibration = plain, .threads = 1, .record = &record};
    assert_int_equal(class_weights(&job, product(g), CLASSES, &weights, &err), RC_OK);
    assert_null(weights);
    job.calibration = d;
    assert_int_equal(class_weights(&job, graph_find(g, "f")->producer, CLASSES, &weights, &err), RC_OK);
    assert_null(weights);
    graph_free(g);
    builder_free(&b);
    dataset_free(d);
    dataset_free(plain);
}

static void a_model_has_not_moved_from_itself(void **state) {
    (void)state;
    for (int with_labels = 0; with_labels < 2; with_labels++) {
        double same = -1, other = -1;
        struct builder b, changed_b;
        struct record record;
        struct err err = {0};
        char *was = NULL;
        size_t size = 0;
        struct dataset *d = with_labels ? labelled() : noise_dataset();
        struct graph *g = classifier(&b, 1), *changed = classifier(&changed_b, 1.5F);
        struct compress_job job = {.graph = g, .calibration = d, .threads = 2, .record = &record};
        assert_int_equal(graph_pack(g, &was, &size, &err), RC_OK);
        assert_int_equal(output_change(&job, was, size, 0, &same, &err), RC_OK);
        job.graph = changed;
        assert_int_equal(output_change(&job, was, size, 0, &other, &err), RC_OK);
        assert_true(same == 0);
        assert_true(other > 1e-3);
        free(was);
        graph_free(g);
        graph_free(changed);
        builder_free(&b);
        builder_free(&changed_b);
        dataset_free(d);
    }
}

static void the_divergence_is_that_of_the_softmax(void **state) {
    const float a[] = {0, 0}, b[] = {0, 1}, shifted[] = {1000, 1001};
    double q0 = 1 / (1 + exp(1.0)), q1 = 1 - q0, expected = 0.5 * log(0.5 / q0) + 0.5 * log(0.5 / q1);
    (void)state;
    assert_true(fabs(output_change_divergence(a, b, 2) - expected) < 1e-12);
    assert_true(fabs(output_change_divergence(a, shifted, 2) - expected) < 1e-12);
    assert_true(output_change_divergence(b, shifted, 2) < 1e-12);
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
        cmocka_unit_test(likely_classes_count_more),
        cmocka_unit_test(without_classes_or_far_from_the_output_nothing_is_weighed),
        cmocka_unit_test(a_model_has_not_moved_from_itself),
        cmocka_unit_test(the_divergence_is_that_of_the_softmax),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
