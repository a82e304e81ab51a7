/* The protocol itself: what needs no study. Tools over stored studies are tested in
 * tests/integration/mcp.test.mjs. */
#include "tests/support/test.h"

#include <string.h>

#include "advisor/mcp/mcp.h"

enum { INVALID_REQUEST = -32600, METHOD_NOT_FOUND = -32601, INVALID_PARAMS = -32602 };

/* No message here reaches the jobs. */
static json_t *answer_to(const char *message) {
    json_t *parsed = json_loads(message, JSON_DECODE_ANY, NULL);
    assert_non_null(parsed);
    json_t *answer = mcp_handle(NULL, parsed);
    json_decref(parsed);
    return answer;
}

static void assert_error(const char *message, int code, const char *words) {
    json_t *answer = answer_to(message);
    const json_t *error = json_object_get(answer, "error");
    if (!error) {
        fail_msg("no error for %s", message);
    }
    assert_string_equal(json_string_value(json_object_get(answer, "jsonrpc")), "2.0");
    assert_int_equal(json_integer_value(json_object_get(error, "code")), code);
    const char *text = json_string_value(json_object_get(error, "message"));
    if (!text || !strstr(text, words)) {
        fail_msg("\"%s\" is not in \"%s\"", words, text ? text : "(none)");
    }
    json_decref(answer);
}

static void what_is_no_json_rpc_is_an_invalid_request(void **state) {
    (void)state;
    static const char *const messages[] = {
        "[]",
        "3",
        "\"ping\"",
        "{}",
        "{\"id\": 1, \"method\": \"ping\"}",
        "{\"jsonrpc\": \"1.0\", \"id\": 1, \"method\": \"ping\"}",
        "{\"jsonrpc\": 2, \"id\": 1, \"method\": \"ping\"}",
        "{\"jsonrpc\": \"2.0\", \"id\": 1}",
        "{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": 7}",
        "[{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"ping\"}]",
    };
    for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
        assert_error(messages[i], INVALID_REQUEST, "JSON-RPC 2.0");
    }
    assert_error("{\"jsonrpc\": \"2.0\", \"id\": null, \"method\": \"ping\"}", INVALID_REQUEST, "\"id\"");
    assert_error("{\"jsonrpc\": \"2.0\", \"id\": 1.5, \"method\": \"ping\"}", INVALID_REQUEST, "\"id\"");
}

static void notifications_and_answers_get_no_answer(void **state) {
    (void)state;
    assert_null(answer_to("{\"jsonrpc\": \"2.0\", \"method\": \"notifications/initialized\"}"));
    assert_null(answer_to("{\"jsonrpc\": \"2.0\", \"method\": \"no/such/thing\"}"));
    assert_null(answer_to("{\"jsonrpc\": \"2.0\", \"id\": 1, \"result\": {}}"));
    assert_null(answer_to("{\"jsonrpc\": \"2.0\", \"id\": 1, \"error\": {\"code\": 1, \"message\": \"\"}}"));
}

static void the_id_comes_back_as_it_was(void **state) {
    (void)state;
    json_t *number = answer_to("{\"jsonrpc\": \"2.0\", \"id\": 0, \"method\": \"ping\"}");
    json_t *text = answer_to("{\"jsonrpc\": \"2.0\", \"id\": \"a\", \"method\": \"ping\"}");
    assert_true(json_is_integer(json_object_get(number, "id")));
    assert_string_equal(json_string_value(json_object_get(text, "id")), "a");
    assert_int_equal(json_object_size(json_object_get(number, "result")), 0);
    json_decref(number);
    json_decref(text);
}

static void initialize_settles_on_a_revision_that_both_speak(void **state) {
    (void)state;
    static const struct {
        const char *asked, *got;
    } cases[] = {{"2025-11-25", "2025-11-25"}, {"2025-06-18", "2025-06-18"}, {"1999-01-01", "2025-11-25"}};
    for (size_t i = 0; i < 3; i++) {
        json_t *message = json_pack("{s:s, s:i, s:s, s:{s:s}}", "jsonrpc", "2.0", "id", 1, "method",
                                    "initialize", "params", "protocolVersion", cases[i].asked);
        json_t *answer = mcp_handle(NULL, message);
        const json_t *result = json_object_get(answer, "result");
        assert_string_equal(json_string_value(json_object_get(result, "protocolVersion")), cases[i].got);
        assert_true(json_is_object(json_object_get(json_object_get(result, "capabilities"), "tools")));
        json_decref(message);
        json_decref(answer);
    }
    assert_true(mcp_speaks("2025-11-25"));
    assert_false(mcp_speaks("2024-11-05"));
}

static void every_tool_has_a_closed_schema_whose_required_arguments_are_described(void **state) {
    (void)state;
    json_t *answer = answer_to("{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"tools/list\"}"), *tool, *name;
    const json_t *tools = json_object_get(json_object_get(answer, "result"), "tools");
    size_t i, k;
    assert_int_equal(json_array_size(tools), 4);
    json_array_foreach((json_t *)tools, i, tool) {
        const json_t *schema = json_object_get(tool, "inputSchema");
        assert_true(json_is_object(schema));
        assert_true(json_is_false(json_object_get(schema, "additionalProperties")));
        json_array_foreach(json_object_get(schema, "required"), k, name) {
            assert_non_null(json_object_get(json_object_get(schema, "properties"), json_string_value(name)));
        }
    }
    json_decref(answer);
}

static void unknown_methods_and_tools_are_errors(void **state) {
    (void)state;
    assert_error("{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"resources/list\"}", METHOD_NOT_FOUND,
                 "resources/list");
    assert_error(
        "{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"tools/call\", \"params\": {\"name\": \"recomend\"}}",
        INVALID_PARAMS, "did you mean recommend");
    assert_error("{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"tools/call\"}", INVALID_PARAMS,
                 "params.name");
    assert_error("{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"tools/call\", \"params\": {\"name\": "
                 "\"recommend\", \"arguments\": [1]}}",
                 INVALID_PARAMS, "arguments");
}

static void a_wrong_argument_is_a_result_that_the_model_reads(void **state) {
    (void)state;
    json_t *answer =
        answer_to("{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"tools/call\", \"params\": {\"name\": "
                  "\"recommend\", \"arguments\": {\"stdy\": \"x\"}}}");
    const json_t *result = json_object_get(answer, "result");
    assert_true(json_is_true(json_object_get(result, "isError")));
    const char *text =
        json_string_value(json_object_get(json_array_get(json_object_get(result, "content"), 0), "text"));
    assert_non_null(strstr(text, "did you mean \"study\""));
    json_decref(answer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_json_rpc_is_an_invalid_request),
        cmocka_unit_test(notifications_and_answers_get_no_answer),
        cmocka_unit_test(the_id_comes_back_as_it_was),
        cmocka_unit_test(initialize_settles_on_a_revision_that_both_speak),
        cmocka_unit_test(every_tool_has_a_closed_schema_whose_required_arguments_are_described),
        cmocka_unit_test(unknown_methods_and_tools_are_errors),
        cmocka_unit_test(a_wrong_argument_is_a_result_that_the_model_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
