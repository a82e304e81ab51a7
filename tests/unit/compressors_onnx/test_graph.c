/* Index and edits: lookups follow every change, order is restored, unknown fields and captured names survive.
 */
#include "compressors/onnx/graph.h"
#include "model_fixture.h"

static const int64_t four[] = {4};

/* x -> Relu -> a -> Neg -> y, and a -> Abs -> z */
static struct graph *small(struct builder *b) {
    builder_init(b, 17);
    builder_input(b, "x", GRAPH_FLOAT32, four, 1);
    builder_output(b, "y", GRAPH_FLOAT32, four, 1);
    builder_output(b, "z", GRAPH_FLOAT32, four, 1);
    builder_node(b, "Relu", "x", "a");
    builder_node(b, "Neg", "a", "y");
    builder_node(b, "Abs", "a", "z");
    return builder_graph(b);
}

static void lookups_know_producers_and_uses(void **state) {
    struct builder b;
    struct graph *g = small(&b);
    struct graph_value *a = graph_find(g, "a");
    (void)state;
    assert_non_null(a);
    assert_string_equal(a->producer->proto->op_type, "Relu");
    assert_int_equal(a->use_count, 2);
    assert_null(graph_sole_use(a));
    assert_ptr_equal(graph_sole_use(graph_find(g, "x"))->node, a->producer);
    assert_null(graph_sole_use(graph_find(g, "y")));
    assert_true(graph_find(g, "y")->is_output);
    assert_null(graph_find(g, "nothing"));
    assert_null(graph_find(g, ""));
    assert_int_equal(graph_feed_count(g), 1);
    assert_ptr_equal(graph_result(g, 1), graph_find(g, "z"));
    graph_free(g);
    builder_free(&b);
}

static void a_node_between_two_others_is_put_in_order(void **state) {
    struct builder b;
    struct graph *g = small(&b);
    struct err err;
    struct graph_value *a = graph_find(g, "a");
    const char *in[] = {"a"}, *out[] = {"s"};
    struct graph_node_spec spec = {"Sqrt", NULL, NULL, in, 1, out, 1};
    struct graph_node *n;
    (void)state;
    assert_int_equal(graph_add_node(g, &spec, NULL, &n, &err), RC_OK);
    assert_int_equal(graph_redirect(g, a, graph_find(g, "s"), n, &err), RC_OK);
    assert_int_equal(a->use_count, 1);
    assert_int_equal(graph_find(g, "s")->use_count, 2);
    assert_int_equal(graph_sort(g, &err), RC_OK);
    assert_int_equal(graph_model(g)->graph->n_node, 4);
    assert_string_equal(graph_model(g)->graph->node[1]->op_type, "Sqrt");
    assert_string_equal(graph_model(g)->graph->node[2]->op_type, "Neg");
    graph_free(g);
    builder_free(&b);
}

static void sorting_a_sorted_graph_changes_nothing(void **state) {
    struct builder b;
    struct graph *g = small(&b);
    char *one, *two;
    size_t one_size, two_size, built;
    struct err err;
    (void)state;
    assert_int_equal(graph_pack(g, &one, &one_size, &err), RC_OK);
    assert_int_equal(graph_pack(g, &two, &two_size, &err), RC_OK);
    const uint8_t *bytes = builder_bytes(&b, &built);
    assert_int_equal(one_size, two_size);
    assert_memory_equal(one, two, one_size);
    assert_int_equal(one_size, built);
    assert_memory_equal(one, bytes, built);
    free(one);
    free(two);
    graph_free(g);
    builder_free(&b);
}

static void take_over_keeps_the_name_of_an_output(void **state) {
    struct builder b;
    struct graph *g = small(&b);
    struct err err;
    (void)state;
    const char *in[] = {"x"}, *out[] = {"fresh"};
    struct graph_node_spec spec = {"Sigmoid", NULL, NULL, in, 1, out, 1};
    assert_int_equal(graph_add_node(g, &spec, NULL, NULL, &err), RC_OK);
    assert_int_equal(graph_take_over(g, graph_find(g, "y"), graph_find(g, "fresh"), &err), RC_OK);
    assert_string_equal(graph_find(g, "y")->producer->proto->op_type, "Sigmoid");
    assert_int_equal(graph_node_count(g), 3);
    assert_int_equal(graph_find(g, "a")->use_count, 1);
    assert_int_equal(graph_sort(g, &err), RC_OK);
    graph_free(g);
    builder_free(&b);
}

