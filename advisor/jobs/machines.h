/* machines.h -- targets, machine types and their prices. */
#pragma once

#include <jansson.h>

#include "core/base/err.h"

struct jobs;

MUST_USE enum rc machines_targets(struct jobs *j, json_t **ret, struct err *err);
MUST_USE enum rc machines_types(struct jobs *j, json_t **ret, struct err *err);
MUST_USE enum rc machines_type(struct jobs *j, const char *id, json_t **ret, struct err *err);
/* {"name"?, "price_per_hour"?, "instance_type"?, "source"?}: sets a price, or takes that of an instance type
 * of the bundled catalogue. -> the machine type's view. */
MUST_USE enum rc machines_type_put(struct jobs *j, const char *id, const json_t *body, json_t **ret,
                                   struct err *err);
/* The bundled, dated catalogue. */
MUST_USE enum rc machines_prices(struct jobs *j, json_t **ret, struct err *err);
