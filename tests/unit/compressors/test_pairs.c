/* Every ordered pair of steps that the descriptors offer, on two small models: each either works, giving a
 * model that ONNX Runtime runs, or is refused with a reason. New steps are covered as soon as they have a
 * descriptor. */
#include <stdio.h>

#include "compressors/onnx/passes.h"
#include "core/base/file.h"
#include "tests/unit/compressors_onnx/int8_fixture.h"

enum { FILTERS = 8, WIDTH = 64, CLASSES = 10, PATH_SIZE = 128 };

static const int64_t pads[] = {1, 1, 1, 1};

static void add_noise(struct builder *b, const char *name, const int64_t *dims, size_t rank, float scale) {
    static float values[WIDTH * WIDTH * 4];
    size_t count = 1;
    uint32_t seed = (uint32_t)b->graph.n_initializer + 5;
    for (size_t i = 0; i < rank; i++) {
        count *= (size_t)dims[i];
    }
    assert_true(count <= WIDTH * WIDTH * 4);
    noise_fill(values, count, seed, scale);
    builder_floats(b, name, dims, rank, values);
}

static void add_norm(struct builder *b, const char *in, const char *out) {
    static float scale[FILTERS], beta[FILTERS], mean[FILTERS], variance[FILTERS];
    const int64_t n = FILTERS;
    char text[64];
    static const char *const parts[] = {"scale", "beta", "mean", "var"};
    float *const values[] = {scale, beta, mean, variance};
    for (size_t i = 0; i < FILTERS; i++) {
        scale[i] = 0.5F + 0.2F * (float)i;
        beta[i] = 0.1F * (float)i - 0.3F;
        mean[i] = 0.05F * (float)i;
        variance[i] = 1 + 0.3F * (float)i;
    }
    for (size_t i = 0; i < 4; i++) {
        snprintf(text, sizeof(text), "%s_%s", out, parts[i]);
        builder_floats(b, text, &n, 1, values[i]);
    }
    snprintf(text, sizeof(text), "%s %s_scale %s_beta %s_mean %s_var", in, out, out, out, out);
    builder_node(b, "BatchNormalization", text, out);
}

/* Convolutions with normalisation, a residual block, a depthwise convolution, and dense layers behind them.
 */
static void build_image_model(struct builder *b) {
    const int64_t in[] = {-1, 1, SIDE, SIDE}, out[] = {-1, CLASSES};
    const int64_t d1[] = {FILTERS, 1, 3, 3}, d2[] = {FILTERS, FILTERS, 3, 3}, d3[] = {WIDTH, FILTERS},
                  d4[] = {WIDTH, CLASSES}, filters = FILTERS, classes = CLASSES;
    builder_init(b, 17);
    builder_input(b, "x", GRAPH_FLOAT32, in, 4);
    builder_output(b, "y", GRAPH_FLOAT32, out, 2);
    add_noise(b, "w1", d1, 4, 0.5F);
    add_noise(b, "w2", d2, 4, 0.2F);
    add_noise(b, "w3", d2, 4, 0.2F);
    add_noise(b, "wd", d1, 4, 0.5F);
    add_noise(b, "b2", &filters, 1, 0.2F);
    add_noise(b, "w4", d3, 2, 0.5F);
    add_noise(b, "w5", d4, 2, 0.5F);
    add_noise(b, "b5", &classes, 1, 0.2F);
    builder_attr_ints(b, builder_node(b, "Conv", "x w1", "c1"), "pads", pads, 4);
    add_norm(b, "c1", "n1");
    builder_node(b, "Relu", "n1", "r1");
    builder_attr_ints(b, builder_node(b, "Conv", "r1 w2 b2", "c2"), "pads", pads, 4);
    add_norm(b, "c2", "n2");
    builder_node(b, "Relu", "n2", "r2");
    builder_attr_ints(b, builder_node(b, "Conv", "r2 w3", "c3"), "pads", pads, 4);
    builder_node(b, "Add", "c3 r1", "s");
    builder_node(b, "Relu", "s", "r3");
    Onnx__NodeProto *depthwise = builder_node(b, "Conv", "r3 wd", "c4");
    builder_attr_ints(b, depthwise, "pads", pads, 4);
    builder_attr_int(b, depthwise, "group", FILTERS);
    builder_node(b, "Relu", "c4", "r4");
    builder_node(b, "GlobalAveragePool", "r4", "g");
    builder_node(b, "Flatten", "g", "f");
    builder_attr_int(b, builder_node(b, "Gemm", "f w4", "h"), "transB", 1);
    builder_node(b, "Relu", "h", "hr");
    builder_node(b, "MatMul", "hr w5", "m");
    builder_node(b, "Add", "m b5", "y");
}

/* Rows of the image as a sequence: two residual blocks of norm, wide layer, narrow layer, then a head whose
 * weights are stored the other way round. */
