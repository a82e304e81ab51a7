/* completion.h -- from a worker's result to rows of the store. The agent is authenticated, what its worker
 * says is not trusted: every file is looked up among the blobs and checked, every number must be finite. */
#pragma once

#include <jansson.h>

#include "core/base/err.h"
#include "db/store.h"
#include "db/store_jobs.h"

/* A result that was checked and is ready to be stored. Owns what it points to. */
struct completion;

/* Blocking (reads score and sample files). RC_INPUT: the result is not valid, with the reason. Rows of `job`
 * are copied. */
MUST_USE enum rc completion_read(struct store *s, const struct store_job *job, const json_t *result,
                                 const json_t *files, struct completion **ret, struct err *err);
/* Stores it, inside the transaction that finishes the job, with the step event. */
MUST_USE enum rc completion_store(struct store_tx *tx, const struct completion *c,
                                  const struct store_job *job, struct err *err);
/* Text of the result as the job keeps it. Borrowed. */
const char *completion_result(const struct completion *c);
void completion_free(struct completion *c); /* NULL is fine */
