/* Mixed precision against uniform levels on real trained models (PARE_MODELS, default ../shared): smaller at
 * the same floor than any uniform level that keeps it. bench_accuracy prints the whole table. */
#include <unistd.h>

#include "compressors/compressor.h"
#include "core/base/file.h"
#include "core/recipes/recipe.h"
#include "tests/support/onnx_accuracy.h"
#include "tests/support/test.h"

enum { PATH_SIZE = 1024 };

struct expectation {
    const char *model, *data; /* data NULL: Fashion-MNIST */
    size_t examples;          /* of the evaluation set */
    const char *mixed;
    double floor_drop; /* from float32 on the same examples: the floor */
};

static const struct expectation expectations[] = {
    {"docs-lm", "docs-lm", 150, "mixed:drop=0.5", 0.0065},
    {"sst2-bert", "sst2-bert", 600, "mixed:drop=0.3", 0.005},
};

/* The uniform levels that keep those floors, or may: others lose more. */
static const char *const uniform[] = {"int8:dynamic", "int8:static", "int8:weights", "int4:gptq"};

struct scene {
    struct onnxruntime *runtime;
    struct dataset *eval, *calibration;
    const struct expectation *x;
    char model[PATH_SIZE], folder[64];
    bool bound;
};

struct made {
    double accuracy;
    uint64_t bytes;
};

static double accuracy_of(struct scene *s, const char *path) {
    const struct onnxruntime_session_opts opts = {.threads = 2};
    struct onnxruntime_session *session = NULL;
    const struct tensor_spec *inputs = NULL;
    struct feed f = {0};
    struct err err = {0};
    if (onnxruntime_open(s->runtime, path, &opts, &session, &err)) {
        fail_msg("%s", err.text);
    }
    f.count = onnxruntime_inputs(session, &inputs);
    if (!s->bound) {
        assert_int_equal(dataset_bind(s->eval, inputs, f.count, &err), RC_OK);
        s->bound = true;
    }
    double result = accuracy(session, s->eval, &f, s->x->examples);
    feed_release(&f);
    onnxruntime_close(session);
    return result;
}

static struct made make(struct scene *s, const char *text) {
    struct recipe recipe;
    struct compress_result result;
    struct err err = {0};
    char path[PATH_SIZE];
    const struct compress_file file = {"model.onnx", s->model};
    assert_int_equal(recipe_parse(text, FAMILY_ONNX, &recipe, &err), RC_OK);
    const struct compress_request request = {.recipe = &recipe,
                                             .files = &file,
                                             .file_count = 1,
                                             .main_path = "model.onnx",
                                             .out_folder = s->folder,
                                             .calibration = s->calibration,
                                             .threads = 2};
    if (compressors_run(&request, &result, &err)) {
        fail_msg("%s: %s", text, err.text);
    }
    snprintf(path, sizeof(path), "%s/%s", s->folder, result.paths[0]);
    struct made m = {accuracy_of(s, path), result.bytes};
    print_message("  %-16s %.4f %llu B\n", text, m.accuracy, (unsigned long long)m.bytes);
    compress_result_release(&result);
    return m;
}

static void check(const struct expectation *x) {
    struct scene s = {.x = x, .folder = "/tmp/pare-mixed-XXXXXX"};
    struct err err = {0};
    uint64_t smallest = UINT64_MAX;
    snprintf(s.model, sizeof(s.model), "%s/models/%s.onnx", models_folder(), x->model);
    assert_non_null(mkdtemp(s.folder));
    assert_int_equal(onnxruntime_new(NULL, &s.runtime, &err), RC_OK);
    s.eval = open_data(x->data, false);
    s.calibration = open_data(x->data, true);
    double floor = make(&s, "fp32").accuracy - x->floor_drop;
    struct made mixed = make(&s, x->mixed);
    for (size_t i = 0; i < sizeof(uniform) / sizeof(uniform[0]); i++) {
        struct made m = make(&s, uniform[i]);
        smallest = m.accuracy >= floor && m.bytes < smallest ? m.bytes : smallest;
    }
    print_message("%s: floor %.4f\n", x->model, floor);
    assert_true(mixed.accuracy >= floor);
    assert_true(mixed.bytes < smallest);
    dataset_free(s.eval);
    dataset_free(s.calibration);
    onnxruntime_free(s.runtime);
    assert_int_equal(file_remove_tree(s.folder, &err), RC_OK);
}

static void check_or_skip(const struct expectation *x) {
    char path[PATH_SIZE];
    snprintf(path, sizeof(path), "%s/models/%s.onnx", models_folder(), x->model);
    if (access(path, R_OK) != 0) {
        print_message("skipped: %s is not here\n", path);
        skip();
    }
    check(x);
}

static void mixed_is_smaller_than_uniform_levels_on_a_language_model(void **state) {
    (void)state;
    check_or_skip(&expectations[0]);
}

static void mixed_is_smaller_than_uniform_levels_on_a_classifier_of_text(void **state) {
    (void)state;
    check_or_skip(&expectations[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mixed_is_smaller_than_uniform_levels_on_a_language_model),
        cmocka_unit_test(mixed_is_smaller_than_uniform_levels_on_a_classifier_of_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
