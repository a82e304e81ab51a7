/* The accuracy that 8 bits must keep on real trained models. The committed example runs wherever Debian's
 * Fashion-MNIST is installed; the others need PARE_MODELS (default ../shared). Subsets keep this short;
 * bench_accuracy prints the whole table. */
#include <unistd.h>

#include "compressors/onnx/graph.h"
#include "compressors/onnx/int8_dynamic.h"
#include "compressors/onnx/int8_static.h"
#include "core/recipes/recipe.h"
#include "tests/support/onnx_accuracy.h"
#include "tests/support/test.h"

enum { PATH_SIZE = 1024 };

struct expectation {
    const char *model, *data;         /* data NULL: Fashion-MNIST */
    size_t examples;                  /* of the evaluation set */
    double static_drop, dynamic_drop; /* at most, from float32 on the same examples */
};

/* From the whole sets: floors 0.947 of 0.9478, 0.948 of 0.9489, 0.904 of 0.9056, 0.921 of 0.9228, 0.387 of
 * 0.3896. A subset adds noise only to the comparison with the floor, hardly to the drop. */
static const struct expectation expectations[] = {
    {"fmnist-resnet", NULL, 1000, 0.003, 0.003},      {"fmnist-vgg", NULL, 1000, 0.003, 0.003},
    {"fmnist-resnet-thin", NULL, 2000, 0.003, 0.003}, {"sst2-bert", "sst2-bert", 600, 0.005, 0.005},
    {"docs-lm", "docs-lm", 200, 0.003, 0.008},
};

static bool have(const char *path) {
    if (access(path, R_OK) == 0) {
        return true;
    }
    print_message("skipped: %s is not here\n", path);
    return false;
}

static bool have_data(const struct expectation *x) {
    char path[PATH_SIZE];
    if (x->data) {
        snprintf(path, sizeof(path), "%s/data/%s.eval.npz", models_folder(), x->data);
    } else {
        snprintf(path, sizeof(path), "%s/t10k-images-idx3-ubyte.gz", fashion_folder());
    }
    return have(path);
}

static double accuracy_of(struct onnxruntime *r, struct graph *g, const struct expectation *x) {
    const struct onnxruntime_session_opts opts = {.threads = 2};
    struct onnxruntime_session *s = NULL;
    const struct tensor_spec *inputs = NULL;
    struct dataset *d = open_data(x->data, false);
    struct feed f = {0};
    struct err err = {0};
    char *data = NULL;
    size_t size = 0;
    if (graph_pack(g, &data, &size, &err) || onnxruntime_open_bytes(r, data, size, &opts, &s, &err)) {
        fail_msg("%s", err.text);
    }
    f.count = onnxruntime_inputs(s, &inputs);
    assert_int_equal(dataset_bind(d, inputs, f.count, &err), RC_OK);
    double result = accuracy(s, d, &f, x->examples);
    feed_release(&f);
    onnxruntime_close(s);
    dataset_free(d);
    free(data);
    return result;
}

static double accuracy_after(struct onnxruntime *r, const char *path, const struct expectation *x,
                             const char *text) {
    const struct compress_file file = {"model.onnx", path};
    struct record record;
    struct compress_job job = {.threads = 2, .record = &record};
    struct recipe recipe;
    struct err err = {0};
    record_init(&record);
    assert_int_equal(graph_load(&file, 1, "model.onnx", &job.graph, &err), RC_OK);
    assert_int_equal(recipe_parse(text, FAMILY_ONNX, &recipe, &err), RC_OK);
    bool is_static = strncmp(text, "int8:static", 11) == 0;
    job.calibration = is_static ? open_data(x->data, true) : NULL;
    compress_fn *technique = is_static ? int8_static_compress : int8_dynamic_compress;
    if (strcmp(text, "fp32") != 0 && technique(&job, &recipe.steps[0], &err)) {
        fail_msg("%s: %s", text, err.text);
    }
    double result = accuracy_of(r, job.graph, x);
    dataset_free(job.calibration);
    graph_free(job.graph);
    record_release(&record);
    return result;
}

static void check(const char *path, const struct expectation *x) {
    struct onnxruntime *r = NULL;
    struct err err = {0};
    assert_int_equal(onnxruntime_new(NULL, &r, &err), RC_OK);
    double fp32 = accuracy_after(r, path, x, "fp32");
    double with_static = accuracy_after(r, path, x, "int8:static");
    double with_dynamic = accuracy_after(r, path, x, "int8:dynamic");
    print_message("%s, %zu examples: fp32 %.4f, static %.4f, dynamic %.4f\n", x->model, x->examples, fp32,
                  with_static, with_dynamic);
    onnxruntime_free(r);
    assert_true(with_static >= fp32 - x->static_drop);
    assert_true(with_dynamic >= fp32 - x->dynamic_drop);
}

static void the_committed_example_keeps_its_accuracy(void **state) {
    (void)state;
    if (!have_data(&expectations[0])) {
        skip();
    }
    check("examples/fashion-mnist/fmnist-resnet.onnx", &expectations[0]);
}

static void the_shared_models_keep_theirs(void **state) {
    (void)state;
    char path[PATH_SIZE];
    size_t checked = 0;
    for (size_t i = 1; i < sizeof(expectations) / sizeof(expectations[0]); i++) {
        snprintf(path, sizeof(path), "%s/models/%s.onnx", models_folder(), expectations[i].model);
        if (have(path) && have_data(&expectations[i])) {
            check(path, &expectations[i]);
            checked++;
        }
    }
    if (checked == 0) {
        skip();
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_committed_example_keeps_its_accuracy),
        cmocka_unit_test(the_shared_models_keep_theirs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
