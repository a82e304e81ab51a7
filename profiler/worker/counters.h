/* counters.h -- hardware counters around a piece of work. Opened before the sandbox (a user namespace would
 * forbid opening them) and before any thread starts: threads started later inherit them and are counted too.
 *
 * Nothing is multiplexed: what one set cannot hold is counted in another pass, by another worker. Where there
 * are no usable counters the reason is told; nothing is ever filled in. */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "core/base/err.h"

enum { COUNTERS_SET_MAX = 6 };

struct counters;

struct counters_reading {
    size_t n;
    const char *names[COUNTERS_SET_MAX]; /* static texts */
    int64_t values[COUNTERS_SET_MAX];
};

/* Never fails: without counters, and when memory runs out, the object (or NULL) tells why not. Each event is
 * tried on work that must raise it, instructions on a loop of known length; one that does not count there is
 * not used: some virtual machines accept events that always read 0. */
struct counters *counters_open(void);
void counters_close(struct counters *c); /* NULL is fine */

/* {"available": true, "events": [names], "passes": [[names]], "unusable": {name: why},
 *  "known_loop": {"instructions": 20000216, "expected": 20000000}}, a pass being what one set holds; or
 * {"available": false, "reason": "..."}. A new reference. */
json_t *counters_state(const struct counters *c);

/* Opens the set of one pass: names out of the state's events. RC_INPUT: an unknown or unusable name, or more
 * than one set holds; RC_UNSUPPORTED without counters. */
MUST_USE enum rc counters_choose(struct counters *c, const json_t *names, struct err *err);

/* Counting is switched on between start and stop, in all threads. RC_INTERNAL. */
MUST_USE enum rc counters_start(struct counters *c, struct err *err);
MUST_USE enum rc counters_stop(struct counters *c, struct counters_reading *ret, struct err *err);
