/* counters.h -- hardware counters around a piece of work. Opened before the sandbox (a user namespace forbids
 * opening them) and before any thread starts: threads started later inherit them and are counted too. One
 * event set, no multiplexing. Where there are no usable counters the reason is told; nothing is ever filled
 * in. */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "core/base/err.h"

struct counters;

/* Never fails: without counters, and when memory runs out, the object (or NULL) tells why not. Each event is
 * tried on a loop of known length, and one that does not count there is not used: some virtual machines list
 * events that always read 0. */
struct counters *counters_open(void);
void counters_close(struct counters *c); /* NULL is fine */

/* {"available": true, "events": [...], "unusable": [...]} or {"available": false, "reason": "..."}: a new
 * reference. */
json_t *counters_state(const struct counters *c);

/* Counting is switched on between start and stop, in all threads. RC_UNSUPPORTED without counters,
 * RC_INTERNAL. */
MUST_USE enum rc counters_start(struct counters *c, struct err *err);
/* *ret = {"available": true, "per_inference": {"instructions": 35131300.0, ...}, "inferences": n, "unusable":
 * [...]}: counts divided by n. A new reference. */
MUST_USE enum rc counters_stop(struct counters *c, uint64_t n, json_t **ret, struct err *err);
