/* Reading and writing changes nothing that ONNX Runtime can see: the models of PARE_MODELS, and the node
 * tests of Debian's libonnx-testdata that ONNX Runtime passes. The passes that only move data keep every bit
 * too. */
#include <dirent.h>
#include <math.h>
#include <sys/stat.h>

#include "compressors/onnx/passes.h"
#include "core/base/file.h"
#include "model_fixture.h"

#define NODE_TESTS "/usr/share/libonnx-testdata/data/node"
enum { MAX_INPUTS = 16, MAX_MODEL_BYTES = 1 << 26 };

struct counts {
    size_t tests, passed, identical, bytes_equal, passes_identical;
};

struct inputs {
    struct onnxruntime_tensor tensors[MAX_INPUTS];
    size_t count;
};

static void inputs_free(struct inputs *in) {
    for (size_t i = 0; i < in->count; i++) {
        free(in->tensors[i].data);
    }
    in->count = 0;
}

static Onnx__TensorProto *read_tensor(const char *path) {
    char *data;
    size_t size;
    if (file_read(path, MAX_MODEL_BYTES, &data, &size, NULL) != RC_OK) {
        return NULL;
    }
    Onnx__TensorProto *t = onnx__tensor_proto__unpack(NULL, size, (uint8_t *)data);
    free(data);
    return t;
}

/* The tensor's bytes through the graph's own code; false for strings, sequences and the like. */
static bool tensor_of_file(const char *path, struct onnxruntime_tensor *ret) {
    struct builder b;
    Onnx__TensorProto *t = read_tensor(path);
    const uint8_t *bytes;
    size_t size;
    bool ok = false;
    builder_init(&b, 17);
    struct graph *g = builder_graph(&b);
    if (t && t->data_type && t->n_dims <= TENSOR_MAX_RANK && dtype_from_onnx(t->data_type) != DTYPE_OTHER &&
        graph_tensor_bytes(g, t, &bytes, &size, NULL) == RC_OK) {
        *ret = (struct onnxruntime_tensor){
            .dtype = dtype_from_onnx(t->data_type), .rank = t->n_dims, .bytes = size};
        if (t->n_dims) {
            memcpy(ret->dims, t->dims, t->n_dims * sizeof(int64_t));
        }
        ret->data = malloc(size ? size : 1);
        memcpy(ret->data, bytes, size);
        ok = true;
    }
    graph_free(g);
    builder_free(&b);
    if (t) {
        onnx__tensor_proto__free_unpacked(t, NULL);
    }
    return ok;
}

/* All inputs of a test's first data set, in order; false when one is not a tensor of numbers. */
static bool read_inputs(const char *folder, struct inputs *in) {
    char path[1024];
    struct stat st;
    for (in->count = 0; in->count < MAX_INPUTS; in->count++) {
        snprintf(path, sizeof(path), "%s/test_data_set_0/input_%zu.pb", folder, in->count);
        if (stat(path, &st) != 0) {
            return true;
        }
        if (!tensor_of_file(path, &in->tensors[in->count])) {
            return false;
        }
    }
    return false;
}

static enum rc run(struct onnxruntime *r, const void *data, size_t size, const struct inputs *in,
                   struct onnxruntime_result **ret, size_t *outputs) {
    struct onnxruntime_session_opts opts = {.threads = 1, .spin = ONNXRUNTIME_NO_SPIN};
    struct onnxruntime_session *s = NULL;
    const struct tensor_spec *specs;
    enum rc rc = onnxruntime_open_bytes(r, data, size, &opts, &s, NULL);
    if (rc == RC_OK) {
        *outputs = onnxruntime_outputs(s, &specs);
        rc = onnxruntime_inputs(s, &specs) == in->count ? onnxruntime_run(s, in->tensors, ret, NULL)
                                                        : RC_INPUT;
    }
    onnxruntime_close(s);
    return rc;
}

static double element(const struct onnxruntime_tensor *t, size_t i) {
    const uint8_t *p = (const uint8_t *)t->data + i * dtype_bytes(t->dtype);
    float f;
    double d;
    uint16_t h;
    switch (t->dtype) {
    case DTYPE_FLOAT32:
        memcpy(&f, p, sizeof(f));
        return (double)f;
    case DTYPE_FLOAT64:
        memcpy(&d, p, sizeof(d));
        return d;
    case DTYPE_FLOAT16:
        memcpy(&h, p, sizeof(h));
        return (double)dtype_float_of_half(h);
    default:
        return 0;
    }
}

