/* writer.h -- the one thread that writes: takes everything that waits into one transaction, each piece in a
 * savepoint of its own, commits (one fsync for all), then wakes the callers. */
#pragma once

#include <stddef.h>

#include "core/base/err.h"
#include "db/sql.h"

struct writer;

/* Takes over `sql`. on_commit(user, evidence) is called on the thread after each
 * transaction that changed something; evidence: more than answers (store_tx_keeps_answer). */
MUST_USE enum rc writer_start(struct store *store, struct sql *sql, size_t queue_max,
                              void (*on_commit)(void *user, bool evidence), void *user, struct writer **ret,
                              struct err *err);
/* Runs what waits, folds the log back into the database, closes the connection. NULL is fine. */
void writer_stop(struct writer *w);

MUST_USE enum rc writer_run(struct writer *w, store_fn *fn, void *user, struct err *err);

/* Pieces of work that wait now. */
size_t writer_waiting(struct writer *w);