static void build_sequence_model(struct builder *b) {
    const int64_t in[] = {-1, 1, SIDE, SIDE}, out[] = {-1, SIDE, CLASSES}, rows[] = {0, SIDE, SIDE};
    const int64_t embed[] = {SIDE, WIDTH}, up[] = {WIDTH, 2 * WIDTH}, down[] = {2 * WIDTH, WIDTH},
                  head[] = {CLASSES, WIDTH}, width = WIDTH, wide = 2 * WIDTH, rank = 3;
    builder_init(b, 17);
    builder_input(b, "x", GRAPH_FLOAT32, in, 4);
    builder_output(b, "y", GRAPH_FLOAT32, out, 3);
    builder_tensor(b, "rows", GRAPH_INT64, &rank, 1, rows, sizeof(rows));
    add_noise(b, "embed", embed, 2, 0.5F);
    add_noise(b, "gain", &width, 1, 1);
    add_noise(b, "shift", &width, 1, 0.2F);
    add_noise(b, "up_bias", &wide, 1, 0.2F);
    add_noise(b, "up1", up, 2, 0.2F);
    add_noise(b, "up2", up, 2, 0.2F);
    add_noise(b, "down1", down, 2, 0.2F);
    add_noise(b, "down2", down, 2, 0.2F);
    add_noise(b, "head_rows", head, 2, 0.2F);
    builder_node(b, "Reshape", "x rows", "s");
    builder_node(b, "MatMul", "s embed", "e0");
    for (int i = 1; i <= 2; i++) {
        char ins[64], outs[64];
#define NAMED(text, ...) (snprintf(text, sizeof(text), __VA_ARGS__), text)
        builder_node(b, "LayerNormalization", NAMED(ins, "e%d gain shift", i - 1), NAMED(outs, "n%d", i));
        builder_node(b, "MatMul", NAMED(ins, "n%d up%d", i, i), NAMED(outs, "u%d", i));
        builder_node(b, "Add", NAMED(ins, "u%d up_bias", i), NAMED(outs, "a%d", i));
        builder_node(b, "Relu", NAMED(ins, "a%d", i), NAMED(outs, "r%d", i));
        builder_node(b, "MatMul", NAMED(ins, "r%d down%d", i, i), NAMED(outs, "d%d", i));
        builder_node(b, "Add", NAMED(ins, "d%d e%d", i, i - 1), NAMED(outs, "e%d", i));
#undef NAMED
    }
    builder_node(b, "LayerNormalization", "e2 gain shift", "n");
    builder_node(b, "Transpose", "head_rows", "head");
    builder_node(b, "MatMul", "n head", "y");
}

struct scene {
    struct onnxruntime *runtime;
    struct dataset *calibration;
    char folder[64], model[PATH_SIZE];
    size_t worked, refused;
};

static void write_model(const struct scene *s, struct builder *b) {
    size_t size;
    struct err err = {0};
    const uint8_t *bytes = builder_bytes(b, &size);
    assert_int_equal(file_write(s->model, bytes, size, 0600, &err), RC_OK);
}

/* Opens the artifact and runs it on one image: all it gives must be finite. */
static void run_artifact(const struct scene *s, const char *recipe, const char *file) {
    static float in[IMAGE];
    char path[PATH_SIZE];
    struct onnxruntime_session_opts opts = {.threads = 1};
    struct onnxruntime_session *session = NULL;
    struct onnxruntime_result *result = NULL;
    struct onnxruntime_tensor x = {
        .dtype = DTYPE_FLOAT32, .rank = 4, .dims = {1, 1, SIDE, SIDE}, .data = in, .bytes = sizeof(in)};
    struct err err = {0};
    noise_fill(in, IMAGE, 77, 1);
    snprintf(path, sizeof(path), "%s/%s", s->folder, file);
    if (onnxruntime_open(s->runtime, path, &opts, &session, &err) ||
        onnxruntime_run(session, &x, &result, &err)) {
        fail_msg("%s: %s", recipe, err.text);
    }
    const struct onnxruntime_tensor *y = onnxruntime_result_output(result, 0);
    assert_int_equal(y->dtype, DTYPE_FLOAT32);
    assert_true(y->bytes > 0);
    for (size_t i = 0; i < y->bytes / sizeof(float); i++) {
        if (!isfinite(((const float *)y->data)[i])) {
            fail_msg("%s: the model gives values that are not finite", recipe);
        }
    }
    onnxruntime_result_free(result);
    onnxruntime_close(session);
}

