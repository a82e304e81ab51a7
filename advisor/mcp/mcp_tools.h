/* mcp_tools.h -- the tools that a chatbot sees: name, description, schema of the arguments, function. */
#pragma once

#include <jansson.h>

#include "core/base/err.h"

struct jobs;

/* {"tools": [...]} as tools/list answers it. New reference, NULL when out of memory. */
json_t *mcp_tools_list(void);

/* Runs a tool. *ret is the structured result, *text what a model reads first (free() it). RC_NOT_FOUND for an
 * unknown name. */
MUST_USE enum rc mcp_tools_call(struct jobs *j, const char *name, const json_t *arguments, json_t **ret,
                                char **text, struct err *err);
