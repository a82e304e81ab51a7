/* Models made to hurt: every one gives a clear error, none a crash, a path outside the model or a long wait.
 */

#include "compressors/onnx/graph.h"
#include "core/base/file.h"
#include "model_fixture.h"

static const int64_t four[] = {4};
static const float values[] = {1, 2, 3, 4};

static void start(struct builder *b) {
    builder_init(b, 17);
    builder_input(b, "x", GRAPH_FLOAT32, four, 1);
    builder_output(b, "y", GRAPH_FLOAT32, four, 1);
}

static void refused(struct builder *b, const char *because) {
    struct graph *g = NULL;
    struct err err = {0};
    assert_int_equal(builder_try(b, &g, &err), RC_INPUT);
    if (!strstr(err.text, because)) {
        fail_msg("\"%s\" does not say \"%s\"", err.text, because);
    }
    builder_free(b);
}

static void empty_and_foreign_files_are_refused(void **state) {
    struct graph *g;
    struct err err;
    static const char text[] = "GGUF is another format";
    (void)state;
    assert_int_equal(graph_parse("", 0, &g, &err), RC_INPUT);
    assert_non_null(strstr(err.text, "empty"));
    assert_int_equal(graph_parse(text, sizeof(text), &g, &err), RC_INPUT);
    assert_non_null(strstr(err.text, "not an ONNX model"));
}

static void every_truncation_is_refused_or_read(void **state) {
    struct builder b;
    size_t size;
    (void)state;
    start(&b);
    builder_node(&b, "Add", "x w", "y");
    builder_floats(&b, "w", four, 1, values);
    const uint8_t *bytes = builder_bytes(&b, &size);
    for (size_t n = 0; n < size; n++) {
        struct graph *g = NULL;
        struct err err = {0};
        uint8_t *part = malloc(n + 1); /* of its own, so that a sanitizer sees a read past the end */
        memcpy(part, bytes, n);
        if (graph_parse(part, n, &g, &err) != RC_OK) {
            assert_true(err.text[0] != '\0');
        }
        graph_free(g);
        free(part);
    }
    builder_free(&b);
}

static void a_cycle_is_named(void **state) {
    struct builder b;
    (void)state;
    start(&b);
    builder_node(&b, "Add", "x c", "a");
    builder_node(&b, "Relu", "a", "c");
    builder_node(&b, "Neg", "c", "y");
    refused(&b, "cycle");
}

static void a_missing_producer_is_named(void **state) {
    struct builder b;
    (void)state;
    start(&b);
    builder_node(&b, "Add", "x ghost", "y");
    refused(&b, "reads \"ghost\", which nothing produces");
}

static void an_output_without_producer_is_named(void **state) {
    struct builder b;
    (void)state;
    start(&b);
    builder_node(&b, "Relu", "x", "z");
    refused(&b, "output \"y\" is produced by no node");
}

static void names_defined_twice_are_refused(void **state) {
    struct builder b;
    (void)state;
    start(&b);
    builder_node(&b, "Relu", "x", "y");
    builder_node(&b, "Neg", "x", "y");
    refused(&b, "defined already");
    start(&b);
    builder_node(&b, "Relu", "x", "y");
    builder_floats(&b, "w", four, 1, values);
    builder_floats(&b, "w", four, 1, values);
    refused(&b, "defined twice");
}

static void negative_and_huge_dims_are_refused(void **state) {
    static const int64_t bad[][3] = {{-4}, {4, -1}, {INT64_MAX, INT64_MAX}, {1LL << 31, 1LL << 31, 4}};
    struct builder b;
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        start(&b);
        builder_node(&b, "Add", "x w", "y");
        builder_tensor(&b, "w", GRAPH_FLOAT32, bad[i], i ? 3 : 1, values, sizeof(values));
        refused(&b, "initializer \"w\"");
    }
}

static void data_that_do_not_fit_their_shape_are_refused(void **state) {
    static const int64_t thousand[] = {1000};
    struct builder b;
    (void)state;
    start(&b);
    builder_node(&b, "Add", "x w", "y");
    builder_tensor(&b, "w", GRAPH_FLOAT32, thousand, 1, values, sizeof(values));
    refused(&b, "it has 16 bytes of data; its shape and type need 4000");
}

static void nodes_without_operator_and_models_without_graph_are_refused(void **state) {
    struct builder b;
    (void)state;
    start(&b);
    builder_node(&b, "Relu", "x", "y")->op_type = NULL;
    refused(&b, "has no operator");
    start(&b);
    b.model.graph = NULL;
    refused(&b, "it has no graph");
}

/* graph { node { attribute { g { node ... } } } }, `levels` times. Lengths grow inwards out, so it is built
 * backwards. */
