/* buf.h -- a growing byte buffer with a hard maximum. The bytes are always followed by a NUL that is not
 * counted. */
#pragma once

#include <stddef.h>

#include "core/base/err.h"

struct buf {
    char *data; /* NULL while empty */
    size_t size, capacity, max;
};

/* An empty buffer that never holds more than max bytes. */
void buf_init(struct buf *b, size_t max);
void buf_free(struct buf *b);  /* releases; the buffer is empty again with the same maximum */
void buf_clear(struct buf *b); /* empty, keeps the memory */

/* Append. RC_TOO_LARGE when the maximum would be passed, RC_MEMORY; the buffer is then unchanged. */
MUST_USE enum rc buf_add(struct buf *b, const void *data, size_t size, struct err *err);
MUST_USE enum rc buf_add_text(struct buf *b, const char *text, struct err *err);
MUST_USE enum rc buf_printf(struct buf *b, struct err *err, const char *format, ...) PRINTF_LIKE(3, 4);

/* Room for `size` more bytes at data + size, for reading into; the caller then adds to b->size what it wrote.
 */
MUST_USE enum rc buf_reserve(struct buf *b, size_t size, struct err *err);

/* Removes the first n bytes. */
void buf_consume(struct buf *b, size_t n);

/* Hands the memory over (NUL-terminated, free() it); the buffer is empty again. NULL when out of memory. */
char *buf_steal(struct buf *b);
