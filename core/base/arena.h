/* arena.h -- memory that lives as long as one request or one job, with a hard cap. */
#pragma once

#include <stddef.h>

#include "core/base/err.h"

struct arena;

/* NULL when out of memory. max_bytes caps what arena_alloc hands out in all. */
struct arena *arena_new(size_t max_bytes);
void arena_free(struct arena *a); /* NULL is fine */

/* Zeroed memory, aligned for any type, released with the arena. NULL when the cap or the memory is used up.
 */
MUST_USE void *arena_alloc(struct arena *a, size_t size);
/* The same for count * size, NULL on overflow. */
MUST_USE void *arena_calloc(struct arena *a, size_t count, size_t size);
MUST_USE char *arena_strdup(struct arena *a, const char *text);
MUST_USE char *arena_strndup(struct arena *a, const char *text, size_t size);
MUST_USE char *arena_printf(struct arena *a, const char *format, ...) PRINTF_LIKE(2, 3);