static uint8_t *nested(size_t levels, size_t *size) {
    size_t capacity = levels * 24 + 16, at = capacity;
    uint8_t *bytes = malloc(capacity);
    /* NodeProto.attribute, GraphProto.node, AttributeProto.g */
    static const uint8_t tags[] = {0x2a, 0x0a, 0x32};
    for (size_t i = 0; i < levels * 3; i++) {
        size_t length = capacity - at;
        uint8_t varint[10];
        size_t n = 0;
        do {
            varint[n++] = (uint8_t)((length & 0x7f) | (length > 0x7f ? 0x80 : 0));
            length >>= 7;
        } while (length);
        at -= n;
        memcpy(bytes + at, varint, n);
        bytes[--at] = i == levels * 3 - 1 ? 0x3a : tags[i % 3]; /* outermost: ModelProto.graph */
    }
    memmove(bytes, bytes + at, capacity - at);
    *size = capacity - at;
    return bytes;
}

static void deep_nesting_is_refused_before_it_costs_stack(void **state) {
    struct graph *g;
    struct err err;
    size_t size;
    (void)state;
    uint8_t *bytes = nested(100 * 1000, &size);
    assert_int_equal(graph_parse(bytes, size, &g, &err), RC_INPUT);
    assert_non_null(strstr(err.text, "nested"));
    free(bytes);
}

/* A million empty nodes in two bytes each would take hundreds of bytes each. */
static void small_files_cannot_take_much_memory(void **state) {
    enum { NODES = 4 << 20 };
    struct graph *g;
    struct err err;
    (void)state;
    uint8_t *bytes = malloc(NODES * 2 + 6);
    size_t length = NODES * 2, at = 0;
    bytes[at++] = 0x3a;
    for (; length > 0x7f; length >>= 7) {
        bytes[at++] = (uint8_t)(length | 0x80);
    }
    bytes[at++] = (uint8_t)length;
    for (size_t i = 0; i < NODES; i++) {
        bytes[at++] = 0x0a;
        bytes[at++] = 0;
    }
    assert_int_equal(graph_parse(bytes, at, &g, &err), RC_INPUT);
    assert_true(err.text[0] != '\0');
    free(bytes);
}

/* --- external data --- */

struct external {
    struct builder b;
    char folder[64], main_path[128], data_path[128];
    struct compress_file files[2];
};

static Onnx__StringStringEntryProto *pair(struct builder *b, const char *key, const char *value) {
    Onnx__StringStringEntryProto *e = arena_alloc(b->arena, sizeof(*e));
    onnx__string_string_entry_proto__init(e);
    e->key = arena_strdup(b->arena, key);
    e->value = arena_strdup(b->arena, value);
    return e;
}

/* A model whose w lies at `location`, `offset`, `length` of a file of 64 bytes, the floats 0 to 15. */
static void external_start(struct external *x, const char *location, const char *offset, const char *length) {
    struct err err;
    float data[16];
    size_t size;
    start(&x->b);
    builder_node(&x->b, "Add", "x w", "y");
    Onnx__TensorProto *t = builder_floats(&x->b, "w", four, 1, values);
    t->has_raw_data = 0;
    t->has_data_location = 1;
    t->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
    t->external_data = arena_calloc(x->b.arena, 3, sizeof(Onnx__StringStringEntryProto *));
    t->external_data[t->n_external_data++] = pair(&x->b, "location", location);
    if (offset) {
        t->external_data[t->n_external_data++] = pair(&x->b, "offset", offset);
    }
    if (length) {
        t->external_data[t->n_external_data++] = pair(&x->b, "length", length);
    }
    for (int i = 0; i < 16; i++) {
        data[i] = (float)i;
    }
    snprintf(x->folder, sizeof(x->folder), "/tmp/pare-graph-XXXXXX");
    assert_non_null(mkdtemp(x->folder));
    snprintf(x->main_path, sizeof(x->main_path), "%s/main", x->folder);
    snprintf(x->data_path, sizeof(x->data_path), "%s/data", x->folder);
    const uint8_t *bytes = builder_bytes(&x->b, &size);
    assert_int_equal(file_write(x->main_path, bytes, size, 0600, &err), RC_OK);
    assert_int_equal(file_write(x->data_path, data, sizeof(data), 0600, &err), RC_OK);
    x->files[0] = (struct compress_file){"sub/model.onnx", x->main_path};
    x->files[1] = (struct compress_file){"sub/weights/w.bin", x->data_path};
}

static void external_end(struct external *x) {
    struct err err;
    builder_free(&x->b);
    assert_int_equal(file_remove_tree(x->folder, &err), RC_OK);
}

static void external_refused(const char *location, const char *offset, const char *length,
                             const char *because) {
    struct external x;
    struct graph *g;
    struct err err = {0};
    external_start(&x, location, offset, length);
    assert_int_equal(graph_load(x.files, 2, "sub/model.onnx", &g, &err), RC_INPUT);
    if (!strstr(err.text, because)) {
        fail_msg("\"%s\" does not say \"%s\"", err.text, because);
    }
    external_end(&x);
}

static void external_data_are_found_among_the_models_files(void **state) {
    struct external x;
    struct graph *g;
    struct err err = {0};
    float *w;
    size_t count;
    (void)state;
    external_start(&x, "./weights/w.bin", "16", "16");
    if (graph_load(x.files, 2, "sub/model.onnx", &g, &err) != RC_OK) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(graph_tensor_floats(g, graph_constant(g, graph_find(g, "w")), &w, &count, &err), RC_OK);
    assert_int_equal(count, 4);
    assert_true(w[0] == 4.0f && w[3] == 7.0f);
    free(w);
    graph_free(g);
    external_end(&x);
}

