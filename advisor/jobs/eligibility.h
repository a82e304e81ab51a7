/* eligibility.h -- which levels can be faster at all on the machines that are registered
 * (core/recipes/hardware.h). */
#pragma once

#include <jansson.h>

#include "core/base/err.h"
#include "core/base/model_family.h"
#include "core/recipes/hardware.h"
#include "db/store.h"

/* The rule that holds for a recipe on a machine type, by the instruction sets of its fingerprint; *ret NULL
 * for the baseline. */
MUST_USE enum rc eligibility_on(struct store_tx *tx, const char *recipe, enum model_family family,
                                const char *machine_type, const struct hardware_rule **ret, struct err *err);
/* The best over several (an array of ids). */
MUST_USE enum rc eligibility_best(struct store_tx *tx, const char *recipe, enum model_family family,
                                  const json_t *machine_types, const struct hardware_rule **ret,
                                  struct err *err);

/* Moves the recipes that cannot be faster on any of the machine types to the end of the array, in their
 * order, and adds a text for each reason to `notes`, which names them. */
MUST_USE enum rc eligibility_sort(struct store_tx *tx, enum model_family family, const json_t *machine_types,
                                  json_t *recipes, json_t *late, json_t *notes, struct err *err);

/* {"gain": "none", "why", "source"}; null for the baseline. A new reference. */
json_t *eligibility_json(const struct hardware_rule *rule);
