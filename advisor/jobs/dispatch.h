/* dispatch.h -- the agents' side: register, claim, heartbeat, result, failure (docs/protocol.md, "Agent and
 * service"). */
#pragma once

#include <jansson.h>

#include "core/base/err.h"

struct jobs;

/* {"name", "fingerprint", "price_per_hour"?} -> {"target_id", "machine_type_id", "lease_s"}. The same name on
 * the same machine type is the same target; its running job, if any, is requeued. */
MUST_USE enum rc dispatch_register(struct jobs *j, const json_t *body, json_t **ret, struct err *err);

/* {"target_id", "wait_s"?} -> {"job": {...}}, or RC_OK with *ret NULL when there is nothing: the handler
 * parks until the store changes or wait_s passed, then answers 204. */
MUST_USE enum rc dispatch_claim(struct jobs *j, const json_t *body, json_t **ret, struct err *err);

/* {"token", "fraction", "text"} -> {"cancel": bool}. RC_CONFLICT: the lease is lost. */
MUST_USE enum rc dispatch_heartbeat(struct jobs *j, const char *job_id, const json_t *body, json_t **ret,
                                    struct err *err);

/* {"token", "result", "files"} -> {}. Stores what the job made. RC_CONFLICT for a stale token; RC_OK again
 * for the winning one repeated. A result that is not valid fails the job with the reason (and is
 * acknowledged). */
MUST_USE enum rc dispatch_result(struct jobs *j, const char *job_id, const json_t *body, json_t **ret,
                                 struct err *err);

/* {"token", "error": {"code", "text"}, "crashed"?, "log"?} -> {}. */
MUST_USE enum rc dispatch_failure(struct jobs *j, const char *job_id, const json_t *body, json_t **ret,
                                  struct err *err);
