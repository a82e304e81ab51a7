/* nearest.h -- "did you mean": the known name closest to a mistyped one. */
#pragma once

#include <stddef.h>

/* Edits (insert, delete, replace, swap of neighbours) between two texts, each read up to 64 bytes. */
size_t nearest_distance(const char *a, const char *b);

/* The nearest of a NULL-terminated list, or NULL where none is near enough to be what was meant. */
const char *nearest_name(const char *name, const char *const *known);
