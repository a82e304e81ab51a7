#include "advisor/mcp/mcp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "advisor/mcp/mcp_tools.h"
#include "core/base/json.h"

enum { INVALID_REQUEST = -32600, METHOD_NOT_FOUND = -32601, INVALID_PARAMS = -32602 };

/* Newest first: what is offered where the client asks for one that is not spoken here. */
static const char *const revisions[] = {"2025-11-25", "2025-06-18", "2025-03-26", NULL};

static const char instructions[] =
    "Pare finds the cheapest way to serve a machine-learning model that still meets its accuracy floor, from "
    "measurements. "
    "Call list_studies to see what was measured, recommend to ask for the cheapest configuration under a "
    "floor and budgets, "
    "compare for two or more configurations side by side, explain for why an answer is what it is. "
    "Every figure is measured unless its provenance says otherwise; never state one that no tool gave.";

bool mcp_speaks(const char *revision) {
    for (size_t i = 0; revisions[i]; i++) {
        if (strcmp(revisions[i], revision) == 0) {
            return true;
        }
    }
    return false;
}

json_t *mcp_error(const json_t *id, int code, const char *message) {
    return json_pack("{s:s, s:O?, s:{s:i, s:s}}", "jsonrpc", "2.0", "id", (json_t *)id, "error", "code", code,
                     "message", message);
}

/* Steals `result`. */
static json_t *respond(const json_t *id, json_t *result) {
    return result ? json_pack("{s:s, s:O, s:o}", "jsonrpc", "2.0", "id", (json_t *)id, "result", result)
                  : NULL;
}

static json_t *initialize(const json_t *params) {
    const char *wanted = json_string_value(json_object_get(params, "protocolVersion"));
    const char *revision = wanted && mcp_speaks(wanted) ? wanted : revisions[0];
    return json_pack("{s:s, s:{s:{}}, s:{s:s, s:s, s:s}, s:s}", "protocolVersion", revision, "capabilities",
                     "tools", "serverInfo", "name", "pare", "title", "Pare", "version", PARE_VERSION,
                     "instructions", instructions);
}

/* Steals `structured`. */
static json_t *tool_result(json_t *structured, const char *text, bool is_error) {
    json_t *result =
        json_pack("{s:[{s:s, s:s}], s:b}", "content", "type", "text", "text", text, "isError", is_error);
    if (result && structured) {
        json_object_set_new(result, "structuredContent", structured);
    } else {
        json_decref(structured);
    }
    return result;
}

static json_t *call_tool(struct jobs *j, const json_t *id, const json_t *params) {
    const char *name = json_string_value(json_object_get(params, "name"));
    json_t *structured = NULL, *empty = json_object();
    const json_t *arguments = json_object_get(params, "arguments");
    char *text = NULL;
    struct err err;
    json_t *response;
    if (!name || (arguments && !json_is_object(arguments))) {
        json_decref(empty);
        return mcp_error(id, INVALID_PARAMS,
                         name ? "params.arguments must be an object" : "tools/call needs params.name");
    }
    enum rc rc = mcp_tools_call(j, name, arguments ? arguments : empty, &structured, &text, &err);
    if (rc == RC_OK) {
        response = respond(id, tool_result(structured, text, false));
    } else if (rc == RC_UNSUPPORTED) { /* no such tool: the protocol's own error */
        response = mcp_error(id, INVALID_PARAMS, err.text);
    } else {
        response = respond(id, tool_result(NULL, err.text, true));
    }
    free(text);
    json_decref(empty);
    return response;
}

json_t *mcp_handle(struct jobs *j, const json_t *message) {
    const json_t *id = json_object_get(message, "id"), *params = json_object_get(message, "params");
    const char *method = json_string_value(json_object_get(message, "method"));
    const char *version = json_string_value(json_object_get(message, "jsonrpc"));
    bool answer_to_us = json_object_get(message, "result") || json_object_get(message, "error");
    if (!json_is_object(message) || !version || strcmp(version, "2.0") != 0 || (!method && !answer_to_us)) {
        return mcp_error(NULL, INVALID_REQUEST, "not a JSON-RPC 2.0 message");
    }
    if (!id || answer_to_us) {
        return NULL;
    }
    if (!json_is_string(id) && !json_is_integer(id)) {
        return mcp_error(NULL, INVALID_REQUEST, "\"id\" must be a string or a whole number");
    }
    if (strcmp(method, "initialize") == 0) {
        return respond(id, initialize(params));
    }
    if (strcmp(method, "ping") == 0) {
        return respond(id, json_object());
    }
    if (strcmp(method, "tools/list") == 0) {
        return respond(id, mcp_tools_list());
    }
    if (strcmp(method, "tools/call") == 0) {
        return call_tool(j, id, params);
    }
    char text[128];
    snprintf(text, sizeof(text), "there is no method \"%.64s\" here", method);
    return mcp_error(id, METHOD_NOT_FOUND, text);
}