static void inputs_can_be_set_appended_left_out_and_trimmed(void **state) {
    struct builder b;
    struct graph *g = small(&b);
    struct graph_node *n = graph_find(g, "y")->producer;
    struct err err;
    (void)state;
    assert_int_equal(graph_set_input(g, n, 1, "", &err), RC_OK);
    assert_int_equal(graph_set_input(g, n, 2, "x", &err), RC_OK);
    assert_null(graph_input(g, n, 1));
    assert_int_equal(graph_find(g, "x")->use_count, 2);
    assert_int_equal(graph_set_input(g, n, 4, "x", &err), RC_INTERNAL);
    graph_trim_inputs(g, n, 1);
    assert_int_equal(n->proto->n_input, 1);
    assert_int_equal(graph_find(g, "x")->use_count, 1);
    assert_int_equal(graph_set_input(g, n, 0, "x", &err), RC_OK);
    assert_int_equal(graph_find(g, "a")->use_count, 1);
    graph_free(g);
    builder_free(&b);
}

static void unique_names_avoid_every_name(void **state) {
    struct builder b;
    struct graph *g = small(&b);
    (void)state;
    assert_string_equal(graph_unique_name(g, "new"), "new");
    assert_string_equal(graph_unique_name(g, "new"), "new_2");
    assert_string_equal(graph_unique_name(g, "a"), "a_2");
    assert_string_equal(graph_unique_name(g, ""), "value");
    graph_free(g);
    builder_free(&b);
}

static void initializers_are_added_replaced_and_removed(void **state) {
    struct builder b;
    struct graph *g = small(&b);
    struct graph_value *v;
    const float values[] = {1, 2, 3, 4};
    struct err err;
    (void)state;
    assert_int_equal(graph_add_initializer(g, "a", GRAPH_FLOAT32, four, 1, values, sizeof(values), &v, &err),
                     RC_OK);
    assert_string_equal(v->name, "a_2");
    assert_ptr_equal(graph_constant(g, v), v->initializer);
    assert_int_equal(graph_add_initializer(g, "bad", GRAPH_FLOAT32, four, 1, values, 12, &v, &err),
                     RC_INTERNAL);
    struct graph_node *n = graph_find(g, "y")->producer;
    v = graph_find(g, "a_2");
    assert_int_equal(graph_set_input(g, n, 0, v->name, &err), RC_OK);
    assert_int_equal(graph_remove_initializer(g, v, &err), RC_INTERNAL);
    assert_int_equal(graph_set_input(g, n, 0, "x", &err), RC_OK);
    assert_int_equal(graph_remove_initializer(g, v, &err), RC_OK);
    assert_int_equal(graph_sort(g, &err), RC_OK);
    assert_int_equal(graph_model(g)->graph->n_initializer, 0);
    graph_free(g);
    builder_free(&b);
}

static void attributes_are_set_in_place(void **state) {
    struct builder b;
    struct graph *g = small(&b);
    struct graph_node *n = graph_first(g);
    const int64_t axes[] = {0, 2};
    size_t count;
    struct err err;
    (void)state;
    assert_int_equal(graph_attr_int(n, "k", -7), -7);
    assert_int_equal(graph_set_attr_int(g, n, "k", 3, &err), RC_OK);
    assert_int_equal(graph_set_attr_int(g, n, "k", 4, &err), RC_OK);
    assert_int_equal(graph_set_attr_ints(g, n, "axes", axes, 2, &err), RC_OK);
    assert_int_equal(graph_set_attr_string(g, n, "mode", "linear", &err), RC_OK);
    assert_int_equal(graph_attr_int(n, "k", 0), 4);
    assert_int_equal(graph_attr_ints(n, "axes", &count)[1], 2);
    assert_int_equal(count, 2);
    assert_true(graph_attr_is(n, "mode", "linear"));
    assert_false(graph_attr_is(n, "mode", "line"));
    assert_int_equal(n->proto->n_attribute, 3);
    graph_remove_attr(n, "k");
    assert_int_equal(n->proto->n_attribute, 2);
    assert_int_equal(graph_attr_int(n, "k", 0), 0);
    graph_free(g);
    builder_free(&b);
}

