/* What pruning and low rank keep on a real trained model, on all of its evaluation data; needs PARE_MODELS
 * (default
 * ../shared) and is skipped without. */
#include <unistd.h>

#include "compressors/compressor.h"
#include "core/base/file.h"
#include "core/recipes/recipe.h"
#include "tests/support/onnx_accuracy.h"
#include "tests/support/test.h"

enum { PATH_SIZE = 1024 };

/* Top-1 accuracy of docs-lm (float32: 0.3896; half of the weights gone by magnitude: 0.11), at least. */
static const struct {
    const char *recipe;
    double least;
} figures[] = {
    {"prune:sparsegpt,ratio=0.5", 0.333},
    {"prune:sparsegpt,pattern=2:4", 0.28},
    {"lowrank:svd,ratio=0.75", 0.333},
    {"lowrank:svd,ratio=0.75,head=factor", 0.30},
};

static double accuracy_of(struct onnxruntime *r, const char *path) {
    const struct onnxruntime_session_opts opts = {.threads = 2};
    struct onnxruntime_session *s = NULL;
    const struct tensor_spec *inputs = NULL;
    struct dataset *d = open_data("docs-lm", false);
    struct feed f = {0};
    struct err err = {0};
    if (onnxruntime_open(r, path, &opts, &s, &err)) {
        fail_msg("%s", err.text);
    }
    f.count = onnxruntime_inputs(s, &inputs);
    assert_int_equal(dataset_bind(d, inputs, f.count, &err), RC_OK);
    double result = accuracy(s, d, &f, 0);
    feed_release(&f);
    onnxruntime_close(s);
    dataset_free(d);
    return result;
}

static double accuracy_after(struct onnxruntime *r, const char *model, const char *folder, const char *text) {
    const struct compress_file file = {"model.onnx", model};
    struct recipe recipe;
    struct compress_result result;
    struct err err = {0};
    char path[PATH_SIZE];
    struct dataset *calibration = open_data("docs-lm", true);
    assert_int_equal(recipe_parse(text, FAMILY_ONNX, &recipe, &err), RC_OK);
    const struct compress_request request = {.recipe = &recipe,
                                             .files = &file,
                                             .file_count = 1,
                                             .main_path = "model.onnx",
                                             .out_folder = folder,
                                             .calibration = calibration,
                                             .threads = 2};
    if (compressors_run(&request, &result, &err)) {
        fail_msg("%s: %s", text, err.text);
    }
    compress_result_release(&result);
    dataset_free(calibration);
    snprintf(path, sizeof(path), "%s/model.onnx", folder);
    return accuracy_of(r, path);
}

static void a_language_model_keeps_its_accuracy(void **state) {
    char model[PATH_SIZE], folder[] = "/tmp/pare-sparse-XXXXXX";
    struct onnxruntime *r = NULL;
    struct err err = {0};
    size_t missed = 0;
    (void)state;
    snprintf(model, sizeof(model), "%s/models/docs-lm.onnx", models_folder());
    if (access(model, R_OK) != 0) {
        print_message("skipped: %s is not here\n", model);
        skip();
    }
    assert_non_null(mkdtemp(folder));
    assert_int_equal(onnxruntime_new(NULL, &r, &err), RC_OK);
    for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); i++) {
        double now = accuracy_after(r, model, folder, figures[i].recipe);
        print_message("%s: %.4f, at least %.4f\n", figures[i].recipe, now, figures[i].least);
        missed += now < figures[i].least;
    }
    onnxruntime_free(r);
    assert_int_equal(file_remove_tree(folder, &err), RC_OK);
    assert_int_equal(missed, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_language_model_keeps_its_accuracy)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
