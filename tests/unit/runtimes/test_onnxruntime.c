/* ONNX Runtime behind runtimes/onnxruntime.h: the committed example model, a hand-made one with external
 * data, and bad ones. */
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/file.h"
#include "runtimes/onnxruntime.h"
#include "tests/support/test.h"

static const char example[] = "examples/fashion-mnist/fmnist-resnet.onnx";

enum { PIXELS = 28 * 28, CLASSES = 10, PATH_SIZE = 256 };

static struct onnxruntime *runtime;

static int start(void **state) {
    (void)state;
    const struct onnxruntime_opts opts = {.shared_threads = 2};
    struct err err;
    return onnxruntime_new(&opts, &runtime, &err) == RC_OK ? 0 : -1;
}

static int stop(void **state) {
    (void)state;
    onnxruntime_free(runtime);
    return 0;
}

static struct onnxruntime_session *open_example(const struct onnxruntime_session_opts *opts) {
    struct onnxruntime_session *s = NULL;
    struct err err = {0};
    if (onnxruntime_open(runtime, example, opts, &s, &err)) {
        fail_msg("%s", err.text);
    }
    return s;
}

static struct onnxruntime_tensor image(float *pixels, int64_t batch) {
    return (struct onnxruntime_tensor){
        DTYPE_FLOAT32, 4, {batch, 1, 28, 28}, pixels, (size_t)batch * PIXELS * sizeof(float)};
}

static void paint(float *pixels, size_t n, float phase) {
    for (size_t i = 0; i < n; i++) {
        pixels[i] = sinf((float)i * 0.1F + phase);
    }
}

/* --- sessions and runs --- */

static void inputs_and_outputs_are_described(void **state) {
    (void)state;
    struct onnxruntime_session *s = open_example(NULL);
    const struct tensor_spec *in = NULL;
    const struct tensor_spec *out = NULL;
    assert_int_equal(onnxruntime_inputs(s, &in), 1);
    assert_int_equal(onnxruntime_outputs(s, &out), 1);
    assert_string_equal(in[0].name, "image");
    assert_int_equal(in[0].dtype, DTYPE_FLOAT32);
    assert_int_equal(in[0].rank, 4);
    assert_true(in[0].dims[0] == -1 && in[0].dims[1] == 1 && in[0].dims[2] == 28 && in[0].dims[3] == 28);
    assert_string_equal(out[0].name, "logits");
    assert_true(out[0].rank == 2 && out[0].dims[0] == -1 && out[0].dims[1] == CLASSES);
    onnxruntime_close(s);
    assert_int_equal(strncmp(onnxruntime_version(), "onnxruntime 1.", 14), 0);
}

static void a_binding_gives_what_a_run_gives_and_follows_its_input(void **state) {
    (void)state;
    static float pixels[PIXELS];
    struct onnxruntime_session *s = open_example(&(struct onnxruntime_session_opts){.threads = 1});
    struct onnxruntime_tensor in = image(pixels, 1);
    struct onnxruntime_binding *b = NULL;
    struct err err = {0};
    assert_int_equal(onnxruntime_binding_new(s, &in, &b, &err), RC_OK);
    const float *bound = onnxruntime_binding_output(b, 0)->data;
    for (int i = 0; i < 3; i++) {
        struct onnxruntime_result *result = NULL;
        paint(pixels, PIXELS, (float)i);
        assert_int_equal(onnxruntime_binding_run(b, &err), RC_OK);
        assert_int_equal(onnxruntime_run(s, &in, &result, &err), RC_OK);
        const struct onnxruntime_tensor *t = onnxruntime_result_output(result, 0);
        assert_int_equal(t->bytes, CLASSES * sizeof(float));
        assert_memory_equal(t->data, bound, t->bytes);
        onnxruntime_result_free(result);
    }
    onnxruntime_binding_free(b);
    onnxruntime_close(s);
}

static void inputs_that_do_not_fit_are_refused_by_name(void **state) {
    (void)state;
    static float pixels[2 * PIXELS];
    struct onnxruntime_session *s = open_example(NULL);
    struct onnxruntime_tensor cases[4];
    for (size_t i = 0; i < 4; i++) {
        cases[i] = image(pixels, 1);
    }
    cases[0].dtype = DTYPE_INT32;
    cases[1].rank = 3;
    cases[2].dims[2] = 56;
    cases[2].bytes *= 2;
    cases[3].bytes -= 4;
    for (size_t i = 0; i < 4; i++) {
        struct onnxruntime_result *result = NULL;
        struct onnxruntime_binding *b = NULL;
        struct err err = {0};
        assert_int_equal(onnxruntime_run(s, &cases[i], &result, &err), RC_INPUT);
        assert_non_null(strstr(err.text, "\"image\""));
        assert_int_equal(onnxruntime_binding_new(s, &cases[i], &b, &err), RC_INPUT);
    }
    onnxruntime_close(s);
}

