/* Datasets opened from descriptors: binding to a model's inputs, conversion, labels, splits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/container.h"
#include "core/base/json.h"
#include "core/data/dataset.h"

#define FOLDER "tests/data/datasets/"

static enum rc open_text(const char *text, struct dataset **ret, struct err *err) {
    json_t *descriptor = NULL;
    assert_int_equal(json_parse(text, strlen(text), &descriptor, err), RC_OK);
    enum rc rc = dataset_open(descriptor, 0, ret, err);
    json_decref(descriptor);
    return rc;
}

static struct dataset *open_good(const char *text) {
    struct dataset *d = NULL;
    struct err err = {0};
    if (open_text(text, &d, &err) != RC_OK) {
        fail_msg("%s: %s", text, err.text);
    }
    return d;
}

static struct dataset *open_npz(const char *file) {
    char text[512];
    snprintf(text, sizeof(text),
             "{\"format\": \"npz\", \"files\": [{\"role\": \"arrays\", \"local\": \"" FOLDER "%s\"}]}", file);
    return open_good(text);
}

static struct dataset *open_images(const char *preprocess, const char *split) {
    char text[1024];
    snprintf(text, sizeof(text),
             "{\"format\": \"idx\", \"files\": [{\"role\": \"images\", \"local\": \"" FOLDER
             "images-idx3.gz\"}, {\"role\": \"labels\", \"local\": \"" FOLDER
             "labels-idx1\"}], \"input\": \"image\", \"preprocess\": %s, \"split\": %s}",
             preprocess, split);
    return open_good(text);
}

static void bind_good(struct dataset *d, const struct tensor_spec *inputs, size_t n) {
    struct err err = {0};
    if (dataset_bind(d, inputs, n, &err) != RC_OK) {
        fail_msg("%s", err.text);
    }
}

static void near(float value, double expected) {
    assert_true((double)value > expected - 1e-6 && (double)value < expected + 1e-6);
}

static void images_get_a_channel_axis_and_are_normalized(void **state) {
    (void)state;
    struct dataset *d = open_images("{\"image\": {\"scale\": 0.5, \"mean\": [1], \"std\": 2}}", "null");
    const struct tensor_spec input = {
        .name = "image", .dtype = DTYPE_FLOAT32, .rank = 4, .dims = {-1, 1, 3, 3}};
    bind_good(d, &input, 1);
    assert_int_equal(dataset_count(d), 2);
    assert_int_equal(dataset_input(d, 0)->rank, 4);
    assert_int_equal(dataset_input(d, 0)->dims[1], 1);
    assert_int_equal(dataset_input_bytes(d, 0), 9 * sizeof(float));
    float out[18];
    dataset_fill(d, 0, 0, 2, out);
    for (int i = 0; i < 18; i++) {
        near(out[i], (i * 0.5 - 1) / 2);
    }
    const size_t backwards[] = {1, 0};
    dataset_fill_chosen(d, 0, backwards, 2, out);
    near(out[0], (9 * 0.5 - 1) / 2);
    near(out[9], -0.5);
    assert_int_equal(dataset_labels(d), LABELS_EXAMPLE);
    assert_int_equal(dataset_label(d, 0)[0], 1);
    assert_int_equal(dataset_label(d, 1)[0], 0);
    dataset_free(d);
}

/* The table for uint8 into float32 and the general way agree; here the model takes float64. */
static void other_float_types_get_the_same_values(void **state) {
    (void)state;
    const enum dtype types[] = {DTYPE_FLOAT32, DTYPE_FLOAT64, DTYPE_FLOAT16};
    for (size_t t = 0; t < ARRAY_SIZE(types); t++) {
        struct dataset *d = open_images("{\"image\": {\"scale\": 0.25, \"mean\": 1}}", "null");
        const struct tensor_spec input = {
            .name = "image", .dtype = types[t], .rank = 4, .dims = {2, 1, -1, 3}};
        double out[18];
        bind_good(d, &input, 1);
        dataset_fill(d, 0, 0, 2, out);
        for (int i = 0; i < 18; i++) {
            float value = types[t] == DTYPE_FLOAT32   ? ((float *)out)[i]
                          : types[t] == DTYPE_FLOAT64 ? (float)out[i]
                                                      : dtype_float_of_half(((uint16_t *)out)[i]);
            near(value, i * 0.25 - 1);
        }
        dataset_free(d);
    }
}

static struct dataset *open_color(const char *preprocess) {
    char text[512];
    snprintf(text, sizeof(text),
             "{\"format\": \"idx\", \"files\": [{\"role\": \"images\", \"local\": \"" FOLDER
             "color-idx4\"}], \"preprocess\": %s}",
             preprocess);
    return open_good(text);
}

static void nhwc_becomes_nchw_with_statistics_by_channel(void **state) {
    (void)state;
    struct dataset *d =
        open_color("{\"x\": {\"layout\": \"nhwc\", \"mean\": [0, 1, 2], \"std\": [1, 2, 4]}}");
    const struct tensor_spec input = {.name = "x", .dtype = DTYPE_FLOAT32, .rank = 4, .dims = {-1, 3, 2, 2}};
    bind_good(d, &input, 1);
    float out[12];
    dataset_fill(d, 0, 0, 1, out);
    for (int c = 0; c < 3; c++) {
        for (int p = 0; p < 4; p++) {
            near(out[c * 4 + p], (p * 3 + c - (double)c) / (1 << c));
        }
    }
    assert_int_equal(dataset_labels(d), LABELS_NONE);
    dataset_free(d);
}