static bool close_enough(const struct onnxruntime_tensor *got, const struct onnxruntime_tensor *want) {
    if (got->dtype != want->dtype || got->bytes != want->bytes || got->rank != want->rank) {
        return false;
    }
    if (!dtype_is_float(got->dtype) || got->dtype == DTYPE_BFLOAT16) {
        return got->bytes == 0 || memcmp(got->data, want->data, got->bytes) == 0;
    }
    for (size_t i = 0; i < got->bytes / dtype_bytes(got->dtype); i++) {
        double a = element(got, i), b = element(want, i);
        bool same = a == b || (isnan(a) && isnan(b)) || fabs(a - b) <= 1e-7 + 1e-3 * fabs(b);
        if (!same) {
            return false;
        }
    }
    return true;
}

/* ONNX's own criterion: relative 1e-3, absolute 1e-7. */
static bool as_expected(const char *folder, const struct onnxruntime_result *result, size_t outputs) {
    char path[1024];
    for (size_t i = 0; i < outputs; i++) {
        struct onnxruntime_tensor want;
        snprintf(path, sizeof(path), "%s/test_data_set_0/output_%zu.pb", folder, i);
        const struct onnxruntime_tensor *got = onnxruntime_result_output(result, i);
        if (got->dtype == DTYPE_OTHER || !tensor_of_file(path, &want)) {
            return false;
        }
        bool ok = close_enough(got, &want);
        free(want.data);
        if (!ok) {
            return false;
        }
    }
    return true;
}

static bool identical(const struct onnxruntime_result *a, const struct onnxruntime_result *b,
                      size_t outputs) {
    for (size_t i = 0; i < outputs; i++) {
        const struct onnxruntime_tensor *x = onnxruntime_result_output(a, i),
                                        *y = onnxruntime_result_output(b, i);
        if (x->dtype != y->dtype || x->rank != y->rank || x->bytes != y->bytes ||
            memcmp(x->dims, y->dims, x->rank * sizeof(int64_t)) != 0 ||
            (x->bytes && memcmp(x->data, y->data, x->bytes) != 0)) {
            return false;
        }
    }
    return true;
}

/* Runs the graph as it is now and compares with `expected`. */
static bool runs_the_same(struct onnxruntime *r, struct graph *g, const struct inputs *in,
                          const struct onnxruntime_result *expected, size_t outputs) {
    struct onnxruntime_result *result = NULL;
    char *data = NULL;
    size_t size, count = 0;
    bool ok = graph_pack(g, &data, &size, NULL) == RC_OK &&
              run(r, data, size, in, &result, &count) == RC_OK && count == outputs &&
              identical(result, expected, outputs);
    onnxruntime_result_free(result);
    free(data);
    return ok;
}

static bool writes_the_same_bytes(struct graph *g, const char *data, size_t size) {
    char *again;
    size_t again_size;
    if (graph_pack(g, &again, &again_size, NULL) != RC_OK) {
        return false;
    }
    bool same = again_size == size && memcmp(data, again, size) == 0;
    free(again);
    return same;
}

static enum rc run_passes(struct graph *g, struct err *err) {
    graph_close_initializers(g);
    enum rc rc = pass_fold_constants(g, NULL, err);
    rc = rc != RC_OK ? rc : pass_dedup_initializers(g, NULL, err);
    return rc != RC_OK ? rc : pass_remove_dead(g, NULL, err);
}

/* One model with its inputs; `expected` is what ONNX Runtime makes of the original. */
static void compare(struct onnxruntime *r, const char *name, const char *data, size_t size,
                    const struct inputs *in, const struct onnxruntime_result *expected, size_t outputs,
                    struct counts *c) {
    struct graph *g;
    struct err err = {0};
    if (graph_parse(data, size, &g, &err) != RC_OK) {
        print_message("%s: %s\n", name, err.text);
        return;
    }
    bool same = runs_the_same(r, g, in, expected, outputs);
    c->identical += same;
    c->bytes_equal += writes_the_same_bytes(g, data, size);
    bool passes = run_passes(g, &err) == RC_OK && runs_the_same(r, g, in, expected, outputs);
    c->passes_identical += passes;
    if (!same || !passes) {
        print_message("%s: differs after %s %s\n", name, same ? "the passes" : "the round trip", err.text);
    }
    graph_free(g);
}

static void try_node_test(struct onnxruntime *r, const char *name, struct counts *c) {
    char folder[512], path[1024], *data = NULL;
    struct inputs in = {0};
    struct onnxruntime_result *result = NULL;
    size_t size, outputs = 0;
    snprintf(folder, sizeof(folder), "%s/%s", NODE_TESTS, name);
    snprintf(path, sizeof(path), "%s/model.onnx", folder);
    if (file_read(path, MAX_MODEL_BYTES, &data, &size, NULL) == RC_OK) {
        c->tests++;
        if (read_inputs(folder, &in) && run(r, data, size, &in, &result, &outputs) == RC_OK &&
            as_expected(folder, result, outputs)) {
            c->passed++;
            compare(r, name, data, size, &in, result, outputs, c);
        }
    }
    onnxruntime_result_free(result);
    inputs_free(&in);
    free(data);
}

