/* explanation.h -- why a measured configuration is as fast as it is: from the stored profiles of it, of the
 * uncompressed model with the same settings and of its other settings to the figures that
 * advisor/decide/cause.h judges. */
#pragma once

#include <jansson.h>

#include "core/base/err.h"
#include "db/store.h"

struct explanations; /* what was read already; one thread at a time */

/* For several explanations about the same study or model. NULL when out of memory. */
struct explanations *explanations_new(void);
void explanations_free(struct explanations *e); /* NULL is fine */

/* The fields that a configuration gains: {"explanation": text or null, "causes": [{"code", "text"}],
 * "speedup": number or null}. `profile` is the id of its newest profile. The caller owns *ret. RC_NOT_FOUND:
 * there is no such profile. */
MUST_USE enum rc explanation_fields(struct explanations *e, struct store_tx *tx, const char *profile,
                                    json_t **ret, struct err *err);
