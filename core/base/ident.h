/* ident.h -- identifiers: "std_4fk2..." at random, "mdl_<hash>" from content. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { IDENT_SIZE = 40 }; /* prefix, underscore, 32 characters, NUL */

/* prefix "_" and 26 random characters of [a-z2-7] (130 bits). `prefix` has at most 5 letters. */
void ident_random(const char *prefix, char id[IDENT_SIZE]);

/* prefix "_" and the first 32 hexadecimal digits of the SHA-256 of the content: equal content, equal name. */
void ident_content(const char *prefix, const void *data, size_t size, char id[IDENT_SIZE]);

/* True for prefix "_" and at least one of [a-z0-9], at most IDENT_SIZE - 1 characters in all. */
bool ident_valid(const char *prefix, const char *text);