struct looper {
    struct onnxruntime_session *session;
    float pixels[PIXELS], logits[CLASSES];
    enum rc rc;
};

static void *loop(void *arg) {
    struct looper *l = arg;
    struct onnxruntime_tensor in = image(l->pixels, 1);
    struct onnxruntime_binding *b = NULL;
    struct err err = {0};
    l->rc = onnxruntime_binding_new(l->session, &in, &b, &err);
    for (int i = 0; i < 20 && !l->rc; i++) {
        l->rc = onnxruntime_binding_run(b, &err);
    }
    if (!l->rc) {
        memcpy(l->logits, onnxruntime_binding_output(b, 0)->data, sizeof(l->logits));
    }
    onnxruntime_binding_free(b);
    return NULL;
}

static void two_threads_run_side_by_side_on_the_shared_pool(void **state) {
    (void)state;
    static struct looper l[2];
    const struct onnxruntime_session_opts opts = {.pool = ONNXRUNTIME_SHARED_POOL};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        l[i].session = open_example(&opts);
        paint(l[i].pixels, PIXELS, 1);
        assert_int_equal(pthread_create(&threads[i], NULL, loop, &l[i]), 0);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(l[i].rc, RC_OK);
        onnxruntime_close(l[i].session);
    }
    assert_memory_equal(l[0].logits, l[1].logits, sizeof(l[0].logits));
}

static void profiles_are_written_only_when_asked_for(void **state) {
    (void)state;
    char folder[] = "/tmp/pare-test-ort-XXXXXX";
    char prefix[PATH_SIZE];
    char *path = NULL;
    struct err err = {0};
    assert_non_null(mkdtemp(folder));
    snprintf(prefix, sizeof(prefix), "%s/profile", folder);
    struct onnxruntime_session *s = open_example(NULL);
    assert_int_equal(onnxruntime_end_profile(s, &path, &err), RC_USAGE);
    onnxruntime_close(s);
    s = open_example(&(struct onnxruntime_session_opts){.profile_prefix = prefix});
    assert_int_equal(onnxruntime_end_profile(s, &path, &err), RC_OK);
    assert_int_equal(access(path, R_OK), 0);
    onnxruntime_close(s);
    free(path);
    assert_int_equal(file_remove_tree(folder, &err), RC_OK);
}

/* --- bad models --- */

static void open_bytes_fails(const void *data, size_t size, enum rc expected) {
    struct onnxruntime_session *s = NULL;
    struct err err = {0};
    assert_int_equal(onnxruntime_open_bytes(runtime, data, size, NULL, &s, &err), expected);
    assert_true(strlen(err.text) > 0);
}

static void truncated_empty_and_foreign_files_are_refused(void **state) {
    (void)state;
    char *data = NULL;
    size_t size = 0;
    struct err err = {0};
    assert_int_equal(file_read(example, 8u << 20, &data, &size, &err), RC_OK);
    open_bytes_fails(data, 0, RC_INPUT);
    open_bytes_fails("GGUF, not ONNX at all", 21, RC_INPUT);
    for (size_t cut = 1; cut < size; cut = cut * 3 + 1) {
        open_bytes_fails(data, cut, RC_INPUT);
    }
    free(data);
    struct onnxruntime_session *s = NULL;
    assert_int_equal(onnxruntime_open(runtime, "examples/no-such-model.onnx", NULL, &s, &err), RC_NOT_FOUND);
}

/* --- a model by hand: y = x + w, w [4] in the file "w.bin" --- */

struct bytes {
    uint8_t data[512];
    size_t size;
};

static void put(struct bytes *b, const void *data, size_t size) {
    assert_true(b->size + size <= sizeof(b->data));
    memcpy(b->data + b->size, data, size);
    b->size += size;
}

static void put_number(struct bytes *b, unsigned field, uint8_t value) {
    const uint8_t bytes[] = {(uint8_t)(field << 3), value};
    put(b, bytes, 2);
}

static void put_text(struct bytes *b, unsigned field, const char *text) {
    const uint8_t head[] = {(uint8_t)(field << 3 | 2), (uint8_t)strlen(text)};
    put(b, head, 2);
    put(b, text, strlen(text));
}

static void put_message(struct bytes *b, unsigned field, const struct bytes *m) {
    uint8_t head[] = {(uint8_t)(field << 3 | 2), (uint8_t)(m->size & 127), (uint8_t)(m->size >> 7)};
    head[1] |= 128; /* always two bytes of length */
    put(b, head, 3);
    put(b, m->data, m->size);
}

