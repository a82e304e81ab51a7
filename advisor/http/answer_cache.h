/* answer_cache.h -- answers to questions that were asked before, byte for byte, for as long as the store says
 * the same: a dashboard or a chatbot that asks again costs no decision and no write.
 *
 * A question is the bytes of its body. The number store_evidence tells whether anything was written that can
 * change an answer; then all is forgotten. Thread-safe. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/err.h"

struct answer_cache;

/* Keeps up to `entries` answers of together up to bytes_max bytes, keys included. NULL when out of memory. */
struct answer_cache *answer_cache_new(size_t entries, size_t bytes_max);
void answer_cache_free(struct answer_cache *c); /* NULL is fine */

/* Adds the answer to `out` and sets *found, where there is one that holds at `evidence`. */
MUST_USE enum rc answer_cache_get(struct answer_cache *c, uint64_t evidence, const char *question,
                                  size_t size, struct buf *out, bool *found, struct err *err);

/* Keeps an answer that was worked out while store_evidence was `evidence`, before and after. */
void answer_cache_put(struct answer_cache *c, uint64_t evidence, const char *question, size_t size,
                      const char *answer, size_t answer_size);