static void nhwc_stays_for_a_model_that_takes_it(void **state) {
    (void)state;
    struct dataset *d = open_color("{\"x\": {\"layout\": \"nhwc\", \"mean\": [0, 1, 2]}}");
    const struct tensor_spec input = {.name = "x", .dtype = DTYPE_FLOAT32, .rank = 4, .dims = {-1, 2, 2, 3}};
    bind_good(d, &input, 1);
    float out[12];
    dataset_fill(d, 0, 0, 1, out);
    for (int i = 0; i < 12; i++) {
        near(out[i], i - i % 3);
    }
    dataset_free(d);
}

static void integers_convert_when_they_fit(void **state) {
    (void)state;
    struct dataset *d = open_npz("tokens.npz");
    const struct tensor_spec input = {.name = "input_ids", .dtype = DTYPE_INT32, .rank = 2, .dims = {-1, -1}};
    bind_good(d, &input, 1);
    int32_t out[8];
    dataset_fill(d, 0, 0, 4, out);
    assert_int_equal(out[7], 8);
    assert_int_equal(dataset_input(d, 0)->dims[1], 2);
    assert_int_equal(dataset_labels(d), LABELS_POSITION);
    assert_int_equal(dataset_label_width(d), 2);
    assert_true(dataset_ignored(dataset_label(d, 0)[1]) && dataset_ignored(dataset_label(d, 2)[1]));
    assert_false(dataset_ignored(dataset_label(d, 0)[0]));
    struct err err;
    assert_int_equal(dataset_check_labels(d, 9, &err), RC_OK);
    assert_int_equal(dataset_check_labels(d, 8, &err), RC_INPUT);
    assert_non_null(strstr(err.text, "8 at example 3, position 0; the model has 8 classes (0 to 7)"));
    dataset_free(d);
}

static void float_labels_are_targets(void **state) {
    (void)state;
    struct dataset *d = open_npz("targets.npz");
    struct err err;
    assert_int_equal(dataset_labels(d), LABELS_TARGET);
    near(dataset_target(d, 2)[0], -2);
    assert_int_equal(dataset_check_labels(d, 2, &err), RC_OK);
    dataset_free(d);
}

static void arrays_are_listed_without_labels(void **state) {
    (void)state;
    struct dataset *d = open_npz("image.npz");
    assert_int_equal(dataset_array_count(d), 1);
    assert_string_equal(dataset_array(d, 0)->name, "image");
    assert_int_equal(dataset_array(d, 0)->dtype, DTYPE_UINT8);
    dataset_free(d);
}

/* tests/data/bad-datasets.json: [{"dataset", "inputs"?, "classes"?, "expected"}] */
static enum rc run_case(const json_t *c, struct err *err) {
    struct tensor_spec specs[4] = {0};
    struct dataset *d = NULL;
    const json_t *inputs = json_object_get(c, "inputs");
    enum rc rc = dataset_open(json_object_get(c, "dataset"), 1 << 20, &d, err);
    for (size_t i = 0; i < json_array_size(inputs); i++) {
        const json_t *in = json_array_get(inputs, i), *shape = json_object_get(in, "shape");
        specs[i].name = json_string_value(json_object_get(in, "name"));
        specs[i].dtype = dtype_from_numpy(json_string_value(json_object_get(in, "dtype")), 2);
        specs[i].rank = json_array_size(shape);
        for (size_t k = 0; k < specs[i].rank; k++) {
            specs[i].dims[k] = json_integer_value(json_array_get(shape, k));
        }
    }
    if (rc == RC_OK && inputs) {
        rc = dataset_bind(d, specs, json_array_size(inputs), err);
    }
    if (rc == RC_OK && json_object_get(c, "classes")) {
        rc = dataset_check_labels(d, json_integer_value(json_object_get(c, "classes")), err);
    }
    dataset_free(d);
    return rc;
}

static void bad_datasets_are_refused_with_a_reason(void **state) {
    (void)state;
    json_error_t e;
    json_t *cases = json_load_file("tests/data/bad-datasets.json", 0, &e), *c;
    size_t i, wrong = 0;
    if (!cases) {
        fail_msg("line %d: %s", e.line, e.text);
    }
    assert_true(json_array_size(cases) > 20);
    json_array_foreach(cases, i, c) {
        struct err err = {0};
        const char *expected = json_string_value(json_object_get(c, "expected"));
        enum rc rc = run_case(c, &err);
        if (rc == RC_OK || rc != err.rc || !strstr(err.text, expected)) {
            printf("case %zu: expected \"%s\", got %s \"%s\"\n", i, expected, rc_name(rc), err.text);
            wrong++;
        }
    }
    json_decref(cases);
    assert_int_equal(wrong, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(images_get_a_channel_axis_and_are_normalized),
        cmocka_unit_test(other_float_types_get_the_same_values),
        cmocka_unit_test(nhwc_becomes_nchw_with_statistics_by_channel),
        cmocka_unit_test(nhwc_stays_for_a_model_that_takes_it),
        cmocka_unit_test(integers_convert_when_they_fit),
        cmocka_unit_test(float_labels_are_targets),
        cmocka_unit_test(arrays_are_listed_without_labels),
        cmocka_unit_test(bad_datasets_are_refused_with_a_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
