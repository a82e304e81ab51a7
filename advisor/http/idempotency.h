/* idempotency.h -- Idempotency-Key: a POST repeated with the same key gets the first one's answer and does
 * nothing. */
#pragma once

#include "advisor/http/http_message.h"
#include "core/base/err.h"

struct app;
struct idempotency;
struct route;

MUST_USE enum rc idempotency_new(struct idempotency **ret, struct err *err);
void idempotency_free(struct idempotency *i); /* NULL is fine */

/* Runs the route's handler unless its answer for this key is remembered (for a day, in the store).
 * RC_CONFLICT: the key was used for another body, or the first request with it is still running. Answers of
 * failures are not remembered. */
MUST_USE enum rc idempotency_handle(struct idempotency *i, struct app *app, const struct http_request *req,
                                    const struct route *route, struct http_response *res, struct err *err);
