/* mcp_route.h -- POST /mcp: Streamable HTTP transport of the Model Context Protocol, without sessions or
 * streams. */
#pragma once

#include "core/base/err.h"

struct app;

/* Adds the route. To be called before the server starts. */
MUST_USE enum rc mcp_route_add(struct app *app, struct err *err);