/* An If whose branches read `a` of the main graph. */
static void add_if(struct builder *b, const char *reads, const char *makes) {
    static Onnx__GraphProto branch[2];
    static Onnx__NodeProto inner[2], *lists[2][1];
    static Onnx__ValueInfoProto *outputs[2][1];
    Onnx__NodeProto *n = builder_node(b, "If", "cond", makes);
    for (int i = 0; i < 2; i++) {
        onnx__graph_proto__init(&branch[i]);
        onnx__node_proto__init(&inner[i]);
        inner[i].op_type = arena_strdup(b->arena, i ? "Neg" : "Abs");
        inner[i].input = builder_names(b, reads, &inner[i].n_input);
        inner[i].output = builder_names(b, i ? "inner_b" : "inner_a", &inner[i].n_output);
        lists[i][0] = &inner[i];
        branch[i].n_node = 1;
        branch[i].node = lists[i];
        branch[i].n_output = 1;
        branch[i].output = outputs[i];
        branch[i].name = arena_strdup(b->arena, "branch");
        outputs[i][0] = builder_info(b, i ? "inner_b" : "inner_a", GRAPH_FLOAT32, four, 1);
        Onnx__AttributeProto *a = builder_attr(b, n, i ? "else_branch" : "then_branch",
                                               ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPH);
        a->g = &branch[i];
    }
}

static void names_taken_by_a_subgraph_are_uses_that_stay(void **state) {
    struct builder b;
    struct err err;
    (void)state;
    builder_init(&b, 17);
    builder_input(&b, "x", GRAPH_FLOAT32, four, 1);
    builder_input(&b, "cond", GRAPH_BOOL, NULL, 0);
    builder_output(&b, "y", GRAPH_FLOAT32, four, 1);
    add_if(&b, "a", "y"); /* listed before what it reads */
    builder_node(&b, "Relu", "x", "a");
    struct graph *g = builder_graph(&b);
    struct graph_value *a = graph_find(g, "a");
    assert_true(graph_is_captured(a));
    assert_int_equal(a->use_count, 1);
    assert_null(graph_sole_use(a));
    assert_string_equal(graph_first(g)->proto->op_type, "Relu");
    assert_int_equal(graph_redirect(g, a, graph_find(g, "x"), NULL, &err), RC_OK);
    assert_int_equal(a->use_count, 1);
    assert_string_equal(graph_unique_name(g, "inner_a"), "inner_a_2");
    graph_free(g);
    builder_free(&b);
}

/* Field 4242 of the model, 4243 of a node and 77 of a tensor, as a newer ONNX might have them. */
static void unknown_fields_are_written_back(void **state) {
    static const uint8_t extra[] = {0x92, 0x89, 0x02, 0x03, 'n', 'e', 'w'};
    struct builder b;
    size_t size, packed;
    char *again;
    struct graph *g;
    struct err err;
    (void)state;
    builder_init(&b, 17);
    builder_input(&b, "x", GRAPH_FLOAT32, four, 1);
    builder_output(&b, "y", GRAPH_FLOAT32, four, 1);
    Onnx__NodeProto *n = builder_node(&b, "Add", "x w", "y");
    Onnx__TensorProto *t = builder_floats(&b, "w", four, 1, (const float[]){1, 2, 3, 4});
    ProtobufCMessage *messages[] = {&b.model.base, &n->base, &t->base};
    ProtobufCMessageUnknownField fields[3];
    for (unsigned i = 0; i < 3; i++) {
        fields[i] = (ProtobufCMessageUnknownField){4242 + i, PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED, 4,
                                                   (uint8_t *)(uintptr_t)extra + 3};
        messages[i]->n_unknown_fields = 1;
        messages[i]->unknown_fields = &fields[i];
    }
    const uint8_t *bytes = builder_bytes(&b, &size);
    assert_int_equal(graph_parse(bytes, size, &g, &err), RC_OK);
    assert_int_equal(graph_pack(g, &again, &packed, &err), RC_OK);
    assert_int_equal(packed, size);
    assert_memory_equal(again, bytes, size);
    assert_int_equal(graph_model(g)->base.n_unknown_fields, 1);
    free(again);
    graph_free(g);
    builder_free(&b);
}

static void opset_is_raised_only_where_nothing_changes_its_meaning(void **state) {
    struct builder b;
    struct err err;
    (void)state;
    builder_init(&b, 11);
    builder_input(&b, "x", GRAPH_FLOAT32, four, 1);
    builder_output(&b, "y", GRAPH_FLOAT32, four, 1);
    builder_node(&b, "Relu", "x", "a");
    builder_node(&b, "Softmax", "a", "y");
    struct graph *g = builder_graph(&b);
    assert_int_equal(graph_need_opset(g, 12, &err), RC_OK);
    assert_int_equal(graph_opset(g), 12);
    assert_int_equal(graph_need_opset(g, 13, &err), RC_UNSUPPORTED);
    assert_non_null(strstr(err.text, "Softmax"));
    assert_int_equal(graph_opset(g), 12);
    assert_int_equal(graph_need_opset(g, 7, &err), RC_OK);
    assert_int_equal(graph_opset(g), 12);
    assert_int_equal(graph_need_domain(g, "com.microsoft", 1, &err), RC_OK);
    assert_int_equal(graph_need_domain(g, "com.microsoft", 1, &err), RC_OK);
    assert_int_equal(graph_model(g)->n_opset_import, 2);
    graph_free(g);
    builder_free(&b);
}