static void external_data_elsewhere_are_refused(void **state) {
    (void)state;
    external_refused("../../etc/passwd", NULL, NULL, "only files of the model itself");
    external_refused("/etc/passwd", NULL, NULL, "only files of the model itself");
    external_refused("weights/../w.bin", NULL, NULL, "only files of the model itself");
    external_refused("other.bin", NULL, NULL, "there is no such file in the model");
    external_refused("w.bin", NULL, NULL, "there is no such file in the model");
}

static void external_data_past_the_end_are_refused(void **state) {
    (void)state;
    external_refused("weights/w.bin", "64", "16", "do not lie inside");
    external_refused("weights/w.bin", "56", NULL, "do not lie inside");
    external_refused("weights/w.bin", "18446744073709551615", "16", "do not lie inside");
    external_refused("weights/w.bin", "-16", "16", "do not lie inside");
    external_refused("weights/w.bin", "0", "12", "do not lie inside");
    external_refused("weights/w.bin", "1x", "16", "do not lie inside");
}

static void external_data_in_memory_are_refused(void **state) {
    struct external x;
    struct graph *g;
    struct err err = {0};
    (void)state;
    external_start(&x, "weights/w.bin", NULL, NULL);
    assert_int_equal(builder_try(&x.b, &g, &err), RC_INPUT);
    external_end(&x);
}

static void a_model_too_large_for_one_file_is_written_as_two(void **state) {
    static const int64_t large[] = {1000, 4};
    static float data[4000];
    char folder[] = "/tmp/pare-graph-XXXXXX", main_path[64], data_path[64];
    struct builder b;
    struct graph *again;
    struct graph_saved saved;
    struct err err = {0};
    float *back;
    size_t count;
    uint64_t bytes[2];
    (void)state;
    for (int i = 0; i < 4000; i++) {
        data[i] = (float)i / 7.0f;
    }
    start(&b);
    builder_node(&b, "Add", "x w", "a");
    builder_node(&b, "Gather", "a i", "y");
    builder_floats(&b, "w", large, 2, data);
    builder_tensor(&b, "i", GRAPH_INT64, NULL, 0, (const int64_t[]){3}, sizeof(int64_t));
    struct graph *g = builder_graph(&b);
    assert_non_null(mkdtemp(folder));
    assert_int_equal(graph_save(g, folder, 4096, &saved, &err), RC_OK);
    assert_int_equal(saved.path_count, 2);
    snprintf(main_path, sizeof(main_path), "%s/%s", folder, saved.paths[0]);
    snprintf(data_path, sizeof(data_path), "%s/%s", folder, saved.paths[1]);
    assert_int_equal(file_size(main_path, &bytes[0], &err), RC_OK);
    assert_int_equal(file_size(data_path, &bytes[1], &err), RC_OK);
    assert_int_equal(saved.bytes, bytes[0] + bytes[1]);
    assert_true(bytes[0] < 1024);
    struct compress_file files[] = {{saved.paths[0], main_path}, {saved.paths[1], data_path}};
    if (graph_load(files, 2, saved.paths[0], &again, &err) != RC_OK) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(
        graph_tensor_floats(again, graph_constant(again, graph_find(again, "w")), &back, &count, &err),
        RC_OK);
    assert_memory_equal(back, data, sizeof(data));
    free(back);
    graph_free(again);
    assert_int_equal(graph_save(g, folder, 0, &saved, &err), RC_OK); /* the graph is still whole */
    assert_int_equal(saved.path_count, 1);
    assert_true(saved.bytes > sizeof(data));
    graph_free(g);
    builder_free(&b);
    assert_int_equal(file_remove_tree(folder, &err), RC_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_and_foreign_files_are_refused),
        cmocka_unit_test(every_truncation_is_refused_or_read),
        cmocka_unit_test(a_cycle_is_named),
        cmocka_unit_test(a_missing_producer_is_named),
        cmocka_unit_test(an_output_without_producer_is_named),
        cmocka_unit_test(names_defined_twice_are_refused),
        cmocka_unit_test(negative_and_huge_dims_are_refused),
        cmocka_unit_test(data_that_do_not_fit_their_shape_are_refused),
        cmocka_unit_test(nodes_without_operator_and_models_without_graph_are_refused),
        cmocka_unit_test(deep_nesting_is_refused_before_it_costs_stack),
        cmocka_unit_test(small_files_cannot_take_much_memory),
        cmocka_unit_test(external_data_are_found_among_the_models_files),
        cmocka_unit_test(external_data_elsewhere_are_refused),
        cmocka_unit_test(external_data_past_the_end_are_refused),
        cmocka_unit_test(external_data_in_memory_are_refused),
        cmocka_unit_test(a_model_too_large_for_one_file_is_written_as_two),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
