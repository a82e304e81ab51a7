/* The accuracy that GPTQ must keep on real trained models, with all of their evaluation data; they need
 * PARE_MODELS (default ../shared) and are skipped without. */
#include <unistd.h>

#include "compressors/onnx/graph.h"
#include "compressors/onnx/weight_only.h"
#include "core/recipes/recipe.h"
#include "tests/support/onnx_accuracy.h"
#include "tests/support/test.h"

enum { PATH_SIZE = 1024 };

static const struct {
    const char *model, *data, *recipe; /* data NULL: Fashion-MNIST */
    double least;
} figures[] = {
    {"fmnist-resnet-thin", NULL, "int4:gptq,group=32", 0.901},
    {"docs-lm", "docs-lm", "int4:gptq,group=32", 0.382},
    {"docs-lm", "docs-lm", "int3:gptq,group=32", 0.355},
    {"docs-lm", "docs-lm", "int2:gptq,group=32", 0.20},
};

static bool have(const char *path) {
    if (access(path, R_OK) == 0) {
        return true;
    }
    print_message("skipped: %s is not here\n", path);
    return false;
}

static double accuracy_of(struct onnxruntime *r, struct graph *g, const char *data_stem) {
    const struct onnxruntime_session_opts opts = {.threads = 2};
    struct onnxruntime_session *s = NULL;
    const struct tensor_spec *inputs = NULL;
    struct dataset *d = open_data(data_stem, false);
    struct feed f = {0};
    struct err err = {0};
    char *data = NULL;
    size_t size = 0;
    if (graph_pack(g, &data, &size, &err) || onnxruntime_open_bytes(r, data, size, &opts, &s, &err)) {
        fail_msg("%s", err.text);
    }
    f.count = onnxruntime_inputs(s, &inputs);
    assert_int_equal(dataset_bind(d, inputs, f.count, &err), RC_OK);
    double result = accuracy(s, d, &f, 0);
    feed_release(&f);
    onnxruntime_close(s);
    dataset_free(d);
    free(data);
    return result;
}

static double accuracy_after(const char *path, const char *data, const char *text) {
    const struct compress_file file = {"model.onnx", path};
    struct onnxruntime *r = NULL;
    struct record record;
    struct compress_job job = {.threads = 2, .record = &record};
    struct recipe recipe;
    struct err err = {0};
    record_init(&record);
    assert_int_equal(onnxruntime_new(NULL, &r, &err), RC_OK);
    assert_int_equal(graph_load(&file, 1, "model.onnx", &job.graph, &err), RC_OK);
    assert_int_equal(recipe_parse(text, FAMILY_ONNX, &recipe, &err), RC_OK);
    job.calibration = open_data(data, true);
    if (weight_only_compress(&job, &recipe.steps[0], &err)) {
        fail_msg("%s: %s", text, err.text);
    }
    double result = accuracy_of(r, job.graph, data);
    dataset_free(job.calibration);
    graph_free(job.graph);
    record_release(&record);
    onnxruntime_free(r);
    return result;
}

static void gptq_keeps_its_figures(void **state) {
    char path[PATH_SIZE], data[PATH_SIZE];
    size_t checked = 0, missed = 0;
    (void)state;
    for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); i++) {
        snprintf(path, sizeof(path), "%s/models/%s.onnx", models_folder(), figures[i].model);
        if (figures[i].data) {
            snprintf(data, sizeof(data), "%s/data/%s.eval.npz", models_folder(), figures[i].data);
        } else {
            snprintf(data, sizeof(data), "%s/t10k-images-idx3-ubyte.gz", fashion_folder());
        }
        if (!have(path) || !have(data)) {
            continue;
        }
        double got = accuracy_after(path, figures[i].data, figures[i].recipe);
        print_message("%s, %s: %.4f, at least %.3f\n", figures[i].model, figures[i].recipe, got,
                      figures[i].least);
        missed += got < figures[i].least;
        checked++;
    }
    if (checked == 0) {
        skip();
    }
    assert_int_equal(missed, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(gptq_keeps_its_figures)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
