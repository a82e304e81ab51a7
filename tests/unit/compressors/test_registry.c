/* Every descriptor has a function and every function a descriptor; a recipe runs as a whole. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compressors/compressor.h"
#include "core/base/file.h"
#include "core/recipes/recipe.h"
#include "tests/support/test.h"

static void every_descriptor_has_a_function(void **state) {
    size_t count;
    const struct compressor_desc *all = recipe_descriptors(&count);
    (void)state;
    for (size_t i = 0; i < count; i++) {
        if (!compressors_find(all[i].name)) {
            fail_msg("%s has no function", all[i].name);
        }
    }
    assert_int_equal(count, compressors_count());
}

static void every_function_has_a_descriptor(void **state) {
    size_t count;
    const struct compressor_desc *all = recipe_descriptors(&count);
    (void)state;
    for (size_t i = 0; i < compressors_count(); i++) {
        bool found = false;
        for (size_t k = 0; k < count; k++) {
            found = found || strcmp(all[k].name, compressors_name(i)) == 0;
        }
        if (!found) {
            fail_msg("%s has no descriptor", compressors_name(i));
        }
    }
    assert_null(compressors_name(compressors_count()));
    assert_null(compressors_find("int7"));
}

struct scene {
    char folder[64], model[1024];
    double last;
    size_t calls;
};

static void on_progress(void *user, double fraction, const char *text) {
    struct scene *s = user;
    assert_non_null(text);
    assert_true(fraction >= s->last && fraction <= 1.0);
    s->last = fraction;
    s->calls++;
}

static void scene_start(struct scene *s) {
    const char *root = getenv("PARE_MODELS");
    uint64_t bytes;
    memset(s, 0, sizeof(*s));
    snprintf(s->model, sizeof(s->model), "%s/models/fmnist-vgg.onnx", root ? root : "../shared");
    if (file_size(s->model, &bytes, NULL) != RC_OK) {
        print_message("%s is not there: skipped\n", s->model);
        skip();
    }
    snprintf(s->folder, sizeof(s->folder), "/tmp/pare-registry-XXXXXX");
    assert_non_null(mkdtemp(s->folder));
}

static enum rc scene_run(struct scene *s, const char *recipe, struct compress_result *result,
                         struct err *err) {
    struct recipe parsed;
    struct compress_file file = {"model.onnx", s->model};
    assert_int_equal(recipe_parse(recipe, FAMILY_ONNX, &parsed, err), RC_OK);
    struct compress_request request = {.recipe = &parsed,
                                       .files = &file,
                                       .file_count = 1,
                                       .main_path = "model.onnx",
                                       .out_folder = s->folder,
                                       .on_progress = on_progress,
                                       .user = s};
    return compressors_run(&request, result, err);
}

static void scene_end(struct scene *s) {
    struct err err;
    assert_int_equal(file_remove_tree(s->folder, &err), RC_OK);
}

static void steps_work_on_each_others_result(void **state) {
    struct scene s;
    struct compress_result result;
    struct err err;
    uint64_t before, after;
    char path[128];
    (void)state;
    scene_start(&s);
    if (scene_run(&s, "prune:magnitude,ratio=0.3+int4", &result, &err) != RC_OK) {
        fail_msg("%s", err.text);
    }
    snprintf(path, sizeof(path), "%s/%s", s.folder, result.paths[0]);
    assert_int_equal(result.path_count, 1);
    assert_int_equal(file_size(path, &after, &err), RC_OK);
    assert_int_equal(file_size(s.model, &before, &err), RC_OK);
    assert_int_equal(result.bytes, after);
    assert_true(after < before / 2);
    assert_true(result.seconds > 0);
    assert_int_equal(result.record.changed.count, 9 + 9); /* all weights pruned, and packed too */
    assert_true(s.calls >= 9 && s.last == 1.0);
    compress_result_release(&result);
    scene_end(&s);
}

static void the_baseline_is_the_model_as_it_was(void **state) {
    struct scene s;
    struct compress_result result;
    struct err err;
    char path[128], *a, *b;
    size_t a_size, b_size;
    (void)state;
    scene_start(&s);
    assert_int_equal(scene_run(&s, "fp32", &result, &err), RC_OK);
    snprintf(path, sizeof(path), "%s/%s", s.folder, result.paths[0]);
    assert_int_equal(file_read(path, SIZE_MAX / 2, &a, &a_size, &err), RC_OK);
    assert_int_equal(file_read(s.model, SIZE_MAX / 2, &b, &b_size, &err), RC_OK);
    assert_int_equal(a_size, b_size);
    assert_memory_equal(a, b, a_size);
    assert_int_equal(result.record.changed.count, 0);
    free(a);
    free(b);
    compress_result_release(&result);
    scene_end(&s);
}

static void a_failing_step_is_named(void **state) {
    struct scene s;
    struct compress_result result;
    struct err err;
    (void)state;
    scene_start(&s);
    assert_int_equal(scene_run(&s, "int8:static", &result, &err), RC_INPUT); /* no calibration examples */
    assert_non_null(strstr(err.text, "int8:static"));
    assert_int_equal(result.path_count, 0);
    snprintf(s.model, sizeof(s.model), "/nowhere/model.onnx");
    assert_int_equal(scene_run(&s, "fp16", &result, &err), RC_NOT_FOUND);
    scene_end(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_descriptor_has_a_function),
        cmocka_unit_test(every_function_has_a_descriptor),
        cmocka_unit_test(steps_work_on_each_others_result),
        cmocka_unit_test(the_baseline_is_the_model_as_it_was),
        cmocka_unit_test(a_failing_step_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