static struct bytes value_of(const char *name) {
    struct bytes dim = {0};
    struct bytes shape = {0};
    struct bytes tensor = {0};
    struct bytes type = {0};
    struct bytes value = {0};
    put_number(&dim, 1, 4);
    put_message(&shape, 1, &dim);
    put_number(&tensor, 1, 1);
    put_message(&tensor, 2, &shape);
    put_message(&type, 1, &tensor);
    put_text(&value, 1, name);
    put_message(&value, 2, &type);
    return value;
}

static struct bytes external_weights(const char *location) {
    struct bytes w = {0};
    struct bytes entry = {0};
    put_number(&w, 1, 4);
    put_number(&w, 2, 1);
    put_text(&w, 8, "w");
    put_text(&entry, 1, "location");
    put_text(&entry, 2, location);
    put_message(&w, 13, &entry);
    put_number(&w, 14, 1);
    return w;
}

static struct bytes external_model(const char *location) {
    struct bytes node = {0};
    struct bytes graph = {0};
    struct bytes opset = {0};
    struct bytes model = {0};
    struct bytes x = value_of("x");
    struct bytes y = value_of("y");
    struct bytes w = external_weights(location);
    put_text(&node, 1, "x");
    put_text(&node, 1, "w");
    put_text(&node, 2, "y");
    put_text(&node, 4, "Add");
    put_message(&graph, 1, &node);
    put_text(&graph, 2, "g");
    put_message(&graph, 5, &w);
    put_message(&graph, 11, &x);
    put_message(&graph, 12, &y);
    put_number(&opset, 2, 13);
    put_number(&model, 1, 8);
    put_message(&model, 7, &graph);
    put_message(&model, 8, &opset);
    return model;
}

static void external_data_comes_from_the_file_listed_for_its_location(void **state) {
    (void)state;
    char folder[] = "/tmp/pare-test-ort-XXXXXX";
    char local[PATH_SIZE];
    const float weights[] = {10, 20, 30, 40};
    float x[] = {1, 2, 3, 4};
    struct err err = {0};
    assert_non_null(mkdtemp(folder));
    snprintf(local, sizeof(local), "%s/blob", folder); /* another name than in the model */
    assert_int_equal(file_write(local, weights, sizeof(weights), 0600, &err), RC_OK);
    struct bytes model = external_model("w.bin");
    const struct onnxruntime_file file = {"w.bin", local};
    const struct onnxruntime_session_opts opts = {.threads = 1, .external = &file, .external_count = 1};
    struct onnxruntime_session *s = NULL;
    struct onnxruntime_result *result = NULL;
    struct onnxruntime_tensor in = {DTYPE_FLOAT32, 1, {4}, x, sizeof(x)};
    if (onnxruntime_open_bytes(runtime, model.data, model.size, &opts, &s, &err)) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(onnxruntime_run(s, &in, &result, &err), RC_OK);
    const float expected[] = {11, 22, 33, 44};
    assert_memory_equal(onnxruntime_result_output(result, 0)->data, expected, sizeof(expected));
    onnxruntime_result_free(result);
    onnxruntime_close(s);
    assert_int_equal(file_remove_tree(folder, &err), RC_OK);
}

static void external_data_reaches_nothing_that_is_not_listed(void **state) {
    (void)state;
    static const char *const locations[] = {"README.md", "/etc/passwd", "../main/README.md"};
    for (size_t i = 0; i < 3; i++) {
        struct bytes model = external_model(locations[i]);
        open_bytes_fails(model.data, model.size, RC_INPUT);
    }
}

/* --- the environment --- */

static void a_shared_pool_must_exist_to_be_used(void **state) {
    (void)state;
    const struct onnxruntime_opts huge = {.shared_threads = 1 << 20};
    struct onnxruntime *other = NULL;
    struct err err = {0};
    assert_int_equal(onnxruntime_new(&huge, &other, &err), RC_USAGE);
    assert_int_equal(onnxruntime_new(NULL, &other, &err), RC_OK);
    struct onnxruntime_session *s = NULL;
    const struct onnxruntime_session_opts opts = {.pool = ONNXRUNTIME_SHARED_POOL};
    assert_int_equal(onnxruntime_open(other, example, &opts, &s, &err), RC_USAGE);
    onnxruntime_free(other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inputs_and_outputs_are_described),
        cmocka_unit_test(a_binding_gives_what_a_run_gives_and_follows_its_input),
        cmocka_unit_test(inputs_that_do_not_fit_are_refused_by_name),
        cmocka_unit_test(two_threads_run_side_by_side_on_the_shared_pool),
        cmocka_unit_test(profiles_are_written_only_when_asked_for),
        cmocka_unit_test(truncated_empty_and_foreign_files_are_refused),
        cmocka_unit_test(external_data_comes_from_the_file_listed_for_its_location),
        cmocka_unit_test(external_data_reaches_nothing_that_is_not_listed),
        cmocka_unit_test(a_shared_pool_must_exist_to_be_used),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
