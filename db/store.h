/* store.h -- the store: one SQLite file and a folder of blobs, owned by one process.
 *
 * Every write runs on the store's writer thread, many in one transaction (group commit), each in a savepoint
 * of its own: store_write returns RC_OK only after the transaction that holds it is on disk. Reads use a
 * small pool of read-only connections, each read sees one snapshot. The typed functions of store_models.h,
 * store_machines.h, store_work.h, store_studies.h, store_jobs.h and store_answers.h take the transaction; the
 * blobs (store_blobs.h) and the tokens (store_tokens.h) take the store. All functions are thread-safe; a
 * transaction belongs to one thread.
 *
 * Rows: strings in a row struct are owned by the transaction and live until it ends. Times are wall
 * milliseconds. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

struct store;
struct store_tx;

struct store_opts {
    const char *folder;         /* created when missing; locked (flock) until store_close */
    unsigned readers;           /* 0 = 4 */
    size_t queue_max;           /* writes waiting before RC_BUSY; 0 = 1024 */
    int64_t (*now_ms)(void *u); /* NULL = wall clock; injected by tests */
    void *now_user;
};

/* Opens or creates the store, migrates it, prepares every statement. RC_CONFLICT: another process uses the
 * folder; RC_UNSUPPORTED: the database was written by a newer Pare. */
MUST_USE enum rc store_open(const struct store_opts *opts, struct store **ret, struct err *err);
/* Finishes the writes that wait, checkpoints, closes. NULL is fine. No other call may be under way. */
void store_close(struct store *s);

typedef enum rc store_fn(struct store_tx *tx, void *user, struct err *err);

/* Runs `fn` on the writer thread and waits until it is durable. Where fn fails nothing of it is kept and its
 * code is returned. fn must not call store_write or store_read_begin, nor block. RC_BUSY: the queue is full.
 */
MUST_USE enum rc store_write(struct store *s, store_fn *fn, void *user, struct err *err);

/* Writes that wait now, for showing. */
size_t store_writes_waiting(struct store *s);

/* One snapshot for reading; waits for a free reader. End it soon: it keeps the log from being folded back. */
MUST_USE enum rc store_read_begin(struct store *s, struct store_tx **ret, struct err *err);
void store_read_end(struct store_tx *tx); /* NULL is fine */

/* Memory that lives as long as the transaction; NULL when its cap (64 MiB) is used up. */
MUST_USE void *store_alloc(struct store_tx *tx, size_t count, size_t size);

/* The time by the store's clock. */
int64_t store_now_ms(const struct store *s);
int64_t store_tx_now_ms(const struct store_tx *tx);

/* A number that grows with every committed transaction. */
uint64_t store_changes(const struct store *s);
/* The same, but for transactions that only kept answers: while it stays, so do the answers. */
uint64_t store_evidence(const struct store *s);
/* Says that the write keeps an answer that was worked out from what is stored, and changes nothing else. */
void store_tx_keeps_answer(struct store_tx *tx);
/* Waits until the number differs from `seen` or timeout_ms passed; returns the number. */
uint64_t store_wait_change(struct store *s, uint64_t seen, uint64_t timeout_ms);
/* Ends every wait now and counts as a change (for shutting down). */
void store_wake(struct store *s);
/* Called on the writer thread after each committed transaction; must not block. Set once, before the first
 * write; NULL ends. */
void store_on_change(struct store *s, void (*fn)(void *user), void *user);

/* A consistent copy of the database at `path` (a new file) while the store is used; blobs are copied by the
 * caller. */
MUST_USE enum rc store_backup(struct store *s, const char *path, struct err *err);

/* Lists are newest first, a page at a time: rows older than row `before` (0 = from the newest), at most
 * `limit`. */
struct store_page {
    int64_t before; /* the `row` of the last row of the page before */
    uint32_t limit;
};