static void types_follow_the_operators(void **state) {
    struct builder b;
    (void)state;
    builder_init(&b, 17);
    builder_input(&b, "x", GRAPH_FLOAT32, four, 1);
    builder_output(&b, "y", GRAPH_FLOAT32, four, 1);
    builder_node(&b, "Shape", "x", "shape");
    builder_node(&b, "Greater", "x x", "mask");
    Onnx__NodeProto *cast = builder_node(&b, "Cast", "shape", "half");
    builder_attr_int(&b, cast, "to", GRAPH_FLOAT16);
    builder_node(&b, "Where", "mask x x", "w");
    builder_node(&b, "Relu", "w", "y");
    Onnx__NodeProto *odd = builder_node(&b, "Mystery", "x", "m");
    odd->domain = arena_strdup(b.arena, "some.where");
    struct graph *g = builder_graph(&b);
    graph_infer_types(g);
    assert_int_equal(graph_find(g, "shape")->dtype, GRAPH_INT64);
    assert_int_equal(graph_find(g, "mask")->dtype, GRAPH_BOOL);
    assert_int_equal(graph_find(g, "half")->dtype, GRAPH_FLOAT16);
    assert_int_equal(graph_find(g, "w")->dtype, GRAPH_FLOAT32);
    assert_int_equal(graph_find(g, "m")->dtype, GRAPH_UNKNOWN);
    graph_free(g);
    builder_free(&b);
}

static void weights_listed_as_inputs_become_constants(void **state) {
    struct builder b;
    struct err err;
    int64_t dims[GRAPH_MAX_RANK];
    size_t rank;
    (void)state;
    builder_init(&b, 9);
    b.model.ir_version = 3;
    builder_input(&b, "x", GRAPH_FLOAT32, four, 1);
    builder_input(&b, "w", GRAPH_FLOAT32, four, 1);
    builder_output(&b, "y", GRAPH_FLOAT32, four, 1);
    builder_node(&b, "Add", "x w", "y");
    builder_floats(&b, "w", four, 1, (const float[]){1, 2, 3, 4});
    struct graph *g = builder_graph(&b);
    assert_int_equal(graph_feed_count(g), 1);
    assert_int_equal(graph_model(g)->graph->n_input, 2);
    assert_int_equal(graph_close_initializers(g), 1);
    assert_int_equal(graph_model(g)->graph->n_input, 1);
    assert_int_equal(graph_model(g)->ir_version, 4);
    assert_true(graph_shape(graph_find(g, "y"), dims, &rank));
    assert_int_equal(rank, 1);
    assert_int_equal(dims[0], 4);
    assert_int_equal(graph_sort(g, &err), RC_OK);
    graph_free(g);
    builder_free(&b);
}

static void an_activation_can_become_an_output(void **state) {
    struct builder b;
    struct graph *g = small(&b);
    struct err err;
    (void)state;
    assert_int_equal(graph_add_output(g, graph_find(g, "a"), GRAPH_FLOAT32, &err), RC_OK);
    assert_int_equal(graph_add_output(g, graph_find(g, "a"), GRAPH_FLOAT32, &err), RC_OK);
    assert_int_equal(graph_result_count(g), 3);
    assert_string_equal(graph_result(g, 2)->name, "a");
    graph_free(g);
    builder_free(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lookups_know_producers_and_uses),
        cmocka_unit_test(a_node_between_two_others_is_put_in_order),
        cmocka_unit_test(sorting_a_sorted_graph_changes_nothing),
        cmocka_unit_test(take_over_keeps_the_name_of_an_output),
        cmocka_unit_test(inputs_can_be_set_appended_left_out_and_trimmed),
        cmocka_unit_test(unique_names_avoid_every_name),
        cmocka_unit_test(initializers_are_added_replaced_and_removed),
        cmocka_unit_test(attributes_are_set_in_place),
        cmocka_unit_test(names_taken_by_a_subgraph_are_uses_that_stay),
        cmocka_unit_test(unknown_fields_are_written_back),
        cmocka_unit_test(opset_is_raised_only_where_nothing_changes_its_meaning),
        cmocka_unit_test(types_follow_the_operators),
        cmocka_unit_test(weights_listed_as_inputs_become_constants),
        cmocka_unit_test(an_activation_can_become_an_output),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
