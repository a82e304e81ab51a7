/* mcp.h -- Model Context Protocol (revision 2025-11-25): one JSON-RPC message in, at most one out. Without
 * sessions: every message stands alone, so that any number of service processes could answer. Source:
 * modelcontextprotocol.io, specification 2025-11-25, "Base protocol" and "Server features: tools". */
#pragma once

#include <jansson.h>
#include <stdbool.h>

struct jobs;

/* Answers one message; blocking, thread-safe. Returns the response, a new reference, or NULL for a
 * notification or when out of memory. Protocol errors come back as JSON-RPC errors, errors of a tool as a
 * result with "isError" so that a model reads them. */
json_t *mcp_handle(struct jobs *j, const json_t *message);

/* A JSON-RPC error response (code -32700 for a body that is not JSON). New reference. */
json_t *mcp_error(const json_t *id, int code, const char *message);

/* True for a revision of the protocol that mcp_handle speaks. */
bool mcp_speaks(const char *revision);