static void node_tests_run_bit_identically_after_a_round_trip(void **state) {
    struct onnxruntime *r = *state;
    struct dirent **names;
    struct counts c = {0};
    int count = scandir(NODE_TESTS, &names, NULL, alphasort);
    if (count < 0) {
        print_message("libonnx-testdata is not installed: skipped\n");
        skip();
    }
    for (int i = 0; i < count; i++) {
        if (names[i]->d_name[0] != '.') {
            try_node_test(r, names[i]->d_name, &c);
        }
        free(names[i]);
    }
    free(names);
    print_message("node tests: %zu, ONNX Runtime passes %zu, bit-identical after a round trip %zu (same "
                  "bytes %zu), after "
                  "passes %zu\n",
                  c.tests, c.passed, c.identical, c.bytes_equal, c.passes_identical);
    assert_true(c.passed > 500);
    assert_int_equal(c.identical, c.passed);
    assert_int_equal(c.passes_identical, c.passed);
}

/* --- the trained models --- */

/* Any input will do: both sides see the same. Integers stay small, because they index tables. */
static void make_input(const struct tensor_spec *spec, struct onnxruntime_tensor *t) {
    size_t count = 1;
    *t = (struct onnxruntime_tensor){.dtype = spec->dtype, .rank = spec->rank};
    for (size_t i = 0; i < spec->rank; i++) {
        t->dims[i] = spec->dims[i] < 0 ? 3 : spec->dims[i];
        count *= (size_t)t->dims[i];
    }
    t->bytes = count * dtype_bytes(spec->dtype);
    t->data = calloc(count, dtype_bytes(spec->dtype));
    for (size_t i = 0; i < count; i++) {
        float f = (float)(i * 37 % 101) / 50.0f - 1.0f;
        int64_t n = (int64_t)(i * 37 % 101);
        if (spec->dtype == DTYPE_FLOAT32) {
            memcpy((char *)t->data + i * sizeof(f), &f, sizeof(f));
        } else {
            memcpy((char *)t->data + i * sizeof(n), &n, sizeof(n));
        }
    }
}

static void try_model(struct onnxruntime *r, const char *folder, const char *name, struct counts *c) {
    char path[1024], *data;
    size_t size, outputs;
    struct onnxruntime_session *s;
    struct onnxruntime_result *result = NULL;
    const struct tensor_spec *specs;
    struct inputs in = {0};
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    assert_int_equal(file_read(path, MAX_MODEL_BYTES, &data, &size, NULL), RC_OK);
    assert_int_equal(onnxruntime_open_bytes(r, data, size, NULL, &s, NULL), RC_OK);
    in.count = onnxruntime_inputs(s, &specs);
    for (size_t i = 0; i < in.count; i++) {
        assert_true(specs[i].dtype == DTYPE_FLOAT32 || specs[i].dtype == DTYPE_INT64);
        make_input(&specs[i], &in.tensors[i]);
    }
    onnxruntime_close(s);
    assert_int_equal(run(r, data, size, &in, &result, &outputs), RC_OK);
    c->tests++;
    compare(r, name, data, size, &in, result, outputs, c);
    onnxruntime_result_free(result);
    inputs_free(&in);
    free(data);
}

static void trained_models_run_bit_identically_after_a_round_trip(void **state) {
    const char *root = getenv("PARE_MODELS");
    char folder[512];
    struct dirent **names;
    struct counts c = {0};
    snprintf(folder, sizeof(folder), "%s/models", root ? root : "../shared");
    int count = scandir(folder, &names, NULL, alphasort);
    if (count < 0) {
        print_message("%s is not there: skipped\n", folder);
        skip();
    }
    for (int i = 0; i < count; i++) {
        size_t length = strlen(names[i]->d_name);
        if (length > 5 && strcmp(names[i]->d_name + length - 5, ".onnx") == 0) {
            try_model(*state, folder, names[i]->d_name, &c);
        }
        free(names[i]);
    }
    free(names);
    print_message("models: %zu, bit-identical after a round trip %zu (same bytes %zu), after passes %zu\n",
                  c.tests, c.identical, c.bytes_equal, c.passes_identical);
    assert_true(c.tests > 0);
    assert_int_equal(c.identical, c.tests);
    assert_int_equal(c.passes_identical, c.tests);
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
        cmocka_unit_test(node_tests_run_bit_identically_after_a_round_trip),
        cmocka_unit_test(trained_models_run_bit_identically_after_a_round_trip),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