/* An artifact holds nothing dead, no constant twice, and nothing that could still be folded. */
static void check_clean(const struct scene *s, const char *recipe, const char *file) {
    char path[PATH_SIZE];
    struct graph *g = NULL;
    struct err err = {0};
    size_t dead = 0, twice = 0, constants = 0, norms = 0;
    snprintf(path, sizeof(path), "%s/%s", s->folder, file);
    const struct compress_file artifact = {file, path};
    if (graph_load(&artifact, 1, file, &g, &err) || pass_remove_dead(g, &dead, &err) ||
        pass_dedup_initializers(g, &twice, &err) || pass_fold_constants(g, &constants, &err) ||
        pass_fold_batchnorm(g, &norms, &err)) {
        fail_msg("%s: %s", recipe, err.text);
    }
    if (strcmp(recipe, "fp32") != 0 && dead + twice + constants + norms > 0) {
        fail_msg("%s: dead %zu, twice %zu, constants to fold %zu, norms to fold %zu", recipe, dead, twice,
                 constants, norms);
    }
    graph_free(g);
}

/* A reason is a sentence that names a step, with a code that means "not this". */
static void check_refusal(struct scene *s, const char *recipe, enum rc rc, const struct err *err) {
    bool understood = rc == RC_INPUT || rc == RC_UNSUPPORTED;
    char first[RECIPE_TEXT_SIZE], second[RECIPE_TEXT_SIZE] = "";
    sscanf(recipe, "%256[^+]+%256[^+]", first, second);
    bool named = strstr(err->text, first) || (*second && strstr(err->text, second));
    if (!understood || !named || !strchr(err->text, ' ')) {
        fail_msg("%s: refused with code %d: \"%s\"", recipe, (int)rc, err->text);
    }
    s->refused++;
    if (getenv("PAIRS_VERBOSE")) {
        print_message("%s: %s\n", recipe, err->text);
    }
}

static void try_recipe(struct scene *s, const char *text) {
    struct recipe recipe;
    struct compress_result result;
    struct err err = {0};
    const struct compress_file file = {"model.onnx", s->model};
    enum rc rc = recipe_parse(text, FAMILY_ONNX, &recipe, &err);
    if (rc != RC_OK) {
        check_refusal(s, text, rc, &err);
        return;
    }
    const struct compress_request request = {.recipe = &recipe,
                                             .files = &file,
                                             .file_count = 1,
                                             .main_path = "model.onnx",
                                             .out_folder = s->folder,
                                             .calibration = s->calibration,
                                             .threads = 2};
    rc = compressors_run(&request, &result, &err);
    if (rc != RC_OK) {
        check_refusal(s, text, rc, &err);
        return;
    }
    run_artifact(s, text, result.paths[0]);
    check_clean(s, text, result.paths[0]);
    compress_result_release(&result);
    s->worked++;
}

/* The recipe as it is, and, where the last step only prepares for another, with that. */
static void try_with_its_follower(struct scene *s, const char *text, const struct compressor_desc *last) {
    char longer[RECIPE_TEXT_SIZE];
    try_recipe(s, text);
    if (last->leads_to) {
        snprintf(longer, sizeof(longer), "%s+%s", text, last->leads_to[0]);
        try_recipe(s, longer);
    }
}

static void try_all(struct scene *s) {
    size_t count;
    char text[RECIPE_TEXT_SIZE];
    const struct compressor_desc *all = recipe_descriptors(&count);
    for (size_t i = 0; i < count; i++) {
        if (!(all[i].families & FAMILY_ONNX)) {
            continue;
        }
        try_with_its_follower(s, all[i].name, &all[i]);
        for (size_t k = 0; k < count; k++) {
            if (all[k].families & FAMILY_ONNX) {
                snprintf(text, sizeof(text), "%s+%s", all[i].name, all[k].name);
                try_with_its_follower(s, text, &all[k]);
            }
        }
    }
}

static void check_model(void (*build)(struct builder *b)) {
    struct scene s = {.folder = "/tmp/pare-pairs-XXXXXX"};
    struct builder b;
    struct err err = {0};
    assert_non_null(mkdtemp(s.folder));
    snprintf(s.model, sizeof(s.model), "%s/in.onnx", s.folder);
    build(&b);
    write_model(&s, &b);
    builder_free(&b);
    assert_int_equal(onnxruntime_new(NULL, &s.runtime, &err), RC_OK);
    s.calibration = noise_dataset();
    try_all(&s);
    print_message("%zu recipes work, %zu are refused with a reason\n", s.worked, s.refused);
    assert_true(s.worked >= 6 && s.refused >= 6);
    dataset_free(s.calibration);
    onnxruntime_free(s.runtime);
    assert_int_equal(file_remove_tree(s.folder, &err), RC_OK);
}

static void pairs_work_on_convolutions_or_are_refused(void **state) {
    (void)state;
    check_model(build_image_model);
}

static void pairs_work_on_a_sequence_model_or_are_refused(void **state) {
    (void)state;
    check_model(build_sequence_model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_work_on_convolutions_or_are_refused),
        cmocka_unit_test(pairs_work_on_a_sequence_model_or_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
